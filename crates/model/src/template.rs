//! The part of a pod template that can refer to config objects, as the API writes it.
//!
//! Decoding borrows nothing and keeps nothing else of the template. [`hash`] tells whether somebody changed it.

mod agent;
mod hash;
mod variables;

use serde::Deserialize;
use serde::de::Deserializer;

use crate::annotation::Annotations;
use crate::reloader::sha1::Sha1;
pub use agent::{Agent, Reach};
pub use hash::hash;
use variables::telling;

/// A `PodTemplateSpec`, or a Pod read as one.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct PodTemplate {
    /// `metadata`.
    #[serde(deserialize_with = "null_is_default")]
    pub metadata: TemplateMeta,
    /// `spec`.
    #[serde(deserialize_with = "null_is_default")]
    pub spec: PodSpec,
}

/// `metadata` of a pod template.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct TemplateMeta {
    /// `metadata.annotations`.
    #[serde(deserialize_with = "null_is_default")]
    pub annotations: Annotations,
}

/// `spec` of a pod template.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodSpec {
    /// The containers.
    #[serde(deserialize_with = "null_is_default")]
    pub containers: Vec<Container>,
    /// The init containers, native sidecars among them.
    #[serde(deserialize_with = "null_is_default")]
    pub init_containers: Vec<Container>,
    /// The volumes.
    #[serde(deserialize_with = "null_is_default")]
    pub volumes: Vec<Volume>,
}

/// A container.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Container {
    /// Its name.
    pub name: Box<str>,
    /// `command`, where it is that of an Afresh agent.
    #[serde(deserialize_with = "agent::program")]
    command: Box<[Box<str>]>,
    /// `args`, as far as an agent's own flags go.
    #[serde(deserialize_with = "agent::arguments")]
    args: Box<[Box<str>]>,
    /// `env`.
    #[serde(deserialize_with = "telling")]
    pub env: Vec<EnvVar>,
    /// `envFrom`.
    #[serde(deserialize_with = "null_is_default")]
    pub env_from: Vec<EnvFrom>,
    /// `volumeMounts`.
    #[serde(deserialize_with = "null_is_default")]
    pub volume_mounts: Vec<VolumeMount>,
    /// `Always` on an init container makes it a native sidecar (KEP-753).
    pub restart_policy: Option<Box<str>>,
}

impl Container {
    /// Whether it is a native sidecar, if it is an init container.
    #[must_use]
    pub fn is_sidecar(&self) -> bool {
        self.restart_policy.as_deref() == Some("Always")
    }
}

/// An environment variable that takes its value from somewhere or may be one of Reloader's marks. There are many others, of
/// which nothing is kept.
#[derive(Debug, Clone, Default)]
pub struct EnvVar {
    /// Its name.
    pub name: Box<str>,
    /// Its value, where that is a hash as Reloader writes them; all other values are forgotten at once.
    pub marker: Option<Sha1>,
    /// Where its value comes from.
    pub value_from: Option<EnvVarSource>,
}

/// `valueFrom` of an environment variable.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct EnvVarSource {
    /// A ConfigMap's key.
    pub config_map_key_ref: Option<KeyRef>,
    /// A Secret's key.
    pub secret_key_ref: Option<KeyRef>,
}

/// One key of an object.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct KeyRef {
    /// The object.
    pub name: Box<str>,
    /// The key.
    pub key: Box<str>,
    /// Whether a container may start without it.
    pub optional: Option<bool>,
}

/// One entry of `envFrom`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct EnvFrom {
    /// A ConfigMap.
    pub config_map_ref: Option<ObjectRef>,
    /// A Secret.
    pub secret_ref: Option<ObjectRef>,
}

/// A whole object.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ObjectRef {
    /// The object.
    pub name: Box<str>,
    /// Whether a container may start without it.
    pub optional: Option<bool>,
}

/// A volume mount of a container.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct VolumeMount {
    /// The volume.
    pub name: Box<str>,
    /// Where the container sees it.
    pub mount_path: Box<str>,
    /// A file or folder within the volume.
    pub sub_path: Option<Box<str>>,
    /// The same with `$(VARIABLE)`s in it.
    pub sub_path_expr: Option<Box<str>>,
}

impl VolumeMount {
    /// Whether the container sees the whole volume, and not a part of it.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let empty = |path: &Option<Box<str>>| path.as_deref().is_none_or(str::is_empty);
        empty(&self.sub_path) && empty(&self.sub_path_expr)
    }
}

/// A volume.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Volume {
    /// Its name.
    pub name: Box<str>,
    /// Of a ConfigMap.
    pub config_map: Option<Source>,
    /// Of a Secret.
    pub secret: Option<SecretSource>,
    /// Of several sources.
    pub projected: Option<Projected>,
    /// Of a CSI driver.
    pub csi: Option<Csi>,
}

/// A volume of a CSI driver.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Csi {
    /// The driver.
    pub driver: Box<str>,
    /// What the driver is told.
    pub volume_attributes: Option<CsiAttributes>,
}

/// `volumeAttributes` of a CSI volume, of which one matters.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CsiAttributes {
    /// Where the secrets-store CSI driver takes the files from.
    pub secret_provider_class: Option<Box<str>>,
}

/// A ConfigMap as a volume, or an object as a projected source.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Source {
    /// The object.
    pub name: Box<str>,
    /// Only these keys.
    pub items: Option<Vec<KeyToPath>>,
    /// Whether a pod may start without it.
    pub optional: Option<bool>,
}

/// A Secret as a volume.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SecretSource {
    /// The Secret.
    pub secret_name: Box<str>,
    /// Only these keys.
    pub items: Option<Vec<KeyToPath>>,
    /// Whether a pod may start without it.
    pub optional: Option<bool>,
}

/// One key and its path in the volume.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct KeyToPath {
    /// The key.
    pub key: Box<str>,
    /// Its path in the volume.
    pub path: Box<str>,
}

/// A projected volume.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Projected {
    /// Its sources.
    #[serde(deserialize_with = "null_is_default")]
    pub sources: Vec<ProjectedSource>,
}

/// One source of a projected volume.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ProjectedSource {
    /// A ConfigMap.
    pub config_map: Option<Source>,
    /// A Secret.
    pub secret: Option<Source>,
}

/// Custom resources may carry `null` where built-in kinds leave a field out.
fn null_is_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests;
