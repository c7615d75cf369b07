//! One line of a watch.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::lean::{BookmarkMeta, Reader, Undecodable};
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

/// The type and the object of a line that is written as the API server writes it. Only where they end is looked at, so
/// that the object is read once, by its decoder.
fn usual(line: &[u8]) -> Option<(&str, &str)> {
    let line = std::str::from_utf8(line).ok()?;
    let (kind, rest) = line.strip_prefix(r#"{"type":""#)?.split_once('"')?;
    Some((kind, rest.strip_prefix(r#","object":"#)?.strip_suffix('}')?))
}

/// The usual line with an object that can be decoded; anything else is for those who look closer.
fn quick<R: Reader>(reader: &R, line: &[u8]) -> Option<Line<R::Object>> {
    let (kind, object) = usual(line)?;
    let line = match kind {
        "ADDED" => Line::Added,
        "MODIFIED" => Line::Modified,
        "DELETED" => Line::Deleted,
        _ => return None,
    };
    reader.decode(object).ok().map(line)
}

/// Reads a line.
///
/// # Errors
/// If it is no event of a watch: the stream cannot be trusted any more. The error quotes nothing of the line, which
/// may hold a Secret.
pub(super) fn parse<R: Reader>(reader: &R, line: &[u8]) -> Result<Line<R::Object>, CallError> {
    if let Some(line) = quick(reader, line) {
        return Ok(line);
    }
    let Ok(wire) = serde_json::from_slice::<Wire<'_>>(line) else {
        // Some servers write a bare Status into a watch that they have to give up.
        return match Refusal::parse(line) {
            Some(refusal) => Ok(Line::Error(refusal)),
            None => Err(malformed("a line of the watch is not an event")),
        };
    };
    let json = wire.object.get();
    let decode = |deleted| {
        let object = reader.decode(json);
        object.map_err(|error| Line::Undecodable(Undecodable::new(json, deleted, error)))
    };
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

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::lean::{LeanConfigMap, Of};

    const OBJECT: &str = r#"{"metadata":{"namespace":"prod","name":"web","resourceVersion":"7"},"data":{"a":"}"}}"#;

    fn name(line: &str) -> String {
        match parse(&Of::<LeanConfigMap>::default(), line.as_bytes()) {
            Ok(Line::Added(object)) => format!("added {}", object.key().name),
            Ok(Line::Modified(object)) => format!("modified {}", object.key().name),
            Ok(Line::Deleted(object)) => format!("deleted {}", object.key().name),
            Ok(Line::Undecodable(_)) => "undecodable".to_owned(),
            Ok(Line::Bookmark(_)) => "bookmark".to_owned(),
            Ok(Line::Error(refusal)) => format!("error {}", refusal.code),
            Err(_) => "no event".to_owned(),
        }
    }

    #[rstest]
    #[case(format!(r#"{{"type":"ADDED","object":{OBJECT}}}"#), true, "added web")]
    #[case(format!(r#"{{"type":"MODIFIED","object":{OBJECT}}}"#), true, "modified web")]
    #[case(format!(r#"{{"type":"DELETED","object":{OBJECT}}}"#), true, "deleted web")]
    #[case(format!(r#"{{"object":{OBJECT},"type":"ADDED"}}"#), false, "added web")]
    #[case(format!(r#"{{ "type": "ADDED", "object": {OBJECT} }}"#), false, "added web")]
    #[case(format!(r#"{{"type":"ADDED","object":{OBJECT},"more":1}}"#), false, "added web")]
    #[case(format!(r#"{{"type":"ADDED","object":{OBJECT}"#), false, "no event")]
    #[case(format!(r#"{{"type":"ADDED","object":{OBJECT}}}}}"#), false, "no event")]
    #[case(r#"{"type":"ADDED","object":{"metadata":{"name":7}}}"#.to_owned(), false, "undecodable")]
    #[case(r#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"9"}}}"#.to_owned(), false, "bookmark")]
    #[case(r#"{"type":"ERROR","object":{"kind":"Status","code":410}}"#.to_owned(), false, "error 410")]
    #[case(r#"{"type":"OTHER","object":{}}"#.to_owned(), false, "no event")]
    fn a_line_says_the_same_however_it_is_written(#[case] line: String, #[case] is_quick: bool, #[case] says: &str) {
        assert_eq!(name(&line), says);
        assert_eq!(
            quick(&Of::<LeanConfigMap>::default(), line.as_bytes()).is_some(),
            is_quick
        );
    }
}
