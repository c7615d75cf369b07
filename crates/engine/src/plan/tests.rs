//! The one rule, row by row.

use std::collections::BTreeMap;

use afresh_model::object::Lack;
use afresh_model::record::{Record, Rolls};
use afresh_model::time::Revision;
use afresh_model::workload::Rollout;
use serde_json::json;

use super::*;
use crate::fixture::{Build, INSTALLED, config_key, content, context, object, rewritten};
use crate::sight::{Sight, Since};

#[derive(Default)]
struct World(BTreeMap<ConfigRef, Tracked>);

impl Objects for World {
    fn get(&self, object: &ConfigRef) -> Option<Tracked> {
        self.0.get(object).cloned()
    }

    fn included(&self, workload: &Workload) -> Vec<ConfigRef> {
        self.0
            .keys()
            .filter(|object| workload.includes(object.kind, &object.name))
            .cloned()
            .collect()
    }
}

fn reference(text: &str) -> ConfigRef {
    text.parse().unwrap()
}

fn world(objects: &[(&str, Tracked)]) -> World {
    World(
        objects
            .iter()
            .map(|(name, tracked)| (reference(name), tracked.clone()))
            .collect(),
    )
}

/// An object that was there before anything else.
fn found(data: &[(&str, &str)]) -> Tracked {
    Tracked::first(object(data, 100, 1), Sight::Listed)
}

/// An object that changed under our eyes at `revision` and second `at`.
fn changed(data: &[(&str, &str)], revision: u64, at: i64) -> Tracked {
    found(&[("before", "")]).next(rewritten(100, data, at, revision), Sight::Live)
}

fn decide(workload: &Workload, sight: Sight, world: &World, pods: Option<Pods>) -> Plan {
    let sighting = Sighting::first(workload, sight);
    plan(&View {
        workload,
        sighting,
        objects: world,
        context: context(),
        pods,
    })
}

/// The record that the workload has once it is brought up to `world`.
fn record(build: &Build, world: &World) -> Record {
    let workload = build.done();
    let settled = plan(&View {
        workload: &workload,
        sighting: Sighting::first(&workload, Sight::Listed),
        objects: world,
        context: Context {
            installed: None,
            ..context()
        },
        pods: None,
    });
    Record {
        uid: build.uid.as_str().into(),
        at: UnixSeconds(5_000),
        template: Some(workload.template),
        rolls: Rolls::default(),
        evicting: None,
        applied: settled.applied,
    }
}

fn after(build: &Build, before: &World, now: &World) -> Plan {
    decide(
        &build.clone().recorded(&record(build, before)).done(),
        Sight::Listed,
        now,
        None,
    )
}

fn web(data: &[(&str, &str)]) -> World {
    world(&[("configmap/web", found(data))])
}

fn only_news(plan: &Plan) -> News {
    assert_eq!(plan.findings.len(), 1, "{plan:?}");
    plan.findings[0].news
}

#[test]
fn what_is_current_needs_nothing() {
    for build in [Build::env(), Build::hot(), Build::mounted()] {
        let plan = after(&build, &web(&[("a", "1")]), &web(&[("a", "1")]));
        assert_eq!((plan.verdict, only_news(&plan)), (Verdict::Nothing, News::Current));
    }
}

#[test]
fn a_changed_variable_is_a_roll() {
    let plan = after(&Build::env(), &web(&[("a", "1")]), &web(&[("a", "2")]));
    assert!(matches!(plan.verdict, Verdict::Roll(_)), "{plan:?}");
}

#[test]
fn a_workload_without_pods_is_only_written_down_unless_one_turns_up_that_is_older() {
    let build = Build::env();
    let record = record(&build, &web(&[("a", "1")]));
    let idle = Build {
        rollout: Rollout::Idle,
        ..build.recorded(&record)
    };
    let seeing = |pods| decide(&idle.done(), Sight::Listed, &web(&[("a", "2")]), pods);
    assert_eq!(seeing(None).verdict, Verdict::LookAtPods);
    let plan = seeing(Some(Pods::of([])));
    assert_eq!((plan.verdict, only_news(&plan)), (Verdict::Record, News::Covered));
    assert!(matches!(
        seeing(Some(Pods::of([UnixSeconds(50)]))).verdict,
        Verdict::Roll(_)
    ));
}

