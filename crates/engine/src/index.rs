//! Which workloads use which config objects: derived facts, kept by apply, delete and relist.
//!
//! After any order of events the index equals one built from scratch from what there is (a property test holds it to
//! that). Everything is kept packed: an object costs its name and digests, a workload a quarter of a kilobyte. Nothing
//! here knows of time, leadership or actions.

use std::collections::{BTreeMap, BTreeSet};

use afresh_model::name::{ConfigKey, ConfigKind, ConfigRef, Name, WorkloadKey, WorkloadKind};
use afresh_model::object::ConfigObject;
use afresh_model::packed::Head;
use afresh_model::record::Record;
use afresh_model::workload::Workload;

use self::catalogue::Catalogue;
use self::places::Places;
use crate::names::Names;
use crate::plan::Objects;
use crate::sight::{Sight, Sighting, Tracked};

mod catalogue;
mod places;

/// A workload's place in the index. Places are used again after a workload is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkloadId(u32);

impl WorkloadId {
    pub(crate) fn new(index: usize) -> Self {
        Self(u32::try_from(index).unwrap_or(u32::MAX))
    }

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
}

/// What became of a workload that was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// It is new, or another one under an old name.
    New(WorkloadId),
    /// What matters of it changed; the record that it had, if it has another one or none.
    Changed(WorkloadId, Option<Box<Record>>),
    /// Nothing that matters changed.
    Same(WorkloadId),
    /// It is older than what is known.
    Outdated,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Index {
    objects: Catalogue,
    workloads: Places,
    globbers: BTreeMap<Name, BTreeSet<WorkloadId>>,
    /// Of namespaces, so that each is there once.
    names: Names,
}

impl Index {
    /// Takes in a config object; returns the workloads for which that is news.
    pub fn apply_object(&mut self, key: &ConfigKey, object: ConfigObject, sight: Sight) -> Vec<WorkloadId> {
        let ConfigKey { kind, namespace, name } = key;
        let known = self.objects.get(*kind, namespace, name).and_then(|kept| kept.tracked());
        let next = match &known {
            Some(known) if sight == Sight::Live && known.object.revision > object.revision => {
                self.list_object(key);
                return Vec::new();
            }
            Some(known) => known.next(object, sight),
            None => Tracked::first(object, sight),
        };
        let news = known.is_none_or(|known| {
            let (old, new) = (&known.object, &next.object);
            (old.immutable, old.ignored, old.matched) != (new.immutable, new.ignored, new.matched)
                || old.content != new.content
        });
        self.objects.change(*kind, namespace, name, &mut self.names, |kept| {
            kept.with_tracked(Some(&next)).listed()
        });
        if news { self.users(key) } else { Vec::new() }
    }

    /// Takes out a config object; returns the workloads for which that is news.
    pub fn delete_object(&mut self, key: &ConfigKey) -> Vec<WorkloadId> {
        let ConfigKey { kind, namespace, name } = key;
        if !self
            .objects
            .get(*kind, namespace, name)
            .is_some_and(|kept| kept.is_there())
        {
            return Vec::new();
        }
        let users = self.users(key);
        self.objects
            .change(*kind, namespace, name, &mut self.names, |kept| kept.with_tracked(None));
        users
    }

    /// Takes in a workload.
    pub fn apply_workload(&mut self, key: WorkloadKey, workload: Workload, sight: Sight) -> Applied {
        let Some(known) = self.id(&key).and_then(|id| self.workload(id)) else {
            return Applied::New(self.insert(key, workload, sight));
        };
        let before = known.workload;
        if before.uid != workload.uid {
            self.delete_workload(&key);
            return Applied::New(self.insert(key, workload, sight));
        }
        if before.revision > workload.revision && (sight == Sight::Live || self.is_behind_our_write(&key)) {
            return Applied::Outdated;
        }
        let sighting = known.sighting.next(&before, &workload, sight);
        let after = &workload;
        let uses_alike = before.uses_alike(after);
        let same = uses_alike
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
        let replaced = before.record.clone().filter(|_| before.record != after.record);
        let namespace = key.namespace.clone();
        let id = self.workloads.put(key, workload, sighting, &mut self.names);
        if !uses_alike {
            self.unlink(id, &namespace, &before);
            self.link(id);
        }
        if same {
            Applied::Same(id)
        } else {
            Applied::Changed(id, replaced)
        }
    }

