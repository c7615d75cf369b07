//! Every use of a config object by a container of a pod template.

mod rereading;

use std::fmt;

use serde::Serialize;

use crate::digest::KeyHash;
use crate::name::{ConfigKind, ConfigRef};
use crate::policy::Hot;
use crate::selection::Selection;
use crate::template::{Container, KeyToPath, PodSpec, Volume, VolumeMount};
use rereading::{Rereading, rereadings};

/// The CSI driver whose volumes come from a SecretProviderClass.
const SECRETS_STORE: &str = "secrets-store.csi.k8s.io";

/// One use of a config object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The object.
    pub object: ConfigRef,
    /// Who uses it.
    pub user: User,
    /// How.
    pub via: Via,
    /// Which of its keys.
    pub keys: Keys,
    /// Whether a container can start without it.
    pub optional: bool,
    /// Whether a running container ever sees a change.
    pub freshness: Freshness,
    /// The container of the Afresh agent that rereads these keys for whoever holds the reference.
    pub reread_by: Option<Box<str>>,
}

impl Reference {
    /// Whether a change of it reaches the application once the files are fresh. What is said of the workload counts; where
    /// nothing is said, an Afresh agent in the pod does.
    #[must_use]
    pub fn is_hot(&self, hot: &Hot) -> bool {
        match (&self.user, self.freshness, hot) {
            (User::Container(_), Freshness::Live, Hot::Unsaid) => self.reread_by.is_some(),
            (User::Container(name), Freshness::Live, said) => said.covers(name),
            (User::Container(_) | User::Init(_) | User::Pod, ..) => false,
        }
    }
}

/// Who holds a reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum User {
    /// A container that runs as long as the pod: an ordinary one or a native sidecar.
    Container(Box<str>),
    /// An init container, done before the others start.
    Init(Box<str>),
    /// The pod only: a volume that no container mounts. It matters for starting, never for content.
    Pod,
}

/// How an object is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Via {
    /// `env[].valueFrom`.
    Env {
        /// The variable.
        variable: Box<str>,
    },
    /// `envFrom`.
    EnvFrom,
    /// A mount of a configMap or secret volume.
    Mount {
        /// Where.
        path: Box<str>,
    },
    /// A mount of a projected volume.
    Projected {
        /// Where.
        path: Box<str>,
    },
    /// A mount of one file or folder of a volume.
    SubPath {
        /// Where.
        path: Box<str>,
    },
    /// A volume that no container mounts.
    Unmounted {
        /// The volume's name.
        volume: Box<str>,
    },
}

/// The keys of an object that a reference uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keys {
    /// All of them.
    All,
    /// All of `data`: binary data cannot be in an environment.
    Text,
    /// These.
    Named(Vec<Box<str>>),
    /// None: see [`User::Pod`].
    None,
}

/// Whether the kubelet rewrites a reference in a running pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Freshness {
    /// The kubelet rewrites it.
    Live,
    /// Only a new container sees a change.
    Frozen,
}

impl Keys {
    /// The keys as a selection.
    #[must_use]
    pub fn selection(&self) -> Selection {
        match self {
            Self::All => Selection::all(),
            Self::Text => Selection::text(),
            Self::Named(names) => Selection::keys(names.iter().map(|name| KeyHash::of(name))),
            Self::None => Selection::default(),
        }
    }
}

impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All | Self::Text => f.write_str("all keys"),
            Self::Named(names) if names.len() == 1 => write!(f, "key {}", names.join(", ")),
            Self::Named(names) => write!(f, "keys {}", names.join(", ")),
            Self::None => f.write_str("no key"),
        }
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env { variable } => write!(f, "env {variable}"),
            Self::EnvFrom => f.write_str("envFrom"),
            Self::Mount { path } => write!(f, "mount {path}"),
            Self::Projected { path } => write!(f, "projected mount {path}"),
            Self::SubPath { path } => write!(f, "subPath mount {path}"),
            Self::Unmounted { volume } => write!(f, "volume {volume}, mounted by no container"),
        }
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Container(name) => write!(f, "container {name}"),
            Self::Init(name) => write!(f, "init container {name}"),
            Self::Pod => f.write_str("pod"),
        }
    }
}

