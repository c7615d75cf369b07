//! What is deleted, or deleted and made anew, exactly between a decision and the write that carries it out.

use std::time::Duration;

use afresh_controller::config::Reloader;
use afresh_model::reloader::marks::Strategy;
use afresh_sandbox::{Filter, RequestFault, Verb};
use rstest::rstest;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::kinds::{Means, of_all_kinds};
use crate::world::{PROD, World, annotated, deployment, env_from};

/// Which write is kept back, while its workload is taken away.
#[derive(Debug, Clone, Copy)]
struct Moment {
    means: Means,
    marks: Option<Strategy>,
    verb: Verb,
    resource: &'static str,
    /// So many such requests come before it.
    after: usize,
}

const fn at(means: Means, marks: Option<Strategy>, verb: Verb) -> Moment {
    Moment {
        means,
        marks,
        verb,
        resource: means.resource(),
        after: 0,
    }
}

/// The second one: the first only asks whether it would be taken.
const fn second(moment: Moment) -> Moment {
    Moment { after: 1, ..moment }
}

const fn of(resource: &'static str, moment: Moment) -> Moment {
    Moment { resource, ..moment }
}

const ENV: Option<Strategy> = Some(Strategy::EnvVars);
const ANNOTATION: Option<Strategy> = Some(Strategy::Annotations);

impl Moment {
    async fn world(self) -> World {
        let reloader = self.marks.map(|strategy| Reloader {
            strategy,
            ..Reloader::default()
        });
        let world = of_all_kinds(reloader).await;
        world.configmap("web", json!({"a": "1"}));
        world.create(self.means.object("web", "web"));
        world.create(deployment("other", env_from("web")));
        world.settle().await;
        world
    }

    /// The object changes, and the write that answers it is on its way: nobody has seen it yet.
    async fn decided(self, world: &World) {
        let writes = Filter::verb(self.verb).resource(self.resource);
        let writes = if self.verb == Verb::Create {
            writes
        } else {
            writes.name("web")
        };
        let faults = world.sandbox.faults();
        faults.next_requests(self.after, writes.clone(), RequestFault::Delay(Duration::ZERO));
        faults.next_requests(1, writes, RequestFault::Hold);
        world.configmap("web", json!({"a": "2"}));
        faults.held().await;
    }

    fn requests(self, world: &World) -> usize {
        world
            .sandbox
            .log()
            .count(&Filter::any().resource(self.means.resource()).name("web"))
    }
}

fn record(object: &Value) -> Value {
    let text = object["metadata"]["annotations"]["afresh.dev/applied"]
        .as_str()
        .unwrap_or("null");
    serde_json::from_str(text).unwrap()
}

async fn others_are_not_delayed(world: &World) {
    sleep(Duration::from_secs(1)).await;
    assert_eq!(world.revision("other"), 2);
}

async fn is_let_go(moment: Moment) {
    let world = moment.world().await;
    moment.decided(&world).await;
    world.delete(moment.means.resource(), "web");
    let before = moment.requests(&world);
    world.sandbox.faults().release();
    others_are_not_delayed(&world).await;
    world.settle_for(Duration::from_secs(1_200)).await;

    assert_eq!(world.sandbox.get(moment.means.resource(), PROD, "web"), None);
    let (requests, failed) = (moment.requests(&world) - before, world.told("Failed", "web"));
    assert!(
        requests <= 2 && failed.is_empty(),
        "{requests} requests for what is gone, {failed:?}"
    );
}

