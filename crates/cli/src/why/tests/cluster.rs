//! The whole way against a small cluster with the real controller: the answer says before what the controller does after.

use std::collections::BTreeSet;
use std::time::Duration;

use afresh_controller::{Config, run};
use afresh_model::name::WorkloadKey;
use afresh_model::time::UnixSeconds;
use afresh_sandbox::{Filter, Options, Patch, RequestFault, Sandbox, Verb};
use kube::Client;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use crate::why::explain::explain;
use crate::why::explanation::{Explanation, ObjectState, Verdict};
use crate::why::gather::{Question, gather, target};
use crate::why::setup::Setup;

const NS: &str = "prod";

fn client(sandbox: &Sandbox) -> Client {
    Client::new(sandbox.service(), "default")
}

/// A Deployment with a variable from `configmap/web` and a file from `secret/db`, and both objects.
fn cluster() -> Sandbox {
    let sandbox = Sandbox::start(&Options::default());
    let object = |kind: &str, name: &str, data: Value| json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": NS}, "data": data});
    sandbox
        .create(object("ConfigMap", "web", json!({"greeting": "hi"})))
        .unwrap();
    sandbox
        .create(object("Secret", "db", json!({"password": "b25l"})))
        .unwrap();
    let spec = json!({
        "containers": [{"name": "app", "image": "i:1",
            "env": [{"name": "GREETING", "valueFrom": {"configMapKeyRef": {"name": "web", "key": "greeting"}}}],
            "volumeMounts": [{"name": "db", "mountPath": "/etc/db"}]}],
        "volumes": [{"name": "db", "secret": {"secretName": "db"}}],
    });
    sandbox
        .create(
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": NS,
            "annotations": {"afresh.dev/reload": "auto", "afresh.dev/hot": "true"}},
            "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}},
                "template": {"metadata": {"labels": {"app": "web"}}, "spec": spec}}}),
        )
        .unwrap();
    sandbox
        .create(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "afresh"}}))
        .unwrap();
    sandbox
}

async fn ask(sandbox: &Sandbox, what: &str) -> anyhow::Result<Explanation> {
    ask_by(
        sandbox,
        what,
        Setup::default_in("afresh".parse()?, "afresh-digest-key".parse()?),
    )
    .await
}

async fn ask_by(sandbox: &Sandbox, what: &str, setup: Setup) -> anyhow::Result<Explanation> {
    let target = target(&[what.to_owned()])?;
    let (kind, name) = (target.kind(&[])?, target.name);
    let question = Question {
        key: WorkloadKey {
            kind,
            namespace: NS.parse()?,
            name,
        },
        setup,
    };
    let now = UnixSeconds(sandbox.now().as_second());
    Ok(explain(&gather(&client(sandbox), &question, now).await?))
}

fn web(sandbox: &Sandbox) -> Value {
    sandbox.get("deploy", NS, "web").unwrap()
}

fn uids(sandbox: &Sandbox) -> BTreeSet<String> {
    let pods = sandbox.list("pods", NS).into_iter();
    let staying = pods.filter(|pod| pod["metadata"].get("deletionTimestamp").is_none());
    staying.map(|pod| pod["metadata"]["uid"].to_string()).collect()
}

fn record(web: &Value) -> String {
    let record = &web["metadata"]["annotations"]["afresh.dev/applied"];
    record.as_str().unwrap_or_default().to_owned()
}

/// Runs the controller until the workload's record is another one and its rollout is complete.
async fn controlled(sandbox: &Sandbox) {
    controlled_as(sandbox, |_| {}).await;
}