    /// Takes in a workload as a write of our own was answered.
    pub fn apply_answer(&mut self, key: WorkloadKey, workload: Workload) {
        let applied = self.apply_workload(key, workload, Sight::Live);
        let (Applied::New(id) | Applied::Changed(id, _) | Applied::Same(id)) = applied else {
            return;
        };
        if let Some(known) = self.workloads.get_mut(id) {
            known.set_ahead();
        }
    }

    /// Whether what is listed may have been read before a write of our own, whose answer was quicker. Only one list can
    /// have been under way, so this is true once.
    fn is_behind_our_write(&mut self, key: &WorkloadKey) -> bool {
        let known = self.id(key).and_then(|id| self.workloads.get_mut(id));
        known.is_some_and(|known| {
            let ahead = known.is_ahead();
            known.list();
            ahead
        })
    }

    /// Takes out a workload, or one that is no longer to be kept current.
    pub fn delete_workload(&mut self, key: &WorkloadKey) -> Option<WorkloadId> {
        let (id, gone) = self.workloads.take(key)?;
        self.unlink(id, &key.namespace, &gone.workload);
        Some(id)
    }

    /// A watch begins to list anew: whatever it does not list until [`Self::end_list`] is gone.
    pub fn begin_list(&mut self, source: &Source) {
        let within = source.namespace.as_ref();
        match source.kind {
            SourceKind::Config(kind) => {
                self.objects.unlist(kind, within);
            }
            SourceKind::Workload(kind) => {
                let own = self.workloads.iter_mut();
                let own = own.filter(|known| known.kind() == kind && is_within(within, known.namespace()));
                own.for_each(places::Kept::unlist);
            }
            SourceKind::Classes | SourceKind::Mounts | SourceKind::Namespaces => {}
        }
    }

    /// A listed thing cannot be read: what is known of it stands.
    pub fn keep(&mut self, kind: SourceKind, namespace: &Name, name: &Name) {
        let (namespace, name) = (namespace.clone(), name.clone());
        match kind {
            SourceKind::Config(kind) => self.list_object(&ConfigKey { kind, namespace, name }),
            SourceKind::Workload(kind) => {
                let id = self.id(&WorkloadKey { kind, namespace, name });
                if let Some(known) = id.and_then(|id| self.workloads.get_mut(id)) {
                    known.list();
                }
            }
            SourceKind::Classes | SourceKind::Mounts | SourceKind::Namespaces => {}
        }
    }

    /// A watch has listed everything; returns the workloads for which something gone is news, and those gone.
    pub fn end_list(&mut self, source: &Source) -> (Vec<WorkloadId>, Vec<WorkloadId>) {
        let gone = self.remove_unlisted(source);
        self.objects.pack();
        self.workloads.pack();
        self.names.tidy();
        gone
    }

    fn list_object(&mut self, key: &ConfigKey) {
        self.objects.list(key.kind, &key.namespace, &key.name);
    }

    fn remove_unlisted(&mut self, source: &Source) -> (Vec<WorkloadId>, Vec<WorkloadId>) {
        let within = source.namespace.as_ref();
        match source.kind {
            SourceKind::Config(kind) => {
                let own = self.objects.of(kind, within);
                let gone = own.filter(|(_, kept)| kept.is_there() && !kept.is_listed());
                let gone: Vec<ConfigKey> = gone
                    .map(|(namespace, kept)| catalogue::key(kind, namespace, &kept))
                    .collect();
                (
                    gone.iter().flat_map(|key| self.delete_object(key)).collect(),
                    Vec::new(),
                )
            }
            SourceKind::Workload(kind) => {
                let own = self.workloads.iter().map(|(_, known)| known);
                let gone = own
                    .filter(|known| known.kind() == kind && is_within(within, known.namespace()) && !known.is_listed());
                let gone: Vec<WorkloadKey> = gone.map(places::Kept::key).collect();
                (
                    Vec::new(),
                    gone.iter().filter_map(|key| self.delete_workload(key)).collect(),
                )
            }
            SourceKind::Classes | SourceKind::Mounts | SourceKind::Namespaces => (Vec::new(), Vec::new()),
        }
    }

    /// The workload at a place. It is unpacked each time.
    #[must_use]
    pub fn workload(&self, id: WorkloadId) -> Option<Indexed> {
        self.workloads.get(id).map(places::Kept::indexed)
    }

    /// The place of a workload.
    #[must_use]
    pub fn id(&self, key: &WorkloadKey) -> Option<WorkloadId> {
        self.workloads.id(key)
    }

