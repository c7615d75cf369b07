//! `--source` of `afresh agent` and `afresh run`, against an API server in the process: what is written, when, and what
//! follows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod scene;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::time::Duration;

use afresh_sandbox::{Filter, Patch, Rates, RequestFault, WatchFault};
use serde_json::json;
use tokio::time::{sleep, timeout};

use scene::{Agent, LONG, Scene};

#[tokio::test]
async fn nothing_begins_before_every_object_was_seen_and_then_each_change_is_one_action() {
    let scene = Scene::new().await;
    scene.config_map("default", "web", &json!({"a": "1"}));
    let agent = scene.agent(&["configmap/web", "secret/prod/login"], &[]);
    scene.not_ready(&agent, "secret/prod/login does not exist").await;
    scene
        .logged("it does not exist; waiting for it source=secret/prod/login")
        .await;
    assert_eq!(agent.get("/livez").await.unwrap().0, 200);
    assert_eq!(agent.metric("afresh_agent_source_absent").await, Some(1.0));
    assert!(
        !scene.path("objects/a").exists(),
        "one without the other is not begun with"
    );

    scene.secret("prod", "login", &json!({"password": "hunter2"}));
    scene.ready(&agent).await;
    assert_eq!(scene.read("objects/a").unwrap(), "1");
    let mode = |name: &str| fs::metadata(scene.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("objects/a"), mode("objects/password")), (0o644, 0o440));
    assert!(scene.read("done").is_none(), "what is there at the start is no change");

    scene.config_map("default", "web", &json!({"a": "2"}));
    scene.says("done", "2hunter2\n").await;
    // What changes no content is no change.
    scene.labelled("default", "web", &json!({"some": "label"}), &json!({"a": "2"}));
    scene.secret("prod", "login", &json!({"password": "hunter3"}));
    scene.says("done", "2hunter2\n2hunter3\n").await;

    let (state, log) = (agent.state().await, scene.log());
    assert_eq!(state["sources"]["all"][1]["state"], "present");
    assert!(
        !log.contains("hunter") && !state.to_string().contains("hunter"),
        "{log}"
    );
    assert_eq!(agent.end().await, Some(0));
}

#[tokio::test]
async fn of_two_objects_with_the_same_key_the_later_one_wins_and_that_is_told_once() {
    let scene = Scene::new().await;
    scene.config_map("shared", "base", &json!({"a": "base", "b": "base"}));
    scene.config_map("prod", "own", &json!({"a": "own"}));
    let agent = scene.agent(&["configmap/shared/base", "configmap/prod/own"], &[]);
    scene.ready(&agent).await;
    assert_eq!(
        (scene.read("objects/a").unwrap(), scene.read("objects/b").unwrap()),
        ("own".into(), "base".into())
    );
    scene.config_map("shared", "base", &json!({"a": "other"}));
    scene.config_map("prod", "own", &json!({"a": "own 2"}));
    scene.says("objects/a", "own 2").await;
    let told = "two objects hold the same key; that of the later source is used";
    assert_eq!(scene.log().matches(told).count(), 1, "{}", scene.log());
    assert!(
        scene
            .log()
            .contains("hidden=configmap/shared/base key=a used=configmap/prod/own")
    );
}

#[tokio::test]
async fn an_object_that_goes_leaves_its_files_until_it_is_back() {
    let scene = Scene::new().await;
    scene.config_map("prod", "web", &json!({"a": "1"}));
    let agent = scene.agent(&["configmap/prod/web"], &[]);
    scene.ready(&agent).await;
    scene.sandbox.delete("configmaps", "prod", "web").unwrap();
    scene.logged("it is gone; its last content stays").await;
    assert_eq!(agent.state().await["sources"]["all"][0]["state"], "gone");
    assert_eq!(scene.read("objects/a").unwrap(), "1");
    assert_eq!(agent.get("/readyz").await.unwrap().0, 200);
    scene.config_map("prod", "web", &json!({"a": "2"}));
    scene.says("done", "2\n").await;
    assert_eq!(agent.metric("afresh_agent_source_absent").await, Some(0.0));
}

