//! Sections 1.1 and 1.2 of the behaviour to match, row by row: name, type, default, and what is said of a wrong value.

use std::collections::BTreeSet;

use clap::{ArgAction, CommandFactory as _, Parser as _};
use rstest::rstest;

use super::{Only, configured};

/// How pflag reads a flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    /// Alone it means true; a value stands behind `=`.
    Bool,
    Text,
    /// Text, of which only `true` means anything.
    OnlyTrue,
    /// Parted by commas, and repeatable.
    List,
}

use Type::{Bool, List, OnlyTrue, Text};

const FLAGS: [(&str, Type, &str); 30] = [
    ("auto-reload-all", Bool, "false"),
    ("configmap-annotation", Text, "configmap.reloader.stakater.com/reload"),
    ("secret-annotation", Text, "secret.reloader.stakater.com/reload"),
    ("auto-annotation", Text, "reloader.stakater.com/auto"),
    (
        "configmap-auto-annotation",
        Text,
        "configmap.reloader.stakater.com/auto",
    ),
    ("secret-auto-annotation", Text, "secret.reloader.stakater.com/auto"),
    ("ignore-annotation", Text, "reloader.stakater.com/ignore"),
    ("auto-search-annotation", Text, "reloader.stakater.com/search"),
    ("search-match-annotation", Text, "reloader.stakater.com/match"),
    (
        "pause-deployment-annotation",
        Text,
        "deployment.reloader.stakater.com/pause-period",
    ),
    (
        "pause-deployment-time-annotation",
        Text,
        "deployment.reloader.stakater.com/paused-at",
    ),
    ("log-format", Text, ""),
    ("log-level", Text, "info"),
    ("webhook-url", Text, ""),
    ("resources-to-ignore", List, ""),
    ("ignored-workload-types", List, ""),
    ("namespaces", List, ""),
    ("namespaces-to-ignore", List, ""),
    ("namespace-selector", List, ""),
    ("resource-label-selector", List, ""),
    ("is-Argo-Rollouts", OnlyTrue, "false"),
    ("reload-strategy", Text, "env-vars"),
    ("reload-on-create", OnlyTrue, "false"),
    ("reload-on-delete", OnlyTrue, "false"),
    ("sync-after-restart", Bool, "false"),
    ("enable-ha", Bool, "false"),
    ("enable-pprof", Bool, "false"),
    ("pprof-addr", Text, ":6060"),
    ("enable-csi-integration", Bool, "false"),
    // Ours, for the sake of its default: Reloader's is fixed.
    ("lease-name", Text, "stakater-reloader-lock"),
];

#[test]
fn each_flag_has_reloaders_name_type_and_default() {
    let command = Only::command();
    for (name, kind, default) in FLAGS {
        let flag = command.get_arguments().find(|arg| arg.get_long() == Some(name));
        let flag = flag.unwrap_or_else(|| panic!("--{name} is not there"));
        let defaults: Vec<_> = flag
            .get_default_values()
            .iter()
            .map(|value| value.to_str().unwrap())
            .collect();
        assert_eq!(defaults.concat(), default, "--{name}");
        let optional = flag.get_num_args().is_some_and(|range| range.min_values() == 0);
        let found = match (optional && flag.is_require_equals_set(), flag.get_action()) {
            (true, ArgAction::Set | ArgAction::SetTrue) => Bool,
            (false, ArgAction::Append) => List,
            (false, ArgAction::Set) if kind == OnlyTrue => OnlyTrue,
            (false, ArgAction::Set) => Text,
            other => panic!("--{name}: {other:?}"),
        };
        assert_eq!(found, kind, "--{name}");
    }
}

#[test]
fn there_is_no_flag_that_is_neither_reloaders_nor_told_as_ours() {
    let told: BTreeSet<&str> = FLAGS.iter().map(|(name, ..)| *name).collect();
    let ours = [Some("Of Afresh"), Some("Cluster")];
    let command = Only::command();
    for flag in command
        .get_arguments()
        .filter(|arg| !ours.contains(&arg.get_help_heading()))
    {
        let name = flag.get_long().unwrap();
        assert!(told.contains(name), "--{name}");
    }
}

#[test]
fn a_bool_alone_is_true_and_what_compares_with_true_needs_a_value() {
    for (name, kind, _) in FLAGS {
        let taken = |flag: String| configured(&[&flag], &[("POD_NAME", "a"), ("POD_NAMESPACE", "b")]).is_ok();
        match kind {
            Bool => {
                let words = [
                    "1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False",
                ];
                let read = |flag: String| format!("{:?}", Only::try_parse_from(["reloader", &flag]));
                assert_eq!(read(format!("--{name}")), read(format!("--{name}=true")), "--{name}");
                assert_ne!(read(format!("--{name}=0")), read(format!("--{name}=true")), "--{name}");
                assert!(words.iter().all(|word| taken(format!("--{name}={word}"))), "--{name}");
            }
            OnlyTrue => {
                assert!(!taken(format!("--{name}")), "--{name}");
                assert!(
                    ["true", "false", ""]
                        .iter()
                        .all(|word| taken(format!("--{name}={word}"))),
                    "--{name}"
                );
            }
            Text | List => assert!(!taken(format!("--{name}")), "--{name}"),
        }
    }
}

