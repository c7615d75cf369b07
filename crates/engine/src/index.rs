//! Which workloads use which config objects: derived facts, kept by apply, delete and relist.
//!
//! After any order of events the index equals one built from scratch from what there is (a property test holds it to
//! that). Nobody's objects cost a name and digests; nothing here knows of time, leadership or actions.

use std::collections::btree_map::Entry as MapEntry;
use std::collections::{BTreeMap, BTreeSet};

use afresh_model::name::{ConfigKey, ConfigKind, ConfigRef, Name, WorkloadKey, WorkloadKind};
use afresh_model::object::ConfigObject;
use afresh_model::workload::Workload;

use crate::kept::Kept;
use crate::names::Names;
use crate::plan::Objects;
use crate::sight::{Sight, Sighting, Tracked};

/// A workload's place in the index. Places are used again after a workload is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkloadId(u32);

impl WorkloadId {
    /// The place as a number, to keep something beside the index.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// One watch: a kind, and one namespace if it does not watch them all.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Source {
    /// What it watches.
    pub kind: SourceKind,
    /// Where; `None` is everywhere.
    pub namespace: Option<Name>,
}

/// What a watch watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SourceKind {
    /// Config objects of a kind.
    Config(ConfigKind),
    /// What SecretProviderClasses themselves say; see [`crate::classes`].
    Classes,
    /// What pods say of their volumes of SecretProviderClasses; see [`crate::classes`].
    Mounts,
    /// Workloads of a kind.
    Workload(WorkloadKind),
    /// Namespaces; they are no part of the index.
    Namespaces,
}

impl SourceKind {
    /// The kind of workload, if it watches workloads.
    #[must_use]
    pub const fn workload(self) -> Option<WorkloadKind> {
        match self {
            Self::Workload(kind) => Some(kind),
            Self::Config(_) | Self::Classes | Self::Mounts | Self::Namespaces => None,
        }
    }
}

/// A workload in the index.
#[derive(Debug, Clone)]
pub struct Indexed {
    /// Its key.
    pub key: WorkloadKey,
    /// What is kept of it.
    pub workload: Workload,
    /// When its parts last changed.
    pub sighting: Sighting,
    listed: bool,
}

/// What became of a workload that was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// It is new, or another one under an old name.
    New(WorkloadId),
    /// What matters of it changed.
    Changed(WorkloadId),
    /// Nothing that matters changed.
    Same(WorkloadId),
    /// It is older than what is known.
    Outdated,
}

#[derive(Debug, Default)]
struct Entry {
    kept: Option<Kept>,
    users: Users,
    listed: bool,
}

/// The workloads that refer to an object: mostly one.
#[derive(Debug, Default)]
enum Users {
    #[default]
    None,
    One(WorkloadId),
    Many(Box<[WorkloadId]>),
}

impl Users {
    fn as_slice(&self) -> &[WorkloadId] {
        match self {
            Self::None => &[],
            Self::One(id) => std::slice::from_ref(id),
            Self::Many(ids) => ids,
        }
    }
}

impl FromIterator<WorkloadId> for Users {
    fn from_iter<I: IntoIterator<Item = WorkloadId>>(ids: I) -> Self {
        let ids: Vec<WorkloadId> = ids.into_iter().collect();
        match ids[..] {
            [] => Self::None,
            [id] => Self::One(id),
            _ => Self::Many(ids.into()),
        }
    }
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Index {
    objects: BTreeMap<ConfigKey, Entry>,
    workloads: Vec<Option<Box<Indexed>>>,
    free: Vec<WorkloadId>,
    ids: BTreeMap<WorkloadKey, WorkloadId>,
    globbers: BTreeMap<Name, BTreeSet<WorkloadId>>,
    names: Names,
}

impl Index {
    /// Takes in a config object; returns the workloads for which that is news.
    pub fn apply_object(&mut self, key: &ConfigKey, object: ConfigObject, sight: Sight) -> Vec<WorkloadId> {
        let entry = match self.objects.entry(key.clone()) {
            MapEntry::Occupied(known) => known.into_mut(),
            MapEntry::Vacant(_) => {
                let key = shared(&mut self.names, key);
                self.objects.entry(key).or_default()
            }
        };
        entry.listed = true;
        let known = entry.kept.as_ref().map(Kept::tracked);
        let next = match &known {
            Some(known) if sight == Sight::Live && known.object.revision > object.revision => return Vec::new(),
            Some(known) => known.next(object, sight),
            None => Tracked::first(object, sight),
        };
        let news = known.is_none_or(|known| {
            let (old, new) = (&known.object, &next.object);
            (old.immutable, old.ignored, old.matched) != (new.immutable, new.ignored, new.matched)
                || old.content != new.content
        });
        entry.kept = Some(Kept::new(&next));
        if news { self.users(key) } else { Vec::new() }
    }

