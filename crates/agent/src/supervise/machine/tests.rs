use proptest::prelude::*;
use rstest::rstest;

use super::*;

const GRACE: Duration = Duration::from_secs(10);
const TRIAL: Duration = Duration::from_secs(5);
const FAILED: Outcome = Outcome::Exited(3);
const SECOND: Duration = Duration::from_secs(1);

/// A machine, a clock that moves when it is told to, and what it did.
struct Scene {
    machine: Machine<u32>,
    now: Instant,
}

impl Scene {
    fn with(change: impl FnOnce(&mut Policy)) -> Self {
        let mut policy = Policy {
            stop_signal: Signal::TERM,
            grace: GRACE,
            restart: Restart::Never,
            trial: TRIAL,
            bad_start: BadStart::LastGood,
        };
        change(&mut policy);
        let (machine, step) = Machine::new(policy, 1);
        assert_eq!(step, Step::Start(1, Why::First));
        let mut scene = Self {
            machine,
            now: Instant::now(),
        };
        scene.machine.started(scene.now);
        scene
    }

    fn new() -> Self {
        Self::with(|_| {})
    }

    fn pass(&mut self, time: Duration) -> Option<Step<u32>> {
        self.now += time;
        self.machine.tick(self.now)
    }

    fn ended(&mut self, outcome: Outcome) -> Option<Step<u32>> {
        self.machine.ended(self.now, outcome)
    }

    fn environment(&mut self, environment: u32) -> Option<Step<u32>> {
        self.machine.environment(self.now, environment)
    }

    /// Restarted in place with another environment, and running.
    fn renewed(mut self, environment: u32) -> Self {
        assert_eq!(self.environment(environment), Some(Step::Send(Signal::TERM)));
        assert_eq!(
            self.ended(Outcome::Killed(15)),
            Some(Step::Start(environment, Why::Renewed))
        );
        self.machine.started(self.now);
        self
    }
}

#[rstest]
#[case(Outcome::Exited(0), 0)]
#[case(Outcome::Exited(3), 3)]
#[case(Outcome::Killed(15), 143)]
#[case(Outcome::Killed(9), 137)]
fn the_end_of_the_program_is_the_end_with_its_status(#[case] outcome: Outcome, #[case] code: u8) {
    assert_eq!(Scene::new().ended(outcome), Some(Step::Finish(code)));
}

#[test]
fn a_program_that_cannot_be_started_at_first_is_the_end() {
    let (mut machine, _) = Machine::new(Scene::new().machine.policy, 1);
    let step = machine.not_started(Instant::now(), Outcome::NotStarted(127));
    assert_eq!(step, Some(Step::Finish(127)));
}

#[test]
fn a_changed_environment_restarts_the_program_once_and_an_equal_one_does_nothing() {
    let mut scene = Scene::new().renewed(2);
    assert_eq!(scene.environment(2), None);
    assert_eq!(scene.machine.deadline(), Some(scene.now + TRIAL));
    assert_eq!(scene.pass(TRIAL), None);
    assert_eq!(scene.machine.deadline(), None, "no wake-ups");
}

#[test]
fn what_changes_while_the_program_ends_is_what_it_is_started_with() {
    let mut scene = Scene::new();
    assert_eq!(scene.environment(2), Some(Step::Send(Signal::TERM)));
    assert_eq!(scene.environment(3), None);
    assert_eq!(scene.machine.renew(scene.now), None);
    assert_eq!(scene.ended(Outcome::Exited(0)), Some(Step::Start(3, Why::Renewed)));
}

#[test]
fn a_program_that_does_not_end_in_time_is_killed_once() {
    let mut scene = Scene::new();
    scene.environment(2);
    assert_eq!(scene.pass(GRACE - SECOND), None);
    assert_eq!(scene.pass(SECOND), Some(Step::Kill));
    assert_eq!(scene.machine.deadline(), None);
    assert_eq!(scene.ended(Outcome::Killed(9)), Some(Step::Start(2, Why::Renewed)));
}

#[test]
fn a_new_environment_that_fails_at_once_is_given_up_until_it_changes() {
    let mut scene = Scene::new().renewed(2);
    assert_eq!(scene.ended(FAILED), Some(Step::Start(1, Why::FellBack)));
    scene.machine.started(scene.now);
    assert!(scene.machine.fell_back());

    assert_eq!(scene.environment(2), None, "not tried again");
    let mut scene = scene.renewed(3);
    assert!(!scene.machine.fell_back());
    assert_eq!(scene.pass(TRIAL), None);
    assert_eq!(scene.ended(FAILED), Some(Step::Finish(3)), "it had its trial");
}

