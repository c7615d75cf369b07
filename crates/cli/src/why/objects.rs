//! The config objects of a workload: by which references, how fresh, what was applied, what is.

use std::collections::{BTreeMap, BTreeSet};

use afresh_engine::plan::{News, Plan};
use afresh_model::annotation::IGNORE;
use afresh_model::content::Content;
use afresh_model::digest::{Digest, KeyHash};
use afresh_model::name::{ConfigKind, ConfigRef};
use afresh_model::object::Lack;
use afresh_model::policy::{Hot, Policy};
use afresh_model::reference::{Freshness, Keys, Reference, User, Via};
use afresh_model::selection::Selection;
use afresh_model::usage::{Classes, Mode, Use, uses};
use afresh_model::workload::{Reading, Workload};

use super::explanation::{ContentView, MarkState, MarkView, ObjectState, ObjectView, ReferenceView, Takes};
use super::facts::{Facts, Seen};
use super::{dialect, marked};

/// Shows every object that the workload refers to or includes.
pub(crate) fn objects(facts: &Facts, reading: &Reading, kept: Option<(&Workload, &Plan)>) -> Vec<ObjectView> {
    let news: BTreeMap<&ConfigRef, News> = kept
        .iter()
        .flat_map(|(_, plan)| plan.findings.iter().map(|finding| (&finding.object, finding.news)))
        .collect();
    let referred = reading.references.iter().map(|reference| &reference.object);
    let all: BTreeSet<&ConfigRef> = referred.chain(news.keys().copied()).collect();
    let view = |object| {
        Viewer {
            facts,
            reading,
            workload: kept.map(|(workload, _)| workload),
            object,
            news: news.get(object).copied(),
        }
        .view()
    };
    all.into_iter().map(view).collect()
}

struct Viewer<'a> {
    facts: &'a Facts,
    reading: &'a Reading,
    workload: Option<&'a Workload>,
    object: &'a ConfigRef,
    news: Option<News>,
}

