//! How the controller runs whose decision is told: found in the cluster, or said by whoever asks.

pub(crate) mod command_line;
pub(crate) mod find;

use std::fmt;

use afresh_controller::Config;
use afresh_model::name::{CustomKind, Name, WorkloadKey, WorkloadKind};

use super::words::list;

/// A controller as it runs, as far as its decisions go.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    /// Which of the two it is.
    pub(crate) program: Program,
    /// How that is known.
    pub(crate) source: Source,
    /// All that it was told.
    pub(crate) config: Config,
    /// What else is to be known of it.
    pub(crate) notes: Vec<String>,
}

/// The two ways in which the controller runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    /// `afresh controller`.
    Controller,
    /// `afresh reloader`.
    Reloader,
}

impl Program {
    /// The subcommand.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Controller => "controller",
            Self::Reloader => "reloader",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        [Self::Controller, Self::Reloader]
            .into_iter()
            .find(|program| program.word() == word)
    }
}

/// How it is known how the controller runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// Whoever asks has said so.
    Given,
    /// From this object.
    Object {
        /// `deployment` or `configmap`.
        kind: &'static str,
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// It is not: these are the defaults.
    Nowhere,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given => f.write_str("with the flags given"),
            Self::Object { kind, namespace, name } => write!(f, "as {kind} {namespace}/{name} has it"),
            Self::Nowhere => f.write_str("with its defaults, because no controller was found"),
        }
    }
}

impl Setup {
    /// `afresh controller` without a flag, which also keeps track of CSI secrets: who asks about them should not be told
    /// that there are none.
    pub(crate) fn default_in(own_namespace: Name, digest_key_secret: Name) -> Self {
        Self {
            program: Program::Controller,
            source: Source::Nowhere,
            config: Config {
                csi: true,
                ..Config::new(own_namespace, digest_key_secret)
            },
            notes: Vec::new(),
        }
    }

    /// The kinds of its own that it was given.
    pub(crate) fn custom_kinds(&self) -> Vec<&'static CustomKind> {
        let custom = self.config.kinds.iter().filter_map(|kind| match kind {
            WorkloadKind::Custom(kind) => Some(*kind),
            _ => None,
        });
        custom.collect()
    }

    /// Whether it has namespaces of its own, and these are others.
    fn leaves_out(&self, namespace: &Name) -> bool {
        let only = &self.config.namespaces;
        !only.is_empty() && !only.contains(namespace) || self.config.exclude_namespaces.contains(namespace)
    }

    /// Why the controller never looks at the workload, whatever that says.
    pub(crate) fn outside(&self, key: &WorkloadKey) -> Option<String> {
        let (program, config) = (self.program.word(), &self.config);
        let webhook = config
            .reloader
            .as_ref()
            .and_then(|reloader| reloader.webhook_url.as_ref());
        if let Some(url) = webhook {
            return Some(format!(
                "afresh reloader runs in webhook mode, so nothing is ever reloaded: changes are posted to {url}"
            ));
        }
        if self.leaves_out(&key.namespace) {
            let only: Vec<String> = config.namespaces.iter().map(ToString::to_string).collect();
            return Some(match &only[..] {
                [] => format!("afresh {program} is told to leave namespace {} out", key.namespace),
                only => format!("afresh {program} looks at these namespaces only: {}", list(only)),
            });
        }
        let kind = key.kind.word();
        (!config.kinds.contains(&key.kind)).then(|| match (self.program, key.kind) {
            (Program::Controller, _) => format!("afresh controller is not given --workloads with {kind} in it"),
            (_, WorkloadKind::Rollout) => "afresh reloader is not given --is-Argo-Rollouts=true".to_owned(),
            (_, WorkloadKind::Job | WorkloadKind::CronJob) => {
                format!("afresh reloader is given --ignored-workload-types with {kind}s in it")
            }
            (Program::Reloader, _) => format!("afresh reloader keeps no {kind} current"),
        })
    }
}