#[test]
fn a_changed_file_is_a_touch_where_the_application_rereads_it_and_a_roll_where_not() {
    let verdict = |build: Build| after(&build, &web(&[("a", "1")]), &web(&[("a", "2")])).verdict;
    assert!(matches!(verdict(Build::hot()), Verdict::Touch(_)));
    assert!(matches!(verdict(Build::mounted()), Verdict::Roll(_)));
    assert!(matches!(
        verdict(Build::hot().with("afresh.dev/reload", "roll")),
        Verdict::Roll(_)
    ));
    assert!(matches!(
        verdict(Build::mounted().with("afresh.dev/reload", "touch")),
        Verdict::Touch(_)
    ));
}

#[test]
fn a_key_that_no_container_uses_is_nothing() {
    let build = Build::new(json!({"containers": [{"name": "app", "env": [
        {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "web", "key": "a"}}}]}]}));
    let plan = after(
        &build,
        &web(&[("a", "1"), ("b", "1")]),
        &web(&[("a", "1"), ("b", "2"), ("c", "3")]),
    );
    assert_eq!(plan.verdict, Verdict::Nothing);
}

#[test]
fn one_key_as_variable_and_all_as_files_tells_the_two_apart() {
    let build = Build::new(json!({"containers": [{"name": "app",
            "env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "web", "key": "a"}}}],
            "volumeMounts": [{"name": "c", "mountPath": "/c"}]}],
        "volumes": [{"name": "c", "configMap": {"name": "web"}}]}))
    .with("afresh.dev/hot", "true");
    let before = web(&[("a", "1"), ("b", "1")]);
    assert!(matches!(
        after(&build, &before, &web(&[("a", "1"), ("b", "2")])).verdict,
        Verdict::Touch(_)
    ));
    assert!(matches!(
        after(&build, &before, &web(&[("a", "2"), ("b", "1")])).verdict,
        Verdict::Roll(_)
    ));
}

#[test]
fn the_same_content_always_gives_the_same_digest_so_a_second_patch_changes_nothing() {
    let roll = || after(&Build::env(), &web(&[("a", "1")]), &web(&[("a", "2")])).verdict;
    assert_eq!(roll(), roll());
}

#[test]
fn a_plan_carried_out_leaves_nothing_to_do() {
    for build in [
        Build::env(),
        Build::hot(),
        Build::mounted(),
        Build::mounted().with("afresh.dev/reload", "touch"),
    ] {
        let now = web(&[("a", "2")]);
        let plan = after(&build, &web(&[("a", "1")]), &now);
        let done = Record {
            applied: plan.applied,
            ..record(&build, &now)
        };
        assert_eq!(
            decide(&build.recorded(&done).done(), Sight::Listed, &now, None).verdict,
            Verdict::Nothing
        );
    }
}

#[test]
fn an_optional_object_that_comes_later_is_a_change() {
    let build = Build::new(json!({"containers": [{"name": "app",
        "envFrom": [{"configMapRef": {"name": "web", "optional": true}}]}]}));
    assert_eq!(
        decide(&build.done(), Sight::Listed, &World::default(), None).verdict,
        Verdict::Record
    );
    let plan = after(&build, &World::default(), &web(&[("a", "1")]));
    assert!(matches!(plan.verdict, Verdict::Roll(_)), "{plan:?}");
    assert!(matches!(
        after(&build, &web(&[("a", "1")]), &World::default()).verdict,
        Verdict::Roll(_)
    ));
}

#[test]
fn a_required_object_that_is_gone_is_nothing_until_it_is_back_with_other_content() {
    let build = Build::env();
    let (before, gone) = (web(&[("a", "1")]), World::default());
    let plan = after(&build, &before, &gone);
    assert_eq!(
        (plan.verdict, only_news(&plan)),
        (Verdict::Nothing, News::Lacking(Lack::Object))
    );
    assert_eq!(
        plan.applied,
        record(&build, &before).applied,
        "the record stays, to compare with when it is back"
    );
    assert_eq!(after(&build, &before, &web(&[("a", "1")])).verdict, Verdict::Nothing);
    assert!(matches!(
        after(&build, &before, &web(&[("a", "2")])).verdict,
        Verdict::Roll(_)
    ));
}

#[test]
fn a_required_key_that_is_gone_holds_back_a_roll_for_another_object() {
    let build = Build::new(json!({"containers": [{"name": "app",
        "env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "web", "key": "a"}}}],
        "envFrom": [{"secretRef": {"name": "db"}}]}]}));
    let state = |web: &[(&str, &str)], db: &str| {
        world(&[("configmap/web", found(web)), ("secret/db", found(&[("password", db)]))])
    };
    let plan = after(&build, &state(&[("a", "1")], "old"), &state(&[("b", "1")], "new"));
    assert_eq!(plan.verdict, Verdict::Blocked);
}

