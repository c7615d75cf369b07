//! The demo by a paused clock, so that a minute of it takes no time and nothing depends on the machine.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use afresh_sandbox::Patch;
use serde_json::json;
use tempfile::TempDir;
use tokio::time::timeout;

use super::page::Page;
use super::script::{Step, script};
use super::show::{Judgement, Show};
use super::stage::{Link, NAMESPACE, Stage};

/// What was printed.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Paper {
    fn text(&self) -> String {
        let bytes = self.0.lock().unwrap().clone();
        anstream::adapter::strip_str(std::str::from_utf8(&bytes).unwrap()).to_string()
    }
}

async fn open(directory: &TempDir) -> (Show, Paper) {
    let paper = Paper::default();
    let stage = Stage::open(Link::Inside, directory.path().to_owned()).await.unwrap();
    stage.populate().unwrap();
    let mut show = Show::new(stage, Page::new(Box::new(paper.clone()), 100));
    show.warm_up().await.unwrap();
    (show, paper)
}

async fn play(steps: &[Step]) -> (Judgement, String) {
    let directory = tempfile::tempdir().unwrap();
    let (mut show, paper) = open(&directory).await;
    let judgement = show.play_all(steps).await.unwrap();
    (judgement, paper.text())
}

#[tokio::test(start_paused = true)]
async fn every_step_of_the_script_comes_out_as_it_should() {
    let (judgement, text) = play(&script()).await;
    assert_eq!(judgement, Judgement::default(), "{text}");
    assert!(text.contains("Result: 9 of 9 steps"), "{text}");
    assert!(text.contains("4 expected, 4 done (api 2, shop 2)"), "{text}");
    assert!(text.contains("3 expected, 3 done (shop 1, web 2)"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_roll_that_was_not_expected_is_found() {
    let mut steps = script();
    steps.truncate(3);
    steps[2].expect.rolls.clear();
    let (judgement, text) = play(&steps).await;
    let expected = [
        "step 3: api was rolled 1 times in all, expected 0",
        "step 3: pods of api were replaced",
    ];
    assert_eq!(judgement.0, expected, "{text}");
    assert!(text.contains("WRONG"), "{text}");
    assert!(text.contains("Result: 2 of 3 steps"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_touch_or_a_roll_that_does_not_come_is_found() {
    let mut steps = script();
    steps.truncate(2);
    steps[1].expect.touches = [("web", 2)].into();
    steps[1].expect.rolls = [("api", 1)].into();
    let (judgement, text) = play(&steps).await;
    let expected = [
        "step 2: api was rolled 0 times in all, expected 1",
        "step 2: web was touched 1 times in all, expected 2",
        "step 2: api has kept some of its old pods",
    ];
    assert_eq!(judgement.0, expected, "{text}");
}

#[tokio::test(start_paused = true)]
async fn without_a_controller_nothing_converges_and_the_demo_says_so() {
    let mut steps = script();
    steps.remove(0);
    steps.truncate(1);
    let (judgement, text) = play(&steps).await;
    assert!(
        judgement
            .0
            .iter()
            .any(|problem| problem == "step 1: web was not adopted"),
        "{text}"
    );
    assert!(
        judgement
            .0
            .iter()
            .any(|problem| problem == "step 1: web does not see the current content"),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_others_do_is_told_apart_from_what_afresh_does() {
    let directory = tempfile::tempdir().unwrap();
    let (mut show, paper) = open(&directory).await;
    let judgement = show.play_all(&script()[..2]).await.unwrap();
    assert_eq!(judgement, Judgement::default());
    let sandbox = show.stage.sandbox.clone();

    let restart = json!({"spec": {"template": {"metadata": {"annotations": {"restarted": "by hand"}}}}});
    sandbox
        .patch("deployments", NAMESPACE, "report", &Patch::Merge(restart))
        .unwrap();
    sandbox.delete("configmaps", NAMESPACE, "api").unwrap();
    assert!(
        timeout(Duration::from_secs(100), show.watch_on()).await.is_err(),
        "it watches for ever"
    );

    let text = paper.text();
    let told = |parts: [&str; 2]| {
        text.lines()
            .filter(|line| parts.iter().all(|part| line.contains(part)))
            .count()
    };
    assert_eq!(told(["roll    report", "not by Afresh"]), 1, "{text}");
    assert_eq!(told(["fresh   plain", "the pod sees motd"]), 1, "{text}");
    assert!(text.contains("by the kubelet's own timer"), "{text}");
    assert_eq!(told(["delete  configmap/api", "is gone"]), 1, "{text}");
    assert_eq!(told(["event   api", "Missing"]), 1, "{text}");
}
