//! `afresh controller`.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use afresh_controller::config::SecretName;
use afresh_controller::{Config, LeaderConfig};
use afresh_engine::lease::Terms;
use afresh_k8s::client::RequestCounts;
use afresh_model::convention::Conventions;
use afresh_model::name::{CustomKind, Name, WorkloadKind};
use afresh_model::policy::Reload;

use crate::cluster::ClusterArgs;
use crate::logging::LogArgs;
use crate::parse;
use crate::start::start;

/// The flags of `afresh controller`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Workloads opt in by the annotation afresh.dev/reload: auto (see docs/guide.md), or all at once by --default-reload.
Durations are written 500ms, 2s, 1m or 1h30m.")]
pub(crate) struct Args {
    #[command(flatten)]
    scope: ScopeArgs,
    #[command(flatten)]
    action: ActionArgs,
    #[command(flatten)]
    lead: LeadArgs,
    /// Where /metrics, /livez, /readyz and /state are served; 0 for nowhere
    #[arg(long, env = "AFRESH_METRICS_ADDR", default_value = ":9090", value_parser = parse::listen)]
    metrics_addr: std::option::Option<SocketAddr>,
    #[command(flatten)]
    cluster: ClusterArgs,
    #[command(flatten)]
    log: LogArgs,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "What is kept current")]
struct ScopeArgs {
    /// Only this namespace (repeatable, or parted by commas); Roles are then enough
    #[arg(long, env = "AFRESH_NAMESPACE", value_delimiter = ',', value_parser = parse::namespace, value_name = "NAME")]
    namespace: Vec<Name>,
    /// Only namespaces whose labels match
    #[arg(long, env = "AFRESH_NAMESPACE_SELECTOR", value_parser = parse::selector, value_name = "SELECTOR", conflicts_with = "namespace")]
    namespace_selector: Option<String>,
    /// Never this namespace (repeatable, or parted by commas)
    #[arg(long, env = "AFRESH_EXCLUDE_NAMESPACE", value_delimiter = ',', value_parser = parse::namespace, value_name = "NAME")]
    exclude_namespace: Vec<Name>,
    /// Only ConfigMaps and Secrets whose labels match
    #[arg(long, env = "AFRESH_SELECTOR", value_parser = parse::selector, value_name = "SELECTOR")]
    selector: Option<String>,
    /// Also what the secrets-store CSI driver mounts: a SecretProviderClass whose versions were rotated is a change
    #[arg(long, env = "AFRESH_CSI")]
    csi: bool,
    /// What counts for workloads without the annotation afresh.dev/reload: auto, roll, touch, evict or off
    #[arg(long, env = "AFRESH_DEFAULT_RELOAD", default_value = "off", value_parser = parse::reload, value_name = "MODE")]
    default_reload: Reload,
    /// Whose annotations are honoured beside our own: reloader, wave, or none
    #[arg(
        long,
        env = "AFRESH_HONOR",
        value_delimiter = ',',
        default_value = "reloader,wave",
        value_enum,
        value_name = "WHOSE"
    )]
    honor: Vec<Honor>,
    /// The kinds of workload to keep current; also job, which is made again where it says afresh.dev/reload: roll
    #[arg(long, env = "AFRESH_WORKLOADS", value_delimiter = ',', default_value = "deployment,statefulset,daemonset,rollout,deploymentconfig,pod", value_parser = parse::workload_kind, value_name = "KIND")]
    workloads: Vec<WorkloadKind>,
    /// One more kind and the path of its pod template, such as apps.example.org/v1/Web=spec.template (repeatable)
    #[arg(long, env = "AFRESH_WORKLOAD", value_delimiter = ',', value_parser = parse::custom_kind, value_name = "KIND=PATH")]
    workload: Vec<&'static CustomKind>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "How it acts")]