#[test]
fn an_ignored_object_triggers_nothing_and_its_record_stays() {
    let mut ignored = found(&[("a", "2")]);
    ignored.object.ignored = true;
    let (build, before) = (Build::env(), web(&[("a", "1")]));
    let plan = after(&build, &before, &world(&[("configmap/web", ignored)]));
    assert_eq!((plan.verdict, only_news(&plan)), (Verdict::Nothing, News::Ignored));
    assert_eq!(plan.applied, record(&build, &before).applied);
}

#[test]
fn a_mount_of_an_immutable_object_is_frozen_and_saying_so_is_no_change() {
    let immutable = |data| {
        let mut tracked = found(data);
        tracked.object.immutable = true;
        world(&[("configmap/web", tracked)])
    };
    let before = web(&[("a", "1")]);
    assert_eq!(
        after(&Build::hot(), &before, &immutable(&[("a", "1")])).verdict,
        Verdict::Nothing
    );
    assert!(matches!(
        after(&Build::hot(), &before, &immutable(&[("a", "2")])).verdict,
        Verdict::Roll(_)
    ));
}

#[test]
fn another_mode_or_hot_list_compares_with_the_same_record() {
    let (before, now) = (web(&[("a", "1")]), web(&[("a", "1")]));
    let record = record(&Build::hot(), &before);
    for build in [Build::mounted(), Build::hot().with("afresh.dev/reload", "roll")] {
        assert_eq!(
            decide(&build.clone().recorded(&record).done(), Sight::Listed, &now, None).verdict,
            Verdict::Nothing
        );
        let plan = decide(
            &build.recorded(&record).done(),
            Sight::Listed,
            &web(&[("a", "2")]),
            None,
        );
        assert!(matches!(plan.verdict, Verdict::Roll(_)));
    }
}

#[test]
fn with_another_digest_key_secrets_are_adopted_and_nothing_rolls() {
    let build = Build::new(json!({"containers": [{"name": "app", "envFrom": [{"secretRef": {"name": "db"}}]}]}));
    let world = world(&[("secret/db", found(&[("password", "x")]))]);
    let workload = build.clone().recorded(&record(&build, &world)).done();
    let other = afresh_model::digest::DigestKey::new(&[8; 32]).unwrap().id();
    let plan = plan(&View {
        workload: &workload,
        sighting: Sighting::first(&workload, Sight::Listed),
        objects: &world,
        context: Context {
            key: other,
            ..context()
        },
        pods: None,
    });
    assert_eq!((plan.verdict, only_news(&plan)), (Verdict::Record, News::Adopted));
}

#[test]
fn a_record_of_another_workload_says_nothing() {
    let before = web(&[("a", "1")]);
    let copied = Record {
        uid: "uid-of-another".into(),
        ..record(&Build::env(), &before)
    };
    let plan = decide(
        &Build::env().recorded(&copied).done(),
        Sight::Listed,
        &web(&[("a", "2")]),
        None,
    );
    assert_eq!(plan.verdict, Verdict::Record);
}

#[test]
fn somebody_elses_rollout_after_the_change_covers_it() {
    // given a workload whose template somebody changed at revision 60
    let before = web(&[("a", "1")]);
    let old = Build::env().recorded(&record(&Build::env(), &before)).done();
    let new = Build::env()
        .image("v2")
        .at(60)
        .recorded(&record(&Build::env(), &before))
        .done();
    let sighting = Sighting::first(&old, Sight::Listed).next(&old, &new, Sight::Live);
    assert_eq!(sighting.template, Since::At(Revision(60)));
    let verdict = |tracked, pods| {
        let world = world(&[("configmap/web", tracked)]);
        plan(&View {
            workload: &new,
            sighting,
            objects: &world,
            context: context(),
            pods,
        })
        .verdict
    };
    // when the object changed before, then the rollout brings it; when after, it does not
    assert_eq!(verdict(changed(&[("a", "2")], 59, 7_000), None), Verdict::Record);
    assert!(matches!(
        verdict(changed(&[("a", "2")], 61, 7_000), None),
        Verdict::Roll(_)
    ));
}

