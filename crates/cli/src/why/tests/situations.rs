//! One snapshot per situation: the text, and the JSON below it.

use anstream::adapter::strip_str;
use serde_json::json;

use super::scene::{Scene, map, new_map, new_secret, secret};
use crate::why::explanation::{Explanation, ObjectState, Verdict};
use crate::why::text::text;
use afresh_model::policy::Reload;

/// Holds the answer to its snapshot, and the verdict to what the test says: a snapshot is accepted too easily.
#[track_caller]
pub(super) fn shows(name: &str, scene: &Scene, verdict: Verdict) -> Explanation {
    let told = scene.explain();
    assert_eq!(told.verdict, verdict, "{}", told.summary);
    let plain = strip_str(&text(&told)).to_string();
    let json = serde_json::to_string_pretty(&told).unwrap();
    insta::with_settings!({snapshot_path => "snapshots", prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!(name, format!("{plain}\n{}\n{json}", "-".repeat(80)));
    });
    told
}

#[test]
fn a_changed_environment_is_a_roll() {
    let scene = Scene::env()
        .before(&[map("web", &json!({"a": "1"}))])
        .now(&[new_map("web", &json!({"a": "2"}))]);
    let told = shows("env_changed", &scene, Verdict::Roll);
    assert_eq!(told.because, ["configmap/web"]);
    let content = &told.objects[0].content[0];
    assert!(content.applied.is_some() && content.applied != content.current);
}

#[test]
fn what_holds_what_it_held_is_current() {
    let scene = Scene::env()
        .before(&[map("web", &json!({"a": "1"}))])
        .now(&[map("web", &json!({"a": "1"}))]);
    let told = shows("env_current", &scene, Verdict::Current);
    assert_eq!(told.objects[0].content[0].applied, told.objects[0].content[0].current);
}

#[test]
fn a_changed_file_that_is_reread_is_a_touch() {
    let files = r#"{"config":"old","count":1,"first":"2026-11-21T08:00:00Z","at":"2026-11-21T08:00:00Z"}"#;
    let scene = Scene::mounted()
        .with("afresh.dev/hot", "true")
        .pods(&[("2026-11-20T10:00:00Z", Some(files)), ("2026-11-21T08:00:00Z", None)])
        .before(&[map("web", &json!({"a": "1"}))])
        .now(&[new_map("web", &json!({"a": "2"}))]);
    let told = shows("hot_mount_changed", &scene, Verdict::Touch);
    assert_eq!(told.pods.unwrap().touched, Some(0), "touched for other content");
}

fn both() -> Scene {
    let spec = json!({
        "containers": [
            {"name": "app", "env": [{"name": "GREETING", "valueFrom": {"configMapKeyRef": {"name": "web", "key": "greeting"}}}],
             "volumeMounts": [{"name": "web", "mountPath": "/etc/web"}]},
            {"name": "proxy", "envFrom": [{"secretRef": {"name": "db", "optional": true}}]},
        ],
        "volumes": [{"name": "web", "configMap": {"name": "web"}}],
    });
    Scene::new(spec).template(json!({"afresh.dev/hot": "app", "afresh.dev/settle": "2s"}))
}

#[test]
fn a_key_that_is_only_a_file_is_a_touch_and_one_that_is_a_variable_too_is_a_roll() {
    let before = [
        map("web", &json!({"greeting": "hi", "page": "1"})),
        secret("db", &json!({"password": "b25l"})),
    ];
    let page = [
        new_map("web", &json!({"greeting": "hi", "page": "2"})),
        secret("db", &json!({"password": "b25l"})),
    ];
    let greeting = [
        new_map("web", &json!({"greeting": "hello", "page": "1"})),
        new_secret("db", &json!({"password": "dHdv"})),
    ];
    shows("both_file_changed", &both().before(&before).now(&page), Verdict::Touch);
    let told = shows(
        "both_variable_changed",
        &both().before(&before).now(&greeting),
        Verdict::Roll,
    );
    assert_eq!(told.because, ["configmap/web", "secret/db"]);
}

