//! Objects and their history: pure, synchronous, in memory, with one revision for everything as etcd has.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::object;

/// Where an object stands within its resource.
pub(crate) type Key = (String, String);

/// What a write did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Added,
    Modified,
    Deleted,
}

/// One write, as kept in the history.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) revision: u64,
    pub(crate) storage: Arc<str>,
    pub(crate) kind: Kind,
    /// The object before: absent for an addition.
    pub(crate) before: Option<Arc<Value>>,
    /// The object after; for a deletion the last content at the revision of the deletion.
    pub(crate) after: Arc<Value>,
}

/// The asked revision is no longer in the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Compacted {
    pub(crate) oldest: u64,
}

/// All objects, and the most recent writes.
#[derive(Debug)]
pub(crate) struct Store {
    revision: u64,
    compacted: u64,
    objects: BTreeMap<Arc<str>, BTreeMap<Key, Arc<Value>>>,
    history: VecDeque<Arc<Change>>,
    capacity: usize,
}

impl Store {
    /// An empty store that remembers at most `capacity` writes.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            revision: 1,
            compacted: 0,
            objects: BTreeMap::new(),
            history: VecDeque::new(),
            capacity,
        }
    }

    /// The revision of the last write.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    pub(crate) fn get(&self, storage: &str, key: &Key) -> Option<&Arc<Value>> {
        self.objects.get(storage)?.get(key)
    }

    /// Objects of a resource in order of namespace and name.
    pub(crate) fn list(&self, storage: &str) -> impl Iterator<Item = (&Key, &Arc<Value>)> {
        self.objects.get(storage).into_iter().flatten()
    }

    /// Objects of a resource in one namespace, in order of name.
    pub(crate) fn list_in<'a>(&'a self, storage: &str, namespace: &'a str) -> impl Iterator<Item = &'a Arc<Value>> {
        let from = (namespace.to_owned(), String::new());
        let objects = self
            .objects
            .get(storage)
            .into_iter()
            .flat_map(move |objects| objects.range(from.clone()..));
        objects
            .take_while(move |((here, _), _)| here == namespace)
            .map(|(_, value)| value)
    }

    /// Every object of every resource.
    pub(crate) fn everything(&self) -> impl Iterator<Item = (&Arc<str>, &Key, &Arc<Value>)> {
        self.objects
            .iter()
            .flat_map(|(storage, objects)| objects.iter().map(move |(key, value)| (storage, key, value)))
    }

    /// Writes an object under a new revision.
    pub(crate) fn put(&mut self, storage: &Arc<str>, key: Key, mut value: Value) -> Arc<Value> {
        self.revision += 1;
        object::set(
            &mut value,
            &["metadata", "resourceVersion"],
            json!(self.revision.to_string()),
        );
        let after = Arc::new(value);
        let before = self
            .objects
            .entry(storage.clone())
            .or_default()
            .insert(key, after.clone());
        let kind = if before.is_some() { Kind::Modified } else { Kind::Added };
        self.remember(storage, kind, before, after.clone());
        after
    }

    /// Deletes an object; the returned one bears the revision of the deletion.
    pub(crate) fn remove(&mut self, storage: &Arc<str>, key: &Key) -> Option<Arc<Value>> {
        let before = self.objects.get_mut(storage)?.remove(key)?;
        self.revision += 1;
        let mut last = Value::clone(&before);
        object::set(
            &mut last,
            &["metadata", "resourceVersion"],
            json!(self.revision.to_string()),
        );
        let after = Arc::new(last);
        self.remember(storage, Kind::Deleted, Some(before), after.clone());
        Some(after)
    }

    fn remember(&mut self, storage: &Arc<str>, kind: Kind, before: Option<Arc<Value>>, after: Arc<Value>) {
        let change = Change {
            revision: self.revision,
            storage: storage.clone(),
            kind,
            before,
            after,
        };
        self.history.push_back(Arc::new(change));
        while self.history.len() > self.capacity {
            if let Some(oldest) = self.history.pop_front() {
                self.compacted = oldest.revision;
            }
        }
    }

    /// Forgets the history up to and including `revision`.
    pub(crate) fn compact(&mut self, revision: u64) {
        let revision = revision.min(self.revision);
        self.compacted = self.compacted.max(revision);
        while self.history.front().is_some_and(|change| change.revision <= revision) {
            self.history.pop_front();
        }
    }

    /// Writes after `revision`, oldest first.
    pub(crate) fn since(&self, revision: u64) -> Result<impl Iterator<Item = &Arc<Change>>, Compacted> {
        if revision < self.compacted {
            return Err(Compacted { oldest: self.compacted });
        }
        let start = self.history.partition_point(|change| change.revision <= revision);
        Ok(self.history.range(start..))
    }

    /// The objects of a resource as they were at `revision`.
    pub(crate) fn list_at(&self, storage: &str, revision: u64) -> Result<BTreeMap<Key, Arc<Value>>, Compacted> {
        let mut objects = self.objects.get(storage).cloned().unwrap_or_default();
        let later: Vec<_> = self
            .since(revision)?
            .filter(|change| &*change.storage == storage)
            .collect();
        for change in later.into_iter().rev() {
            let key = (
                object::namespace(&change.after).to_owned(),
                object::name(&change.after).to_owned(),
            );
            match &change.before {
                Some(before) => objects.insert(key, before.clone()),
                None => objects.remove(&key),
            };
        }
        Ok(objects)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        ("ns".into(), name.into())
    }

    fn value(name: &str, data: i64) -> Value {
        json!({"metadata": {"namespace": "ns", "name": name}, "data": data})
    }

    #[test]
    fn every_write_gets_its_own_revision_and_is_remembered() {
        let mut store = Store::new(10);
        let maps: Arc<str> = "configmaps".into();
        let start = store.revision();
        store.put(&maps, key("a"), value("a", 1));
        store.put(&maps, key("a"), value("a", 2));
        let last = store.remove(&maps, &key("a")).unwrap();
        assert_eq!(object::version(&last), start + 3);
        let kinds: Vec<_> = store.since(start).unwrap().map(|change| change.kind).collect();
        assert_eq!(kinds, [Kind::Added, Kind::Modified, Kind::Deleted]);
        assert!(store.remove(&maps, &key("a")).is_none());
        assert_eq!(store.revision(), start + 3);
    }

    #[test]
    fn the_past_can_be_listed_until_it_is_compacted() {
        let mut store = Store::new(10);
        let maps: Arc<str> = "configmaps".into();
        store.put(&maps, key("a"), value("a", 1));
        let then = store.revision();
        store.put(&maps, key("a"), value("a", 2));
        store.put(&maps, key("b"), value("b", 1));
        store.remove(&maps, &key("a"));
        let past = store.list_at("configmaps", then).unwrap();
        assert_eq!(past.len(), 1);
        assert_eq!(past[&key("a")]["data"], 1);
        store.compact(then + 1);
        assert_eq!(
            store.list_at("configmaps", then).unwrap_err(),
            Compacted { oldest: then + 1 }
        );
        assert_eq!(store.since(then + 1).unwrap().count(), 2);
    }

    #[test]
    fn a_full_history_forgets_the_oldest_write_first() {
        let mut store = Store::new(2);
        let maps: Arc<str> = "configmaps".into();
        let start = store.revision();
        (0..3).for_each(|n| drop(store.put(&maps, key("a"), value("a", n))));
        assert!(store.since(start).is_err());
        assert_eq!(store.since(start + 1).unwrap().count(), 2);
    }
}
