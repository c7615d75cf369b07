//! `afresh agent --source` under a ServiceAccount that may follow what the recipe grants, and nothing else.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use afresh_testbed::{Access, Cluster, Mark, eventually};
use anyhow::Result;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::program::{LONG, last_lines};
use crate::rights::granted;
use crate::supervised::other_namespace;

/// The pod's namespace and the other one, with the rights that the recipe grants, and an agent's directory.
struct Scene<'a> {
    cluster: &'a Cluster,
    own: String,
    platform: String,
    account: Access,
    directory: TempDir,
}

impl<'a> Scene<'a> {
    async fn new(cluster: &'a Cluster) -> Result<Self> {
        let (own, platform) = (cluster.namespace("own").await?, cluster.namespace("platform").await?);
        let (elsewhere, _) = other_namespace(&platform, &own)?;
        cluster.apply(&elsewhere).await?;
        let account = cluster.service_account(&own, "nginx").await?;
        granted(&account, &["watch /configmaps=nginx"], Some(&platform)).await?;
        let directory = tempfile::tempdir()?;
        Ok(Self {
            cluster,
            own,
            platform,
            account,
            directory,
        })
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.directory.path().join(name)).unwrap_or_default()
    }

    /// An agent that appends what the object says after each change.
    fn agent(&self, source: &str) -> Result<Child> {
        let objects = self.directory.path().join("objects");
        Ok(Command::new(env!("CARGO_BIN_EXE_afresh"))
            .arg("agent")
            .arg(format!("--source={source}"))
            .arg(format!("--source-dir={}", objects.display()))
            .arg("--kubeconfig")
            .arg(self.account.kubeconfig())
            .arg("--on-change=exec:sh -c 'cat $DIR/objects/key >> $DIR/done'")
            .env_remove("KUBECONFIG")
            .env("DIR", self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(self.directory.path().join("log"))?)
            .kill_on_drop(true)
            .spawn()?)
    }

    /// Writes the object of the other namespace.
    async fn write(&self, name: &str, text: &str) -> Result<()> {
        let object = json!({ "apiVersion": "v1", "kind": "ConfigMap", "data": { "key": text },
            "metadata": { "name": name, "namespace": self.platform } });
        let path = format!(
            "/api/v1/namespaces/{}/configmaps/{name}?fieldManager=test&force=true",
            self.platform
        );
        let request = http::Request::patch(path).header("content-type", "application/apply-patch+yaml");
        let client = self.cluster.client().await?;
        client
            .request::<Value>(request.body(object.to_string().into_bytes())?)
            .await?;
        Ok(())
    }

    async fn says(&self, name: &str, text: &str) -> Result<()> {
        let look = async || {
            let (seen, log) = (self.read(name), self.read("log"));
            let seen = (seen == text)
                .then_some(())
                .ok_or_else(|| format!("{seen:?}; log:\n{log}"));
            anyhow::Ok(seen)
        };
        eventually(&format!("{text:?} in {name}"), LONG, look).await
    }

    async fn logged(&self, text: &str) -> Result<()> {
        let look = async || {
            let log = self.read("log");
            anyhow::Ok(log.contains(text).then_some(()).ok_or_else(|| last_lines(&log)))
        };
        eventually(text, LONG, look).await
    }

    /// What the agent has asked for, once each: verb, path without the query, and the answer.
    fn asked(&self, since: Mark) -> Result<Vec<String>> {
        let user = format!("system:serviceaccount:{}:nginx", self.own);
        let requests = self
            .cluster
            .requests(since)?
            .into_iter()
            .filter(|request| request.user == user);
        let path = |uri: &str| {
            Path::new(uri.split('?').next().unwrap_or_default())
                .display()
                .to_string()
        };
        let mut asked: Vec<_> = requests
            .map(|request| format!("{} {} {}", request.verb, path(&request.uri), request.code))
            .collect();
        asked.sort();
        asked.dedup();
        Ok(asked)
    }
}

#[tokio::test]
async fn each_change_of_an_object_in_another_namespace_is_acted_on_once_with_the_least_rights() -> Result<()> {
    let scene = Scene::new(Cluster::shared_with_controllers().await?).await?;
    let mark = scene.cluster.mark()?;
    scene.write("nginx", "0").await?;
    let mut agent = scene.agent(&format!("configmap/{}/nginx", scene.platform))?;
    scene.says("objects/key", "0").await?;
    scene.logged("watching").await?;
    let mut done = String::new();
    for round in 1..=5 {
        let text = format!("{round}\n");
        scene.write("nginx", &text).await?;
        done.push_str(&text);
        scene.says("done", &done).await?;
    }
    // Of an object that is made anew only the content counts.
    let path = format!("/api/v1/namespaces/{}/configmaps/nginx", scene.platform);
    let request = http::Request::delete(path).body(Vec::new())?;
    scene.cluster.client().await?.request::<Value>(request).await?;
    scene.logged("it is gone; its last content stays").await?;
    scene.write("nginx", "5\n").await?;
    scene.logged("it is there").await?;
    scene.write("nginx", "6\n").await?;
    scene.says("done", &format!("{done}6\n")).await?;

    assert!(agent.try_wait()?.is_none(), "it goes on");
    let watched = format!("watch /api/v1/namespaces/{}/configmaps 200", scene.platform);
    assert_eq!(scene.asked(mark)?, [watched], "nothing else was asked for");
    Ok(())
}

#[tokio::test]
async fn what_is_not_granted_is_named_and_followed_as_soon_as_it_is() -> Result<()> {
    let scene = Scene::new(Cluster::shared_with_controllers().await?).await?;
    scene.write("other", "0").await?;
    let mut agent = scene.agent(&format!("configmap/{}/other", scene.platform))?;
    scene.logged("it cannot be followed now; what is written stays").await?;
    assert!(scene.read("log").contains("forbidden"), "{}", scene.read("log"));
    let rule = json!([{ "op": "add", "path": "/rules/0/resourceNames/-", "value": "other" }]).to_string();
    let patch = [
        "patch",
        "role",
        "follow-nginx",
        "-n",
        &scene.platform,
        "--type=json",
        "-p",
        &rule,
    ];
    scene.cluster.kubectl(&patch).await?;
    scene.says("objects/key", "0").await?;
    assert!(agent.try_wait()?.is_none(), "it was never ended by that");
    Ok(())
}

#[tokio::test]
async fn an_api_server_that_is_away_for_a_while_costs_nothing_but_the_wait() -> Result<()> {
    let cluster = Cluster::with_controllers().await?;
    let scene = Scene::new(&cluster).await?;
    scene.write("nginx", "0\n").await?;
    let mut agent = scene.agent(&format!("configmap/{}/nginx", scene.platform))?;
    scene.says("objects/key", "0\n").await?;
    scene.logged("watching").await?;

    cluster.kill_api_server().await?;
    scene.logged("it cannot be followed now; what is written stays").await?;
    assert_eq!(scene.read("objects/key"), "0\n");
    cluster.start_api_server().await?;
    scene.write("nginx", "1\n").await?;
    scene.says("done", "1\n").await?;

    assert!(agent.try_wait()?.is_none(), "it goes on");
    // The API server waits for those who still watch.
    agent.kill().await?;
    drop(scene);
    cluster.stop().await?;
    Ok(())
}
