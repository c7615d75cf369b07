//! What `afresh reloader` tells: Events, metrics, alerts, the webhook, and the ConfigMap about itself.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use afresh_controller::config::Reloader;
use afresh_controller::reloader::{Alerts, Endpoint, MetaInfo, Sink};
use afresh_sandbox::{Filter, Options, RequestFault, Verb};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::world::{World, annotated, ask, deployment, env_from, free_address, mounted};

/// A server that takes POSTs: their bodies, and what it answers from now on; `None` is never.
struct Receiver {
    url: Endpoint,
    bodies: Arc<Mutex<Vec<String>>>,
    answer: Arc<Mutex<Option<&'static str>>>,
    task: JoinHandle<()>,
}

const OK: Option<&str> = Some("200 OK");

impl Receiver {
    async fn start(answer: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hooks/secret-token", listener.local_addr().unwrap());
        let (bodies, answer) = (Arc::default(), Arc::new(Mutex::new(answer)));
        let task = tokio::spawn(serve(listener, Arc::clone(&bodies), Arc::clone(&answer)));
        Self {
            url: Endpoint::parse(&url).unwrap(),
            bodies,
            answer,
            task,
        }
    }

    fn bodies(&self) -> Vec<String> {
        self.bodies.lock().unwrap().clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, bodies: Arc<Mutex<Vec<String>>>, answer: Arc<Mutex<Option<&'static str>>>) {
    let mut open = Vec::new();
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut text = String::new();
        while !text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
            let length = head.to_ascii_lowercase();
            let length = length.split_once("content-length: ").unwrap().1;
            body.len() >= length.lines().next().unwrap().parse().unwrap()
        }) {
            let mut bytes = [0; 4096];
            let read = stream.read(&mut bytes).await.unwrap();
            text.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
        }
        bodies
            .lock()
            .unwrap()
            .push(text.split_once("\r\n\r\n").unwrap().1.to_owned());
        let now = *answer.lock().unwrap();
        match now {
            Some(status) => {
                let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            None => open.push(stream),
        }
    }
}

async fn world(choose: impl FnOnce(&mut Reloader)) -> World {
    let mut reloader = Reloader::default();
    choose(&mut reloader);
    World::with(|config| config.reloader = Some(reloader)).await
}

async fn web(world: &World) {
    world.configmap("app", json!({"a": "1"}));
    world.create(deployment("web", env_from("app")));
    world.settle().await;
}