    /// Takes out a config object; returns the workloads for which that is news.
    pub fn delete_object(&mut self, key: &ConfigKey) -> Vec<WorkloadId> {
        let users = self.users(key);
        let Some(entry) = self.objects.get_mut(key) else {
            return Vec::new();
        };
        if entry.kept.take().is_none() {
            return Vec::new();
        }
        if entry.users.as_slice().is_empty() {
            self.objects.remove(key);
        }
        users
    }

    /// Takes in a workload.
    pub fn apply_workload(&mut self, key: WorkloadKey, mut workload: Workload, sight: Sight) -> Applied {
        self.share_names(&mut workload);
        let Some(&id) = self.ids.get(&key) else {
            return Applied::New(self.insert(key, workload, sight));
        };
        if self.workload(id).is_none_or(|known| known.workload.uid != workload.uid) {
            self.delete_workload(&key);
            return Applied::New(self.insert(key, workload, sight));
        }
        let Some(known) = self.workloads.get_mut(id.index()).and_then(Option::as_mut) else {
            return Applied::Outdated;
        };
        if sight == Sight::Live && known.workload.revision > workload.revision {
            return Applied::Outdated;
        }
        known.listed = true;
        known.sighting = known.sighting.next(&known.workload, &workload, sight);
        let before = std::mem::replace(&mut known.workload, workload);
        let after = &known.workload;
        let same = before.uses_alike(after)
            && (
                before.mode,
                before.settle,
                &before.record,
                before.template,
                before.rollout,
                &before.pause,
            ) == (
                after.mode,
                after.settle,
                &after.record,
                after.template,
                after.rollout,
                &after.pause,
            );
        if before.uses_alike(after) {
            return if same { Applied::Same(id) } else { Applied::Changed(id) };
        }
        self.unlink(id, &key.namespace, &before);
        self.link(id);
        Applied::Changed(id)
    }

    /// Takes out a workload, or one that is no longer to be kept current.
    pub fn delete_workload(&mut self, key: &WorkloadKey) -> Option<WorkloadId> {
        let id = self.ids.remove(key)?;
        let gone = self.workloads.get_mut(id.index()).and_then(Option::take)?;
        self.unlink(id, &key.namespace, &gone.workload);
        self.free.push(id);
        Some(id)
    }

    /// A watch begins to list anew: whatever it does not list until [`Self::end_list`] is gone.
    pub fn begin_list(&mut self, source: &Source) {
        let within = |namespace: &Name| source.namespace.as_ref().is_none_or(|own| own == namespace);
        match source.kind {
            SourceKind::Config(kind) => {
                for (key, entry) in &mut self.objects {
                    entry.listed &= !(key.kind == kind && within(&key.namespace));
                }
            }
            SourceKind::Workload(kind) => {
                for known in self.workloads.iter_mut().flatten() {
                    known.listed &= !(known.key.kind == kind && within(&known.key.namespace));
                }
            }
            SourceKind::Classes | SourceKind::Mounts | SourceKind::Namespaces => {}
        }
    }

    /// A listed thing cannot be read: what is known of it stands.
    pub fn keep(&mut self, kind: SourceKind, namespace: &Name, name: &Name) {
        let (namespace, name) = (namespace.clone(), name.clone());
        match kind {
            SourceKind::Config(kind) => {
                if let Some(entry) = self.objects.get_mut(&ConfigKey { kind, namespace, name }) {
                    entry.listed = true;
                }
            }
            SourceKind::Workload(kind) => {
                let id = self.ids.get(&WorkloadKey { kind, namespace, name }).copied();
                if let Some(known) = id.and_then(|id| self.workloads.get_mut(id.index())?.as_mut()) {
                    known.listed = true;
                }
            }
            SourceKind::Classes | SourceKind::Mounts | SourceKind::Namespaces => {}
        }
    }

