//! SecretProviderClasses as config objects, made from what their pods say (`SecretProviderClassPodStatus`).
//!
//! The driver tells per pod which versions its volume holds. A class *is* what the volume holds whose versions were
//! written last: so two classes that rotate at a time do not see each other, pods that lag behind bring nothing back,
//! and neither does the end of the pod that was first.

use std::collections::{BTreeMap, BTreeSet};

use afresh_model::content::Content;
use afresh_model::name::{ConfigKey, ConfigKind, Name};
use afresh_model::object::ConfigObject;
use afresh_model::reloader::sha1::Sha1;
use afresh_model::time::{Revision, UnixSeconds};
use afresh_model::usage::Use;

/// What one pod's volume of a class holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The class.
    pub class: ConfigKey,
    /// The UID of the pod, if it is known.
    pub pod: Option<Box<str>>,
    /// The versions, by the names of the secrets.
    pub content: Content,
    /// Reloader's hash of them.
    pub sha1: Option<Sha1>,
    /// When the volume was mounted.
    pub created: Option<UnixSeconds>,
    /// When its versions were last written.
    pub written: Option<UnixSeconds>,
    /// It was written to after it was made (`metadata.generation` above 1): times have whole seconds, and a rotation may
    /// follow a mount within one.
    pub rewritten: bool,
    /// `metadata.resourceVersion`.
    pub revision: Option<Revision>,
}

impl Mount {
    /// What is newest sorts last.
    const fn age(&self) -> (Option<UnixSeconds>, Option<Revision>) {
        (self.written, self.revision)
    }

    /// It holds what it was mounted with.
    fn is_as_mounted(&self) -> bool {
        // As with `ConfigObject::is_as_made`.
        !self.rewritten && self.written.is_some() && self.written <= self.created
    }
}

/// A mount by the namespace and name of its `SecretProviderClassPodStatus`.
pub type MountKey = (Name, Name);

/// What the class itself says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Manner {
    /// It never triggers anything.
    pub ignored: bool,
    /// It counts for workloads that search (Reloader's `match`).
    pub matched: bool,
}

#[derive(Debug)]
struct Known {
    mount: Mount,
    listed: bool,
}

#[derive(Debug, Default)]
struct Class {
    members: BTreeSet<Name>,
    /// The mount that was written last, also when its pod is gone, as long as others are there.
    newest: Option<Mount>,
    manner: Manner,
    listed: bool,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Classes {
    mounts: BTreeMap<MountKey, Known>,
    classes: BTreeMap<ConfigKey, Class>,
}

impl Classes {
    /// Takes in a mount; returns the classes for which that may be news.
    pub fn apply(&mut self, key: MountKey, mount: Mount) -> Vec<ConfigKey> {
        if let Some(known) = self.mounts.get_mut(&key) {
            known.listed = true;
            if known.mount.revision > mount.revision || known.mount == mount {
                return Vec::new();
            }
        }
        let mut news = self.delete(&key);
        let class = self.classes.entry(mount.class.clone()).or_default();
        class.members.insert(key.1.clone());
        if class.newest.as_ref().is_none_or(|newest| newest.age() <= mount.age()) {
            class.newest = Some(mount.clone());
        }
        news.retain(|other| *other != mount.class);
        news.push(mount.class.clone());
        self.mounts.insert(key, Known { mount, listed: true });
        news
    }

    /// Takes out a mount; returns the class for which that may be news.
    pub fn delete(&mut self, key: &MountKey) -> Vec<ConfigKey> {
        let Some(Known { mount, .. }) = self.mounts.remove(key) else {
            return Vec::new();
        };
        if let Some(class) = self.classes.get_mut(&mount.class) {
            class.members.remove(&key.1);
        }
        vec![mount.class]
    }

    /// Takes in what a class itself says; returns it if that may be news.
    pub fn apply_class(&mut self, key: &ConfigKey, manner: Manner) -> Vec<ConfigKey> {
        let class = self.classes.entry(key.clone()).or_default();
        class.listed = true;
        let before = std::mem::replace(&mut class.manner, manner);
        if before == manner {
            Vec::new()
        } else {
            vec![key.clone()]
        }
    }

    /// A class itself is gone; its mounts may still be there.
    pub fn delete_class(&mut self, key: &ConfigKey) -> Vec<ConfigKey> {
        match self.classes.get_mut(key) {
            Some(class) if class.manner != Manner::default() => {
                class.manner = Manner::default();
                vec![key.clone()]
            }
            _ => Vec::new(),
        }
    }

    /// Mounts are listed anew, in one namespace or all.
    pub fn begin_mounts(&mut self, namespace: Option<&Name>) {
        for (key, known) in &mut self.mounts {
            known.listed &= namespace.is_some_and(|namespace| *namespace != key.0);
        }
    }

