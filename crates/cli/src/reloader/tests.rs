use afresh_controller::reloader::Sink;
use afresh_model::reloader::marks::Strategy;
use clap::Parser;
use rstest::rstest;
use serde_json::json;

use super::*;

mod flags;

#[derive(Debug, Parser)]
struct Only {
    #[command(flatten)]
    args: Args,
}

type Variables<'a> = &'a [(&'a str, &'a str)];

fn configured(flags: &[&str], variables: Variables<'_>) -> Result<Config, String> {
    let line = [&["reloader"][..], flags].concat();
    let only = Only::try_parse_from(line).map_err(|error| error.to_string())?;
    let read = |name: &str| {
        let found = variables.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    only.args.config(&read)
}

fn names(names: &BTreeSet<Name>) -> Vec<&str> {
    names.iter().map(Name::as_str).collect()
}

#[test]
fn without_a_flag_it_is_reloaders_default() {
    let config = configured(&[], &[("POD_NAMESPACE", "tools")]).unwrap();
    let reloader = config.reloader.clone().unwrap();
    assert_eq!((names(&config.namespaces), config.leader.is_none()), (vec![], true));
    assert_eq!(
        (reloader.strategy, reloader.on_create, reloader.on_delete),
        (Strategy::EnvVars, false, false)
    );
    assert_eq!(
        (reloader.webhook_url, reloader.alerts, reloader.meta_info),
        (None, None, None)
    );
    assert_eq!(config.metrics_addr.unwrap().to_string(), "[::]:9090");
    assert_eq!(config.digest_key.namespace.as_str(), "tools");
    let kinds: Vec<&str> = config.kinds.iter().map(|kind| kind.api_kind()).collect();
    for kind in ["Deployment", "StatefulSet", "DaemonSet"] {
        assert!(kinds.contains(&kind), "{kinds:?}");
    }
    assert!(!kinds.contains(&"Rollout") && !kinds.contains(&"Pod"), "{kinds:?}");
}

#[test]
fn what_the_chart_passes_is_understood() {
    let flags = [
        "--auto-reload-all=true",
        "--is-Argo-Rollouts=true",
        "--reload-on-create=true",
        "--reload-on-delete=true",
        "--sync-after-restart=true",
        "--reload-strategy=annotations",
        "--namespaces-to-ignore=kube-system,kube-public",
        "--namespace-selector=\"team=a,tier in (x,y)\"",
        "--resource-label-selector=app:web",
        "--resources-to-ignore=secrets",
        "--ignored-workload-types=jobs,cronjobs",
        "--log-format=json",
        "--log-level=warning",
        "--enable-ha=true",
        "--enable-pprof",
        "--pprof-addr=:6061",
        "--configmap-annotation=example.com/configmaps",
    ];
    let config = configured(&flags, &[("POD_NAME", "reloader-0"), ("POD_NAMESPACE", "tools")]).unwrap();
    assert_eq!(names(&config.exclude_namespaces), ["kube-public", "kube-system"]);
    assert_eq!(config.namespace_selector.as_deref(), Some("team=a,tier in (x,y)"));
    assert_eq!(config.selector.as_deref(), Some("app=web"));
    let kinds: Vec<&str> = config.kinds.iter().map(|kind| kind.api_kind()).collect();
    assert_eq!(kinds[..3], ["Deployment", "StatefulSet", "DaemonSet"]);
    let leader = config.leader.unwrap();
    assert_eq!(
        (leader.namespace.as_str(), leader.name.as_str()),
        ("tools", "stakater-reloader-lock")
    );
    assert_eq!(config.identity, "reloader-0");
    let reloader = config.reloader.unwrap();
    assert_eq!(
        (reloader.strategy, reloader.on_create, reloader.on_delete),
        (Strategy::Annotations, true, true)
    );
}

#[test]
fn reloader_defect_b14_namespaces_are_named_once_win_over_the_variable_and_switch_off_what_is_for_all() {
    let one = [("KUBERNETES_NAMESPACE", "here")];
    assert_eq!(names(&configured(&[], &one).unwrap().namespaces), ["here"]);
    let flags = [
        "--namespaces=a, b,a",
        "--namespaces",
        "c",
        "--namespaces-to-ignore=d",
        "--namespace-selector=x",
    ];
    let config = configured(&flags, &one).unwrap();
    assert_eq!(names(&config.namespaces), ["a", "b", "c"]);
    assert_eq!((config.exclude_namespaces.len(), config.namespace_selector), (0, None));
}

#[test]
fn the_environment_says_who_is_told() {
    let config = configured(
        &["--webhook-url=https://hooks.example.com/secret"],
        &[
            ("RELOADER_NAMESPACE", "tools"),
            ("RELOADER_DEPLOYMENT_NAME", "reloader"),
            ("METRICS_COUNT_BY_NAMESPACE", "enabled"),
            ("ALERT_ON_RELOAD", "true"),
            ("ALERT_WEBHOOK_URL", "https://chat.example.com/x"),
            ("ALERT_SINK", "gchat"),
        ],
    );
    let reloader = config.unwrap().reloader.unwrap();
    assert!(reloader.count_by_namespace);
    assert_eq!(reloader.alerts.unwrap().sink, Sink::GoogleChat);
    assert_eq!(reloader.webhook_url.unwrap().to_string(), "https://hooks.example.com");
    let info = reloader.meta_info.unwrap();
    assert_eq!((info.namespace.as_str(), &*info.deployment), ("tools", "reloader"));
    assert_eq!(
        info.options["webhookUrl"],
        json!("https://hooks.example.com"),
        "and no token"
    );
}

#[rstest]
#[case(&["--reload-on-create=1"], "\"1\" is neither true nor false")]
#[case(&["--auto-reload-all=yes"], "\"yes\" is neither true nor false")]
#[case(&["--reload-strategy=default"], "env-vars")]
#[case(&["--log-format=text"], "\"text\" is no log format")]
#[case(&["--log-level=loud"], "\"loud\" is no log level")]
#[case(&["--resources-to-ignore=pods"], "--resources-to-ignore: \"pods\" is neither configmaps nor secrets")]
#[case(&["--resources-to-ignore=secrets,secrets"], "--resources-to-ignore: at most one")]
#[case(&["--ignored-workload-types=job"], "--ignored-workload-types: \"job\" is neither jobs nor cronjobs")]
#[case(&["--namespaces=A"], "--namespaces: ")]
#[case(&["--namespaces=\"a"], "--namespaces: ")]
#[case(&["--namespace-selector=a:b:c"], "--namespace-selector: \"a:b:c\" has two colons")]
#[case(&["--resource-label-selector=a;b"], "--resource-label-selector: ")]
#[case(&["--configmap-annotation=a/b/c"], "\"a/b/c\" is no key of an annotation")]
#[case(&["--enable-ha"], "--enable-ha needs POD_NAMESPACE")]
#[case(&["--is-argo-rollouts=true"], "--is-Argo-Rollouts")]
fn what_is_wrong_is_said_at_the_start(#[case] flags: &[&str], #[case] message: &str) {
    let error = configured(flags, &[]).unwrap_err();
    assert!(error.contains(message), "{error}");
}

#[test]
fn reloader_defect_e3_a_webhook_that_is_wrong_is_not_shown() {
    let error = configured(&["--webhook-url=hooks/secret-token"], &[]).unwrap_err();
    assert!(
        error.contains("--webhook-url: ") && !error.contains("secret-token"),
        "{error}"
    );
}

/// Reloader's chart runs replicas without the election that they need, and asks for keys of a Secret that it did not make.
#[test]
fn reloader_defect_e10_our_manifest_elects_a_leader_and_tells_each_replica_who_it_is() {
    let manifest = include_str!("../../../../deploy/base/deployment.yaml");
    let manifest: serde_json::Value = serde_saphyr::from_str(manifest).unwrap();
    let pod = &manifest["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let words = container["args"].as_array().unwrap().iter();
    let line = ["afresh"].into_iter().chain(words.map(|word| word.as_str().unwrap()));
    let crate::Command::Controller(args) = crate::Cli::try_parse_from(line).unwrap().command else {
        panic!("another program: {container}");
    };
    assert!(args.config().unwrap().leader.is_some());
    let variables = container["env"].as_array().unwrap();
    for (name, path) in [
        ("POD_NAME", "metadata.name"),
        ("AFRESH_OWN_NAMESPACE", "metadata.namespace"),
    ] {
        let from = json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
        assert!(variables.contains(&from), "{name}: {variables:?}");
    }
    assert_eq!(variables.len(), 2, "nothing that another object must hold");
}
