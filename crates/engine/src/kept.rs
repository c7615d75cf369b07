//! Config objects as the index keeps them: some dozens in one allocation without padding, because there are thousands that
//! nobody uses.
//!
//! Of each first whether it was listed, whether it is there and whether it has the keys of the one before, as neighbours often
//! have; then its name, its keys unless they are the same, and the length of the rest: the places of the workloads that refer
//! to it, what is known of it, and a digest per key.

use std::borrow::Cow;

use afresh_model::content::{Content, Entry};
use afresh_model::name::Name;
use afresh_model::object::ConfigObject;
use afresh_model::packed::{self, Packer, Unpacker};
use afresh_model::reloader::sha1::Sha1;
use afresh_model::time::{Revision, UnixSeconds};

use crate::index::WorkloadId;
use crate::sight::{Change, Since, Tracked};

// The first byte.
const LISTED: u8 = 1;
const THERE: u8 = 2;
const SAME_KEYS: u8 = 4;

// The first byte of what is known.
const IMMUTABLE: u8 = 1;
const IGNORED: u8 = 2;
const CREATED: u8 = 4;
const WRITTEN: u8 = 8;
const REVISION: u8 = 16;
const MATCHED: u8 = 32;
const SHA1: u8 = 64;
const REWRITTEN: u8 = 128;

/// What a key takes.
const KEY: usize = Entry::KEY_BYTES;

/// Objects of one kind in one namespace, packed one behind the other. Never empty.
#[derive(Debug)]
pub(crate) struct Page(Box<[u8]>);

impl Page {
    /// Packs objects; `None` if there are none.
    pub(crate) fn of(all: &[Kept<'_>]) -> Option<Self> {
        let mut packer = Packer::with_room(all.iter().map(Kept::room).sum());
        let mut keys: &[u8] = &[];
        for kept in all {
            kept.pack(keys, &mut packer);
            if kept.is_there() {
                keys = &kept.keys;
            }
        }
        (!all.is_empty()).then(|| Self(packer.finish()))
    }

    /// Bytes.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The name of the first object.
    pub(crate) fn first_name(&self) -> &str {
        let mut from = Unpacker::new(&self.0);
        from.byte();
        from.text()
    }

    /// The objects, in their order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Kept<'_>> {
        let mut from = Unpacker::new(&self.0);
        let mut keys: &[u8] = &[];
        std::iter::from_fn(move || (!from.is_empty()).then(|| Kept::unpack(&mut from, &mut keys)))
    }

    /// Notes whether objects were listed: all of them, or the one of a name.
    pub(crate) fn set_listed(&mut self, listed: bool, name: Option<&str>) {
        let mut keys: &[u8] = &[];
        let mut from = Unpacker::new(&self.0);
        let mut at = Vec::new();
        while !from.is_empty() {
            let place = self.0.len() - from.len();
            let kept = Kept::unpack(&mut from, &mut keys);
            if name.is_none_or(|name| name == kept.name) {
                at.push(place);
            }
        }
        for place in at {
            self.0[place] = self.0[place] & !LISTED | flag(listed, LISTED);
        }
    }
}

/// One object of a page. With four keys that the one before has as well, a name of 13 characters and one user it takes some
/// 95 bytes, where a [`Tracked`] alone takes two allocations of 208.
#[derive(Debug, Clone)]
pub(crate) struct Kept<'a> {
    flags: u8,
    name: &'a str,
    keys: Cow<'a, [u8]>,
    rest: Cow<'a, [u8]>,
}

impl<'a> Kept<'a> {
    /// An object of which nothing is known but that somebody refers to it.
    pub(crate) fn named(name: &'a str) -> Self {
        Self {
            flags: 0,
            name,
            keys: Cow::default(),
            rest: Cow::Owned(vec![0]),
        }
    }

