//! The handle: starts a sandbox, reaches into it, and stops it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::api::{Query, Removal, Server, Write};
use crate::controllers::Controllers;
use crate::faults::Faults;
use crate::http::{ServeError, Service, Serving};
use crate::log::RequestLog;
use crate::node::{Kubelet, Node, NodeOptions};
use crate::object;
use crate::patch::Patch;
use crate::resource::Resource;
use crate::signal::{Changes, Signal};
use crate::status::ApiError;

/// How a sandbox is set up. The default is a whole small cluster: controllers and one node.
#[derive(Clone, Debug)]
pub struct Options {
    /// Names, UIDs and jitter are drawn from this.
    pub seed: u64,
    /// What the wall clock reads at the start; the real time if absent.
    pub base_time: Option<Timestamp>,
    /// How many writes the history holds before it compacts itself.
    pub history: usize,
    /// How often idle watches get bookmarks, if they want any.
    pub bookmark_interval: Duration,
    /// Whether the controllers run: without them objects stay as they are written, as on a bare API server.
    pub controllers: bool,
    /// How many nodes there are, named `node-1` and so on. Without one, pods stay pending.
    pub nodes: usize,
    /// How the nodes behave.
    pub node: NodeOptions,
}

impl Options {
    /// The API server alone: no controllers, no node.
    #[must_use]
    pub fn api_server_only() -> Self {
        Self {
            controllers: false,
            nodes: 0,
            ..Self::default()
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        // A minute is what the real server does.
        Self {
            seed: 1,
            base_time: None,
            history: 100_000,
            bookmark_interval: Duration::from_secs(60),
            controllers: true,
            nodes: 1,
            node: NodeOptions::default(),
        }
    }
}

/// A running sandbox. Clones share it; it stops when the last clone, service and server of it are gone.
#[derive(Clone, Debug)]
pub struct Sandbox {
    inner: Arc<Inner>,
    /// Held by every clone, but not by the task itself, so that the last clone stops it.
    _background: Arc<Background>,
}

/// The task of the controllers and nodes; it ends with this.
#[derive(Debug)]
struct Background(Option<JoinHandle<()>>);

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

#[derive(Debug)]
struct Inner {
    server: Mutex<Server>,
    faults: Faults,
    log: RequestLog,
    bookmark_interval: Duration,
    node: Node,
    /// Counts the rounds of controllers and nodes.
    steps: Signal,
}

impl Sandbox {
    /// Starts a sandbox on the current tokio runtime.
    #[must_use]
    pub fn start(options: &Options) -> Self {
        let base = options.base_time.unwrap_or_else(Timestamp::now);
        let mut server = Server::new(base, options.seed, options.history);
        let kubelet = Kubelet::new(options.node.clone(), options.seed);
        kubelet.join(&mut server, options.nodes);
        let inner = Arc::new(Inner {
            server: Mutex::new(server),
            faults: Faults::default(),
            log: RequestLog::default(),
            bookmark_interval: options.bookmark_interval,
            node: Node::new(kubelet),
            steps: Signal::default(),
        });
        let controllers = options.controllers.then(Controllers::default);
        let is_needed = options.controllers || options.nodes > 0;
        let task = is_needed.then(|| tokio::spawn(run(inner.clone(), controllers)));
        Self {
            inner,
            _background: Arc::new(Background(task)),
        }
    }

    /// The handle to look into the nodes.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.inner.node
    }

    /// The API server as a `tower::Service`, for `kube::Client::new`.
    #[must_use]
    pub fn service(&self) -> Service {
        Service::new(self.clone())
    }

    /// Serves the API over HTTP on a loopback address; port 0 picks a free one.
    ///
    /// # Errors
    /// If the address is not loopback or cannot be bound.
    pub async fn serve(&self, address: SocketAddr) -> Result<Serving, ServeError> {
        crate::http::serve(self.service(), address).await
    }

