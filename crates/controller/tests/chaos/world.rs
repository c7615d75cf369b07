//! One run of a schedule: the cluster, what is done to it, and what it must have come to.

use std::time::Duration;

use afresh_sandbox::{Filter, NodeOptions, Options, Patch, RequestFault, Sandbox, Verb};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::manifest::{self, NAMESPACE};
use crate::marks::{self, History};
use crate::model::{Contents, Data, Expected, Kind, Mode, ObjectKind, Use, Workload, is_binary};
use crate::replica::Replica;
use crate::schedule::{Compat, Round, Schedule, Step};

/// Longer than the last touch of the schedule, a lease's term, and what is left of a back-off after a minute of faults.
const QUIET: Duration = Duration::from_secs(150);
/// What the flap breaker may hold back, and then some.
const PATIENCE: Duration = Duration::from_secs(1_300);

pub(crate) struct World {
    pub(crate) sandbox: Sandbox,
    replicas: Vec<Replica>,
    contents: Contents,
    history: History,
    compat: Option<Compat>,
    members: Vec<Member>,
}

struct Member {
    workload: Workload,
    edition: u64,
    /// Templates it had that were not Afresh's doing, since it was created.
    own_revisions: u64,
    /// Rolls up to the beginning of this round, and the owner's changes in it.
    rolls_before: u64,
    evictions_before: usize,
    disturbed: bool,
    /// It was made anew in this round.
    recreated: bool,
    /// Its owner rolled it out since Afresh last did: pods came to be current without a mark.
    unmarked: bool,
    views: Vec<Option<Vec<Data>>>,
    /// What its refreshed files held, in order, and whether a change of them was ever undone. A controller that dies
    /// between a touch and the undoing leaves that to the kubelet's own timer, which stands still here.
    live: Vec<Option<Data>>,
    undone: bool,
}

impl Member {
    fn new(workload: &Workload) -> Self {
        Self {
            workload: workload.clone(),
            edition: 0,
            own_revisions: 1,
            rolls_before: 0,
            evictions_before: 0,
            disturbed: false,
            recreated: false,
            unmarked: false,
            views: Vec::new(),
            live: Vec::new(),
            undone: false,
        }
    }
}

