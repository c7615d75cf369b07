//! Watches and writes against a real API server.

use std::time::Duration;

use afresh_k8s::client::{ConnectOptions, RequestCounts, connect};
use afresh_k8s::digest_key;
use afresh_k8s::event::{Notice, Regarding, Severity, recorder};
use afresh_k8s::lean::{LeanConfigMap, LeanDeployment, LeanNamespace, LeanSecret, Watched};
use afresh_k8s::lease::LeaseClient;
use afresh_k8s::watch::{Event, FailureKind, InitialList, WatchOptions, WatchStatus, watch};
use afresh_k8s::write::{WriteError, Writer};
use afresh_model::convention::Conventions;
use afresh_model::digest::DigestKey;
use afresh_model::name::{ConfigKey, ConfigKind, Name, WorkloadKey, WorkloadKind};
use afresh_testbed::{Access, Cluster};
use anyhow::{Context, Result, ensure};
use futures::{Stream, StreamExt};
use kube::Client;
use serde_json::json;

/// Far more than anything here takes; only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(240);

async fn client(access: &Access, counts: &RequestCounts) -> Result<Client> {
    let options = ConnectOptions {
        kubeconfig: Some(access.kubeconfig().to_owned()),
        ..ConnectOptions::default()
    };
    Ok(connect(&options, counts).await?.client)
}

async fn admin(cluster: &Cluster) -> Result<Client> {
    client(cluster.admin(), &RequestCounts::default()).await
}

fn options(namespace: &str, initial: InitialList) -> Result<WatchOptions> {
    Ok(WatchOptions {
        namespace: Some(namespace.parse()?),
        initial,
        ..WatchOptions::default()
    })
}

async fn next<K>(stream: &mut (impl Stream<Item = Event<K>> + Unpin)) -> Result<Event<K>> {
    let event = tokio::time::timeout(PATIENCE, stream.next()).await?;
    event.context("a watch never ends")
}

/// Everything up to and with `Synced`: the names that were listed.
async fn synced(stream: &mut (impl Stream<Item = Event<LeanConfigMap>> + Unpin)) -> Result<Vec<String>> {
    let mut names = Vec::new();
    loop {
        match next(stream).await? {
            Event::Begin => names.clear(),
            Event::Listed(object) => names.push(object.key().name.to_string()),
            Event::Synced => return Ok(names),
            _ => {}
        }
    }
}

fn config_map(namespace: &str, name: &str, value: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}, namespace: {namespace}}}, data: {{a: '{value}'}}}}"
    )
}

fn key(kind: WorkloadKind, namespace: &str, name: &str) -> Result<WorkloadKey> {
    Ok(WorkloadKey {
        kind,
        namespace: namespace.parse()?,
        name: name.parse()?,
    })
}

#[tokio::test]
async fn a_list_and_its_changes_come_by_one_request_where_the_server_streams_lists() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let namespace = cluster.namespace("stream").await?;
    for name in ["a", "b"] {
        cluster.apply(&config_map(&namespace, name, "1")).await?;
    }
    let counts = RequestCounts::default();
    let client = client(cluster.admin(), &counts).await?;
    let status = WatchStatus::new();
    let options = options(&namespace, InitialList::Streaming)?;
    let mut stream = Box::pin(watch::<LeanConfigMap>(client, options, status.clone()));
    let mut names = synced(&mut stream).await?;
    names.sort();
    ensure!(names == ["a", "b"], "{names:?}");

    cluster.apply(&config_map(&namespace, "a", "2")).await?;
    let Event::Applied(changed) = next(&mut stream).await? else {
        anyhow::bail!("not a change");
    };
    let (_, changed, _) = changed.into_object(&Conventions::default());
    ensure!(changed.written.is_some() && changed.created.is_some() && changed.revision.is_some());

    cluster.kubectl(&["delete", "configmap", "b", "-n", &namespace]).await?;
    ensure!(matches!(next(&mut stream).await?, Event::Deleted(gone) if gone.key().name.as_str() == "b"));
    ensure!(status.snapshot().objects == 1);
    ensure!((counts.sent("watch", "configmaps"), counts.sent("list", "configmaps")) == (1, 0));
    Ok(())
}