    /// The handle for disturbances.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.inner.faults
    }

    /// What was asked over the service or HTTP. Direct access is not logged.
    #[must_use]
    pub fn log(&self) -> &RequestLog {
        &self.inner.log
    }

    /// The sandbox's wall clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.server().clock.now()
    }

    /// Forgets the history: watches and continue tokens from before get 410.
    pub fn compact(&self) {
        self.server().compact();
    }

    /// The newest resourceVersion.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.server().store.revision()
    }

    /// Receives the newest resourceVersion after every write.
    #[must_use]
    pub fn revisions(&self) -> Changes {
        self.server().revisions()
    }

    /// Serves a further resource, as after installing a CustomResourceDefinition.
    pub fn register(&self, resource: Resource) {
        self.server().registry.register(resource);
    }

    /// Creates an object, and its namespace where missing; `apiVersion` and `kind` name the resource.
    ///
    /// # Errors
    /// What the API server would answer.
    pub fn create(&self, body: Value) -> Result<Value, ApiError> {
        let mut server = self.server();
        let (resource, namespace) = locate(&mut server, &body)?;
        server
            .create(&resource, &namespace, body, &Write::by("test"))
            .map(|made| Value::clone(&made))
    }

    /// Creates an object, or merges it into the one there is, as a JSON merge patch does.
    ///
    /// # Errors
    /// What the API server would answer.
    pub fn apply(&self, body: Value) -> Result<Value, ApiError> {
        let mut server = self.server();
        let (resource, namespace) = locate(&mut server, &body)?;
        let name = object::name(&body).to_owned();
        let write = Write::by("test");
        let made = match server.get(&resource, &namespace, &name) {
            Ok(_) => server.patch(&resource, &namespace, &name, &Patch::Merge(body), &write),
            Err(_) => server.create(&resource, &namespace, body, &write),
        };
        made.map(|made| Value::clone(&made))
    }

    /// Patches an object; `resource` is a plural, singular or short name.
    ///
    /// # Errors
    /// What the API server would answer.
    pub fn patch(&self, resource: &str, namespace: &str, name: &str, patch: &Patch) -> Result<Value, ApiError> {
        let mut server = self.server();
        let resource = named(&server, resource)?;
        server
            .patch(&resource, namespace, name, patch, &Write::by("test"))
            .map(|patched| Value::clone(&patched))
    }

    /// Patches an object through its status subresource.
    ///
    /// # Errors
    /// What the API server would answer.
    pub fn patch_status(&self, resource: &str, namespace: &str, name: &str, patch: &Patch) -> Result<Value, ApiError> {
        let mut server = self.server();
        let resource = named(&server, resource)?;
        let write = Write::by("test").through_status();
        server
            .patch(&resource, namespace, name, patch, &write)
            .map(|patched| Value::clone(&patched))
    }

    /// The object, if it exists.
    #[must_use]
    pub fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        let server = self.server();
        let resource = named(&server, resource).ok()?;
        server
            .get(&resource, namespace, name)
            .ok()
            .map(|found| Value::clone(&found))
    }

    /// All objects of a resource in a namespace; an empty one means everywhere.
    #[must_use]
    pub fn list(&self, resource: &str, namespace: &str) -> Vec<Value> {
        let server = self.server();
        let Ok(resource) = named(&server, resource) else {
            return Vec::new();
        };
        let namespace = Some(namespace.to_owned()).filter(|namespace| !namespace.is_empty());
        let listing = server.list(
            &resource,
            &Query {
                namespace,
                ..Query::default()
            },
        );
        listing
            .map(|page| page.items.iter().map(|item| Value::clone(item)).collect())
            .unwrap_or_default()
    }

    /// Deletes an object as `kubectl delete` does: in the background, with the pod's own grace.
    ///
    /// # Errors
    /// What the API server would answer.
    pub fn delete(&self, resource: &str, namespace: &str, name: &str) -> Result<(), ApiError> {
        let mut server = self.server();
        let resource = named(&server, resource)?;
        server.delete(&resource, namespace, name, &Removal::default()).map(drop)
    }

    /// Waits until something holds, looking again after every write, every step of the nodes, and every tenth of a second.
    ///
    /// Returns whether it held before the time was up.
    pub async fn eventually(&self, within: Duration, mut holds: impl FnMut(&Self) -> bool) -> bool {
        const LOOK: Duration = Duration::from_millis(100);
        let deadline = Instant::now() + within;
        let mut revisions = self.server().revisions();
        let mut steps = self.inner.steps.subscribe();
        while !holds(self) {
            if Instant::now() >= deadline {
                return false;
            }
            tokio::select! {
                () = revisions.changed() => {}
                () = steps.changed() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
        true
    }

    /// Locks the state. Nothing may await while it is held.
    pub(crate) fn server(&self) -> MutexGuard<'_, Server> {
        self.inner.server()
    }

    pub(crate) fn bookmark_interval(&self) -> Duration {
        self.inner.bookmark_interval
    }
}

impl Inner {
    fn server(&self) -> MutexGuard<'_, Server> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs controllers and nodes: after every write, and when time has come.
async fn run(inner: Arc<Inner>, mut controllers: Option<Controllers>) {
    let mut revisions = inner.server().revisions();
    loop {
        // Marked before working, so that a write in the meantime brings another round.
        revisions.mark_unchanged();
        let wake = {
            let mut kubelet = inner.node.kubelet();
            let mut server = inner.server();
            let first = controllers
                .as_mut()
                .and_then(|controllers| controllers.run(&mut server));
            first.into_iter().chain(kubelet.step(&mut server)).min()
        };
        inner.steps.tell();
        // Without anything to come, only a write wakes.
        let wake = wake.unwrap_or_else(|| Instant::now() + Duration::from_secs(86_400));
        tokio::select! {
            biased; // so that a seeded run replays
            () = revisions.changed() => {}
            () = tokio::time::sleep_until(wake) => {}
            () = inner.node.poked() => {}
        }
    }
}

fn named(server: &Server, resource: &str) -> Result<Arc<Resource>, ApiError> {
    server.registry.by_name(resource).ok_or_else(ApiError::no_such_path)
}

/// The resource and namespace of a body; the namespace is made where missing.
fn locate(server: &mut Server, body: &Value) -> Result<(Arc<Resource>, String), ApiError> {
    let (version, kind) = (object::text(body, &["apiVersion"]), object::text(body, &["kind"]));
    let resource = server
        .registry
        .by_kind(version, kind)
        .ok_or_else(|| ApiError::bad_request(format!("no resource serves kind {kind:?} of {version:?}")))?;
    if !resource.namespaced {
        return Ok((resource, String::new()));
    }
    let namespace = match object::namespace(body) {
        "" => "default",
        given => given,
    };
    server.ensure_namespace(namespace);
    Ok((resource, namespace.to_owned()))
}
