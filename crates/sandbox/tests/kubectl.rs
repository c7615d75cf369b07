//! The real kubectl against the sandbox, over HTTP.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

use std::process::Stdio;
use std::time::Duration;

use afresh_sandbox::{Options, Sandbox, Serving};
use afresh_testbed_host::Program;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

const LIMIT: Duration = Duration::from_secs(240);

const WEB: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: conf}
data: {k: "one"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: app, image: "i:1", envFrom: [{configMapRef: {name: conf}}]}
"#;

struct Kubectl {
    server: String,
    home: tempfile::TempDir,
}

impl Kubectl {
    fn new(serving: &Serving) -> Self {
        Self {
            server: serving.url(),
            home: tempfile::tempdir().unwrap(),
        }
    }

    async fn run(&self, arguments: &str, input: &str) -> Result<String, String> {
        let program = afresh_testbed_host::find(Program::Kubectl).expect("kubectl; `cargo xtask setup` gets it");
        let mut child = Command::new(program)
            .args(["--server", &self.server, "--request-timeout", "200s"])
            .args(arguments.split(' '))
            .env("HOME", self.home.path())
            .env("KUBECONFIG", "/dev/null")
            // An editor that changes one word, as a person would.
            .env("KUBE_EDITOR", "sed -i s/one/two/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).await.unwrap();
        drop(stdin);
        let output = tokio::time::timeout(LIMIT, child.wait_with_output())
            .await
            .expect("kubectl ends")
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() {
            Ok(text(&output.stdout))
        } else {
            Err(text(&output.stderr))
        }
    }

    async fn ok(&self, arguments: &str) -> String {
        self.run(arguments, "")
            .await
            .unwrap_or_else(|error| panic!("kubectl {arguments}: {error}"))
    }
}

#[tokio::test]
async fn kubectl_applies_edits_patches_rolls_and_deletes() {
    let sandbox = Sandbox::start(&Options::default());
    let serving = sandbox.serve("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let kubectl = Kubectl::new(&serving);
    let applied = kubectl.run("apply -f -", WEB).await.unwrap();
    assert_eq!(applied, "configmap/conf created\ndeployment.apps/web created\n");
    assert!(
        kubectl
            .ok("rollout status deployment/web --timeout=200s")
            .await
            .contains("successfully rolled out")
    );
    assert_eq!(
        kubectl.run("apply -f -", WEB).await.unwrap(),
        "configmap/conf unchanged\ndeployment.apps/web unchanged\n"
    );

    assert_eq!(kubectl.ok("edit configmap conf").await, "configmap/conf edited\n");
    assert_eq!(sandbox.get("cm", "default", "conf").unwrap()["data"]["k"], "two");
    kubectl.ok("rollout restart deployment/web").await;
    assert!(
        kubectl
            .ok("rollout status deployment/web --timeout=200s")
            .await
            .contains("successfully rolled out")
    );
    assert_eq!(
        kubectl
            .ok("get deployment web -o jsonpath={.status.updatedReplicas}")
            .await,
        "2"
    );

    kubectl
        .ok("patch configmap conf --type=merge -p {\"data\":{\"z\":\"1\"}}")
        .await;
    kubectl.ok("annotate deployment web afresh.dev/reload=auto").await;
    kubectl.ok("label configmap conf a=b").await;
    assert!(
        kubectl
            .ok("get configmaps -l a=b -o name")
            .await
            .contains("configmap/conf")
    );
    kubectl.ok("scale deployment web --replicas=1").await;
    kubectl
        .ok("wait --for=jsonpath={.status.replicas}=1 deployment/web --timeout=200s")
        .await;
    assert!(kubectl.ok("describe deployment web").await.contains("ConfigMap"));
    assert!(kubectl.ok("api-resources").await.contains("configmaps"));

    creates_and_deletes(&sandbox, &kubectl).await;
    drop(serving);
    assert!(kubectl.run("version", "").await.is_err(), "the server is gone");
}

async fn creates_and_deletes(sandbox: &Sandbox, kubectl: &Kubectl) {
    kubectl
        .ok("create configmap made --from-literal=a=b --from-literal=empty=")
        .await;
    assert_eq!(
        sandbox.get("cm", "default", "made").unwrap()["data"],
        serde_json::json!({"a": "b", "empty": ""})
    );
    kubectl.ok("create secret generic made --from-literal=a=b").await;
    assert_eq!(sandbox.get("secrets", "default", "made").unwrap()["data"]["a"], "Yg==");
    kubectl.ok("create namespace made").await;
    assert!(kubectl.ok("get namespaces").await.contains("Active"));
    kubectl.ok("delete namespace made --timeout=200s").await;

    kubectl.ok("delete deployment web --timeout=200s").await;
    assert!(
        kubectl
            .run("get deployment web", "")
            .await
            .unwrap_err()
            .contains("NotFound")
    );
}

#[tokio::test]
async fn only_loopback_is_served() {
    let sandbox = Sandbox::start(&Options::api_server_only());
    let refused = sandbox.serve("0.0.0.0:0".parse().unwrap()).await.unwrap_err();
    assert!(refused.to_string().contains("loopback"), "{refused}");
}
