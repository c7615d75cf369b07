//! The engine in a small world of its own: deliveries late and mixed, writes that fail or whose answer is lost.

use std::collections::BTreeMap;

use afresh_model::annotation::APPLIED;
use afresh_model::time::Revision;
use proptest::prelude::*;

use super::*;
use crate::fixture::{Build, config_key, context, deployment, now, object, rewritten};

fn settings() -> Settings {
    Settings {
        context: context(),
        settle: Duration::from_millis(200),
        max_rolling: 0,
        rollout_timeout: Duration::from_secs(600),
        concurrency: 8,
        dry_run: false,
    }
}

fn engine(settings: Settings) -> Engine {
    let mut engine = Engine::new(settings, []);
    engine.lead(true, now(0));
    engine
}

/// One workload and one object, both known and settled.
fn adopted(build: &Build, settings: Settings) -> Engine {
    let mut engine = engine(settings);
    engine.apply_object(
        &config_key("configmap/web"),
        object(&[("a", "1")], 100, 1),
        None,
        Sight::Listed,
        now(0),
    );
    engine.apply_workload(deployment("web"), build.done(), Vec::new(), Sight::Listed, now(0));
    let command = engine.next(now(0)).expect("a record to write");
    assert!(matches!(command.action, Action::Record(_)), "{command:?}");
    engine.finish(command.job, Outcome::Written(None), now(0));
    assert_eq!(engine.next(now(0)), None);
    engine
}

fn change(engine: &mut Engine, value: &str, revision: u64, at: u64) {
    let wall = now(at).wall.0;
    let changed = rewritten(100, &[("a", value)], wall, revision);
    engine.apply_object(&config_key("configmap/web"), changed, None, Sight::Live, now(at));
}

fn roll(engine: &mut Engine, at: u64) -> Option<Command> {
    let command = engine.next(now(at))?;
    assert!(matches!(command.action, Action::Roll(..)), "{command:?}");
    Some(command)
}

#[test]
fn nothing_is_done_before_every_watch_has_listed_and_we_lead() {
    let source = Source {
        kind: SourceKind::Config(afresh_model::name::ConfigKind::Secret),
        namespace: None,
    };
    let mut engine = Engine::new(settings(), [source.clone()]);
    engine.apply_workload(
        deployment("web"),
        Build::env().done(),
        Vec::new(),
        Sight::Listed,
        now(0),
    );
    engine.lead(true, now(0));
    assert_eq!((engine.next(now(0)), engine.next_due()), (None, None));
    engine.begin_list(&source);
    engine.end_list(&source, now(1));
    engine.lead(false, now(1));
    assert_eq!((engine.next(now(1)), engine.next_due()), (None, None));
    engine.lead(true, now(2));
    engine.apply_object(
        &config_key("configmap/web"),
        object(&[("a", "1")], 100, 1),
        None,
        Sight::Live,
        now(2),
    );
    assert!(engine.next(now(1_000)).is_some());
}

#[test]
fn a_burst_is_one_roll_when_it_has_been_quiet_for_the_settle_time() {
    let mut engine = adopted(&Build::env(), settings());
    for (n, at) in [(1, 1_000), (2, 1_150), (3, 1_300)] {
        change(&mut engine, &format!("burst {n}"), 20 + n, at);
        assert_eq!(engine.next(now(at + 100)), None);
    }
    assert_eq!(engine.next_due(), Some(Millis(1_500)));
    let command = roll(&mut engine, 1_500).expect("one roll");
    engine.finish(command.job, Outcome::Written(None), now(1_510));
    assert_eq!(engine.next(now(100_000)), None);
}

#[test]
fn a_burst_without_end_waits_ten_settle_times_and_no_longer() {
    let mut engine = adopted(&Build::env(), settings());
    let changes = (1_000..)
        .step_by(100)
        .take_while(|&at| engine.next_due().is_none_or(|due| due.0 > at) || at == 1_000);
    let changes: Vec<u64> = changes.take(30).collect();
    for (n, at) in changes.into_iter().enumerate() {
        change(&mut engine, &n.to_string(), 20 + n as u64, at);
        assert!(engine.next_due().is_some_and(|due| due <= Millis(3_000)));
    }
}

