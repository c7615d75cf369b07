//! `afresh reloader`: Reloader's flags and environment, and the same controller underneath.

mod environment;
pub(crate) mod options;
mod value;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use afresh_controller::config::{self, SecretName};
use afresh_controller::reloader::{Endpoint, MetaInfo};
use afresh_controller::{Config, LeaderConfig};
use afresh_engine::lease::Terms;
use afresh_model::convention::{Conventions, Jobs};
use afresh_model::name::{ConfigKind, Name, WorkloadKind};
use afresh_model::policy::Reload;
use afresh_model::reloader::marks::Strategy;
use afresh_model::reloader::{Key, Keys};
use environment::Read;

use crate::cluster::ClusterArgs;
use crate::logging::{self, Format};
use crate::parse;
use crate::start::start;

/// The flags of Stakater Reloader, with the same names, types and defaults; those of the last groups are ours.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
This is a drop-in for Stakater Reloader: its image can be swapped for this one, with the same arguments, environment and
annotations. docs/migrating-from-reloader.md says what differs, and how to go back.
Lists are parted by commas or given repeatedly; an element in double quotes keeps its commas.")]
pub(crate) struct Args {
    #[command(flatten)]
    keys: KeyArgs,
    #[command(flatten)]
    objects: ObjectArgs,
    #[command(flatten)]
    acts: ActArgs,
    /// Elect a leader by a Lease; POD_NAME and POD_NAMESPACE must be set
    #[arg(long, help_heading = "Replicas and logs", default_value = "false", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = value::boolean, value_name = "BOOL")]
    enable_ha: bool,
    /// Empty for text, or json
    #[arg(long, help_heading = "Replicas and logs", default_value = "", value_parser = log_format, value_name = "FORMAT")]
    log_format: String,
    /// trace, debug, info, warning, error, fatal or panic
    #[arg(long, help_heading = "Replicas and logs", default_value = "info", value_parser = log_level, value_name = "LEVEL")]
    log_level: String,
    /// Accepted and without effect: /metrics and /state serve instead of Go's profiler
    #[arg(long, help_heading = "Replicas and logs", default_value = "false", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = value::boolean, value_name = "BOOL")]
    enable_pprof: bool,
    /// Accepted and without effect
    #[arg(
        long,
        help_heading = "Replicas and logs",
        default_value = ":6060",
        value_name = "ADDRESS"
    )]
    pprof_addr: String,
    #[command(flatten)]
    own: OwnArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Under which keys annotations stand.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Annotation keys")]
struct KeyArgs {
    /// The list of ConfigMaps of a workload
    #[arg(long, default_value = "configmap.reloader.stakater.com/reload", value_parser = key, value_name = "KEY")]
    configmap_annotation: String,
    /// The list of Secrets of a workload
    #[arg(long, default_value = "secret.reloader.stakater.com/reload", value_parser = key, value_name = "KEY")]
    secret_annotation: String,
    /// Every referenced object
    #[arg(long, default_value = "reloader.stakater.com/auto", value_parser = key, value_name = "KEY")]
    auto_annotation: String,
    /// Every referenced ConfigMap
    #[arg(long, default_value = "configmap.reloader.stakater.com/auto", value_parser = key, value_name = "KEY")]
    configmap_auto_annotation: String,
    /// Every referenced Secret
    #[arg(long, default_value = "secret.reloader.stakater.com/auto", value_parser = key, value_name = "KEY")]
    secret_auto_annotation: String,
    /// On a ConfigMap or Secret: it never triggers anything
    #[arg(long, default_value = "reloader.stakater.com/ignore", value_parser = key, value_name = "KEY")]
    ignore_annotation: String,
    /// On a workload: referenced objects that match
    #[arg(long, default_value = "reloader.stakater.com/search", value_parser = key, value_name = "KEY")]
    auto_search_annotation: String,
    /// On a ConfigMap or Secret: it matches
    #[arg(long, default_value = "reloader.stakater.com/match", value_parser = key, value_name = "KEY")]
    search_match_annotation: String,
    /// On a Deployment: how long it is paused after a change
    #[arg(long, default_value = "deployment.reloader.stakater.com/pause-period", value_parser = key, value_name = "KEY")]
    pause_deployment_annotation: String,
    /// On a Deployment: written while it is paused
    #[arg(long, default_value = "deployment.reloader.stakater.com/paused-at", value_parser = key, value_name = "KEY")]
    pause_deployment_time_annotation: String,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "What counts")]
