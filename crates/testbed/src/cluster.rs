//! A running cluster: what it is made of, and how its parts stop and start again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use afresh_testbed_host::Program;
use tokio::sync::Mutex;

use crate::access::Access;
use crate::control_plane::{self, Addresses};
use crate::error::{Error, Result};
use crate::keeper;
use crate::node::Node;
use crate::process::{Process, Recipe};
use crate::ready;
use crate::start::{self, Made};
use crate::state::State;

/// How often an API server is started again before it counts as one that does not come up: it gives its first steps half a
/// minute and ends when a busy machine needs more.
const RESTARTS: usize = 3;

/// What a cluster is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flavour {
    /// etcd and the API server. Nothing acts on objects by itself: a Deployment makes no ReplicaSet.
    ControlPlane,
    /// The same with kube-controller-manager and kube-scheduler: a Deployment makes pods, which stay pending.
    Controllers,
    /// The same with a node called `localhost` (kubelet, containerd, runc): pods run.
    Node,
}

impl Flavour {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ControlPlane => "control-plane",
            Self::Controllers => "controllers",
            Self::Node => "node",
        }
    }
}

/// When a kubelet looks at a pod, and so at its volumes, by itself (`syncFrequency`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resync {
    /// So rarely that no test sees it: what is fresh is fresh because of whoever touched the pod, and no clock has to tell.
    Rare,
    /// After 60 to 90 s, as by default.
    Default,
}

/// How a cluster is to be; see [`Cluster::builder`].
#[derive(Clone, Debug)]
pub struct Builder {
    pub(crate) flavour: Flavour,
    pub(crate) audit: bool,
    pub(crate) resync: Resync,
    pub(crate) api_server_flags: Vec<(String, String)>,
}

impl Builder {
    /// What runs; [`Flavour::ControlPlane`] if not called.
    #[must_use]
    pub fn flavour(mut self, flavour: Flavour) -> Self {
        self.flavour = flavour;
        self
    }

    /// Without the audit log that [`Cluster::requests`] reads: for measurements of latency.
    #[must_use]
    pub fn without_audit(mut self) -> Self {
        self.audit = false;
        self
    }

    /// With a kubelet that looks at each pod every 60 to 90 s by itself, as by its defaults, instead of practically never.
    #[must_use]
    pub fn default_resync(mut self) -> Self {
        self.resync = Resync::Default;
        self
    }

    /// One more flag of kube-apiserver, without dashes; of two with one name, the API server takes the later.
    #[must_use]
    pub fn api_server_flag(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.api_server_flags.push((name.into(), value.into()));
        self
    }

    /// Starts the cluster; it is ready for use when this returns.
    ///
    /// # Errors
    /// [`Error::NotStarted`], with the cause and the end of each log, when it was tried three times;
    /// [`Error::NoNode`], [`Error::SecondNode`].
    pub async fn start(self) -> Result<Cluster> {
        keeper::run(start::cluster(self)).await
    }
}

/// A component and how to start it again.
#[derive(Debug)]
pub(crate) struct Part {
    recipe: Recipe,
    process: Option<Process>,
}

impl Part {
    /// Must be called on the keeper's thread.
    pub(crate) fn start(recipe: Recipe) -> Result<Self> {
        let mut part = Self { recipe, process: None };
        part.run()?;
        Ok(part)
    }

    /// Starts it unless it runs. Must be called on the keeper's thread.
    fn run(&mut self) -> Result<()> {
        if self.process.is_none() {
            self.process = Some(self.recipe.start()?);
        }
        Ok(())
    }
}

/// The components that run, in the order in which they were started.
#[derive(Debug, Default)]
pub(crate) struct Parts(pub(crate) Vec<Part>);

impl Parts {
    /// # Errors
    /// [`Error::Ended`] for the first component that ended by itself.
    pub(crate) fn check(&mut self) -> Result<()> {
        self.0
            .iter_mut()
            .filter_map(|part| part.process.as_mut())
            .try_for_each(Process::check)
    }

    fn part(&mut self, program: Program) -> Result<&mut Part> {
        let found = self.0.iter_mut().find(|part| part.recipe.program == program);
        found.ok_or(Error::Without(program.name()))
    }

    /// All at once: killed, nobody waits for anybody.
    pub(crate) async fn kill(&mut self) {
        let processes: Vec<_> = self.0.drain(..).filter_map(|part| part.process).collect();
        for process in processes.into_iter().rev() {
            process.kill().await;
        }
    }

    /// The node first and etcd last: an API server that has lost its etcd never finishes.
    async fn stop(&mut self) {
        while let Some(part) = self.0.pop() {
            if let Some(process) = part.process {
                process.stop().await;
            }
        }
    }
}

/// A cluster of this process. Dropped, it is killed and its data removed; its logs stay. If the process dies first, the
/// kernel kills every component of the control plane with it, and the node dies with its namespaces.
#[derive(Debug)]
pub struct Cluster {
    flavour: Flavour,
    state: State,
    addresses: Addresses,
    admin: Access,
    audit: bool,
    parts: std::sync::Arc<Mutex<Parts>>,
    node: Option<Node>,
}

