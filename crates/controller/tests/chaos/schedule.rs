//! What happens in a run, drawn from its seed.

use std::fmt;
use std::time::Duration;

use afresh_model::reloader::marks::Strategy;
use afresh_sandbox::Rates;

use crate::draw::Draw;
use crate::model::{Contents, Data, Kind, Mode, Object, ObjectKind, Use, Workload};

#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    pub(crate) seed: u64,
    /// Tells apart the phases of the clock's seconds.
    pub(crate) phase: Duration,
    pub(crate) options: Options,
    pub(crate) contents: Contents,
    pub(crate) workloads: Vec<Workload>,
    /// Suspensions after which a controller dies, and for how long it is down; then it stays up.
    pub(crate) crashes: Vec<Vec<(usize, Duration)>>,
    /// Whether the controllers are there before the workloads, and how rough it is while they start.
    pub(crate) installed_first: bool,
    pub(crate) start: Rates,
    pub(crate) rounds: Vec<Round>,
}

/// The controllers are `afresh reloader`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Compat {
    pub(crate) strategy: Strategy,
    /// The workloads bear marks of Reloader, which has kept them current up to now.
    pub(crate) swapped: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) compat: Option<Compat>,
    pub(crate) election: bool,
    pub(crate) settle: Duration,
    pub(crate) max_rolling: usize,
    pub(crate) concurrency: usize,
    pub(crate) streaming: bool,
    pub(crate) one_namespace: bool,
    /// How far the controllers' clocks are ahead of the API server's, in seconds.
    pub(crate) skew: i64,
    pub(crate) cache_lag: Duration,
}

/// A stretch of disturbed time that ends in a quiet one, at whose end everything must be as it should.
#[derive(Debug, Clone)]
pub(crate) struct Round {
    pub(crate) rates: Rates,
    /// Each after a pause.
    pub(crate) steps: Vec<(Duration, Step)>,
}

#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Keys of some objects get these values, all at once.
    Set(Vec<(Object, String, String)>),
    /// The key goes, if it is one that no pod needs.
    Unset(Object, String),
    /// Written again with the same content.
    Rewrite(Object),
    /// A label changes.
    Label(Object),
    /// Deleted, and created again after a while, maybe with another value for a key.
    Recreate(Object, Duration, Option<(String, String)>),
    /// The owner of the workload changes its template.
    EditTemplate(usize),
    Rescale(usize, u64),
    RecreateWorkload(usize, Duration),
    Kill(usize, Duration),
    /// The controllers die at their next patch, before or after it is done.
    DieAtPatch(bool),
    Compact,
}

/// Keys that every object has, so that pods can start.
const KEPT: [&str; 2] = ["a", "b"];
/// Keys that come and go; the second is binary.
const LOOSE: [&str; 2] = ["c", "B"];

impl Schedule {
    pub(crate) fn drawn(seed: u64) -> Self {
        let mut draw = Draw::seeded(seed);
        let objects = objects(&mut draw);
        let contents = objects.iter().map(|&object| (object, data(&mut draw))).collect();
        let compat = compat(&mut draw);
        let workloads: Vec<Workload> = (0..draw.between(1, 4))
            .map(|number| workload(&mut draw, number, &objects, compat.is_some()))
            .collect();
        let options = options(&mut draw, &workloads, compat);
        let rounds = (0..draw.between(1, 2))
            .map(|_| round(&mut draw, &objects, &workloads, &options))
            .collect();
        let crashes = (0..1 + usize::from(options.election))
            .map(|_| crashes(&mut draw))
            .collect();
        Self {
            seed,
            phase: Duration::from_millis(draw.between(0, 999)),
            options,
            contents,
            workloads,
            crashes,
            installed_first: draw.percent(50),
            start: rates(&mut draw),
            rounds,
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:?} phase {:?}", self.options, self.phase)?;
        writeln!(f, "contents {:?}", self.contents)?;
        for workload in &self.workloads {
            writeln!(f, "{workload:?}")?;
        }
        writeln!(f, "crashes after polls {:?}", self.crashes)?;
        writeln!(f, "installed first: {}, with {:?}", self.installed_first, self.start)?;
        for (number, round) in self.rounds.iter().enumerate() {
            writeln!(f, "round {number} with {:?}", round.rates)?;
            for (pause, step) in &round.steps {
                writeln!(f, "  after {pause:?} {step:?}")?;
            }
        }
        Ok(())
    }
}