    /// A watch has listed everything; returns the workloads for which something gone is news, and those gone.
    pub fn end_list(&mut self, source: &Source) -> (Vec<WorkloadId>, Vec<WorkloadId>) {
        let gone = self.remove_unlisted(source);
        self.pack();
        gone
    }

    /// Fills the nodes of the maps: a list comes sorted, and what is inserted so leaves them half empty.
    fn pack(&mut self) {
        self.objects = std::mem::take(&mut self.objects).into_iter().collect();
        self.ids = std::mem::take(&mut self.ids).into_iter().collect();
        self.workloads.shrink_to_fit();
        self.names.tidy();
    }

    fn share_names(&mut self, workload: &mut Workload) {
        for usage in &mut workload.uses {
            usage.object.name = self.names.share(&usage.object.name);
        }
        if let Some(record) = &mut workload.record {
            record.applied.share_names(|name| self.names.share(name));
        }
    }

    fn remove_unlisted(&mut self, source: &Source) -> (Vec<WorkloadId>, Vec<WorkloadId>) {
        let within = |namespace: &Name| source.namespace.as_ref().is_none_or(|own| own == namespace);
        match source.kind {
            SourceKind::Config(kind) => {
                let gone = self.objects.iter().filter(|(key, entry)| {
                    key.kind == kind && within(&key.namespace) && entry.kept.is_some() && !entry.listed
                });
                let gone: Vec<ConfigKey> = gone.map(|(key, _)| key.clone()).collect();
                (
                    gone.iter().flat_map(|key| self.delete_object(key)).collect(),
                    Vec::new(),
                )
            }
            SourceKind::Workload(kind) => {
                let gone = self
                    .workloads
                    .iter()
                    .flatten()
                    .filter(|known| known.key.kind == kind && within(&known.key.namespace) && !known.listed);
                let gone: Vec<WorkloadKey> = gone.map(|known| known.key.clone()).collect();
                (
                    Vec::new(),
                    gone.iter().filter_map(|key| self.delete_workload(key)).collect(),
                )
            }
            SourceKind::Classes | SourceKind::Mounts | SourceKind::Namespaces => (Vec::new(), Vec::new()),
        }
    }

    /// The workload at a place.
    #[must_use]
    pub fn workload(&self, id: WorkloadId) -> Option<&Indexed> {
        self.workloads.get(id.index())?.as_deref()
    }

    /// The place of a workload.
    #[must_use]
    pub fn id(&self, key: &WorkloadKey) -> Option<WorkloadId> {
        self.ids.get(key).copied()
    }

    /// All workloads, sorted by key.
    pub fn workloads(&self) -> impl Iterator<Item = (WorkloadId, &Indexed)> {
        self.ids.values().filter_map(|&id| Some((id, self.workload(id)?)))
    }

    /// All config objects that exist, sorted by key.
    pub fn objects(&self) -> impl Iterator<Item = (&ConfigKey, Tracked)> {
        self.objects
            .iter()
            .filter_map(|(key, entry)| Some((key, entry.kept.as_ref()?.tracked())))
    }

    /// A config object, if it exists.
    #[must_use]
    pub fn object(&self, key: &ConfigKey) -> Option<ConfigObject> {
        let kept = self.objects.get(key)?.kept.as_ref()?;
        Some(kept.tracked().object)
    }

    /// How many config objects of a kind there are.
    #[must_use]
    pub fn object_count(&self, kind: ConfigKind) -> usize {
        let known = self.objects.iter();
        known
            .filter(|(key, entry)| key.kind == kind && entry.kept.is_some())
            .count()
    }

