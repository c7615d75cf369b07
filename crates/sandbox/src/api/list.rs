//! List: pages of one consistent snapshot.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::Server;
use crate::convert;
use crate::object;
use crate::resource::Resource;
use crate::selector::Selector;
use crate::status::ApiError;
use crate::store::Key;

/// `resourceVersionMatch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VersionMatch {
    Exact,
    NotOlderThan,
}

/// What to list.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query {
    pub(crate) namespace: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) selector: Selector,
    pub(crate) limit: usize,
    pub(crate) continue_token: String,
    pub(crate) version: Option<u64>,
    pub(crate) version_match: Option<VersionMatch>,
}

impl Query {
    pub(crate) fn matches(&self, resource: &Resource, value: &Value) -> bool {
        let here = self
            .namespace
            .as_deref()
            .is_none_or(|namespace| object::namespace(value) == namespace)
            && self.name.as_deref().is_none_or(|name| object::name(value) == name);
        here && match resource.is_new_event() {
            true => self.selector.matches(&convert::to_shown(resource, value)),
            false => self.selector.matches(value),
        }
    }
}

/// One page.
#[derive(Clone, Debug)]
pub(crate) struct Listing {
    pub(crate) revision: u64,
    pub(crate) items: Vec<Arc<Value>>,
    pub(crate) continue_token: Option<String>,
    pub(crate) remaining: Option<usize>,
}

impl Server {
    /// One page of a resource, in order of namespace and name.
    pub(crate) fn list(&self, resource: &Resource, query: &Query) -> Result<Listing, ApiError> {
        let current = self.store.revision();
        let (revision, after) = self.position(query, current)?;
        let past;
        let everything: &mut dyn Iterator<Item = (&Key, &Arc<Value>)> = if revision == current {
            &mut self.store.list(resource.storage())
        } else {
            past = self
                .store
                .list_at(resource.storage(), revision)
                .map_err(|_| expired(query))?;
            &mut past.iter()
        };
        let mut found = everything
            .filter(|(key, value)| after.as_ref().is_none_or(|after| *key > after) && query.matches(resource, value))
            .map(|(_, value)| value.clone());
        let limit = if query.limit == 0 { usize::MAX } else { query.limit };
        let items: Vec<_> = found.by_ref().take(limit).collect();
        let remaining = found.count();
        let next = items.last().filter(|_| remaining > 0).map(|last| token(revision, last));
        // The real server cannot count what a selector leaves over.
        let counted = next.is_some() && query.selector == Selector::default();
        Ok(Listing {
            revision,
            items,
            continue_token: next,
            remaining: counted.then_some(remaining),
        })
    }

    /// The snapshot to read, and the key after which to begin.
    fn position(&self, query: &Query, current: u64) -> Result<(u64, Option<Key>), ApiError> {
        if !query.continue_token.is_empty() {
            let (revision, key) = parse_token(&query.continue_token)
                .ok_or_else(|| ApiError::bad_request("continue key is not valid: unable to decode"))?;
            if query.version.is_some_and(|version| version != 0) {
                return Err(ApiError::bad_request(
                    "specifying resource version is not allowed when using continue",
                ));
            }
            return Ok((if revision == LATEST { current } else { revision }, Some(key)));
        }
        match (query.version, query.version_match) {
            (Some(asked), _) if asked > current => Err(ApiError::too_large_version(asked, current)),
            (Some(asked), Some(VersionMatch::Exact)) if asked > 0 => Ok((asked, None)),
            // With a limit and no match, the real server reads the exact version (documented as legacy).
            (Some(asked), None) if asked > 0 && query.limit > 0 => Ok((asked, None)),
            _ => Ok((current, None)),
        }
    }
}

fn expired(query: &Query) -> ApiError {
    match parse_token(&query.continue_token) {
        Some((_, (namespace, name))) => ApiError::page_expired(encode(LATEST, &namespace, &name)),
        None => ApiError::expired("The resourceVersion for the provided list is too old."),
    }
}

/// A token of no version in particular: the rest of the list as it is when the page is asked for.
const LATEST: u64 = 0;

fn token(revision: u64, last: &Value) -> String {
    encode(revision, object::namespace(last), object::name(last))
}

fn encode(revision: u64, namespace: &str, name: &str) -> String {
    let token = json!({"v": "meta.k8s.io/v1", "rv": revision, "start": [namespace, name]});
    URL_SAFE_NO_PAD.encode(token.to_string())
}

fn parse_token(token: &str) -> Option<(u64, Key)> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let value: Value = serde_json::from_slice(&bytes).ok()?;
    let start = object::list(&value, &["start"]);
    let text = |index: usize| start.get(index).and_then(Value::as_str).map(str::to_owned);
    Some((value.get("rv")?.as_u64()?, (text(0)?, text(1)?)))
}
