//! The control plane as tests use it.

use afresh_testbed::{Cluster, Mark};
use anyhow::Result;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};

fn config_map(name: &str, value: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        data: Some([("key".to_owned(), value.to_owned())].into()),
        ..ConfigMap::default()
    }
}

fn value(map: &ConfigMap) -> Option<&str> {
    map.data.as_ref()?.get("key").map(String::as_str)
}

#[tokio::test]
async fn a_written_config_map_is_read_back_by_client_and_kubectl() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let namespace = cluster.namespace("config").await?;
    let maps = Api::<ConfigMap>::namespaced(cluster.client().await?, &namespace);

    maps.create(&PostParams::default(), &config_map("settings", "1"))
        .await?;

    assert_eq!(value(&maps.get("settings").await?), Some("1"));
    let seen = cluster
        .kubectl(&[
            "get",
            "configmap",
            "settings",
            "-n",
            &namespace,
            "-o",
            "jsonpath={.data.key}",
        ])
        .await?;
    assert_eq!(seen, "1");
    Ok(())
}

#[tokio::test]
async fn namespaces_of_tests_differ_and_can_hold_pods() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let (one, two) = (cluster.namespace("same").await?, cluster.namespace("same").await?);
    assert_ne!(one, two);

    for namespace in [&one, &two] {
        let metadata = format!("{{name: p, namespace: {namespace}}}");
        let pod = format!(
            "{{apiVersion: v1, kind: Pod, metadata: {metadata}, spec: {{containers: [{{name: c, image: i}}]}}}}"
        );
        assert_eq!(cluster.apply(&pod).await?, "pod/p created\n");
    }
    Ok(())
}

#[tokio::test]
async fn a_service_account_may_do_what_rbac_grants_and_nothing_else() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let namespace = cluster.namespace("rights").await?;
    let reader = cluster.service_account(&namespace, "reader").await?;
    let get = ["get", "configmaps", "--namespace", namespace.as_str(), "-o", "name"];
    let refused = reader
        .kubectl(&get)
        .await
        .expect_err("nothing is granted yet")
        .to_string();
    assert!(refused.contains("Forbidden"), "{refused}");

    // Of the default ClusterRoles, `view` and its like are empty without the controller that aggregates them.
    let account = format!("--serviceaccount={namespace}:reader");
    let role = [
        "create",
        "role",
        "r",
        "--verb=list",
        "--resource=configmaps",
        "--namespace",
        &namespace,
    ];
    cluster.kubectl(&role).await?;
    cluster
        .kubectl(&[
            "create",
            "rolebinding",
            "r",
            "--role=r",
            &account,
            "--namespace",
            &namespace,
        ])
        .await?;
    let since = cluster.mark()?;
    let seen = reader.kubectl(&get).await?;

    assert_eq!(seen, "", "no controller publishes the root CA here");
    let user = format!("system:serviceaccount:{namespace}:reader");
    let lists = cluster
        .requests(since)?
        .into_iter()
        .filter(|request| request.user == user && request.verb == "list");
    let lists: Vec<_> = lists.map(|request| (request.resource, request.code)).collect();
    assert_eq!(lists, [("configmaps".to_owned(), 200)]);
    Ok(())
}

#[tokio::test]
async fn counters_and_audit_log_agree_on_a_request() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let namespace = cluster.namespace("counted").await?;
    let maps = Api::<ConfigMap>::namespaced(cluster.client().await?, &namespace);
    let conflicts = |counters: std::collections::BTreeMap<afresh_testbed::Counted, u64>| -> u64 {
        let of_maps = counters
            .iter()
            .filter(|(counted, _)| counted.resource == "configmaps" && counted.code == 409);
        of_maps.map(|(_, count)| count).sum()
    };
    maps.create(&PostParams::default(), &config_map("once", "1")).await?;
    let (before, since) = (conflicts(cluster.request_counters().await?), cluster.mark()?);

    maps.create(&PostParams::default(), &config_map("once", "2"))
        .await
        .expect_err("it is there already");

    assert_eq!(conflicts(cluster.request_counters().await?), before + 1);
    let requests = cluster.requests(since)?;
    let ours = requests.iter().filter(|request| request.namespace == namespace);
    assert_eq!(
        ours.map(|request| (request.verb.as_str(), request.code))
            .collect::<Vec<_>>(),
        [("create", 409)]
    );
    assert!(cluster.requests(Mark::default())?.len() > requests.len());
    Ok(())
}

#[tokio::test]
async fn an_api_server_keeps_its_port_and_data_over_a_restart() -> Result<()> {
    let cluster = Cluster::control_plane().await?;
    let maps = Api::<ConfigMap>::namespaced(cluster.client().await?, "default");
    maps.create(&PostParams::default(), &config_map("kept", "1")).await?;
    let before = cluster.pids().await;

    cluster.stop_api_server().await?;
    maps.get("kept").await.expect_err("nobody listens");
    cluster.start_api_server().await?;
    assert_eq!(value(&maps.get("kept").await?), Some("1"));
    cluster.kill_api_server().await?;
    cluster.start_api_server().await?;
    assert_eq!(value(&maps.get("kept").await?), Some("1"));

    let after = cluster.pids().await;
    assert_eq!(before["etcd"], after["etcd"]);
    assert_ne!(before["kube-apiserver"], after["kube-apiserver"]);
    cluster.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_watch_from_before_a_compaction_is_gone_after_a_restart() -> Result<()> {
    let cluster = Cluster::control_plane().await?;
    let maps = Api::<ConfigMap>::namespaced(cluster.client().await?, "default");
    let stale = maps
        .create(&PostParams::default(), &config_map("old", "1"))
        .await?
        .metadata
        .resource_version;
    maps.delete("old", &Default::default()).await?;

    cluster.stop_api_server().await?;
    let revision = cluster.compact().await?;
    cluster.start_api_server().await?;

    let stale = stale.expect("a resourceVersion");
    assert!(stale.parse::<i64>()? < revision);
    let watch = format!("/api/v1/namespaces/default/configmaps?watch=1&timeoutSeconds=5&resourceVersion={stale}");
    let answer = cluster.kubectl(&["get", "--raw", &watch]).await;
    let said = answer.unwrap_or_else(|error| error.to_string());
    assert!(
        said.contains("410") || said.contains("Expired") || said.contains("too old"),
        "{said}"
    );
    Ok(())
}

#[tokio::test]
async fn a_stopped_cluster_leaves_its_logs_and_nothing_else() -> Result<()> {
    let cluster = Cluster::control_plane().await?;
    let (pids, directory, log) = (
        cluster.pids().await,
        cluster.directory().to_owned(),
        cluster.log("kube-apiserver"),
    );
    assert_eq!(pids.keys().copied().collect::<Vec<_>>(), ["etcd", "kube-apiserver"]);

    cluster.stop().await?;

    for (name, pid) in pids {
        assert!(
            !std::path::Path::new("/proc").join(pid.to_string()).exists(),
            "{name} runs on"
        );
    }
    assert!(log.is_file());
    let left: Vec<_> = std::fs::read_dir(directory)?
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<Result<_, _>>()?;
    assert_eq!(left, ["logs"]);
    Ok(())
}