    /// All mounts have been listed; returns the classes for which that may be news.
    pub fn end_mounts(&mut self, namespace: Option<&Name>) -> Vec<ConfigKey> {
        let within = |own: &Name| namespace.is_none_or(|namespace| namespace == own);
        let gone = self
            .mounts
            .iter()
            .filter(|(key, known)| within(&key.0) && !known.listed);
        let gone: Vec<MountKey> = gone.map(|(key, _)| key.clone()).collect();
        let mut news: Vec<ConfigKey> = gone.iter().flat_map(|key| self.delete(key)).collect();
        news.sort_unstable();
        news.dedup();
        news
    }

    /// Classes are listed anew, in one namespace or all.
    pub fn begin_classes(&mut self, namespace: Option<&Name>) {
        for (_, class) in within(&mut self.classes, namespace) {
            class.listed = false;
        }
    }

    /// All classes have been listed; returns those for which that may be news.
    pub fn end_classes(&mut self, namespace: Option<&Name>) -> Vec<ConfigKey> {
        let gone = within(&mut self.classes, namespace).filter(|(_, class)| !class.listed);
        let gone: Vec<ConfigKey> = gone.map(|(key, _)| key.clone()).collect();
        gone.iter().flat_map(|key| self.delete_class(key)).collect()
    }

    /// The class as a config object; `None` if no pod mounts it. To be asked for each class that may be news.
    pub fn object(&mut self, key: &ConfigKey) -> Option<ConfigObject> {
        let class = self.classes.get_mut(key)?;
        if class.members.is_empty() {
            class.newest = None;
            if class.manner == Manner::default() {
                self.classes.remove(key);
            }
            return None;
        }
        let newest = class.newest.as_ref()?;
        Some(ConfigObject {
            content: newest.content.clone(),
            immutable: false,
            ignored: class.manner.ignored,
            sha1: newest.sha1,
            matched: class.manner.matched,
            created: newest.created,
            written: newest.written,
            rewritten: newest.rewritten,
            revision: newest.revision,
        })
    }

    /// UIDs of the pods whose volumes of all these classes were mounted with what the classes hold: they started on it.
    #[must_use]
    pub fn born_with(&self, namespace: &Name, uses: &[Use]) -> Vec<Box<str>> {
        let classes = uses.iter().map(|usage| &usage.object);
        let classes = classes.filter(|object| object.kind == ConfigKind::SecretProviderClass);
        let born = classes.filter_map(|class| {
            let key = ConfigKey {
                kind: class.kind,
                namespace: namespace.clone(),
                name: class.name.clone(),
            };
            let class = self.classes.get(&key)?;
            Some(self.born(namespace, class, class.newest.as_ref()?))
        });
        let born = born.reduce(|all, own| all.intersection(&own).copied().collect());
        born.into_iter().flatten().map(Into::into).collect()
    }

