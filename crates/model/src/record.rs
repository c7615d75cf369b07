//! `afresh.dev/applied`: what a workload was last brought up to, written on the workload itself.
//!
//! ```json
//! {"version":1,"uid":"…","at":"2026-11-21T10:00:00Z","template":"9f…","objects":{"configmap/web":["1a2b3c4d:…"]}}
//! ```
//! Per object there is a fingerprint for each set of keys that is used together. A reader compares only fingerprints
//! of the same basis, so a record stays true when the references, the policy or the digest key change.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::digest::{Basis, Digest, Fingerprint, TemplateHash};
use crate::name::ConfigRef;
use crate::time::UnixSeconds;

/// The only version there is.
const VERSION: u32 = 1;

/// What a workload was last brought up to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The `metadata.uid` of the workload it was written on: a copy of the annotation on another workload, or on one
    /// restored from a backup, says nothing about that one's pods.
    pub uid: Box<str>,
    /// When the record was written.
    pub at: UnixSeconds,
    /// The pod template then, so that a later change by somebody else can be told.
    pub template: Option<TemplateHash>,
    /// The rolls that followed each other closely.
    pub rolls: Rolls,
    /// The replacement of its pods that is under way by eviction. `applied` is what they ran before it.
    pub evicting: Option<Box<Evicting>>,
    /// The fingerprints.
    pub applied: Applied,
}

/// Pods that are being evicted one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evicting {
    /// The digest of all that the new pods start on ([`Applied::config_digest`]).
    pub config: Digest,
    /// Pods made at this time or before are to go: by the API server's clock, as `metadata.creationTimestamp`.
    pub since: UnixSeconds,
}

/// The latest rolls of a workload, for the flap breaker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rolls {
    /// How many rolls followed each other closely, the last one included.
    pub streak: u32,
    /// When the last one was.
    pub last: Option<UnixSeconds>,
}

/// Fingerprints per object. Sorted slices: one is kept of every workload, and a map would take four times the room.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied(Box<[(ConfigRef, Box<[Fingerprint]>)]>);

impl Applied {
    /// What was applied of the object's keys that `basis` names.
    #[must_use]
    pub fn digest(&self, object: &ConfigRef, basis: Basis) -> Option<Digest> {
        let prints = self.of(object).iter();
        prints
            .copied()
            .find(|print| print.basis == basis)
            .map(|print| print.digest)
    }

    /// All fingerprints of an object.
    #[must_use]
    pub fn of(&self, object: &ConfigRef) -> &[Fingerprint] {
        match self.place(object) {
            Ok(place) => &self.0[place].1,
            Err(_) => &[],
        }
    }

    /// All objects with their fingerprints, sorted.
    pub(crate) const fn all(&self) -> &[(ConfigRef, Box<[Fingerprint]>)] {
        &self.0
    }

    /// What [`Self::all`] gave.
    pub(crate) const fn of_sorted(all: Box<[(ConfigRef, Box<[Fingerprint]>)]>) -> Self {
        Self(all)
    }

    /// Adds a fingerprint; one of the same basis is replaced.
    pub fn set(&mut self, object: &ConfigRef, fingerprint: Fingerprint) {
        let place = self.place(object);
        let known = self.of(object).iter().copied();
        let others = known.filter(|known| known.basis != fingerprint.basis);
        let mut prints: Vec<Fingerprint> = others.chain([fingerprint]).collect();
        prints.sort_unstable();
        let prints = prints.into_boxed_slice();
        match place {
            Ok(place) => self.0[place].1 = prints,
            Err(place) => {
                let mut all = std::mem::take(&mut self.0).into_vec();
                all.insert(place, (object.clone(), prints));
                self.0 = all.into_boxed_slice();
            }
        }
    }