#[tokio::test]
async fn pages_give_the_same_objects() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let namespace = cluster.namespace("pages").await?;
    let mut expected: Vec<String> = (0..7).map(|n| format!("map-{n}")).collect();
    for name in &expected {
        cluster.apply(&config_map(&namespace, name, "1")).await?;
    }
    let options = options(&namespace, InitialList::Paged(3))?;
    let mut stream = Box::pin(watch::<LeanConfigMap>(
        admin(cluster).await?,
        options,
        WatchStatus::new(),
    ));
    let mut names = synced(&mut stream).await?;
    names.sort();
    expected.sort();
    ensure!(names == expected, "{names:?}");
    cluster.apply(&config_map(&namespace, "map-3", "2")).await?;
    ensure!(matches!(next(&mut stream).await?, Event::Applied(_)));
    Ok(())
}

#[tokio::test]
async fn a_watch_by_metadata_is_streamed_too() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let namespace = cluster.namespace("metadata").await?;
    let name: Name = namespace.parse()?;
    let mut stream = Box::pin(watch::<LeanNamespace>(
        admin(cluster).await?,
        WatchOptions::default(),
        WatchStatus::new(),
    ));
    loop {
        match next(&mut stream).await? {
            Event::Listed(found) | Event::Applied(found) if found.name == name => {
                ensure!(found.labels["kubernetes.io/metadata.name"] == namespace);
                return Ok(());
            }
            Event::Failed(failure) => anyhow::bail!("{failure:?}"),
            _ => {}
        }
    }
}

/// The bytes that the server encodes are the bytes that are hashed.
#[tokio::test]
async fn a_secret_has_the_digests_of_its_bytes() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let namespace = cluster.namespace("secret").await?;
    cluster
        .apply(&format!(
            "{{apiVersion: v1, kind: Secret, metadata: {{name: s, namespace: {namespace}}}, stringData: {{a: '1'}}}}"
        ))
        .await?;
    let digest_key = DigestKey::new(&[7; 32])?;
    let object = ConfigKey {
        kind: ConfigKind::Secret,
        namespace: namespace.parse()?,
        name: "s".parse()?,
    };
    let writer = Writer::new(admin(cluster).await?);
    let (seen, _) = writer.get_object(&object, &digest_key, &Conventions::default()).await?;
    let local = json!({"metadata": {"namespace": namespace, "name": "s"}, "data": {"a": "MQ=="}}).to_string();
    let (_, expected, _) = LeanSecret::decode(&local)?.into_object(&digest_key, &Conventions::default());
    ensure!(seen.content == expected.content);
    ensure!(seen.written.is_some(), "stringData counts as data");
    Ok(())
}

fn deployment(namespace: &str, name: &str) -> String {
    format!(
        "{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: {name}, namespace: {namespace}}}, spec: {{replicas: 0, \
         selector: {{matchLabels: {{app: {name}}}}}, template: {{metadata: {{labels: {{app: {name}}}}}, \
         spec: {{containers: [{{name: c, image: i}}]}}}}}}}}"
    )
}

#[tokio::test]
async fn a_patch_is_for_the_workload_of_its_uid_only() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let namespace = cluster.namespace("patch").await?;
    cluster.apply(&deployment(&namespace, "web")).await?;
    let writer = Writer::new(admin(cluster).await?);
    let web = key(WorkloadKind::Deployment, &namespace, "web")?;
    let before = writer.get_workload(&web).await?;
    ensure!(&*before.observed.selector == "app=web");

    let body = json!({
        "metadata": {"annotations": {"afresh.dev/applied": "{}"}},
        "spec": {"template": {"metadata": {"annotations": {"afresh.dev/config": "x"}}}}
    });
    let other = writer
        .patch_workload(&web, "11111111-2222-3333-4444-555555555555", body.clone())
        .await;
    ensure!(matches!(other, Err(WriteError::Gone)), "{other:?}");

    let after = writer.patch_workload(&web, &before.observed.uid, body).await?;
    ensure!(after.generation == before.generation + 1);
    ensure!(
        after.observed.template_hash == before.observed.template_hash,
        "our own mark is no change"
    );
    ensure!(after.observed.annotations["afresh.dev/applied"] == "{}");
    let gone = writer
        .get_workload(&key(WorkloadKind::Deployment, &namespace, "other")?)
        .await;
    ensure!(matches!(gone, Err(WriteError::Gone)));
    let listed = writer.list_all::<LeanDeployment>(Some(&namespace.parse()?)).await?;
    ensure!(listed.len() == 1 && listed[0].0.observed.template_hash == before.observed.template_hash);
    Ok(())
}

