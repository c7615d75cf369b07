//! What `--listen` tells, of `run` also of its program, and how that ends while it waits for something to start it with.

use std::fs;

use rustix::process::Signal;
use serde_json::Value;

use crate::files::agent;
use crate::scene::{Run, Scene, ask, eventually};

const LISTEN: [&str; 2] = ["--listen", "127.0.0.1:0"];

fn state(address: &str) -> Value {
    let answer = ask(address, "/state");
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

/// Waits until the state says so of the program.
fn told(address: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    eventually(what, || {
        Some(state(address)["program"].take()).filter(|program| is_so(program))
    })
}

#[test]
fn without_any_watched_file_the_program_is_told_of() {
    let scene = Scene::new();
    scene.write(&[("LEVEL", "1")]);
    let script = "echo $$; exec sleep 1000";
    let flags = [&LISTEN[..], &["--restart", "on-failure", "--trial", "0s"]].concat();
    let run = scene.run_with_volume(&flags, script);
    let address = scene.address();
    let first: i64 = scene.line(1).parse().unwrap();
    let program = told(&address, "it runs", |program| program["state"] == "running");
    assert_eq!((&program["pid"], &program["starts"]), (&first.into(), &1.into()));
    assert_eq!(
        (&program["startedBecause"], &program["lastExit"]),
        (&"first".into(), &Value::Null)
    );
    assert!(ask(&address, "/readyz").starts_with("HTTP/1.1 200"));
    assert!(ask(&address, "/metrics").contains("afresh_agent_program_last_exit_status -1\n"));

    scene.write(&[("LEVEL", "2")]);
    let second: i32 = scene.line(2).parse().unwrap();
    let program = told(&address, "it is restarted", |program| program["pid"] == second);
    assert_eq!(program["startedBecause"], "changed");
    assert_eq!(
        (&program["restarts"]["changed"], &program["restarts"]["ended"]),
        (&1.into(), &0.into())
    );
    assert_eq!(program["lastExit"]["status"], 143);

    let second = rustix::process::Pid::from_raw(second).unwrap();
    rustix::process::kill_process(second, Signal::KILL).unwrap();
    let ready = eventually("it is not ready", || {
        Some(ask(&address, "/readyz")).filter(|ready| ready.starts_with("HTTP/1.1 503"))
    });
    assert!(
        ready.contains("the program is not running but waiting; it last ended with signal 9"),
        "{ready}"
    );
    let program = told(&address, "it is started again", |program| program["starts"] == 3);
    assert_eq!(
        (&program["startedBecause"], &program["lastExit"]["status"]),
        (&"ended".into(), &137.into())
    );
    let metrics = ask(&address, "/metrics");
    for line in [
        "afresh_agent_program_running 1\n",
        "afresh_agent_program_last_exit_status 137\n",
        "afresh_agent_program_starts_total{why=\"first\"} 1\n",
        "afresh_agent_program_starts_total{why=\"changed\"} 1\n",
        "afresh_agent_program_starts_total{why=\"ended\"} 1\n",
        "afresh_agent_program_starts_total{why=\"fell-back\"} 0\n",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
    run.signal(Signal::TERM);
    assert_eq!(run.code(), 143);
}

#[test]
fn an_environment_that_was_given_up_for_the_last_good_one_is_told() {
    let scene = Scene::new();
    scene.write(&[("LEVEL", "1")]);
    let script = "test $LEVEL = bad && exit 3; exec sleep 1000";
    let _run = scene.run_with_volume(&LISTEN, script);
    let address = scene.address();
    told(&address, "it runs", |program| program["state"] == "running");
    scene.write(&[("LEVEL", "bad")]);
    let program = told(&address, "it fell back", |program| program["restarts"]["fellBack"] == 1);
    assert_eq!(
        (&program["fellBack"], &program["startedBecause"]),
        (&true.into(), &"fell-back".into())
    );
    assert_eq!(program["lastExit"]["how"], "exit status 3");
    scene.write(&[("LEVEL", "3")]);
    told(&address, "it is taken", |program| {
        program["fellBack"] == false && program["state"] == "running"
    });
}

/// A supervisor whose program is never started, for this reason.
fn waiting(scene: &Scene, flags: &[&str], reason: &str) -> Run {
    let run = scene.run(&[&LISTEN, flags].concat(), "echo started");
    let address = scene.address();
    eventually(reason, || {
        let ready = ask(&address, "/readyz");
        (ready.starts_with("HTTP/1.1 503") && ready.contains(reason)).then_some(())
    });
    assert!(ask(&address, "/livez").starts_with("HTTP/1.1 200"));
    assert_eq!(state(&address)["program"]["state"], "not-started");
    run
}

#[test]
fn while_it_waits_for_content_it_answers_and_ends_as_a_program_that_is_terminated() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let scene = Scene::new();
        let missing = scene.path("missing");
        let flags = ["--watch", missing.to_str().unwrap(), "--on-change", "signal:HUP"];
        let run = waiting(&scene, &flags, "missing does not exist");
        run.signal(signal);
        assert_eq!(run.code(), code);
        assert!(scene.lines().is_empty(), "the program was never started");
    }
}