#[test]
fn with_settle_zero_it_acts_at_once() {
    let mut engine = adopted(
        &Build::env(),
        Settings {
            settle: Duration::ZERO,
            ..settings()
        },
    );
    change(&mut engine, "2", 20, 1_000);
    assert!(roll(&mut engine, 1_000).is_some());
}

#[test]
fn a_change_back_within_the_burst_is_nothing() {
    let mut engine = adopted(&Build::env(), settings());
    change(&mut engine, "2", 20, 1_000);
    change(&mut engine, "1", 21, 1_050);
    assert_eq!(engine.next(now(60_000)), None);
}

#[test]
fn one_action_per_workload_and_a_change_meanwhile_is_the_next() {
    let mut engine = adopted(&Build::env(), settings());
    change(&mut engine, "2", 20, 1_000);
    let first = roll(&mut engine, 1_200).unwrap();
    change(&mut engine, "3", 21, 1_210);
    assert_eq!(engine.next(now(60_000)), None, "the first is still under way");
    engine.finish(first.job, Outcome::Written(None), now(60_000));
    let second = roll(&mut engine, 60_200).unwrap();
    assert_ne!(first.action, second.action);
}

#[test]
fn a_failure_is_tried_again_for_ever_at_growing_pauses_and_told_once() {
    let mut engine = adopted(&Build::env(), settings());
    change(&mut engine, "2", 20, 1_000);
    let mut at = 1_200;
    let mut pauses = Vec::new();
    for _ in 0..20 {
        let command = roll(&mut engine, at).expect("tried again");
        let failed = Outcome::Failed {
            after: None,
            denied: true,
            message: "no".into(),
        };
        engine.finish(command.job, failed, now(at));
        let due = engine.next_due().expect("a next attempt").0;
        pauses.push(due - at);
        at = due;
    }
    assert!(pauses.windows(2).all(|pair| pair[0] <= pair[1]), "{pauses:?}");
    assert!(
        pauses[0] >= 500 && pauses[19] >= 300_000 && pauses[19] <= 400_000,
        "{pauses:?}"
    );
    let reasons: Vec<Reason> = engine.take_notices().iter().map(|notice| notice.reason).collect();
    assert_eq!(reasons, [Reason::Failed]);
}

#[test]
fn a_server_that_asks_for_a_pause_gets_it() {
    let mut engine = adopted(&Build::env(), settings());
    change(&mut engine, "2", 20, 1_000);
    let command = roll(&mut engine, 1_200).unwrap();
    let throttled = Outcome::Failed {
        after: Some(Duration::from_secs(30)),
        denied: false,
        message: "429".into(),
    };
    engine.finish(command.job, throttled, now(1_200));
    assert_eq!(engine.next(now(31_199)), None);
    assert!(roll(&mut engine, 31_200).is_some());
}

#[test]
fn a_flapping_workload_is_held_back_told_once_and_the_last_state_lands() {
    let mut engine = adopted(
        &Build::env(),
        Settings {
            settle: Duration::ZERO,
            ..settings()
        },
    );
    let mut rolls = Vec::new();
    for n in 0..600u64 {
        let at = n * 1_000;
        change(&mut engine, &n.to_string(), 100 + n, at);
        while let Some(command) = engine.next(now(at)) {
            rolls.push(at / 1_000);
            engine.finish(command.job, Outcome::Written(None), now(at));
        }
    }
    assert_eq!(
        rolls,
        [0, 1, 2, 17, 47, 107, 227, 467],
        "three free ones, then pauses of 15, 30, 60, … seconds"
    );
    let due = engine.next_due().expect("the last state still has to land");
    let last = roll(&mut engine, due.0).expect("it lands");
    engine.finish(last.job, Outcome::Written(None), now(due.0));
    assert_eq!(engine.next(now(due.0 + 10_000_000)), None);
    let flapping = engine
        .take_notices()
        .iter()
        .filter(|notice| notice.reason == Reason::Flapping)
        .count();
    assert!(
        (1..=6).contains(&flapping),
        "once per stretch of holding back, not per change: {flapping}"
    );
}

