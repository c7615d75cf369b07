//! The annotation keys of the contract.

use std::collections::BTreeMap;

/// Annotations of one object, by key.
pub type Annotations = BTreeMap<String, String>;

/// How a workload is kept current: see [`crate::policy::Reload`].
pub const RELOAD: &str = "afresh.dev/reload";
/// Containers that reread mounted files by themselves: `true`, `false` or container names.
pub const HOT: &str = "afresh.dev/hot";
/// Config objects that count although the template does not reference them.
pub const INCLUDE: &str = "afresh.dev/include";
/// Config objects that never count; wins over everything.
pub const EXCLUDE: &str = "afresh.dev/exclude";
/// The workload's own quiet time.
pub const SETTLE: &str = "afresh.dev/settle";
/// On a config object: it never triggers anything.
pub const IGNORE: &str = "afresh.dev/ignore";

/// Written on the workload: what it was last brought up to.
pub const APPLIED: &str = "afresh.dev/applied";
/// Written on the pod template: one digest; a new one makes the workload's controller replace the pods.
pub const CONFIG: &str = "afresh.dev/config";
/// Written on pods: a new value makes the kubelet sync the pod now.
pub const TOUCHED: &str = "afresh.dev/touched";

/// Written on a Job made again: the uid of the one before it.
pub const REPLACES: &str = "afresh.dev/replaces";
/// Written on a Job that does nothing but keep, as JSON, what another one is to be made from.
pub const STANDS_IN_FOR: &str = "afresh.dev/stands-in-for";

/// Of Argo Rollouts, by Reloader's word: `restart` replaces the pods and leaves the template alone.
pub const ROLLOUT_STRATEGY: &str = "reloader.stakater.com/rollout-strategy";
/// Helm runs the Job itself, at a moment of a release.
pub const HELM_HOOK: &str = "helm.sh/hook";

/// Keys that Afresh writes itself; a change of these is never news.
pub const WRITTEN: [&str; 5] = [APPLIED, CONFIG, TOUCHED, REPLACES, STANDS_IN_FOR];