async fn gets_nothing_that_was_meant_for_the_one_before(moment: Moment) {
    let (world, resource) = (moment.world().await, moment.means.resource());
    moment.decided(&world).await;
    world.delete(resource, "web");
    world.create(moment.means.object("web", "web"));
    let (made, jobs) = (world.get(resource, "web"), world.sandbox.list("jobs", PROD).len());
    let before = moment.requests(&world);
    world.sandbox.faults().release();
    others_are_not_delayed(&world).await;
    world.settle_for(Duration::from_secs(120)).await;

    let now = world.get(resource, "web");
    assert_eq!(
        (&now["metadata"]["uid"], &now["spec"]),
        (&made["metadata"]["uid"], &made["spec"])
    );
    assert_eq!(
        record(&now)["uid"],
        made["metadata"]["uid"],
        "it is adopted as itself: {now}"
    );
    assert!(world.sandbox.list("jobs", PROD).len() <= jobs, "nothing is made for it");
    let (requests, failed) = (moment.requests(&world) - before, world.told("Failed", "web"));
    assert!(requests <= 4 && failed.is_empty(), "{requests} requests, {failed:?}");

    let current = moment.means.replaced_by(&world, "web");
    world.configmap("web", json!({"a": "3"}));
    world.settle_for(Duration::from_secs(120)).await;
    assert_ne!(
        moment.means.replaced_by(&world, "web"),
        current,
        "and its next change counts"
    );
}

/// Who is there when the write arrives.
#[derive(Debug, Clone, Copy)]
enum Then {
    Nobody,
    AnotherOne,
}

#[rstest]
#[case(at(Means::Deployment, None, Verb::Patch))]
#[case(at(Means::Deployment, ENV, Verb::Patch))]
#[case(at(Means::Deployment, ANNOTATION, Verb::Patch))]
#[case(at(Means::StatefulSet, ENV, Verb::Patch))]
#[case(at(Means::DaemonSet, None, Verb::Patch))]
#[case(at(Means::Rollout, None, Verb::Patch))]
#[case(at(Means::Rollout, ENV, Verb::Get))]
#[case(at(Means::Rollout, ENV, Verb::Patch))]
#[case(at(Means::RestartedRollout, None, Verb::Get))]
#[case(at(Means::RestartedRollout, None, Verb::Patch))]
#[case(at(Means::DeploymentConfig, None, Verb::Patch))]
#[case(at(Means::Custom, None, Verb::Patch))]
#[case(second(at(Means::Custom, ENV, Verb::Patch)))]
#[case(at(Means::Job, None, Verb::Get))]
#[case(of("jobs", at(Means::Job, ENV, Verb::Create)))]
#[case(at(Means::Job, ENV, Verb::Delete))]
#[case(at(Means::CronJob, None, Verb::Get))]
#[case(of("jobs", at(Means::CronJob, ENV, Verb::Create)))]
#[case(at(Means::CronJob, None, Verb::Patch))]
#[tokio::test(start_paused = true)]
async fn a_workload_that_goes_before_its_write_arrives(
    #[case] moment: Moment,
    #[values(Then::Nobody, Then::AnotherOne)] then: Then,
) {
    match then {
        Then::Nobody => is_let_go(moment).await,
        Then::AnotherOne => gets_nothing_that_was_meant_for_the_one_before(moment).await,
    }
}

/// It is deleted by us, and not made again yet.
#[tokio::test(start_paused = true)]
async fn a_job_that_somebody_else_makes_again_first_is_theirs() {
    let moment = second(of("jobs", at(Means::Job, ENV, Verb::Create)));
    let world = moment.world().await;
    moment.decided(&world).await;
    assert_eq!(world.sandbox.get("jobs", PROD, "web"), None);
    world.create(Means::Job.object("web", "web"));
    let made = world.get("jobs", "web");
    world.sandbox.faults().release();
    world.settle_for(Duration::from_secs(600)).await;
    let now = world.get("jobs", "web");
    assert_eq!(
        (&now["metadata"]["uid"], &now["spec"]),
        (&made["metadata"]["uid"], &made["spec"])
    );
    assert_eq!(record(&now)["uid"], made["metadata"]["uid"]);
}