    /// The workloads that use an object, by reference or by glob.
    #[must_use]
    pub fn users(&self, key: &ConfigKey) -> Vec<WorkloadId> {
        let named = self.objects.get(key).map_or(&[][..], |entry| entry.users.as_slice());
        let mut all = named.to_vec();
        let globbers = self.globbers.get(&key.namespace).into_iter().flatten();
        all.extend(globbers.filter(|&&id| {
            self.workload(id)
                .is_some_and(|known| known.workload.includes(key.kind, &key.name))
        }));
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The objects of one namespace, for [`crate::plan::plan`].
    #[must_use]
    pub fn within<'a>(&'a self, namespace: &'a Name) -> Within<'a> {
        Within { index: self, namespace }
    }

    fn insert(&mut self, key: WorkloadKey, workload: Workload, sight: Sight) -> WorkloadId {
        let sighting = Sighting::first(&workload, sight);
        let WorkloadKey { kind, namespace, name } = key;
        let key = WorkloadKey {
            kind,
            namespace: self.names.share(&namespace),
            name: self.names.share(&name),
        };
        let id = self.free.pop().unwrap_or_else(|| {
            self.workloads.push(None);
            WorkloadId(u32::try_from(self.workloads.len() - 1).unwrap_or(u32::MAX))
        });
        self.ids.insert(key.clone(), id);
        if let Some(place) = self.workloads.get_mut(id.index()) {
            *place = Some(Box::new(Indexed {
                key,
                workload,
                sighting,
                listed: true,
            }));
        }
        self.link(id);
        id
    }

    fn link(&mut self, id: WorkloadId) {
        let Some(known) = self.workloads.get(id.index()).and_then(Option::as_deref) else {
            return;
        };
        let namespace = &known.key.namespace;
        for usage in &known.workload.uses {
            let entry = self.objects.entry(absolute(namespace, &usage.object)).or_default();
            let users = entry.users.as_slice();
            if !users.contains(&id) {
                entry.users = users.iter().copied().chain([id]).collect();
            }
        }
        if !known.workload.include.is_empty() {
            self.globbers.entry(namespace.clone()).or_default().insert(id);
        }
    }

    fn unlink(&mut self, id: WorkloadId, namespace: &Name, workload: &Workload) {
        for usage in &workload.uses {
            let key = absolute(namespace, &usage.object);
            let Some(entry) = self.objects.get_mut(&key) else {
                continue;
            };
            let users = entry.users.as_slice().iter().copied();
            entry.users = users.filter(|&user| user != id).collect();
            if entry.users.as_slice().is_empty() && entry.kept.is_none() {
                self.objects.remove(&key);
            }
        }
        if let Some(globbers) = self.globbers.get_mut(namespace) {
            globbers.remove(&id);
            if globbers.is_empty() {
                self.globbers.remove(namespace);
            }
        }
    }
}

fn shared(names: &mut Names, key: &ConfigKey) -> ConfigKey {
    ConfigKey {
        kind: key.kind,
        namespace: names.share(&key.namespace),
        name: names.share(&key.name),
    }
}

fn absolute(namespace: &Name, object: &ConfigRef) -> ConfigKey {
    ConfigKey {
        kind: object.kind,
        namespace: namespace.clone(),
        name: object.name.clone(),
    }
}

/// See [`Index::within`].
#[derive(Clone, Copy)]
pub struct Within<'a> {
    index: &'a Index,
    namespace: &'a Name,
}

impl Objects for Within<'_> {
    fn get(&self, object: &ConfigRef) -> Option<Tracked> {
        let entry = self.index.objects.get(&absolute(self.namespace, object))?;
        entry.kept.as_ref().map(Kept::tracked)
    }

    fn included(&self, workload: &Workload) -> Vec<ConfigRef> {
        if workload.include.is_empty() {
            return Vec::new();
        }
        ConfigKind::ALL
            .into_iter()
            .flat_map(|kind| self.of_kind(kind, workload))
            .collect()
    }
}

impl Within<'_> {
    fn of_kind(&self, kind: ConfigKind, workload: &Workload) -> Vec<ConfigRef> {
        let first = ConfigKey {
            kind,
            namespace: self.namespace.clone(),
            name: Name::first(),
        };
        let here = self.index.objects.range(first..);
        here.take_while(|(key, _)| key.kind == kind && key.namespace == *self.namespace)
            .filter(|(key, entry)| entry.kept.is_some() && workload.includes(kind, &key.name))
            .map(|(key, _)| ConfigRef {
                kind,
                name: key.name.clone(),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