struct ObjectArgs {
    /// Workloads without an auto annotation are reloaded too
    #[arg(long, default_value = "false", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = value::boolean, value_name = "BOOL")]
    auto_reload_all: bool,
    /// configmaps or secrets: changes of these never reload anything
    #[arg(long, value_name = "LIST")]
    resources_to_ignore: Vec<String>,
    /// jobs, cronjobs: these are left alone
    #[arg(long, value_name = "LIST")]
    ignored_workload_types: Vec<String>,
    /// Only these namespaces; wins over KUBERNETES_NAMESPACE, and Roles are then enough
    #[arg(long, value_name = "LIST")]
    namespaces: Vec<String>,
    /// Never these namespaces; only where all are watched
    #[arg(long, value_name = "LIST")]
    namespaces_to_ignore: Vec<String>,
    /// Only namespaces whose labels match; only where all are watched
    #[arg(long, value_name = "SELECTOR")]
    namespace_selector: Vec<String>,
    /// Only ConfigMaps and Secrets whose labels match
    #[arg(long, value_name = "SELECTOR")]
    resource_label_selector: Vec<String>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "What is done")]
struct ActArgs {
    /// env-vars, or annotations
    #[arg(long, default_value = "env-vars", value_parser = ["env-vars", "annotations"], value_name = "STRATEGY")]
    reload_strategy: String,
    /// true: an object that appears counts as changed
    #[arg(long, default_value = "false", action = clap::ArgAction::Set, value_parser = value::literal_boolean, value_name = "true|false")]
    reload_on_create: bool,
    /// true: an object that vanishes counts as changed
    #[arg(long, default_value = "false", action = clap::ArgAction::Set, value_parser = value::literal_boolean, value_name = "true|false")]
    reload_on_delete: bool,
    /// Accepted and always so: what changed while nothing ran is found at the start, and what is current stays as it is
    #[arg(long, default_value = "false", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = value::boolean, value_name = "BOOL")]
    sync_after_restart: bool,
    /// true: Argo Rollouts too
    #[arg(long = "is-Argo-Rollouts", default_value = "false", action = clap::ArgAction::Set, value_parser = value::literal_boolean, value_name = "true|false")]
    is_argo_rollouts: bool,
    /// Secrets of the CSI secrets store too
    #[arg(long, default_value = "false", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = value::boolean, value_name = "BOOL")]
    enable_csi_integration: bool,
    /// POST here after each change instead of ever reloading
    #[arg(long, default_value = "", value_name = "URL")]
    webhook_url: String,
}

/// Flags that Reloader does not have.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Of Afresh")]
struct OwnArgs {
    /// The quiet time that ends a burst of changes; never more than ten of it after the first change. 0 acts at once
    #[arg(long, env = "AFRESH_SETTLE", default_value = "200ms", value_parser = parse::duration, value_name = "DURATION")]
    settle: Duration,
    /// How many workloads may be mid-rollout at once; 0 for no limit
    #[arg(long, env = "AFRESH_MAX_ROLLING", default_value_t = 0, value_name = "N")]
    max_rolling: usize,
    /// The Lease's name; the default is Reloader's, which all its releases in one namespace share, so that only one of them acts
    #[arg(long, env = "AFRESH_LEASE_NAME", default_value = "stakater-reloader-lock", value_parser = parse::name, value_name = "NAME")]
    lease_name: Name,
    /// Decide and report, write nothing
    #[arg(long, env = "AFRESH_DRY_RUN")]
    dry_run: bool,
    /// Where /metrics, /live, /livez, /readyz and /state are served; 0 for nowhere
    #[arg(long, env = "AFRESH_METRICS_ADDR", default_value = ":9090", value_parser = parse::listen, value_name = "ADDRESS")]
    metrics_addr: std::option::Option<SocketAddr>,
    /// The Secret that holds the key of Secret digests, in the controller's own namespace
    #[arg(long, env = "AFRESH_DIGEST_KEY_SECRET", default_value = "afresh-digest-key", value_parser = parse::name, value_name = "NAME")]
    digest_key_secret: Name,
}

/// A key of an annotation: an optional DNS prefix and a name.
fn key(text: &str) -> Result<String, String> {
    let name = text.split_once('/').map_or(text, |(_, name)| name);
    let fine = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.len() > 63 || !name.chars().all(fine) {
        return Err(format!(
            "{text:?} is no key of an annotation: write PREFIX/NAME, such as example.com/reload"
        ));
    }
    Ok(text.to_owned())
}

fn log_format(text: &str) -> Result<String, String> {
    match text {
        "" | "json" => Ok(text.to_owned()),
        other => Err(format!("{other:?} is no log format: leave it empty, or write json")),
    }
}