#[tokio::test(start_paused = true)]
async fn a_reload_and_a_failure_are_events_in_reloaders_words() {
    let world = world(|_| {}).await;
    web(&world).await;
    world.configmap("app", json!({"a": "2"}));
    world.settle().await;
    let told = world.told("Reloaded", "web");
    let expected = "Changes detected in 'app' of type 'CONFIGMAP' in namespace 'prod', \
                    Updated 'web' of type 'Deployment' in namespace 'prod' (rolled for configmap/app ";
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with(expected), "{told:?}");
    assert!(world.told("Rolled", "web").is_empty(), "one Event for one reload");

    let denied = RequestFault::Status {
        code: 403,
        retry_after: None,
    };
    let patches = Filter::verb(Verb::Patch).resource("deployments");
    world.sandbox.faults().next_requests(usize::MAX, patches, denied);
    world.configmap("app", json!({"a": "3"}));
    world.settle().await;
    let told = world.told("ReloadFail", "web");
    assert_eq!(told.len(), 1, "{told:?}");
    let expected = "Update for 'web' of type 'Deployment' in namespace 'prod' failed with error ";
    assert!(told[0].starts_with(expected), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn reloader_defect_e8_metrics_stand_beside_ours_and_count_each_thing_once() {
    let address = free_address();
    let mut world = World::empty(&Options::default(), |config| {
        config.metrics_addr = Some(address);
        config.reloader = Some(Reloader {
            count_by_namespace: true,
            ..Reloader::default()
        });
    });
    world.restart();
    world.settle().await;
    let (_, text) = ask(address, "/metrics").await;
    for success in ["true", "false"] {
        let sample = format!("reloader_reload_executed_total{{success=\"{success}\"}} 0\n");
        assert!(
            text.contains(&sample),
            "an alert needs the series from the start: {text}"
        );
    }

    web(&world).await;
    world.configmap("app", json!({"a": "2"}));
    world.settle().await;
    world.patch("configmaps", "app", json!({"metadata": {"labels": {"a": "b"}}}));
    world.configmap("unused", json!({"a": "1"}));
    world.settle().await;
    world.configmap("unused", json!({"a": "2"}));
    world.settle().await;
    let (_, text) = ask(address, "/metrics").await;
    for sample in [
        r#"reloader_reload_executed_total{success="true"} 1"#,
        r#"reloader_reload_executed_total_by_namespace{success="true",namespace="prod"} 1"#,
        r#"reloader_reconcile_total{result="success"} 1"#,
        r#"reloader_reconcile_total{result="skipped"} 2"#,
        r#"reloader_reconcile_duration_seconds_count{result="success"} 1"#,
        r#"reloader_action_total{workload_kind="Deployment",result="success"} 1"#,
        r#"reloader_action_latency_seconds_count{workload_kind="Deployment"} 1"#,
        r#"reloader_skipped_total{reason="no_data_change"} 1"#,
        r#"reloader_skipped_total{reason="ignored_or_not_selected"} 1"#,
        "reloader_workqueue_depth 0",
        "reloader_workqueue_adds_total 1",
        "reloader_workqueue_latency_seconds_count 1",
        "reloader_retries_total 0",
        r#"reloader_events_received_total{event_type="add",resource_type="configmaps"} 2"#,
        r#"reloader_events_received_total{event_type="update",resource_type="configmaps"} 3"#,
        r#"reloader_events_processed_total{event_type="update",resource_type="configmaps",result="success"} 3"#,
        r#"reloader_workloads_scanned_total{kind="Deployment"} 1"#,
        r#"reloader_workloads_matched_total{kind="Deployment"} 1"#,
        r#"afresh_actions_total{action="roll",kind="deployment",result="ok"} 1"#,
    ] {
        assert!(text.lines().any(|line| line == sample), "{sample} is not in {text}");
    }
    assert_eq!(ask(address, "/live").await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn the_controller_itself_has_none_of_reloaders_metrics() {
    let address = free_address();
    let _world = World::with(|config| config.metrics_addr = Some(address)).await;
    let (_, text) = ask(address, "/metrics").await;
    assert!(text.contains("afresh_leader") && !text.contains("reloader_"), "{text}");
}

fn alerts(receiver: &Receiver, sink: Sink) -> Option<Alerts> {
    Some(Alerts {
        url: receiver.url.clone(),
        sink,
        proxy: None,
        info: Some("cluster-1".to_owned()),
    })
}

#[tokio::test(start_paused = true)]
async fn each_reload_is_alerted_once() {
    let receiver = Receiver::start(OK).await;
    let world = world(|reloader| reloader.alerts = alerts(&receiver, Sink::Slack)).await;
    web(&world).await;
    world.configmap("app", json!({"a": "2"}));
    world.settle().await;
    let bodies = receiver.bodies();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    let body: Value = serde_json::from_str(&bodies[0]).unwrap();
    assert_eq!(
        body["attachments"][0]["text"],
        "cluster-1 : Reloader detected changes in *app* of type *CONFIGMAP* in namespace *prod*. \
         Hence reloaded *web* of type *Deployment* in namespace *prod*"
    );
}

/// Defect D3 of Reloader: an alert is sent by the worker, without a limit in time.
#[tokio::test(start_paused = true)]
async fn reloader_defect_d3_an_alert_receiver_that_hangs_delays_no_reload() {
    let receiver = Receiver::start(None).await;
    let world = world(|reloader| reloader.alerts = alerts(&receiver, Sink::Raw)).await;
    web(&world).await;
    for round in 2..5_u64 {
        world.configmap("app", json!({"a": round.to_string()}));
        sleep(Duration::from_secs(1)).await;
        assert_eq!(world.revision("web"), round);
        world.settle_for(Duration::from_secs(120)).await; // no flapping
    }
    assert_eq!(receiver.bodies().len(), 3, "each is given up after its time");
}

async fn webhook_world(receiver: &Receiver) -> World {
    let world = world(|reloader| reloader.webhook_url = Some(receiver.url.clone())).await;
    web(&world).await;
    world
}

#[tokio::test(start_paused = true)]
async fn in_webhook_mode_every_data_change_is_posted_and_no_workload_is_written() {
    let receiver = Receiver::start(OK).await;
    let world = webhook_world(&receiver).await;
    let before = world.tries("web");
    assert_eq!((receiver.bodies().len(), before), (0, 0), "what was there is no change");

    world.configmap("app", json!({"a": "2"}));
    world.settle().await;
    world.patch("configmaps", "app", json!({"metadata": {"labels": {"a": "b"}}}));
    world.settle().await;
    assert_eq!(receiver.bodies(), [r#"{"webhook":"update successful"}"#]);
    world.secret("other", &[("a", "1")]);
    world.settle().await;
    world.secret("other", &[("a", "2")]);
    world.settle().await;
    assert_eq!(receiver.bodies().len(), 2, "used by a workload or not");

    let ignored = json!({"metadata": {"annotations": {"afresh.dev/ignore": "true"}}, "data": {"a": "3"}});
    world.patch("configmaps", "app", ignored);
    world.settle().await;
    assert_eq!(receiver.bodies().len(), 2, "an ignored object never triggers anything");
    assert_eq!((world.tries("web"), world.revision("web")), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_fails_is_called_until_it_is_there() {
    let receiver = Receiver::start(Some("500 Oops")).await;
    let world = webhook_world(&receiver).await;
    world.configmap("app", json!({"a": "2"}));
    sleep(Duration::from_secs(3600)).await;
    let tries = receiver.bodies().len();
    assert!((12..40).contains(&tries), "{tries}: at growing pauses, for ever");
    *receiver.answer.lock().unwrap() = OK;
    sleep(Duration::from_secs(600)).await;
    assert_eq!(
        receiver.bodies().len(),
        tries + 1,
        "and not once more when it has arrived"
    );
}

fn info(options: Value) -> MetaInfo {
    MetaInfo {
        namespace: "afresh".parse().unwrap(),
        deployment: "reloader".to_owned(),
        options,
    }
}

#[tokio::test(start_paused = true)]
async fn meta_info_says_what_runs_and_is_replaced_at_the_next_start() {
    let mut world = world(|reloader| reloader.meta_info = Some(info(json!({"autoReloadAll": false})))).await;
    let read = |world: &World| world.sandbox.get("configmaps", "afresh", "reloader-meta-info").unwrap();
    let object = read(&world);
    assert_eq!(
        object["metadata"]["labels"],
        json!({"reloader.stakater.com/meta-info": "reloader"})
    );
    let part =
        |object: &Value, key: &str| serde_json::from_str::<Value>(object["data"][key].as_str().unwrap()).unwrap();
    assert_eq!(part(&object, "buildInfo")["releaseVersion"], env!("CARGO_PKG_VERSION"));
    assert_eq!(
        part(&object, "deploymentInfo"),
        json!({"name": "reloader", "namespace": "afresh"})
    );

    world.config.reloader = Some(Reloader {
        meta_info: Some(info(json!({"autoReloadAll": true}))),
        ..Reloader::default()
    });
    world.restart();
    world.settle().await;
    assert_eq!(part(&read(&world), "reloaderOptions"), json!({"autoReloadAll": true}));
}

#[tokio::test(start_paused = true)]
async fn meta_info_that_may_not_be_written_stops_nothing() {
    let mut world = World::empty(&Options::default(), |config| {
        config.reloader = Some(Reloader {
            meta_info: Some(info(json!({}))),
            ..Reloader::default()
        });
    });
    let forbidden = RequestFault::Status {
        code: 403,
        retry_after: None,
    };
    let creates = Filter::verb(Verb::Create).resource("configmaps");
    world.sandbox.faults().next_requests(usize::MAX, creates, forbidden);
    world.restart();
    world.settle().await;
    world.create(annotated(deployment("web", mounted("app")), &[]));
    world.sandbox.faults().quiet();
    web_rolls(&world).await;
}

async fn web_rolls(world: &World) {
    world.configmap("app", json!({"a": "1"}));
    world.settle().await;
    world.configmap("app", json!({"a": "2"}));
    world.settle().await;
    assert_eq!(world.revision("web"), 2);
}