    /// The key of the workload at a place.
    #[must_use]
    pub fn key(&self, id: WorkloadId) -> Option<WorkloadKey> {
        self.workloads.get(id).map(places::Kept::key)
    }

    /// How far the rollout of the workload at a place is, without unpacking the rest of it.
    #[must_use]
    pub fn head(&self, id: WorkloadId) -> Option<Head> {
        self.workloads.get(id).map(places::Kept::head)
    }

    /// The places of all workloads, sorted by their keys, each with its kind and namespace.
    pub fn places(&self) -> impl Iterator<Item = (WorkloadId, WorkloadKind, &Name)> {
        let all = self.workloads.iter();
        all.map(|(id, known)| (id, known.kind(), known.namespace()))
    }

    /// All workloads of a kind, sorted by key.
    pub fn workloads_of(&self, kind: WorkloadKind) -> impl Iterator<Item = (WorkloadId, Indexed)> {
        let own = self.workloads.iter().filter(move |(_, known)| known.kind() == kind);
        own.map(|(id, known)| (id, known.indexed()))
    }

    /// All config objects that exist, sorted by key.
    pub fn objects(&self) -> impl Iterator<Item = (ConfigKey, Tracked)> {
        self.objects
            .all()
            .filter_map(|(key, kept)| Some((key, kept.tracked()?)))
    }

    /// A config object, if it exists.
    #[must_use]
    pub fn object(&self, key: &ConfigKey) -> Option<ConfigObject> {
        let kept = self.objects.get(key.kind, &key.namespace, &key.name)?;
        Some(kept.tracked()?.object)
    }

    /// How many config objects of a kind there are.
    #[must_use]
    pub fn object_count(&self, kind: ConfigKind) -> usize {
        self.objects.of(kind, None).filter(|(_, kept)| kept.is_there()).count()
    }

    /// The workloads that use an object, by reference or by glob.
    #[must_use]
    pub fn users(&self, key: &ConfigKey) -> Vec<WorkloadId> {
        let named = self.objects.get(key.kind, &key.namespace, &key.name);
        let mut all = named.map(|kept| kept.users()).unwrap_or_default();
        let globbers = self.globbers.get(&key.namespace).into_iter().flatten();
        all.extend(globbers.filter(|&&id| {
            self.workloads
                .get(id)
                .is_some_and(|known| known.includes(key.kind, &key.name))
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
        let id = self.workloads.put(key, workload, sighting, &mut self.names);
        self.link(id);
        id
    }

    fn link(&mut self, id: WorkloadId) {
        let Some(Indexed { key, workload, .. }) = self.workload(id) else {
            return;
        };
        for usage in &workload.uses {
            self.change_users(&key.namespace, &usage.object, |users| {
                if !users.contains(&id) {
                    users.push(id);
                }
            });
        }
        if !workload.include.is_empty() {
            self.globbers.entry(key.namespace).or_default().insert(id);
        }
    }

    fn unlink(&mut self, id: WorkloadId, namespace: &Name, workload: &Workload) {
        for usage in &workload.uses {
            self.change_users(namespace, &usage.object, |users| users.retain(|&user| user != id));
        }
        if let Some(globbers) = self.globbers.get_mut(namespace) {
            globbers.remove(&id);
            if globbers.is_empty() {
                self.globbers.remove(namespace);
            }
        }
    }

    fn change_users(&mut self, namespace: &Name, object: &ConfigRef, change: impl FnOnce(&mut Vec<WorkloadId>)) {
        let ConfigRef { kind, name } = object;
        self.objects.change(*kind, namespace, name, &mut self.names, |kept| {
            let mut users = kept.users();
            change(&mut users);
            kept.with_users(&users)
        });
    }
}

fn is_within(within: Option<&Name>, namespace: &Name) -> bool {
    within.is_none_or(|within| within == namespace)
}

/// See [`Index::within`].
#[derive(Clone, Copy)]
pub struct Within<'a> {
    index: &'a Index,
    namespace: &'a Name,
}

impl Objects for Within<'_> {
    fn get(&self, object: &ConfigRef) -> Option<Tracked> {
        let kept = self.index.objects.get(object.kind, self.namespace, &object.name)?;
        kept.tracked()
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
        let here = self.index.objects.of(kind, Some(self.namespace));
        here.filter(|(_, kept)| kept.is_there())
            .map(|(_, kept)| kept.to_name())
            .filter(|name| workload.includes(kind, name))
            .map(|name| ConfigRef { kind, name })
            .collect()
    }
}

#[cfg(test)]
mod tests;
