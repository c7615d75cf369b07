//! One line of a watch.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::lean::{BookmarkMeta, Undecodable, Watched};
use crate::request::{CallError, Refusal, malformed};

/// What a line says.
pub(super) enum Line<K> {
    Added(K),
    Modified(K),
    Deleted(K),
    Undecodable(Undecodable),
    Bookmark(BookmarkMeta),
    Error(Refusal),
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    object: &'a RawValue,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Bookmark {
    metadata: BookmarkMeta,
}

/// Reads a line.
///
/// # Errors
/// If it is no event of a watch: the stream cannot be trusted any more. The error quotes nothing of the line, which
/// may hold a Secret.
pub(super) fn parse<K: Watched>(line: &[u8]) -> Result<Line<K>, CallError> {
    let Ok(wire) = serde_json::from_slice::<Wire<'_>>(line) else {
        // Some servers write a bare Status into a watch that they have to give up.
        return match Refusal::parse(line) {
            Some(refusal) => Ok(Line::Error(refusal)),
            None => Err(malformed("a line of the watch is not an event")),
        };
    };
    let json = wire.object.get();
    let decode = |deleted| K::decode(json).map_err(|error| Line::Undecodable(Undecodable::new(json, deleted, error)));
    let line = match &*wire.kind {
        "ADDED" => decode(false).map(Line::Added),
        "MODIFIED" => decode(false).map(Line::Modified),
        "DELETED" => decode(true).map(Line::Deleted),
        "BOOKMARK" => {
            let bookmark: Bookmark = serde_json::from_str(json).map_err(|_| malformed("a bookmark cannot be read"))?;
            Ok(Line::Bookmark(bookmark.metadata))
        }
        "ERROR" => Ok(Line::Error(Refusal::parse(json.as_bytes()).unwrap_or(Refusal {
            code: 0,
            reason: Box::default(),
            message: "an error without a status".into(),
            retry_after: None,
        }))),
        _ => return Err(malformed("a line of the watch has an unknown type")),
    };
    Ok(line.unwrap_or_else(|undecodable| undecodable))
}