/// A level of logrus as one of ours.
fn log_level(text: &str) -> Result<String, String> {
    let level = match text.to_ascii_lowercase().as_str() {
        "trace" => "trace",
        "debug" => "debug",
        "info" | "" => "info",
        "warn" | "warning" => "warn",
        "error" | "fatal" | "panic" => "error",
        _ => {
            return Err(format!(
                "{text:?} is no log level: write trace, debug, info, warning, error, fatal or panic"
            ));
        }
    };
    Ok(level.to_owned())
}

/// Runs until it is asked to end.
pub(crate) fn main(args: &Args) -> anyhow::Result<ExitCode> {
    let format = if args.log_format == "json" {
        Format::Json
    } else {
        Format::Text
    };
    logging::begin(&args.log_level, format);
    start(&args.cluster, args.config(&environment::process))
}

impl Args {
    /// The configuration, or what is wrong with flags and environment.
    pub(crate) fn config(&self, read: Read<'_>) -> Result<Config, String> {
        let own = own_namespace(read)?;
        let mut config = Config::new(own.clone(), self.own.digest_key_secret.clone());
        self.scope(&mut config, read)?;
        config.conventions = self.conventions()?;
        config.kinds = self.kinds()?;
        config.reloader = Some(self.reloader(read)?);
        config.settle = self.own.settle;
        config.max_rolling = self.own.max_rolling;
        config.dry_run = self.own.dry_run;
        config.metrics_addr = self.own.metrics_addr;
        config.digest_key = SecretName {
            namespace: own.clone(),
            name: self.own.digest_key_secret.clone(),
        };
        if self.enable_ha {
            config.identity = pod_name(read)?;
            config.leader = Some(LeaderConfig {
                namespace: own,
                name: self.own.lease_name.clone(),
                terms: Terms::default(),
            });
        }
        Ok(config)
    }

    fn scope(&self, config: &mut Config, read: Read<'_>) -> Result<(), String> {
        let names = |flag: &str, values: &[String]| {
            let names = elements(flag, values)?.into_iter();
            let parse = |text: String| parse::namespace(&text).map_err(|error| format!("{flag}: {error}"));
            names.map(parse).collect::<Result<BTreeSet<Name>, String>>()
        };
        config.namespaces = names("--namespaces", &self.objects.namespaces)?;
        if config.namespaces.is_empty() {
            config.namespaces = environment::namespace(read, "KUBERNETES_NAMESPACE")?
                .into_iter()
                .collect();
        }
        let everywhere = config.namespaces.is_empty();
        let excluded = names("--namespaces-to-ignore", &self.objects.namespaces_to_ignore)?;
        let selector = selector("--namespace-selector", &self.objects.namespace_selector)?;
        if everywhere {
            config.exclude_namespaces = excluded;
            config.namespace_selector = selector;
        } else if !excluded.is_empty() || selector.is_some() {
            tracing::warn!(
                "--namespaces-to-ignore and --namespace-selector are for where all namespaces are watched: without effect"
            );
        }
        config.selector = selector_of_objects(&self.objects.resource_label_selector)?;
        config.csi = self.acts.enable_csi_integration;
        Ok(())
    }

    fn kinds(&self) -> Result<BTreeSet<WorkloadKind>, String> {
        let flag = "--ignored-workload-types";
        let ignored = elements(flag, &self.objects.ignored_workload_types)?;
        if let Some(wrong) = ignored
            .iter()
            .find(|word| !matches!(word.as_str(), "jobs" | "cronjobs"))
        {
            return Err(format!("{flag}: {wrong:?} is neither jobs nor cronjobs"));
        }
        let mut kinds: BTreeSet<WorkloadKind> = [
            WorkloadKind::Deployment,
            WorkloadKind::StatefulSet,
            WorkloadKind::DaemonSet,
            // Where there is no OpenShift, or no right to it, there are none.
            WorkloadKind::DeploymentConfig,
        ]
        .into();
        let batch = ["jobs", "cronjobs"]
            .into_iter()
            .filter(|word| !ignored.iter().any(|ignored| ignored == word));
        let argo = self.acts.is_argo_rollouts.then_some("rollouts");
        kinds.extend(batch.chain(argo).filter_map(WorkloadKind::from_word));
        Ok(kinds)
    }

