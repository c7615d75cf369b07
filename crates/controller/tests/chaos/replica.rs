//! A controller under supervision: it dies when the schedule says so, and comes back.

use std::time::Duration;

use afresh_controller::config::{LeaderConfig, Reloader};
use afresh_controller::{Config, run};
use afresh_engine::lease::Terms;
use afresh_sandbox::{Sandbox, crash_at};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::manifest::NAMESPACE;
use crate::schedule::Options;

pub(crate) struct Replica {
    sandbox: Sandbox,
    options: Options,
    number: usize,
    task: JoinHandle<()>,
}

impl Replica {
    pub(crate) fn start(sandbox: &Sandbox, options: &Options, number: usize, crashes: Vec<(usize, Duration)>) -> Self {
        let task = supervise(sandbox.clone(), options.clone(), number, Duration::ZERO, crashes);
        Self {
            sandbox: sandbox.clone(),
            options: options.clone(),
            number,
            task: tokio::spawn(task),
        }
    }

    /// Kills it wherever it is; it is back after `down`.
    pub(crate) fn kill(&mut self, down: Duration) {
        self.task.abort();
        let task = supervise(
            self.sandbox.clone(),
            self.options.clone(),
            self.number,
            down,
            Vec::new(),
        );
        self.task = tokio::spawn(task);
    }

    /// Whether it ended by itself, which it never should.
    pub(crate) fn is_over(&self) -> bool {
        self.task.is_finished()
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn supervise(
    sandbox: Sandbox,
    options: Options,
    number: usize,
    mut down: Duration,
    crashes: Vec<(usize, Duration)>,
) {
    let mut crashes = crashes.into_iter();
    loop {
        sleep(down).await;
        let (polls, next) = crashes.next().unwrap_or((usize::MAX, Duration::from_secs(1)));
        down = next;
        let life = crash_at(polls, controller(&sandbox, &options, number));
        tokio::select! {
            biased;
            () = sandbox.faults().crashed() => {}
            ended = life => assert!(ended.is_none(), "a controller gave up: {ended:?}"),
        }
    }
}

async fn controller(sandbox: &Sandbox, options: &Options, number: usize) -> Result<(), afresh_controller::RunError> {
    let client = kube::Client::new(sandbox.service(), "default");
    let mut config = Config::new("afresh".parse().unwrap(), "afresh-digest-key".parse().unwrap());
    let wall = sandbox.now().as_second() + options.skew;
    let within = u64::try_from(sandbox.now().subsec_millisecond()).unwrap();
    config.wall = Some(Duration::from_secs(u64::try_from(wall).unwrap()) + Duration::from_millis(within));
    config.reloader = options.compat.map(|compat| Reloader {
        strategy: compat.strategy,
        ..Reloader::default()
    });
    config.identity = format!("replica-{number}");
    config.settle = options.settle;
    config.max_rolling = options.max_rolling;
    config.concurrency = options.concurrency;
    config.streaming_lists = options.streaming;
    if options.one_namespace {
        config.namespaces = [NAMESPACE.parse().unwrap()].into();
    }
    config.leader = options.election.then(|| LeaderConfig {
        namespace: "afresh".parse().unwrap(),
        name: "afresh".parse().unwrap(),
        terms: Terms::default(),
    });
    run(client, config, std::future::pending()).await
}