#[test]
fn a_workload_seen_for_the_first_time_is_adopted() {
    let scene = Scene::env().now(&[map("web", &json!({"a": "1"}))]);
    let told = shows("not_adopted_yet", &scene, Verdict::Adopt);
    assert!(told.record.is_none());
}

#[test]
fn without_a_record_the_age_of_the_pods_decides() {
    let scene = || Scene::env().now(&[new_map("web", &json!({"a": "2"}))]);
    shows(
        "pods_are_older_than_the_change",
        &scene().pods(&[("2026-11-20T10:00:00Z", None)]),
        Verdict::Roll,
    );
    let younger = scene().pods(&[("2026-11-21T09:59:00Z", None)]).explain();
    assert_eq!(younger.verdict, Verdict::Adopt);
    shows(
        "pods_may_not_be_listed",
        &scene().no_pods_because("it takes the verb list on pods in namespace prod"),
        Verdict::Unknown,
    );
}

#[test]
fn what_is_required_and_gone_is_waited_for() {
    let scene = Scene::env().before(&[map("web", &json!({"a": "1"}))]);
    let told = shows("required_object_is_gone", &scene, Verdict::Missing);
    assert_eq!(
        (told.because, told.objects[0].exists),
        (vec!["configmap/web".to_owned()], Some(false))
    );
}

#[test]
fn a_change_waits_where_new_pods_could_not_start() {
    let scene = both()
        .before(&[
            map("web", &json!({"greeting": "hi"})),
            secret("db", &json!({"password": "b25l"})),
        ])
        .now(&[
            new_map("web", &json!({"page": "2"})),
            new_secret("db", &json!({"password": "dHdv"})),
        ]);
    let told = shows("required_key_is_gone", &scene, Verdict::Blocked);
    assert!(
        told.objects[0].says.contains("without the key greeting"),
        "{}",
        told.objects[0].says
    );
}

#[test]
fn an_ignored_object_triggers_nothing() {
    let mut changed = new_map("web", &json!({"a": "2"}));
    changed["metadata"]["annotations"] = json!({"afresh.dev/ignore": "true"});
    let scene = Scene::env().before(&[map("web", &json!({"a": "1"}))]).now(&[changed]);
    shows("ignored", &scene, Verdict::Current);
}

#[test]
fn an_excluded_object_triggers_nothing() {
    let scene = both()
        .with("afresh.dev/exclude", "secret/d*")
        .before(&[
            map("web", &json!({"greeting": "hi"})),
            secret("db", &json!({"password": "b25l"})),
        ])
        .now(&[
            map("web", &json!({"greeting": "hi"})),
            new_secret("db", &json!({"password": "dHdv"})),
        ]);
    let told = shows("excluded", &scene, Verdict::Current);
    assert_eq!(told.objects[1].state, ObjectState::Excluded);
}

#[test]
fn who_did_not_opt_in_is_left_alone() {
    let web = [map("web", &json!({"a": "1"}))];
    shows(
        "not_opted_in",
        &Scene::env().annotations(json!({})).now(&web),
        Verdict::LeftAlone,
    );
    let off = Scene::env()
        .annotations(json!({"afresh.dev/reload": "off"}))
        .default_reload(Reload::Auto);
    shows("opted_out", &off.now(&web), Verdict::LeftAlone);
    let wrong = Scene::env()
        .annotations(json!({"afresh.dev/reload": "yes"}))
        .now(&web)
        .explain();
    assert!(wrong.summary.contains("cannot be understood"), "{}", wrong.summary);
    assert_eq!(wrong.problems.len(), 1);
}

#[test]
fn the_default_is_told_as_such() {
    let scene = Scene::env().annotations(json!({})).default_reload(Reload::Auto);
    let scene = scene
        .before(&[map("web", &json!({"a": "1"}))])
        .now(&[map("web", &json!({"a": "1"}))]);
    let told = shows("by_default", &scene.by_nobody_known(), Verdict::Current);
    assert!(told.notes[0].contains("--default-reload auto"), "{:?}", told.notes);
}