    fn conventions(&self) -> Result<Conventions, String> {
        let keys = &self.keys;
        let key = |text: &String| Key::from(text.clone());
        let default = if self.objects.auto_reload_all {
            Reload::Auto
        } else {
            Reload::Off
        };
        Ok(Conventions {
            default,
            jobs: Jobs::Always,
            reloader: Some(Keys {
                auto: key(&keys.auto_annotation),
                configmap_auto: key(&keys.configmap_auto_annotation),
                secret_auto: key(&keys.secret_auto_annotation),
                configmap_reload: key(&keys.configmap_annotation),
                secret_reload: key(&keys.secret_annotation),
                search: key(&keys.auto_search_annotation),
                matching: key(&keys.search_match_annotation),
                ignore: key(&keys.ignore_annotation),
                pause_period: key(&keys.pause_deployment_annotation),
                paused_at: key(&keys.pause_deployment_time_annotation),
            }),
            objects: self.resources()?,
            ..Conventions::native(default)
        })
    }

    /// The kinds of config object that count.
    fn resources(&self) -> Result<BTreeSet<ConfigKind>, String> {
        let flag = "--resources-to-ignore";
        let ignored = elements(flag, &self.objects.resources_to_ignore)?;
        let kind = |word: &String| match word.to_ascii_lowercase().as_str() {
            "configmaps" => Ok(ConfigKind::ConfigMap),
            "secrets" => Ok(ConfigKind::Secret),
            _ => Err(format!("{flag}: {word:?} is neither configmaps nor secrets")),
        };
        let ignored: Vec<ConfigKind> = ignored.iter().map(kind).collect::<Result<_, _>>()?;
        if ignored.len() > 1 {
            return Err(format!(
                "{flag}: at most one of configmaps and secrets, or nothing is left to do"
            ));
        }
        Ok(ConfigKind::ALL
            .into_iter()
            .filter(|kind| !ignored.contains(kind))
            .collect())
    }

    /// Checked here and not by the parser of the command line, which would show a wrong value, token and all.
    fn webhook_url(&self) -> Result<Option<Endpoint>, String> {
        let text = &self.acts.webhook_url;
        let parse = |text: &String| Endpoint::parse(text).map_err(|error| format!("--webhook-url: {error}"));
        Some(text).filter(|text| !text.is_empty()).map(parse).transpose()
    }

    fn reloader(&self, read: Read<'_>) -> Result<config::Reloader, String> {
        let meta_info = environment::namespace(read, "RELOADER_NAMESPACE")?.map(|namespace| MetaInfo {
            namespace,
            deployment: read("RELOADER_DEPLOYMENT_NAME").unwrap_or_default(),
            options: options::shown(self),
        });
        Ok(config::Reloader {
            strategy: match self.acts.reload_strategy.as_str() {
                "annotations" => Strategy::Annotations,
                _ => Strategy::EnvVars,
            },
            on_create: self.acts.reload_on_create,
            on_delete: self.acts.reload_on_delete,
            webhook_url: self.webhook_url()?,
            alerts: environment::alerts(read)?,
            meta_info,
            count_by_namespace: environment::switch(read, "METRICS_COUNT_BY_NAMESPACE", "enabled")?,
        })
    }
}

/// All elements of a list flag, which may be given repeatedly.
fn elements(flag: &str, values: &[String]) -> Result<Vec<String>, String> {
    let lists: Result<Vec<Vec<String>>, String> = values
        .iter()
        .map(|text| value::list(text).map_err(|error| format!("{flag}: {error}")))
        .collect();
    Ok(lists?.concat())
}

fn selector(flag: &str, values: &[String]) -> Result<Option<String>, String> {
    value::selector(&elements(flag, values)?).map_err(|error| format!("{flag}: {error}"))
}

fn selector_of_objects(values: &[String]) -> Result<Option<String>, String> {
    selector("--resource-label-selector", values)
}

/// The namespace we run in: that of the Lease and of the digest key.
fn own_namespace(read: Read<'_>) -> Result<Name, String> {
    for variable in ["POD_NAMESPACE", "RELOADER_NAMESPACE", "KUBERNETES_NAMESPACE"] {
        if let Some(namespace) = environment::namespace(read, variable)? {
            return Ok(namespace);
        }
    }
    // Where a pod's ServiceAccount says it runs.
    let file = std::fs::read_to_string("/var/run/secrets/kubernetes.io/serviceaccount/namespace");
    parse::namespace(file.as_deref().map_or("default", str::trim))
}

fn pod_name(read: Read<'_>) -> Result<String, String> {
    let missing = |name: &str| format!("--enable-ha needs {name}: set it from the pod's metadata (fieldRef)");
    read("POD_NAMESPACE").ok_or_else(|| missing("POD_NAMESPACE"))?;
    read("POD_NAME").ok_or_else(|| missing("POD_NAME"))
}

#[cfg(test)]
mod tests;
