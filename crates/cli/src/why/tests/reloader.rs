//! Situations under `afresh reloader`, in Reloader's terms.

use afresh_k8s::write::job::Room;
use afresh_model::name::{CustomKind, WorkloadKind};
use afresh_model::reloader::sha1::Sha1;
use rstest::rstest;
use serde_json::{Value, json};

use super::scene::{Scene, map, new_map, new_secret, secret};
use super::situations::shows;
use crate::why::explanation::{MarkState, ObjectState, Verdict};
use crate::why::text::text;

fn hash(value: &str) -> String {
    Sha1::of([("a", value.as_bytes())]).to_string()
}

fn auto() -> Value {
    json!({"reloader.stakater.com/auto": "true"})
}

/// `configmap/web` as environment, opted in by Reloader's annotation, under `afresh reloader`.
fn swapped() -> Scene {
    Scene::env().annotations(auto()).by(&["reloader"])
}

#[test]
fn a_mark_is_the_record_where_there_is_no_other() {
    let scene = |value: &str| swapped().marked("STAKATER_WEB_CONFIGMAP", &hash(value));
    let current = scene("1").now(&[map("web", &json!({"a": "1"}))]);
    let told = shows("marked_current", &current, Verdict::Adopt);
    assert_eq!(told.objects[0].mark.as_ref().unwrap().state, MarkState::Current);

    let missed = scene("1")
        .now(&[new_map("web", &json!({"a": "2"}))])
        .pods(&[("2026-11-20T10:00:00Z", None)]);
    let told = shows("marked_missed", &missed, Verdict::Roll);
    assert_eq!(told.summary, "would roll now, because configmap/web changed");
    let mark = told.objects[0].mark.as_ref().unwrap();
    assert_eq!(
        (mark.applied.clone(), mark.current.clone()),
        (Some(hash("1")), Some(hash("2")))
    );

    let native = scene("1")
        .by(&["controller"])
        .now(&[new_map("web", &json!({"a": "2"}))]);
    let told = native.explain();
    assert!(told.objects[0].mark.is_none(), "afresh controller reads no marks");
}

#[test]
fn by_the_annotations_strategy_the_mark_is_an_annotation() {
    let last = json!({"type": "CONFIGMAP", "name": "web", "namespace": "prod", "hash": hash("1"),
        "containerRefs": ["app"], "observedAt": 1_763_000_000});
    let scene = swapped()
        .by(&["reloader", "--reload-strategy=annotations"])
        .template(json!({"reloader.stakater.com/last-reloaded-from": last.to_string()}))
        .now(&[new_map("web", &json!({"a": "2"}))])
        .pods(&[("2026-11-20T10:00:00Z", None)]);
    let told = scene.explain();
    let mark = told.objects[0].mark.as_ref().unwrap();
    assert_eq!(
        (told.verdict, &*mark.by, mark.state),
        (
            Verdict::Roll,
            "reloader.stakater.com/last-reloaded-from",
            MarkState::Older
        )
    );
}

#[test]
fn a_hash_of_a_secret_is_in_no_answer() {
    let spec = json!({"containers": [{"name": "app", "envFrom": [{"secretRef": {"name": "db"}}]}]});
    let old = Sha1::of([("password", b"one".as_slice())]).to_string();
    let new = Sha1::of([("password", b"two".as_slice())]).to_string();
    let scene = Scene::new(spec)
        .annotations(auto())
        .by(&["reloader"])
        .marked("STAKATER_DB_SECRET", &old)
        .now(&[new_secret("db", &json!({"password": "dHdv"}))])
        .pods(&[("2026-11-20T10:00:00Z", None)]);
    let told = scene.explain();
    assert_eq!(told.verdict, Verdict::Roll);
    for answer in [text(&told), serde_json::to_string(&told).unwrap()] {
        assert!(!answer.contains(&old[..8]) && !answer.contains(&new[..8]), "{answer}");
    }
    assert!(text(&told).contains("what it says is not current"), "{}", text(&told));
}

