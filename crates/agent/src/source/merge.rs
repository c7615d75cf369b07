//! From what is known of all sources to one flat set of files.

use std::collections::{BTreeMap, BTreeSet};

use afresh_k8s::content::ObjectContent;
use afresh_model::name::ConfigKind;
use afresh_volume::{File, Files};

/// The mode of a Secret's files: for the owner, and for the group that `fsGroup` gives to a volume.
const SECRET_MODE: u32 = 0o440;

/// A key that two objects hold.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Collision {
    pub(super) key: String,
    /// Whose value is used.
    pub(super) used: String,
    /// Whose is not.
    pub(super) hidden: String,
}

/// The files of all objects, in the order of the sources: of two that hold the same key the later one wins.
pub(super) fn merge<'a>(objects: impl IntoIterator<Item = &'a ObjectContent>) -> (Files, BTreeSet<Collision>) {
    let mut files = Files::new();
    let mut holders: BTreeMap<&str, &ObjectContent> = BTreeMap::new();
    let mut collisions = BTreeSet::new();
    for object in objects {
        for (key, bytes) in &object.entries {
            let earlier = holders.insert(key, object);
            // The same object may be named and selected.
            if let Some(earlier) = earlier.filter(|earlier| earlier.key != object.key) {
                collisions.insert(Collision {
                    key: key.clone(),
                    used: object.key.to_string(),
                    hidden: earlier.key.to_string(),
                });
            }
            let mode = match object.key.kind {
                ConfigKind::Secret => SECRET_MODE,
                ConfigKind::ConfigMap | ConfigKind::SecretProviderClass => File::DEFAULT_MODE,
            };
            let bytes = bytes.clone();
            files.insert(key.clone(), File { bytes, mode });
        }
    }
    (files, collisions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::seen::tests::{config_map, secret};

    #[test]
    fn keys_lie_flat_and_those_of_a_secret_are_not_for_everybody() {
        let (one, two) = (
            config_map("prod", "a", &[("x", "1")]),
            secret("prod", "b", &[("y", "2")]),
        );
        let (files, collisions) = merge([&one, &two]);
        let shown: Vec<_> = files
            .iter()
            .map(|(key, file)| (key.as_str(), file.bytes.as_slice(), file.mode))
            .collect();
        assert_eq!(shown, [("x", b"1".as_slice(), 0o644), ("y", b"2".as_slice(), 0o440)]);
        assert!(collisions.is_empty());
    }

    #[test]
    fn of_the_same_key_the_later_one_wins_and_both_are_named() {
        let (one, two) = (
            secret("prod", "a", &[("x", "1")]),
            config_map("other", "b", &[("x", "2")]),
        );
        let (files, collisions) = merge([&one, &two]);
        assert_eq!((files["x"].bytes.as_slice(), files["x"].mode), (b"2".as_slice(), 0o644));
        let collision = Collision {
            key: "x".to_owned(),
            used: "configmap/other/b".to_owned(),
            hidden: "secret/prod/a".to_owned(),
        };
        assert_eq!(collisions, BTreeSet::from([collision]));
    }

    #[test]
    fn an_object_that_is_named_and_selected_collides_with_nothing() {
        let one = config_map("prod", "a", &[("x", "1")]);
        assert!(merge([&one, &one]).1.is_empty());
    }
}
