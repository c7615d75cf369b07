//! What the demo plays in: a sandbox, the workloads of `examples/demo.yaml`, and the real controller.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use afresh_controller::{Config, run};
use afresh_k8s::client::{ConnectOptions, RequestCounts, connect};
use afresh_sandbox::{NodeOptions, Options, Sandbox, Serving};
use anyhow::Context as _;
use http::Request;
use http::header::CONTENT_TYPE;
use kube::Client;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::reads::Kind;

/// The workloads, in the file that people can also apply to a cluster of theirs.
const WORKLOADS: &str = include_str!("../../../../examples/demo.yaml");

/// Where the workloads live.
pub(super) const NAMESPACE: &str = "demo";
/// Where the controller's digest key lives.
const OWN_NAMESPACE: &str = "afresh";

/// How one gets at the API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    /// Over HTTP on this loopback port; 0 is a free one.
    Http(u16),
    /// By calls inside the process, so that a test's clock can stand still.
    #[cfg(test)]
    Inside,
}

/// The stage. Dropping it ends everything on it.
pub(super) struct Stage {
    pub(super) sandbox: Sandbox,
    serving: Option<Serving>,
    user: Client,
    controller: Option<Controller>,
    /// What the controller asked of the API server.
    pub(super) requests: RequestCounts,
}

/// A running controller; dropping it is a crash.
struct Controller(JoinHandle<anyhow::Result<()>>);

impl Drop for Controller {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// One write of a person: a merge patch of an object.
#[derive(Debug, Clone)]
pub(super) struct Write {
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) patch: Value,
}

impl Stage {
    /// Starts the sandbox; its volumes are files below `volumes`.
    pub(super) async fn open(link: Link, volumes: PathBuf) -> anyhow::Result<Self> {
        let node = NodeOptions {
            // Small programs start quickly. All else is as it was measured of a real kubelet, its slow timer above all.
            start_delay: Duration::from_millis(300),
            ready_delay: Duration::from_millis(200),
            stop_delay: Duration::from_millis(300),
            volume_root: Some(volumes),
            ..NodeOptions::default()
        };
        let sandbox = Sandbox::start(&Options {
            node,
            ..Options::default()
        });
        for namespace in [NAMESPACE, OWN_NAMESPACE] {
            sandbox.create(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}))?;
        }
        let serving = match link {
            Link::Http(port) => {
                let serving = sandbox.serve(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await;
                Some(serving.context("choose another port with --port, or leave it out")?)
            }
            #[cfg(test)]
            Link::Inside => None,
        };
        let user = client(&sandbox, serving.as_ref(), &RequestCounts::default()).await?;
        Ok(Self {
            sandbox,
            serving,
            user,
            controller: None,
            requests: RequestCounts::default(),
        })
    }

    /// Where the API server is, if it is served.
    pub(super) fn url(&self) -> String {
        self.serving.as_ref().map(Serving::url).unwrap_or_default()
    }

    /// Creates the workloads and what they use.
    pub(super) fn populate(&self) -> anyhow::Result<()> {
        let objects: Vec<Value> = serde_saphyr::from_multiple(WORKLOADS).context("examples/demo.yaml")?;
        for mut object in objects {
            object["metadata"]["namespace"] = json!(NAMESPACE);
            self.sandbox.create(object)?;
        }
        Ok(())
    }

    /// Starts the controller as `afresh controller --leader-elect=false` would.
    pub(super) async fn start_controller(&mut self) -> anyhow::Result<()> {
        let config = Config::new(OWN_NAMESPACE.parse()?, "afresh-digest-key".parse()?);
        let client = client(&self.sandbox, self.serving.as_ref(), &self.requests).await?;
        let task = async move { Ok(run(client, config, std::future::pending()).await?) };
        self.controller = Some(Controller(tokio::spawn(task)));
        Ok(())
    }

    /// Ends the controller as SIGKILL would, wherever it is.
    pub(super) fn kill_controller(&mut self) {
        self.controller = None;
    }

    /// Fails if the controller has ended by itself, which it never should.
    pub(super) async fn check_controller(&mut self) -> anyhow::Result<()> {
        match &mut self.controller {
            Some(controller) if controller.0.is_finished() => {
                (&mut controller.0).await.context("the controller crashed")??;
                anyhow::bail!("the controller has ended")
            }
            _ => Ok(()),
        }
    }

    /// Writes as a person with kubectl does; the answer is there when this returns.
    pub(super) async fn write(&self, write: &Write) -> anyhow::Result<()> {
        const LIMIT: Duration = Duration::from_secs(10);
        let (plural, name) = (write.kind.plural(), &write.name);
        let path = format!("/api/v1/namespaces/{NAMESPACE}/{plural}/{name}?fieldManager=kubectl-edit");
        let request = Request::patch(path).header(CONTENT_TYPE, "application/merge-patch+json");
        let request = request.body(write.patch.to_string().into_bytes())?;
        let answer = tokio::time::timeout(LIMIT, self.user.request_text(request)).await;
        answer
            .context("the API server does not answer")?
            .with_context(|| format!("cannot write {plural}/{name}"))?;
        Ok(())
    }
}

async fn client(sandbox: &Sandbox, serving: Option<&Serving>, counts: &RequestCounts) -> anyhow::Result<Client> {
    let Some(serving) = serving else {
        return Ok(Client::new(sandbox.service(), NAMESPACE));
    };
    let options = ConnectOptions {
        server: Some(serving.url()),
        ..ConnectOptions::default()
    };
    Ok(connect(&options, counts).await?.client)
}
