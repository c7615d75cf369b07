//! Workloads of which nothing is recorded.

use afresh_model::object::ConfigObject;

use super::*;

#[test]
fn a_workload_seen_for_the_first_time_is_adopted() {
    let plan = decide(&Build::env().done(), Sight::Listed, &web(&[("a", "1")]), None);
    assert_eq!((plan.verdict, only_news(&plan)), (Verdict::Record, News::Adopted));
}

#[test]
fn at_install_even_a_workload_older_than_its_configuration_is_only_adopted() {
    let world = world(&[(
        "configmap/web",
        Tracked::first(rewritten(100, &[("a", "2")], 900, 9), Sight::Listed),
    )]);
    let plan = decide(&Build::env().created(500).done(), Sight::Listed, &world, None);
    assert_eq!(plan.verdict, Verdict::Record);
}

#[test]
fn a_change_between_creation_and_adoption_while_nothing_ran_is_found_by_the_age_of_the_pods() {
    let written = 6_000;
    let world = world(&[(
        "configmap/web",
        Tracked::first(rewritten(100, &[("a", "2")], written, 90), Sight::Listed),
    )]);
    let workload = Build::env().created(2_000).at(95).done();
    let verdict = |pods| decide(&workload, Sight::Listed, &world, pods).verdict;
    assert_eq!(verdict(None), Verdict::LookAtPods);
    assert!(matches!(
        verdict(Some(Pods::of([UnixSeconds(2_001)]))),
        Verdict::Roll(_)
    ));
    assert_eq!(verdict(Some(Pods::of([UnixSeconds(written + 1)]))), Verdict::Record);
    assert_eq!(verdict(Some(Pods::of([]))), Verdict::Record);
}

#[test]
fn a_change_between_creation_and_adoption_under_our_eyes_is_found_by_its_revision() {
    let workload = Build::env().created(6_000).at(50).done();
    let pods = Some(Pods::of([UnixSeconds(6_000)]));
    let later = world(&[("configmap/web", changed(&[("a", "2")], 51, 6_000))]);
    assert_eq!(
        decide(&workload, Sight::Live, &later, None).verdict,
        Verdict::LookAtPods
    );
    assert!(matches!(
        decide(&workload, Sight::Live, &later, pods).verdict,
        Verdict::Roll(_)
    ));
    let earlier = world(&[("configmap/web", changed(&[("a", "2")], 49, 6_000))]);
    assert_eq!(decide(&workload, Sight::Live, &earlier, None).verdict, Verdict::Record);
}

#[test]
fn an_object_made_after_the_workload_that_needs_it_is_adopted_unless_a_pod_ran_before() {
    let made = object(&[("a", "1")], 6_002, 51);
    let pods = Pods::of([UnixSeconds(6_000), UnixSeconds(6_001)]);
    let ran = |seconds: &[i64]| Some(pods.having_started(seconds.iter().copied().map(UnixSeconds)));
    for sight in [Sight::Live, Sight::Listed] {
        let world = world(&[("configmap/web", Tracked::first(made.clone(), sight))]);
        let verdict = |build: Build, pods| decide(&build.at(50).done(), sight, &world, pods).verdict;
        let env = || Build::env().created(6_000);
        assert_eq!(verdict(env(), None), Verdict::LookAtPods, "{sight:?}");
        assert_eq!(verdict(env(), ran(&[])), Verdict::Record, "none has started");
        assert_eq!(
            verdict(env(), ran(&[6_002, 6_003])),
            Verdict::Record,
            "applied together"
        );
        assert!(matches!(verdict(env(), ran(&[6_001, 6_003])), Verdict::Roll(_)));
        assert_eq!(
            verdict(env().created(6_002), None),
            Verdict::Record,
            "the object is older"
        );
        assert_eq!(
            verdict(env().created(INSTALLED - 1), None),
            Verdict::Record,
            "at install"
        );
    }
}

/// The API server notes when data was written just before it notes when the object was made.
#[test]
fn an_object_that_was_made_as_a_second_ended_is_as_it_was_made() {
    let made = ConfigObject {
        written: Some(UnixSeconds(6_001)),
        ..object(&[("a", "1")], 6_002, 51)
    };
    let world = world(&[("configmap/web", Tracked::first(made, Sight::Listed))]);
    let workload = Build::env().created(6_000).at(50).done();
    let waiting_for_it = Some(Pods::of([UnixSeconds(6_000)]));
    assert_eq!(
        decide(&workload, Sight::Listed, &world, waiting_for_it).verdict,
        Verdict::Record
    );
}