#[tokio::test]
async fn a_pod_is_touched_with_the_right_to_its_status_alone() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let namespace = cluster.namespace("touch").await?;
    cluster
        .apply(&format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: p, namespace: {namespace}, labels: {{app: web}}}}, \
             spec: {{containers: [{{name: c, image: i}}]}}}}"
        ))
        .await?;
    let account = cluster.service_account(&namespace, "toucher").await?;
    let rules = "rules: [{apiGroups: [''], resources: [pods], verbs: [list]}, \
                 {apiGroups: [''], resources: [pods/status], verbs: [patch]}]";
    let role = format!(
        "{{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {{name: t, namespace: {namespace}}}, {rules}}}"
    );
    cluster.apply(&role).await?;
    let account_name = format!("--serviceaccount={namespace}:toucher");
    cluster
        .kubectl(&[
            "create",
            "rolebinding",
            "t",
            "--role=t",
            &account_name,
            "-n",
            &namespace,
        ])
        .await?;

    let writer = Writer::new(client(&account, &RequestCounts::default()).await?);
    let namespace: Name = namespace.parse()?;
    let pods = authorized(|| writer.list_pods(&namespace, "app=web")).await?;
    ensure!(pods.len() == 1 && pods[0].touched.is_none());
    let (name, uid) = (&pods[0].key.name, &pods[0].uid);
    let touched = authorized(|| writer.touch_pod(&namespace, name, uid, "v1")).await?;
    ensure!(touched.touched.as_deref() == Some("v1") && touched.uid == *uid);
    let other = writer
        .touch_pod(&namespace, name, "11111111-2222-3333-4444-555555555555", "v2")
        .await;
    ensure!(matches!(other, Err(WriteError::Gone)), "{other:?}");

    let pod = key(WorkloadKind::Pod, namespace.as_str(), "p")?;
    let patched = writer
        .patch_workload(
            &pod,
            uid,
            json!({"metadata": {"annotations": {"afresh.dev/applied": "{}"}}}),
        )
        .await?;
    ensure!(patched.observed.annotations["afresh.dev/touched"] == "v1");
    let denied = writer.get_workload(&pod).await;
    ensure!(
        matches!(&denied, Err(WriteError::Denied(text)) if text.contains("cannot get resource")),
        "{denied:?}"
    );
    Ok(())
}

/// The authorizer learns of a new binding a moment after it is written.
async fn authorized<T, F: Future<Output = Result<T, WriteError>>>(call: impl Fn() -> F) -> Result<T> {
    let attempts = async {
        loop {
            match call().await {
                Err(WriteError::Denied(_)) => tokio::time::sleep(Duration::from_millis(50)).await,
                result => return result,
            }
        }
    };
    Ok(tokio::time::timeout(PATIENCE, attempts).await??)
}

#[tokio::test]
async fn of_two_candidates_one_gets_the_lease() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let namespace: Name = cluster.namespace("lease").await?.parse()?;
    let term = Duration::from_secs(15);
    let writer = Writer::new(admin(cluster).await?);
    let candidate = || LeaseClient::new(writer.clone(), namespace.clone(), "afresh-controller".parse().unwrap());
    let (one, two) = (candidate(), candidate());
    ensure!(one.get().await?.is_none());

    let (a, b) = futures::join!(one.create("a", term), two.create("b", term));
    ensure!(a.is_ok() != b.is_ok(), "{a:?} {b:?}");
    ensure!(matches!(a.and(b), Err(WriteError::Conflict(_))));

    let seen = two.get().await?.context("a lease")?;
    let (a, b) = futures::join!(one.update(&seen, "a", term), two.update(&seen, "b", term));
    ensure!(a.is_ok() != b.is_ok(), "{a:?} {b:?}");

    let seen = one.get().await?.context("a lease")?;
    let released = one.release(&seen).await?;
    ensure!(released.seen.holder.is_none());
    let taken = two.update(&released, "b", term).await?;
    ensure!(taken.seen.holder.as_deref() == Some("b") && taken.seen.duration == term);
    Ok(())
}

#[tokio::test]
async fn replicas_that_start_together_share_one_digest_key() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let namespace: Name = cluster.namespace("key").await?.parse()?;
    let name: Name = "afresh-digest-key".parse()?;
    let writer = Writer::new(admin(cluster).await?);
    let keys = futures::future::join_all((0..4).map(|_| digest_key::get_or_create(&writer, &namespace, &name))).await;
    let keys = keys.into_iter().collect::<Result<Vec<_>, _>>()?;
    ensure!(
        keys.iter()
            .all(|key| key.key.id() == keys[0].key.id() && key.created.is_some())
    );

    // and a Secret that was made without data, by a manifest, is filled in
    let empty = format!("{{apiVersion: v1, kind: Secret, metadata: {{name: empty, namespace: {namespace}}}}}");
    cluster.apply(&empty).await?;
    let made = digest_key::get_or_create(&writer, &namespace, &"empty".parse()?).await?;
    let again = digest_key::get_or_create(&writer, &namespace, &"empty".parse()?).await?;
    ensure!(made.key.id() == again.key.id() && made.key.id() != keys[0].key.id());
    Ok(())
}

