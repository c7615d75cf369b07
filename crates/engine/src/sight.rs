//! How we came to know of a state, which decides what its revision proves.

use afresh_model::object::ConfigObject;
use afresh_model::packed::{Packer, Unpacker};
use afresh_model::time::Revision;
use afresh_model::workload::Workload;

/// How a state was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// In a list: it is as it was at some time before; what happened in between is not known.
    Listed,
    /// As it happened: in a watch, or in the answer to our own write.
    Live,
}

/// When something changed, as a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// At this very revision.
    At(Revision),
    /// Then or before.
    AtMost(Revision),
    /// No idea.
    Unknown,
}

impl Since {
    fn new(revision: Option<Revision>, exact: bool) -> Self {
        match (revision, exact) {
            (Some(revision), true) => Self::At(revision),
            (Some(revision), false) => Self::AtMost(revision),
            (None, _) => Self::Unknown,
        }
    }

    /// For packing: which variant it is, in two bits.
    pub(crate) const fn tag(self) -> u8 {
        match self {
            Self::At(_) => 0,
            Self::AtMost(_) => 1,
            Self::Unknown => 2,
        }
    }

    /// Packs the rest of it, which is mostly near to the revision of what changed.
    pub(crate) fn pack(self, near: Option<Revision>, to: &mut Packer) {
        if let Self::At(at) | Self::AtMost(at) = self {
            to.near(at.0.cast_signed(), origin(near));
        }
    }

    /// What was packed.
    pub(crate) fn unpack(tag: u8, near: Option<Revision>, from: &mut Unpacker<'_>) -> Self {
        let mut at = || Revision(from.near(origin(near)).cast_unsigned());
        match tag & 3 {
            0 => Self::At(at()),
            1 => Self::AtMost(at()),
            _ => Self::Unknown,
        }
    }

    /// Whether this was surely before `other`.
    #[must_use]
    pub fn surely_before(self, other: Self) -> bool {
        match (self, other) {
            (Self::At(own) | Self::AtMost(own), Self::At(other)) => own < other,
            _ => false,
        }
    }

    /// Whether this was surely after `other`.
    #[must_use]
    pub fn surely_after(self, other: Self) -> bool {
        match (self, other) {
            (Self::At(own), Self::At(other) | Self::AtMost(other)) => own > other,
            _ => false,
        }
    }
}

fn origin(near: Option<Revision>) -> i64 {
    near.map_or(0, |near| near.0.cast_signed())
}

/// What became of an object's content when it was last news.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It was found in a list.
    Found,
    /// We saw it come into being.
    Created,
    /// We saw its content change.
    Modified,
}

/// A config object and when its content was last news.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tracked {
    /// The object.
    pub object: ConfigObject,
    /// What its last news was.
    pub change: Change,
    /// When.
    pub changed: Since,
}

impl Tracked {
    /// The object as first seen, or seen again after it was gone.
    #[must_use]
    pub fn first(object: ConfigObject, sight: Sight) -> Self {
        Self::news(object, sight, Change::Created)
    }

    /// The object seen again. Only another content is news.
    #[must_use]
    pub fn next(&self, object: ConfigObject, sight: Sight) -> Self {
        if object.content == self.object.content {
            return Self { object, ..*self };
        }
        Self::news(object, sight, Change::Modified)
    }

    fn news(object: ConfigObject, sight: Sight, live: Change) -> Self {
        let changed = Since::new(object.revision, sight == Sight::Live);
        let change = if sight == Sight::Live { live } else { Change::Found };
        Self {
            object,
            change,
            changed,
        }
    }
}

/// When the parts of a workload that matter last changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    /// The pod template, by somebody else: pods made for it are younger than this.
    pub template: Since,
    /// What it uses, or that it is kept current at all.
    pub uses: Since,
}

impl Sighting {
    /// Packs it beside a workload of this revision.
    pub(crate) fn pack(self, revision: Option<Revision>, to: &mut Packer) {
        to.byte(self.template.tag() << 2 | self.uses.tag());
        self.template.pack(revision, to);
        self.uses.pack(revision, to);
    }

    /// What was packed.
    pub(crate) fn unpack(revision: Option<Revision>, from: &mut Unpacker<'_>) -> Self {
        let tags = from.byte();
        Self {
            template: Since::unpack(tags >> 2, revision, from),
            uses: Since::unpack(tags, revision, from),
        }
    }

    /// The workload as first seen. One that already has a record is not new: it was left alone for a while.
    #[must_use]
    pub fn first(workload: &Workload, sight: Sight) -> Self {
        let since = Since::new(workload.revision, sight == Sight::Live && workload.record.is_none());
        Self {
            template: since,
            uses: since,
        }
    }

    /// The workload seen again.
    #[must_use]
    pub fn next(self, before: &Workload, after: &Workload, sight: Sight) -> Self {
        let now = Since::new(after.revision, sight == Sight::Live);
        Self {
            template: if before.template == after.template || is_ours(before, after) {
                self.template
            } else {
                now
            },
            uses: if before.uses_alike(after) { self.uses } else { now },
        }
    }
}

/// Whether the template changed by our own roll: that foretells, in the record it writes, the marks it leaves.
fn is_ours(before: &Workload, after: &Workload) -> bool {
    let recorded = after.record.as_ref().and_then(|record| record.template);
    before.record != after.record && recorded == Some(after.template)
}
