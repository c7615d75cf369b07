//! How the objects of one watch are asked for and read, where a type alone does not say it.

use std::marker::PhantomData;

use afresh_model::name::{Name, WorkloadKind};

use super::{DecodeError, LeanWorkload, Watched};
use crate::discovery::{self, Unserved};

/// Asks for the objects of one kind and reads them.
pub trait Reader: Send + 'static {
    /// What is kept of an object.
    type Object: Send + 'static;
    /// Ask the server for `PartialObjectMetadata` only.
    const METADATA_ONLY: bool = false;

    /// The path of the collection: of one namespace, or of all.
    fn path(&self, namespace: Option<&Name>) -> String;

    /// Where to ask for the name of the collection before a list, if only the server knows it.
    fn discovery(&self) -> Option<String> {
        None
    }

    /// Takes in what the server answered to that.
    ///
    /// # Errors
    /// If the answer lacks the kind.
    fn discovered(&mut self, _answer: &[u8]) -> Result<(), Unserved> {
        Ok(())
    }

    /// Reads one object.
    ///
    /// # Errors
    /// If the text is not such an object. The error never shows a value of a Secret.
    fn decode(&self, json: &str) -> Result<Self::Object, DecodeError>;

    /// `metadata.resourceVersion`; empty if the object has none.
    fn resource_version(object: &Self::Object) -> &str;
}

/// The reader of a kind that is known by its type.
#[derive(Debug)]
pub struct Of<K>(PhantomData<fn() -> K>);

impl<K> Default for Of<K> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<K: Watched> Reader for Of<K> {
    type Object = K;
    const METADATA_ONLY: bool = K::METADATA_ONLY;

    fn path(&self, namespace: Option<&Name>) -> String {
        K::path(namespace)
    }

    fn decode(&self, json: &str) -> Result<K, DecodeError> {
        K::decode(json)
    }

    fn resource_version(object: &K) -> &str {
        object.resource_version()
    }
}

/// The reader of a kind of workload, whichever it is.
#[derive(Debug)]
pub struct Workloads {
    kind: WorkloadKind,
    plural: Box<str>,
}

impl Workloads {
    /// The reader of this kind.
    #[must_use]
    pub fn new(kind: WorkloadKind) -> Self {
        Self {
            kind,
            plural: kind.plural().unwrap_or_default().into(),
        }
    }
}

impl Reader for Workloads {
    type Object = LeanWorkload;

    fn path(&self, namespace: Option<&Name>) -> String {
        discovery::collection(self.kind, &self.plural, namespace)
    }

    fn discovery(&self) -> Option<String> {
        self.kind.plural().is_none().then(|| discovery::path(self.kind))
    }

    fn discovered(&mut self, answer: &[u8]) -> Result<(), Unserved> {
        self.plural = discovery::plural(self.kind, answer)?;
        Ok(())
    }

    fn decode(&self, json: &str) -> Result<LeanWorkload, DecodeError> {
        LeanWorkload::decode(self.kind, json)
    }

    fn resource_version(object: &LeanWorkload) -> &str {
        &object.resource_version
    }
}
