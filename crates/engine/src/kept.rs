//! A config object as the index keeps it: one allocation without padding, because there are thousands that nobody uses.

use afresh_model::content::{Content, Entry};
use afresh_model::object::ConfigObject;
use afresh_model::reloader::sha1::Sha1;
use afresh_model::time::{Revision, UnixSeconds};

use crate::sight::{Change, Since, Tracked};

/// Four numbers of eight bytes, two bytes that say what they mean, then Reloader's hash if there is one, then the entries.
const HEAD: usize = 34;

const IMMUTABLE: u8 = 1;
const IGNORED: u8 = 2;
const CREATED: u8 = 4;
const WRITTEN: u8 = 8;
const REVISION: u8 = 16;
const SHA1: u8 = 64;
const MATCHED: u8 = 32;

/// See the module's documentation. Four keys take 134 bytes, where a [`Tracked`] takes two allocations of 208.
#[derive(Debug)]
pub(crate) struct Kept(Box<[u8]>);

impl Kept {
    pub(crate) fn new(tracked: &Tracked) -> Self {
        let Tracked {
            object,
            change,
            changed,
        } = tracked;
        let entries = object.content.entries();
        let (since, at) = match changed {
            Since::At(at) => (0, at.0),
            Since::AtMost(at) => (1, at.0),
            Since::Unknown => (2, 0),
        };
        let change = match change {
            Change::Found => 0,
            Change::Created => 1,
            Change::Modified => 2,
        };
        let flag = |on: bool, flag: u8| if on { flag } else { 0 };
        let flags = flag(object.immutable, IMMUTABLE)
            | flag(object.ignored, IGNORED)
            | flag(object.matched, MATCHED)
            | flag(object.created.is_some(), CREATED)
            | flag(object.written.is_some(), WRITTEN)
            | flag(object.revision.is_some(), REVISION)
            | flag(object.sha1.is_some(), SHA1);
        let seconds = |time: Option<UnixSeconds>| time.map_or(0, |time| time.0).to_le_bytes();
        let hash = object.sha1.as_ref().map_or(&[][..], |hash| hash.bytes());
        let mut bytes = Vec::with_capacity(HEAD + hash.len() + entries.len() * Entry::BYTES);
        bytes.extend_from_slice(&seconds(object.created));
        bytes.extend_from_slice(&seconds(object.written));
        bytes.extend_from_slice(&object.revision.map_or(0, |revision| revision.0).to_le_bytes());
        bytes.extend_from_slice(&at.to_le_bytes());
        bytes.extend_from_slice(&[flags, since << 4 | change]);
        bytes.extend_from_slice(hash);
        for entry in entries {
            bytes.extend_from_slice(&entry.to_bytes());
        }
        Self(bytes.into())
    }

    /// What was kept.
    pub(crate) fn tracked(&self) -> Tracked {
        let flags = self.0[32];
        let time = |place, flag| (flags & flag != 0).then(|| UnixSeconds(i64::from_le_bytes(self.number(place))));
        let revision = |place| Revision(u64::from_le_bytes(self.number(place)));
        let rest = &self.0[HEAD..];
        let (sha1, rest) = match rest.split_first_chunk() {
            Some((hash, rest)) if flags & SHA1 != 0 => (Some(Sha1::from_bytes(*hash)), rest),
            _ => (None, rest),
        };
        let (entries, _) = rest.as_chunks::<{ Entry::BYTES }>();
        let object = ConfigObject {
            content: Content::new(entries.iter().map(Entry::from_bytes).collect()),
            immutable: flags & IMMUTABLE != 0,
            ignored: flags & IGNORED != 0,
            sha1,
            matched: flags & MATCHED != 0,
            created: time(0, CREATED),
            written: time(1, WRITTEN),
            revision: (flags & REVISION != 0).then(|| revision(2)),
        };
        Tracked {
            object,
            change: match self.0[33] & 15 {
                0 => Change::Found,
                1 => Change::Created,
                _ => Change::Modified,
            },
            changed: match self.0[33] >> 4 {
                0 => Since::At(revision(3)),
                1 => Since::AtMost(revision(3)),
                _ => Since::Unknown,
            },
        }
    }

    fn number(&self, place: usize) -> [u8; 8] {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.0[place * 8..place * 8 + 8]);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fixture::content;

    proptest! {
        #[test]
        fn what_is_kept_comes_back_whole(
            data in prop::collection::btree_map("[a-z]{1,8}", "[a-z]{0,8}", 0..6),
            (immutable, ignored, matched) in any::<(bool, bool, bool)>(),
            (created, written) in any::<(Option<i64>, Option<i64>)>(),
            (revision, at) in any::<(Option<u64>, u64)>(),
            (change, since) in (0..3, 0..3),
            sha1 in any::<Option<[u8; Sha1::BYTES]>>(),
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
                revision: revision.map(Revision),
            };
            let change = match change { 0 => Change::Found, 1 => Change::Created, _ => Change::Modified };
            let changed = match since { 0 => Since::At(Revision(at)), 1 => Since::AtMost(Revision(at)), _ => Since::Unknown };
            let tracked = Tracked { object, change, changed };
            prop_assert_eq!(Kept::new(&tracked).tracked(), tracked);
        }
    }
}
