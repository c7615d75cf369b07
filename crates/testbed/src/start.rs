//! Starting a cluster: one at a time, and anew where a component did not come up.
//!
//! Components give themselves seconds (containerd's client 10 to connect, the controller-manager 10 for the API server, the API
//! server 30 for its first roles) and end when a busy machine needs more. That is no fault of what is tested, so the
//! start is repeated from nothing; every failed attempt is told, with the end of each log.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use tokio::sync::Mutex;

use crate::access::Access;
use crate::cluster::{Builder, Cluster, Flavour, Part, Parts};
use crate::control_plane::{self, Addresses};
use crate::error::{Error, Result};
use crate::node::{self, Node};
use crate::pki::{Pki, Role};
use crate::process::tail;
use crate::ready;
use crate::state::State;

/// How often a cluster is tried.
const ATTEMPTS: usize = 3;

/// How much of each log is told when a start fails.
const LINES: usize = 8;

/// Two clusters that start at once start no sooner on two cores, and each has half of the time it gives itself.
static TURN: Mutex<()> = Mutex::const_new(());

/// Must be called on the keeper's thread.
pub(crate) async fn cluster(builder: Builder) -> Result<Cluster> {
    if builder.flavour == Flavour::Node {
        node::claim()?;
    }
    let _turn = TURN.lock().await;
    for attempt in 1.. {
        let state = State::create(builder.flavour.name())?;
        match begin(&builder, &state).await {
            Ok(cluster) => return Ok(cluster),
            Err(cause) => {
                let error = Error::NotStarted {
                    flavour: builder.flavour.name(),
                    attempt,
                    logs: state.logs.clone(),
                    tails: tails(&state.logs),
                    cause: Box::new(cause),
                };
                state.remove();
                tell(&error.to_string());
                if attempt >= ATTEMPTS || !error.may_pass() {
                    return Err(error);
                }
            }
        }
    }
    Err(Error::ShuttingDown)
}

/// One attempt. If it fails, nothing of it runs any more.
async fn begin(builder: &Builder, state: &State) -> Result<Cluster> {
    let started = Instant::now();
    let mut parts = Parts::default();
    match assemble(builder, state, &mut parts).await {
        Ok(made) => {
            let took = started.elapsed().as_secs_f64();
            let (flavour, root) = (builder.flavour.name(), state.root.display());
            tell(&format!("{flavour} up in {took:.1} s ({root})"));
            Ok(Cluster::of(builder, state.clone(), parts, made))
        }
        Err(error) => {
            parts.kill().await;
            Err(error)
        }
    }
}

/// What a started cluster is known by, besides its components.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) addresses: Addresses,
    pub(crate) admin: Access,
    pub(crate) node: Option<Node>,
}

async fn assemble(builder: &Builder, state: &State, parts: &mut Parts) -> Result<Made> {
    let with_node = builder.flavour == Flavour::Node;
    let addresses = if with_node {
        Addresses::for_node()?
    } else {
        Addresses::on_loopback()?
    };
    let pki = Pki::make(&state.secrets)?;
    let server = addresses.api_server_url();
    let access = |name: &str, role: Role| Access::write(&state.secrets, name, &server, &pki.ca, pki.token(role));

    parts.0.push(Part::start(control_plane::etcd(state, &addresses))?);
    let mut api_server = control_plane::api_server(state, &addresses, &pki, builder.audit)?;
    for (name, value) in &builder.api_server_flags {
        api_server = api_server.flag(name, value);
    }
    parts.0.push(Part::start(api_server)?);
    let admin = access("admin", Role::Admin)?;
    let node = if with_node {
        Some(Node::prepare(state, parts).await?)
    } else {
        None
    };
    ready::api_server(&admin, parts).await?;
    if builder.flavour >= Flavour::Controllers {
        let manager = access("controller-manager", Role::ControllerManager)?;
        let scheduler = access("scheduler", Role::Scheduler)?;
        let manager = control_plane::controller_manager(state, &pki, manager.kubeconfig());
        parts.0.push(Part::start(manager)?);
        let scheduler = control_plane::scheduler(state, scheduler.kubeconfig());
        parts.0.push(Part::start(scheduler)?);
    }
    if let Some(node) = &node {
        node.join(state, &access("node", Role::Node)?, builder.resync, parts)?;
        ready::node(&admin, parts).await?;
    }
    if builder.flavour >= Flavour::Controllers {
        ready::controllers(&admin, parts).await?;
    }
    Ok(Made { addresses, admin, node })
}

/// The end of every component's log.
fn tails(logs: &Path) -> String {
    let entries = fs::read_dir(logs).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect();
    files.retain(|path| path.file_name().is_some_and(|name| name != "audit.log"));
    files.sort();
    let of = |path: &std::path::PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        format!("--- the end of {name}:\n{}\n", tail(path, LINES))
    };
    files.iter().map(of).collect()
}

/// Past libtest's capture: how long a start takes, and what went wrong with one, matters to everyone who runs the tests.
fn tell(text: &str) {
    let _ = std::io::stderr().write_all(format!("testbed: {text}\n").as_bytes());
}
