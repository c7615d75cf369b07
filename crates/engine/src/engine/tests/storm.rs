//! The engine in a small world of its own: deliveries late and mixed, writes that fail or whose answer is lost.

use proptest::prelude::*;

use super::*;

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