fn millis(draw: &mut Draw, low: u64, high: u64) -> Duration {
    Duration::from_millis(draw.between(low, high))
}

fn objects(draw: &mut Draw) -> Vec<Object> {
    (0..usize::try_from(draw.between(1, 4)).unwrap())
        .map(|number| Object {
            kind: draw.pick(&[ObjectKind::ConfigMap, ObjectKind::ConfigMap, ObjectKind::Secret]),
            number,
        })
        .collect()
}

/// Few values, so that contents come back.
fn value(draw: &mut Draw) -> String {
    format!("v{}", draw.between(0, 3))
}

fn data(draw: &mut Draw) -> Data {
    let mut data: Data = KEPT.map(|key| (key.to_owned(), value(draw))).into();
    if draw.percent(50) {
        data.insert(draw.pick(&LOOSE).to_owned(), value(draw));
    }
    data
}

fn compat(draw: &mut Draw) -> Option<Compat> {
    draw.percent(50).then(|| Compat {
        strategy: draw.pick(&[Strategy::EnvVars, Strategy::Annotations]),
        swapped: draw.percent(30),
    })
}

fn workload(draw: &mut Draw, number: u64, objects: &[Object], compat: bool) -> Workload {
    let kinds = [
        Kind::Deployment,
        Kind::Deployment,
        Kind::StatefulSet,
        Kind::DaemonSet,
        Kind::Pod,
    ];
    let kind = draw.pick(&kinds);
    let pauses = compat && kind == Kind::Deployment && draw.percent(50);
    Workload {
        kind,
        reloader: compat && kind != Kind::Pod && draw.percent(70), // which Reloader does not know
        pause: pauses.then(|| Duration::from_secs(draw.pick(&[3, 10, 60]))),
        name: format!("w{number}"),
        mode: draw.pick(&[Mode::Auto, Mode::Auto, Mode::Auto, Mode::Roll, Mode::Touch, Mode::Evict]),
        hot: draw.percent(50),
        replicas: draw.between(1, 2),
        uses: (0..draw.between(1, 3)).map(|_| usage(draw, objects)).collect(),
    }
}

fn usage(draw: &mut Draw, objects: &[Object]) -> Use {
    let object = draw.pick(objects);
    let key = draw.pick(&KEPT).to_owned();
    match draw.between(0, 5) {
        0 => Use::EnvFrom(object),
        1 => Use::EnvKey(object, key),
        2 => Use::Mount(object),
        3 => Use::Item(object, key),
        4 => Use::SubPath(object, key),
        _ => Use::Projected(object, draw.pick(objects)),
    }
}

fn options(draw: &mut Draw, workloads: &[Workload], compat: Option<Compat>) -> Options {
    // A node that lags starts new pods on old content, which nobody can see. Files it refreshes late are our task.
    let only_files = workloads
        .iter()
        .all(|workload| !workload.uses.iter().any(|usage| workload.rolls_for(usage)));
    let lags = if only_files { &[20, 1_500, 40_000][..] } else { &[20] };
    Options {
        compat,
        election: draw.percent(15),
        settle: draw.pick(&[Duration::from_millis(200), Duration::from_millis(200), Duration::ZERO]),
        max_rolling: draw.pick(&[0, 0, 0, 1]),
        concurrency: draw.pick(&[16, 16, 1]),
        streaming: draw.percent(70),
        one_namespace: draw.percent(30),
        skew: draw.pick(&[0, 0, 0, 2, -2, 30]),
        cache_lag: Duration::from_millis(draw.pick(lags)),
    }
}

fn crashes(draw: &mut Draw) -> Vec<(usize, Duration)> {
    let count = draw.pick(&[0, 0, 1, 2, 4]);
    (0..count)
        .map(|_| {
            // Most of what is delicate happens at the start and around writes: short lives are likelier than long ones.
            let longest = draw.pick(&[10, 40, 150, 500]);
            let polls = usize::try_from(draw.between(1, longest)).unwrap();
            (polls, millis(draw, 0, 3_000))
        })
        .collect()
}

