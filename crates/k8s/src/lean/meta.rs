//! `metadata`, as much of it as is ever needed.

use afresh_model::annotation::Annotations;
use afresh_model::name::{Name, NameError};
use afresh_model::time::{Revision, UnixSeconds};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess};

use super::decode::{self, EntrySink, Text, null_is_default};
use super::managed::Written;

/// What `kubectl apply` keeps of an object: as large as the object, and of a Secret its very content.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Longer values of a config object's annotations are none that anybody reads here: all of these are words. What other
/// tools keep of a Secret in its annotations is forgotten while decoding.
const LONGEST_WORD: usize = 64;
/// Of our own, any length is kept, so that a wrong one is told.
const OURS: &str = "afresh.dev/";

/// Whether an annotation of a workload is kept until its policy is read: any key may be one of Reloader's, which flags
/// choose.
pub(super) fn is_kept(key: &str) -> bool {
    key != LAST_APPLIED
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Meta {
    #[serde(deserialize_with = "null_is_default")]
    pub(super) namespace: Box<str>,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) name: Box<str>,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) uid: Box<str>,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) resource_version: Box<str>,
    pub(super) generation: Option<i64>,
    #[serde(deserialize_with = "decode::time")]
    pub(super) creation_timestamp: Option<UnixSeconds>,
    #[serde(deserialize_with = "decode::present")]
    pub(super) deletion_timestamp: bool,
    #[serde(deserialize_with = "decode::collect")]
    pub(super) annotations: Kept,
    pub(super) owner_references: Controller,
}

/// The owner that is marked as the controller of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Its kind: `ReplicaSet`, `Job`.
    pub kind: Box<str>,
    /// Its name.
    pub name: Box<str>,
    /// Its uid.
    pub uid: Box<str>,
}

/// `ownerReferences`, of which only the controller is kept.
#[derive(Default)]
pub(super) struct Controller(pub(super) Option<Owner>);

impl<'de> Deserialize<'de> for Controller {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Wire {
            #[serde(deserialize_with = "null_is_default")]
            kind: Box<str>,
            #[serde(deserialize_with = "null_is_default")]
            name: Box<str>,
            #[serde(deserialize_with = "null_is_default")]
            uid: Box<str>,
            #[serde(deserialize_with = "flag")]
            controller: bool,
        }
        let owners: Vec<Wire> = null_is_default(deserializer)?;
        let controller = owners.into_iter().find(|owner| owner.controller);
        Ok(Self(controller.map(|owner| Owner {
            kind: owner.kind,
            name: owner.name,
            uid: owner.uid,
        })))
    }
}

/// [`Meta`] with the time of the last data write; only config objects pay for reading it.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ConfigMeta {
    #[serde(deserialize_with = "null_is_default")]
    pub(super) namespace: Box<str>,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) name: Box<str>,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) resource_version: Box<str>,
    #[serde(deserialize_with = "decode::time")]
    pub(super) creation_timestamp: Option<UnixSeconds>,
    #[serde(deserialize_with = "decode::collect")]
    pub(super) annotations: Words,
    pub(super) managed_fields: Written,
}

/// A namespace and a name that the API server accepted.
pub(super) fn names(namespace: &str, name: &str) -> Result<(Name, Name), NameError> {
    Ok((namespace.parse()?, name.parse()?))
}

/// The revision in a resource version, for the model.
pub(super) fn revision(resource_version: &str) -> Option<Revision> {
    Revision::parse(resource_version)
}

/// The annotations that are kept.
#[derive(Default)]
pub(super) struct Kept(pub(super) Annotations);

impl EntrySink for Kept {
    fn entry<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        if is_kept(key) {
            // The API server only accepts texts; `null` stands for a key that is not there.
            if let Some(value) = map.next_value::<Option<String>>()? {
                self.0.insert(key.to_owned(), value);
            }
            return Ok(());
        }
        map.next_value::<IgnoredAny>().map(drop)
    }
}

/// Our own annotations, and no others.
#[derive(Default)]
pub(super) struct Ours(pub(super) Annotations);

impl EntrySink for Ours {
    fn entry<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        if key.starts_with(OURS) {
            if let Some(value) = map.next_value::<Option<String>>()? {
                self.0.insert(key.to_owned(), value);
            }
            return Ok(());
        }
        map.next_value::<IgnoredAny>().map(drop)
    }
}

/// The annotations of a config object that may say something of it.
#[derive(Default)]
pub(super) struct Words(pub(super) Annotations);

impl EntrySink for Words {
    fn entry<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        if key.starts_with(OURS) {
            if let Some(value) = map.next_value::<Option<String>>()? {
                self.0.insert(key.to_owned(), value);
            }
            return Ok(());
        }
        if is_kept(key) {
            let value: Option<Text<'de>> = map.next_value()?;
            if let Some(Text(value)) = value.filter(|value| value.0.len() <= LONGEST_WORD) {
                self.0.insert(key.to_owned(), value.into_owned());
            }
            return Ok(());
        }
        map.next_value::<IgnoredAny>().map(drop)
    }
}

/// Labels, of the few objects that are selected by them here.
#[derive(Default)]
pub(super) struct Labels(pub(super) Annotations);

impl EntrySink for Labels {
    fn entry<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        let value: Option<Text<'de>> = map.next_value()?;
        self.0.insert(
            key.to_owned(),
            value.map_or_else(String::new, |text| text.0.into_owned()),
        );
        Ok(())
    }
}

/// Reads a flag that may be `null`.
pub(super) fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    null_is_default(deserializer)
}