/// All references of a pod, in the order of its containers.
///
/// A reference to a name that no object can have is left out: the API server has such a pod wait for ever.
#[must_use]
pub fn references(spec: &PodSpec) -> Vec<Reference> {
    let mut found = Vec::new();
    let pod = Pod {
        spec,
        rereadings: rereadings(spec),
    };
    for container in &spec.containers {
        container_references(container, &User::Container(container.name.clone()), &pod, &mut found);
    }
    for container in &spec.init_containers {
        let name = container.name.clone();
        let user = if container.is_sidecar() {
            User::Container(name)
        } else {
            User::Init(name)
        };
        container_references(container, &user, &pod, &mut found);
    }
    for volume in spec.volumes.iter().filter(|volume| !is_mounted(volume, spec)) {
        for source in sources(volume) {
            let via = Via::Unmounted {
                volume: volume.name.clone(),
            };
            push(&mut found, &source, &User::Pod, via, Keys::None, Freshness::Frozen);
        }
    }
    found
}

/// What a reference of a container is seen within.
struct Pod<'a> {
    spec: &'a PodSpec,
    rereadings: Vec<Rereading<'a>>,
}

fn container_references(container: &Container, user: &User, pod: &Pod<'_>, found: &mut Vec<Reference>) {
    for variable in &container.env {
        let Some(from) = &variable.value_from else { continue };
        let refs = [
            (ConfigKind::ConfigMap, &from.config_map_key_ref),
            (ConfigKind::Secret, &from.secret_key_ref),
        ];
        for (kind, key_ref) in refs
            .into_iter()
            .filter_map(|(kind, key_ref)| Some((kind, key_ref.as_ref()?)))
        {
            let source = Sourced {
                kind,
                name: &key_ref.name,
                items: None,
                optional: key_ref.optional,
            };
            let via = Via::Env {
                variable: variable.name.clone(),
            };
            push(
                found,
                &source,
                user,
                via,
                Keys::Named(vec![key_ref.key.clone()]),
                Freshness::Frozen,
            );
        }
    }
    for from in &container.env_from {
        let refs = [
            (ConfigKind::ConfigMap, &from.config_map_ref),
            (ConfigKind::Secret, &from.secret_ref),
        ];
        for (kind, object) in refs
            .into_iter()
            .filter_map(|(kind, object)| Some((kind, object.as_ref()?)))
        {
            let source = Sourced {
                kind,
                name: &object.name,
                items: None,
                optional: object.optional,
            };
            push(found, &source, user, Via::EnvFrom, Keys::Text, Freshness::Frozen);
        }
    }
    for mount in &container.volume_mounts {
        let Some(volume) = pod.spec.volumes.iter().find(|volume| volume.name == mount.name) else {
            continue;
        };
        mount_references(mount, volume, user, pod, found);
    }
}

fn mount_references(mount: &VolumeMount, volume: &Volume, user: &User, pod: &Pod<'_>, found: &mut Vec<Reference>) {
    let path = mount.mount_path.clone();
    let sub_path = mount.sub_path.as_deref().filter(|sub_path| !sub_path.is_empty());
    let whole = mount.is_whole();
    for source in sources(volume) {
        let via = match (whole, volume.projected.is_some()) {
            (false, _) => Via::SubPath { path: path.clone() },
            (true, false) => Via::Mount { path: path.clone() },
            (true, true) => Via::Projected { path: path.clone() },
        };
        let keys = match sub_path {
            // Files have other names than the secrets they come from.
            _ if source.kind == ConfigKind::SecretProviderClass => Keys::All,
            Some(sub_path) => keys_below(source.items, sub_path),
            None => source.items.map_or(Keys::All, |items| named(items.iter())),
        };
        if keys == Keys::Named(Vec::new()) {
            continue; // a sub path of another source of the same projected volume
        }
        // What an init container read once counts only where nobody keeps reading it.
        let once = matches!(user, User::Init(_)) && !is_kept_mounted(volume, pod.spec);
        let freshness = if whole && !once {
            Freshness::Live
        } else {
            Freshness::Frozen
        };
        let rereading = match (user, freshness) {
            (User::Container(name), Freshness::Live) => {
                let mut all = pod.rereadings.iter();
                all.find(|rereading| rereading.serves(name, &volume.name, source.items))
            }
            _ => None,
        };
        let before = found.len();
        push(found, &source, user, via, keys, freshness);
        for reference in found.iter_mut().skip(before) {
            reference.reread_by = rereading.map(|rereading| rereading.container.into());
        }
    }
}