#[test]
fn touch_alone_never_reaches_an_environment() {
    let scene = both()
        .with("afresh.dev/reload", "touch")
        .before(&[
            map("web", &json!({"greeting": "hi"})),
            secret("db", &json!({"password": "b25l"})),
        ])
        .now(&[
            map("web", &json!({"greeting": "hi"})),
            new_secret("db", &json!({"password": "dHdv"})),
        ]);
    let told = shows("touch_cannot_reach_env", &scene, Verdict::Stale);
    assert_eq!(told.because, ["secret/db"]);
}

#[test]
fn a_file_is_touched_and_the_variable_beside_it_stays_stale() {
    let scene = both()
        .with("afresh.dev/reload", "touch")
        .pods(&[("2026-11-20T10:00:00Z", None)])
        .before(&[map("web", &json!({"greeting": "hi"}))])
        .now(&[new_map("web", &json!({"greeting": "hello"}))]);
    let told = shows("touch_reaches_half", &scene, Verdict::Touch);
    let stale = told.objects[0]
        .content
        .iter()
        .filter(|content| content.applied != content.current);
    assert_eq!(stale.count(), 2, "the file's digest and the variable's");
}

#[test]
fn a_workload_that_keeps_changing_waits_for_its_time() {
    let scene = |last| {
        Scene::env()
            .rolled(6, last)
            .before(&[map("web", &json!({"a": "1"}))])
            .now(&[new_map("web", &json!({"a": "2"}))])
    };
    let told = shows("flapping", &scene("2026-11-21T09:59:00Z").rolling(), Verdict::Held);
    assert_eq!(told.not_before.unwrap(), "2026-11-21T10:01:00Z");
    assert_eq!(scene("2026-11-21T09:50:00Z").explain().verdict, Verdict::Roll);
}

#[test]
fn without_the_digest_key_secrets_are_not_compared_and_configmaps_are() {
    let before = [
        map("web", &json!({"greeting": "hi"})),
        secret("db", &json!({"password": "b25l"})),
    ];
    let secret_changed = [
        map("web", &json!({"greeting": "hi"})),
        new_secret("db", &json!({"password": "dHdv"})),
    ];
    let map_changed = [
        new_map("web", &json!({"greeting": "hello"})),
        secret("db", &json!({"password": "b25l"})),
    ];
    let scene = || both().without_digest_key().before(&before);
    let told = shows("no_digest_key", &scene().now(&secret_changed), Verdict::Current);
    assert!(
        told.summary.contains("secret/db could not be compared"),
        "{}",
        told.summary
    );
    assert_eq!(scene().now(&map_changed).explain().verdict, Verdict::Roll);
    let lacking = Scene::new(json!({"containers": [{"name": "app", "env": [
        {"name": "P", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}]}]}));
    let lacking = lacking
        .without_digest_key()
        .now(&[secret("db", &json!({"user": "b25l"}))]);
    assert_eq!(
        lacking.explain().verdict,
        Verdict::Missing,
        "a missing key is known without its value"
    );
}

#[test]
fn what_may_not_be_read_is_said() {
    let before = [
        map("web", &json!({"greeting": "hi"})),
        secret("db", &json!({"password": "b25l"})),
    ];
    let scene = both()
        .before(&before)
        .now(&[map("web", &json!({"greeting": "hi"}))])
        .unread("secret/db");
    let told = shows("may_not_be_read", &scene, Verdict::Current);
    assert_eq!(
        (told.objects[1].state, told.objects[1].exists),
        (ObjectState::Unread, None)
    );
}

#[test]
fn annotations_that_say_nothing_clear_are_shown_and_the_rest_applies() {
    let mut web = map("web", &json!({"a": "1"}));
    web["metadata"]["annotations"] = json!({"afresh.dev/ignore": "maybe"});
    let scene = Scene::mounted()
        .with("afresh.dev/hot", "app, nobody")
        .with("afresh.dev/settle", "5")
        .with("afresh.dev/include", "web, configmap/extra")
        .before(&[map("web", &json!({"a": "1"}))])
        .now(&[web]);
    let told = shows("bad_annotations", &scene, Verdict::Current);
    assert_eq!(told.problems.len(), 4, "{:?}", told.problems);
}