#[test]
fn touches_are_repeated_and_the_record_is_written_when_they_are_done() {
    let mut engine = adopted(&Build::hot(), settings());
    change(&mut engine, "2", 20, 1_000);
    let first = engine.next(now(1_200)).unwrap();
    assert!(matches!(&first.action, Action::Touch { selector, .. } if &**selector == "app=x"));
    let again = Some(UnixSeconds(now(1_200).wall.0 + 2));
    engine.finish(first.job, Outcome::Touched { touched: 3, again }, now(1_200));
    assert_eq!(engine.next(now(3_199)), None);
    let second = engine.next(now(3_200)).unwrap();
    assert_eq!(second.action, first.action);
    engine.finish(
        second.job,
        Outcome::Touched {
            touched: 3,
            again: None,
        },
        now(3_200),
    );
    let told: Vec<String> = engine.take_notices().into_iter().map(|notice| notice.note).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("touched 3 pods for configmap/web "), "{told:?}");
    let record = engine.next(now(3_200)).unwrap();
    assert!(matches!(record.action, Action::Record(_)));
    engine.finish(record.job, Outcome::Written(None), now(3_200));
    assert_eq!(engine.next(now(100_000)), None);
}

#[test]
fn content_that_goes_back_while_pods_are_touched_is_touched_back() {
    let mut engine = adopted(&Build::hot(), settings());
    change(&mut engine, "2", 20, 1_000);
    let there = engine.next(now(1_200)).unwrap();
    let again = Some(UnixSeconds(now(1_200).wall.0 + 2));
    engine.finish(there.job, Outcome::Touched { touched: 1, again }, now(1_200));
    change(&mut engine, "1", 21, 1_300);
    let back = engine.next(now(1_500)).expect("the pods may hold 2");
    assert!(matches!(back.action, Action::Touch { .. }));
    assert_ne!(back.action, there.action);
    engine.finish(
        back.job,
        Outcome::Touched {
            touched: 1,
            again: None,
        },
        now(1_500),
    );
    assert_eq!(engine.next(now(100_000)), None);
}

#[test]
#[expect(clippy::too_many_lines, reason = "one story, told in order")]
fn no_more_workloads_roll_at_once_than_allowed_and_all_have_their_turn() {
    let mut engine = engine(Settings {
        max_rolling: 2,
        settle: Duration::ZERO,
        ..settings()
    });
    engine.apply_object(
        &config_key("configmap/web"),
        object(&[("a", "1")], 100, 1),
        None,
        Sight::Listed,
        now(0),
    );
    let names: Vec<String> = (0..5).map(|n| format!("web-{n}")).collect();
    for own in &names {
        engine.apply_workload(deployment(own), Build::env().done(), Vec::new(), Sight::Listed, now(0));
    }
    while let Some(command) = engine.next(now(0)) {
        engine.finish(command.job, Outcome::Written(None), now(0));
    }
    change(&mut engine, "2", 20, 1_000);
    let mut order = Vec::new();
    for step in 0..5 {
        while let Some(command) = engine.next(now(1_000 + step)) {
            order.push(command.key.name.to_string());
            let known = engine
                .index
                .workload(engine.index.id(&command.key).unwrap())
                .unwrap()
                .workload
                .clone();
            let Action::Roll(roll) = command.action else {
                panic!("{command:?}")
            };
            let rolling = Workload {
                record: Some(roll.record),
                rollout: Rollout::InProgress,
                ..known
            };
            engine.finish(
                command.job,
                Outcome::Written(Some(Box::new(rolling))),
                now(1_000 + step),
            );
        }
        assert_eq!(
            engine.rolling(now(1_000).wall),
            (order.len() - usize::try_from(step).unwrap()).min(2)
        );
        // the oldest rollout completes
        let done = deployment(&order[usize::try_from(step).unwrap()]);
        let known = engine
            .index
            .workload(engine.index.id(&done).unwrap())
            .unwrap()
            .workload
            .clone();
        let complete = Workload {
            rollout: Rollout::Complete,
            ..known
        };
        engine.apply_workload(done, complete, Vec::new(), Sight::Live, now(1_000 + step));
    }
    assert_eq!(order, names);
}