fn rates(draw: &mut Draw) -> Rates {
    match draw.between(0, 3) {
        0 => Rates::NONE,
        // Only the watches suffer, or only the requests.
        1 => Rates {
            throttled: 0.0,
            server_error: 0.0,
            conflict: 0.0,
            connection_error: 0.0,
            reply_lost: 0.0,
            ..Rates::STORMY
        },
        // Answers are lost, and the news of what was written comes later than the next try.
        2 => Rates {
            reply_lost: 0.3,
            slow: 0.3,
            late_delivery: 0.6,
            max_delay: Duration::from_secs(3),
            ..Rates::NONE
        },
        _ => Rates::STORMY,
    }
}

/// What nobody sees, or sees in time: one controller or both are down while a workload and its object change.
fn unseen(draw: &mut Draw, workloads: &[Workload]) -> Vec<(Duration, Step)> {
    let number = draw.index(workloads.len());
    let objects: Vec<Object> = workloads[number].uses.iter().map(Use::object).collect();
    let down = Duration::from_secs(25);
    let mut steps = vec![(Duration::ZERO, Step::Kill(0, down))];
    if draw.percent(50) {
        steps.push((Duration::ZERO, Step::Kill(1, down)));
    }
    let change = Step::Set(vec![set(draw, &objects)]);
    let workload = match draw.between(0, 2) {
        0 => vec![(Duration::ZERO, Step::EditTemplate(number))],
        1 => vec![(Duration::ZERO, Step::RecreateWorkload(number, Duration::from_secs(2)))],
        _ => Vec::new(),
    };
    steps.extend(workload);
    steps.push((millis(draw, 0, 5_000), change));
    steps
}

fn round(draw: &mut Draw, objects: &[Object], workloads: &[Workload], options: &Options) -> Round {
    if draw.percent(20) && options.cache_lag < Duration::from_secs(1) {
        let steps = unseen(draw, workloads);
        return Round {
            rates: rates(draw),
            steps,
        };
    }
    let steps = (0..draw.between(0, 4))
        .map(|_| {
            let pause = draw.pick(&[0, 5, 50, 250, 1_000, 6_000, 20_000]);
            (millis(draw, 0, pause), step(draw, objects, workloads, options))
        })
        .collect();
    Round {
        rates: rates(draw),
        steps: told_apart(steps),
    }
}

/// Known gap: where an object is made anew while a workload that is not yet adopted already runs on its predecessor,
/// nothing in the API's metadata tells that its pods did not simply wait for the object. So not both in one round.
fn told_apart(mut steps: Vec<(Duration, Step)>) -> Vec<(Duration, Step)> {
    if steps.iter().any(|(_, step)| matches!(step, Step::RecreateWorkload(..))) {
        for (_, step) in &mut steps {
            if let Step::Recreate(object, ..) = step {
                *step = Step::Rewrite(*object);
            }
        }
    }
    steps
}

fn set(draw: &mut Draw, objects: &[Object]) -> (Object, String, String) {
    let key = if draw.percent(70) {
        draw.pick(&KEPT)
    } else {
        draw.pick(&LOOSE)
    };
    (draw.pick(objects), key.to_owned(), value(draw))
}

fn step(draw: &mut Draw, objects: &[Object], workloads: &[Workload], options: &Options) -> Step {
    let workload = draw.index(workloads.len());
    let pods_may_be_born = options.cache_lag < Duration::from_secs(1);
    match draw.between(0, 20) {
        0..=7 => Step::Set(vec![set(draw, objects)]),
        8 => Step::Set((0..draw.between(2, 5)).map(|_| set(draw, objects)).collect()),
        9 => Step::Unset(draw.pick(objects), draw.pick(&LOOSE).to_owned()),
        10 => Step::Rewrite(draw.pick(objects)),
        11 => Step::Label(draw.pick(objects)),
        12 | 13 => {
            let other = draw.percent(50).then(|| (draw.pick(&KEPT).to_owned(), value(draw)));
            Step::Recreate(draw.pick(objects), millis(draw, 0, 4_000), other)
        }
        14 if pods_may_be_born => Step::EditTemplate(workload),
        15 if pods_may_be_born => Step::Rescale(workload, draw.between(1, 3)),
        16 if pods_may_be_born => Step::RecreateWorkload(workload, millis(draw, 1_000, 3_000)),
        17 => Step::Kill(draw.index(2), millis(draw, 0, 25_000)),
        18 => Step::DieAtPatch(draw.percent(50)),
        19 => Step::Compact,
        _ => Step::Set(vec![set(draw, objects)]),
    }
}
