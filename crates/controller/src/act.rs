//! Carrying out commands: the only writes to workloads and pods.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use afresh_engine::engine::{Action, Command, Eviction, Job, Outcome};
use afresh_engine::evidence::Pods;
use afresh_engine::time::Millis;
use afresh_engine::touch::{self, Pod, Touch};
use afresh_k8s::lean::{LeanPodMeta, LeanWorkload};
use afresh_k8s::write::{WriteError, Writer};
use afresh_model::annotation::{APPLIED, TOUCHED};
use afresh_model::convention::Conventions;
use afresh_model::digest::Digest;
use afresh_model::name::{Name, WorkloadKey, WorkloadKind};
use afresh_model::record::Record;
use afresh_model::time::UnixSeconds;
use futures::StreamExt as _;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until};

use crate::body;
use crate::clock::Clock;
use crate::limit::Limit;
use crate::remake::Remaking;
use crate::replace::Committed;
use crate::unwritten::Unwritten;

/// Pods touched in one pass, so that a newer change does not wait behind thousands of touches for an older one.
const PASS: usize = 100;
/// Touches sent at once for one workload.
const TOUCHES: usize = 8;
/// Workloads whose pods are touched at once: each holds a list of pods.
pub(crate) const TOUCHING: usize = 8;

/// What acting needs.
pub(crate) struct Actor {
    pub(crate) writer: Writer,
    pub(crate) limit: Limit,
    pub(crate) touching: Semaphore,
    pub(crate) term: Deadline,
    pub(crate) touch_again: Vec<Duration>,
    pub(crate) conventions: Arc<Conventions>,
    pub(crate) dry_run: bool,
    pub(crate) clock: Clock,
    pub(crate) remaking: Remaking,
    pub(crate) unwritten: Unwritten,
}

/// What came of a command.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) job: Job,
    pub(crate) key: WorkloadKey,
    pub(crate) word: &'static str,
    pub(crate) cause: String,
    pub(crate) outcome: Outcome,
    pub(crate) took: Duration,
    pub(crate) since: Option<Millis>,
    pub(crate) touched: usize,
}

/// Until when this replica may act. Moves on with every renewal of the Lease.
#[derive(Debug, Default)]
pub(crate) struct Deadline(AtomicU64);

impl Deadline {
    pub(crate) fn set(&self, until: Option<Millis>) {
        self.0.store(until.map_or(0, |until| until.0), Ordering::Relaxed);
    }

    fn get(&self) -> Millis {
        Millis(self.0.load(Ordering::Relaxed))
    }
}

/// Carries out one command, as long as this replica may act and not a moment longer: then another one may lead.
pub(crate) async fn act(actor: Arc<Actor>, command: Command) -> Done {
    let started = Instant::now();
    let word = command.action.word();
    let committed = Committed::default();
    let outcome = actor
        .while_leading(actor.carry_out(&command, &committed), &committed)
        .await
        .unwrap_or(Outcome::Abandoned);
    let touched = if let Outcome::Touched { touched, .. } = outcome {
        touched
    } else {
        0
    };
    let Command {
        job, key, cause, since, ..
    } = command;
    Done {
        job,
        key,
        word,
        cause,
        outcome,
        took: started.elapsed(),
        since,
        touched,
    }
}

/// Makes the Jobs that whoever led before left deleted.
pub(crate) async fn finish_stand_ins(actor: Arc<Actor>, namespaces: Vec<Option<Name>>) {
    let work = actor.finish_stand_ins(&namespaces);
    actor.while_leading(work, &Committed::default()).await;
}

impl Actor {
    /// `None` when the term ended before the action did.
    async fn while_leading<T>(&self, action: impl Future<Output = T>, committed: &Committed) -> Option<T> {
        let mut action = pin!(action);
        loop {
            let until = self.term.get();
            tokio::select! {
                biased;
                outcome = &mut action => return Some(outcome),
                () = sleep_until(self.clock.instant(until)) => {}
            }
            if self.term.get() <= until {
                if committed.get() {
                    return Some(action.await);
                }
                return None;
            }
        }
    }

    async fn carry_out(&self, command: &Command, committed: &Committed) -> Outcome {
        let result = match &command.action {
            _ if self.dry_run && !matches!(command.action, Action::LookAtPods { .. }) => {
                return pretend(&command.action);
            }
            Action::Record(record) => self.write_record(command, record).await,
            Action::Roll(roll) => self.roll(command, roll, committed).await,
            Action::Touch { selector, files } => self.touch(command, selector, *files).await,
            Action::Evict { selector, since, .. } => self.evict(command, selector, *since).await,
            Action::LookAtPods { selector, born } => self.look(command, selector, born).await,
            Action::EndPause(end) => self.patch(command, body::end_pause(*end, self.paused_at())).await,
        };
        result.unwrap_or_else(|error| outcome(&error))
    }