async fn controlled_as(sandbox: &Sandbox, choose: impl FnOnce(&mut Config)) {
    let (end, ended) = oneshot::channel::<()>();
    let mut config = Config::new("afresh".parse().unwrap(), "afresh-digest-key".parse().unwrap());
    let wall = u64::try_from(sandbox.now().as_millisecond()).unwrap();
    config.wall = Some(Duration::from_millis(wall)); // the paused clock moves it, as it moves the sandbox's
    choose(&mut config);
    let controller = tokio::spawn(run(client(sandbox), config, async move {
        drop(ended.await);
    }));
    let before = record(&web(sandbox));
    let done = async {
        loop {
            sleep(Duration::from_millis(100)).await;
            let web = web(sandbox);
            let complete = web["status"]["updatedReplicas"] == 2
                && web["status"]["replicas"] == 2
                && web["status"]["observedGeneration"] == web["metadata"]["generation"];
            if record(&web) != before && complete {
                return;
            }
        }
    };
    timeout(Duration::from_secs(600), done)
        .await
        .expect("the controller acts");
    end.send(()).unwrap();
    controller.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_would_happen_is_told_before_and_what_happened_after() {
    let sandbox = cluster();
    let told = ask(&sandbox, "deployment/web").await.unwrap();
    assert_eq!(told.verdict, Verdict::Adopt, "{}", told.summary);
    assert!(told.notes[0].contains("there is no digest key"), "{:?}", told.notes);
    assert!(
        sandbox.list("secrets", "afresh").is_empty(),
        "who only asks makes no key"
    );

    controlled(&sandbox).await;
    let told = ask(&sandbox, "deployment/web").await.unwrap();
    assert_eq!((told.verdict, &*told.summary), (Verdict::Current, "is current"));
    assert_eq!(told.record.unwrap().streak, 0);

    sleep(Duration::from_secs(5)).await;
    let change = Patch::Merge(json!({"data": {"greeting": "hello"}}));
    sandbox.patch("configmaps", NS, "web", &change).unwrap();
    let told = ask(&sandbox, "deploy/web").await.unwrap();
    assert_eq!(
        (told.verdict, &*told.summary),
        (Verdict::Roll, "would roll now, because configmap/web changed")
    );
    let pods = uids(&sandbox);

    controlled(&sandbox).await;
    assert!(uids(&sandbox).is_disjoint(&pods), "it rolled");
    let told = ask(&sandbox, "deployment/web").await.unwrap();
    assert_eq!((told.verdict, told.record.unwrap().streak), (Verdict::Current, 1));

    let change = Patch::Merge(json!({"data": {"password": "dHdv"}}));
    sandbox.patch("secrets", NS, "db", &change).unwrap();
    let told = ask(&sandbox, "deployment/web").await.unwrap();
    assert_eq!(
        (told.verdict, told.because),
        (Verdict::Touch, vec!["secret/db".to_owned()])
    );
    assert_eq!(told.pods.unwrap().count, 2);

    let pods = uids(&sandbox);
    controlled(&sandbox).await;
    assert_eq!(uids(&sandbox), pods, "it was touched only");
    assert_eq!(ask(&sandbox, "deployment/web").await.unwrap().verdict, Verdict::Current);
}

#[tokio::test(start_paused = true)]
async fn asking_changes_nothing() {
    let sandbox = cluster();
    controlled(&sandbox).await;
    sleep(Duration::from_secs(60)).await;
    let before = sandbox.revision();
    ask(&sandbox, "deployment/web").await.unwrap();
    assert_eq!(sandbox.revision(), before);
}

#[tokio::test(start_paused = true)]
async fn who_may_not_read_secrets_is_told_and_gets_the_rest_of_the_answer() {
    let sandbox = cluster();
    controlled(&sandbox).await;
    let forbidden = RequestFault::Status {
        code: 403,
        retry_after: None,
    };
    sandbox
        .faults()
        .next_requests(100, Filter::verb(Verb::Get).resource("secrets"), forbidden);
    let change = Patch::Merge(json!({"data": {"greeting": "hello"}}));
    sandbox.patch("configmaps", NS, "web", &change).unwrap();
    let told = ask(&sandbox, "deployment/web").await.unwrap();
    assert_eq!(
        (told.verdict, told.because),
        (Verdict::Roll, vec!["configmap/web".to_owned()])
    );
    let secret = &told.objects[1];
    assert_eq!((secret.state, secret.exists), (ObjectState::Unread, None));
    assert!(
        secret.says.contains("the verb get on secrets in namespace prod"),
        "{}",
        secret.says
    );
}

#[tokio::test(start_paused = true)]
async fn a_workload_that_cannot_be_read_is_an_error_that_says_what_to_do() {
    let sandbox = cluster();
    let error = ask(&sandbox, "deployment/other").await.unwrap_err().to_string();
    assert_eq!(
        error,
        "there is no deployment/other in namespace prod; is it in another one? give -n NAMESPACE"
    );
    let forbidden = RequestFault::Status {
        code: 403,
        retry_after: None,
    };
    sandbox
        .faults()
        .next_requests(1, Filter::verb(Verb::Get).resource("deployments"), forbidden);
    let error = ask(&sandbox, "deployment/web").await.unwrap_err().to_string();
    assert!(
        error.contains("it takes the verb get on deployments in namespace prod"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn globs_are_looked_up_and_a_pod_knows_who_made_it() {
    let sandbox = cluster();
    let include = Patch::Merge(json!({"metadata": {"annotations": {"afresh.dev/include": "configmap/feature-*"}}}));
    sandbox.patch("deploy", NS, "web", &include).unwrap();
    let feature = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "feature-x", "namespace": NS}, "data": {"on": "no"}});
    sandbox.create(feature).unwrap();
    controlled(&sandbox).await;
    let change = Patch::Merge(json!({"data": {"on": "yes"}}));
    sandbox.patch("configmaps", NS, "feature-x", &change).unwrap();
    let told = ask(&sandbox, "deployment/web").await.unwrap();
    assert_eq!(
        (told.verdict, told.because),
        (Verdict::Roll, vec!["configmap/feature-x".to_owned()])
    );

    let pods = sandbox.list("pods", NS);
    let pod = pods[0]["metadata"]["name"].as_str().unwrap();
    let told = ask(&sandbox, &format!("pod/{pod}")).await.unwrap();
    assert_eq!(told.verdict, Verdict::LeftAlone);
    assert!(
        told.summary.ends_with("ask: afresh why deployment/web"),
        "{}",
        told.summary
    );
}

/// Says of each pod that has no volume of `secretproviderclass/vault` yet that it was given this version.
fn mount(sandbox: &Sandbox, version: &str) {
    const STATUSES: &str = "secretproviderclasspodstatuses";
    for pod in sandbox.list("pods", NS) {
        let pod = &pod["metadata"];
        let name = format!("{}-vault", pod["name"].as_str().unwrap());
        if sandbox.get(STATUSES, NS, &name).is_some() {
            continue;
        }
        let owner = json!({"apiVersion": "v1", "kind": "Pod", "name": pod["name"], "uid": pod["uid"]});
        let metadata = json!({"namespace": NS, "name": name, "ownerReferences": [owner]});
        let (version, kind) = (
            json!([{"id": "password", "version": version}]),
            "SecretProviderClassPodStatus",
        );
        let object = json!({"apiVersion": "secrets-store.csi.x-k8s.io/v1", "kind": kind, "metadata": metadata});
        sandbox.create(object).unwrap();
        let status = json!({"status": {"secretProviderClassName": "vault", "objects": version}});
        sandbox
            .patch_status(STATUSES, NS, &name, &Patch::Merge(status))
            .unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_csi_driver_has_mounted_is_told_pod_by_pod() {
    let sandbox = cluster();
    for (plural, kind) in [
        ("secretproviderclasses", "SecretProviderClass"),
        ("secretproviderclasspodstatuses", "SecretProviderClassPodStatus"),
    ] {
        let resource = afresh_sandbox::Resource::custom("secrets-store.csi.x-k8s.io", "v1", plural, kind);
        sandbox.register(resource);
    }
    let class = json!({"apiVersion": "secrets-store.csi.x-k8s.io/v1", "kind": "SecretProviderClass",
        "metadata": {"namespace": NS, "name": "vault"}});
    sandbox.create(class).unwrap();
    let volume = json!({"name": "v", "csi": {"driver": "secrets-store.csi.k8s.io",
        "volumeAttributes": {"secretProviderClass": "vault"}}});
    let container = json!({"name": "app", "image": "i:1", "volumeMounts": [{"name": "v", "mountPath": "/v"}]});
    let mounted = json!({"metadata": {"annotations": {"afresh.dev/hot": null}},
        "spec": {"template": {"spec": {"containers": [container], "volumes": [volume]}}}});
    sandbox.patch("deploy", NS, "web", &Patch::Merge(mounted)).unwrap();
    sleep(Duration::from_secs(30)).await;
    mount(&sandbox, "1");
    controlled_as(&sandbox, |config| config.csi = true).await;
    let told = ask(&sandbox, "deploy/web").await.unwrap();
    assert_eq!(told.verdict, Verdict::Current, "{}", told.summary);
    assert!(told.notes.iter().any(|note| note.contains("--csi")), "{:?}", told.notes);

    let scaled = Patch::Merge(json!({"spec": {"replicas": 3}}));
    sandbox.patch("deploy", NS, "web", &scaled).unwrap();
    sleep(Duration::from_secs(30)).await;
    mount(&sandbox, "2");
    let told = ask(&sandbox, "deploy/web").await.unwrap();
    assert_eq!(
        (told.verdict, &*told.summary),
        (
            Verdict::Roll,
            "would roll now, because secretproviderclass/vault changed"
        ),
        "two pods are behind the third"
    );

    for pod in sandbox.list("pods", NS) {
        sandbox
            .delete("pods", NS, pod["metadata"]["name"].as_str().unwrap())
            .unwrap();
    }
    sleep(Duration::from_secs(60)).await;
    mount(&sandbox, "2");
    let told = ask(&sandbox, "deploy/web").await.unwrap();
    assert_eq!(told.verdict, Verdict::Record, "{}", told.summary);
}