#[test]
fn what_goes_back_to_the_environment_in_use_restarts_nothing() {
    let mut scene = Scene::new().renewed(2);
    scene.ended(FAILED);
    scene.machine.started(scene.now);
    assert_eq!(scene.environment(1), None);
    assert!(!scene.machine.fell_back());
    assert_eq!(scene.environment(2), Some(Step::Send(Signal::TERM)), "it did change");
}

#[test]
fn the_last_good_environment_has_no_second_chance() {
    let mut scene = Scene::new().renewed(2);
    scene.ended(FAILED);
    scene.machine.started(scene.now);
    assert_eq!(scene.ended(Outcome::Exited(4)), Some(Step::Finish(4)));
}

#[test]
fn a_bad_environment_is_the_end_where_that_is_asked_for_and_success_is_never_bad() {
    let mut strict = Scene::with(|policy| policy.bad_start = BadStart::End).renewed(2);
    assert_eq!(strict.ended(FAILED), Some(Step::Finish(3)));
    let mut done = Scene::new().renewed(2);
    assert_eq!(done.ended(Outcome::Exited(0)), Some(Step::Finish(0)));
}

#[test]
fn an_environment_with_which_nothing_can_be_started_falls_back_and_then_tries_a_few_times() {
    let mut scene = Scene::new();
    scene.environment(2);
    scene.ended(Outcome::Exited(0));
    let cannot = Outcome::NotStarted(126);
    assert_eq!(
        scene.machine.not_started(scene.now, cannot),
        Some(Step::Start(1, Why::FellBack))
    );
    for _ in 0..STARTS {
        assert_eq!(scene.machine.not_started(scene.now, cannot), None);
        assert_eq!(scene.pass(LAST_DELAY), Some(Step::Start(1, Why::Again)));
    }
    assert_eq!(scene.machine.not_started(scene.now, cannot), Some(Step::Finish(126)));
}

#[rstest]
#[case(Restart::Never, Outcome::Exited(0), false)]
#[case(Restart::Never, FAILED, false)]
#[case(Restart::OnFailure, Outcome::Exited(0), false)]
#[case(Restart::OnFailure, FAILED, true)]
#[case(Restart::OnFailure, Outcome::Killed(9), true)]
#[case(Restart::Always, Outcome::Exited(0), true)]
fn a_program_that_ends_by_itself_is_started_again_only_if_asked(
    #[case] restart: Restart,
    #[case] outcome: Outcome,
    #[case] again: bool,
) {
    let mut scene = Scene::with(|policy| policy.restart = restart);
    let step = scene.ended(outcome);
    assert_eq!(step.is_none(), again);
    assert_eq!(scene.pass(FIRST_DELAY).is_some(), again);
}

#[test]
fn restarts_of_a_crashing_program_come_ever_later_up_to_a_minute_and_a_change_comes_at_once() {
    let mut scene = Scene::with(|policy| policy.restart = Restart::OnFailure);
    for delay in [1, 2, 4, 8, 16, 32, 60, 60] {
        assert_eq!(scene.ended(FAILED), None);
        let delay = Duration::from_secs(delay);
        assert_eq!(scene.machine.deadline(), Some(scene.now + delay));
        assert_eq!(scene.pass(delay), Some(Step::Start(1, Why::Again)));
        scene.machine.started(scene.now);
    }
    scene.pass(LAST_DELAY);
    assert_eq!(scene.ended(FAILED), None);
    assert_eq!(scene.machine.deadline(), Some(scene.now + FIRST_DELAY), "it lived long");
    assert_eq!(scene.environment(2), Some(Step::Start(2, Why::Renewed)));
}

#[rstest]
#[case(Signal::TERM)]
#[case(Signal::INT)]
#[case(Signal::QUIT)]
fn once_asked_to_end_nothing_is_started_any_more(#[case] signal: Signal) {
    let mut scene = Scene::with(|policy| policy.restart = Restart::Always);
    assert_eq!(scene.machine.signal(signal), Some(Step::Send(signal)));
    assert_eq!(scene.environment(2), None);
    assert_eq!(scene.ended(Outcome::Exited(7)), Some(Step::Finish(7)));
}

