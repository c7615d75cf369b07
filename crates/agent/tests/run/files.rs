//! Watched files: what is checked, written out and done when they change.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Child, Command};

use crate::scene::{PROGRAM, Run, Scene, eventually, is_alive};

/// Writes each signal that it gets, and stays.
const SIGNALLED: &str = "trap 'echo HUP' HUP; echo ready; while :; do sleep 0.02; done";

/// `afresh-agent run --watch VOLUME FLAGS -- sh -c SCRIPT`.
fn watching(scene: &Scene, flags: &[&str], script: &str) -> Run {
    let volume = scene.volume();
    let own = ["--watch", volume.to_str().unwrap(), "--settle", "20ms"];
    scene.run(&[&own, flags].concat(), script)
}

/// `afresh-agent agent --watch VOLUME FLAGS`.
pub(crate) fn agent(scene: &Scene, flags: &[&str]) -> Run {
    let log = fs::File::options()
        .create(true)
        .append(true)
        .open(scene.path("log"))
        .unwrap();
    let mut command = Command::new(PROGRAM);
    command
        .arg("agent")
        .arg("--watch")
        .arg(scene.volume())
        .args(["--settle", "20ms"])
        .args(flags);
    command.env("DIR", scene.path("")).stderr(log);
    Run(command.spawn().unwrap())
}

pub(crate) fn read(scene: &Scene, name: &str) -> Option<String> {
    fs::read_to_string(scene.path(name)).ok()
}

/// Waits until a file says so.
pub(crate) fn says(scene: &Scene, name: &str, text: &str) {
    eventually(&format!("{text:?} in {name}; log:\n{}", scene.log()), || {
        (read(scene, name)? == text).then_some(())
    });
}

#[test]
fn a_change_is_a_signal_to_the_program_and_what_changes_no_content_is_none() {
    let scene = Scene::new();
    scene.write(&[("a", "1")]);
    let run = watching(
        &scene,
        &["--on-change", "signal:HUP", "--log-level", "debug"],
        SIGNALLED,
    );
    scene.line(1);

    scene.write(&[("a", "2")]);
    assert_eq!(scene.line(2), "HUP");
    // Another directory of the same content.
    fs::remove_file(scene.volume().join("..data")).unwrap();
    scene.write(&[("a", "2")]);
    scene.logged("the content is the same");
    scene.write(&[("a", "3")]);
    assert_eq!(scene.line(3), "HUP");

    assert_eq!(scene.lines(), ["ready", "HUP", "HUP"]);
    drop(run);
}

#[test]
fn content_that_fails_the_check_reaches_nothing_and_mended_content_does() {
    let scene = Scene::new();
    scene.write(&[("a", "good 1")]);
    let output = scene.path("output-dir");
    let flags = [
        "--check",
        "sh -c 'grep -q good {}/a && grep -q good $AFRESH_STAGED/a'",
        "--output",
        output.to_str().unwrap(),
        "--on-change",
        "signal:HUP",
    ];
    let _run = watching(&scene, &flags, SIGNALLED);
    scene.line(1);
    assert_eq!(
        read(&scene, "output-dir/a").unwrap(),
        "good 1",
        "it is there before the program is"
    );

    scene.write(&[("a", "bad")]);
    scene.logged("the check failed");
    assert_eq!(read(&scene, "output-dir/a").unwrap(), "good 1");
    scene.write(&[("a", "good 2"), ("b", "new")]);

    says(&scene, "output-dir/a", "good 2");
    says(&scene, "output-dir/b", "new");
    assert_eq!(scene.line(2), "HUP");
    assert_eq!(scene.lines(), ["ready", "HUP"]);
    assert_eq!(
        scene.log().matches("the check failed").count(),
        1,
        "bad content is tried once"
    );
}

#[test]
fn a_check_that_hangs_is_killed_and_has_failed() {
    let scene = Scene::new();
    scene.write(&[("a", "1")]);
    let check = "sh -c 'grep -q 1 {}/a || { echo $$ > $DIR/check; sleep 1000; }'";
    let flags = ["--check", check, "--timeout", "200ms", "--on-change", "signal:HUP"];
    let mut run = watching(&scene, &flags, SIGNALLED);
    scene.line(1);

    scene.write(&[("a", "2")]);

    scene.logged("did not end within 200ms and was ended");
    // One that was ended before it wrote who it is is tried again.
    let pid = eventually("who it was", || read(&scene, "check").filter(|pid| pid.ends_with('\n')));
    eventually("its end", || (!is_alive(&pid)).then_some(()));
    assert!(run.is_running());
    assert_eq!(scene.lines(), ["ready"]);
}

#[test]
fn bad_content_at_the_start_is_waited_for_unless_the_output_still_holds_good_one() {
    let scene = Scene::new();
    scene.write(&[("a", "bad")]);
    let output = scene.path("output-dir");
    let flags = ["--check", "grep -q good {}/a", "--output", output.to_str().unwrap()];
    let mut first = watching(&scene, &flags, "echo started");
    scene.logged("there is no good content yet");
    assert!(first.is_running() && scene.lines().is_empty());
    scene.write(&[("a", "good")]);
    assert_eq!(first.code(), 0);
    scene.write(&[("a", "bad")]);

    assert_eq!(watching(&scene, &flags, "cat $DIR/output-dir/a").code(), 0);

    assert_eq!(scene.lines(), ["started", "good"]);
}

