//! One script against the sandbox and against the real API server; what comes back must be the same.
//!
//! UIDs, times, resource versions and the namespace's name are replaced; everything else is compared, step by step. The
//! few known differences are named in [`harness::KNOWN`], and a difference named there that is gone fails as well.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod configs;
mod controllers;
mod harness;
mod lists;
mod nodes;
mod patches;
mod status;
mod times;
mod watches;
mod work;
mod workloads;

use afresh_sandbox::{Options, Resource, Sandbox};
use afresh_testbed::Cluster;
use harness::{World, compare};
use kube::Client;

async fn sandbox(options: &Options) -> (Sandbox, World) {
    let sandbox = Sandbox::start(options);
    sandbox
        .create(serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "hermetic"}}))
        .unwrap();
    let world = World::new(Client::new(sandbox.service(), "hermetic"), "hermetic");
    (sandbox, world)
}

async fn real(cluster: &Cluster) -> World {
    let namespace = cluster.namespace("real").await.unwrap();
    // Without kube's own retries, so that a 504 is seen as it is.
    let mut config = cluster.admin().config().await.unwrap();
    config.default_retry = false;
    World::new(Client::try_from(config).unwrap(), &namespace)
}

/// Runs a script on both sides of the API server alone.
macro_rules! same {
    ($name:ident, $script:path) => {
        #[tokio::test]
        async fn $name() {
            let mut real = real(Cluster::shared().await.unwrap()).await;
            let (_sandbox, mut mock) = sandbox(&Options::api_server_only()).await;
            tokio::join!($script(&mut real), $script(&mut mock));
            compare(stringify!($name), &real, &mock);
        }
    };
}

same!(config_objects_behave_alike, configs::script);
same!(patches_behave_alike, patches::script);
same!(lists_behave_alike, lists::script);
same!(watches_behave_alike, watches::script);
same!(workload_objects_behave_alike, workloads::script);
same!(jobs_and_cron_jobs_behave_alike, work::script);
same!(status_and_refusals_behave_alike, status::script);
same!(times_of_changes_behave_alike, times::script);

#[tokio::test]
async fn a_kind_of_one_s_own_behaves_alike() {
    let cluster = Cluster::shared().await.unwrap();
    cluster.define(&work::definition()).await.unwrap();
    let mut real = real(cluster).await;
    let (handle, mut mock) = sandbox(&Options::api_server_only()).await;
    handle.register(Resource::custom(work::GROUP, work::VERSION, work::PLURAL, work::KIND));
    tokio::join!(work::own_kind(&mut real), work::own_kind(&mut mock));
    compare("a_kind_of_one_s_own_behaves_alike", &real, &mock);
}

#[tokio::test]
async fn controllers_behave_alike() {
    let mut real = real(Cluster::shared_with_controllers().await.unwrap()).await;
    let (_sandbox, mut mock) = sandbox(&Options {
        nodes: 0,
        ..Options::default()
    })
    .await;
    controllers::script(&mut mock).await;
    controllers::script(&mut real).await;
    compare("controllers_behave_alike", &real, &mock);
}

#[tokio::test]
async fn nodes_behave_alike() {
    let Some(cluster) = Cluster::shared_with_node().await.unwrap() else {
        return;
    };
    let mut real = real(cluster).await;
    let (handle, mut mock) = sandbox(&Options::default()).await;
    let (real_eyes, eyes) = (nodes::Eyes::Real(cluster), nodes::Eyes::Sandbox(handle));
    tokio::join!(nodes::script(&mut real, &real_eyes), nodes::script(&mut mock, &eyes));
    compare("nodes_behave_alike", &real, &mock);
}

#[tokio::test]
async fn positions_that_were_compacted_away_behave_alike() {
    let cluster = Cluster::control_plane().await.unwrap();
    let mut real = real(&cluster).await;
    let (handle, mut mock) = sandbox(&Options::api_server_only()).await;
    let (real_place, mock_place) =
        tokio::join!(lists::before_compaction(&mut real), lists::before_compaction(&mut mock));
    // The API server serves the past from its own memory as long as it runs.
    cluster.stop_api_server().await.unwrap();
    cluster.compact().await.unwrap();
    cluster.start_api_server().await.unwrap();
    handle.compact();
    tokio::join!(
        lists::after_compaction(&mut real, &real_place),
        lists::after_compaction(&mut mock, &mock_place)
    );
    compare("positions_that_were_compacted_away_behave_alike", &real, &mock);
    cluster.stop().await.unwrap();
}