/// One object behind a volume or a variable.
struct Sourced<'a> {
    kind: ConfigKind,
    name: &'a str,
    items: Option<&'a [KeyToPath]>,
    optional: Option<bool>,
}

fn sources(volume: &Volume) -> Vec<Sourced<'_>> {
    let mut found = Vec::new();
    if let Some(source) = &volume.config_map {
        found.push(sourced(
            ConfigKind::ConfigMap,
            &source.name,
            &source.items,
            source.optional,
        ));
    }
    if let Some(source) = &volume.secret {
        found.push(sourced(
            ConfigKind::Secret,
            &source.secret_name,
            &source.items,
            source.optional,
        ));
    }
    // The driver writes the files itself; without the class a pod waits, but what is known of one says nothing of that.
    let csi = volume.csi.as_ref().filter(|csi| &*csi.driver == SECRETS_STORE);
    if let Some(class) = csi.and_then(|csi| csi.volume_attributes.as_ref()?.secret_provider_class.as_deref()) {
        let optional = Some(true);
        found.push(sourced(ConfigKind::SecretProviderClass, class, &None, optional));
    }
    for source in volume.projected.iter().flat_map(|projected| &projected.sources) {
        if let Some(source) = &source.config_map {
            found.push(sourced(
                ConfigKind::ConfigMap,
                &source.name,
                &source.items,
                source.optional,
            ));
        }
        if let Some(source) = &source.secret {
            found.push(sourced(
                ConfigKind::Secret,
                &source.name,
                &source.items,
                source.optional,
            ));
        }
    }
    found
}

fn sourced<'a>(
    kind: ConfigKind,
    name: &'a str,
    items: &'a Option<Vec<KeyToPath>>,
    optional: Option<bool>,
) -> Sourced<'a> {
    // An empty list of items selects all keys, as the API defines it.
    Sourced {
        kind,
        name,
        items: items.as_deref().filter(|items| !items.is_empty()),
        optional,
    }
}

/// The keys behind a sub path: the file itself, or every file below the folder. Without items a path is a key.
fn keys_below(items: Option<&[KeyToPath]>, sub_path: &str) -> Keys {
    let sub_path = sub_path.trim_end_matches('/');
    match items {
        None => Keys::Named(vec![sub_path.split('/').next().unwrap_or(sub_path).into()]),
        Some(items) => named(items.iter().filter(|item| {
            let rest = item.path.strip_prefix(sub_path);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })),
    }
}

fn named<'a>(items: impl Iterator<Item = &'a KeyToPath>) -> Keys {
    Keys::Named(items.map(|item| item.key.clone()).collect())
}

fn mounts<'a>(
    volume: &'a Volume,
    containers: &'a [Container],
) -> impl Iterator<Item = (&'a Container, &'a VolumeMount)> {
    containers.iter().flat_map(move |container| {
        let mounts = container.volume_mounts.iter().filter(|mount| mount.name == volume.name);
        mounts.map(move |mount| (container, mount))
    })
}

fn is_mounted(volume: &Volume, spec: &PodSpec) -> bool {
    mounts(volume, &spec.containers)
        .chain(mounts(volume, &spec.init_containers))
        .next()
        .is_some()
}

/// Whether a container that stays mounts the whole volume.
fn is_kept_mounted(volume: &Volume, spec: &PodSpec) -> bool {
    let sidecars = mounts(volume, &spec.init_containers).filter(|(container, _)| container.is_sidecar());
    mounts(volume, &spec.containers)
        .chain(sidecars)
        .any(|(_, mount)| mount.is_whole())
}

fn push(found: &mut Vec<Reference>, source: &Sourced<'_>, user: &User, via: Via, keys: Keys, freshness: Freshness) {
    let Ok(name) = source.name.parse() else { return };
    found.push(Reference {
        object: ConfigRef {
            kind: source.kind,
            name,
        },
        user: user.clone(),
        via,
        keys,
        optional: source.optional == Some(true),
        freshness,
        reread_by: None,
    });
}

#[cfg(test)]
mod tests;
