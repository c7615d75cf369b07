//! What a Secret holds appears nowhere: not in logs, Events, annotations, metrics or `/state`, in no encoding, and not
//! as a hash that could be guessed. A program of its own, because it listens to all that is logged.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[allow(dead_code, reason = "shared with other tests")]
#[path = "behaviour/world.rs"]
mod world;

use std::io::Write;
use std::sync::{Arc, Mutex};

use afresh_controller::config::Reloader;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tracing_subscriber::fmt::MakeWriter;

use world::{World, annotated, ask, deployment, env_from, free_address};

const CANARIES: [&str; 3] = ["canary-yellow-7f3a", "hunter2", "a\nmultiline\tcanary \"quoted\" é"];

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Captured {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Everything that would give a canary away.
fn forbidden() -> Vec<(String, String)> {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut all = Vec::new();
    for canary in CANARIES {
        let hash = Sha256::digest(canary.as_bytes());
        let of_base64 = Sha256::digest(STANDARD.encode(canary).as_bytes());
        all.push((format!("{canary:?}"), canary.to_owned()));
        all.push((
            format!("{canary:?} in JSON"),
            json!(canary).to_string().trim_matches('"').to_owned(),
        ));
        for (what, bytes) in [
            ("", canary.as_bytes()),
            ("SHA-256 of ", &hash[..]),
            ("SHA-256 of base64 of ", &of_base64[..]),
        ] {
            // Digests are shown cut: sixteen bytes in hex, or fewer, would do for guessing.
            let short = &bytes[..bytes.len().min(6)];
            all.push((format!("{what}{canary:?} in hex"), hex(short)));
            all.push((
                format!("{what}{canary:?} in base64"),
                STANDARD_NO_PAD.encode(bytes).chars().take(8).collect(),
            ));
            all.push((
                format!("{what}{canary:?} in base64url"),
                URL_SAFE_NO_PAD.encode(bytes).chars().take(8).collect(),
            ));
        }
    }
    all
}

fn assert_clean(place: &str, text: &str) {
    for (what, needle) in forbidden() {
        assert!(!text.contains(&needle), "{place} shows {what}: {needle}");
    }
}

fn secret(value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": "prod", "name": "db",
        "annotations": {"afresh.dev/ignore": "neither"}}, "stringData": {"password": value}})
}

#[tokio::test(start_paused = true)]
async fn reloader_defect_e2_the_content_of_a_secret_is_seen_nowhere() {
    let captured = Captured::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(captured.clone())
        .with_ansi(false)
        .finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    for reloader in [
        None,
        Some(Reloader {
            on_delete: true,
            ..Reloader::default()
        }),
    ] {
        everywhere(&captured, reloader).await;
    }
}

async fn everywhere(captured: &Captured, reloader: Option<Reloader>) {
    let address = free_address();
    let mut world = World::with(|config| {
        config.metrics_addr = Some(address);
        config.reloader = reloader;
    })
    .await;
    world.sandbox.apply(secret(CANARIES[0])).unwrap();
    world.configmap("web", json!({"a": "1"}));
    let mut spec = env_from("web");
    let source = json!({"secretKeyRef": {"name": "db", "key": "password"}});
    spec["containers"][0]["env"] = json!([{"name": "PASSWORD", "valueFrom": source}]);
    spec["containers"][0]["volumeMounts"] = json!([{"name": "s", "mountPath": "/s"}]);
    spec["volumes"] = json!([{"name": "s", "secret": {"secretName": "db"}}]);
    world.create(deployment("rolls", spec.clone()));
    let touched = [("afresh.dev/reload", "touch"), ("afresh.dev/include", "secret/d*")];
    world.create(annotated(deployment("touched", spec), &touched));
    world.settle().await;
    for canary in CANARIES {
        world.sandbox.apply(secret(canary)).unwrap();
        world.settle_for(std::time::Duration::from_secs(90)).await;
        world.restart();
        world.settle().await;
    }
    assert_eq!(world.env("rolls", "PASSWORD"), [CANARIES[2]; 2]);
    // And learned of by a list: in Reloader whole objects came into the log so.
    world.kill();
    world.delete("secrets", "db");
    world.restart();
    world.settle().await;

    let log = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
    assert!(
        log.contains("rolls") && log.contains("secret/db"),
        "the log was captured"
    );
    assert_clean("the log", &log);
    for path in ["/state", "/metrics", "/readyz"] {
        assert_clean(path, &ask(address, path).await.1);
    }
    for resource in ["events", "deployments", "pods", "replicasets", "configmaps", "leases"] {
        let all = world.sandbox.list(resource, "");
        assert_clean(resource, &json!(all).to_string());
    }
    let patches: Vec<Value> = world
        .sandbox
        .log()
        .find(&afresh_sandbox::Filter::any())
        .into_iter()
        .filter_map(|record| record.patch)
        .collect();
    assert!(patches.len() > 5);
    assert_clean("a patch", &json!(patches).to_string());
}
