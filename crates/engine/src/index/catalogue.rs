//! All config objects: those that exist, and those that somebody refers to.

use std::collections::BTreeMap;

use afresh_model::name::{ConfigKey, ConfigKind, Name};

use crate::kept::{Kept, Page};
use crate::names::Names;

/// Bytes of a page, unless a single object takes more: a change packs one anew, a look reads half of one.
const PAGE: usize = 2048;

/// The objects of one kind in one namespace.
type Shelf = (ConfigKind, Name);

/// Objects, sorted by name in each shelf, and packed in pages: an allocation and a pointer for each object would take
/// a third of what it says.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    shelves: BTreeMap<Shelf, Vec<Page>>,
}

impl Catalogue {
    pub(super) fn get(&self, kind: ConfigKind, namespace: &Name, name: &Name) -> Option<Kept<'_>> {
        let shelf = self.shelves.get(&(kind, namespace.clone()))?;
        let mut page = shelf[place(shelf, name)?].iter();
        page.find(|kept| kept.name() == name.as_str())
    }

    /// Notes that an object was listed.
    pub(super) fn list(&mut self, kind: ConfigKind, namespace: &Name, name: &Name) {
        if let Some(shelf) = self.shelves.get_mut(&(kind, namespace.clone()))
            && let Some(place) = place(shelf, name)
        {
            shelf[place].set_listed(true, Some(name.as_str()));
        }
    }

    /// Changes an object; one that is neither there nor referred to then is left out.
    pub(super) fn change(
        &mut self,
        kind: ConfigKind,
        namespace: &Name,
        name: &Name,
        names: &mut Names,
        change: impl for<'a> FnOnce(&Kept<'a>) -> Kept<'a>,
    ) {
        let key = (kind, namespace.clone());
        let shelf = match self.shelves.get_mut(&key) {
            Some(shelf) => shelf,
            None => self.shelves.entry((kind, names.share(namespace))).or_default(),
        };
        let place = place(shelf, name);
        let mut all: Vec<Kept<'_>> = place.into_iter().flat_map(|place| shelf[place].iter()).collect();
        let mut last_is_new = false;
        match all.binary_search_by(|kept| kept.name().cmp(name.as_str())) {
            Ok(own) => {
                all[own] = change(&all[own]);
                if !is_of_use(&all[own]) {
                    all.remove(own);
                }
            }
            Err(own) => {
                let new = change(&Kept::named(name.as_str()));
                if is_of_use(&new) {
                    last_is_new = own == all.len();
                    all.insert(own, new);
                }
            }
        }
        let pages = pages(&all, last_is_new);
        let place = place.map_or(0..0, |place| place..place + 1);
        if shelf.len() + pages.len() > shelf.capacity() + place.len() {
            // Not twice as many: in most namespaces few come after the first list.
            shelf.reserve_exact(shelf.len() / 4 + 1);
        }
        shelf.splice(place, pages);
        if shelf.is_empty() {
            self.shelves.remove(&key);
        }
    }

    /// All objects of one kind, in one namespace or in all, sorted.
    pub(super) fn of<'a>(
        &'a self,
        kind: ConfigKind,
        within: Option<&'a Name>,
    ) -> impl Iterator<Item = (&'a Name, Kept<'a>)> {
        let shelves = self.shelves.range(first(kind, within)..);
        let shelves = shelves.take_while(move |(shelf, _)| is_of(shelf, kind, within));
        shelves.flat_map(|((_, namespace), shelf)| {
            let all = shelf.iter().flat_map(Page::iter);
            all.map(move |kept| (namespace, kept))
        })
    }

    /// Notes of the same that they were not listed.
    pub(super) fn unlist(&mut self, kind: ConfigKind, within: Option<&Name>) {
        let shelves = self.shelves.range_mut(first(kind, within)..);
        let shelves = shelves.take_while(move |(shelf, _)| is_of(shelf, kind, within));
        let pages = shelves.flat_map(|(_, shelf)| shelf);
        pages.for_each(|page| page.set_listed(false, None));
    }

    /// All keys of objects that exist, sorted, each with its object.
    pub(super) fn all(&self) -> impl Iterator<Item = (ConfigKey, Kept<'_>)> {
        let all = ConfigKind::ALL.into_iter().flat_map(|kind| {
            self.of(kind, None)
                .map(move |(namespace, kept)| (key(kind, namespace, &kept), kept))
        });
        all.filter(|(_, kept)| kept.is_there())
    }

    /// Gives back what growing has left over.
    pub(super) fn pack(&mut self) {
        self.shelves.values_mut().for_each(Vec::shrink_to_fit);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let pages = self.shelves.values().flatten();
        pages.map(|page| page.iter().count()).sum()
    }
}