#[tokio::test]
async fn a_selection_follows_what_bears_the_labels_in_its_namespaces() {
    let scene = Scene::new().await;
    let labels = json!({"app": "web"});
    scene.labelled("prod", "one", &labels, &json!({"one": "1"}));
    scene.labelled("shared", "two", &labels, &json!({"two": "2"}));
    scene.labelled("prod", "three", &json!({"app": "db"}), &json!({"three": "3"}));
    let everywhere = scene.agent(&["configmap/*:app in (web, site)"], &[]);
    scene.ready(&everywhere).await;
    let names = |scene: &Scene| {
        let visible = |entry: fs::DirEntry| {
            entry
                .file_name()
                .into_string()
                .ok()
                .filter(|name| !name.starts_with(".."))
        };
        let mut names: Vec<_> = fs::read_dir(scene.path("objects"))
            .unwrap()
            .flatten()
            .filter_map(visible)
            .collect();
        names.sort();
        names
    };
    assert_eq!(names(&scene), ["one", "two"]);
    // It gets the label, another one loses it.
    scene.labelled("prod", "three", &labels, &json!({"three": "3"}));
    scene.says("done", "132\n").await;
    scene.labelled("shared", "two", &json!({"app": "db"}), &json!({"two": "2"}));
    scene.says("done", "132\n13\n").await;
    assert_eq!(names(&scene), ["one", "three"]);
    everywhere.kill().await;

    let here = scene.agent(&["configmap/shared:app=web"], &[]);
    scene.ready(&here).await;
    scene
        .eventually("nothing is selected", async || names(&scene).is_empty().then_some(()))
        .await;
    scene.labelled("shared", "two", &labels, &json!({"two": "2"}));
    scene
        .eventually("it is", async || (names(&scene) == ["two"]).then_some(()))
        .await;
}

#[tokio::test]
async fn watches_that_break_miss_nothing_and_the_files_stay() {
    let scene = Scene::new().await;
    scene.config_map("prod", "web", &json!({"a": "1"}));
    let agent = scene.agent(&["configmap/prod/web"], &[]);
    scene.ready(&agent).await;
    let faults = scene.sandbox.faults();
    let config_maps = || Filter::any().resource("configmaps");
    faults.next_watches(1, config_maps(), WatchFault::StatusGone);
    faults.next_requests(
        2,
        config_maps(),
        RequestFault::Status {
            code: 500,
            retry_after: None,
        },
    );
    faults.break_watches();
    scene.config_map("prod", "web", &json!({"a": "2"}));
    scene.logged("it cannot be followed now; what is written stays").await;
    assert!(scene.path("objects/a").exists());
    scene.says("done", "2\n").await;
    assert_eq!(scene.read("objects/a").unwrap(), "2");
    let refused = agent
        .metric("afresh_agent_source_failures_total{reason=\"refused\"}")
        .await;
    assert!(refused >= Some(1.0), "{refused:?}");
    scene
        .eventually("no trouble any more", async || {
            (agent.metric("afresh_agent_source_failing").await? == 0.0).then_some(())
        })
        .await;
}

/// Objects of two namespaces and a Secret change, go and come back, while requests fail, watches break and the history
/// is forgotten.
async fn storm(scene: &Scene, seed: u64) {
    scene.sandbox.faults().seeded(seed, Rates::STORMY);
    let labels = json!({"app": "web"});
    for round in 0..60 {
        let draw = (round * 7 + seed) % 11;
        match draw {
            0 => drop(scene.sandbox.delete("configmaps", "prod", "one")),
            1 => drop(scene.sandbox.delete("configmaps", "shared", "two")),
            2 => drop(scene.sandbox.delete("secrets", "prod", "login")),
            3 | 4 => scene.secret("prod", "login", &json!({"password": format!("s{round};")})),
            5..8 => scene.labelled("prod", "one", &labels, &json!({"one": format!("o{round};")})),
            _ => scene.labelled("shared", "two", &labels, &json!({"two": format!("t{round};")})),
        }
        sleep(Duration::from_millis(draw * 9)).await;
    }
    scene.sandbox.faults().quiet();
}