#[rstest]
#[case::gone(false)]
#[case::made_anew(true)]
#[tokio::test(start_paused = true)]
async fn the_end_of_a_pause_is_only_for_the_deployment_that_was_paused(#[case] anew: bool) {
    let world = of_all_kinds(Some(Reloader::default())).await;
    world.configmap("web", json!({"a": "1"}));
    let period = [("deployment.reloader.stakater.com/pause-period", "60s")];
    let web = || annotated(deployment("web", env_from("web")), &period);
    world.create(web());
    world.settle().await;
    world.configmap("web", json!({"a": "2"}));
    sleep(Duration::from_secs(5)).await;
    assert_eq!(world.get("deployments", "web")["spec"]["paused"], true);

    let patches = Filter::verb(Verb::Patch).resource("deployments").name("web");
    world
        .sandbox
        .faults()
        .next_requests(1, patches.clone(), RequestFault::Hold);
    world.sandbox.faults().held().await;
    world.delete("deployments", "web");
    if anew {
        let mut paused = web();
        paused["spec"]["paused"] = json!(true); // by a person
        world.create(paused);
    }
    world.sandbox.faults().release();
    let before = world.sandbox.log().count(&patches);
    world.settle_for(Duration::from_secs(600)).await;
    let patched = world.sandbox.log().count(&patches) - before;
    if anew {
        assert_eq!(world.get("deployments", "web")["spec"]["paused"], true);
    } else {
        assert_eq!(world.sandbox.get("deployments", PROD, "web"), None);
    }
    assert!(patched <= 2 && world.told("Failed", "web").is_empty(), "{patched}");
}

/// A pod that is to be evicted goes by itself, and one of the same name takes its place (as in a StatefulSet).
#[tokio::test(start_paused = true)]
async fn an_eviction_is_only_for_the_pod_that_was_looked_at() {
    let world = of_all_kinds(None).await;
    world.configmap("web", json!({"a": "1"}));
    let web = annotated(
        Means::StatefulSet.object("web", "web"),
        &[("afresh.dev/reload", "evict")],
    );
    world.create(web);
    world.settle().await;
    let evictions = Filter::verb(Verb::Create).resource("pods").subresource("eviction");
    world
        .sandbox
        .faults()
        .next_requests(1, evictions.clone(), RequestFault::Hold);
    world.configmap("web", json!({"a": "2"}));
    world.sandbox.faults().held().await;
    let (first, old) = (world.pods("web"), |pod: &str| {
        world.get("pods", pod)["metadata"]["uid"].clone()
    });
    let before: Vec<Value> = first.iter().map(|pod| old(pod)).collect();
    first.iter().for_each(|pod| world.delete("pods", pod));
    sleep(Duration::from_secs(8)).await; // less than a call may take
    let renewed: Vec<Value> = first.iter().map(|pod| old(pod)).collect();
    assert!(before.iter().zip(&renewed).all(|(old, new)| old != new));
    world.sandbox.faults().release();
    world.settle_for(Duration::from_secs(300)).await;
    let after: Vec<Value> = first.iter().map(|pod| old(pod)).collect();
    assert_eq!(after, renewed, "they were made after the change");
    assert_eq!(world.env("web", "a"), ["2", "2"]);
}

#[rstest]
#[case::the_same_again(Some("2"), 2)]
#[case::what_it_was_before(Some("1"), 3)]
#[case::something_else(Some("3"), 3)]
#[case::not_again(None, 2)]
#[tokio::test(start_paused = true)]
async fn a_config_object_that_goes_while_a_roll_for_it_is_on_its_way(
    #[values(None, ENV)] marks: Option<Strategy>,
    #[case] again: Option<&str>,
    #[case] revision: u64,
) {
    let moment = at(Means::Deployment, marks, Verb::Patch);
    let world = moment.world().await;
    moment.decided(&world).await;
    world.delete("configmaps", "web");
    if let Some(again) = again {
        world.configmap("web", json!({"a": again}));
    }
    world.sandbox.faults().release();
    world.settle_for(Duration::from_secs(300)).await;
    assert_eq!(world.revision("web"), revision);
    if let Some(again) = again {
        assert_eq!(world.env("web", "a"), [again, again]);
        return;
    }
    // Pods that could not start wait for it; they start on whatever it is then.
    world.configmap("web", json!({"a": "2"}));
    world.settle_for(Duration::from_secs(300)).await;
    assert_eq!(
        (world.revision("web"), world.env("web", "a")),
        (2, vec!["2".to_owned(); 2])
    );
}
