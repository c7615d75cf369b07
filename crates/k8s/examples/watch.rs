//! Watches ConfigMaps, Secrets and Deployments as the controller does and prints what that costs, once a second.
//! `--forget` keeps nothing, to show what the watches alone cost.
//!
//! ```sh
//! cargo run --release -p afresh-k8s --example watch -- --kubeconfig FILE [--paged N] [--forget]
//! ```
#![allow(clippy::print_stdout, reason = "a program")]

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use afresh_k8s::client::{ConnectOptions, RequestCounts, connect};
use afresh_k8s::lean::{LeanConfigMap, LeanDeployment, LeanSecret, Watched};
use afresh_k8s::watch::{Event, InitialList, WatchOptions, WatchStatus, watch};
use afresh_model::convention::Conventions;
use afresh_model::digest::DigestKey;
use afresh_model::name::ConfigKey;
use afresh_model::object::ConfigObject;
use afresh_model::policy::Reload;
use afresh_model::workload::Workload;
use anyhow::{Context, Result};
use futures::StreamExt;
use kube::Client;

#[derive(Default)]
struct Kept {
    objects: HashMap<ConfigKey, ConfigObject>,
    workloads: HashMap<Box<str>, Workload>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |flag: &str| {
        let place = arguments.iter().position(|argument| argument == flag)?;
        arguments.get(place + 1)
    };
    let options = ConnectOptions {
        kubeconfig: value("--kubeconfig").map(PathBuf::from),
        ..ConnectOptions::default()
    };
    let initial = match value("--paged") {
        Some(size) => InitialList::Paged(size.parse().context("--paged takes a number")?),
        None => InitialList::Streaming,
    };
    let keep = !arguments.iter().any(|argument| argument == "--forget");
    println!("at start: {}", memory());
    let client = connect(&options, &RequestCounts::default()).await?.client;
    let key = DigestKey::new(&[7; 32])?;
    let conventions = Conventions::native(Reload::Auto);
    let begun = Instant::now();
    let mut kept = Kept::default();
    let (mut maps, one) = stream::<LeanConfigMap>(&client, initial);
    let (mut secrets, two) = stream::<LeanSecret>(&client, initial);
    let (mut deployments, three) = stream::<LeanDeployment>(&client, initial);
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    let mut done = false;
    loop {
        tokio::select! {
            event = maps.next() => if let Some(Event::Listed(map) | Event::Applied(map)) = event {
                let (key, object, _) = map.into_object(&conventions);
                if keep { kept.objects.insert(key, object); }
            },
            event = secrets.next() => if let Some(Event::Listed(secret) | Event::Applied(secret)) = event {
                let (name, object, _) = secret.into_object(&key, &conventions);
                if keep { kept.objects.insert(name, object); }
            },
            event = deployments.next() => if let Some(Event::Listed(deployment) | Event::Applied(deployment)) = event {
                let deployment = deployment.0;
                if let Some(workload) = deployment.observed.read(&deployment.key, &conventions).workload && keep {
                    kept.workloads.insert(workload.uid.clone(), workload);
                }
            },
            _ = tick.tick() => println!("{} objects, {} workloads: {}", kept.objects.len(), kept.workloads.len(), memory()),
        }
        if !done && [&one, &two, &three].iter().all(|status| status.is_synced()) {
            done = true;
            println!("synced after {:.2?}: {}", begun.elapsed(), memory());
        }
    }
}

type Stream<K> = std::pin::Pin<Box<dyn futures::Stream<Item = Event<K>> + Send>>;

fn stream<K: Watched>(client: &Client, initial: InitialList) -> (Stream<K>, WatchStatus) {
    let status = WatchStatus::new();
    let options = WatchOptions {
        initial,
        ..WatchOptions::default()
    };
    (Box::pin(watch(client.clone(), options, status.clone())), status)
}

/// Resident memory, its peak, and CPU time, from the kernel (Linux).
fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name));
        line.map_or("?", |line| line[name.len()..].trim()).to_owned()
    };
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks: u64 = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<u64>().ok())
        .sum();
    format!(
        "RSS {}, peak {}, CPU {} ms",
        field("VmRSS:"),
        field("VmHWM:"),
        ticks * 10
    )
}
