//! A [`Workload`] as bytes. What few workloads have stays as it is: [`Rare`].

use std::time::Duration;

use super::{Packer, Unpacker, kind_bits, kind_of_bits};
use crate::digest::{Basis, Digest, Fingerprint, KeyHash, TemplateHash};
use crate::name::{ConfigKind, ConfigRef, Name};
use crate::pattern::{self, Pattern};
use crate::record::{Applied, Evicting, Record, Rolls};
use crate::reloader::marks::Marks;
use crate::reloader::pause::Pause;
use crate::selection::Selection;
use crate::time::{Revision, UnixSeconds};
use crate::usage::{Mode, Needs, Use};
use crate::workload::{Replace, Rollout, Workload};

/// What few workloads have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rare {
    include: Box<[Pattern]>,
    exclude: Box<[Pattern]>,
    marks: Option<Box<Marks>>,
    pause: Option<Box<Pause>>,
}

impl Rare {
    /// See [`Workload::includes`].
    #[must_use]
    pub fn includes(&self, kind: ConfigKind, name: &Name) -> bool {
        pattern::includes(&self.include, &self.exclude, kind, name)
    }
}

/// What the first bytes say, for those who look at all workloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// [`Workload::rollout`].
    pub rollout: Rollout,
    /// Whether its record says that its pods are being evicted.
    pub evicting: bool,
}

// What there is, in the second byte.
const SETTLE: u8 = 1;
const CREATED: u8 = 2;
const REVISION: u8 = 4;
const OWNER: u8 = 8;
const RECORD: u8 = 16;
const EVICTING: u8 = 32;

// The same of a record, in its first byte.
const OWN_UID: u8 = 1;
const OWN_TEMPLATE: u8 = 2;
const TEMPLATE: u8 = 4;
const ROLLED: u8 = 8;

const fn flag(on: bool, flag: u8) -> u8 {
    if on { flag } else { 0 }
}

/// Packs a workload; what few have comes back beside it.
pub fn pack(workload: Workload, to: &mut Packer) -> Option<Box<Rare>> {
    let record = workload.record.as_deref();
    let evicting = record.is_some_and(|record| record.evicting.is_some());
    to.byte(mode_bits(workload.mode) | rollout_bits(workload.rollout) << 2 | replace_bits(workload.replace) << 4);
    to.byte(
        flag(workload.settle.is_some(), SETTLE)
            | flag(workload.created.is_some(), CREATED)
            | flag(workload.revision.is_some(), REVISION)
            | flag(workload.owner.is_some(), OWNER)
            | flag(record.is_some(), RECORD)
            | flag(evicting, EVICTING),
    );
    pack_uid(&workload.uid, to);
    to.text(&workload.selector);
    to.raw(workload.template.bytes());
    if let Some(settle) = workload.settle {
        to.number(settle.as_secs());
        to.number(settle.subsec_nanos().into());
    }
    if let Some(created) = workload.created {
        to.near(created.0, 0);
    }
    if let Some(revision) = workload.revision {
        to.number(revision.0);
    }
    if let Some(owner) = &workload.owner {
        pack_uid(owner, to);
    }
    to.length(workload.uses.len());
    for usage in &workload.uses {
        pack_use(usage, to);
    }
    if let Some(record) = record {
        pack_record(record, &workload, to);
    }
    let Workload {
        include,
        exclude,
        marks,
        pause,
        ..
    } = workload;
    let rare = Rare {
        include,
        exclude,
        marks,
        pause,
    };
    (rare != Rare::default()).then(|| Box::new(rare))
}

/// What [`pack`] packed.
#[must_use]
pub fn unpack(from: &mut Unpacker<'_>, rare: Option<&Rare>) -> Workload {
    let (kinds, flags) = (from.byte(), from.byte());
    let rare = rare.cloned().unwrap_or_default();
    let mut workload = Workload {
        mode: mode_of_bits(kinds),
        rollout: rollout_of_bits(kinds >> 2),
        replace: replace_of_bits(kinds >> 4),
        uid: unpack_uid(from),
        selector: from.text().into(),
        template: TemplateHash::from_bytes(from.raw()),
        settle: (flags & SETTLE != 0).then(|| {
            let seconds = from.number();
            Duration::new(seconds, u32::try_from(from.number()).unwrap_or(0))
        }),
        created: (flags & CREATED != 0).then(|| UnixSeconds(from.near(0))),
        revision: (flags & REVISION != 0).then(|| Revision(from.number())),
        owner: (flags & OWNER != 0).then(|| unpack_uid(from)),
        uses: Box::default(),
        record: None,
        include: rare.include,
        exclude: rare.exclude,
        marks: rare.marks,
        pause: rare.pause,
    };
    workload.uses = (0..from.length()).map(|_| unpack_use(from)).collect();
    workload.record = (flags & RECORD != 0).then(|| Box::new(unpack_record(&workload, flags, from)));
    workload
}