    fn born(&self, namespace: &Name, class: &Class, newest: &Mount) -> BTreeSet<&str> {
        let mounts = class.members.iter();
        let mounts = mounts.filter_map(|name| self.mounts.get(&(namespace.clone(), name.clone())));
        mounts
            .map(|known| &known.mount)
            .filter(|mount| mount.is_as_mounted() && mount.content == newest.content)
            .filter_map(|mount| mount.pod.as_deref())
            .collect()
    }
}

fn within<'a>(
    classes: &'a mut BTreeMap<ConfigKey, Class>,
    namespace: Option<&'a Name>,
) -> impl Iterator<Item = (&'a ConfigKey, &'a mut Class)> {
    classes
        .iter_mut()
        .filter(move |(key, _)| namespace.is_none_or(|namespace| *namespace == key.namespace))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fixture::{config_key, content, name};

    fn mount(pod: &str, version: &str, created: i64, written: i64) -> Mount {
        Mount {
            class: config_key("secretproviderclass/db"),
            pod: Some(pod.into()),
            content: content(&[("password", version)]),
            sha1: None,
            created: Some(UnixSeconds(created)),
            written: Some(UnixSeconds(written)),
            rewritten: false,
            revision: Some(Revision(written.unsigned_abs())),
        }
    }

    fn key(pod: &str) -> MountKey {
        (name("prod"), name(pod))
    }

    fn class() -> ConfigKey {
        config_key("secretproviderclass/db")
    }

    fn holds(classes: &mut Classes) -> Option<Content> {
        classes.object(&class()).map(|object| object.content)
    }

    fn version(version: &str) -> Option<Content> {
        Some(content(&[("password", version)]))
    }

    #[test]
    fn a_class_is_what_was_written_last_and_a_pod_that_lags_brings_nothing_back() {
        let mut classes = Classes::default();
        classes.apply(key("a"), mount("a", "1", 10, 10));
        classes.apply(key("b"), mount("b", "1", 11, 11));
        classes.apply(key("a"), mount("a", "2", 10, 50));
        assert_eq!(holds(&mut classes), version("2"));
        classes.delete(&key("a"));
        assert_eq!(
            holds(&mut classes),
            version("2"),
            "the pod that was first is gone, the other lags"
        );
        classes.apply(key("b"), mount("b", "2", 11, 60));
        assert_eq!(holds(&mut classes), version("2"));
        classes.delete(&key("b"));
        assert_eq!(holds(&mut classes), None);
    }

    #[test]
    fn pods_born_with_what_the_class_holds_are_told_from_those_it_was_written_to() {
        let mut classes = Classes::default();
        classes.apply(key("old"), mount("old", "1", 10, 10));
        classes.apply(key("rotated"), mount("rotated", "2", 10, 50));
        classes.apply(key("new"), mount("new", "2", 60, 60));
        let within_the_second = Mount {
            rewritten: true,
            ..mount("at-once", "2", 10, 10)
        };
        classes.apply(key("at-once"), within_the_second);
        let uses = |names: &[&str]| {
            let class = |name: &&str| Use::included(format!("secretproviderclass/{name}").parse().unwrap());
            names.iter().map(class).collect::<Vec<_>>()
        };
        let born = |classes: &Classes, names: &[&str]| classes.born_with(&name("prod"), &uses(names));
        assert_eq!(born(&classes, &["db"]), ["new".into()]);
        assert_eq!(born(&classes, &["db", "not-mounted"]), ["new".into()]);
        let other = Mount {
            class: config_key("secretproviderclass/mq"),
            ..mount("old", "1", 10, 10)
        };
        classes.apply(key("old-mq"), other);
        assert!(born(&classes, &["db", "mq"]).is_empty());
    }

    #[test]
    fn what_a_list_lacks_is_gone_and_what_comes_late_is_left_out() {
        let mut classes = Classes::default();
        classes.apply(key("a"), mount("a", "2", 10, 50));
        assert_eq!(classes.apply(key("a"), mount("a", "1", 10, 40)), []);
        classes.apply(key("b"), mount("b", "2", 10, 60));
        classes.begin_mounts(None);
        classes.apply(key("b"), mount("b", "2", 10, 60));
        assert_eq!(classes.end_mounts(None), [class()]);
        assert_eq!(holds(&mut classes), version("2"));
        classes.begin_mounts(Some(&name("other")));
        assert_eq!(classes.end_mounts(Some(&name("other"))), []);
        classes.begin_mounts(None);
        classes.end_mounts(None);
        assert_eq!(holds(&mut classes), None);
    }

    #[test]
    fn what_the_class_itself_says_comes_and_goes() {
        let mut classes = Classes::default();
        classes.apply(key("a"), mount("a", "1", 10, 10));
        let ignored = Manner {
            ignored: true,
            ..Manner::default()
        };
        assert_eq!(classes.apply_class(&class(), ignored), [class()]);
        assert!(classes.object(&class()).unwrap().ignored);
        assert_eq!(classes.apply_class(&class(), ignored), []);
        classes.begin_classes(None);
        assert_eq!(classes.end_classes(None), [class()]);
        assert!(!classes.object(&class()).unwrap().ignored);
    }

    proptest! {
        #[test]
        fn versions_never_go_back_while_a_pod_is_there(
            steps in prop::collection::vec((0..4usize, 0..3u8, prop::bool::weighted(0.2)), 0..60),
        ) {
            let mut classes = Classes::default();
            let (mut at, mut highest) = (100, 0);
            let mut versions = [None; 4];
            for (pod, ahead, gone) in steps {
                at += 1;
                let own = key(&format!("p{pod}"));
                if gone {
                    versions[pod] = None;
                    classes.delete(&own);
                } else {
                    // A pod may lag, but no pod is ever given what is older than what it has.
                    let next = (highest + usize::from(ahead)).max(versions[pod].unwrap_or(0)).min(highest + 1);
                    versions[pod] = Some(next);
                    highest = highest.max(next);
                    classes.apply(own, mount(&format!("p{pod}"), &next.to_string(), 10, at));
                }
                let wanted = versions.iter().any(Option::is_some).then(|| content(&[("password", &highest.to_string())]));
                prop_assert_eq!(holds(&mut classes), wanted);
                if versions.iter().all(Option::is_none) {
                    highest = 0;
                }
            }
        }
    }
}