impl World {
    pub(crate) async fn install(schedule: &Schedule) -> Self {
        let base = "2030-01-01T00:00:00Z".parse::<jiff::Timestamp>().unwrap();
        let node = NodeOptions {
            // Only a touch refreshes volumes in time.
            sync_min: Duration::from_secs(50_000),
            sync_max: Duration::from_secs(60_000),
            cache_lag: schedule.options.cache_lag,
            ..NodeOptions::default()
        };
        let sandbox = Sandbox::start(&Options {
            seed: schedule.seed,
            base_time: Some(base + schedule.phase),
            node,
            ..Options::default()
        });
        for namespace in [NAMESPACE, "afresh"] {
            sandbox
                .create(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}))
                .unwrap();
        }
        for (&object, data) in &schedule.contents {
            sandbox.create(manifest::object(object, data)).unwrap();
        }
        let mut world = Self {
            sandbox,
            replicas: Vec::new(),
            contents: schedule.contents.clone(),
            history: History::default(),
            compat: schedule.options.compat,
            members: schedule.workloads.iter().map(Member::new).collect(),
        };
        world.sandbox.faults().seeded(schedule.seed, schedule.start);
        if schedule.installed_first {
            world.start_controllers(schedule);
            sleep(Duration::from_secs(3)).await;
        }
        for Member { workload, edition, .. } in &world.members {
            let mut object = manifest::workload(workload, *edition);
            if let Some(compat) = world.compat.filter(|compat| compat.swapped) {
                marks::leave(&mut object, workload, &world.contents, compat.strategy);
            }
            world.sandbox.create(object).unwrap();
        }
        if !schedule.installed_first {
            sleep(Duration::from_secs(3)).await;
            world.start_controllers(schedule);
        }
        sleep(Duration::from_secs(15)).await;
        world
    }

    fn start_controllers(&mut self, schedule: &Schedule) {
        let replicas = schedule.crashes.iter().enumerate();
        self.replicas = replicas
            .map(|(number, crashes)| Replica::start(&self.sandbox, &schedule.options, number, crashes.clone()))
            .collect();
    }

    pub(crate) async fn disturb(&mut self, seed: u64, round: &Round) {
        self.sandbox.faults().seeded(seed, round.rates);
        for (pause, step) in &round.steps {
            sleep(*pause).await;
            self.carry_out(step).await;
            self.take_views();
        }
        sleep(Duration::from_millis(seed % 5_000)).await;
    }

    /// The faults end. What must hold then, or what does not.
    pub(crate) async fn settle(&mut self) -> Result<(), String> {
        self.sandbox.faults().quiet();
        sleep(QUIET).await;
        let mut waited = QUIET;
        while let Err(stale) = self.check_current() {
            if waited > PATIENCE {
                return Err(stale);
            }
            sleep(QUIET).await;
            waited += QUIET;
        }
        self.check_rolls()
    }

    pub(crate) fn begin_round(&mut self) {
        for number in 0..self.members.len() {
            let rolls = self.rolls(&self.members[number]);
            let evictions = self.evictions(&self.members[number]);
            let member = &mut self.members[number];
            member.rolls_before = rolls;
            member.evictions_before = evictions;
            member.disturbed = false;
            member.recreated = false;
            member.views.clear();
            member.live.clear();
        }
        self.take_views();
    }

    fn take_views(&mut self) {
        self.history.note(&self.contents);
        for member in &mut self.members {
            member.views.push(member.workload.frozen_view(&self.contents));
            let live = member.workload.uses.iter().filter(|usage| usage.is_live());
            let seen: Option<Data> = live
                .enumerate()
                .map(|(n, usage)| Some((n.to_string(), format!("{:?}", usage.seen(&self.contents)?))))
                .collect();
            if member.live.last() != Some(&seen) {
                member.undone |= member.live.contains(&seen);
                member.live.push(seen);
            }
        }
    }

    async fn carry_out(&mut self, step: &Step) {
        match step {
            Step::EditTemplate(number) => self.edit_template(*number).await,
            Step::Rescale(number, replicas) => self.rescale(*number, *replicas),
            Step::RecreateWorkload(number, gap) => self.recreate_workload(*number, *gap).await,
            Step::Kill(number, down) => {
                let number = number % self.replicas.len();
                self.replicas[number].kill(*down);
            }
            Step::DieAtPatch(done) => {
                let fault = RequestFault::Crash { done: *done };
                self.sandbox.faults().next_requests(1, Filter::verb(Verb::Patch), fault);
            }
            Step::Compact => self.sandbox.compact(),
            change => self.change(change).await,
        }
    }

    async fn change(&mut self, step: &Step) {
        match step {
            Step::Set(values) => {
                for (object, key, value) in values {
                    let Some(data) = self.contents.get_mut(object) else {
                        continue;
                    };
                    data.insert(key.clone(), value.clone());
                    self.sandbox.apply(manifest::object(*object, data)).unwrap();
                    self.take_views();
                }
            }
            Step::Unset(object, key) => {
                if let Some(data) = self.contents.get_mut(object) {
                    data.remove(key);
                    let binary = object.kind == ObjectKind::ConfigMap && is_binary(key);
                    let field = if binary { "binaryData" } else { "data" };
                    self.patch(object.resource(), &object.name(), json!({field: {key: null}}));
                }
            }
            Step::Rewrite(object) => {
                let written = manifest::object(*object, &self.contents[object]);
                self.sandbox.apply(written).unwrap();
            }
            Step::Label(object) => {
                let label = self.sandbox.revision().to_string();
                self.patch(
                    object.resource(),
                    &object.name(),
                    json!({"metadata": {"labels": {"bump": label}}}),
                );
            }
            Step::Recreate(object, gap, other) => {
                let mut data = self.contents.remove(object).unwrap();
                self.sandbox
                    .delete(object.resource(), NAMESPACE, &object.name())
                    .unwrap();
                self.take_views();
                sleep(*gap).await;
                data.extend(other.clone());
                self.sandbox.create(manifest::object(*object, &data)).unwrap();
                self.contents.insert(*object, data);
            }
            _ => {}
        }
    }

    fn rescale(&mut self, number: usize, replicas: u64) {
        let member = &mut self.members[number];
        if matches!(member.workload.kind, Kind::Deployment | Kind::StatefulSet) {
            member.workload.replicas = replicas;
            let member = &self.members[number];
            let body = json!({"spec": {"replicas": replicas}});
            self.patch(resource(member), &member.workload.name, body);
        }
    }

    async fn edit_template(&mut self, number: usize) {
        let member = &mut self.members[number];
        // While it is paused, what its owner and Afresh do is one revision: nobody could count them apart.
        if member.workload.kind == Kind::Pod || member.workload.pause.is_some() {
            return;
        }
        member.edition += 1;
        member.own_revisions += 1;
        member.disturbed = true;
        member.unmarked = true;
        let member = &self.members[number];
        let edition = json!({"edition": member.edition.to_string()});
        let body = json!({"spec": {"template": {"metadata": {"annotations": edition}}}});
        sleep(Duration::from_millis(1)).await;
        self.patch(resource(member), &member.workload.name, body);
        sleep(Duration::from_millis(1)).await;
    }

    async fn recreate_workload(&mut self, number: usize, gap: Duration) {
        let member = &mut self.members[number];
        member.own_revisions = 1;
        member.rolls_before = 0;
        member.disturbed = true;
        member.recreated = true;
        member.unmarked = true;
        let (resource, name) = (resource(member), member.workload.name.clone());
        self.sandbox.delete(resource, NAMESPACE, &name).unwrap();
        sleep(gap).await;
        while self.sandbox.get(resource, NAMESPACE, &name).is_some() {
            sleep(Duration::from_millis(100)).await;
        }
        let member = &self.members[number];
        self.sandbox
            .create(manifest::workload(&member.workload, member.edition))
            .unwrap();
    }

    fn patch(&self, resource: &str, name: &str, body: Value) {
        self.sandbox
            .patch(resource, NAMESPACE, name, &Patch::Merge(body))
            .unwrap();
    }

    /// Templates that Afresh brought about.
    fn rolls(&self, member: &Member) -> u64 {
        let name = &member.workload.name;
        let Some(object) = self.sandbox.get(resource(member), NAMESPACE, name) else {
            return 0;
        };
        let revision = match member.workload.kind {
            Kind::Pod => return 0,
            Kind::Deployment => object["metadata"]["annotations"]["deployment.kubernetes.io/revision"]
                .as_str()
                .and_then(|text| text.parse().ok()),
            Kind::StatefulSet | Kind::DaemonSet => {
                let revisions = self.sandbox.list("controllerrevisions", NAMESPACE).into_iter();
                let own = revisions
                    .filter(|revision| revision["metadata"]["ownerReferences"][0]["uid"] == object["metadata"]["uid"]);
                own.filter_map(|revision| revision["revision"].as_u64()).max()
            }
        };
        revision.unwrap_or(0_u64).saturating_sub(member.own_revisions)
    }

    fn check_rolls(&mut self) -> Result<(), String> {
        for number in 0..self.members.len() {
            let member = &self.members[number];
            let mut expected = Expected::of(&member.views);
            if member.disturbed {
                expected.least = 0; // its owner's rollout may have brought the content
            }
            if member.recreated {
                expected.most += 1; // before it is adopted, a write of another key of the object cannot be told from one of its own
            }
            let rolls = self.rolls(member) - member.rolls_before;
            if member.workload.mode == Mode::Evict {
                self.check_evictions(member, rolls, expected)?;
                continue;
            }
            if !expected.holds(rolls) {
                let name = &member.workload.name;
                return Err(format!(
                    "{name} was rolled {rolls} times in this round, expected {expected}"
                ));
            }
            self.check_marks(number, rolls)?;
        }
        Ok(())
    }

    /// In the end every mark is one that Reloader could have left now.
    fn check_marks(&mut self, number: usize, rolls: u64) -> Result<(), String> {
        let member = &mut self.members[number];
        let Some(compat) = self.compat.filter(|_| member.workload.is_rolled()) else {
            return Ok(());
        };
        member.unmarked &= member.disturbed || rolls == 0;
        if member.unmarked {
            return Ok(());
        }
        let member = &self.members[number];
        let object = self.sandbox.get(resource(member), NAMESPACE, &member.workload.name);
        let template = object.unwrap_or_default()["spec"]["template"].take();
        let now = (&self.contents, &self.history);
        marks::check(&template, &member.workload, compat.strategy, now, rolls > 0)
    }

    /// Pods that are evicted are made by the old template, and none is evicted for nothing.
    fn check_evictions(&self, member: &Member, rolls: u64, expected: Expected) -> Result<(), String> {
        let (name, evictions) = (&member.workload.name, self.evictions(member) - member.evictions_before);
        if rolls > 0 {
            return Err(format!("the template of {name} was changed {rolls} times"));
        }
        if evictions > 0 && expected.most == 0 {
            return Err(format!("{evictions} pods of {name} were evicted for nothing"));
        }
        Ok(())
    }

    fn evictions(&self, member: &Member) -> usize {
        let evictions = Filter::verb(Verb::Create).resource("pods").subresource("eviction");
        let log = self.sandbox.log().find(&evictions);
        let own = format!("{}-", member.workload.name);
        log.iter()
            .filter(|record| record.request.name.starts_with(&own))
            .count()
    }

    /// Every process and file sees the current content.
    fn check_current(&self) -> Result<(), String> {
        if self.replicas.iter().any(Replica::is_over) {
            return Err("a controller ended".to_owned());
        }
        self.members.iter().try_for_each(|member| self.check_member(member))
    }

    fn check_member(&self, member: &Member) -> Result<(), String> {
        let workload = &member.workload;
        let pods: Vec<String> = self
            .sandbox
            .list("pods", NAMESPACE)
            .into_iter()
            .filter(|pod| pod["metadata"]["labels"]["app"] == workload.name.as_str())
            .map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned())
            .collect();
        let wanted = match workload.kind {
            Kind::Deployment | Kind::StatefulSet => workload.replicas,
            Kind::DaemonSet | Kind::Pod => 1,
        };
        if let Some(object) = self.sandbox.get(resource(member), NAMESPACE, &workload.name) {
            let since = &object["metadata"]["annotations"]["deployment.reloader.stakater.com/paused-at"];
            if object["spec"]["paused"] == true || !since.is_null() {
                return Err(format!("{} is paused still, since {since}", workload.name));
            }
        }
        if pods.len() as u64 != wanted {
            return Err(format!("{} has {} pods, wanted {wanted}", workload.name, pods.len()));
        }
        pods.iter().try_for_each(|pod| self.check_pod(member, pod))
    }

    fn check_pod(&self, member: &Member, pod: &str) -> Result<(), String> {
        let (workload, node) = (&member.workload, self.sandbox.node());
        let process = node
            .process(NAMESPACE, pod, "app")
            .ok_or_else(|| format!("{pod} does not run"))?;
        for (number, usage) in workload.uses.iter().enumerate() {
            let left_to_the_kubelet = member.undone && !workload.rolls_for(usage);
            if !workload.is_kept_current(usage) || left_to_the_kubelet {
                continue;
            }
            let wanted = usage.seen(&self.contents).unwrap();
            let path = manifest::mount_path(number);
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let seen: Data = match usage {
                Use::EnvFrom(_) | Use::EnvKey(..) => {
                    let own = |name: &str| name.strip_prefix(&format!("P{number}_")).map(ToOwned::to_owned);
                    let env = process.env.iter();
                    env.filter_map(|(name, value)| Some((own(name)?, value.clone())))
                        .collect()
                }
                Use::SubPath(_, key) => {
                    let file = node.file(NAMESPACE, pod, "app", &format!("{path}/{key}"));
                    file.map(|file| (key.clone(), file)).into_iter().collect()
                }
                Use::Mount(_) | Use::Item(..) | Use::Projected(..) => {
                    let files = node.files(NAMESPACE, pod, "app", &path).unwrap_or_default();
                    files
                        .iter()
                        .map(|(name, file)| (name.clone(), text(&file.bytes)))
                        .collect()
                }
            };
            if seen != wanted {
                return Err(format!("{pod} sees {seen:?} through {usage:?}, wanted {wanted:?}"));
            }
        }
        Ok(())
    }
}

fn resource(member: &Member) -> &'static str {
    match member.workload.kind {
        Kind::Deployment => "deployments",
        Kind::StatefulSet => "statefulsets",
        Kind::DaemonSet => "daemonsets",
        Kind::Pod => "pods",
    }
}