#[test]
fn asked_to_end_in_the_middle_of_a_restart_the_program_is_told_once_and_not_started_again() {
    let mut scene = Scene::new();
    assert_eq!(scene.environment(2), Some(Step::Send(Signal::TERM)));
    assert_eq!(scene.machine.signal(Signal::TERM), None, "it knows");
    assert_eq!(scene.pass(GRACE), None, "whoever asked decides how long it may take");
    assert_eq!(
        scene.machine.signal(Signal::TERM),
        Some(Step::Send(Signal::TERM)),
        "a second one is passed on"
    );
    assert_eq!(scene.ended(Outcome::Killed(15)), Some(Step::Finish(143)));
}

#[test]
fn asked_to_end_between_two_starts_it_ends_at_once() {
    let mut scene = Scene::with(|policy| policy.restart = Restart::Always);
    scene.ended(FAILED);
    assert_eq!(scene.machine.signal(Signal::HUP), None);
    assert_eq!(scene.machine.signal(Signal::TERM), Some(Step::Finish(143)));
}

#[derive(Debug, Clone, Copy)]
enum Move {
    Pass(u64),
    Ended(u8),
    Signal(Signal),
    Environment(u32),
    Renew,
    FailStart,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        (0..70_u64).prop_map(Move::Pass),
        (0..3_u8).prop_map(Move::Ended),
        prop_oneof![Just(Signal::HUP), Just(Signal::TERM), Just(Signal::USR1)].prop_map(Move::Signal),
        (1..4_u32).prop_map(Move::Environment),
        Just(Move::Renew),
        Just(Move::FailStart),
    ];
    prop::collection::vec(one, 0..60)
}

fn policies() -> impl Strategy<Value = Policy> {
    let restart = prop_oneof![Just(Restart::Never), Just(Restart::OnFailure), Just(Restart::Always)];
    let bad_start = prop_oneof![Just(BadStart::LastGood), Just(BadStart::End)];
    (restart, bad_start).prop_map(|(restart, bad_start)| Policy {
        stop_signal: Signal::TERM,
        grace: GRACE,
        restart,
        trial: TRIAL,
        bad_start,
    })
}

proptest! {
    /// Never two processes, never a step for one that is not there, and nothing after the end; and once all is quiet, a
    /// process that runs has the newest environment, unless that one was bad.
    #[test]
    fn whatever_happens_there_is_one_process_with_the_right_environment(policy in policies(), moves in moves()) {
        let (mut machine, first) = Machine::new(policy, 1_u32);
        let mut now = Instant::now();
        let (mut alive, mut newest, mut over, mut fail_next) = (None, 1, false, false);
        let mut steps = vec![first];
        let moves = std::iter::once(Move::Pass(0)).chain(moves);
        for next in moves.map(Some).chain([None; 8]) {
            let step = match next {
                Some(Move::Pass(seconds)) => { now += Duration::from_secs(seconds); machine.tick(now) }
                Some(Move::Ended(code)) if alive.take().is_some() => machine.ended(now, Outcome::Exited(code)),
                Some(Move::Ended(_)) => None,
                Some(Move::Signal(signal)) => machine.signal(signal),
                Some(Move::Environment(environment)) => {
                    newest = environment;
                    machine.environment(now, environment)
                }
                Some(Move::Renew) => machine.renew(now),
                Some(Move::FailStart) => { fail_next = true; None }
                None => { now += Duration::from_secs(100); machine.tick(now) }
            };
            steps.extend(step);
            while let Some(step) = steps.pop() {
                prop_assert!(!over, "{step:?} after the end");
                let follows = match step {
                    Step::Start(environment, _) => {
                        prop_assert!(alive.is_none());
                        if std::mem::take(&mut fail_next) {
                            machine.not_started(now, Outcome::NotStarted(126))
                        } else {
                            machine.started(now);
                            alive = Some(environment);
                            None
                        }
                    }
                    Step::Send(_) => { prop_assert!(alive.is_some()); None }
                    Step::Kill => { prop_assert!(alive.take().is_some()); machine.ended(now, Outcome::Killed(9)) }
                    Step::Finish(_) => { prop_assert!(alive.is_none()); over = true; None }
                };
                steps.extend(follows);
            }
        }
        prop_assert!(over || alive.is_some(), "stuck without a process");
        if let Some(environment) = alive {
            prop_assert!(environment == newest || machine.fell_back() || machine.is_ending(), "{machine:?}");
        }
    }
}