impl Viewer<'_> {
    fn view(&self) -> ObjectView {
        let state = self.state();
        let found = self.facts.object(self.object);
        let references: Vec<&Reference> = self
            .reading
            .references
            .iter()
            .filter(|reference| reference.object == *self.object)
            .collect();
        let views: Vec<ReferenceView> = references
            .iter()
            .map(|reference| self.reference(reference, state))
            .collect();
        ObjectView {
            object: self.object.to_string(),
            state,
            says: self.says(state, &references),
            exists: match self.facts.objects.get(self.object) {
                Some(Seen::There(..) | Seen::Unselected) => Some(true),
                Some(Seen::Absent) => Some(false),
                Some(Seen::Unread(_)) | None => None,
            },
            immutable: self.is_immutable(),
            written: found.and_then(|found| found.written).map(|time| time.to_string()),
            named_by: self.workload.and_then(|_| dialect::naming(self.facts, self.object)),
            mark: self.mark(),
            content: self.content(state, &references),
            references: views,
        }
    }

    fn state(&self) -> ObjectState {
        if self.policy().excludes(self.object.kind, &self.object.name) {
            return ObjectState::Excluded;
        }
        if self.uncounted().is_some() {
            return ObjectState::Uncounted;
        }
        let Some(news) = self.news else {
            return ObjectState::NotCompared;
        };
        let ignored = self.facts.object(self.object).is_some_and(|object| object.ignored);
        match (self.facts.objects.get(self.object), news) {
            (Some(Seen::Unread(_)), _) => ObjectState::Unread,
            (Some(Seen::Unselected), _) => ObjectState::Unselected,
            (_, News::Ignored) if !ignored => ObjectState::NoDigestKey,
            (_, News::Ignored) => ObjectState::Ignored,
            (_, News::Unmatched) => ObjectState::Unmatched,
            (_, News::Current) => ObjectState::Current,
            (_, News::Unseen) => ObjectState::Absent,
            (_, News::Arriving) => ObjectState::Arriving,
            (_, News::Adopted) => ObjectState::Adopted,
            (_, News::Covered) => ObjectState::Covered,
            (_, News::Unreachable(_)) => ObjectState::Unreachable,
            (_, News::Touch(_)) => ObjectState::Touch,
            (_, News::Roll(_)) => ObjectState::Roll,
            (_, News::Uncertain) => ObjectState::Uncertain,
            (_, News::Lacking(Lack::Object)) => ObjectState::Missing,
            (_, News::Lacking(Lack::Key)) => ObjectState::MissingKey,
        }
    }

    fn says(&self, state: ObjectState, references: &[&Reference]) -> String {
        let absent = matches!(self.facts.objects.get(self.object), Some(Seen::Absent));
        let text = match state {
            ObjectState::NotCompared => "not compared, because the workload is left alone",
            ObjectState::Excluded => return self.excluded(),
            ObjectState::Current if absent => "current: it was not there before either, and is optional",
            ObjectState::Current => "current",
            ObjectState::Uncounted => return format!("does not count: {}", self.uncounted().unwrap_or_default()),
            ObjectState::Unselected => return self.unselected(),
            ObjectState::Ignored => return self.ignored(),
            ObjectState::Unmatched => return self.unmatched(),
            ObjectState::Absent if self.object.kind == ConfigKind::SecretProviderClass => {
                "nothing newer than what is recorded is mounted in any pod"
            }
            ObjectState::Arriving => {
                "changed; a pod of the rollout that is under way was the first to get it: when that is over, the pods tell"
            }
            ObjectState::Absent => "not there; it is only included, so nothing waits for it",
            ObjectState::Adopted if absent => "not there, and optional: taken as it is",
            ObjectState::Adopted if self.is_marked(MarkState::Current) => {
                "not recorded yet, and Reloader's mark says that the pods started on this content"
            }
            ObjectState::Adopted if self.is_marked(MarkState::Older) => {
                "changed since Reloader's mark was made, but the pods are younger than the change: they have it"
            }
            ObjectState::Adopted => "not recorded yet: taken as it is, the pods started on this content",
            ObjectState::Covered => "changed, but there is no pod that is older: they have it",
            ObjectState::Unreachable => "changed, and stays unseen: only new pods would see it",
            ObjectState::Touch => "changed: the files in the pods are to be refreshed",
            ObjectState::Roll if self.is_marked(MarkState::Older) => {
                "changed since Reloader's mark was made: new pods are needed"
            }
            ObjectState::Roll if self.is_surely_changed() => "changed: new pods are needed",
            ObjectState::Roll => "may have changed since the pods started: new pods are needed",
            ObjectState::Uncertain => "may have changed since the pods started",
            ObjectState::Missing => "not there, and pods cannot start without it",
            ObjectState::MissingKey => return self.missing_keys(references),
            ObjectState::Unread => return self.unread(),
            ObjectState::NoDigestKey => "there, but not compared: the digest key is not known",
        };
        text.to_owned()
    }

    fn uncounted(&self) -> Option<String> {
        self.workload
            .and_then(|_| self.facts.uncounted(self.policy(), self.object))
    }

    fn mark(&self) -> Option<MarkView> {
        self.workload
            .and_then(|workload| marked::mark(self.facts, workload, self.object))
    }

    fn is_marked(&self, state: MarkState) -> bool {
        self.mark().is_some_and(|mark| mark.state == state)
    }

    fn unselected(&self) -> String {
        let selector = self.facts.setup.config.selector.as_deref().unwrap_or_default();
        format!("does not count: its labels do not match the controller's selector {selector}")
    }

    fn ignored(&self) -> String {
        let theirs = self.facts.conventions.reloader.as_ref();
        let theirs = theirs.map_or_else(String::new, |keys| format!(", or {}: true", keys.ignore));
        format!("ignored: it says {IGNORE}: true{theirs}")
    }

    fn unmatched(&self) -> String {
        let keys = self.facts.conventions.reloader.clone().unwrap_or_default();
        format!(
            "does not count: the workload searches ({}), and the object does not say {}: true",
            keys.search, keys.matching
        )
    }

    fn is_surely_changed(&self) -> bool {
        matches!(self.news, Some(News::Roll(delta)) if delta.from.is_some())
    }

    fn excluded(&self) -> String {
        let mut patterns = self.policy().exclude.iter();
        let pattern = patterns.find(|pattern| pattern.matches(self.object.kind, &self.object.name));
        let pattern = pattern.map(ToString::to_string).unwrap_or_default();
        let key = self.facts.excluding(self.object);
        format!("excluded by {key}: {pattern}")
    }

    fn missing_keys(&self, references: &[&Reference]) -> String {
        let content = self.facts.object(self.object).map(|object| &object.content);
        let required = references.iter().filter(|reference| !reference.optional);
        let names: BTreeSet<&str> = required
            .filter_map(|reference| match &reference.keys {
                Keys::Named(names) => Some(names),
                Keys::All | Keys::Text | Keys::None => None,
            })
            .flatten()
            .filter(|name| content.is_some_and(|content| !content.has(KeyHash::of(name))))
            .map(|name| &**name)
            .collect();
        let noun = if names.len() == 1 { "key" } else { "keys" };
        let names: Vec<&str> = names.into_iter().collect();
        format!("there, but without the {noun} {}: pods cannot start", names.join(", "))
    }

    fn unread(&self) -> String {
        match self.facts.objects.get(self.object) {
            Some(Seen::Unread(why)) => format!("not compared: {why}"),
            _ => "not compared".to_owned(),
        }
    }

    fn reference(&self, reference: &Reference, state: ObjectState) -> ReferenceView {
        let immutable = self.is_immutable();
        let said = &self.policy().hot;
        let hot = !immutable && reference.is_hot(said);
        let by_agent = hot && *said == Hot::Unsaid;
        let aside = state.is_left_out();
        ReferenceView {
            user: reference.user.to_string(),
            via: reference.via.to_string(),
            keys: reference.keys.to_string(),
            optional: reference.optional,
            freshness: if immutable {
                Freshness::Frozen
            } else {
                reference.freshness
            },
            hot,
            reread_by: reference
                .reread_by
                .as_deref()
                .filter(|_| by_agent)
                .map(ToOwned::to_owned),
            why: why(reference, immutable),
            takes: self
                .workload
                .filter(|_| !aside)
                .map(|workload| self.takes(reference, workload.mode)),
        }
    }

    /// What a change takes, by the same rule that gathers all references, applied to this one alone.
    fn takes(&self, reference: &Reference, mode: Mode) -> Takes {
        let mut own = self.policy().clone();
        own.include
            .retain(|pattern| pattern.matches(self.object.kind, &self.object.name));
        let usage = uses(std::slice::from_ref(reference), &own).pop();
        let classes = usage.map(|usage| usage.classes(mode, self.is_immutable()));
        let chosen = classes.iter().flat_map(by_class).find(|(_, keys)| !keys.is_empty());
        chosen.map_or(Takes::Nothing, |(takes, _)| takes)
    }

    fn content(&self, state: ObjectState, references: &[&Reference]) -> Vec<ContentView> {
        let unknown = matches!(
            state,
            ObjectState::Unmatched | ObjectState::Unread | ObjectState::NoDigestKey | ObjectState::Absent
        );
        let Some(workload) = self.workload.filter(|_| !state.is_left_out() && !unknown) else {
            return Vec::new();
        };
        let own = workload.uses.iter().find(|usage| usage.object == *self.object);
        let usage = own.cloned().unwrap_or_else(|| Use::included(self.object.clone()));
        let classes = usage.classes(workload.mode, self.is_immutable());
        let used = by_class(&classes).into_iter().filter(|(_, keys)| !keys.is_empty());
        used.map(|(takes, selection)| {
            let named = references
                .iter()
                .filter(|reference| self.takes(reference, workload.mode) == takes);
            let keys = union(named.map(|reference| &reference.keys), selection);
            let digests = self.digests(workload, selection);
            ContentView {
                takes,
                keys,
                applied: digests.0.map(|digest| digest.to_string()),
                // Nothing is content too, but not where something is required.
                current: (state != ObjectState::Missing).then(|| digests.1.to_string()),
            }
        })
        .collect()
    }

    /// What was applied of the selected keys, if that is known, and what is.
    fn digests(&self, workload: &Workload, selection: &Selection) -> (Option<Digest>, Digest) {
        let key = (self.object.kind == ConfigKind::Secret).then_some(self.facts.context.key);
        let empty = Content::default();
        let content = self.facts.object(self.object).map_or(&empty, |found| &found.content);
        let print = content.fingerprint(selection, key);
        let record = workload.record.as_deref();
        let applied = record.and_then(|record| record.applied.digest(self.object, print.basis));
        (applied, print.digest)
    }

    fn policy(&self) -> &Policy {
        &self.reading.policy
    }

    fn is_immutable(&self) -> bool {
        self.facts.object(self.object).is_some_and(|object| object.immutable)
    }
}