struct ActionArgs {
    /// Decide and report, write nothing
    #[arg(long, env = "AFRESH_DRY_RUN")]
    dry_run: bool,
    /// The quiet time that ends a burst of changes; never more than ten of it after the first change. 0 acts at once
    #[arg(long, env = "AFRESH_SETTLE", default_value = "200ms", value_parser = parse::duration, value_name = "DURATION")]
    settle: Duration,
    /// How many workloads may be mid-rollout at once; 0 for no limit
    #[arg(long, env = "AFRESH_MAX_ROLLING", default_value_t = 0, value_name = "N")]
    max_rolling: usize,
    /// After this a rollout no longer counts towards --max-rolling
    #[arg(long, env = "AFRESH_ROLLOUT_TIMEOUT", default_value = "10m", value_parser = parse::duration, value_name = "DURATION")]
    rollout_timeout: Duration,
    /// Touches per second over all pods: each is a write that every watcher of pods sees
    #[arg(long, env = "AFRESH_TOUCH_QPS", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..), value_name = "N")]
    touch_qps: u32,
    /// When after its first touch a pod is touched again, in case the kubelet did not know the new content yet
    #[arg(long, env = "AFRESH_TOUCH_AGAIN", value_delimiter = ',', default_value = "2s,65s", value_parser = parse::duration, value_name = "DURATION")]
    touch_again: Vec<Duration>,
    /// How many actions may be under way at once
    #[arg(long, env = "AFRESH_CONCURRENCY", default_value_t = 16, value_name = "N")]
    concurrency: usize,
    /// The longest a call to the API server may take
    #[arg(long, env = "AFRESH_CALL_TIMEOUT", default_value = "10s", value_parser = parse::duration, value_name = "DURATION")]
    call_timeout: Duration,
    /// Page the first lists instead of streaming them (Kubernetes before 1.32 falls back by itself)
    #[arg(long, env = "AFRESH_PAGED_LISTS")]
    paged_lists: bool,
    /// The Secret that holds the key of Secret digests, in the controller's own namespace
    #[arg(long, env = "AFRESH_DIGEST_KEY_SECRET", default_value = "afresh-digest-key", value_parser = parse::name, value_name = "NAME")]
    digest_key_secret: Name,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Who acts")]
struct LeadArgs {
    /// The namespace of the Lease and the digest key
    #[arg(long, env = "AFRESH_OWN_NAMESPACE", default_value = "afresh", value_parser = parse::namespace, value_name = "NAME")]
    own_namespace: Name,
    /// Whether replicas elect a leader by a Lease
    #[arg(long, env = "AFRESH_LEADER_ELECT", default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    leader_elect: bool,
    /// The Lease's name
    #[arg(long, env = "AFRESH_LEASE_NAME", default_value = "afresh", value_parser = parse::name, value_name = "NAME")]
    lease_name: Name,
    /// How long others wait after a renewal before they take over
    #[arg(long, env = "AFRESH_LEASE_DURATION", default_value = "15s", value_parser = parse::duration, value_name = "DURATION")]
    lease_duration: Duration,
    /// How long after its last renewal a leader still acts
    #[arg(long, env = "AFRESH_RENEW_DEADLINE", default_value = "10s", value_parser = parse::duration, value_name = "DURATION")]
    renew_deadline: Duration,
    /// How often a leader renews and others look
    #[arg(long, env = "AFRESH_RETRY_PERIOD", default_value = "2s", value_parser = parse::duration, value_name = "DURATION")]
    retry_period: Duration,
    /// This replica's name; the pod's name where it is not given
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    identity: Option<String>,
}

/// Runs the controller until it is asked to end.
pub(crate) fn main(args: &Args) -> anyhow::Result<ExitCode> {
    args.log.begin();
    start(&args.cluster, args.config())
}

impl Args {
    /// The configuration, or what is wrong with the flags together.
    pub(crate) fn config(&self) -> Result<Config, String> {
        let (scope, action, lead) = (&self.scope, &self.action, &self.lead);
        for (flag, zero) in [
            ("--concurrency", action.concurrency == 0),
            ("--call-timeout", action.call_timeout.is_zero()),
        ] {
            if zero {
                return Err(format!("{flag} is 0: nothing could ever be done"));
            }
        }
        let mut touch_again = action.touch_again.clone();
        touch_again.sort_unstable();
        Ok(Config {
            namespaces: scope.namespace.iter().cloned().collect(),
            namespace_selector: scope.namespace_selector.clone(),
            exclude_namespaces: scope.exclude_namespace.iter().cloned().collect(),
            selector: scope.selector.clone(),
            csi: scope.csi,
            conventions: scope.conventions(),
            reloader: None,
            kinds: scope.kinds(),
            dry_run: action.dry_run,
            settle: action.settle,
            max_rolling: action.max_rolling,
            rollout_timeout: action.rollout_timeout,
            touch_qps: action.touch_qps,
            touch_again,
            concurrency: action.concurrency,
            call_timeout: action.call_timeout,
            streaming_lists: !action.paged_lists,
            digest_key: SecretName {
                namespace: lead.own_namespace.clone(),
                name: action.digest_key_secret.clone(),
            },
            leader: lead.leader()?,
            metrics_addr: self.metrics_addr,
            identity: lead.identity(),
            requests: RequestCounts::default(),
            wall: None,
        })
    }
}

/// Whose annotations are honoured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Honor {
    /// Stakater Reloader's
    Reloader,
    /// wave's
    Wave,
    /// Nobody else's
    None,
}

impl ScopeArgs {
    fn conventions(&self) -> Conventions {
        Conventions {
            reloader: self.honor.contains(&Honor::Reloader).then(Default::default),
            wave: self.honor.contains(&Honor::Wave),
            ..Conventions::native(self.default_reload)
        }
    }

    fn kinds(&self) -> BTreeSet<WorkloadKind> {
        let own = self.workload.iter().copied().map(WorkloadKind::Custom);
        self.workloads.iter().copied().chain(own).collect()
    }
}

impl LeadArgs {
    fn leader(&self) -> Result<Option<LeaderConfig>, String> {
        if !self.leader_elect {
            return Ok(None);
        }
        let terms = Terms {
            duration: self.lease_duration,
            renew_deadline: self.renew_deadline,
            retry: self.retry_period,
        };
        let ordered =
            !terms.retry.is_zero() && terms.retry < terms.renew_deadline && terms.renew_deadline < terms.duration;
        if !ordered {
            return Err(format!(
                "--retry-period ({:?}) must be shorter than --renew-deadline ({:?}), and that shorter than \
                 --lease-duration ({:?}): a leader has to stop before another may begin",
                terms.retry, terms.renew_deadline, terms.duration
            ));
        }
        Ok(Some(LeaderConfig {
            namespace: self.own_namespace.clone(),
            name: self.lease_name.clone(),
            terms,
        }))
    }

    /// Unique among replicas, also where two run on one machine.
    fn identity(&self) -> String {
        match self.identity.as_deref().filter(|name| !name.is_empty()) {
            Some(name) => name.to_owned(),
            None => format!("afresh-{}", std::process::id()),
        }
    }
}
