//! What is told, and how often.

use super::*;

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
