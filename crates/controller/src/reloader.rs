//! What `afresh reloader` tells beside what the controller tells: Reloader's metrics, Events, alerts and webhook.
//!
//! The engine does not know of any of it. `Compat` looks on as facts come in and actions end; `Aside` sends what has
//! to be sent, so that a slow receiver delays no reload.

mod alert;
mod endpoint;
mod info;
mod metrics;
mod post;
mod webhook;
mod words;

use afresh_engine::Engine;
use afresh_engine::engine::Outcome;
use afresh_engine::notice::{Notice, Reason, Subject};
use afresh_engine::plan::Objects as _;
use afresh_engine::sight::Tracked;
use afresh_k8s::event;
use afresh_k8s::write::Writer;
use afresh_model::name::{ConfigKey, ConfigKind, ConfigRef};
use afresh_model::object::ConfigObject;
use futures::future::{self, BoxFuture, FutureExt as _};
use prometheus_client::registry::Registry;

pub use alert::{Alerts, Sink};
pub use endpoint::{Endpoint, EndpointError};
pub use info::MetaInfo;

use crate::act::Done;
use crate::clock::Clock;
use crate::config::Reloader;
use crate::herald;
use alert::AlertSender;
use metrics::{EventType, Reload, ReloaderMetrics, Skipped};
use webhook::Webhook;

/// Looks on, counts and tells as Reloader does.
#[derive(Debug)]
pub(crate) struct Compat {
    metrics: ReloaderMetrics,
    alerts: Option<AlertSender>,
    webhook: Option<Webhook>,
    on_create: bool,
    on_delete: bool,
    clock: Clock,
}

/// What is sent aside; ends when its `Compat` is dropped and all is sent, or never where there is a webhook.
pub(crate) type Aside = BoxFuture<'static, ()>;

/// Both halves, with the metrics registered in `root`.
pub(crate) fn start(config: &Reloader, root: &mut Registry, writer: Writer, clock: Clock) -> (Compat, Aside) {
    let mut aside: Vec<Aside> = Vec::new();
    let alerts = config.alerts.clone().map(|alerts| {
        let (sender, task) = alert::alerts(alerts);
        aside.push(task.run().boxed());
        sender
    });
    let webhook = config.webhook_url.clone().map(|url| {
        let (webhook, task) = webhook::webhook(url);
        aside.push(task.run().boxed());
        webhook
    });
    if let Some(info) = config.meta_info.clone() {
        aside.push(info::write(writer, info).boxed());
    }
    let compat = Compat {
        metrics: ReloaderMetrics::new(root, config.count_by_namespace),
        alerts,
        webhook,
        on_create: config.on_create,
        on_delete: config.on_delete,
        clock,
    };
    (compat, future::join_all(aside).map(drop).boxed())
}

impl Compat {
    /// An object is about to be taken in by `engine`.
    pub(crate) fn object(&mut self, engine: &Engine, key: &ConfigKey, object: &ConfigObject) {
        let before = known(engine, key);
        let (event, news) = match &before {
            None => (EventType::Add, self.on_create && engine.is_synced()),
            Some(before) => (EventType::Update, before.object.content != object.content),
        };
        self.metrics.event(event, resource(key.kind));
        match (news, object.ignored) {
            (true, false) => self.changed(engine, key),
            (true, true) => self.metrics.skipped(Skipped::IgnoredOrNotSelected),
            (false, _) if before.is_some() => self.metrics.skipped(Skipped::NoDataChange),
            (false, _) => {}
        }
    }

    /// An object is about to be taken out of `engine`.
    pub(crate) fn object_gone(&mut self, engine: &Engine, key: &ConfigKey) {
        self.metrics.event(EventType::Delete, resource(key.kind));
        if self.on_delete && known(engine, key).is_some_and(|known| !known.object.ignored) {
            self.changed(engine, key);
        }
    }

    /// A namespace was entered or left.
    pub(crate) fn namespace(&self, entered: bool) {
        let event = if entered { EventType::Add } else { EventType::Delete };
        self.metrics.event(event, "namespaces");
    }

    fn changed(&mut self, engine: &Engine, key: &ConfigKey) {
        if let Some(webhook) = &mut self.webhook {
            webhook.change(engine.leads(), self.clock.millis());
            return;
        }
        let users = engine.index().users(key);
        if users.is_empty() {
            self.metrics.skipped(Skipped::IgnoredOrNotSelected);
        }
        for key in users.into_iter().filter_map(|id| engine.index().key(id)) {
            self.metrics.queued(key.kind.api_kind());
        }
    }

    /// This replica leads from now on.
    pub(crate) fn lead(&mut self) {
        let now = self.clock.millis();
        if let Some(webhook) = &mut self.webhook {
            webhook.lead(now);
        }
    }

    /// An action came to an end.
    pub(crate) fn finished(&self, done: &Done) {
        let how = match &done.outcome {
            _ if done.word != "roll" => return,
            Outcome::Written(_) | Outcome::Recorded { .. } => Reload::Succeeded,
            Outcome::Failed { .. } => Reload::Failed,
            _ => return,
        };
        let whole = done.since.map(|since| self.clock.millis().since(since));
        let waited = whole.map(|whole| whole.saturating_sub(done.took));
        let (kind, namespace) = (done.key.kind.api_kind(), done.key.namespace.as_str());
        self.metrics.reloaded(kind, namespace, how, done.took, waited);
    }

    /// The Event of a notice, in Reloader's words where it has any; a reload is alerted too.
    pub(crate) fn tell(&self, notice: &Notice, dry_run: bool) -> event::Notice {
        let event = herald::event(notice);
        let Subject::Workload(workload, _) = &notice.subject else {
            return event;
        };
        match notice.reason {
            Reason::Rolled => {
                if let Some(alerts) = self.alerts.as_ref().filter(|_| !dry_run) {
                    alerts.send(words::alert(&notice.objects, workload));
                }
                event::Notice {
                    reason: "Reloaded",
                    note: format!("{} ({})", words::reloaded(&notice.objects, workload), notice.note),
                    ..event
                }
            }
            Reason::Failed => event::Notice {
                reason: "ReloadFail",
                note: words::failed(workload, &notice.note),
                ..event
            },
            _ => event,
        }
    }

    /// Brings the gauges up to date.
    pub(crate) fn refresh(&self, engine: &Engine) {
        self.metrics.depth(engine.waiting_count());
    }
}

fn known(engine: &Engine, key: &ConfigKey) -> Option<Tracked> {
    let object = ConfigRef {
        kind: key.kind,
        name: key.name.clone(),
    };
    engine.index().within(&key.namespace).get(&object)
}

/// As Reloader's label names the kind of an object.
const fn resource(kind: ConfigKind) -> &'static str {
    match kind {
        ConfigKind::ConfigMap => "configmaps",
        ConfigKind::Secret => "secrets",
        ConfigKind::SecretProviderClass => "secretproviderclasspodstatuses",
    }
}