#[tokio::test]
async fn whatever_befalls_the_watches_the_last_content_arrives_and_no_change_is_acted_on_twice() {
    for seed in 1..=3 {
        let scene = Scene::new().await;
        scene.secret("prod", "login", &json!({"password": "s;"}));
        let agent = scene.agent(&["configmap/*:app=web", "secret/prod/login"], &[]);
        scene.ready(&agent).await;
        storm(&scene, seed).await;
        // Both ways of leaving: a selected object goes with its file, a named one does not.
        drop(scene.sandbox.delete("configmaps", "prod", "one"));
        scene.secret("prod", "login", &json!({"password": "last"}));
        drop(scene.sandbox.delete("secrets", "prod", "login"));
        scene.labelled("shared", "two", &json!({"app": "web"}), &json!({"two": "last"}));
        let what = format!("the last content, with seed {seed}");
        scene
            .eventually(&what, async || {
                let read = ["one", "two"].map(|name| scene.read(&format!("objects/{name}")));
                (read == [None, Some("last".to_owned())]).then_some(())
            })
            .await;
        // The Secret's last words may have been missed, as those of anything that came and went between two looks.
        scene.secret("prod", "login", &json!({"password": "back"}));
        scene
            .eventually(&what, async || {
                let done = scene.read("done")?;
                (done.lines().last()? == "backlast").then_some(())
            })
            .await;
        let acted = agent
            .metric("afresh_agent_steps_total{step=\"exec\",result=\"ok\"}")
            .await;
        let changed = agent.metric("afresh_agent_changes_total").await;
        assert!(
            acted <= changed,
            "seed {seed}: {acted:?} actions for {changed:?} changes"
        );
        assert!(acted >= Some(2.0), "seed {seed}: it did not see the storm");
        assert_eq!(agent.end().await, Some(0));
    }
}

#[tokio::test]
async fn an_agent_that_starts_without_the_api_server_begins_with_what_was_written_before() {
    let mut scene = Scene::new().await;
    scene.config_map("prod", "web", &json!({"a": "1"}));
    let sources = ["configmap/prod/web", "configmap/prod/late"];
    let first = scene.agent(&sources[..1], &[]);
    scene.ready(&first).await;
    first.kill().await;

    let second = scene.agent(&sources, &[]);
    scene.logged("beginning with what an earlier start has written").await;
    scene.ready(&second).await;
    second.kill().await;

    drop(scene.serving.take());
    let third = scene.agent(&sources[..1], &["--act-at-start"]);
    scene.says("done", "1\n").await;
    assert_eq!(third.get("/readyz").await.unwrap().0, 200);
    let trouble = third.state().await["sources"]["all"][0]["trouble"].to_string();
    assert!(trouble.contains("cannot reach the API server"), "{trouble}");
    assert!(third.metric("afresh_agent_source_failing").await >= Some(1.0));
}

#[tokio::test]
async fn after_a_restart_an_object_that_is_gone_does_not_hold_up_the_others() {
    let scene = Scene::new().await;
    scene.config_map("prod", "web", &json!({"a": "1"}));
    scene.config_map("prod", "extra", &json!({"b": "1"}));
    let sources = ["configmap/prod/web", "configmap/prod/extra"];
    let first = scene.agent(&sources, &[]);
    scene.ready(&first).await;
    first.kill().await;
    scene.sandbox.delete("configmaps", "prod", "extra").unwrap();
    scene.config_map("prod", "web", &json!({"a": "2"}));

    let second = scene.agent(&sources, &[]);
    scene.ready(&second).await;
    scene.says("objects/a", "2").await;
    assert_eq!(scene.read("objects/b").unwrap(), "1", "its last content stays");
    assert_eq!(second.state().await["sources"]["all"][1]["state"], "missing");
    scene.config_map("prod", "web", &json!({"a": "3"}));
    scene.says("done", "31\n").await;
    scene.config_map("prod", "extra", &json!({"b": "2"}));
    scene.says("done", "31\n32\n").await;
}

