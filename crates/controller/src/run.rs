//! From a configuration to a running controller, and to its end.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use afresh_engine::Engine;
use afresh_engine::engine::Settings;
use afresh_engine::plan::Context;
use afresh_k8s::digest_key::{self, InstallationKey, KeyError};
use afresh_k8s::event::{EventTask, Recorder, recorder};
use afresh_k8s::lease::LeaseClient;
use afresh_k8s::write::{FIELD_MANAGER, Writer};
use afresh_model::convention::Conventions;
use afresh_model::name::WorkloadKind;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, FuturesUnordered};
use futures::{FutureExt as _, StreamExt as _, future};
use kube::Client;
use thiserror::Error;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{sleep, sleep_until, timeout};

use crate::act::{Actor, Deadline, TOUCHING};
use crate::admin::{self, Answer, Asked, Question};
use crate::borrowed::Borrowed;
use crate::clock::Clock;
use crate::config::{Config, LeaderConfig, SecretName};
use crate::feed;
use crate::leader::{self, Term};
use crate::limit::Limit;
use crate::metrics::Metrics;
use crate::reconcile::{Controller, StandIns};
use crate::reloader;
use crate::remake::Remaking;
use crate::scope::Namespaces;
use crate::unwritten::Unwritten;

/// Facts taken in before the other branches have their turn: a list of thousands must not starve a lease.
const BATCH: usize = 64;
/// Actions under way get so long to end at shutdown.
const DRAIN: Duration = Duration::from_secs(5);
/// And so long the last Events and the Lease.
const FAREWELL: Duration = Duration::from_secs(2);
/// The field manager of Reloader.
const RELOADER: &str = "Reloader";
/// Between two attempts to read the digest key.
const KEY_RETRY: Duration = Duration::from_secs(2);

/// Why a controller could not begin.
#[derive(Debug, Error)]
pub enum RunError {
    /// The metrics address.
    #[error("cannot listen on the metrics address {address}; choose another with --metrics-addr")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The digest key.
    #[error("cannot use the digest key")]
    DigestKey(#[from] KeyError),
}

/// Runs until `shutdown` is ready: then actions under way are finished, the last Events sent and the Lease given up.
/// Dropping the future is a crash: nothing goes on, and the next one picks up what was left.
///
/// # Errors
/// Only at the start: see [`RunError`]. Later trouble is logged, counted and retried for ever.
pub async fn run(client: Client, config: Config, shutdown: impl Future<Output = ()> + Send) -> Result<(), RunError> {
    let mut shutdown = pin!(shutdown);
    let config = only_watching_for_a_webhook(config);
    let clock = Clock::start(config.wall);
    let (ask, mut questions) = mpsc::channel::<Asked>(16);
    let mut admin = match config.metrics_addr {
        Some(address) => {
            let listener = admin::listen(address)
                .await
                .map_err(|source| RunError::Listen { address, source })?;
            future::Either::Left(Box::pin(admin::serve(listener, ask.clone())))
        }
        None => future::Either::Right(future::pending()),
    };
    let key = tokio::select! {
        biased;
        key = installation_key(&client, &config) => key?,
        never = &mut admin => match never {},
        () = answer_while_starting(&mut questions) => return Ok(()),
        () = &mut shutdown => return Ok(()),
    };
    let conventions = Arc::new(config.conventions());
    let (mut feed, watches) = feed::start(&client, &config, &conventions, &key.key);
    let mut terms = terms(&client, &config, clock);
    let (recorder, events) = recorder(Writer::new(client.clone()), &config.identity);
    let mut controller = controller(client.clone(), &config, &conventions, &key, clock, watches, recorder);
    let mut aside = aside(&client, &config, events, &mut controller, clock);
    loop {
        let alarm = controller.alarm();
        // In order: the lease before everything that takes time, and the feed, which can go on for long, last.
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(term) = terms.next() => controller.lead(term),
            never = &mut admin => match never {},
            () = &mut aside => return Ok(()), // only when its recorder is gone, and we hold that
            Some((question, reply)) = questions.recv() => {
                let _ = reply.send(controller.answer(question));
            }
            Some(()) = controller.stand_ins.work.next(), if !controller.stand_ins.work.is_empty() => {}
            Some(done) = controller.actions.next(), if !controller.actions.is_empty() => controller.finish(done),
            () = async { sleep_until(alarm.unwrap_or_else(tokio::time::Instant::now)).await }, if alarm.is_some() => {}
            Some((watch, fact)) = feed.next() => {
                controller.learn(watch, fact);
                for _ in 0..BATCH {
                    match feed.next().now_or_never() {
                        Some(Some((watch, fact))) => controller.learn(watch, fact),
                        _ => break,
                    }
                }
            }
        }
        controller.keep_term();
        controller.begin_actions();
    }
    drop(terms);
    end(&client, &config, controller, aside).await;
    Ok(())
}

