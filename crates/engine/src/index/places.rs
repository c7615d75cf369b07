//! All workloads: each has a place, and is kept there as bytes.

use std::cmp::Ordering;

use afresh_model::name::{ConfigKind, Name, WorkloadKey, WorkloadKind};
use afresh_model::packed::{self, Head, Packer, Rare, Unpacker};
use afresh_model::workload::Workload;

use super::{Indexed, WorkloadId};
use crate::names::Names;
use crate::sight::Sighting;

// The first byte of a workload.
const UNLISTED: u8 = 0;
const LISTED: u8 = 1;
/// It is as a write of our own was answered, of which its watch has not told yet.
const AHEAD: u8 = 2;
/// The same, and a list has begun since, which may have been asked for before the write.
const AHEAD_UNLISTED: u8 = 3;

/// A workload as it is kept: a quarter of a kilobyte instead of more than one. It is unpacked when it is looked at.
#[derive(Debug)]
pub(super) struct Kept {
    kind: WorkloadKind,
    namespace: Name,
    /// How it was listed, its name, the workload, and when it last changed.
    bytes: Box<[u8]>,
    rare: Option<Box<Rare>>,
}

impl Kept {
    fn new(key: WorkloadKey, workload: Workload, sighting: Sighting) -> Self {
        let WorkloadKey { kind, namespace, name } = key;
        let mut packer = Packer::default();
        packer.byte(LISTED);
        packer.text(name.as_str());
        let revision = workload.revision;
        let rare = packed::pack(workload, &mut packer);
        sighting.pack(revision, &mut packer);
        Self {
            kind,
            namespace,
            bytes: packer.finish(),
            rare,
        }
    }

    fn name(&self) -> &str {
        Unpacker::new(&self.bytes[1..]).text()
    }

    pub(super) fn key(&self) -> WorkloadKey {
        WorkloadKey {
            kind: self.kind,
            namespace: self.namespace.clone(),
            name: Unpacker::new(&self.bytes[1..]).name(),
        }
    }

    pub(super) const fn kind(&self) -> WorkloadKind {
        self.kind
    }

    pub(super) const fn namespace(&self) -> &Name {
        &self.namespace
    }

    pub(super) fn head(&self) -> Head {
        let mut from = Unpacker::new(&self.bytes[1..]);
        from.text();
        packed::head(from)
    }

    pub(super) fn includes(&self, kind: ConfigKind, name: &Name) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.includes(kind, name))
    }

    pub(super) fn is_listed(&self) -> bool {
        matches!(self.bytes[0], LISTED | AHEAD)
    }

    /// A list has it, or what is known of it stands.
    pub(super) fn list(&mut self) {
        self.bytes[0] = LISTED;
    }

    /// A list begins.
    pub(super) fn unlist(&mut self) {
        self.bytes[0] = if self.bytes[0] == AHEAD {
            AHEAD_UNLISTED
        } else {
            UNLISTED
        };
    }

    /// Its watch has yet to tell of what is known.
    pub(super) fn set_ahead(&mut self) {
        self.bytes[0] = AHEAD;
    }

    pub(super) fn is_ahead(&self) -> bool {
        matches!(self.bytes[0], AHEAD | AHEAD_UNLISTED)
    }

    pub(super) fn indexed(&self) -> Indexed {
        let mut from = Unpacker::new(&self.bytes[1..]);
        let name = from.name();
        let workload = packed::unpack(&mut from, self.rare.as_deref());
        Indexed {
            sighting: Sighting::unpack(workload.revision, &mut from),
            key: WorkloadKey {
                kind: self.kind,
                namespace: self.namespace.clone(),
                name,
            },
            workload,
        }
    }

    fn compare(&self, key: &WorkloadKey) -> Ordering {
        self.kind
            .cmp(&key.kind)
            .then_with(|| self.namespace.cmp(&key.namespace))
            .then_with(|| self.name().cmp(key.name.as_str()))
    }
}

/// Workloads by place, and their places in the order of their keys: a slice of numbers instead of a map of keys.
#[derive(Debug, Default)]
pub(super) struct Places {
    all: Vec<Option<Kept>>,
    free: Vec<WorkloadId>,
    sorted: Vec<WorkloadId>,
}

impl Places {
    pub(super) fn get(&self, id: WorkloadId) -> Option<&Kept> {
        self.all.get(id.index())?.as_ref()
    }

    pub(super) fn get_mut(&mut self, id: WorkloadId) -> Option<&mut Kept> {
        self.all.get_mut(id.index())?.as_mut()
    }

    pub(super) fn id(&self, key: &WorkloadKey) -> Option<WorkloadId> {
        self.order(key).ok().map(|order| self.sorted[order])
    }

    /// All workloads, sorted by key.
    pub(super) fn iter(&self) -> impl Iterator<Item = (WorkloadId, &Kept)> {
        self.sorted.iter().filter_map(|&id| Some((id, self.get(id)?)))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Kept> {
        self.all.iter_mut().flatten()
    }

    /// Puts a workload where it is already, or in a place of its own.
    pub(super) fn put(
        &mut self,
        mut key: WorkloadKey,
        workload: Workload,
        sighting: Sighting,
        names: &mut Names,
    ) -> WorkloadId {
        let id = match self.order(&key) {
            Ok(order) => self.sorted[order],
            Err(order) => {
                let id = self.free.pop().unwrap_or_else(|| {
                    self.all.push(None);
                    WorkloadId::new(self.all.len() - 1)
                });
                self.sorted.insert(order, id);
                id
            }
        };
        key.namespace = names.share(&key.namespace);
        if let Some(place) = self.all.get_mut(id.index()) {
            *place = Some(Kept::new(key, workload, sighting));
        }
        id
    }

    /// Takes out a workload; its place may then be another's.
    pub(super) fn take(&mut self, key: &WorkloadKey) -> Option<(WorkloadId, Indexed)> {
        let order = self.order(key).ok()?;
        let id = self.sorted.remove(order);
        let gone = self.all.get_mut(id.index())?.take()?;
        self.free.push(id);
        Some((id, gone.indexed()))
    }

    /// Gives back what growing has left over.
    pub(super) fn pack(&mut self) {
        self.all.shrink_to_fit();
        self.sorted.shrink_to_fit();
    }

    fn order(&self, key: &WorkloadKey) -> Result<usize, usize> {
        self.sorted
            .binary_search_by(|&id| self.get(id).map_or(Ordering::Less, |known| known.compare(key)))
    }
}