#[tokio::test]
async fn a_selection_that_is_too_large_is_told_and_leaves_the_files_until_it_fits() {
    let scene = Scene::new().await;
    let labels = json!({"app": "web"});
    scene.labelled("prod", "one", &labels, &json!({"one": "1"}));
    let agent = scene.agent(&["configmap/*:app=web"], &["--max-size=1Ki"]);
    scene.ready(&agent).await;
    scene.labelled("prod", "two", &labels, &json!({"two": "x".repeat(1024)}));
    let complaint = "2 objects hold 1031 bytes, more than --max-size 1Ki: raise that, or select fewer";
    scene.logged("it is too large; its last content stays").await;
    let trouble = agent.state().await["sources"]["all"][0]["trouble"].clone();
    assert_eq!(trouble, complaint, "{}", scene.log());
    assert!(scene.log().contains(complaint), "{}", scene.log());
    assert_eq!(agent.metric("afresh_agent_source_failing").await, Some(1.0));
    scene.labelled("prod", "one", &labels, &json!({"one": "2"}));
    scene.labelled("prod", "two", &labels, &json!({"two": "3"}));
    scene.says("done", "23\n").await;
    assert!(agent.state().await["sources"]["all"][0]["trouble"].is_null());
    agent.kill().await;

    let small = scene.agent(&["configmap/*:app=web"], &["--max-size=4"]);
    scene.logged("beginning with what an earlier start has written").await;
    scene.ready(&small).await;
    small.kill().await;
    fs::remove_dir_all(scene.path("objects")).unwrap();
    let small = scene.agent(&["configmap/*:app=web"], &["--max-size=4"]);
    scene.not_ready(&small, "more than --max-size 4").await;
}

