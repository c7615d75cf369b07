//! A config object as the index keeps it: one allocation without padding, because there are thousands that nobody uses.
//!
//! First whether it was listed and whether it is there, then its name, the places of the workloads that refer to it, and
//! what is known of it.

use afresh_model::content::{Content, Entry};
use afresh_model::name::Name;
use afresh_model::object::ConfigObject;
use afresh_model::packed::{Packer, Unpacker};
use afresh_model::reloader::sha1::Sha1;
use afresh_model::time::{Revision, UnixSeconds};

use crate::index::WorkloadId;
use crate::sight::{Change, Since, Tracked};

// The first byte.
const LISTED: u8 = 1;
const THERE: u8 = 2;

// The first byte of what is known.
const IMMUTABLE: u8 = 1;
const IGNORED: u8 = 2;
const CREATED: u8 = 4;
const WRITTEN: u8 = 8;
const REVISION: u8 = 16;
const MATCHED: u8 = 32;
const SHA1: u8 = 64;
const REWRITTEN: u8 = 128;

/// See the module's documentation. With four keys, a name of 13 characters and one user it takes some 130 bytes, where a
/// [`Tracked`] alone takes two allocations of 208.
#[derive(Debug)]
pub(crate) struct Kept(Box<[u8]>);

impl Kept {
    /// An object of which nothing is known but that somebody refers to it.
    pub(crate) fn named(name: &str) -> Self {
        let mut packer = Packer::default();
        packer.byte(0);
        packer.text(name);
        packer.length(0);
        Self(packer.finish())
    }

    pub(crate) fn name(&self) -> &str {
        Unpacker::new(&self.0[1..]).text()
    }

    /// The same as a name of its own.
    pub(crate) fn to_name(&self) -> Name {
        Unpacker::new(&self.0[1..]).name()
    }

    /// The workloads that refer to it, sorted.
    pub(crate) fn users(&self) -> Vec<WorkloadId> {
        let mut from = Unpacker::new(&self.0[1..]);
        from.text();
        users(&mut from)
    }

    /// Whether it exists; otherwise somebody refers to it.
    pub(crate) fn is_there(&self) -> bool {
        self.0[0] & THERE != 0
    }

    /// What is known of it, if it exists.
    pub(crate) fn tracked(&self) -> Option<Tracked> {
        let mut from = Unpacker::new(&self.0[1..]);
        from.text();
        users(&mut from);
        self.is_there().then(|| unpack(&mut from))
    }

    pub(crate) fn is_listed(&self) -> bool {
        self.0[0] & LISTED != 0
    }

    pub(crate) fn set_listed(&mut self, listed: bool) {
        self.0[0] = self.0[0] & !LISTED | flag(listed, LISTED);
    }

    /// The same with other users.
    pub(crate) fn with_users(&self, users: &[WorkloadId]) -> Self {
        self.with(users, self.tracked().as_ref())
    }

    /// The same object as it is now; `None` if it is gone.
    pub(crate) fn with_tracked(&self, tracked: Option<&Tracked>) -> Self {
        self.with(&self.users(), tracked)
    }

    fn with(&self, users: &[WorkloadId], tracked: Option<&Tracked>) -> Self {
        let mut packer = Packer::default();
        packer.byte(self.0[0] & LISTED | flag(tracked.is_some(), THERE));
        packer.text(self.name());
        packer.length(users.len());
        users.iter().for_each(|user| packer.length(user.index()));
        if let Some(tracked) = tracked {
            pack(tracked, &mut packer);
        }
        Self(packer.finish())
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
    to.length(entries.len());
    entries.iter().for_each(|entry| to.raw(&entry.to_bytes()));
}

fn unpack(from: &mut Unpacker<'_>) -> Tracked {
    let (flags, change) = (from.byte(), from.byte());
    let created = (flags & CREATED != 0).then(|| UnixSeconds(from.near(0)));
    let written = (flags & WRITTEN != 0).then(|| UnixSeconds(from.near(created.map_or(0, |created| created.0))));
    let revision = (flags & REVISION != 0).then(|| Revision(from.number()));
    let changed = Since::unpack(change >> 4, revision, from);
    let sha1 = (flags & SHA1 != 0).then(|| Sha1::from_bytes(from.raw()));
    let entries = (0..from.length()).map(|_| Entry::from_bytes(&from.raw()));
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
            kept.0.len()
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

            let mut kept = Kept::named(&name);
            kept.set_listed(listed);
            let kept = kept.with_users(&users).with_tracked(Some(&tracked));
            prop_assert_eq!((kept.name(), kept.is_listed(), kept.is_there()), (&*name, listed, true));
            prop_assert_eq!(kept.users(), users.clone());
            prop_assert_eq!(kept.tracked(), Some(tracked));
            let gone = kept.with_tracked(None);
            prop_assert_eq!((gone.name(), gone.is_listed(), gone.is_there()), (&*name, listed, false));
            prop_assert_eq!((gone.users(), gone.tracked()), (users, None));
        }
    }
}