    fn place(&self, object: &ConfigRef) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| known.cmp(object))
    }

    /// Whether every fingerprint of `other` is here too.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        other
            .0
            .iter()
            .all(|(object, prints)| prints.iter().all(|print| self.of(object).contains(print)))
    }

    /// One digest of everything: the value of `afresh.dev/config`. Equal content gives equal digests, so that writing
    /// it twice changes nothing.
    #[must_use]
    pub fn config_digest(&self) -> Digest {
        let lines: Vec<String> = self
            .0
            .iter()
            .flat_map(|(object, fingerprints)| fingerprints.iter().map(move |print| format!("{object}={print}")))
            .collect();
        let parts: Vec<&[u8]> = lines.iter().map(String::as_bytes).collect();
        Digest::of("afresh/config/1", &parts)
    }

    /// Whether nothing is recorded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// An annotation value that is not a record.
#[derive(Debug, Error)]
pub enum RecordError {
    /// Not the JSON of a record.
    #[error("it is not a record: {0}; remove the annotation and Afresh adopts the workload anew")]
    Malformed(#[from] serde_json::Error),
    /// Written by a version that knows more.
    #[error("it has version {0}, this program knows version {VERSION}; remove the annotation or run a newer Afresh")]
    Version(u32),
    /// A part of it.
    #[error("{0}; remove the annotation and Afresh adopts the workload anew")]
    Part(String),
}

#[derive(Serialize, Deserialize)]
struct Wire {
    version: u32,
    uid: String,
    at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    template: Option<String>,
    #[serde(default, skip_serializing_if = "is_zero")]
    streak: u32,
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "rolledAt")]
    rolled_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    evicting: Option<EvictingWire>,
    objects: BTreeMap<String, Vec<String>>,
}

#[derive(Serialize, Deserialize)]
struct EvictingWire {
    config: String,
    since: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Record {
    /// Reads the annotation.
    ///
    /// # Errors
    /// See [`RecordError`]: the workload is then treated as seen for the first time.
    pub fn parse(text: &str) -> Result<Self, RecordError> {
        let wire: Wire = serde_json::from_str(text)?;
        if wire.version != VERSION {
            return Err(RecordError::Version(wire.version));
        }
        let part = |error: &dyn std::fmt::Display| RecordError::Part(error.to_string());
        let time = |text: &String| text.parse::<UnixSeconds>().map_err(|error| part(&error));
        let mut applied = Applied::default();
        for (object, fingerprints) in &wire.objects {
            let object: ConfigRef = object.parse().map_err(|error| part(&error))?;
            for fingerprint in fingerprints {
                applied.set(&object, fingerprint.parse().map_err(|error| part(&error))?);
            }
        }
        let evicting = |wire: &EvictingWire| {
            Ok::<_, RecordError>(Box::new(Evicting {
                config: wire.config.parse().map_err(|error| part(&error))?,
                since: time(&wire.since)?,
            }))
        };
        Ok(Self {
            uid: wire.uid.into(),
            at: time(&wire.at)?,
            template: wire
                .template
                .map(|text| text.parse().map_err(|error| part(&error)))
                .transpose()?,
            rolls: Rolls {
                streak: wire.streak,
                last: wire.rolled_at.as_ref().map(time).transpose()?,
            },
            evicting: wire.evicting.as_ref().map(evicting).transpose()?,
            applied,
        })
    }
}

impl std::fmt::Display for Record {
    /// The annotation's value: compact JSON, the same for equal records.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let texts = |prints: &[Fingerprint]| prints.iter().map(ToString::to_string).collect();
        let wire = Wire {
            version: VERSION,
            uid: self.uid.to_string(),
            at: self.at.to_string(),
            template: self.template.map(|hash| hash.to_string()),
            streak: self.rolls.streak,
            rolled_at: self.rolls.last.map(|time| time.to_string()),
            evicting: self.evicting.as_ref().map(|evicting| EvictingWire {
                config: evicting.config.to_string(),
                since: evicting.since.to_string(),
            }),
            objects: self
                .applied
                .0
                .iter()
                .map(|(object, prints)| (object.to_string(), texts(prints)))
                .collect(),
        };
        f.write_str(&serde_json::to_string(&wire).map_err(|_| std::fmt::Error)?)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::content::Content;
    use crate::selection::Selection;