/// The first bytes of what [`pack`] packed.
#[must_use]
pub fn head(mut from: Unpacker<'_>) -> Head {
    Head {
        rollout: rollout_of_bits(from.byte() >> 2),
        evicting: from.byte() & EVICTING != 0,
    }
}

fn pack_use(usage: &Use, to: &mut Packer) {
    let needs = match &usage.needs {
        Needs::Nothing => 0,
        Needs::Unknown => 1,
        Needs::Object(_) => 2,
    };
    to.byte(kind_bits(usage.object.kind) | needs << 2 | flag(usage.only_matched, 16));
    to.text(usage.object.name.as_str());
    for selection in [&usage.frozen, &usage.hot, &usage.cold] {
        let (text, binary, keys) = selection.parts();
        to.byte(flag(text, 1) | flag(binary, 2) | flag(!keys.is_empty(), 4));
        if !keys.is_empty() {
            pack_keys(keys, to);
        }
    }
    if let Needs::Object(keys) = &usage.needs {
        pack_keys(keys, to);
    }
}

fn pack_keys(keys: &[KeyHash], to: &mut Packer) {
    to.length(keys.len());
    keys.iter().for_each(|key| to.raw(key.bytes()));
}

fn unpack_keys(from: &mut Unpacker<'_>) -> Box<[KeyHash]> {
    (0..from.length()).map(|_| KeyHash::from_bytes(from.raw())).collect()
}

fn unpack_use(from: &mut Unpacker<'_>) -> Use {
    let bits = from.byte();
    let object = ConfigRef {
        kind: kind_of_bits(bits),
        name: from.name(),
    };
    let [frozen, hot, cold] = std::array::from_fn(|_| {
        let bits = from.byte();
        let keys = if bits & 4 != 0 {
            unpack_keys(from)
        } else {
            Box::default()
        };
        Selection::from_parts(bits & 1 != 0, bits & 2 != 0, keys)
    });
    Use {
        object,
        frozen,
        hot,
        cold,
        needs: match bits >> 2 & 3 {
            0 => Needs::Nothing,
            1 => Needs::Unknown,
            _ => Needs::Object(unpack_keys(from)),
        },
        only_matched: bits & 16 != 0,
    }
}

fn pack_record(record: &Record, of: &Workload, to: &mut Packer) {
    let Record {
        uid,
        at,
        template,
        rolls,
        evicting,
        applied,
    } = record;
    let other_template = template.filter(|&template| template != of.template);
    to.byte(
        flag(*uid == of.uid, OWN_UID)
            | flag(*template == Some(of.template), OWN_TEMPLATE)
            | flag(other_template.is_some(), TEMPLATE)
            | flag(rolls.last.is_some(), ROLLED),
    );
    if *uid != of.uid {
        pack_uid(uid, to);
    }
    to.near(at.0, of.created.map_or(0, |created| created.0));
    if let Some(template) = other_template {
        to.raw(template.bytes());
    }
    to.number(rolls.streak.into());
    if let Some(last) = rolls.last {
        to.near(last.0, at.0);
    }
    if let Some(evicting) = evicting {
        to.raw(evicting.config.bytes());
        to.near(evicting.since.0, at.0);
    }
    let all = applied.all();
    to.length(all.len());
    for (object, prints) in all {
        // Mostly it is of what the workload uses: then its name is there already.
        match of.uses.binary_search_by(|usage| usage.object.cmp(object)) {
            Ok(place) => to.length(place + 1),
            Err(_) => {
                to.length(0);
                to.byte(kind_bits(object.kind));
                to.text(object.name.as_str());
            }
        }
        to.length(prints.len());
        for print in prints {
            to.raw(print.basis.bytes());
            to.raw(print.digest.bytes());
        }
    }
}