#[test]
fn an_outcome_for_a_workload_that_is_gone_is_not_taken_for_its_successors() {
    let mut engine = adopted(
        &Build::env(),
        Settings {
            settle: Duration::ZERO,
            ..settings()
        },
    );
    change(&mut engine, "2", 20, 1_000);
    let old = roll(&mut engine, 1_000).unwrap();
    engine.delete_workload(&deployment("web"), now(1_001));
    let new = Build {
        uid: "uid-2".into(),
        ..Build::env()
    };
    engine.apply_workload(
        deployment("web"),
        new.at(30).done(),
        Vec::new(),
        Sight::Live,
        now(1_002),
    );
    let adopt = engine.next(now(1_002)).unwrap();
    engine.finish(old.job, Outcome::Written(None), now(1_003));
    engine.finish(adopt.job, Outcome::Written(None), now(1_004));
    assert_eq!((engine.next(now(100_000)), engine.running), (None, 0));
}

#[test]
fn what_is_wrong_with_an_annotation_is_told_once_and_the_rest_applies() {
    let mut engine = engine(settings());
    let build = Build::env().with("afresh.dev/settle", "5");
    for revision in 10..15 {
        let problem = Problem {
            key: "afresh.dev/settle".into(),
            place: afresh_model::policy::Place::Workload,
            message: "\"5\" has no unit".into(),
        };
        engine.apply_workload(
            deployment("web"),
            build.clone().at(revision).done(),
            vec![problem],
            Sight::Live,
            now(0),
        );
    }
    let notices: Vec<String> = engine.take_notices().into_iter().map(|notice| notice.note).collect();
    assert_eq!(
        notices,
        ["annotation afresh.dev/settle on the workload: \"5\" has no unit"]
    );
}

#[test]
fn a_namespace_that_comes_into_scope_is_caught_up_with() {
    let mut engine = adopted(&Build::env(), settings());
    engine.set_scope(Scope::Only(BTreeSet::new()), now(500));
    change(&mut engine, "2", 20, 1_000);
    assert_eq!(engine.next(now(10_000)), None);
    engine.set_scope(Scope::AllBut(["other".parse().unwrap()].into()), now(20_000));
    assert!(roll(&mut engine, 20_000).is_some());
}

#[test]
fn a_dry_run_reports_each_change_once() {
    let mut engine = adopted(
        &Build::env(),
        Settings {
            dry_run: true,
            settle: Duration::ZERO,
            ..settings()
        },
    );
    for (n, at) in [(2u64, 1_000), (3, 2_000)] {
        change(&mut engine, &n.to_string(), 20 + n, at);
        let command = roll(&mut engine, at).expect("what it would do");
        engine.finish(command.job, Outcome::Written(None), now(at));
        // the server knows of no record
        engine.apply_workload(
            deployment("web"),
            Build::env().at(40 + n).done(),
            Vec::new(),
            Sight::Live,
            now(at),
        );
        assert_eq!(engine.next(now(at)), None);
    }
}

/// What there really is, beside the engine that only hears of it.
struct World {
    revision: u64,
    objects: BTreeMap<usize, (u32, u64)>,
    workloads: BTreeMap<usize, Build>,
    rolls: BTreeMap<usize, u32>,
    runs: BTreeMap<usize, u32>,
    news: [Vec<usize>; 2],
}

const COUNT: usize = 3;

impl World {
    fn new() -> Self {
        let builds = (0..COUNT).map(|n| {
            (
                n,
                Build {
                    uid: format!("uid-{n}"),
                    ..uses(n)
                },
            )
        });
        Self {
            revision: 100,
            objects: (0..COUNT).map(|n| (n, (0, 1))).collect(),
            workloads: builds.collect(),
            rolls: BTreeMap::new(),
            runs: (0..COUNT).map(|n| (n, 0)).collect(),
            news: [(0..COUNT).collect(), (0..COUNT).collect()],
        }
    }