    fn record() -> Record {
        let mut applied = Applied::default();
        applied.set(
            &"configmap/web".parse().unwrap(),
            Content::default().fingerprint(&Selection::all(), None),
        );
        applied.set(
            &"configmap/web".parse().unwrap(),
            Content::default().fingerprint(&Selection::text(), None),
        );
        Record {
            uid: "6f1c".into(),
            at: UnixSeconds(1_800_000_000),
            template: Some("0123456789abcdef".parse().unwrap()),
            rolls: Rolls {
                streak: 2,
                last: Some(UnixSeconds(1_799_999_999)),
            },
            evicting: None,
            applied,
        }
    }

    #[test]
    fn the_golden_record_never_changes() {
        assert_eq!(
            record().to_string(),
            concat!(
                r#"{"version":1,"uid":"6f1c","at":"2027-01-15T08:00:00Z","template":"0123456789abcdef","streak":2,"#,
                r#""rolledAt":"2027-01-15T07:59:59Z","objects":{"configmap/web":["#,
                r#""18a37476:5564451e878139ec4c7d2475861148ab","eac9e9e3:5564451e878139ec4c7d2475861148ab"]}}"#
            )
        );
    }

    #[test]
    fn a_record_reads_and_writes_the_same() {
        assert_eq!(Record::parse(&record().to_string()).unwrap(), record());
    }

    #[test]
    fn an_eviction_under_way_stands_in_the_record() {
        let evicting = Record {
            evicting: Some(Box::new(Evicting {
                config: Digest::of("x", &[]),
                since: UnixSeconds(1_800_000_000),
            })),
            ..record()
        };
        let text = evicting.to_string();
        assert!(
            text.contains(r#""evicting":{"config":"028f0df5b8596fbcd10c9720b7a4784f","since":"2027-01-15T08:00:00Z"}"#),
            "{text}"
        );
        assert_eq!(Record::parse(&text).unwrap(), evicting);
        let broken = text.replace("2027-01-15T08:00:00Z\"}", "soon\"}");
        assert!(
            Record::parse(&broken)
                .unwrap_err()
                .to_string()
                .starts_with("\"soon\" is not an RFC 3339 time")
        );
    }

    #[test]
    fn a_fingerprint_of_the_same_basis_is_replaced() {
        let object: ConfigRef = "configmap/web".parse().unwrap();
        let mut applied = record().applied;
        let (before, print) = (applied.clone(), Content::default().fingerprint(&Selection::all(), None));
        let changed = Fingerprint {
            digest: Digest::of("x", &[]),
            ..print
        };
        applied.set(&object, changed);
        assert_eq!(applied.of(&object).len(), 2);
        assert_eq!(applied.digest(&object, print.basis), Some(changed.digest));
        assert_ne!(applied.config_digest(), before.config_digest());
    }

    #[test]
    fn what_is_no_record_says_the_way_out() {
        let message = |text: &str| Record::parse(text).unwrap_err().to_string();
        assert!(
            message("").ends_with("remove the annotation and Afresh adopts the workload anew"),
            "{}",
            message("")
        );
        assert_eq!(
            message(r#"{"version":9,"uid":"","at":"x","objects":{}}"#),
            "it has version 9, this program knows version 1; remove the annotation or run a newer Afresh"
        );
        assert!(
            message(r#"{"version":1,"uid":"","at":"x","objects":{}}"#).starts_with("\"x\" is not an RFC 3339 time")
        );
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = Record::parse(&text);
        }

        #[test]
        fn no_json_of_the_right_shape_panics(at in "\\PC*", object in "\\PC*", print in "\\PC*", streak: u32) {
            let text = serde_json::json!({"version": 1, "uid": "u", "at": at, "streak": streak, "objects": {object: [print]}});
            let _ = Record::parse(&text.to_string());
        }
    }
}
