//! A real node: pods run, see their configuration, and can be looked into.

use std::fs;

use afresh_testbed::{BUSYBOX, Cluster, Image};
use anyhow::Result;

fn pod(namespace: &str, image: &str) -> String {
    format!(
        "apiVersion: v1
kind: ConfigMap
metadata: {{name: settings, namespace: {namespace}}}
data: {{level: debug}}
---
apiVersion: v1
kind: Pod
metadata: {{name: reader, namespace: {namespace}}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: {image}
    imagePullPolicy: Never
    env:
    - name: LEVEL
      valueFrom: {{configMapKeyRef: {{name: settings, key: level}}}}
    volumeMounts: [{{name: settings, mountPath: /etc/settings}}]
  volumes:
  - name: settings
    configMap: {{name: settings}}
"
    )
}

#[tokio::test]
async fn a_pod_sees_its_config_map_as_a_file_and_in_its_environment() -> Result<()> {
    let Some(cluster) = Cluster::shared_with_node().await? else {
        return Ok(());
    };
    let namespace = cluster.namespace("reader").await?;

    cluster.apply(&pod(&namespace, BUSYBOX)).await?;
    cluster.pod_ready(&namespace, "reader").await?;

    assert_eq!(
        cluster.read_file(&namespace, "reader", "/etc/settings/level").await?,
        "debug"
    );
    assert_eq!(
        cluster
            .exec(&namespace, "reader/main", &["sh", "-c", "echo $LEVEL"])
            .await?,
        "debug\n"
    );
    let uid = cluster.pod_uid(&namespace, "reader").await?;
    let volume = cluster.volume(&uid, "configmap", "settings")?;
    assert_eq!(fs::read_to_string(volume.join("level"))?, "debug");
    Ok(())
}

#[tokio::test]
async fn a_pod_runs_an_image_made_by_the_test() -> Result<()> {
    let Some(cluster) = Cluster::shared_with_node().await? else {
        return Ok(());
    };
    let namespace = cluster.namespace("image").await?;
    let files = cluster.directory().join("files");
    fs::create_dir_all(files.join("deep"))?;
    fs::write(files.join("deep/note"), "from a tree")?;
    let image = Image::new("afresh.test/own:1")
        .busybox()
        .tree("/files", &files)
        .command(["/bin/sleep", "1000"]);

    cluster.load_image(&image).await?;
    cluster.apply(&pod(&namespace, "afresh.test/own:1")).await?;
    cluster.pod_ready(&namespace, "reader").await?;

    assert_eq!(
        cluster.read_file(&namespace, "reader", "/files/deep/note").await?,
        "from a tree"
    );
    assert_eq!(
        cluster.exec(&namespace, "reader", &["cat", "/proc/1/cmdline"]).await?,
        "/bin/sleep\u{0}1000\u{0}"
    );
    Ok(())
}

#[tokio::test]
async fn a_deployment_rolls_to_new_pods() -> Result<()> {
    let Some(cluster) = Cluster::shared_with_node().await? else {
        return Ok(());
    };
    let namespace = cluster.namespace("rollout").await?;
    let image = format!("--image={BUSYBOX}");
    let manifest = [
        "create",
        "deployment",
        "web",
        &image,
        "--replicas=2",
        "-n",
        &namespace,
        "--dry-run=client",
        "-o",
        "json",
    ];
    let mut deployment: serde_json::Value = serde_json::from_str(&cluster.kubectl(&manifest).await?)?;
    let spec = &mut deployment["spec"]["template"]["spec"];
    spec["terminationGracePeriodSeconds"] = 0.into();
    spec["containers"][0]["imagePullPolicy"] = "Never".into();
    cluster.apply(&deployment.to_string()).await?;
    cluster.rolled_out(&namespace, "deployment/web").await?;
    let names = [
        "get",
        "pods",
        "-n",
        &namespace,
        "-l",
        "app=web",
        "--field-selector=status.phase=Running",
        "-o",
        "name",
    ];
    let before = cluster.kubectl(&names).await?;

    cluster
        .kubectl(&["rollout", "restart", "deployment/web", "-n", &namespace])
        .await?;
    cluster.rolled_out(&namespace, "deployment/web").await?;

    let after = cluster
        .kubectl(&["get", "replicasets", "-n", &namespace, "-o", "name"])
        .await?;
    assert_eq!(before.lines().count(), 2, "{before}");
    assert_eq!(after.lines().count(), 2, "one per template: {after}");
    Ok(())
}

#[tokio::test]
async fn a_pod_reaches_the_api_server_as_its_service_account() -> Result<()> {
    let Some(cluster) = Cluster::shared_with_node().await? else {
        return Ok(());
    };
    let namespace = cluster.namespace("inside").await?;
    cluster.apply(&pod(&namespace, BUSYBOX)).await?;
    cluster.pod_ready(&namespace, "reader").await?;

    let connect = "nc -w 5 $KUBERNETES_SERVICE_HOST $KUBERNETES_SERVICE_PORT < /dev/null && echo reached";
    assert_eq!(
        cluster.exec(&namespace, "reader", &["sh", "-c", connect]).await?,
        "reached\n"
    );
    let token = "/var/run/secrets/kubernetes.io/serviceaccount/token";
    assert_eq!(
        cluster.read_file(&namespace, "reader", token).await?.split('.').count(),
        3,
        "a JWT"
    );
    Ok(())
}

#[tokio::test]
async fn a_program_that_cargo_built_runs_in_a_pod() -> Result<()> {
    let Some(cluster) = Cluster::shared_with_node().await? else {
        return Ok(());
    };
    let namespace = cluster.namespace("program").await?;
    let image = Image::new("afresh.test/program:1")
        .busybox()
        .program("/tests", std::env::current_exe()?);
    let image = image.command(["/bin/sleep", "infinity"]);

    cluster.load_image(&image).await?;
    cluster.apply(&pod(&namespace, "afresh.test/program:1")).await?;
    cluster.pod_ready(&namespace, "reader").await?;

    let list = cluster.exec(&namespace, "reader", &["/tests", "--list"]).await?;
    assert!(
        list.contains("a_program_that_cargo_built_runs_in_a_pod: test"),
        "{list}"
    );
    Ok(())
}