    fn deliver(&mut self, engine: &mut Engine, kind: usize, sight: Sight, at: u64) {
        if self.news[kind].is_empty() {
            return;
        }
        let n = self.news[kind].remove(0);
        if kind == 0 {
            let (value, revision) = self.objects[&n];
            let changed = rewritten(100, &[("a", &value.to_string())], now(at).wall.0, revision);
            engine.apply_object(&config_key(&format!("configmap/o{n}")), changed, None, sight, now(at));
        } else {
            engine.apply_workload(
                deployment(&format!("w{n}")),
                self.workloads[&n].done(),
                Vec::new(),
                sight,
                now(at),
            );
        }
    }

    fn change(&mut self, n: usize) {
        self.revision += 1;
        let (value, revision) = self.objects.get_mut(&n).unwrap();
        (*value, *revision) = (*value + 1, self.revision);
        self.news[0].push(n);
    }

    fn patch(&mut self, command: &Command) -> Workload {
        let n = (0..COUNT)
            .find(|n| command.key == deployment(&format!("w{n}")))
            .unwrap();
        self.revision += 1;
        let build = self.workloads.get_mut(&n).unwrap();
        build.revision = self.revision;
        match &command.action {
            Action::Record(record) => {
                build.annotations.insert(APPLIED.into(), record.to_string());
            }
            Action::Roll(roll) => {
                let config = roll.config.to_string();
                build.annotations.insert(APPLIED.into(), roll.record.to_string());
                // the API server makes no new generation of a template that is the same
                if build.annotations.insert("config".into(), config.clone()) != Some(config) {
                    *self.rolls.entry(n).or_default() += 1;
                    self.runs.insert(n, self.objects[&n].0);
                }
            }
            other => panic!("{other:?}"),
        }
        self.news[1].push(n);
        self.workloads[&n].done()
    }

    fn carry_out(&mut self, engine: &mut Engine, luck: u8, at: u64) {
        let Some(command) = engine.next(now(at)) else { return };
        let failed = Outcome::Failed {
            after: None,
            denied: false,
            message: "no luck".into(),
        };
        let outcome = match luck % 4 {
            0 => failed,
            1 => {
                self.patch(&command); // done, and the answer lost
                failed
            }
            _ => Outcome::Written(Some(Box::new(self.patch(&command)))),
        };
        engine.finish(command.job, outcome, now(at));
    }

    fn settle(&mut self, engine: &mut Engine, mut at: u64) -> u64 {
        for _ in 0..10_000 {
            while !self.news[0].is_empty() || !self.news[1].is_empty() {
                self.deliver(engine, 0, Sight::Live, at);
                self.deliver(engine, 1, Sight::Live, at);
            }
            let Some(due) = engine.next_due() else { return at };
            at = at.max(due.0);
            self.carry_out(engine, 2, at);
        }
        panic!("it never settles");
    }
}