impl Cluster {
    pub(crate) fn of(builder: &Builder, state: State, parts: Parts, made: Made) -> Self {
        Self {
            flavour: builder.flavour,
            audit: builder.audit,
            parts: std::sync::Arc::new(Mutex::new(parts)),
            state,
            addresses: made.addresses,
            admin: made.admin,
            node: made.node,
        }
    }

    /// A cluster to be configured: `Cluster::builder().flavour(Flavour::Controllers).without_audit().start().await?`.
    #[must_use]
    pub fn builder() -> Builder {
        Builder {
            flavour: Flavour::ControlPlane,
            audit: true,
            resync: Resync::Rare,
            api_server_flags: Vec::new(),
        }
    }

    /// A cluster of its own of [`Flavour::ControlPlane`], for a test that stops, compacts or counts.
    ///
    /// # Errors
    /// As [`Builder::start`].
    pub async fn control_plane() -> Result<Self> {
        Self::builder().start().await
    }

    /// A cluster of its own of [`Flavour::Controllers`].
    ///
    /// # Errors
    /// As [`Builder::start`].
    pub async fn with_controllers() -> Result<Self> {
        Self::builder().flavour(Flavour::Controllers).start().await
    }

    /// What this cluster is made of.
    pub fn flavour(&self) -> Flavour {
        self.flavour
    }

    /// The administrator: of group `system:masters`, so above RBAC.
    pub fn admin(&self) -> &Access {
        &self.admin
    }

    /// The API server's URL, the same after a restart.
    pub fn server(&self) -> String {
        self.addresses.api_server_url()
    }

    /// Where the cluster keeps everything.
    pub fn directory(&self) -> &Path {
        &self.state.root
    }

    /// The log of a component, such as `kube-apiserver` or `kubelet`.
    pub fn log(&self, component: &str) -> PathBuf {
        self.state.logs.join(format!("{component}.log"))
    }

    /// The process ids of the components that run, by name.
    pub async fn pids(&self) -> BTreeMap<&'static str, u32> {
        let parts = self.parts.lock().await;
        let running = parts.0.iter().filter_map(|part| part.process.as_ref());
        running
            .filter_map(|process| Some((process.name(), process.pid()?)))
            .collect()
    }

    /// Stops the API server as an operator does (SIGTERM): answers under way are finished, watches end.
    ///
    /// # Errors
    /// [`Error::ShuttingDown`].
    pub async fn stop_api_server(&self) -> Result<()> {
        self.end_api_server(false).await
    }

    /// Kills the API server (SIGKILL): connections are reset.
    ///
    /// # Errors
    /// [`Error::ShuttingDown`].
    pub async fn kill_api_server(&self) -> Result<()> {
        self.end_api_server(true).await
    }

    async fn end_api_server(&self, kill: bool) -> Result<()> {
        let parts = self.parts.clone();
        let end = async move {
            let process = parts.lock().await.part(Program::KubeApiserver)?.process.take();
            match process {
                Some(process) if kill => process.kill().await,
                Some(process) => process.stop().await,
                None => None,
            };
            Ok(())
        };
        keeper::run(end).await
    }

    /// Starts the API server again after [`Self::stop_api_server`] or [`Self::kill_api_server`], on the same port and
    /// etcd, and returns when it is ready. Does nothing if it runs.
    ///
    /// # Errors
    /// As [`Builder::start`].
    pub async fn start_api_server(&self) -> Result<()> {
        let (parts, admin) = (self.parts.clone(), self.admin.clone());
        let begin = async move {
            let mut parts = parts.lock().await;
            for _ in 1..RESTARTS {
                parts.part(Program::KubeApiserver)?.run()?;
                match ready::api_server(&admin, &mut parts).await {
                    Err(Error::Ended { component, .. }) if component == Program::KubeApiserver.name() => {
                        parts.part(Program::KubeApiserver)?.process = None;
                    }
                    other => return other,
                }
            }
            parts.part(Program::KubeApiserver)?.run()?;
            ready::api_server(&admin, &mut parts).await
        };
        keeper::run(begin).await
    }

    /// Stops every component in order (the node first, etcd last) and removes the data.
    ///
    /// # Errors
    /// [`Error::ShuttingDown`].
    pub async fn stop(self) -> Result<()> {
        let (parts, state) = (self.parts.clone(), self.state.clone());
        let end = async move {
            parts.lock().await.stop().await;
            state.remove();
            Ok(())
        };
        keeper::run(end).await
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    pub(crate) fn etcd_port(&self) -> u16 {
        self.addresses.etcd
    }

    pub(crate) fn audit_log(&self) -> Result<PathBuf> {
        if self.audit {
            Ok(control_plane::audit_log(&self.state))
        } else {
            Err(Error::Without("an audit log"))
        }
    }

    /// What runs pods.
    pub(crate) fn node(&self) -> Result<&Node> {
        self.node.as_ref().ok_or(Error::Without("a node"))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let (parts, state) = (self.parts.clone(), self.state.clone());
        if let Ok(keeper) = keeper::handle() {
            keeper.spawn(async move {
                parts.lock().await.kill().await;
                state.remove();
            });
        }
    }
}