#[test]
fn a_sub_path_is_frozen_though_it_is_a_mount() {
    let spec = json!({
        "containers": [{"name": "app", "volumeMounts": [
            {"name": "web", "mountPath": "/etc/web.conf", "subPath": "web.conf"},
            {"name": "web", "mountPath": "/etc/web"}]}],
        "volumes": [{"name": "web", "configMap": {"name": "web"}}],
    });
    let scene = Scene::new(spec)
        .with("afresh.dev/hot", "true")
        .before(&[map("web", &json!({"web.conf": "1"}))])
        .now(&[new_map("web", &json!({"web.conf": "2"}))]);
    shows("sub_path", &scene, Verdict::Roll);
}

#[test]
fn projected_volumes_init_containers_and_unmounted_volumes_are_told_apart() {
    let spec = json!({
        "initContainers": [
            {"name": "setup", "volumeMounts": [{"name": "all", "mountPath": "/all"}, {"name": "once", "mountPath": "/once"}]},
            {"name": "sidecar", "restartPolicy": "Always", "volumeMounts": [{"name": "all", "mountPath": "/all"}]},
        ],
        "containers": [{"name": "app", "volumeMounts": [{"name": "all", "mountPath": "/all", "readOnly": true}]}],
        "volumes": [
            {"name": "all", "projected": {"sources": [
                {"configMap": {"name": "web", "items": [{"key": "a", "path": "a"}]}}, {"secret": {"name": "db"}}]}},
            {"name": "once", "configMap": {"name": "seed"}},
            {"name": "spare", "configMap": {"name": "spare", "optional": true}},
        ],
    });
    let before = [
        map("web", &json!({"a": "1"})),
        map("seed", &json!({"s": "1"})),
        secret("db", &json!({"password": "b25l"})),
    ];
    let now = [
        new_map("web", &json!({"a": "1", "b": "not used"})),
        map("seed", &json!({"s": "1"})),
        new_secret("db", &json!({"password": "dHdv"})),
    ];
    let scene = Scene::new(spec)
        .with("afresh.dev/hot", "app, sidecar")
        .before(&before)
        .now(&now);
    let told = shows(
        "projected",
        &scene.pods(&[("2026-11-20T10:00:00Z", None)]),
        Verdict::Touch,
    );
    assert_eq!(told.because, ["secret/db"]);
}

#[test]
fn an_immutable_object_made_anew_is_a_roll_even_where_files_are_reread() {
    let immutable = |mut object: serde_json::Value| {
        object["immutable"] = json!(true);
        object
    };
    let scene = Scene::mounted()
        .with("afresh.dev/hot", "true")
        .before(&[immutable(map("web", &json!({"a": "1"})))])
        .now(&[immutable(new_map("web", &json!({"a": "2"})))]);
    shows("immutable", &scene, Verdict::Roll);
}

#[test]
fn an_object_that_a_glob_includes_counts() {
    let scene = Scene::env()
        .with("afresh.dev/include", "configmap/feature-*, secret/extra")
        .before(&[map("web", &json!({"a": "1"})), map("feature-x", &json!({"on": "no"}))])
        .now(&[
            map("web", &json!({"a": "1"})),
            new_map("feature-x", &json!({"on": "yes"})),
        ]);
    let told = shows("included_by_glob", &scene, Verdict::Roll);
    assert_eq!(told.because, ["configmap/feature-x"]);
    assert_eq!(told.objects[2].state, ObjectState::Absent);
}

#[test]
fn evict_is_told_in_its_own_words() {
    let scene = Scene::env()
        .with("afresh.dev/reload", "evict")
        .pods(&[("2026-11-20T10:00:00Z", None)])
        .before(&[map("web", &json!({"a": "1"}))])
        .now(&[new_map("web", &json!({"a": "2"}))]);
    let told = scene.explain();
    assert_eq!(
        (told.verdict, &*told.summary),
        (
            Verdict::Evict,
            "would have its pods evicted one by one now, because configmap/web changed"
        )
    );
}

