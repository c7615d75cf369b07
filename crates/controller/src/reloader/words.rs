//! A reload in Reloader's own sentences, which people's filters and dashboards look for.

use std::fmt::Write as _;

use afresh_model::name::{ConfigKind, ConfigRef, WorkloadKey};

/// As Reloader writes the type of a resource.
pub(super) const fn resource_type(kind: ConfigKind) -> &'static str {
    match kind {
        ConfigKind::ConfigMap => "CONFIGMAP",
        ConfigKind::Secret => "SECRET",
        ConfigKind::SecretProviderClass => "SECRETPROVIDERCLASS",
    }
}

/// The message of an Event after a reload. Reloader writes one for each object; a burst is one reload here, and one
/// message that names every object.
pub(super) fn reloaded(objects: &[ConfigRef], workload: &WorkloadKey) -> String {
    format!(
        "Changes detected in {}, Updated {}",
        changes(objects, workload, '\''),
        updated(workload, '\'')
    )
}

/// The message of an Event after a failure.
pub(super) fn failed(workload: &WorkloadKey, why: &str) -> String {
    format!("Update for {} failed with error {why}", updated(workload, '\''))
}

/// The text of an alert.
pub(super) fn alert(objects: &[ConfigRef], workload: &WorkloadKey) -> String {
    format!(
        "Reloader detected changes in {}. Hence reloaded {}",
        changes(objects, workload, '*'),
        updated(workload, '*')
    )
}

fn changes(objects: &[ConfigRef], workload: &WorkloadKey, quote: char) -> String {
    const MOST: usize = 8;
    let namespace = &workload.namespace;
    let mut text = String::new();
    for (n, ConfigRef { kind, name }) in objects.iter().take(MOST).enumerate() {
        let comma = if n == 0 { "" } else { ", " };
        let kind = resource_type(*kind);
        let _ = write!(
            text,
            "{comma}{quote}{name}{quote} of type {quote}{kind}{quote} in namespace {quote}{namespace}{quote}"
        );
    }
    if objects.len() > MOST {
        let _ = write!(text, " and {} more", objects.len() - MOST);
    }
    text
}

fn updated(workload: &WorkloadKey, quote: char) -> String {
    let WorkloadKey { kind, namespace, name } = workload;
    let kind = kind.api_kind();
    format!("{quote}{name}{quote} of type {quote}{kind}{quote} in namespace {quote}{namespace}{quote}")
}

#[cfg(test)]
mod tests {
    use afresh_model::name::WorkloadKind;

    use super::*;

    fn web() -> WorkloadKey {
        WorkloadKey {
            kind: WorkloadKind::Deployment,
            namespace: "prod".parse().unwrap(),
            name: "web".parse().unwrap(),
        }
    }

    #[test]
    fn one_object_is_told_word_for_word_as_reloader_tells_it() {
        let objects = ["configmap/app".parse().unwrap()];
        assert_eq!(
            reloaded(&objects, &web()),
            "Changes detected in 'app' of type 'CONFIGMAP' in namespace 'prod', \
             Updated 'web' of type 'Deployment' in namespace 'prod'"
        );
        assert_eq!(
            alert(&objects, &web()),
            "Reloader detected changes in *app* of type *CONFIGMAP* in namespace *prod*. \
             Hence reloaded *web* of type *Deployment* in namespace *prod*"
        );
        assert_eq!(
            failed(&web(), "it is denied"),
            "Update for 'web' of type 'Deployment' in namespace 'prod' failed with error it is denied"
        );
    }

    #[test]
    fn a_burst_is_one_sentence_of_bounded_length() {
        let objects: Vec<ConfigRef> = (0..20).map(|n| format!("secret/s{n}").parse().unwrap()).collect();
        let text = reloaded(&objects, &web());
        assert!(
            text.contains("'s7' of type 'SECRET'") && !text.contains("'s8'"),
            "{text}"
        );
        assert!(text.contains(" and 12 more, Updated"), "{text}");
    }
}