/// What it takes to be given checked content only.
fn checked_by(scene: &Scene, check: &str) -> [String; 6] {
    let (volume, output) = (scene.volume(), scene.path("output-dir"));
    let paths = [volume.to_str().unwrap(), output.to_str().unwrap()];
    ["--watch", paths[0], "--output", paths[1], "--check", check].map(str::to_owned)
}

#[test]
fn while_it_waits_for_good_content_it_answers_and_ends_as_a_program_that_is_terminated() {
    let scene = Scene::new();
    scene.write(&[("a", "bad")]);
    let flags = checked_by(&scene, "grep -q good {}/a");
    let run = waiting(
        &scene,
        &flags.each_ref().map(String::as_str),
        "the check failed: exit status: 1",
    );
    run.signal(Signal::TERM);
    assert_eq!(run.code(), 143);
    assert!(scene.lines().is_empty(), "the program was never started");
}

#[test]
fn a_check_that_hangs_at_the_start_keeps_nobody_from_ending_it() {
    let scene = Scene::new();
    scene.write(&[("a", "1")]);
    let flags = checked_by(&scene, "sh -c 'touch $DIR/checking; exec sleep 1000'");
    let flags = flags.each_ref().map(String::as_str);
    let run = scene.run(&[&flags[..], &["--timeout", "1h"]].concat(), "echo started");
    eventually("the check runs", || scene.path("checking").exists().then_some(()));
    run.signal(Signal::TERM);
    assert_eq!(run.code(), 143);
    assert!(scene.lines().is_empty(), "the program was never started");
}

/// On how many addresses it listens.
fn listens(run: &Run) -> usize {
    let process = format!("/proc/{}", run.pid().as_raw_nonzero());
    let table = |name| fs::read_to_string(format!("{process}/net/{name}")).unwrap_or_default();
    let tables = table("tcp") + &table("tcp6");
    let listening = tables.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        (fields[3] == "0A").then(|| format!("socket:[{}]", fields[9]))
    });
    let listening: Vec<String> = listening.collect();
    let open = fs::read_dir(format!("{process}/fd")).unwrap();
    let open = open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    open.filter(|link| listening.iter().any(|socket| link.as_os_str() == socket.as_str()))
        .count()
}

#[test]
fn nothing_is_served_unless_asked_for() {
    for (flags, count) in [(&[][..], 0), (&LISTEN, 1)] {
        let scene = Scene::new();
        let run = scene.run(flags, "echo started; exec sleep 1000");
        scene.line(1);
        assert_eq!(listens(&run), count, "{flags:?}");
    }
}

#[test]
fn people_and_probes_are_told_what_is_in_use_and_why_not_more() {
    let scene = Scene::new();
    scene.write(&[("a", "bad")]);
    let out = scene.path("out");
    let flags = [
        "--listen",
        "127.0.0.1:0",
        "--output",
        out.to_str().unwrap(),
        "--check",
        "sh -c '! grep -q bad {}/a'",
    ];
    let _run = agent(&scene, &flags);
    scene.logged("there is no good content yet");
    let address = &scene.address();
    let ready = ask(address, "/readyz");
    assert!(
        ready.starts_with("HTTP/1.1 503") && ready.contains("the check failed: exit status: 1"),
        "{ready}"
    );
    assert!(ask(address, "/livez").starts_with("HTTP/1.1 200"));
    let state = ask(address, "/state");
    assert!(
        state.contains("\"ready\":false") && state.contains("\"rejected\":\"the check failed"),
        "{state}"
    );
    assert!(ask(address, "/metrics").contains("afresh_agent_steps_total{step=\"check\",result=\"rejected\"} 1"));

    scene.write(&[("a", "good")]);
    eventually("it is ready", || {
        ask(address, "/readyz").starts_with("HTTP/1.1 200").then_some(())
    });
    scene.write(&[("a", "bad again")]);
    eventually("it is refused", || {
        ask(address, "/metrics")
            .contains("\nafresh_agent_rejected 1\n")
            .then_some(())
    });
    assert!(
        ask(address, "/readyz").starts_with("HTTP/1.1 200"),
        "the last good one is in use"
    );
    let state = ask(address, "/state");
    assert!(
        state.contains("\"current\":false") && state.contains("\"inUse\":2"),
        "{state}"
    );
    assert!(ask(address, "/").starts_with("HTTP/1.1 404"));
    assert!(!state.contains("again\""), "never content");
}
