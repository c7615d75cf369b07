//! References of one workload gathered per object: what a change of which keys would take.

use std::collections::BTreeMap;

use crate::digest::KeyHash;
use crate::name::{ConfigKind, ConfigRef};
use crate::pattern::Pattern;
use crate::policy::{Policy, Referenced, Reload};
use crate::reference::{Freshness, Keys, Reference, User};
use crate::selection::Selection;

/// All that one workload uses of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// The object.
    pub object: ConfigRef,
    /// Keys that only a new container sees.
    pub frozen: Selection,
    /// Keys the kubelet rewrites, read by containers that reread their files.
    pub hot: Selection,
    /// Keys the kubelet rewrites, read by containers that do not.
    pub cold: Selection,
    /// What a new pod needs to start.
    pub needs: Needs,
    /// Whether it counts only while the object says that it is to be found.
    pub only_matched: bool,
}

/// What of an object a new pod needs to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: every reference is optional.
    Nothing,
    /// Not known: only `afresh.dev/include` names the object, so its absence says nothing.
    Unknown,
    /// The object, and these of its keys.
    Object(Box<[KeyHash]>),
}

/// The keys of a use by what their change takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classes {
    /// A change needs new pods.
    pub roll: Selection,
    /// A change needs the files refreshed, no more.
    pub touch: Selection,
    /// A change reaches the process by nothing that the policy allows.
    pub unreachable: Selection,
}

impl Use {
    /// An object that only `afresh.dev/include` names: any change of it needs new pods.
    #[must_use]
    pub fn included(object: ConfigRef) -> Self {
        let none = Selection::default();
        Self {
            object,
            frozen: Selection::all(),
            hot: none.clone(),
            cold: none,
            needs: Needs::Unknown,
            only_matched: false,
        }
    }

    /// The keys by what their change takes. The kubelet stops watching an immutable object, so a mount of one is as
    /// frozen as a variable (KEP-1412).
    #[must_use]
    pub fn classes(&self, mode: Mode, immutable: bool) -> Classes {
        let classes = self.classes_of_any(mode, immutable);
        match self.object.kind {
            // Its driver writes the files anew by itself, and nothing makes it do so sooner.
            ConfigKind::SecretProviderClass => Classes {
                touch: Selection::default(),
                ..classes
            },
            ConfigKind::ConfigMap | ConfigKind::Secret => classes,
        }
    }

    fn classes_of_any(&self, mode: Mode, immutable: bool) -> Classes {
        let none = Selection::default();
        let live = self.hot.union(&self.cold);
        match mode {
            Mode::Touch => Classes {
                roll: none,
                touch: live,
                unreachable: self.frozen.clone(),
            },
            Mode::Roll => Classes {
                roll: self.frozen.union(&live),
                touch: none.clone(),
                unreachable: none,
            },
            Mode::Auto | Mode::Evict if immutable => Classes {
                roll: self.frozen.union(&live),
                touch: none.clone(),
                unreachable: none,
            },
            Mode::Auto | Mode::Evict => Classes {
                roll: self.frozen.union(&self.cold),
                touch: self.hot.clone(),
                unreachable: none,
            },
        }
    }
}

/// [`Reload`] without `off`: how a workload that is kept current is kept so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// The cheapest thing that is enough.
    Auto,
    /// Always roll.
    Roll,
    /// Only refresh mounts.
    Touch,
    /// As `Auto`, but pods are evicted where it would roll.
    Evict,
}

impl Mode {
    /// The mode of a workload; `None` leaves it alone. What has no template cannot be rolled, only touched.
    #[must_use]
    pub const fn of(reload: Reload, can_roll: bool) -> Option<Self> {
        match (reload, can_roll) {
            (Reload::Off, _) => None,
            (_, false) | (Reload::Touch, _) => Some(Self::Touch),
            (Reload::Auto, _) => Some(Self::Auto),
            (Reload::Roll, _) => Some(Self::Roll),
            (Reload::Evict, _) => Some(Self::Evict),
        }
    }