fn controller(
    client: Client,
    config: &Config,
    conventions: &Arc<Conventions>,
    key: &InstallationKey,
    clock: Clock,
    watches: Vec<feed::Watch>,
    recorder: Recorder,
) -> Controller {
    let context = Context {
        key: key.key.id(),
        installed: key.created,
        partial: config.selector.is_some(),
        lifecycle: config.lifecycle(),
    };
    let settings = Settings {
        context,
        settle: config.settle,
        max_rolling: config.max_rolling,
        rollout_timeout: config.rollout_timeout,
        concurrency: config.concurrency.max(1),
        dry_run: config.dry_run,
    };
    let namespaces = Namespaces::new(config);
    let mut engine = Engine::new(settings, watches.iter().map(|watch| watch.source.clone()));
    engine.set_scope(namespaces.scope(), clock.now());
    let actor = Actor {
        writer: Writer::new(client)
            .with_limit(config.call_timeout)
            .with_manager(manager(config)),
        limit: Limit::per_second(config.touch_qps),
        touching: Semaphore::new(TOUCHING),
        term: Deadline::default(),
        touch_again: config.touch_again.clone(),
        conventions: conventions.clone(),
        dry_run: config.dry_run,
        clock,
        remaking: Remaking::default(),
        unwritten: Unwritten::default(),
    };
    Controller {
        engine,
        actor: Arc::new(actor),
        actions: FuturesUnordered::new(),
        stand_ins: stand_ins(config),
        watches,
        namespaces,
        borrowed: Borrowed::default(),
        term: Term::Trouble("the Lease has not been read yet".to_owned()),
        recorder,
        metrics: Metrics::new(env!("CARGO_PKG_VERSION")),
        clock,
        conventions: conventions.clone(),
        identity: config.identity.clone(),
        requests: config.requests.clone(),
        compat: None,
    }
}

fn stand_ins(config: &Config) -> StandIns {
    let mut namespaces = Vec::new();
    if config.kinds.contains(&WorkloadKind::Job) && !config.dry_run {
        namespaces.extend(config.namespaces.iter().cloned().map(Some));
        if namespaces.is_empty() {
            namespaces.push(None);
        }
    }
    StandIns {
        namespaces,
        ..StandIns::default()
    }
}

/// In webhook mode no workload is ever touched: none is even looked at.
fn only_watching_for_a_webhook(mut config: Config) -> Config {
    if config
        .reloader
        .as_ref()
        .is_some_and(|reloader| reloader.webhook_url.is_some())
    {
        config.kinds.clear();
    }
    config
}

/// What is sent aside, so that no action waits for it: the Events, and what `afresh reloader` tells.
fn aside(
    client: &Client,
    config: &Config,
    events: EventTask,
    controller: &mut Controller,
    clock: Clock,
) -> BoxFuture<'static, ()> {
    let Some(reloader) = &config.reloader else {
        return events.run().boxed();
    };
    let writer = Writer::new(client.clone());
    let (compat, told) = reloader::start(reloader, controller.metrics.registry(), writer, clock);
    controller.compat = Some(compat);
    future::join(events.run(), told).map(drop).boxed()
}

/// As whom writes to workloads are recorded in `managedFields`.
const fn manager(config: &Config) -> &'static str {
    match config.reloader {
        Some(_) => RELOADER,
        None => FIELD_MANAGER,
    }
}