fn first(kind: ConfigKind, within: Option<&Name>) -> Shelf {
    (kind, within.cloned().unwrap_or_else(Name::first))
}

fn is_of((own, namespace): &Shelf, kind: ConfigKind, within: Option<&Name>) -> bool {
    *own == kind && within.is_none_or(|within| within == namespace)
}

/// The key of an object in a shelf.
pub(super) fn key(kind: ConfigKind, namespace: &Name, kept: &Kept<'_>) -> ConfigKey {
    ConfigKey {
        kind,
        namespace: namespace.clone(),
        name: kept.to_name(),
    }
}

fn is_of_use(kept: &Kept<'_>) -> bool {
    kept.is_there() || !kept.users().is_empty()
}

/// The page that a name is in or would be in; `None` if there is no page.
fn place(shelf: &[Page], name: &Name) -> Option<usize> {
    let behind = shelf.partition_point(|page| page.first_name() <= name.as_str());
    (!shelf.is_empty()).then(|| behind.saturating_sub(1))
}

/// Packs objects, and halves what is too large for a page. One that came last, as in a list, leaves a full page behind.
fn pages(all: &[Kept<'_>], last_is_new: bool) -> Vec<Page> {
    match Page::of(all) {
        None => Vec::new(),
        Some(page) if page.len() <= PAGE || all.len() < 2 => vec![page],
        Some(_) => {
            let middle = if last_is_new { all.len() - 1 } else { all.len() / 2 };
            let (left, right) = all.split_at(middle);
            [pages(left, false), pages(right, false)]
                .into_iter()
                .flatten()
                .collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::index::WorkloadId;

    fn name(number: u16) -> Name {
        format!("object-{number}").parse().unwrap_or_else(|_| Name::first())
    }

    proptest! {
        #[test]
        fn pages_hold_what_a_map_holds(steps in prop::collection::vec((0..150u16, any::<bool>()), 1..300)) {
            let (namespace, kind) = (name(0), ConfigKind::Secret);
            let (mut catalogue, mut names, mut map) = (Catalogue::default(), Names::default(), BTreeMap::new());
            for (number, stays) in steps {
                let users: Vec<_> = (0..usize::from(number % 7 + 1) * usize::from(stays)).map(WorkloadId::new).collect();
                catalogue.change(kind, &namespace, &name(number), &mut names, |kept| kept.with_users(&users));
                if stays { map.insert(name(number), users); } else { map.remove(&name(number)); }
            }
            let all: Vec<_> = catalogue.of(kind, Some(&namespace)).map(|(_, kept)| (kept.to_name(), kept.users())).collect();
            prop_assert_eq!(&all, &map.iter().map(|(name, users)| (name.clone(), users.clone())).collect::<Vec<_>>());
            for number in 0..150 {
                let found = catalogue.get(kind, &namespace, &name(number)).map(|kept| kept.users());
                prop_assert_eq!(found.as_ref(), map.get(&name(number)));
            }
            prop_assert!(catalogue.shelves.values().flatten().all(|page| page.len() <= PAGE));
        }
    }

    #[test]
    fn a_list_leaves_full_pages() {
        let (namespace, kind) = (name(0), ConfigKind::Secret);
        let (mut catalogue, mut names) = (Catalogue::default(), Names::default());
        for number in 1000..2000 {
            catalogue.change(kind, &namespace, &name(number), &mut names, |kept| {
                kept.with_users(&[WorkloadId::new(0)])
            });
        }
        let lengths: Vec<usize> = catalogue.shelves.values().flatten().map(Page::len).collect();
        let (_, full) = lengths.split_last().unwrap();
        assert!(
            !full.is_empty() && full.iter().all(|&length| length > PAGE * 9 / 10),
            "{lengths:?}"
        );
    }
}
