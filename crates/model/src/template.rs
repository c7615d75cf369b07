//! The part of a pod template that can refer to config objects, as the API writes it.
//!
//! Decoding borrows nothing and keeps nothing else of the template. [`hash`] tells whether somebody changed it.

use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de::DeserializeSeed};

use crate::annotation;
use crate::annotation::Annotations;
use crate::digest::{TemplateHash, TemplateHasher};

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
    /// `env`.
    #[serde(deserialize_with = "null_is_default")]
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

/// An environment variable.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct EnvVar {
    /// Its name.
    pub name: Box<str>,
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

/// The hash of a pod template as JSON text, leaving out `metadata.annotations["afresh.dev/config"]`.
///
/// The API server writes the same template as the same text, so equal texts mean nobody changed it. A server upgrade
/// that adds a default changes the hash as well; that costs one look at the pods, never a roll.
///
/// # Errors
/// If the text is not JSON.
pub fn hash(template: &str) -> Result<TemplateHash, serde_json::Error> {
    let mut hasher = TemplateHasher::default();
    let mut deserializer = serde_json::Deserializer::from_str(template);
    Walk {
        hasher: &mut hasher,
        place: Place::Template,
    }
    .deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(hasher.finish())
}

/// How deep the walk is, as far as it matters.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Template,
    Metadata,
    Annotations,
    Elsewhere,
}

impl Place {
    fn below(self, key: &str) -> Self {
        match (self, key) {
            (Self::Template, "metadata") => Self::Metadata,
            (Self::Metadata, "annotations") => Self::Annotations,
            _ => Self::Elsewhere,
        }
    }
}

struct Walk<'a> {
    hasher: &'a mut TemplateHasher,
    place: Place,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        // The annotations' braces are left out, so that none and only ours are the same.
        let braces = self.place != Place::Annotations;
        if braces {
            self.hasher.token(b"{");
        }
        while let Some(key) = map.next_key::<std::borrow::Cow<'_, str>>()? {
            if self.place == Place::Annotations && key == annotation::CONFIG {
                map.next_value::<serde::de::IgnoredAny>()?;
                continue;
            }
            let place = self.place.below(&key);
            if place != Place::Annotations {
                self.hasher.token(key.as_bytes());
            }
            map.next_value_seed(Walk {
                hasher: self.hasher,
                place,
            })?;
        }
        if braces {
            self.hasher.token(b"}");
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        self.hasher.token(b"[");
        while seq
            .next_element_seed(Walk {
                hasher: self.hasher,
                place: Place::Elsewhere,
            })?
            .is_some()
        {}
        self.hasher.token(b"]");
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.hasher.token(b"\"");
        self.hasher.token(text.as_bytes());
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.hasher.token(if value { b"true" } else { b"false" });
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.hasher.token(value.to_string().as_bytes());
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.hasher.token(value.to_string().as_bytes());
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.hasher.token(value.to_string().as_bytes());
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.hasher.token(b"null");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_digest_that_afresh_writes_does_not_count() {
        let without = hash(r#"{"metadata":{"labels":{"a":"b"}},"spec":{}}"#).unwrap();
        let ours =
            hash(r#"{"metadata":{"labels":{"a":"b"},"annotations":{"afresh.dev/config":"x"}},"spec":{}}"#).unwrap();
        let other = hash(r#"{"metadata":{"labels":{"a":"b"},"annotations":{"other":"x"}},"spec":{}}"#).unwrap();
        assert_eq!(without, ours);
        assert_ne!(without, other);
    }

    #[test]
    fn the_same_key_elsewhere_counts() {
        let one = hash(r#"{"spec":{"annotations":{"afresh.dev/config":"x"}}}"#).unwrap();
        let two = hash(r#"{"spec":{"annotations":{"afresh.dev/config":"y"}}}"#).unwrap();
        assert_ne!(one, two);
    }

    #[test]
    fn anything_else_that_changes_counts() {
        let texts = [
            r#"{"spec":{"containers":[{"image":"a"}]}}"#,
            r#"{"spec":{"containers":[{"image":"b"}]}}"#,
            r#"{"spec":{"containers":[{"image":"a"},{}]}}"#,
            r#"{"spec":{"x":1}}"#,
            r#"{"spec":{"x":-1}}"#,
            r#"{"spec":{"x":1.5}}"#,
            r#"{"spec":{"x":"1"}}"#,
            r#"{"spec":{"x":true}}"#,
            r#"{"spec":{"x":null}}"#,
            r#"{"spec":{"x":[]}}"#,
        ];
        let hashes: Vec<_> = texts.iter().map(|text| hash(text).unwrap()).collect();
        for (n, one) in hashes.iter().enumerate() {
            assert!(!hashes[..n].contains(one), "{}", texts[n]);
        }
    }

    #[test]
    fn the_golden_value_never_changes() {
        assert_eq!(
            hash(r#"{"metadata":{"labels":{"a":"b"}},"spec":{}}"#)
                .unwrap()
                .to_string(),
            "016fe87c39f7c595"
        );
    }

    #[test]
    fn null_reads_as_nothing() {
        let template: PodTemplate = serde_json::from_str(
            r#"{"metadata":{"annotations":null},"spec":{"containers":[{"name":"a","env":null}],"volumes":null}}"#,
        )
        .unwrap();
        assert_eq!(template.spec.containers.len(), 1);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = hash(&text);
        }
    }
}