fn by_class(classes: &Classes) -> [(Takes, &Selection); 3] {
    [
        (Takes::Roll, &classes.roll),
        (Takes::Touch, &classes.touch),
        (Takes::Unreachable, &classes.unreachable),
    ]
}

/// The keys of several references in words.
fn union<'a>(keys: impl Iterator<Item = &'a Keys>, selection: &Selection) -> String {
    if *selection == Selection::all() {
        return Keys::All.to_string();
    }
    let mut names = BTreeSet::new();
    for keys in keys {
        match keys {
            Keys::All | Keys::Text => return Keys::All.to_string(),
            Keys::Named(own) => names.extend(own.iter().cloned()),
            Keys::None => {}
        }
    }
    Keys::Named(names.into_iter().collect()).to_string()
}

fn why(reference: &Reference, immutable: bool) -> &'static str {
    match (&reference.via, reference.freshness, &reference.user) {
        (Via::Env { .. } | Via::EnvFrom, _, _) => "a process gets its environment once, when its container starts",
        (Via::SubPath { .. }, _, _) => "the kubelet never rewrites a subPath mount",
        (Via::Unmounted { .. }, _, _) => "no container mounts it: it only has to be there when a pod starts",
        (_, Freshness::Live, _) if immutable => "the kubelet does not watch an immutable object",
        (_, Freshness::Frozen, _) => "only an init container mounts it, and that has ended",
        (_, Freshness::Live, User::Init(_)) => {
            "the kubelet rewrites it, and the containers that stay decide what that takes"
        }
        (_, Freshness::Live, _) => "the kubelet rewrites the files of a whole mount",
    }
}
