//! What Reloader's marks on a workload say, where no record of ours does.

use afresh_model::name::{ConfigKind, ConfigRef};
use afresh_model::reloader::marker::{LAST_RELOADED_FROM, LastReloadedFrom, variable};
use afresh_model::reloader::marks::{Mark, Marks, Strategy};
use afresh_model::reloader::sha1::Sha1;
use afresh_model::workload::Workload;

use super::explanation::{MarkState, MarkView};
use super::facts::{Facts, Seen};

/// Shows the mark that counts as the record of what the workload was brought up to; `None` where there is none, or a
/// record of ours tells it.
pub(super) fn mark(facts: &Facts, workload: &Workload, object: &ConfigRef) -> Option<MarkView> {
    let recorded = |workload: &Workload| {
        let record = workload.record.as_ref();
        record.is_some_and(|record| !record.applied.of(object).is_empty())
    };
    let marks = workload.marks.as_ref().filter(|_| !recorded(workload))?;
    let others = workload.uses.iter().map(|usage| &usage.object);
    let now = facts.object(object).and_then(|found| found.sha1);
    let is_gone = matches!(facts.objects.get(object), Some(Seen::Absent));
    let (state, hash) = match marks.of(object, others) {
        Mark::None => return None,
        Mark::At(hash) if now == Some(hash) => (MarkState::Current, Some(hash)),
        Mark::At(hash) if now.is_some() || is_gone => (MarkState::Older, Some(hash)),
        Mark::At(_) | Mark::Unsure => (MarkState::Unsure, None),
        Mark::Deleted if is_gone => (MarkState::Current, None),
        Mark::Deleted => (MarkState::Older, None),
    };
    // A plain hash of a weak Secret could be guessed by whoever sees the answer.
    let shown = |hash: Option<Sha1>| {
        hash.filter(|_| object.kind == ConfigKind::ConfigMap)
            .map(|hash| hash.to_string())
    };
    Some(MarkView {
        by: by(facts, marks, object),
        state,
        applied: shown(hash),
        current: shown(now),
    })
}

/// Where the mark is.
fn by(facts: &Facts, marks: &Marks, object: &ConfigRef) -> String {
    let template = &facts.observed.template;
    let name = variable(object);
    let bearer = marks.bearer(object);
    let bears = |container: &&afresh_model::template::Container| {
        container
            .env
            .iter()
            .any(|own| *own.name == name && own.marker.is_some())
    };
    let mut bearing: Vec<&str> = template
        .spec
        .containers
        .iter()
        .filter(bears)
        .map(|own| &*own.name)
        .collect();
    bearing.sort_by_key(|own| *own != bearer);
    let last = template.metadata.annotations.get(LAST_RELOADED_FROM);
    let last = last
        .and_then(|text| LastReloadedFrom::parse(text))
        .filter(|last| last.object == *object);
    let first_annotation = facts.conventions.strategy == Some(Strategy::Annotations) && last.is_some();
    match bearing.first() {
        Some(container) if !first_annotation => format!("{name} in container {container}"),
        _ => LAST_RELOADED_FROM.to_owned(),
    }
}