#[test]
fn actions_are_done_in_order_and_the_one_that_fails_again_until_it_succeeds() {
    let scene = Scene::new();
    scene.write(&[("a", "1")]);
    let flags = [
        "--on-change",
        "exec:sh -c 'echo one >> $DIR/done'",
        "--on-change",
        "exec:sh -c 'echo two >> $DIR/done; test -e $DIR/works'",
        "--verify",
        "sh -c 'echo verified >> $DIR/done'",
    ];
    let _run = agent(&scene, &flags);
    scene.logged("watching");

    scene.write(&[("a", "2")]);
    scene.logged("failed; it is tried again");
    assert_eq!(read(&scene, "done").unwrap(), "one\ntwo\n");
    fs::write(scene.path("works"), "").unwrap();

    says(&scene, "done", "one\ntwo\ntwo\nverified\n");
}

#[test]
fn newer_content_is_acted_on_without_waiting_for_the_pause() {
    let scene = Scene::new();
    scene.write(&[("a", "1")]);
    // It pauses longer than a test is waited for after seven failures; each change begins anew.
    let _run = agent(
        &scene,
        &[
            "--on-change",
            "exec:sh -c 'echo again >> $DIR/done; grep -q good $DIR/volume/a'",
        ],
    );
    scene.logged("watching");
    scene.write(&[("a", "bad")]);
    scene.logged("failed; it is tried again");

    scene.write(&[("a", "good")]);

    says(&scene, "done", "again\nagain\n");
}

/// Answers one request after the other with these statuses, and returns what was asked.
fn server(statuses: &'static [&'static str]) -> (String, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let answer = move |status: &&str| {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 1024];
        let length = stream.read(&mut request).unwrap();
        let body = "no\n";
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let text = String::from_utf8_lossy(&request[..length]).into_owned();
        text.lines().next().unwrap_or_default().to_owned()
    };
    (
        address,
        std::thread::spawn(move || statuses.iter().map(answer).collect()),
    )
}

#[test]
fn a_request_is_repeated_until_it_is_answered_with_success() {
    let scene = Scene::new();
    scene.write(&[("a", "1")]);
    let (address, asked) = server(&["500 Broken", "200 OK"]);
    let action = format!("http:POST http://{address}/-/reload");
    let _run = agent(&scene, &["--on-change", &action]);
    scene.logged("watching");

    scene.write(&[("a", "2")]);

    scene.logged("answered 500 Internal Server Error: no");
    assert_eq!(asked.join().unwrap(), ["POST /-/reload HTTP/1.1"; 2]);
    scene.logged("done");
}

#[test]
fn the_program_can_be_restarted_when_files_change() {
    let scene = Scene::new();
    scene.write(&[("a", "1")]);
    let run = watching(
        &scene,
        &["--on-change", "restart"],
        "cat $DIR/volume/a; echo; while :; do sleep 0.02; done",
    );
    assert_eq!(scene.line(1), "1");
    scene.write(&[("a", "2")]);
    assert_eq!(scene.line(2), "2");
    drop(run);
}

/// A process under a name of its own.
fn named(scene: &Scene, name: &str) -> Child {
    let program = scene.path(name);
    if !program.exists() {
        fs::copy("/bin/sleep", &program).unwrap();
    }
    Command::new(program).arg("1000").spawn().unwrap()
}

#[test]
fn the_agent_signals_the_one_process_of_a_name_and_none_of_two() {
    let scene = Scene::new();
    scene.write(&[("a", "1")]);
    let name = format!("app{}", std::process::id());
    let _run = agent(&scene, &["--process", &name, "--on-change", "signal:TERM"]);
    scene.logged("watching");

    scene.write(&[("a", "2")]);
    scene.logged("no process is called");
    let (mut one, mut two) = (Run(named(&scene, &name)), Run(named(&scene, &name)));
    scene.logged("it is not guessed which is meant");
    assert!(one.is_running() && two.is_running());
    drop(two);

    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&one.ended()),
        Some(15),
        "tried again by itself"
    );
}

#[test]
fn the_agent_acts_now_and_then_where_it_is_told_to() {
    let scene = Scene::new();
    scene.write(&[("a", "1")]);
    let _run = agent(
        &scene,
        &["--every", "30ms", "--on-change", "exec:sh -c 'echo x >> $DIR/done'"],
    );
    eventually("three times", || {
        (read(&scene, "done")?.lines().count() >= 3).then_some(())
    });
}

#[test]
fn a_volume_that_vanishes_stops_nothing_and_is_taken_when_it_is_back() {
    let scene = Scene::new();
    scene.write(&[("a", "1")]);
    let mut run = watching(&scene, &["--on-change", "signal:HUP"], SIGNALLED);
    scene.line(1);

    fs::rename(scene.volume(), scene.path("away")).unwrap();
    scene.logged("what is in use stays");
    assert!(run.is_running());
    fs::create_dir(scene.path("volume.new")).unwrap();
    fs::rename(scene.path("volume.new"), scene.volume()).unwrap();
    scene.write(&[("a", "2")]);

    assert_eq!(scene.line(2), "HUP");
}

#[test]
fn wrong_flags_are_a_wrong_usage_with_the_way_out() {
    let scene = Scene::new();
    for (flags, said) in [
        (
            &["--on-change", "reload"][..],
            "\"reload\" is no action: write signal:HUP",
        ),
        (&["--on-change", "exec:"], "exec: the command is missing"),
        (&["--check", "sh -c 'x"], "is never closed"),
        (
            &["--on-change", "restart", "--every", "0"],
            "write a duration such as 10s",
        ),
    ] {
        assert_eq!(agent(&scene, flags).code(), 2, "{flags:?}");
        assert!(scene.log().contains(said), "{}", scene.log());
    }
}