fn terms(client: &Client, config: &Config, clock: Clock) -> BoxStream<'static, Term> {
    match &config.leader {
        // A dry run writes nothing, so it neither needs the Lease nor keeps it from others.
        Some(leader) if !config.dry_run => {
            leader::follow(lease(client, leader), config.identity.clone(), leader.terms, clock).boxed()
        }
        _ => stream::once(future::ready(Term::Alone))
            .chain(stream::pending())
            .boxed(),
    }
}

/// The Lease, with calls short enough that a few fit into a term.
fn lease(client: &Client, config: &LeaderConfig) -> LeaseClient {
    let writer = Writer::new(client.clone()).with_limit(config.terms.renew_deadline / 3);
    LeaseClient::new(writer, config.namespace.clone(), config.name.clone())
}

/// Reads the digest key; waits for a server that does not answer, gives up where waiting cannot help.
async fn installation_key(client: &Client, config: &Config) -> Result<InstallationKey, KeyError> {
    let (writer, name) = (Writer::new(client.clone()), &config.digest_key);
    loop {
        let attempt = if config.dry_run {
            let known = digest_key::read(&writer, &name.namespace, &name.name).await;
            known.and_then(|known| known.map_or_else(digest_key::unsaved, Ok))
        } else {
            digest_key::get_or_create(&writer, &name.namespace, &name.name).await
        };
        let attempt = match attempt {
            // The rights that Reloader's chart gives do not let it write a Secret.
            Err(KeyError::Forbidden { .. }) if config.reloader.is_some() && config.dry_run => digest_key::unsaved(),
            Err(KeyError::Forbidden { .. }) if config.reloader.is_some() => key_in_config_map(&writer, config).await,
            attempt => attempt,
        };
        match attempt {
            Err(error @ (KeyError::Call { .. } | KeyError::Contended(_))) => {
                tracing::warn!("{error}; it is tried again");
                sleep(KEY_RETRY).await;
            }
            done => return done,
        }
    }
}

/// The digest key where no Secret may be written: in a ConfigMap of the same name, as Reloader's chart always allows in
/// its own namespace. Failing that, one for this process only: nothing rolls for it, and what changed in Secrets while
/// nothing ran is found by Reloader's marks and by the ages of pods.
async fn key_in_config_map(writer: &Writer, config: &Config) -> Result<InstallationKey, KeyError> {
    let SecretName { namespace, name } = &config.digest_key;
    match digest_key::get_or_create_in_config_map(writer, namespace, name).await {
        Err(KeyError::Forbidden { .. } | KeyError::NoNamespace(_)) => {
            tracing::warn!(
                "may write neither a Secret nor a ConfigMap {name} in namespace {namespace}: the key of Secret digests \
                 lasts as long as this process; allow create and get on configmaps there"
            );
            digest_key::unsaved()
        }
        key => key,
    }
}

/// Never ends while somebody can ask.
async fn answer_while_starting(questions: &mut mpsc::Receiver<Asked>) {
    while let Some((question, reply)) = questions.recv().await {
        let healthy = question == Question::Live;
        let _ = reply.send(Answer {
            healthy,
            body: "waiting for the API server\n".into(),
        });
    }
}

async fn end(client: &Client, config: &Config, mut controller: Controller, aside: BoxFuture<'static, ()>) {
    tracing::info!(under_way = controller.actions.len(), "stopping");
    let drained = timeout(DRAIN, async {
        while let Some(done) = controller.actions.next().await {
            controller.finish(done);
        }
        controller.tell_all();
    });
    if drained.await.is_err() {
        tracing::warn!(
            left = controller.actions.len(),
            "actions did not end in time; the next leader does them again"
        );
    }
    drop(controller); // its recorder too, so that the Events and alerts come to an end
    if timeout(FAREWELL, aside).await.is_err() {
        tracing::warn!("the last Events and alerts could not be sent in time");
    }
    let Some(leader) = config.leader.as_ref().filter(|_| !config.dry_run) else {
        return;
    };
    match timeout(FAREWELL, leader::release(&lease(client, leader), &config.identity)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!("could not give up the lease: {error}"),
        Err(_) => tracing::warn!("could not give up the lease in time"),
    }
}