#[test]
fn the_entry_of_a_list_that_names_an_object_is_named_and_what_nobody_asks_for_is_left_out() {
    let spec = json!({"containers": [{"name": "app", "envFrom": [
        {"configMapRef": {"name": "web"}}, {"secretRef": {"name": "db"}}]}]});
    let said = json!({
        "configmap.reloader.stakater.com/reload": "other, we[ab], feature-.*",
        "configmaps.exclude.reloader.stakater.com/reload": "feature-old",
    });
    let objects = [
        map("web", &json!({"a": "1"})),
        map("feature-x", &json!({"a": "1"})),
        secret("db", &json!({"password": "b25l"})),
    ];
    let scene = Scene::new(spec).annotations(said).by(&["reloader"]);
    let scene = scene.before(&objects).now(&[
        objects[0].clone(),
        new_map("feature-x", &json!({"a": "2"})),
        objects[2].clone(),
    ]);
    let told = shows("named_by_patterns", &scene, Verdict::Roll);
    assert_eq!(told.because, ["configmap/feature-x"]);
    let named = |name: &str| {
        let object = told.objects.iter().find(|object| object.object == name).unwrap();
        object.named_by.as_ref().map(|named| named.pattern.clone())
    };
    assert_eq!(named("configmap/web").as_deref(), Some("we[ab]"));
    assert_eq!(named("configmap/feature-x").as_deref(), Some("feature-.*"));
    let secret = told.objects.iter().find(|object| object.object == "secret/db").unwrap();
    assert_eq!(secret.state, ObjectState::Uncounted);
}

#[test]
fn keys_of_ones_own_are_read_and_told() {
    let line = [
        "reloader",
        "--auto-search-annotation=a.com/search",
        "--search-match-annotation=a.com/match",
        "--ignore-annotation=a.com/ignore",
    ];
    let web = [map("web", &json!({"a": "1"}))];
    let scene = Scene::env().annotations(json!({"a.com/search": "true"})).by(&line);
    let told = scene.before(&web).now(&web).explain();
    assert_eq!(
        told.objects[0].says,
        "does not count: the workload searches (a.com/search), and the object does not say a.com/match: true"
    );
    let mut ignored = map("web", &json!({"a": "2"}));
    ignored["metadata"]["annotations"] = json!({"a.com/ignore": "true"});
    let scene = swapped().by(&line).before(&web).now(&[ignored]);
    assert_eq!(
        scene.explain().objects[0].says,
        "ignored: it says afresh.dev/ignore: true, or a.com/ignore: true"
    );
}

#[rstest]
#[case::nothing_said(
    json!({}), &["reloader", "--auto-annotation=a.com/auto"], WorkloadKind::Deployment,
    "no annotation of Reloader's asks for anything; add a.com/auto: \"true\" to opt in (or afresh.dev/reload: auto)"
)]
#[case::false_is_no(
    json!({"reloader.stakater.com/auto": "false"}), &["reloader", "--auto-reload-all=true"], WorkloadKind::Deployment,
    "no annotation afresh.dev/reload, and the others ask for nothing: reloader.stakater.com/auto: false"
)]
#[case::not_honoured(
    auto(), &["controller", "--honor", "none"], WorkloadKind::Deployment,
    "no annotation afresh.dev/reload; add afresh.dev/reload: auto to opt in"
)]
#[case::webhook_mode(
    auto(), &["reloader", "--webhook-url=https://hooks.example.com/T0/token"], WorkloadKind::Deployment,
    "afresh reloader runs in webhook mode, so nothing is ever reloaded: changes are posted to https://hooks.example.com"
)]
#[case::another_namespace(
    auto(), &["reloader", "--namespaces=test,dev"], WorkloadKind::Deployment,
    "afresh reloader looks at these namespaces only: dev and test"
)]
#[case::this_namespace_is_left_out(
    auto(), &["controller", "--exclude-namespace=prod"], WorkloadKind::Deployment,
    "afresh controller is told to leave namespace prod out"
)]
#[case::rollouts_are_off(
    auto(), &["reloader"], WorkloadKind::Rollout,
    "afresh reloader is not given --is-Argo-Rollouts=true"
)]
#[case::jobs_are_off(
    auto(), &["reloader", "--ignored-workload-types=cronjobs"], WorkloadKind::CronJob,
    "afresh reloader is given --ignored-workload-types with cronjobs in it"
)]
#[case::a_kind_that_is_not_asked_for(
    auto(), &["controller", "--workloads=deployment"], WorkloadKind::StatefulSet,
    "afresh controller is not given --workloads with statefulset in it"
)]
fn what_is_left_alone_is_left_alone_for_a_reason(
    #[case] annotations: Value,
    #[case] line: &[&str],
    #[case] kind: WorkloadKind,
    #[case] reason: &str,
) {
    let scene = Scene::env().annotations(annotations).by(line).kind(kind);
    let told = scene.now(&[map("web", &json!({"a": "1"}))]).explain();
    assert_eq!(
        (told.verdict, told.summary),
        (Verdict::LeftAlone, format!("is left alone: {reason}"))
    );
}

