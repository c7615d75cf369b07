//! What can go wrong with a cluster.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why a cluster, or something asked of it, failed. Its `Debug` is for people, too: tests unwrap.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A program of the cluster is nowhere.
    #[error("{0} not found: run `cargo xtask setup`")]
    ProgramMissing(&'static str),
    /// A node cannot run on this machine, or not here.
    #[error("no node can run here: {0}")]
    NoNode(String),
    /// One process may start one node: its sockets, bridge and mounts are the namespaces' only ones.
    #[error("this process has started a node before: tests share it through Cluster::shared_with_node")]
    SecondNode,
    /// A file or directory could not be used.
    #[error("could not {attempt} {path}")]
    File {
        /// What was tried, such as `write`.
        attempt: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// No port could be had.
    #[error("no free port on 127.0.0.1 below the ephemeral ones")]
    NoPort,
    /// The system gave no random bytes.
    #[error("the system gave no random bytes: {0}")]
    Random(String),
    /// A key or certificate could not be made.
    #[error("could not make the cluster's certificates")]
    Certificate(#[from] rcgen::Error),
    /// A program could not be started.
    #[error("could not start {program}")]
    Start {
        /// The program.
        program: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// A component ended by itself.
    #[error("{component} ended: {status}; the end of its log:\n{log}")]
    Ended {
        /// The component.
        component: &'static str,
        /// Its exit status.
        status: String,
        /// The last lines of its log.
        log: String,
    },
    /// A cluster did not start.
    #[error("the {flavour} cluster did not start (attempt {attempt}, logs in {logs}): {cause}\n{tails}")]
    NotStarted {
        /// Its flavour, such as `node`.
        flavour: &'static str,
        /// How many attempts were made.
        attempt: usize,
        /// Where the components' logs are.
        logs: PathBuf,
        /// What the last attempt failed with.
        cause: Box<Error>,
        /// The end of each log.
        tails: String,
    },
    /// The cluster that the tests of one binary share did not start, which is tried once for all of them.
    #[error("the shared cluster did not start: {0}")]
    SharedNotStarted(String),
    /// Something did not come about in time.
    #[error("{what} did not come about within {limit:?}: {last}")]
    TimedOut {
        /// What was waited for.
        what: String,
        /// How long.
        limit: Duration,
        /// What was seen last.
        last: String,
    },
    /// The API server refused or could not be reached.
    #[error("could not {attempt}")]
    Api {
        /// What was tried.
        attempt: &'static str,
        /// What the client says.
        #[source]
        source: Box<kube::Error>,
    },
    /// The kubeconfig that the testbed wrote cannot be used.
    #[error("the kubeconfig of the cluster cannot be used")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    /// A command failed.
    #[error("`{command}` failed ({status}): {stderr}")]
    Command {
        /// The program and its arguments.
        command: String,
        /// Its exit status.
        status: String,
        /// Its standard error.
        stderr: String,
    },
    /// etcd's HTTP gateway gave no usable answer.
    #[error("etcd's answer to {request} is unusable: {answer}")]
    Etcd {
        /// The path of the request.
        request: &'static str,
        /// The answer, or what failed.
        answer: String,
    },
    /// The cluster runs without what was asked for.
    #[error("this cluster runs without {0}")]
    Without(&'static str),
    /// The thread that owns the processes is gone; only when the test process is ending.
    #[error("the testbed is shutting down")]
    ShuttingDown,
}

impl Error {
    pub(crate) fn file(attempt: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { attempt, path, source }
    }

    /// Another attempt, from nothing, may succeed: a component ended, was too slow, or could not be talked to.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::NotStarted { cause, .. } => cause.may_pass(),
            Self::Ended { .. } | Self::TimedOut { .. } | Self::Command { .. } | Self::Api { .. } => true,
            _ => false,
        }
    }

    pub(crate) fn api(attempt: &'static str) -> impl FnOnce(kube::Error) -> Self {
        move |source| Self::Api {
            attempt,
            source: Box::new(source),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

/// The result of everything here.
pub type Result<T> = std::result::Result<T, Error>;