#[test]
fn a_pod_of_a_workload_points_to_the_workload() {
    let owned = Scene::env().pod(Some(("ReplicaSet", "web-5d9f8c"))).explain();
    assert_eq!(owned.verdict, Verdict::LeftAlone);
    assert!(
        owned.summary.ends_with("ask: afresh why deployment/web"),
        "{}",
        owned.summary
    );
    let own = Scene::env().pod(Some(("StatefulSet", "db"))).explain();
    assert!(
        own.summary.ends_with("ask: afresh why statefulset/db"),
        "{}",
        own.summary
    );
}

#[test]
fn a_pod_by_itself_is_only_ever_touched() {
    let scene = Scene::mounted()
        .pod(None)
        .pods(&[("2026-11-20T10:00:00Z", None)])
        .before(&[map("web", &json!({"a": "1"}))])
        .now(&[new_map("web", &json!({"a": "2"}))]);
    shows("pod", &scene, Verdict::Touch);
}

#[test]
fn a_record_of_another_workload_says_nothing_about_this_one() {
    let web = [map("web", &json!({"a": "1"}))];
    let told = Scene::env().recorded_elsewhere().before(&web).now(&web).explain();
    assert_eq!(told.verdict, Verdict::Adopt);
    assert!(told.notes[0].contains("another workload"), "{:?}", told.notes);
}

#[test]
fn what_uses_nothing_has_nothing_to_be_told() {
    let told = Scene::new(json!({"containers": [{"name": "app"}]})).explain();
    assert_eq!((told.verdict, told.objects.len()), (Verdict::Unused, 0));
}

#[test]
fn no_value_of_a_secret_is_ever_in_an_answer() {
    // The canary in base64 and as it is.
    let scene = both()
        .before(&[
            map("web", &json!({"greeting": "hi"})),
            secret("db", &json!({"password": "b25l"})),
        ])
        .now(&[
            map("web", &json!({"greeting": "hi"})),
            new_secret("db", &json!({"password": "Y2FuYXJ5"})),
        ]);
    let told = scene.explain();
    assert_eq!(told.verdict, Verdict::Roll);
    for answer in [text(&told), serde_json::to_string(&told).unwrap()] {
        assert!(!answer.contains("canary") && !answer.contains("Y2FuYXJ5"), "{answer}");
    }
}

#[test]
fn colours_are_in_the_text_and_only_there() {
    let told = Scene::env().now(&[map("web", &json!({"a": "1"}))]).explain();
    assert!(text(&told).contains('\u{1b}'));
    assert!(!serde_json::to_string(&told).unwrap().contains("\\u001b"));
}

#[test]
fn an_agent_in_the_pod_makes_a_touch_enough_for_what_it_watches() {
    let mount = json!([{"name": "web", "mountPath": "/etc/web"}]);
    let spec = json!({
        "containers": [
            {"name": "app", "volumeMounts": mount, "envFrom": [{"secretRef": {"name": "db"}}]},
            {"name": "reloader", "command": ["/afresh-agent", "agent"], "args": ["--watch=/etc/web"], "volumeMounts": mount},
        ],
        "volumes": [{"name": "web", "configMap": {"name": "web"}}],
    });
    let scene = |page: &str, password: &str| {
        let before = [
            map("web", &json!({"page": "1"})),
            secret("db", &json!({"password": "b25l"})),
        ];
        let now = [
            new_map("web", &json!({"page": page})),
            new_secret("db", &json!({"password": password})),
        ];
        Scene::new(spec.clone()).before(&before).now(&now)
    };
    shows("agent_in_the_pod", &scene("2", "b25l"), Verdict::Touch);
    assert_eq!(
        scene("2", "dHdv").explain().verdict,
        Verdict::Roll,
        "what is frozen takes new pods"
    );
    let off = scene("2", "b25l").with("afresh.dev/hot", "false").explain();
    assert_eq!(off.verdict, Verdict::Roll, "who says false means it");
}