fn unpack_record(of: &Workload, workload_flags: u8, from: &mut Unpacker<'_>) -> Record {
    let flags = from.byte();
    let uid = if flags & OWN_UID != 0 {
        of.uid.clone()
    } else {
        unpack_uid(from)
    };
    let at = from.near(of.created.map_or(0, |created| created.0));
    let template = match flags & (OWN_TEMPLATE | TEMPLATE) {
        OWN_TEMPLATE => Some(of.template),
        TEMPLATE => Some(TemplateHash::from_bytes(from.raw())),
        _ => None,
    };
    let rolls = Rolls {
        streak: u32::try_from(from.number()).unwrap_or(0),
        last: (flags & ROLLED != 0).then(|| UnixSeconds(from.near(at))),
    };
    let evicting = (workload_flags & EVICTING != 0).then(|| {
        Box::new(Evicting {
            config: Digest::from_bytes(from.raw()),
            since: UnixSeconds(from.near(at)),
        })
    });
    let applied = (0..from.length()).map(|_| {
        let object = match from.number().checked_sub(1) {
            Some(place) => usize::try_from(place)
                .ok()
                .and_then(|place| of.uses.get(place))
                .map(|usage| usage.object.clone()),
            None => None,
        };
        let object = object.unwrap_or_else(|| ConfigRef {
            kind: kind_of_bits(from.byte()),
            name: from.name(),
        });
        let prints = (0..from.length()).map(|_| Fingerprint {
            basis: Basis::from_bytes(from.raw()),
            digest: Digest::from_bytes(from.raw()),
        });
        (object, prints.collect())
    });
    Record {
        uid,
        at: UnixSeconds(at),
        template,
        rolls,
        evicting,
        applied: Applied::of_sorted(applied.collect()),
    }
}

/// A UUID takes 17 bytes instead of 37.
fn pack_uid(uid: &str, to: &mut Packer) {
    match uuid(uid) {
        Some(bytes) => {
            to.byte(0);
            to.raw(&bytes);
        }
        None => {
            to.byte(1);
            to.text(uid);
        }
    }
}

fn unpack_uid(from: &mut Unpacker<'_>) -> Box<str> {
    match from.byte() {
        0 => written(&from.raw()).into(),
        _ => from.text().into(),
    }
}

/// The bytes of a UUID that is written as Kubernetes writes it.
fn uuid(text: &str) -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    let digits = text.bytes().filter(|&byte| byte != b'-');
    for (place, digit) in digits.enumerate() {
        let value = char::from(digit).to_digit(16)?;
        *bytes.get_mut(place / 2)? |= (value as u8) << if place % 2 == 0 { 4 } else { 0 };
    }
    (written(&bytes) == text).then_some(bytes)
}

fn written(uuid: &[u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (place, byte) in uuid.iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(digit.into(), 16).unwrap_or('0'));
        }
    }
    text
}

const fn mode_bits(mode: Mode) -> u8 {
    match mode {
        Mode::Auto => 0,
        Mode::Roll => 1,
        Mode::Touch => 2,
        Mode::Evict => 3,
    }
}

const fn mode_of_bits(bits: u8) -> Mode {
    match bits & 3 {
        0 => Mode::Auto,
        1 => Mode::Roll,
        2 => Mode::Touch,
        _ => Mode::Evict,
    }
}

const fn rollout_bits(rollout: Rollout) -> u8 {
    match rollout {
        Rollout::Complete => 0,
        Rollout::InProgress => 1,
        Rollout::Failed => 2,
        Rollout::Idle => 3,
    }
}

const fn rollout_of_bits(bits: u8) -> Rollout {
    match bits & 3 {
        0 => Rollout::Complete,
        1 => Rollout::InProgress,
        2 => Rollout::Failed,
        _ => Rollout::Idle,
    }
}

const fn replace_bits(replace: Replace) -> u8 {
    match replace {
        Replace::Template => 0,
        Replace::RestartAt => 1,
        Replace::Recreate => 2,
        Replace::Spawn => 3,
        Replace::Evict => 4,
    }
}

const fn replace_of_bits(bits: u8) -> Replace {
    match bits & 7 {
        0 => Replace::Template,
        1 => Replace::RestartAt,
        2 => Replace::Recreate,
        3 => Replace::Spawn,
        _ => Replace::Evict,
    }
}

#[cfg(test)]
mod tests;