    /// As in the annotation.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Roll => "roll",
            Self::Touch => "touch",
            Self::Evict => "evict",
        }
    }
}

/// Gathers the references of a workload per object, adds what the policy includes by exact name and leaves out what it
/// excludes. Sorted by object. Globs are left to whoever knows which objects there are.
#[must_use]
pub fn uses(references: &[Reference], policy: &Policy) -> Vec<Use> {
    let excluded = |object: &ConfigRef| policy.excludes(object.kind, &object.name);
    let mut by_object: BTreeMap<&ConfigRef, Use> = BTreeMap::new();
    for reference in references.iter().filter(|reference| !excluded(&reference.object)) {
        let ConfigRef { kind, name } = &reference.object;
        let named = policy.names(*kind, name);
        let referenced = policy.referenced(*kind);
        if !named && referenced == Referenced::None {
            continue;
        }
        let usage = by_object.entry(&reference.object).or_insert_with(|| empty(reference));
        add(usage, reference, policy);
        if named {
            usage.frozen = Selection::all(); // whoever names an object means all of it
        }
        usage.only_matched = !named && referenced == Referenced::Matching;
    }
    for pattern in &policy.include {
        let Pattern::Exact(object) = pattern else { continue };
        if excluded(object) {
            continue;
        }
        let included = Use::included(object.clone());
        let usage = by_object.entry(object).or_insert_with(|| included.clone());
        usage.frozen = Selection::all();
    }
    by_object.into_values().collect()
}

fn empty(reference: &Reference) -> Use {
    let none = Selection::default();
    Use {
        object: reference.object.clone(),
        frozen: none.clone(),
        hot: none.clone(),
        cold: none,
        needs: match reference.object.kind {
            // It is known only once a pod has mounted it.
            ConfigKind::SecretProviderClass => Needs::Unknown,
            ConfigKind::ConfigMap | ConfigKind::Secret => Needs::Nothing,
        },
        only_matched: false,
    }
}