    fn unpack(from: &mut Unpacker<'a>, keys: &mut &'a [u8]) -> Self {
        let flags = from.byte();
        let name = from.text();
        if flags & SAME_KEYS == 0 {
            let length = from.length() * KEY;
            *keys = from.slice(length);
        }
        let length = from.length();
        Self {
            flags,
            name,
            keys: Cow::Borrowed(*keys),
            rest: Cow::Borrowed(from.slice(length)),
        }
    }

    /// Packs it behind one with the keys `before`.
    fn pack(&self, before: &[u8], to: &mut Packer) {
        // Of one that is not there nobody asks for keys.
        let same = !self.is_there() || *self.keys == *before;
        to.byte(self.flags & !SAME_KEYS | flag(same, SAME_KEYS));
        to.text(self.name);
        if !same {
            to.length(self.keys.len() / KEY);
            to.raw(&self.keys);
        }
        to.length(self.rest.len());
        to.raw(&self.rest);
    }

    /// Bytes that it takes at most, about.
    fn room(&self) -> usize {
        self.name.len() + self.keys.len() + self.rest.len() + 8
    }

    pub(crate) const fn name(&self) -> &'a str {
        self.name
    }

    /// The same as a name of its own.
    pub(crate) fn to_name(&self) -> Name {
        packed::name(self.name)
    }

    /// The workloads that refer to it, sorted.
    pub(crate) fn users(&self) -> Vec<WorkloadId> {
        users(&mut Unpacker::new(&self.rest))
    }

    /// Whether it exists; otherwise somebody refers to it.
    pub(crate) const fn is_there(&self) -> bool {
        self.flags & THERE != 0
    }

    /// What is known of it, if it exists.
    pub(crate) fn tracked(&self) -> Option<Tracked> {
        let mut from = Unpacker::new(&self.rest);
        users(&mut from);
        self.is_there().then(|| unpack(&self.keys, &mut from))
    }

    pub(crate) const fn is_listed(&self) -> bool {
        self.flags & LISTED != 0
    }

    /// The same object, listed.
    pub(crate) fn listed(mut self) -> Self {
        self.flags |= LISTED;
        self
    }

    /// The same with other users.
    pub(crate) fn with_users(&self, users: &[WorkloadId]) -> Self {
        let mut known = Unpacker::new(&self.rest);
        self::users(&mut known);
        let mut packer = Packer::default();
        pack_users(users, &mut packer);
        packer.raw(known.rest());
        Self {
            rest: packer.finish().into_vec().into(),
            ..self.clone()
        }
    }

    /// The same object as it is now; `None` if it is gone.
    pub(crate) fn with_tracked(&self, tracked: Option<&Tracked>) -> Self {
        let mut packer = Packer::default();
        pack_users(&self.users(), &mut packer);
        if let Some(tracked) = tracked {
            pack(tracked, &mut packer);
        }
        Self {
            flags: self.flags & LISTED | flag(tracked.is_some(), THERE),
            name: self.name,
            keys: tracked.map_or_else(Cow::default, |tracked| pack_keys(&tracked.object.content).into()),
            rest: packer.finish().into_vec().into(),
        }
    }
}

const fn flag(on: bool, flag: u8) -> u8 {
    if on { flag } else { 0 }
}

fn users(from: &mut Unpacker<'_>) -> Vec<WorkloadId> {
    (0..from.length())
        .map(|_| WorkloadId::new(usize::try_from(from.number()).unwrap_or(usize::MAX)))
        .collect()
}

fn pack_users(users: &[WorkloadId], to: &mut Packer) {
    to.length(users.len());
    users.iter().for_each(|user| to.length(user.index()));
}

fn pack_keys(content: &Content) -> Vec<u8> {
    content.entries().iter().flat_map(|entry| entry.to_bytes().0).collect()
}

