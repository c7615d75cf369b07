//! What Reloader writes into a pod template to replace pods, and how it is read.

use serde::{Deserialize, Serialize};

use crate::name::{ConfigKind, ConfigRef};
use crate::reloader::sha1::Sha1;
use crate::time::UnixSeconds;

/// How the variable of every object begins.
pub const PREFIX: &str = "STAKATER_";
/// The annotation of the `annotations` strategy, on the pod template. No flag changes it.
pub const LAST_RELOADED_FROM: &str = "reloader.stakater.com/last-reloaded-from";

/// The type of an object in a variable's name and in [`LAST_RELOADED_FROM`].
#[must_use]
pub const fn type_word(kind: ConfigKind) -> &'static str {
    match kind {
        ConfigKind::ConfigMap => "CONFIGMAP",
        ConfigKind::Secret => "SECRET",
        ConfigKind::SecretProviderClass => "SECRETPROVIDERCLASS",
    }
}

fn kind_of(word: &str) -> Option<ConfigKind> {
    ConfigKind::ALL.into_iter().find(|&kind| type_word(kind) == word)
}

/// The variable that carries an object's hash: `STAKATER_MY_APP_CONFIGMAP`. Names that differ only in what stands
/// between letters and digits share one.
#[must_use]
pub fn variable(object: &ConfigRef) -> String {
    let mut name = String::from(PREFIX);
    let mut apart = false;
    for byte in object.name.as_str().bytes() {
        if byte.is_ascii_alphanumeric() {
            name.push(char::from(byte.to_ascii_uppercase()));
        } else if apart {
            name.push('_');
        }
        apart = byte.is_ascii_alphanumeric();
    }
    name.push('_');
    name.push_str(type_word(object.kind));
    name
}

/// Whether a variable of this name and value is one that Reloader wrote.
#[must_use]
pub fn is_marker(name: &str, value: Option<Sha1>) -> bool {
    value.is_some() && name.starts_with(PREFIX)
}

/// The value of [`LAST_RELOADED_FROM`]: the object that last caused a reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastReloadedFrom {
    /// The object.
    pub object: ConfigRef,
    /// Its hash then.
    pub hash: Sha1,
    /// When it was observed.
    pub observed_at: UnixSeconds,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    name: &'a str,
    namespace: &'a str,
    hash: String,
    #[serde(default)]
    container_refs: Vec<&'a str>,
    observed_at: i64,
}

impl LastReloadedFrom {
    /// Reads the annotation; `None` if Reloader did not write it so.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let wire: Wire<'_> = serde_json::from_str(text).ok()?;
        Some(Self {
            object: ConfigRef {
                kind: kind_of(wire.kind)?,
                name: wire.name.parse().ok()?,
            },
            hash: Sha1::parse(&wire.hash)?,
            observed_at: UnixSeconds(wire.observed_at),
        })
    }

    /// The annotation's value, its keys in Reloader's order.
    #[must_use]
    pub fn write(&self, namespace: &str, container: &str) -> String {
        let wire = Wire {
            kind: type_word(self.object.kind),
            name: self.object.name.as_str(),
            namespace,
            hash: self.hash.to_string(),
            container_refs: vec![container],
            observed_at: self.observed_at.0,
        };
        // Texts and numbers only: it cannot fail.
        serde_json::to_string(&wire).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("configmap/my.app-cfg", "STAKATER_MY_APP_CFG_CONFIGMAP")]
    #[case("secret/db", "STAKATER_DB_SECRET")]
    #[case("configmap/a--b..c", "STAKATER_A_B_C_CONFIGMAP")]
    #[case("configmap/0-9", "STAKATER_0_9_CONFIGMAP")]
    fn a_variable_is_named_as_reloader_names_it(#[case] object: &str, #[case] expected: &str) {
        assert_eq!(variable(&object.parse().unwrap()), expected);
    }

    #[rstest]
    #[case("configmap/my-app")]
    #[case("configmap/my.app")]
    #[case("configmap/my--app")]
    fn reloader_defect_b9_names_share_a_variable(#[case] object: &str) {
        assert_eq!(variable(&object.parse().unwrap()), "STAKATER_MY_APP_CONFIGMAP");
    }

    #[test]
    fn last_reloaded_from_is_written_as_reloader_writes_it() {
        let last = LastReloadedFrom {
            object: "secret/db".parse().unwrap(),
            hash: Sha1::of([("key", &b"value"[..])]),
            observed_at: UnixSeconds(1_764_000_000),
        };
        let text = last.write("prod", "app");
        assert_eq!(
            text,
            r#"{"type":"SECRET","name":"db","namespace":"prod","hash":"dc30e0faa89a70dec1033016a2309bbeb9efcbd0","containerRefs":["app"],"observedAt":1764000000}"#
        );
        assert_eq!(LastReloadedFrom::parse(&text), Some(last));
    }

    #[rstest]
    #[case("")]
    #[case("prod/secret/db")]
    #[case("{}")]
    #[case(r#"{"type":"POD","name":"db","namespace":"p","hash":"dc30e0faa89a70dec1033016a2309bbeb9efcbd0","observedAt":1}"#)]
    #[case(r#"{"type":"SECRET","name":"DB","namespace":"p","hash":"dc30e0faa89a70dec1033016a2309bbeb9efcbd0","observedAt":1}"#)]
    #[case(r#"{"type":"SECRET","name":"db","namespace":"p","hash":"short","observedAt":1}"#)]
    fn what_reloader_did_not_write_says_nothing(#[case] text: &str) {
        assert_eq!(LastReloadedFrom::parse(text), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = LastReloadedFrom::parse(&text);
        }

        #[test]
        fn nothing_like_the_annotation_panics(kind in "\\PC{0,9}", name in "\\PC{0,9}", hash in "\\PC{0,41}", at: i64) {
            let text = serde_json::json!({
                "type": kind, "name": name, "namespace": "n", "hash": hash, "containerRefs": ["a"], "observedAt": at,
            });
            let _ = LastReloadedFrom::parse(&text.to_string());
        }

        #[test]
        fn a_variable_is_one_for_every_name(name in "[a-z0-9]([-.a-z0-9]{0,20}[a-z0-9])?") {
            if let Ok(name) = name.parse() {
                let variable = variable(&ConfigRef { kind: ConfigKind::Secret, name });
                prop_assert!(variable.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_'));
            }
        }
    }
}