fn uses(n: usize) -> Build {
    Build::new(
        serde_json::json!({"containers": [{"name": "app", "envFrom": [{"configMapRef": {"name": format!("o{n}")}}]}]}),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Changes one at a time, everything else as unlucky as it gets: the exact number of rolls.
    #[test]
    fn each_change_is_one_roll_whatever_fails(steps in prop::collection::vec((0..COUNT, any::<[u8; 6]>()), 1..8)) {
        let (mut world, mut engine) = (World::new(), engine(settings()));
        let mut at = world.settle(&mut engine, 0);
        let mut expected = BTreeMap::new();
        for (n, luck) in steps {
            at += 3_600_000; // long enough not to flap
            world.change(n);
            *expected.entry(n).or_default() += 1;
            for (turn, luck) in luck.into_iter().enumerate() {
                world.deliver(&mut engine, usize::from(luck >> 7), Sight::Live, at);
                at += 300 * turn as u64;
                world.carry_out(&mut engine, luck, at);
            }
            at = world.settle(&mut engine, at);
        }
        prop_assert_eq!(&world.rolls, &expected);
    }

    /// Changes at any time, replicas that come and go: every workload ends on the newest content, with no more rolls
    /// than changes.
    #[test]
    fn the_last_state_always_lands(steps in prop::collection::vec((any::<u8>(), 0..COUNT, any::<u8>()), 1..60)) {
        let (mut world, mut engine) = (World::new(), engine(settings()));
        let mut at = world.settle(&mut engine, 0);
        let mut changes: BTreeMap<usize, u32> = BTreeMap::new();
        for (what, n, luck) in steps {
            at += u64::from(luck);
            match what % 8 {
                0 | 1 => {
                    world.change(n);
                    *changes.entry(n).or_default() += 1;
                }
                2 | 3 => world.deliver(&mut engine, 0, Sight::Live, at),
                4 | 5 => world.deliver(&mut engine, 1, Sight::Live, at),
                6 => {
                    at += 300;
                    world.carry_out(&mut engine, luck, at);
                }
                _ => {
                    // killed: a new one knows only what it lists
                    engine = self::engine(settings());
                    world.news = [(0..COUNT).collect(), (0..COUNT).collect()];
                    for kind in [0, 1] {
                        while !world.news[kind].is_empty() {
                            world.deliver(&mut engine, kind, Sight::Listed, at);
                        }
                    }
                }
            }
        }
        world.settle(&mut engine, at);
        for n in 0..COUNT {
            prop_assert_eq!(world.runs[&n], world.objects[&n].0, "workload {} runs old content", n);
            prop_assert!(world.rolls.get(&n).unwrap_or(&0) <= changes.get(&n).unwrap_or(&0));
        }
    }
}

#[test]
fn revisions_in_fixtures_are_numbers() {
    assert_eq!(Build::env().at(7).done().revision, Some(Revision(7)));
}

#[test]
fn a_write_that_is_undone_on_its_way_is_tried_again_after_growing_pauses() {
    let mut engine = adopted(&Build::env(), settings());
    change(&mut engine, "2", 20, 1_000);
    let command = roll(&mut engine, 1_200).expect("a roll");
    let stripped = Outcome::Written(Some(Box::new(Build::env().at(30).done())));
    engine.finish(command.job, stripped.clone(), now(1_200));

    assert_eq!(engine.next(now(1_200)), None, "not at once");
    let command = roll(&mut engine, 3_000).expect("but later");
    engine.finish(command.job, stripped, now(3_000));
    assert_eq!(engine.next(now(3_600)), None, "and then later still");
    let told = engine.take_notices();
    let failed = told.iter().filter(|notice| notice.reason == Reason::Failed);
    assert_eq!(failed.count(), 1, "{told:?}");
}

#[test]
fn a_record_that_is_taken_out_on_its_way_is_found_in_the_short_answer_too() {
    let mut engine = adopted(&Build::env(), settings());
    change(&mut engine, "2", 20, 1_000);
    let command = roll(&mut engine, 1_200).expect("a roll");
    let stripped = Outcome::Recorded {
        record: None,
        revision: Revision(30),
    };
    engine.finish(command.job, stripped, now(1_200));
    assert_eq!(engine.next(now(1_200)), None, "not at once");
    assert!(roll(&mut engine, 3_000).is_some(), "but later");
}

#[test]
fn a_short_answer_is_enough_and_the_watch_may_be_quicker() {
    for quicker in [false, true] {
        let mut engine = adopted(&Build::env(), settings());
        change(&mut engine, "2", 20, 1_000);
        let command = roll(&mut engine, 1_200).expect("a roll");
        let record = command.action.record().expect("with a record").clone();
        let event = Workload {
            record: Some(Box::new(record.clone())),
            ..Build::env().at(30).done()
        };
        let watch = |engine: &mut Engine| {
            engine.apply_workload(deployment("web"), event.clone(), Vec::new(), Sight::Live, now(1_300));
        };
        if quicker {
            watch(&mut engine);
        }
        let answer = Outcome::Recorded {
            record: Some(Box::new(record)),
            revision: Revision(30),
        };
        engine.finish(command.job, answer, now(1_300));
        let id = engine.index().id(&deployment("web")).unwrap();
        let rollout = engine.index().workload(id).unwrap().workload.rollout;
        let expected = if quicker {
            Rollout::Complete
        } else {
            Rollout::InProgress
        };
        assert_eq!(rollout, expected, "until its status tells otherwise it is being rolled");
        assert_eq!(engine.next(now(2_000)), None);
        watch(&mut engine);
        assert_eq!(engine.next(now(3_000)), None);
        let known = engine.index().workload(id).unwrap().workload;
        assert_eq!((known.rollout, known.revision), (Rollout::Complete, Some(Revision(30))));
    }
}

#[test]
fn touches_under_way_never_hold_back_a_roll() {
    let mut engine = adopted(
        &Build::hot(),
        Settings {
            concurrency: 1,
            settle: Duration::ZERO,
            ..settings()
        },
    );
    change(&mut engine, "2", 20, 1_000);
    let touch = engine.next(now(1_000)).expect("a touch");
    assert!(matches!(touch.action, Action::Touch { .. }));
    let other = Build {
        uid: "uid-2".into(),
        ..Build::env()
    };
    engine.apply_workload(deployment("other"), other.done(), Vec::new(), Sight::Listed, now(1_001));
    let record = engine.next(now(1_001)).expect("it need not wait for the touch");
    assert_eq!(record.key, deployment("other"));
    engine.finish(
        touch.job,
        Outcome::Touched {
            touched: 1,
            again: None,
        },
        now(1_002),
    );
    assert_eq!(engine.next(now(1_002)), None, "but for one of its own kind");
    engine.finish(record.job, Outcome::Written(None), now(1_003));
    assert!(engine.next(now(1_003)).is_some());
}

fn wrong() -> Problem {
    Problem {
        key: "afresh.dev/reload".into(),
        place: afresh_model::policy::Place::Workload,
        message: "no such mode".into(),
    }
}

#[test]
fn why_a_workload_is_left_alone_is_told_once() {
    let mut engine = adopted(&Build::env(), settings());
    for _ in 0..3 {
        engine.leave_alone(&deployment("web"), "uid-1", vec![wrong()], now(10));
    }
    assert_eq!(engine.take_notices().len(), 1);
    assert_eq!(engine.index().places().count(), 0);

    engine.leave_alone(&deployment("web"), "uid-1", Vec::new(), now(20));
    engine.leave_alone(&deployment("web"), "uid-1", vec![wrong()], now(30));
    assert_eq!(engine.take_notices().len(), 1, "again after it was put right");
}

#[test]
fn a_standby_tells_nobody_before_it_leads() {
    let mut engine = Engine::new(settings(), []);
    engine.leave_alone(&deployment("web"), "uid-1", vec![wrong()], now(10));
    assert_eq!(engine.take_notices(), []);
    engine.lead(true, now(20));
    assert_eq!(engine.take_notices().len(), 1);
}

#[test]
fn content_that_goes_back_is_a_new_template_and_a_repeated_try_is_the_same() {
    let mut engine = adopted(&Build::env(), settings());
    let mut digests = Vec::new();
    for (n, value) in ["2", "3", "2"].into_iter().enumerate() {
        let at = 1_000 + 5_000 * n as u64;
        change(&mut engine, value, 20 + n as u64, at);
        let first = roll(&mut engine, at + 200).expect("a roll");
        let failed = Outcome::Failed {
            after: None,
            denied: false,
            message: "the answer was lost".into(),
        };
        engine.finish(first.job, failed, now(at + 200));
        let second = roll(&mut engine, at + 2_000).expect("once more");
        let digest = |action: &Action| match action {
            Action::Roll(roll) => roll.config,
            other => panic!("{other:?}"),
        };
        assert_eq!(digest(&first.action), digest(&second.action));
        digests.push(digest(&second.action));
        engine.finish(second.job, Outcome::Written(None), now(at + 2_000));
    }
    digests.sort_unstable();
    digests.dedup();
    assert_eq!(digests.len(), 3);
}

mod csi;
mod evicting;
mod meddling;
mod work;
