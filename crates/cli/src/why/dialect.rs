//! Reloader's and wave's annotations: which of them a workload bears, and which of them names or leaves out an object.

use afresh_model::annotation::INCLUDE;
use afresh_model::name::{ConfigRef, WorkloadKind};
use afresh_model::policy::{Place, Policy};
use afresh_model::reloader::{self, Keys};
use afresh_model::wave;

use super::explanation::{Asked, Named, Origin};
use super::facts::Facts;

/// The annotations of theirs that are read, with their values, each from where it is read.
pub(super) fn asked(facts: &Facts) -> Vec<Asked> {
    let (own, template) = (
        &facts.observed.annotations,
        &facts.observed.template.metadata.annotations,
    );
    let mut asked = Vec::new();
    let mut add = |key: &str, place: Place| {
        let annotations = if place == Place::Template { template } else { own };
        let Some(value) = annotations.get(key) else { return };
        let said = Asked {
            annotation: key.to_owned(),
            value: value.clone(),
            from: if place == Place::Template {
                Origin::Template
            } else {
                Origin::Workload
            },
        };
        if !asked.contains(&said) {
            asked.push(said);
        }
    };
    if facts.key.kind == WorkloadKind::Pod {
        return asked;
    }
    if let Some(keys) = &facts.conventions.reloader {
        for &kind in &facts.conventions.objects {
            let place = reloader::place(keys, kind, own, template);
            for key in [&keys.auto, keys.typed_auto(kind), keys.reload(kind), &keys.search] {
                add(key, place);
            }
            add(Keys::exclude(kind), Place::Workload);
        }
        if facts.key.kind == WorkloadKind::Deployment {
            add(&keys.pause_period, Place::Workload);
        }
    }
    if facts.conventions.wave {
        for key in [wave::UPDATE, wave::EXTRA_CONFIGMAPS, wave::EXTRA_SECRETS] {
            add(key, Place::Workload);
        }
    }
    asked
}

/// The entry of a list that names the object, and whose list it is.
pub(super) fn naming(facts: &Facts, object: &ConfigRef) -> Option<Named> {
    let (own, template) = (
        &facts.observed.annotations,
        &facts.observed.template.metadata.annotations,
    );
    let kind = object.kind;
    let named = |annotation: &str, pattern: String| Named {
        annotation: annotation.to_owned(),
        pattern,
    };
    let ours = Policy::parse(own, template).0.include;
    if let Some(pattern) = ours.iter().find(|pattern| pattern.matches(kind, &object.name)) {
        return Some(named(INCLUDE, pattern.to_string()));
    }
    if facts.key.kind == WorkloadKind::Pod {
        return None;
    }
    if let Some(keys) = &facts.conventions.reloader {
        let theirs = reloader::named(keys, kind, own, template);
        if let Some(pattern) = theirs.iter().find(|pattern| pattern.matches(kind, &object.name)) {
            // In Reloader's list the key says the kind.
            let text = pattern.to_string();
            let item = text.split_once('/').map_or(&*text, |(_, item)| item);
            return Some(named(keys.reload(kind), item.to_owned()));
        }
    }
    let (policy, _) = facts.conventions.policy(&facts.key, own, template);
    let key = match kind {
        afresh_model::name::ConfigKind::ConfigMap => wave::EXTRA_CONFIGMAPS,
        _ => wave::EXTRA_SECRETS,
    };
    let extra = own.get(key).filter(|_| policy.names(kind, &object.name));
    extra.map(|_| named(key, object.name.to_string()))
}
