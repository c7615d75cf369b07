//! The one rule: compare what a workload's config objects say now with what the workload was last brought up to, and
//! choose the cheapest thing that is enough.
//!
//! [`plan`] is a pure function of state. It is called by the controller and by `afresh why`; there is no second one.

use afresh_model::digest::{Fingerprint, KeyId};
use afresh_model::name::{ConfigKind, ConfigRef};
use afresh_model::record::Applied;
use afresh_model::time::UnixSeconds;
use afresh_model::usage::{Mode, Use};
use afresh_model::workload::Workload;

use crate::evidence::Pods;
use crate::lifecycle::{Appear, Lifecycle};
use crate::sight::{Sighting, Tracked};

/// Where the planner looks up config objects, all in the workload's own namespace.
pub trait Objects {
    /// The object, if it exists.
    fn get(&self, object: &ConfigRef) -> Option<Tracked>;
    /// Objects that the globs of the workload's `afresh.dev/include` match and its excludes do not.
    fn included(&self, workload: &Workload) -> Vec<ConfigRef>;
}

/// What holds for all workloads alike.
#[derive(Debug, Clone, Copy)]
pub struct Context {
    /// Names the digest key of this installation.
    pub key: KeyId,
    /// Since when this installation is responsible: workloads older than this are adopted as they are.
    pub installed: Option<UnixSeconds>,
    /// Config objects are watched by a selector, so that one we do not see may well exist.
    pub partial: bool,
    /// What it means that an object appears or vanishes.
    pub lifecycle: Lifecycle,
}

/// What a plan is made from.
pub struct View<'a, O: ?Sized> {
    /// The workload.
    pub workload: &'a Workload,
    /// When its parts last changed.
    pub sighting: Sighting,
    /// The objects.
    pub objects: &'a O,
    /// What holds for all.
    pub context: Context,
    /// Its pods, if somebody looked.
    pub pods: Option<Pods>,
}

/// Compares and decides.
#[must_use]
pub fn plan<O: Objects + ?Sized>(view: &View<'_, O>) -> Plan {
    let mut draft = Draft::default();
    for usage in &view.workload.uses {
        draft.consider(view, usage);
    }
    for object in view.objects.included(view.workload) {
        if !view.workload.uses.iter().any(|usage| usage.object == object) {
            draft.consider(view, &Use::included(object));
        }
    }
    let verdict = draft.verdict(view.workload);
    let changed = newest_change(view, &draft.findings);
    let files = (!draft.files.is_empty()).then(|| draft.files.config_digest());
    Plan {
        verdict,
        findings: draft.findings,
        applied: draft.applied,
        files,
        changed,
    }
}

#[derive(Default)]
struct Draft {
    findings: Vec<Finding>,
    applied: Applied,
    /// The part of `applied` that a touch brings about.
    files: Applied,
    /// An object is not there, and would count for nothing if it appeared: only a record tells it from one that changed.
    awaits: bool,
}

impl Draft {
    fn consider<O: Objects + ?Sized>(&mut self, view: &View<'_, O>, usage: &Use) {
        let tracked = view.objects.get(&usage.object);
        let tracked = tracked.as_ref();
        if let Some(news) = aside(view, usage, tracked) {
            let class = usage.object.kind == ConfigKind::SecretProviderClass;
            let adopts = view.context.lifecycle.appear == Appear::Adopted;
            self.awaits |= adopts && !class && matches!(news, News::Unseen);
            self.carry_over(view.workload, &usage.object);
            self.findings.push(Finding {
                object: usage.object.clone(),
                news,
            });
            return;
        }
        let immutable = tracked.is_some_and(|tracked| tracked.object.immutable);
        let classes = usage.classes(view.workload.mode, immutable);
        let mut worst = News::Current;
        for (class, selection) in [
            (Class::Roll, &classes.roll),
            (Class::Touch, &classes.touch),
            (Class::None, &classes.unreachable),
        ] {
            if selection.is_empty() {
                continue;
            }
            let print = fingerprint(view, &usage.object, tracked, selection);
            let part = Part {
                class,
                selection,
                print,
            };
            let news = compare(view, usage, tracked, part);
            worst = if news.grade() > worst.grade() { news } else { worst };
            self.apply(view.workload, &usage.object, print, class, &news);
        }
        self.findings.push(Finding {
            object: usage.object.clone(),
            news: worst,
        });
    }

    fn apply(&mut self, workload: &Workload, object: &ConfigRef, print: Fingerprint, class: Class, news: &News) {
        // What cannot be reached stays recorded as it was, so that it stays visible.
        let old = workload
            .record
            .as_ref()
            .and_then(|record| record.applied.digest(object, print.basis));
        let digest = match news {
            // The same keys are refreshed too, and they have one place in the record: the touch must find its end.
            News::Unreachable(_) if self.applied.digest(object, print.basis).is_some() => return,
            News::Unreachable(_) | News::Unseen | News::Arriving => old,
            _ => Some(print.digest),
        };
        if let Some(digest) = digest {
            self.applied.set(object, Fingerprint { digest, ..print });
        }
        if class == Class::Touch {
            self.files.set(object, print);
        }
    }

    fn carry_over(&mut self, workload: &Workload, object: &ConfigRef) {
        let old = workload
            .record
            .as_ref()
            .map_or(&[][..], |record| record.applied.of(object));
        for &print in old {
            self.applied.set(object, print);
        }
    }

    fn verdict(&self, workload: &Workload) -> Verdict {
        let record = workload.record.as_deref();
        let any = |wanted: fn(&News) -> bool| self.findings.iter().any(|finding| wanted(&finding.news));
        let lacking = any(|news| matches!(news, News::Lacking(_)));
        if any(|news| matches!(news, News::Roll(_))) || is_mixed(workload) {
            return if lacking {
                Verdict::Blocked
            } else {
                Verdict::Roll(self.applied.config_digest())
            };
        }
        if any(|news| matches!(news, News::Uncertain)) {
            return Verdict::LookAtPods;
        }
        if any(|news| matches!(news, News::Touch(_))) {
            return Verdict::Touch(self.files.config_digest());
        }
        let recorded = record.is_some_and(|record| record.applied.contains(&self.applied));
        let nothing_to_say = self.applied.is_empty() && (record.is_some() || !self.awaits);
        if recorded || nothing_to_say {
            Verdict::Nothing
        } else {
            Verdict::Record
        }
    }
}

/// Its pods are being evicted one by one, so some run on what is recorded and some on what came then: also where the
/// content has gone back, only new pods are surely right.
fn is_mixed(workload: &Workload) -> bool {
    let under_way = workload.record.as_ref().is_some_and(|record| record.evicting.is_some());
    under_way && workload.mode != Mode::Touch
}

fn newest_change<O: Objects + ?Sized>(view: &View<'_, O>, findings: &[Finding]) -> Option<UnixSeconds> {
    if is_mixed(view.workload) {
        return None; // what went back meanwhile is no finding
    }
    let mut newest = None;
    for finding in findings {
        if matches!(finding.news, News::Roll(_) | News::Uncertain) {
            let tracked = view.objects.get(&finding.object)?;
            if time_is_silent(view, Some(&tracked)) {
                return None;
            }
            newest = newest.max(Some(tracked.object.written?));
        }
    }
    newest
}

pub use news::{Delta, Finding, News, Plan, Verdict};

use compare::{Class, Part, aside, compare, fingerprint, time_is_silent};

mod compare;
mod news;
mod past;
mod rotation;

#[cfg(test)]
mod tests;