fn add(usage: &mut Use, reference: &Reference, policy: &Policy) {
    let keys = reference.keys.selection();
    match (reference.freshness, &reference.user) {
        (Freshness::Frozen, _) => usage.frozen = usage.frozen.union(&keys),
        // It read the volume once; the containers that stay decide what a change takes.
        (Freshness::Live, User::Init(_) | User::Pod) => {}
        (Freshness::Live, User::Container(_)) if reference.is_hot(&policy.hot) => usage.hot = usage.hot.union(&keys),
        (Freshness::Live, User::Container(_)) => usage.cold = usage.cold.union(&keys),
    }
    if !reference.optional {
        let named = match &reference.keys {
            Keys::Named(names) => names.iter().map(|name| KeyHash::of(name)).collect(),
            Keys::All | Keys::Text | Keys::None => Vec::new(),
        };
        let known = match &usage.needs {
            Needs::Nothing | Needs::Unknown => Vec::new(),
            Needs::Object(keys) => keys.to_vec(),
        };
        let mut all = [known, named].concat();
        all.sort_unstable();
        all.dedup();
        usage.needs = Needs::Object(all.into());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::annotation::Annotations;
    use crate::content::{Content, Entry};
    use crate::digest::EntryHasher;
    use crate::object::{ConfigObject, Lack};
    use crate::reference::references;
    use crate::template::PodTemplate;

    fn gathered(spec: &Value, annotations: &[(&str, &str)]) -> Vec<Use> {
        let template: PodTemplate = serde_json::from_value(json!({ "spec": spec })).unwrap();
        let annotations: Annotations = annotations
            .iter()
            .map(|&(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        uses(
            &references(&template.spec),
            &Policy::parse(&annotations, &Annotations::new()).0,
        )
    }

    fn mounted_and_env() -> Value {
        json!({"containers": [
            {"name": "app", "env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "web", "key": "a"}}}],
             "volumeMounts": [{"name": "c", "mountPath": "/c"}]},
            {"name": "side", "volumeMounts": [{"name": "c", "mountPath": "/c"}]}],
            "volumes": [{"name": "c", "configMap": {"name": "web"}}]})
    }

    fn key(name: &str) -> Selection {
        Selection::keys([KeyHash::of(name)])
    }

    #[test]
    fn env_is_frozen_and_a_mount_is_cold_until_someone_says_hot() {
        let usage = gathered(&mounted_and_env(), &[]).remove(0);
        assert_eq!(
            (usage.frozen, usage.hot, usage.cold),
            (key("a"), Selection::default(), Selection::all())
        );
        let usage = gathered(&mounted_and_env(), &[("afresh.dev/hot", "true")]).remove(0);
        assert_eq!(
            (usage.frozen, usage.hot, usage.cold),
            (key("a"), Selection::all(), Selection::default())
        );
    }

    #[test]
    fn one_container_that_does_not_reread_makes_its_keys_cold() {
        let usage = gathered(&mounted_and_env(), &[("afresh.dev/hot", "app")]).remove(0);
        assert_eq!(
            (usage.hot.clone(), usage.cold.clone()),
            (Selection::all(), Selection::all())
        );
        let classes = usage.classes(Mode::Auto, false);
        assert_eq!(classes.roll, Selection::all());
    }

    #[test]
    fn the_mode_decides_what_a_change_takes() {
        let usage = gathered(&mounted_and_env(), &[("afresh.dev/hot", "true")]).remove(0);
        let none = Selection::default;
        let classes = |mode, immutable| {
            let Classes {
                roll,
                touch,
                unreachable,
            } = usage.classes(mode, immutable);
            (roll, touch, unreachable)
        };
        assert_eq!(classes(Mode::Auto, false), (key("a"), Selection::all(), none()));
        assert_eq!(classes(Mode::Auto, true), (Selection::all(), none(), none()));
        assert_eq!(classes(Mode::Roll, false), (Selection::all(), none(), none()));
        assert_eq!(classes(Mode::Touch, false), (none(), Selection::all(), key("a")));
    }

    #[test]
    fn include_adds_and_exclude_wins() {
        let spec = mounted_and_env();
        let names = |annotations: &[(&str, &str)]| -> Vec<String> {
            gathered(&spec, annotations)
                .iter()
                .map(|usage| usage.object.to_string())
                .collect()
        };
        assert_eq!(
            names(&[("afresh.dev/include", "secret/x, configmap/b")]),
            ["configmap/b", "configmap/web", "secret/x"]
        );
        assert_eq!(
            names(&[("afresh.dev/include", "secret/x"), ("afresh.dev/exclude", "*/x")]),
            ["configmap/web", "secret/x"]
        );
        assert_eq!(
            names(&[
                ("afresh.dev/include", "secret/x"),
                ("afresh.dev/exclude", "secret/*, configmap/w?b")
            ]),
            [""; 0]
        );
    }

    #[test]
    fn an_included_object_is_not_needed_to_start() {
        let usage = gathered(
            &json!({"containers": [{"name": "app"}]}),
            &[("afresh.dev/include", "configmap/b")],
        )
        .remove(0);
        assert_eq!(usage.needs, Needs::Unknown);
        assert_eq!(usage.classes(Mode::Auto, false).roll, Selection::all());
    }

    #[test]
    fn what_a_new_pod_needs_is_every_key_that_is_not_optional() {
        let entry = |key: &str| Entry {
            key: KeyHash::of(key),
            digest: EntryHasher::new(key).finish().plain(),
            binary: false,
        };
        let object = |keys: &[&str]| ConfigObject {
            content: Content::new(keys.iter().map(|key| entry(key)).collect()),
            immutable: false,
            ignored: false,
            sha1: None,
            matched: false,
            created: None,
            written: None,
            rewritten: false,
            revision: None,
        };
        let needs = gathered(&mounted_and_env(), &[]).remove(0).needs;
        assert_eq!(needs.lack(None), Some(Lack::Object));
        assert_eq!(needs.lack(Some(&object(&["b"]))), Some(Lack::Key));
        assert_eq!(needs.lack(Some(&object(&["a"]))), None);
        assert_eq!(Needs::Nothing.lack(None), None);
    }
}
