//! A mode that comes from Reloader's or wave's annotations, in their terms.

use afresh_model::name::ConfigKind;
use afresh_model::policy::{Dialect, Place};
use afresh_model::reloader::Keys;
use afresh_model::wave;

use super::facts::Facts;

/// Says which annotations ask for it, and where they stand; `None` if the mode is our own, or nobody's.
pub(super) fn note(facts: &Facts, dialect: Dialect) -> Option<String> {
    let whose = match dialect {
        Dialect::Afresh => return None,
        Dialect::Reloader => "Reloader's",
        Dialect::Wave => "wave's",
    };
    let said: Vec<String> = keys(facts, dialect).iter().filter_map(|key| said(facts, key)).collect();
    Some(format!("its mode comes from {whose} annotations: {}", said.join("; ")))
}

fn keys(facts: &Facts, dialect: Dialect) -> Vec<String> {
    if dialect == Dialect::Wave {
        return [wave::UPDATE, wave::EXTRA_CONFIGMAPS, wave::EXTRA_SECRETS]
            .map(ToOwned::to_owned)
            .into();
    }
    let Some(keys) = &facts.conventions.reloader else {
        return Vec::new();
    };
    let typed = ConfigKind::ALL.into_iter().flat_map(|kind| {
        [
            keys.reload(kind).to_string(),
            keys.typed_auto(kind).to_string(),
            Keys::exclude(kind).to_owned(),
        ]
    });
    [keys.search.to_string(), keys.auto.to_string()]
        .into_iter()
        .chain(typed)
        .collect()
}

fn said(facts: &Facts, key: &str) -> Option<String> {
    let own = facts
        .observed
        .annotations
        .get(key)
        .map(|value| (value, Place::Workload));
    let template = &facts.observed.template.metadata.annotations;
    let (value, place) = own.or_else(|| template.get(key).map(|value| (value, Place::Template)))?;
    Some(format!("{key}: {value} on {place}"))
}