#[rstest]
#[case::cron_job(
    WorkloadKind::CronJob,
    "would have a Job made from it now, because configmap/web changed"
)]
#[case::job(
    WorkloadKind::Job,
    "would be deleted and made again now, because configmap/web changed"
)]
#[case::rollout(WorkloadKind::Rollout, "would roll now, because configmap/web changed")]
#[case::deployment_config(WorkloadKind::DeploymentConfig, "would roll now, because configmap/web changed")]
fn every_kind_is_told_in_its_own_terms(#[case] kind: WorkloadKind, #[case] summary: &str) {
    let scene = swapped()
        .by(&["reloader", "--is-Argo-Rollouts=true"])
        .kind(kind)
        .before(&[map("web", &json!({"a": "1"}))])
        .now(&[new_map("web", &json!({"a": "2"}))]);
    assert_eq!(scene.explain().summary, summary);
}

#[test]
fn a_kind_of_ones_own_is_told_like_any_other() {
    let kind: CustomKind = "apps.example.org/v1/Web=spec.pods.template".parse().unwrap();
    let scene = Scene::env()
        .by(&["controller", "--workload", "apps.example.org/v1/Web=spec.pods.template"])
        .kind(WorkloadKind::Custom(CustomKind::intern(kind)))
        .before(&[map("web", &json!({"a": "1"}))])
        .now(&[new_map("web", &json!({"a": "2"}))]);
    assert_eq!(scene.explain().summary, "would roll now, because configmap/web changed");
}

#[test]
fn a_pause_is_told_before_it_begins() {
    let scene = swapped()
        .with("deployment.reloader.stakater.com/pause-period", "5m")
        .before(&[map("web", &json!({"a": "1"}))])
        .now(&[new_map("web", &json!({"a": "2"}))]);
    let told = scene.explain();
    let expected = "a roll pauses it for 5m by deployment.reloader.stakater.com/pause-period, so that more changes are one rollout";
    assert!(told.notes.iter().any(|note| note == expected), "{:?}", told.notes);
}

#[test]
fn what_only_appears_or_vanishes_is_told_as_the_flags_have_it() {
    let optional =
        json!({"containers": [{"name": "app", "envFrom": [{"configMapRef": {"name": "web", "optional": true}}]}]});
    let scene = |flag: &str| {
        Scene::new(optional.clone())
            .annotations(auto())
            .by(&["reloader", flag])
            .before(&[map("web", &json!({"a": "1"}))])
    };
    assert_eq!(scene("--reload-on-delete=true").explain().verdict, Verdict::Roll);
    assert_ne!(scene("--reload-on-delete=false").explain().verdict, Verdict::Roll);
}

#[test]
fn a_cron_job_has_one_made_only_where_it_has_room_for_it() {
    let scene = |room| {
        let scene = swapped().kind(WorkloadKind::CronJob).room(room);
        let scene = scene.before(&[map("web", &json!({"a": "1"}))]);
        scene.now(&[new_map("web", &json!({"a": "2"}))]).explain()
    };
    let suspended = scene(Room::None);
    assert_eq!(
        (suspended.verdict, &*suspended.summary),
        (
            Verdict::Record,
            "would only have its record written: configmap/web changed, but it is suspended, and its next run is fresh"
        )
    );
    let busy = scene(Room::One);
    assert!(
        busy.verdict == Verdict::Roll && busy.notes[0].contains("one that runs is waited for"),
        "{busy:?}"
    );
}
