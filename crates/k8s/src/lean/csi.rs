//! SecretProviderClasses of the secrets-store CSI driver, and what its volumes hold, pod by pod.

use afresh_engine::classes::{Manner, Mount, MountKey};
use afresh_model::annotation::Annotations;
use afresh_model::content::{Content, Entry};
use afresh_model::convention::{Conventions, Marks};
use afresh_model::digest::{EntryHasher, KeyHash};
use afresh_model::name::{ConfigKey, ConfigKind, Name};
use afresh_model::policy::Problem;
use afresh_model::reloader::sha1::Sha1;
use afresh_model::time::UnixSeconds;
use serde::Deserialize;

use super::Watched;
use super::decode::null_is_default;
use super::managed::StatusWritten;
use super::meta::{Kept, names, revision};
use super::undecodable::DecodeError;

const GROUP: &str = "apis/secrets-store.csi.x-k8s.io/v1";

/// A SecretProviderClass by its metadata.
#[derive(Debug)]
pub struct LeanClass {
    /// Its namespace and name.
    pub key: ConfigKey,
    annotations: Annotations,
    resource_version: Box<str>,
}

/// What one pod's volume of a SecretProviderClass holds: a `SecretProviderClassPodStatus`. Versions are hashed.
#[derive(Debug)]
pub struct LeanMount {
    /// Its namespace and name.
    pub key: MountKey,
    /// What it says.
    pub mount: Mount,
    resource_version: Box<str>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ClassWire {
    #[serde(deserialize_with = "null_is_default")]
    metadata: Meta,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct MountWire {
    #[serde(deserialize_with = "null_is_default")]
    metadata: Meta,
    #[serde(deserialize_with = "null_is_default")]
    status: Status,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Meta {
    #[serde(deserialize_with = "null_is_default")]
    namespace: Box<str>,
    #[serde(deserialize_with = "null_is_default")]
    name: Box<str>,
    #[serde(deserialize_with = "null_is_default")]
    resource_version: Box<str>,
    #[serde(deserialize_with = "super::decode::time")]
    creation_timestamp: Option<UnixSeconds>,
    #[serde(deserialize_with = "null_is_default")]
    generation: i64,
    #[serde(deserialize_with = "super::decode::collect")]
    annotations: Kept,
    owner_references: Pods,
    managed_fields: StatusWritten,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    #[serde(deserialize_with = "null_is_default")]
    secret_provider_class_name: Box<str>,
    #[serde(deserialize_with = "null_is_default")]
    objects: Vec<Object>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Object {
    #[serde(deserialize_with = "null_is_default")]
    id: Box<str>,
    #[serde(deserialize_with = "null_is_default")]
    version: Box<str>,
}

/// `ownerReferences`, of which the Pod is kept: the driver does not mark it as the controller.
#[derive(Default)]
struct Pods(Option<Box<str>>);

impl<'de> Deserialize<'de> for Pods {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Owner {
            #[serde(deserialize_with = "null_is_default")]
            kind: Box<str>,
            #[serde(deserialize_with = "null_is_default")]
            uid: Box<str>,
        }
        let owners: Vec<Owner> = null_is_default(deserializer)?;
        let pod = owners.into_iter().find(|owner| &*owner.kind == "Pod");
        Ok(Self(pod.map(|owner| owner.uid)))
    }
}

impl LeanClass {
    /// What it says of itself, and what is wrong with its annotations.
    #[must_use]
    pub fn manner(&self, conventions: &Conventions) -> (Manner, Option<Problem>) {
        let Marks {
            ignored,
            matched,
            problem,
        } = conventions.marks(&self.annotations);
        (Manner { ignored, matched }, problem)
    }
}

impl Watched for LeanClass {
    const KIND: &'static str = "SecretProviderClass";
    const GROUP: &'static str = GROUP;
    const PLURAL: &'static str = "secretproviderclasses";
    const METADATA_ONLY: bool = true;

    fn decode(json: &str) -> Result<Self, DecodeError> {
        let ClassWire { metadata } = serde_json::from_str(json).map_err(|error| DecodeError::json(&error))?;
        let (namespace, name) = names(&metadata.namespace, &metadata.name)?;
        Ok(Self {
            key: key(namespace, name),
            annotations: metadata.annotations.0,
            resource_version: metadata.resource_version,
        })
    }

    fn resource_version(&self) -> &str {
        &self.resource_version
    }
}

impl Watched for LeanMount {
    const KIND: &'static str = "SecretProviderClassPodStatus";
    const GROUP: &'static str = GROUP;
    const PLURAL: &'static str = "secretproviderclasspodstatuses";

    fn decode(json: &str) -> Result<Self, DecodeError> {
        let MountWire { metadata, status } = serde_json::from_str(json).map_err(|error| DecodeError::json(&error))?;
        let (namespace, name) = names(&metadata.namespace, &metadata.name)?;
        let class = key(namespace.clone(), status.secret_provider_class_name.parse()?);
        let entries = status.objects.iter().map(entry).collect();
        let mount = Mount {
            sha1: Some(sha1(&status)),
            class,
            pod: metadata.owner_references.0,
            content: Content::new(entries),
            created: metadata.creation_timestamp,
            written: metadata.managed_fields.0,
            rewritten: metadata.generation > 1,
            revision: revision(&metadata.resource_version),
        };
        Ok(Self {
            key: (namespace, name),
            mount,
            resource_version: metadata.resource_version,
        })
    }

    fn resource_version(&self) -> &str {
        &self.resource_version
    }
}

fn key(namespace: Name, name: Name) -> ConfigKey {
    ConfigKey {
        kind: ConfigKind::SecretProviderClass,
        namespace,
        name,
    }
}

fn entry(object: &Object) -> Entry {
    let mut hasher = EntryHasher::new(&object.id);
    hasher.update(object.version.as_bytes());
    Entry {
        key: KeyHash::of(&object.id),
        digest: hasher.finish().plain(),
        binary: false,
    }
}

/// As Reloader's util.go does it: the name of the class is one line more.
fn sha1(status: &Status) -> Sha1 {
    let objects = status.objects.iter();
    let mut lines: Vec<String> = objects
        .map(|object| format!("{}={}", object.id, object.version))
        .collect();
    lines.push(format!("SecretProviderClassName={}", status.secret_provider_class_name));
    Sha1::of_lines(lines)
}
