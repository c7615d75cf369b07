//! What is kept of a config object.

use crate::content::Content;
use crate::reloader::sha1::Sha1;
use crate::time::{Revision, UnixSeconds};
use crate::usage::Needs;

/// A ConfigMap or Secret that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigObject {
    /// Its data, as digests.
    pub content: Content,
    /// `immutable: true`.
    pub immutable: bool,
    /// `afresh.dev/ignore: "true"`, or outside the selector: it never triggers anything.
    pub ignored: bool,
    /// Reloader's hash of all of it; only where marks of Reloader are kept (`afresh reloader`).
    pub sha1: Option<Sha1>,
    /// `reloader.stakater.com/match: "true"`: it counts for workloads that search.
    pub matched: bool,
    /// `metadata.creationTimestamp`.
    pub created: Option<UnixSeconds>,
    /// When its data was last written: the newest time among the `managedFields` entries that own data.
    pub written: Option<UnixSeconds>,
    /// Known to have been written to since it was made, though the two times may share a second.
    pub rewritten: bool,
    /// `metadata.resourceVersion`.
    pub revision: Option<Revision>,
}

impl ConfigObject {
    /// As far as is known, nobody has written to it since it was made. The API server notes when data was written just before
    /// it notes when the object was made, so now and then that is a second later.
    #[must_use]
    pub fn is_as_made(&self) -> bool {
        let as_made = match (self.written, self.created) {
            (Some(written), Some(created)) => written <= created,
            (written, created) => written == created,
        };
        as_made && !self.rewritten
    }
}

/// The first thing that a new pod would lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    /// The object is not there.
    Object,
    /// The object is there, a key that is needed is not.
    Key,
}

impl Needs {
    /// What a new pod would lack.
    #[must_use]
    pub fn lack(&self, object: Option<&ConfigObject>) -> Option<Lack> {
        match (self, object) {
            (Self::Nothing | Self::Unknown, _) => None,
            (Self::Object(_), None) => Some(Lack::Object),
            (Self::Object(keys), Some(object)) => keys.iter().any(|&key| !object.content.has(key)).then_some(Lack::Key),
        }
    }
}