#[tokio::test]
async fn events_are_found_by_kubectl_and_repeated_as_a_count() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let namespace = cluster.namespace("events").await?;
    cluster.apply(&deployment(&namespace, "web")).await?;
    cluster.apply(&config_map(&namespace, "web", "1")).await?;
    let writer = Writer::new(admin(cluster).await?);
    let web = key(WorkloadKind::Deployment, &namespace, "web")?;
    let uid = writer.get_workload(&web).await?.observed.uid;
    let (recorder, task) = recorder(writer, "afresh-0");
    let task = tokio::spawn(task.run());
    let notice = Notice {
        regarding: Regarding::workload(&web, &uid),
        severity: Severity::Normal,
        reason: "Rolled",
        action: "Roll",
        note: "configmap/web changed".to_owned(),
    };
    for _ in 0..3 {
        recorder.publish(notice.clone());
    }
    let map = ConfigKey {
        kind: ConfigKind::ConfigMap,
        namespace: namespace.parse()?,
        name: "web".parse()?,
    };
    recorder.publish(Notice {
        regarding: Regarding::config(&map),
        severity: Severity::Warning,
        reason: "BadAnnotation",
        action: "Read",
        note: "x".repeat(5000),
    });
    let counts = recorder.clone();
    drop(recorder);
    tokio::time::timeout(PATIENCE, async {
        while counts.counts().created + counts.counts().failed + counts.counts().repeated < 4 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await?;
    let seen = counts.counts();
    ensure!((seen.created, seen.repeated, seen.failed) == (2, 2, 0), "{seen:?}");
    drop(counts);
    task.await?;

    let path = "jsonpath={range .items[*]}{.reason} {.series.count} {.involvedObject.kind} {.source.component}{.reportingComponent}{\"\\n\"}{end}";
    let events = cluster
        .kubectl(&["get", "events", "-n", &namespace, "-o", path])
        .await?;
    ensure!(events.contains("Rolled 3 Deployment afresh.dev/controller"), "{events}");
    for object in ["deployment/web", "configmap/web"] {
        let described = cluster.kubectl(&["describe", object, "-n", &namespace]).await?;
        let reason = if object.starts_with('d') {
            "Rolled"
        } else {
            "BadAnnotation"
        };
        ensure!(described.contains(reason), "{described}");
    }
    Ok(())
}

/// A cluster of its own, because its API server is stopped.
#[tokio::test]
async fn a_change_made_behind_a_lost_connection_and_a_forgotten_history_is_found() -> Result<()> {
    let cluster = Cluster::control_plane().await?;
    let namespace = cluster.namespace("lost").await?;
    cluster.apply(&config_map(&namespace, "a", "1")).await?;
    let client = admin(&cluster).await?;
    let status = WatchStatus::new();
    let options = options(&namespace, InitialList::Streaming)?;
    let mut stream = Box::pin(watch::<LeanConfigMap>(client, options, status.clone()));
    ensure!(synced(&mut stream).await? == ["a"]);

    // A new API server knows no history from before it started, and etcd none from before the compaction.
    cluster.kill_api_server().await?;
    cluster.start_api_server().await?;
    for name in ["b", "c"] {
        cluster.apply(&config_map(&namespace, name, "1")).await?;
    }
    cluster.kubectl(&["delete", "configmap", "a", "-n", &namespace]).await?;
    cluster.compact().await?;
    cluster.kill_api_server().await?;
    cluster.start_api_server().await?;

    let mut expired = false;
    let names = loop {
        match next(&mut stream).await? {
            Event::Failed(failure) => expired |= failure.kind == FailureKind::Expired,
            Event::Begin => {
                let mut names = synced(&mut stream).await?;
                names.sort();
                break names;
            }
            _ => {}
        }
    };
    ensure!(expired && names == ["b", "c"], "{names:?}");
    cluster.apply(&config_map(&namespace, "b", "2")).await?;
    ensure!(matches!(next(&mut stream).await?, Event::Applied(_)));
    ensure!(status.snapshot().lists == 2);
    cluster.stop().await?;
    Ok(())
}
