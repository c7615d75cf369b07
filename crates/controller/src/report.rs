//! What the controller answers to whoever asks: readiness, metrics, state.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use afresh_k8s::client::RequestCount;
use afresh_k8s::event::EventCounts;
use afresh_model::name::ConfigKind;

use crate::admin::{Answer, Question};
use crate::feed::Watch;
use crate::metrics::{ByResult, Kind, RequestLabels, WatchLabels};
use crate::reconcile::Controller;
use crate::state::{State, WatchState, kind_word};

impl Controller {
    pub(crate) fn answer(&self, question: Question) -> Answer {
        match question {
            Question::Live => Answer {
                healthy: true,
                body: "ok\n".into(),
            },
            Question::Ready => self.ready(),
            Question::Metrics => {
                self.refresh_gauges();
                let body = self.metrics.encode();
                Answer {
                    healthy: body.is_ok(),
                    body: body.unwrap_or_default(),
                }
            }
            Question::State => {
                let body = serde_json::to_string_pretty(&self.state());
                Answer {
                    healthy: body.is_ok(),
                    body: body.unwrap_or_default(),
                }
            }
        }
    }

    fn ready(&self) -> Answer {
        let unsynced = self.watches.iter().filter(|watch| !watch.status.is_synced());
        let unsynced: Vec<String> = unsynced.map(unlisted).collect();
        let trouble = match (&unsynced[..], self.term.trouble()) {
            ([], None) => {
                return Answer {
                    healthy: true,
                    body: "ok\n".into(),
                };
            }
            ([], Some(trouble)) => format!("can neither lead nor take over: {trouble}\n"),
            (kinds, _) => format!("not listed yet: {}\n", kinds.join("; ")),
        };
        Answer {
            healthy: false,
            body: trouble,
        }
    }

    fn state(&self) -> State {
        State {
            version: env!("CARGO_PKG_VERSION"),
            identity: self.identity.clone(),
            engine: self.engine.state(self.clock.now()),
            watches: self
                .watches
                .iter()
                .map(|watch| WatchState::of(watch, self.engine.checksum(&watch.source)))
                .collect(),
        }
    }

    fn refresh_gauges(&self) {
        self.compat.iter().for_each(|compat| compat.refresh(&self.engine));
        let (metrics, index) = (&self.metrics, self.engine.index());
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        metrics.leader.set(self.engine.leads().into());
        metrics.synced.set(self.engine.is_synced().into());
        metrics.rolling.set(number(self.engine.rolling(self.clock.now().wall)));
        metrics.waiting.set(number(self.engine.waiting_count()));
        let EventCounts {
            created,
            repeated,
            dropped,
            failed,
        } = self.recorder.counts();
        for (result, count) in [
            ("created", created),
            ("repeated", repeated),
            ("dropped", dropped),
            ("failed", failed),
        ] {
            metrics
                .events
                .get_or_create(&ByResult { result })
                .inner()
                .store(count, Ordering::Relaxed);
        }
        for kind in ConfigKind::ALL {
            let count = index.object_count(kind);
            metrics
                .objects
                .get_or_create(&Kind { kind: kind.word() })
                .set(number(count));
        }
        self.count_workloads();
        self.watches.iter().for_each(|watch| self.refresh_watch(watch));
        for RequestCount {
            verb,
            resource,
            sent,
            failed,
        } in self.requests.snapshot()
        {
            for (result, count) in [("answered", sent.saturating_sub(failed)), ("failed", failed)] {
                let labels = RequestLabels {
                    verb,
                    resource: resource.clone(),
                    result,
                };
                metrics
                    .requests
                    .get_or_create(&labels)
                    .inner()
                    .store(count, Ordering::Relaxed);
            }
        }
    }

    fn count_workloads(&self) {
        let kinds: BTreeSet<_> = self
            .watches
            .iter()
            .filter_map(|watch| watch.source.kind.workload())
            .collect();
        for kind in kinds {
            let count = self.engine.index().places().filter(|&(_, own, _)| own == kind).count();
            self.metrics
                .workloads
                .get_or_create(&Kind { kind: kind.word() })
                .set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    fn refresh_watch(&self, watch: &Watch) {
        let metrics = &self.metrics;
        let namespace = watch
            .source
            .namespace
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        let labels = WatchLabels {
            kind: kind_word(watch.source.kind),
            namespace,
        };
        let seen = watch.status.snapshot();
        let big = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        metrics
            .watch_lists
            .get_or_create(&labels)
            .inner()
            .store(seen.lists, Ordering::Relaxed);
        metrics
            .watch_restarts
            .get_or_create(&labels)
            .inner()
            .store(seen.restarts, Ordering::Relaxed);
        metrics
            .watch_failures
            .get_or_create(&labels)
            .inner()
            .store(seen.failures, Ordering::Relaxed);
        metrics
            .watch_undecodable
            .get_or_create(&labels)
            .inner()
            .store(seen.undecodable, Ordering::Relaxed);
        let silence = seen.heard.map_or(-1, |ago| big(ago.as_secs()));
        metrics.watch_silence.get_or_create(&labels).set(silence);
    }
}

/// What is watched, and what keeps it from being listed.
fn unlisted(watch: &Watch) -> String {
    let kind = kind_word(watch.source.kind);
    let namespace = watch.source.namespace.as_ref();
    let place = namespace.map_or_else(String::new, |namespace| format!(" in namespace {namespace}"));
    let trouble = watch.status.snapshot().last_failure;
    let trouble = trouble.map_or_else(String::new, |trouble| format!(" ({trouble})"));
    format!("{kind}{place}{trouble}")
}
