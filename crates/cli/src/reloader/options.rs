//! The options as `reloader-meta-info` shows them, under Reloader's names.

use afresh_controller::reloader::Endpoint;
use serde_json::{Value, json};

use super::Args;

/// A camel-case copy of all options. Of the webhook's URL only the host is shown: the rest may be a token.
pub(super) fn shown(args: &Args) -> Value {
    let (keys, objects, acts) = (&args.keys, &args.objects, &args.acts);
    json!({
        "autoReloadAll": objects.auto_reload_all,
        "configmapUpdateOnChangeAnnotation": keys.configmap_annotation,
        "secretUpdateOnChangeAnnotation": keys.secret_annotation,
        "reloaderAutoAnnotation": keys.auto_annotation,
        "ignoreResourceAnnotation": keys.ignore_annotation,
        "configmapReloaderAutoAnnotation": keys.configmap_auto_annotation,
        "secretReloaderAutoAnnotation": keys.secret_auto_annotation,
        "autoSearchAnnotation": keys.auto_search_annotation,
        "searchMatchAnnotation": keys.search_match_annotation,
        "rolloutStrategyAnnotation": "reloader.stakater.com/rollout-strategy",
        "pauseDeploymentAnnotation": keys.pause_deployment_annotation,
        "pauseDeploymentTimeAnnotation": keys.pause_deployment_time_annotation,
        "logFormat": args.log_format,
        "logLevel": args.log_level,
        "webhookUrl": Endpoint::parse(&acts.webhook_url).map_or_else(|_| String::new(), |url| url.to_string()),
        "resourcesToIgnore": objects.resources_to_ignore,
        "workloadTypesToIgnore": objects.ignored_workload_types,
        "namespaces": objects.namespaces,
        "namespacesToIgnore": objects.namespaces_to_ignore,
        "namespaceSelectors": objects.namespace_selector,
        "resourceSelectors": objects.resource_label_selector,
        "isArgoRollouts": acts.is_argo_rollouts,
        "reloadStrategy": acts.reload_strategy,
        "reloadOnCreate": acts.reload_on_create,
        "reloadOnDelete": acts.reload_on_delete,
        "syncAfterRestart": acts.sync_after_restart,
        "enableHA": args.enable_ha,
        "enablePProf": args.enable_pprof,
        "pprofAddr": args.pprof_addr,
        "enableCSIIntegration": acts.enable_csi_integration,
    })
}

/// The options by which a decision is made, by their names in [`shown`] and as flags.
const DECIDING: [(&str, &str); 23] = [
    ("autoReloadAll", "auto-reload-all"),
    ("configmapUpdateOnChangeAnnotation", "configmap-annotation"),
    ("secretUpdateOnChangeAnnotation", "secret-annotation"),
    ("reloaderAutoAnnotation", "auto-annotation"),
    ("ignoreResourceAnnotation", "ignore-annotation"),
    ("configmapReloaderAutoAnnotation", "configmap-auto-annotation"),
    ("secretReloaderAutoAnnotation", "secret-auto-annotation"),
    ("autoSearchAnnotation", "auto-search-annotation"),
    ("searchMatchAnnotation", "search-match-annotation"),
    ("pauseDeploymentAnnotation", "pause-deployment-annotation"),
    ("pauseDeploymentTimeAnnotation", "pause-deployment-time-annotation"),
    ("webhookUrl", "webhook-url"),
    ("resourcesToIgnore", "resources-to-ignore"),
    ("workloadTypesToIgnore", "ignored-workload-types"),
    ("namespaces", "namespaces"),
    ("namespacesToIgnore", "namespaces-to-ignore"),
    ("namespaceSelectors", "namespace-selector"),
    ("resourceSelectors", "resource-label-selector"),
    ("isArgoRollouts", "is-Argo-Rollouts"),
    ("reloadStrategy", "reload-strategy"),
    ("reloadOnCreate", "reload-on-create"),
    ("reloadOnDelete", "reload-on-delete"),
    ("enableCSIIntegration", "enable-csi-integration"),
];

/// The flags that say the same as options in `reloader-meta-info`, Reloader's own or ours, as far as they decide anything
/// about a workload.
pub(crate) fn flags(options: &Value) -> Vec<String> {
    let each = DECIDING.into_iter().flat_map(|(option, flag)| {
        let values: Vec<String> = match &options[option] {
            Value::Bool(value) => vec![value.to_string()],
            Value::String(text) if !text.is_empty() => vec![text.clone()],
            Value::Array(items) => items.iter().filter_map(Value::as_str).map(ToOwned::to_owned).collect(),
            _ => Vec::new(),
        };
        values.into_iter().map(move |value| format!("--{flag}={value}"))
    });
    each.collect()
}
