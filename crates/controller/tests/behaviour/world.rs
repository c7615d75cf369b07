//! A small world for tests: a sandbox, controllers in it, and short words for what is looked at.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use afresh_controller::{Config, run};
use afresh_sandbox::{Filter, Options, Patch, Sandbox, Verb};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(crate) const PROD: &str = "prod";

/// A running controller; it is killed when this is dropped.
pub(crate) struct Replica {
    task: JoinHandle<()>,
    shutdown: Option<oneshot::Sender<()>>,
}

impl Replica {
    /// As SIGTERM does; returns when it has ended by itself.
    pub(crate) async fn stop(mut self) {
        drop(self.shutdown.take());
        (&mut self.task).await.expect("it ends by itself");
    }
}

impl Drop for Replica {
    /// As by SIGKILL: its future is dropped wherever it is.
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A sandbox with a controller in it.
pub(crate) struct World {
    pub(crate) sandbox: Sandbox,
    pub(crate) config: Config,
    pub(crate) controller: Option<Replica>,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// With another configuration than the default.
    pub(crate) async fn with(choose: impl FnOnce(&mut Config)) -> Self {
        Self::of(&Options::default(), choose).await
    }

    pub(crate) async fn of(options: &Options, choose: impl FnOnce(&mut Config)) -> Self {
        let mut world = Self::empty(options, choose);
        world.restart();
        world.settle().await;
        world
    }

    /// Without a controller.
    pub(crate) fn empty(options: &Options, choose: impl FnOnce(&mut Config)) -> Self {
        let sandbox = Sandbox::start(options);
        for namespace in [PROD, "afresh"] {
            sandbox
                .create(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}))
                .unwrap();
        }
        let mut config = Config::new("afresh".parse().unwrap(), "afresh-digest-key".parse().unwrap());
        choose(&mut config);
        let controller = None;
        Self {
            sandbox,
            config,
            controller,
        }
    }

    pub(crate) fn restart(&mut self) {
        self.kill();
        self.controller = Some(self.run(self.config.clone()));
    }

    pub(crate) fn kill(&mut self) {
        self.controller = None;
    }

    /// One more controller, whose wall clock is the sandbox's.
    pub(crate) fn run(&self, mut config: Config) -> Replica {
        let client = kube::Client::new(self.sandbox.service(), "default");
        let wall = self.sandbox.now().as_millisecond();
        config.wall = Some(Duration::from_millis(u64::try_from(wall).unwrap()));
        let (shutdown, asked) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let asked = async { drop(asked.await) };
            run(client, config, asked).await.expect("it runs until it is stopped");
        });
        Replica {
            task,
            shutdown: Some(shutdown),
        }
    }

    /// Lets everything come to rest.
    pub(crate) async fn settle(&self) {
        self.settle_for(Duration::from_secs(30)).await;
    }

    pub(crate) async fn settle_for(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    pub(crate) fn create(&self, object: Value) {
        self.sandbox.create(object).unwrap();
    }

    pub(crate) fn configmap(&self, name: &str, data: Value) {
        self.sandbox.apply(configmap(name, data)).unwrap();
    }

    pub(crate) fn secret(&self, name: &str, data: &[(&str, &str)]) {
        let data: BTreeMap<&str, String> = data.iter().map(|(key, value)| (*key, STANDARD.encode(value))).collect();
        let metadata = json!({"namespace": PROD, "name": name});
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data});
        self.sandbox.apply(secret).unwrap();
    }

    pub(crate) fn delete(&self, resource: &str, name: &str) {
        self.sandbox.delete(resource, PROD, name).unwrap();
    }

    pub(crate) fn get(&self, resource: &str, name: &str) -> Value {
        self.sandbox.get(resource, PROD, name).unwrap()
    }

    pub(crate) fn patch(&self, resource: &str, name: &str, body: Value) {
        self.sandbox.patch(resource, PROD, name, &Patch::Merge(body)).unwrap();
    }

    /// How many templates the Deployment has had. (Its generation counts changed annotations too.)
    pub(crate) fn revision(&self, name: &str) -> u64 {
        let annotations = &self.get("deployments", name)["metadata"]["annotations"];
        let revision = annotations["deployment.kubernetes.io/revision"].as_str().unwrap();
        revision.parse().unwrap()
    }

    /// Names of the pods that are not going away, sorted.
    pub(crate) fn pods(&self, app: &str) -> Vec<String> {
        let pods = self.sandbox.list("pods", PROD).into_iter();
        let own = pods.filter(|pod| {
            pod["metadata"]["labels"]["app"] == app && pod["metadata"].get("deletionTimestamp").is_none()
        });
        own.map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned())
            .collect()
    }

    /// The variable as every process of the workload has it.
    pub(crate) fn env(&self, app: &str, variable: &str) -> Vec<String> {
        let of = |pod: &String| self.sandbox.node().process(PROD, pod, "app").map(|process| process.env);
        let all = self.pods(app);
        all.iter()
            .map(|pod| of(pod).unwrap_or_default().get(variable).cloned().unwrap_or_default())
            .collect()
    }

    /// The file as every container of the workload sees it.
    pub(crate) fn file(&self, app: &str, path: &str) -> Vec<String> {
        let of = |pod: &String| self.sandbox.node().file(PROD, pod, "app", path);
        self.pods(app).iter().map(|pod| of(pod).unwrap_or_default()).collect()
    }

    pub(crate) fn touches(&self) -> usize {
        self.sandbox
            .log()
            .succeeded(&Filter::verb(Verb::Patch).resource("pods").subresource("status"))
    }

    /// Patches of the workload itself, whatever came of them.
    pub(crate) fn tries(&self, name: &str) -> usize {
        let patches = Filter::verb(Verb::Patch).resource("deployments").name(name);
        self.sandbox.log().count(&patches)
    }

    /// The notes of all Events of this reason, with how often each was told, about objects of this name.
    pub(crate) fn told(&self, reason: &str, name: &str) -> Vec<String> {
        let events = self.sandbox.list("events", PROD).into_iter();
        let field = |event: &Value, names: [&str; 2]| {
            let found = names.iter().find_map(|name| event.get(*name)).cloned();
            found.unwrap_or_default()
        };
        let ours = events
            .filter(|event| event["reason"] == reason && field(event, ["regarding", "involvedObject"])["name"] == name);
        ours.map(|event| field(&event, ["note", "message"]).as_str().unwrap().to_owned())
            .collect()
    }
}