fn pack(tracked: &Tracked, to: &mut Packer) {
    let Tracked {
        object,
        change,
        changed,
    } = tracked;
    let change = match change {
        Change::Found => 0,
        Change::Created => 1,
        Change::Modified => 2,
    };
    to.byte(
        flag(object.immutable, IMMUTABLE)
            | flag(object.ignored, IGNORED)
            | flag(object.matched, MATCHED)
            | flag(object.created.is_some(), CREATED)
            | flag(object.written.is_some(), WRITTEN)
            | flag(object.rewritten, REWRITTEN)
            | flag(object.revision.is_some(), REVISION)
            | flag(object.sha1.is_some(), SHA1),
    );
    to.byte(changed.tag() << 4 | change);
    if let Some(created) = object.created {
        to.near(created.0, 0);
    }
    if let Some(written) = object.written {
        to.near(written.0, object.created.map_or(0, |created| created.0));
    }
    if let Some(revision) = object.revision {
        to.number(revision.0);
    }
    changed.pack(object.revision, to);
    if let Some(hash) = &object.sha1 {
        to.raw(hash.bytes());
    }
    let entries = object.content.entries();
    entries.iter().for_each(|entry| to.raw(&entry.to_bytes().1));
}

fn unpack(keys: &[u8], from: &mut Unpacker<'_>) -> Tracked {
    let (flags, change) = (from.byte(), from.byte());
    let created = (flags & CREATED != 0).then(|| UnixSeconds(from.near(0)));
    let written = (flags & WRITTEN != 0).then(|| UnixSeconds(from.near(created.map_or(0, |created| created.0))));
    let revision = (flags & REVISION != 0).then(|| Revision(from.number()));
    let changed = Since::unpack(change >> 4, revision, from);
    let sha1 = (flags & SHA1 != 0).then(|| Sha1::from_bytes(from.raw()));
    let mut keys = Unpacker::new(keys);
    let entries = std::iter::from_fn(|| (!keys.is_empty()).then(|| Entry::from_bytes(keys.raw(), from.raw())));
    Tracked {
        object: ConfigObject {
            content: Content::new(entries.collect()),
            immutable: flags & IMMUTABLE != 0,
            ignored: flags & IGNORED != 0,
            sha1,
            matched: flags & MATCHED != 0,
            created,
            written,
            rewritten: flags & REWRITTEN != 0,
            revision,
        },
        change: match change & 15 {
            0 => Change::Found,
            1 => Change::Created,
            _ => Change::Modified,
        },
        changed,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fixture::{content, object};
    use crate::sight::Sight;

    /// Reloader keeps every object whole, and twice while it waits its turn.
    #[test]
    fn reloader_defect_d2_an_object_takes_the_same_room_however_large_its_values_are() {
        let sizes = ["1".to_owned(), "x".repeat(1 << 20)].map(|value| {
            let object = object(&[("a", &value), ("b", "2")], 1, 1);
            let kept = Kept::named("db").with_tracked(Some(&Tracked::first(object, Sight::Live)));
            Page::of(&[kept]).unwrap().len()
        });
        assert!(sizes[0] == sizes[1] && sizes[0] < 100, "{sizes:?}");
    }

    proptest! {
        #[test]
        fn what_is_kept_comes_back_whole(
            data in prop::collection::btree_map("[a-z]{1,8}", "[a-z]{0,8}", 0..6),
            (immutable, ignored, matched, rewritten) in any::<(bool, bool, bool, bool)>(),
            (created, written) in any::<(Option<i64>, Option<i64>)>(),
            (revision, at) in any::<(Option<u64>, u64)>(),
            (change, since) in (0..3, 0..3),
            sha1 in any::<Option<[u8; Sha1::BYTES]>>(),
            (name, mut users, listed) in ("[a-z.-]{1,253}", prop::collection::btree_set(any::<u32>(), 0..4), any::<bool>()),
        ) {
            let data: Vec<(&str, &str)> = data.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            let object = ConfigObject {
                content: content(&data),
                immutable,
                ignored,
                sha1: sha1.map(Sha1::from_bytes),
                matched,
                created: created.map(UnixSeconds),
                written: written.map(UnixSeconds),
                rewritten,
                revision: revision.map(Revision),
            };
            let change = match change { 0 => Change::Found, 1 => Change::Created, _ => Change::Modified };
            let changed = match since { 0 => Since::At(Revision(at)), 1 => Since::AtMost(Revision(at)), _ => Since::Unknown };
            let tracked = Tracked { object, change, changed };
            users.remove(&u32::MAX);
            let users: Vec<WorkloadId> = users.into_iter().map(|user| WorkloadId::new(user as usize)).collect();

            let kept = Kept::named(&name).with_users(&users).with_tracked(Some(&tracked));
            let kept = if listed { kept.listed() } else { kept };
            let gone = Kept::named("a.gone").with_users(&users);
            // Between two with the same keys one without any; then one with others.
            let other = Kept::named("z").with_tracked(Some(&Tracked { object: ConfigObject { content: content(&[("k", "v")]), ..tracked.object.clone() }, ..tracked.clone() }));
            let all = [kept.clone(), gone.clone(), kept, other.clone()];
            let page = Page::of(&all).unwrap();
            let back: Vec<Kept<'_>> = page.iter().collect();
            prop_assert_eq!((back.len(), page.first_name()), (all.len(), &*name));
            for (back, put) in back.iter().zip(&all) {
                prop_assert_eq!((back.name(), back.is_listed(), back.is_there()), (put.name(), put.is_listed(), put.is_there()));
                prop_assert_eq!((back.users(), back.tracked()), (put.users(), put.tracked()));
            }
            prop_assert_eq!(back[2].tracked(), Some(tracked));
            prop_assert_eq!((back[1].users(), back[1].tracked()), (users.clone(), None));
            let gone = back[0].with_tracked(None);
            prop_assert_eq!((gone.name(), gone.is_listed(), gone.is_there()), (&*name, listed, false));
            prop_assert_eq!((gone.users(), gone.tracked()), (users, None));
        }

        #[test]
        fn what_is_listed_is_noted_where_it_stands(names in prop::collection::btree_set("[a-z]{1,9}", 1..9), one: prop::sample::Index) {
            let all: Vec<Kept<'_>> = names.iter().map(|name| Kept::named(name)).collect();
            let mut page = Page::of(&all).unwrap();
            let one = one.get(&all).name();
            page.set_listed(true, Some(one));
            prop_assert!(page.iter().all(|kept| kept.is_listed() == (kept.name() == one)));
            page.set_listed(true, None);
            prop_assert!(page.iter().all(|kept| kept.is_listed()));
            page.set_listed(false, None);
            prop_assert_eq!(page.iter().filter(Kept::is_listed).count(), 0);
            prop_assert_eq!(page.iter().map(|kept| kept.name().to_owned()).collect::<Vec<_>>(), names.iter().cloned().collect::<Vec<_>>());
        }
    }

    #[test]
    fn keys_that_neighbours_share_are_there_once() {
        let content = content(&[("a", "1"), ("b", "2"), ("c", "3")]);
        let tracked = Tracked {
            change: Change::Found,
            changed: Since::Unknown,
            object: ConfigObject {
                content,
                immutable: false,
                ignored: false,
                sha1: None,
                matched: false,
                created: None,
                written: None,
                rewritten: false,
                revision: None,
            },
        };
        let names = ["a", "b", "c", "d"];
        let all: Vec<Kept<'_>> = names
            .iter()
            .map(|name| Kept::named(name).with_tracked(Some(&tracked)))
            .collect();
        let length = |count: usize| Page::of(&all[..count]).unwrap().len();
        assert_eq!(length(4) - length(3), length(2) - length(1));
        assert_eq!(length(1) - (length(2) - length(1)), 3 * KEY + 1);
    }
}
