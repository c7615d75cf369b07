//! All config objects: those that exist, and those that somebody refers to.

use std::collections::BTreeMap;

use afresh_model::name::{ConfigKey, ConfigKind, Name};

use crate::kept::Kept;
use crate::names::Names;

/// The objects of one kind in one namespace.
type Shelf = (ConfigKind, Name);

/// Objects, sorted by name in each shelf: a sorted slice takes half the room of a map.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    shelves: BTreeMap<Shelf, Vec<Kept>>,
}

impl Catalogue {
    pub(super) fn get(&self, kind: ConfigKind, namespace: &Name, name: &Name) -> Option<&Kept> {
        let shelf = self.shelves.get(&(kind, namespace.clone()))?;
        shelf.get(place(shelf, name).ok()?)
    }

    pub(super) fn get_mut(&mut self, kind: ConfigKind, namespace: &Name, name: &Name) -> Option<&mut Kept> {
        let shelf = self.shelves.get_mut(&(kind, namespace.clone()))?;
        let place = place(shelf, name).ok()?;
        shelf.get_mut(place)
    }

    /// Changes an object; one that is neither there nor referred to then is left out.
    pub(super) fn change(
        &mut self,
        kind: ConfigKind,
        namespace: &Name,
        name: &Name,
        names: &mut Names,
        change: impl FnOnce(&Kept) -> Kept,
    ) {
        let key = (kind, namespace.clone());
        let shelf = match self.shelves.get_mut(&key) {
            Some(shelf) => shelf,
            None => self.shelves.entry((kind, names.share(namespace))).or_default(),
        };
        let place = place(shelf, name);
        let changed = match place {
            Ok(place) => change(&shelf[place]),
            Err(_) => change(&Kept::named(name.as_str())),
        };
        let stays = changed.is_there() || !changed.users().is_empty();
        match place {
            Ok(place) if stays => shelf[place] = changed,
            Ok(place) => drop(shelf.remove(place)),
            Err(place) if stays => {
                if shelf.len() == shelf.capacity() {
                    // Not twice as many: in most namespaces few come after the first list.
                    shelf.reserve_exact(shelf.len() / 4 + 1);
                }
                shelf.insert(place, changed);
            }
            Err(_) => {}
        }
        if shelf.is_empty() {
            self.shelves.remove(&key);
        }
    }

    /// All objects of one kind, in one namespace or in all, sorted.
    pub(super) fn of<'a>(
        &'a self,
        kind: ConfigKind,
        within: Option<&'a Name>,
    ) -> impl Iterator<Item = (&'a Name, &'a Kept)> {
        let shelves = self.shelves.range(first(kind, within)..);
        let shelves = shelves.take_while(move |(shelf, _)| is_of(shelf, kind, within));
        shelves.flat_map(|((_, namespace), shelf)| shelf.iter().map(move |kept| (namespace, kept)))
    }

    /// The same to change.
    pub(super) fn of_mut<'a>(
        &'a mut self,
        kind: ConfigKind,
        within: Option<&'a Name>,
    ) -> impl Iterator<Item = &'a mut Kept> {
        let shelves = self.shelves.range_mut(first(kind, within)..);
        let shelves = shelves.take_while(move |(shelf, _)| is_of(shelf, kind, within));
        shelves.flat_map(|(_, shelf)| shelf)
    }

    /// All keys of objects that exist, sorted, each with its object.
    pub(super) fn all(&self) -> impl Iterator<Item = (ConfigKey, &Kept)> {
        let all = ConfigKind::ALL.into_iter().flat_map(|kind| {
            self.of(kind, None)
                .map(move |(namespace, kept)| (key(kind, namespace, kept), kept))
        });
        all.filter(|(_, kept)| kept.is_there())
    }

    /// Gives back what growing has left over.
    pub(super) fn pack(&mut self) {
        self.shelves.values_mut().for_each(Vec::shrink_to_fit);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.shelves.values().map(Vec::len).sum()
    }
}

fn first(kind: ConfigKind, within: Option<&Name>) -> Shelf {
    (kind, within.cloned().unwrap_or_else(Name::first))
}

fn is_of((own, namespace): &Shelf, kind: ConfigKind, within: Option<&Name>) -> bool {
    *own == kind && within.is_none_or(|within| within == namespace)
}

/// The key of an object in a shelf.
pub(super) fn key(kind: ConfigKind, namespace: &Name, kept: &Kept) -> ConfigKey {
    ConfigKey {
        kind,
        namespace: namespace.clone(),
        name: kept.to_name(),
    }
}

fn place(shelf: &[Kept], name: &Name) -> Result<usize, usize> {
    shelf.binary_search_by(|kept| kept.name().cmp(name.as_str()))
}