    pub(crate) async fn patch(&self, command: &Command, body: Value) -> Result<Outcome, WriteError> {
        self.answered(self.writer.patch_workload(&command.key, &command.uid, body).await)
    }

    async fn look(&self, command: &Command, selector: &str, born: &[Box<str>]) -> Result<Outcome, WriteError> {
        let pods = self.writer.list_replicas(&command.key.namespace, selector).await;
        let mut pods = match pods {
            // Reloader's chart gives no right to see pods. A restart too many is better than a change missed.
            Err(WriteError::Denied(_)) if self.conventions.strategy.is_some() => {
                return Ok(Outcome::Pods(Pods::of([UnixSeconds(0)])));
            }
            pods => pods?,
        };
        pods.retain(|replica| !replica.pod.deleting);
        let created = pods.iter().filter_map(|replica| replica.pod.created);
        let started = pods.iter().filter_map(|replica| replica.started);
        Ok(Outcome::Pods(Pods {
            behind: pods.iter().any(|replica| !born.contains(&replica.pod.uid)),
            ..Pods::of(created).having_started(started)
        }))
    }

    async fn touch(&self, command: &Command, selector: &str, files: Digest) -> Result<Outcome, WriteError> {
        let Ok(_turn) = self.touching.acquire().await else {
            return Ok(Outcome::Abandoned); // the semaphore is never closed
        };
        let pods: Vec<Pod> = if selector.is_empty() && command.key.kind != WorkloadKind::Pod {
            Vec::new() // nothing says which pods are its own
        } else if selector.is_empty() {
            vec![itself(self.writer.get_workload(&command.key).await?)]
        } else {
            let all = self.writer.list_pods(&command.key.namespace, selector).await?;
            all.into_iter().filter(|pod| !pod.deleting).map(target).collect()
        };
        let now = self.clock.now().wall;
        let mut pass = touch::pass(&pods, files, &self.touch_again, now);
        if pass.now.len() > PASS {
            pass.now.truncate(PASS);
            pass.again = Some(now);
        }
        let namespace = &command.key.namespace;
        let each = pass.now.into_iter().map(|touch| self.touch_one(namespace, touch));
        let mut touches = futures::stream::iter(each).buffer_unordered(TOUCHES);
        let (mut touched, mut failed) = (0, None);
        while let Some(result) = touches.next().await {
            match result {
                Ok(()) => touched += 1,
                Err(WriteError::Gone) => {}
                Err(error) => failed = Some(error),
            }
        }
        drop(touches);
        match failed {
            Some(error) => Err(error),
            None => Ok(Outcome::Touched {
                touched,
                again: pass.again,
            }),
        }
    }

    async fn touch_one(&self, namespace: &Name, touch: Touch) -> Result<(), WriteError> {
        self.limit.wait().await;
        self.writer
            .touch_pod(namespace, &touch.pod, &touch.uid, &touch.value)
            .await
            .map(drop)
    }
}

fn target(pod: LeanPodMeta) -> Pod {
    Pod {
        name: pod.key.name,
        uid: pod.uid,
        created: pod.created,
        touched: pod.touched,
    }
}

/// A Pod that is a workload of its own.
fn itself(pod: LeanWorkload) -> Pod {
    let LeanWorkload { key, mut observed, .. } = pod;
    let touched = observed.annotations.remove(TOUCHED).map(Into::into);
    Pod {
        name: key.name,
        uid: observed.uid,
        created: observed.created,
        touched,
    }
}

pub(crate) fn record_body(record: &Record) -> Value {
    json!({"metadata": {"annotations": {APPLIED: record.to_string()}}})
}

fn pretend(action: &Action) -> Outcome {
    match action {
        Action::Touch { .. } => Outcome::Touched {
            touched: 0,
            again: None,
        },
        Action::Evict { .. } => Outcome::Eviction(Eviction::Done),
        _ => Outcome::Written(None),
    }
}

fn outcome(error: &WriteError) -> Outcome {
    let failed = |after, denied| Outcome::Failed {
        after,
        denied,
        message: error.to_string(),
    };
    match error {
        WriteError::Gone => Outcome::Gone,
        WriteError::Throttled { retry_after, .. } => failed(Some(*retry_after), false),
        WriteError::Denied(_) => failed(None, true),
        _ => failed(None, false),
    }
}