/// The name of the flag, the value, and what can be written instead.
#[test]
fn a_wrong_value_of_any_flag_is_named_with_its_place_and_the_way_out() {
    let way_out = |name: &str| match name {
        "log-format" => "json",
        "log-level" => "trace, debug, info, warning, error, fatal or panic",
        "resources-to-ignore" => "configmaps nor secrets",
        "ignored-workload-types" => "jobs nor cronjobs",
        "namespaces" | "namespaces-to-ignore" | "lease-name" => "a-z",
        "namespace-selector" | "resource-label-selector" => "key",
        "reload-strategy" => "env-vars, annotations",
        _ if name.ends_with("annotation") => "PREFIX/NAME",
        _ => "neither true nor false",
    };
    let mut tried = 0;
    for (name, ..) in FLAGS {
        if matches!(name, "pprof-addr" | "webhook-url") {
            continue; // any address is taken; and of the other the value is not shown
        }
        let error = configured(&[&format!("--{name}=a/b/c:d!:e")], &[]).unwrap_err();
        for part in [name, "a/b/c:d!:e", way_out(name)] {
            assert!(error.contains(part), "--{name} says nothing of {part}: {error}");
        }
        tried += 1;
    }
    assert_eq!(tried, FLAGS.len() - 2);
}

#[rstest]
#[case(&[("KUBERNETES_NAMESPACE", "A.b")], "KUBERNETES_NAMESPACE: \"A.b\"")]
#[case(&[("POD_NAMESPACE", "A.b")], "POD_NAMESPACE: \"A.b\"")]
#[case(&[("RELOADER_NAMESPACE", "A.b")], "RELOADER_NAMESPACE: \"A.b\"")]
#[case(&[("POD_NAMESPACE", "tools")], "--enable-ha needs POD_NAME: set it from the pod's metadata (fieldRef)")]
#[case(&[("POD_NAME", "web-0")], "--enable-ha needs POD_NAMESPACE: set it from the pod's metadata (fieldRef)")]
#[case(&[("ALERT_ON_RELOAD", "1")], "ALERT_ON_RELOAD: \"1\" counts for nothing: write true, or false, or leave it out")]
#[case(&[("ALERT_ON_RELOAD", "true")], "ALERT_WEBHOOK_URL is not set: set it to the URL to post to")]
#[case(&[("ALERT_ON_RELOAD", "true"), ("ALERT_WEBHOOK_URL", "chat")], "ALERT_WEBHOOK_URL: ")]
#[case(
    &[("ALERT_ON_RELOAD", "true"), ("ALERT_WEBHOOK_URL", "https://a/b"), ("ALERT_WEBHOOK_PROXY", "proxy")],
    "ALERT_WEBHOOK_PROXY: "
)]
#[case(&[("METRICS_COUNT_BY_NAMESPACE", "true")], "METRICS_COUNT_BY_NAMESPACE: \"true\" counts for nothing: write enabled")]
fn a_variable_that_is_wrong_is_named(#[case] variables: &[(&str, &str)], #[case] message: &str) {
    let error = configured(&["--enable-ha"], variables).unwrap_err();
    assert!(error.contains(message), "{error}");
}

/// Each variable by itself is read, under its name; those of alerts and of the namespace have tests of their own.
#[rstest]
#[case("KUBERNETES_NAMESPACE")]
#[case("RELOADER_NAMESPACE")]
#[case("RELOADER_DEPLOYMENT_NAME")]
#[case("METRICS_COUNT_BY_NAMESPACE")]
#[case("POD_NAME")]
#[case("POD_NAMESPACE")]
#[case("ALERT_WEBHOOK_URL")]
#[case("ALERT_SINK")]
#[case("ALERT_WEBHOOK_PROXY")]
#[case("ALERT_ADDITIONAL_INFO")]
#[case("ALERT_ON_RELOAD")]
fn a_variable_is_read(#[case] variable: &str) {
    let all = [
        ("POD_NAME", "web-0"),
        ("POD_NAMESPACE", "tools"),
        ("RELOADER_NAMESPACE", "tools-2"),
        ("RELOADER_DEPLOYMENT_NAME", "reloader"),
        ("KUBERNETES_NAMESPACE", "here"),
        ("METRICS_COUNT_BY_NAMESPACE", "enabled"),
        ("ALERT_ON_RELOAD", "true"),
        ("ALERT_WEBHOOK_URL", "https://a/b"),
        ("ALERT_SINK", "teams"),
        ("ALERT_WEBHOOK_PROXY", "http://proxy:3128"),
        ("ALERT_ADDITIONAL_INFO", "cluster-1"),
    ];
    let without: Vec<_> = all.iter().copied().filter(|(name, _)| *name != variable).collect();
    let [with, without] =
        [&all[..], &without].map(|variables| format!("{:?}", configured(&["--enable-ha"], variables)));
    assert_ne!(with, without, "{variable} changes nothing");
}
