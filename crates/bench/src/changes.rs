//! One change at a time, and how long it takes until its effect is visible.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use kube::Client;
use serde_json::json;
use tokio::time::sleep;

use crate::api;
use crate::objects::{maps_path, name};
use crate::sight::Sight;

/// Between two changes: what follows one (Events, other watches) must not weigh on the next.
const SPACING: Duration = Duration::from_millis(30);

/// Who makes changes, and sees their effect.
pub(crate) struct Changer {
    client: Client,
    sight: Sight,
    known: BTreeMap<(String, String), String>,
    count: usize,
}

/// How long changes took, in milliseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Latencies(Vec<f64>);

impl Latencies {
    pub(crate) fn add(&mut self, took: Duration) {
        let place = self.0.partition_point(|&known| known < took.as_secs_f64() * 1e3);
        self.0.insert(place, took.as_secs_f64() * 1e3);
    }

    /// The value below which this share of all lies.
    pub(crate) fn at(&self, share: f64) -> f64 {
        let last = self.0.len().saturating_sub(1);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a place in a short list"
        )]
        let place = (last as f64 * share).round() as usize;
        self.0.get(place).copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn median(&self) -> f64 {
        self.at(0.5)
    }
}

impl Changer {
    pub(crate) async fn new(client: Client) -> Result<Self> {
        let sight = Sight::open(&client, "application/json").await?;
        Ok(Self {
            client,
            sight,
            known: BTreeMap::new(),
            count: 0,
        })
    }

    /// Changes the ConfigMap of a number; returns how long after the answer the patched Deployment was visible.
    pub(crate) async fn change(&mut self, namespace: &str, number: usize) -> Result<Duration> {
        sleep(SPACING).await;
        self.count += 1;
        let key = (namespace.to_owned(), name(number));
        let patch = json!({"data": {"key1.properties": format!("changed = {}\n", self.count)}});
        api::merge_patch(&self.client, &format!("{}/{}", maps_path(namespace), key.1), &patch).await?;
        let accepted = Instant::now();
        let before = self.known.get(&key).map(String::as_str);
        let seen = self.sight.changed(namespace, &key.1, before).await?;
        if let Some(config) = seen.config {
            self.known.insert(key, config);
        }
        Ok(seen.at.saturating_duration_since(accepted))
    }
}
