//! The part of a pod template that can refer to config objects, as the API writes it.
//!
//! Decoding borrows nothing and keeps nothing else of the template. [`hash`] tells whether somebody changed it.

use std::borrow::Cow;

use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de::DeserializeSeed};
use serde_json::value::RawValue;

use crate::annotation;
use crate::annotation::Annotations;
use crate::digest::{TemplateHash, TemplateHasher};
use crate::reloader::marker::{LAST_RELOADED_FROM, is_marker};
use crate::reloader::sha1::Sha1;

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

/// A value that is [`Sha1`] as text; any other is none.
/// Any environment variable, read without a copy of its name.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Variable<'a> {
    #[serde(borrow, default)]
    name: Cow<'a, str>,
    #[serde(default, rename = "value", deserialize_with = "hash_only")]
    marker: Option<Sha1>,
    #[serde(default)]
    value_from: Option<EnvVarSource>,
}

/// Reads variables, and keeps those that can matter. The name of one that cannot is not even copied.
fn telling<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<EnvVar>, D::Error> {
    struct Telling;

    impl<'de> Visitor<'de> for Telling {
        type Value = Vec<EnvVar>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a list of variables or null")
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Vec::new())
        }

        fn visit_none<E>(self) -> Result<Self::Value, E> {
            Ok(Vec::new())
        }

        fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
            deserializer.deserialize_seq(self)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut kept = Vec::new();
            while let Some(variable) = seq.next_element::<Variable<'de>>()? {
                if variable.marker.is_some() || variable.value_from.is_some() {
                    kept.push(EnvVar {
                        name: variable.name.into(),
                        marker: variable.marker,
                        value_from: variable.value_from,
                    });
                }
            }
            Ok(kept)
        }
    }

    deserializer.deserialize_option(Telling)
}

fn hash_only<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Sha1>, D::Error> {
    struct HashOnly;

    impl<'de> Visitor<'de> for HashOnly {
        type Value = Option<Sha1>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a value")
        }

        fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
            Ok(Sha1::parse(text))
        }

        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            Ok(None)
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok(None)
        }
    }

    deserializer.deserialize_any(HashOnly)
}

/// The hash of a pod template as JSON text without what Afresh writes into it: `afresh.dev/config`, and the marks of
/// Reloader. The marks of a template are added to its hash by [`crate::reloader::marks::Stamps::hash`].
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
    Spec,
    Containers,
    Container,
    Env,
    Elsewhere,
}

impl Place {
    fn below(self, key: &str) -> Self {
        match (self, key) {
            (Self::Template, "metadata") => Self::Metadata,
            (Self::Metadata, "annotations") => Self::Annotations,
            (Self::Template, "spec") => Self::Spec,
            (Self::Spec, "containers") => Self::Containers,
            (Self::Container, "env") => Self::Env,
            _ => Self::Elsewhere,
        }
    }

    const fn element(self) -> Self {
        match self {
            Self::Containers => Self::Container,
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
            if self.place == Place::Annotations && [annotation::CONFIG, LAST_RELOADED_FROM].contains(&&*key) {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let place = self.place.below(&key);
            if place == Place::Env {
                self.hasher.env(&key, map.next_value()?).map_err(A::Error::custom)?;
                continue;
            }
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
                place: self.place.element(),
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

impl TemplateHasher {
    /// Takes a container's `env` less Reloader's variables; one that holds nothing else is as if it were not there.
    fn env(&mut self, field: &str, env: &RawValue) -> Result<(), serde_json::Error> {
        let Ok(entries) = serde_json::from_str::<Vec<&RawValue>>(env.get()) else {
            return Ok(()); // null; the API server accepts nothing else
        };
        let marks = |entry: &&RawValue| {
            let variable: Result<Variable<'_>, _> = serde_json::from_str(entry.get());
            variable.is_ok_and(|variable| is_marker(&variable.name, variable.marker))
        };
        let mut others = entries.into_iter().filter(|entry| !marks(entry)).peekable();
        if others.peek().is_none() {
            return Ok(());
        }
        self.token(field.as_bytes());
        self.token(b"[");
        for entry in others {
            let walk = Walk {
                hasher: self,
                place: Place::Elsewhere,
            };
            walk.deserialize(&mut serde_json::Deserializer::from_str(entry.get()))?;
        }
        self.token(b"]");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn of_the_variables_only_those_that_can_matter_are_kept() {
        let hash = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
        let text = format!(
            r#"{{"spec":{{"containers":[{{"name":"a","env":null}},{{"name":"b","env":[
                {{"name":"PLAIN","value":"x"}},{{"name":"NONE"}},{{"name":"HASH","value":"{hash}"}},
                {{"name":"K\u0045Y","valueFrom":{{"configMapKeyRef":{{"name":"web","key":"a"}}}}}}]}}]}}}}"#
        );
        let template: PodTemplate = serde_json::from_str(&text).unwrap();
        let names = |place: usize| -> Vec<&str> {
            let variables = &template.spec.containers[place].env;
            variables.iter().map(|variable| &*variable.name).collect()
        };
        assert_eq!((names(0), names(1)), (vec![], vec!["HASH", "KEY"]));
    }

    #[test]
    fn the_marks_of_reloader_do_not_count() {
        let hash_of = |env: &str, annotations: &str| {
            let text = format!(
                r#"{{"metadata":{{{annotations}}},"spec":{{"containers":[{{"name":"a"{env},"image":"b"}}],"initContainers":[{{"name":"i"}}]}}}}"#
            );
            hash(&text).unwrap()
        };
        let mark = r#"{"name":"STAKATER_WEB_CONFIGMAP","value":"dc30e0faa89a70dec1033016a2309bbeb9efcbd0"}"#;
        let bare = hash_of("", "");
        assert_eq!(bare, hash_of(&format!(r#","env":[{mark}]"#), ""));
        assert_eq!(
            bare,
            hash_of("", r#""annotations":{"reloader.stakater.com/last-reloaded-from":"x"}"#)
        );
        let own = r#"{"name":"OWN","value":"1"}"#;
        let with_own = hash_of(&format!(r#","env":[{own}]"#), "");
        assert_ne!(bare, with_own);
        assert_eq!(with_own, hash_of(&format!(r#","env":[{mark},{own},{mark}]"#), ""));
        for other in [
            r#"{"name":"STAKATER_WEB_CONFIGMAP","value":"by hand"}"#,
            r#"{"name":"X","value":"dc30e0faa89a70dec1033016a2309bbeb9efcbd0"}"#,
        ] {
            assert_ne!(with_own, hash_of(&format!(r#","env":[{own},{other}]"#), ""), "{other}");
        }
    }

    #[test]
    fn a_variable_keeps_no_value_but_a_hash() {
        let read = |value: &str| {
            let text = format!(r#"{{"value":{value},"name":"A"}}"#);
            let variable: Variable<'_> = serde_json::from_str(&text).unwrap();
            variable.marker
        };
        assert!(read(r#""dc30e0faa89a70dec1033016a2309bbeb9efcbd0""#).is_some());
        for other in [
            r#""secret""#,
            "null",
            "1",
            "-1",
            "1.5",
            "true",
            "[1,[2]]",
            r#"{"a":{}}"#,
            "\"\"",
        ] {
            assert!(read(other).is_none(), "{other}");
        }
    }

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