#[allow(clippy::needless_pass_by_value, reason = "reads better where it is called")]
pub(crate) fn configmap(name: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": PROD, "name": name}, "data": data})
}

/// An opted-in Deployment of two replicas in namespace `prod`.
#[allow(clippy::needless_pass_by_value, reason = "reads better where it is called")]
pub(crate) fn deployment(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"namespace": PROD, "name": name, "annotations": {"afresh.dev/reload": "auto"}},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": spec}}})
}

/// The same object with these annotations too.
pub(crate) fn annotated(mut object: Value, annotations: &[(&str, &str)]) -> Value {
    for (key, value) in annotations {
        object["metadata"]["annotations"][key] = json!(value);
    }
    object
}

pub(crate) fn env_from(configmap: &str) -> Value {
    json!({"containers": [{"name": "app", "image": "app", "envFrom": [{"configMapRef": {"name": configmap}}]}]})
}

/// One key as the variable `VALUE`.
pub(crate) fn env_key(configmap: &str, key: &str) -> Value {
    let source = json!({"configMapKeyRef": {"name": configmap, "key": key}});
    json!({"containers": [{"name": "app", "image": "app", "env": [{"name": "VALUE", "valueFrom": source}]}]})
}

pub(crate) fn mounted(configmap: &str) -> Value {
    json!({"containers": [{"name": "app", "image": "app", "volumeMounts": [{"name": "c", "mountPath": "/etc/web"}]}],
        "volumes": [{"name": "c", "configMap": {"name": configmap}}]})
}

/// A mounted Deployment that rereads its files.
pub(crate) fn hot(name: &str, configmap: &str) -> Value {
    annotated(deployment(name, mounted(configmap)), &[("afresh.dev/hot", "true")])
}

/// An address of this machine alone that nobody else has: each is a host of its own on loopback, so that no port has to be
/// found free first and bound later.
pub(crate) fn free_address() -> SocketAddr {
    static HOSTS: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    let host = HOSTS.fetch_add(1, Ordering::Relaxed);
    SocketAddr::from(([127, high | 1, low, host], 9090))
}

/// What the admin server answers: status code and body. Time stands still meanwhile.
pub(crate) async fn ask(address: SocketAddr, path: &str) -> (u16, String) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: afresh\r\nConnection: close\r\n\r\n");
    // Where nothing else is to be done the paused clock goes on to the next timer, and does not wait for sockets; a
    // blocking task holds it.
    let exchange = move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let answer = tokio::task::spawn_blocking(exchange).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let code = head.split(' ').nth(1).unwrap().parse().unwrap();
    (code, body.to_owned())
}

/// `/state` as JSON.
pub(crate) async fn state(address: SocketAddr) -> Value {
    let (code, body) = ask(address, "/state").await;
    assert_eq!(code, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}
