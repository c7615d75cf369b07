//! wave's annotations, translated. Facts: wave-k8s/wave 0.11.

use std::collections::BTreeSet;

use crate::annotation::Annotations;
use crate::name::{ConfigKind, ConfigRef, Name};
use crate::pattern::Pattern;
use crate::policy::{Place, Policy, Problem, Reload, quoted};
use crate::reloader;

/// On the workload: `true` keeps it on every object that it references.
pub const UPDATE: &str = "wave.pusher.com/update-on-config-change";
/// On the workload: ConfigMaps that count though it does not reference them.
pub const EXTRA_CONFIGMAPS: &str = "wave.pusher.com/extra-configmaps";
/// On the workload: Secrets that count though it does not reference them.
pub const EXTRA_SECRETS: &str = "wave.pusher.com/extra-secrets";

/// Lays what wave's annotations ask for over a policy; returns whether they ask for anything. They are read from the
/// workload only. An extra may name its namespace, which has to be the workload's.
pub(crate) fn read(
    workload: &Annotations,
    namespace: &Name,
    kinds: &BTreeSet<ConfigKind>,
    policy: &mut Policy,
    problems: &mut Vec<Problem>,
) -> bool {
    let mut problem = |key: &'static str, message| {
        problems.push(Problem {
            key: key.into(),
            place: Place::Workload,
            message,
        });
    };
    match reloader::exactly_true(workload.get(UPDATE)) {
        Ok(true) => {}
        Ok(false) => return false,
        Err(message) => {
            problem(UPDATE, message);
            return false;
        }
    }
    for (kind, key) in [
        (ConfigKind::ConfigMap, EXTRA_CONFIGMAPS),
        (ConfigKind::Secret, EXTRA_SECRETS),
    ] {
        if !kinds.contains(&kind) {
            continue;
        }
        let items = workload.get(key).into_iter().flat_map(|list| list.split(','));
        for item in items.map(str::trim).filter(|item| !item.is_empty()) {
            match extra(kind, namespace, item) {
                Ok(object) => policy.include.push(Pattern::Exact(object)),
                Err(message) => problem(key, message),
            }
        }
    }
    policy.referenced.clear();
    policy.reload.get_or_insert(Reload::Auto);
    true
}

fn extra(kind: ConfigKind, own: &Name, item: &str) -> Result<ConfigRef, String> {
    let (namespace, name) = item.split_once('/').unwrap_or((own.as_str(), item));
    if namespace != own.as_str() {
        return Err(format!(
            "{} is in another namespace: only objects in the workload's own, {own}, count; make a copy there",
            quoted(item)
        ));
    }
    match name.parse() {
        Ok(name) => Ok(ConfigRef { kind, name }),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convention::Conventions;
    use crate::name::{WorkloadKey, WorkloadKind};
    use crate::policy::Dialect;

    fn web() -> WorkloadKey {
        WorkloadKey {
            kind: WorkloadKind::Deployment,
            namespace: "prod".parse().unwrap(),
            name: "web".parse().unwrap(),
        }
    }

    fn read(pairs: &[(&str, &str)]) -> (Policy, Vec<String>) {
        let annotations: Annotations = pairs.iter().map(|&(key, value)| (key.into(), value.into())).collect();
        let conventions = Conventions::default();
        let (policy, problems) = conventions.policy(&web(), &annotations, &Annotations::new());
        (policy, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn true_opts_in_with_all_that_is_referenced_and_the_extras() {
        let (policy, problems) = read(&[(UPDATE, "true"), (EXTRA_CONFIGMAPS, "a, b"), (EXTRA_SECRETS, "c")]);
        assert_eq!(problems, [""; 0]);
        assert_eq!((policy.reload, policy.dialect), (Some(Reload::Auto), Dialect::Wave));
        assert!(policy.referenced.is_empty());
        let named: Vec<String> = policy.include.iter().map(ToString::to_string).collect();
        assert_eq!(named, ["configmap/a", "configmap/b", "secret/c"]);
    }

    #[test]
    fn an_extra_may_name_the_workload_s_own_namespace() {
        let (policy, problems) = read(&[
            (UPDATE, "true"),
            (EXTRA_CONFIGMAPS, "prod/a,b"),
            (EXTRA_SECRETS, " prod/c "),
        ]);
        assert_eq!(problems, [""; 0]);
        let named: Vec<String> = policy.include.iter().map(ToString::to_string).collect();
        assert_eq!(named, ["configmap/a", "configmap/b", "secret/c"]);
        for wrong in ["prod/", "/a", "prod/a/b", "pro/a"] {
            let (policy, problems) = read(&[(UPDATE, "true"), (EXTRA_CONFIGMAPS, wrong)]);
            assert_eq!((policy.include.len(), problems.len()), (0, 1), "{wrong}: {problems:?}");
        }
    }

    #[test]
    fn our_own_mode_wins() {
        assert_eq!(
            read(&[(UPDATE, "true"), ("afresh.dev/reload", "off")]).0.reload,
            Some(Reload::Off)
        );
        let (policy, _) = read(&[(UPDATE, "true"), ("afresh.dev/reload", "roll")]);
        assert_eq!((policy.reload, policy.dialect), (Some(Reload::Roll), Dialect::Afresh));
    }

    #[test]
    fn wave_and_reloader_on_one_workload_are_the_more_of_the_two() {
        let (policy, _) = read(&[(UPDATE, "true"), ("secret.reloader.stakater.com/reload", "db")]);
        assert!(policy.referenced.is_empty() && policy.include.len() == 1);
    }

    #[test]
    fn what_is_wrong_is_named_and_the_rest_applies() {
        assert_eq!(read(&[(UPDATE, "false"), (EXTRA_SECRETS, "c")]).0, Policy::default());
        let (policy, problems) = read(&[(UPDATE, "yes")]);
        assert_eq!(policy.reload, None);
        assert_eq!(
            problems,
            [
                "annotation wave.pusher.com/update-on-config-change on the workload: \"yes\" counts as false: only the \
              word true, so written, is true"
            ]
        );
        let (policy, problems) = read(&[(UPDATE, "true"), (EXTRA_SECRETS, "other/c, d, E")]);
        assert_eq!((policy.include.len(), problems.len()), (1, 2));
        assert!(
            problems[0].contains("\"other/c\" is in another namespace"),
            "{problems:?}"
        );
    }

    #[test]
    fn it_is_not_read_where_it_is_not_honoured() {
        let annotations: Annotations = [(UPDATE.to_owned(), "true".to_owned())].into();
        let (policy, _) = Conventions::native(Reload::Off).policy(&web(), &annotations, &Annotations::new());
        assert_eq!(policy, Policy::default());
    }
}