#[tokio::test]
async fn without_anything_written_before_an_api_server_that_is_away_is_waited_for() {
    let mut scene = Scene::new().await;
    drop(scene.serving.take());
    let address: SocketAddr = scene
        .url
        .trim_start_matches("http://")
        .trim_end_matches('/')
        .parse()
        .unwrap();
    let agent = scene.agent(&["configmap/prod/web"], &[]);
    scene
        .not_ready(&agent, "configmap/prod/web: cannot reach the API server")
        .await;
    scene.config_map("prod", "web", &json!({"a": "1"}));
    scene.serving = Some(scene.sandbox.serve(address).await.unwrap());
    scene.ready(&agent).await;
    assert_eq!(scene.read("objects/a").unwrap(), "1");
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_is_told_and_tried_again() {
    let scene = Scene::new().await;
    scene.config_map("prod", "web", &json!({"a": "1"}));
    // Something is in the way.
    fs::write(scene.path("objects"), "").unwrap();
    let agent = scene.agent(&["configmap/prod/web"], &[]);
    scene.not_ready(&agent, "cannot make").await;
    scene.logged("the objects cannot be written; it is tried again").await;
    fs::remove_file(scene.path("objects")).unwrap();
    scene.ready(&agent).await;
    assert_eq!(scene.read("objects/a").unwrap(), "1");
}

#[tokio::test]
async fn a_program_is_started_with_an_environment_of_objects_and_restarted_with_the_next() {
    let scene = Scene::new().await;
    scene.config_map("prod", "settings", &json!({"LEVEL": "1"}));
    let objects = format!("--env-from={}", scene.path("objects").display());
    let script = "echo $LEVEL $PASSWORD >> $DIR/starts; exec sleep 1000";
    let more = [&objects, "--", "sh", "-c", script];
    let run = scene.start("run", &["configmap/prod/settings", "secret/prod/login"], &more);
    scene.not_ready(&run, "secret/prod/login does not exist").await;
    assert!(scene.read("starts").is_none());
    scene.secret("prod", "login", &json!({"PASSWORD": "p1"}));
    scene.says("starts", "1 p1\n").await;
    scene.config_map("prod", "settings", &json!({"LEVEL": "2"}));
    scene.says("starts", "1 p1\n2 p1\n").await;
    scene
        .eventually("told", async || {
            let state = run.state().await;
            (state["program"]["restarts"]["changed"] == 1 && state["program"]["state"] == "running").then_some(())
        })
        .await;
    assert_eq!(run.end().await, Some(143), "as the program, by SIGTERM");
}

#[tokio::test]
async fn a_supervisor_that_waits_for_objects_ends_as_a_program_that_is_terminated() {
    let scene = Scene::new().await;
    let run = scene.start(
        "run",
        &["configmap/prod/none"],
        &["--", "sh", "-c", "echo > $DIR/starts"],
    );
    scene.not_ready(&run, "configmap/prod/none does not exist").await;
    assert_eq!(run.get("/livez").await.unwrap().0, 200);
    assert_eq!(run.state().await["program"]["state"], "not-started");
    assert_eq!(run.end().await, Some(143));
    assert!(scene.read("starts").is_none(), "it was never started");
}

#[tokio::test]
async fn objects_alone_are_enough_for_an_application_that_looks_by_itself() {
    let scene = Scene::new().await;
    scene.config_map("prod", "web", &json!({"a": "1"}));
    scene.config_map("prod", "more", &json!({"c": "3"}));
    // As a manifest without arguments has it.
    let child = scene
        .command(&["agent"])
        .env("AFRESH_SERVER", &scene.url)
        .env("AFRESH_SOURCE", "configmap/prod/web\nconfigmap/prod/more")
        .env("AFRESH_SOURCE_DIR", scene.path("objects"))
        .spawn()
        .unwrap();
    let address = ([127, 0, 0, 1], 0).into();
    let agent = Agent { child, address };
    scene.says("objects/a", "1").await;
    scene.says("objects/c", "3").await;
    let patch = Patch::Merge(json!({"data": {"a": null, "b": "2"}}));
    scene.sandbox.patch("configmaps", "prod", "web", &patch).unwrap();
    scene.says("objects/b", "2").await;
    scene
        .eventually("gone", async || (!scene.path("objects/a").exists()).then_some(()))
        .await;
    assert_eq!(agent.end().await, Some(0));
}

#[tokio::test]
async fn wrong_flags_are_named_with_the_way_out() {
    let scene = Scene::new().await;
    let directory = "--source-dir=/tmp/objects";
    let cases: [(&[&str], i32, &str); 7] = [
        (
            &["--source=configmap/a"],
            2,
            "--source needs a directory for the files: give --source-dir DIR",
        ),
        (
            &[directory],
            2,
            "--source-dir needs something to write: give --source OBJECT",
        ),
        (
            &["--source=configmap/a", "--source=cm/a", directory],
            2,
            "--source configmap/a is given twice",
        ),
        (&["--source=configmap:", directory], 2, "there is no label in it"),
        (
            &["--source=pod/a", directory],
            2,
            "begins with neither configmap nor secret",
        ),
        (
            &["--source=configmap/a", directory, "--output=/tmp/objects/checked"],
            2,
            "lie within one another",
        ),
        (
            &["--source=configmap/a", directory],
            1,
            "cannot tell which cluster --source means",
        ),
    ];
    for (flags, code, message) in cases {
        let mut command = scene.command(&["agent"]);
        command.args(flags).stderr(Stdio::piped());
        let output = timeout(LONG, command.output()).await.unwrap().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{error}");
        assert!(error.contains(message), "{error}");
    }
}