#[test]
fn somebody_elses_rollout_while_nothing_ran_is_judged_by_the_age_of_the_pods() {
    let before = web(&[("a", "1")]);
    let workload = Build::env()
        .image("v2")
        .recorded(&record(&Build::env(), &before))
        .done();
    let now = world(&[(
        "configmap/web",
        Tracked::first(rewritten(100, &[("a", "2")], 7_000, 70), Sight::Listed),
    )]);
    let verdict = |pods| decide(&workload, Sight::Listed, &now, pods).verdict;
    assert_eq!(verdict(None), Verdict::LookAtPods);
    assert!(matches!(
        verdict(Some(Pods::of([UnixSeconds(7_000)]))),
        Verdict::Roll(_)
    ));
    assert_eq!(verdict(Some(Pods::of([UnixSeconds(7_001)]))), Verdict::Record);
}

#[test]
fn touch_mode_says_what_it_cannot_reach_and_keeps_saying_it() {
    let build = Build::env().with("afresh.dev/reload", "touch");
    let (before, now) = (web(&[("a", "1")]), web(&[("a", "2")]));
    let plan = after(&build, &before, &now);
    assert!(
        matches!(
            (plan.verdict, only_news(&plan)),
            (Verdict::Nothing, News::Unreachable(_))
        ),
        "{plan:?}"
    );
    assert_eq!(plan.applied, record(&build, &before).applied);
}

#[test]
fn an_included_object_counts_by_name_and_by_glob() {
    let bare = json!({"containers": [{"name": "app"}]});
    for pattern in ["configmap/web", "configmap/w*"] {
        let build = Build::new(bare.clone()).with("afresh.dev/include", pattern);
        let plan = after(&build, &web(&[("a", "1")]), &web(&[("a", "2")]));
        assert!(matches!(plan.verdict, Verdict::Roll(_)), "{pattern}: {plan:?}");
        assert_eq!(
            after(&build, &web(&[("a", "1")]), &World::default()).verdict,
            Verdict::Nothing,
            "{pattern}"
        );
    }
}

#[test]
fn an_object_outside_of_what_is_watched_is_neither_gone_nor_changed() {
    let build = Build::env();
    let workload = build.clone().recorded(&record(&build, &web(&[("a", "1")]))).done();
    let plan = plan(&View {
        workload: &workload,
        sighting: Sighting::first(&workload, Sight::Listed),
        objects: &World::default(),
        context: Context {
            partial: true,
            ..context()
        },
        pods: None,
    });
    assert_eq!((plan.verdict, only_news(&plan)), (Verdict::Nothing, News::Unseen));
}

#[test]
fn the_fixtures_are_what_they_say() {
    assert_ne!(content(&[("a", "1")]), content(&[("a", "2")]));
    assert_eq!(config_key("configmap/web").to_string(), "configmap/prod/web");
}

#[test]
fn a_key_that_is_both_refreshed_and_out_of_reach_is_touched_once_and_then_left() {
    let build = Build::new(json!({"containers": [{"name": "app",
            "env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "web", "key": "a"}}}],
            "volumeMounts": [{"name": "c", "mountPath": "/c"}]}],
        "volumes": [{"name": "c", "configMap": {"name": "web", "items": [{"key": "a", "path": "a"}]}}]}))
    .with("afresh.dev/reload", "touch");
    let (before, now) = (web(&[("a", "1")]), web(&[("a", "2")]));
    let touch = after(&build, &before, &now);
    assert!(matches!(touch.verdict, Verdict::Touch(_)), "{touch:?}");

    let mut touched = record(&build, &before);
    touched.applied = touch.applied;
    let then = decide(&build.recorded(&touched).done(), Sight::Listed, &now, None);
    assert_eq!(then.verdict, Verdict::Nothing);
}

#[test]
fn a_removed_key_which_no_time_tells_of_is_stale_whoever_rolled_out_in_between() {
    let build = Build::env();
    let before = web(&[("a", "1"), ("b", "1")]);
    let removed = world(&[(
        "configmap/web",
        Tracked::first(object(&[("a", "1")], 100, 30), Sight::Listed),
    )]);
    let rolled_out = build
        .clone()
        .image("new")
        .at(20)
        .recorded(&record(&build, &before))
        .done();
    let young = Pods::of([UnixSeconds(9_000)]);

    let plan = decide(&rolled_out, Sight::Listed, &removed, Some(young));
    assert!(matches!(plan.verdict, Verdict::Roll(_)), "{plan:?}");
}

mod adoption;
