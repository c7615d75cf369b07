//! Workloads of every kind, for tests that go through all of them.

use afresh_controller::Config;
use afresh_controller::config::Reloader;
use afresh_model::convention::Jobs;
use afresh_model::name::{CustomKind, WorkloadKind};
use afresh_sandbox::{Options, Resource};
use serde_json::{Value, json};

use crate::world::{PROD, World, deployment, env_from};

/// By what means a workload's pods are replaced, and what that looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Means {
    Deployment,
    StatefulSet,
    DaemonSet,
    Rollout,
    RestartedRollout,
    DeploymentConfig,
    Custom,
    Job,
    CronJob,
}

impl Means {
    pub(crate) const fn resource(self) -> &'static str {
        match self {
            Self::Deployment => "deployments",
            Self::StatefulSet => "statefulsets",
            Self::DaemonSet => "daemonsets",
            Self::Rollout | Self::RestartedRollout => "rollouts",
            Self::DeploymentConfig => "deploymentconfigs",
            Self::Custom => "webs",
            Self::Job => "jobs",
            Self::CronJob => "cronjobs",
        }
    }

    const fn api(self) -> (&'static str, &'static str) {
        match self {
            Self::Deployment => ("apps/v1", "Deployment"),
            Self::StatefulSet => ("apps/v1", "StatefulSet"),
            Self::DaemonSet => ("apps/v1", "DaemonSet"),
            Self::Rollout | Self::RestartedRollout => ("argoproj.io/v1alpha1", "Rollout"),
            Self::DeploymentConfig => ("apps.openshift.io/v1", "DeploymentConfig"),
            Self::Custom => ("example.org/v1", "Web"),
            Self::Job => ("batch/v1", "Job"),
            Self::CronJob => ("batch/v1", "CronJob"),
        }
    }

    /// A workload of this kind that takes all of a ConfigMap as environment.
    pub(crate) fn object(self, name: &str, map: &str) -> Value {
        let mut object = deployment(name, env_from(map));
        let (api_version, kind) = self.api();
        object["apiVersion"] = json!(api_version);
        object["kind"] = json!(kind);
        let spec = object["spec"].as_object_mut().unwrap();
        match self {
            Self::Deployment | Self::StatefulSet | Self::Rollout | Self::Custom => {}
            Self::DaemonSet => drop(spec.remove("replicas")),
            Self::RestartedRollout => {
                object["metadata"]["annotations"]["reloader.stakater.com/rollout-strategy"] = json!("restart");
            }
            Self::DeploymentConfig => drop(spec.insert("selector".to_owned(), json!({"app": name}))),
            Self::Job | Self::CronJob => {
                spec.remove("replicas");
                spec.remove("selector");
                spec["template"]["spec"]["restartPolicy"] = json!("Never");
            }
        }
        if self == Self::CronJob {
            let job = object["spec"].take();
            object["spec"] = json!({"schedule": "@yearly", "jobTemplate": {"spec": job}});
        }
        object
    }

    /// What becomes another one when its pods are replaced.
    pub(crate) fn replaced_by(self, world: &World, name: &str) -> Value {
        let object = world.get(self.resource(), name);
        match self {
            Self::RestartedRollout => object["spec"]["restartAt"].clone(),
            Self::Job => object["metadata"]["uid"].clone(),
            Self::CronJob => json!(world.sandbox.list("jobs", PROD).len()),
            _ => object["spec"]["template"].clone(),
        }
    }

    /// Its pod template, or that of the Job which a CronJob had made.
    pub(crate) fn template(self, world: &World, name: &str) -> Value {
        let object = match self {
            Self::CronJob => world.sandbox.list("jobs", PROD).pop().unwrap_or_default(),
            _ => world.get(self.resource(), name),
        };
        object["spec"]["template"].clone()
    }
}

/// A world in which all kinds are kept current, Jobs and CronJobs too.
pub(crate) async fn of_all_kinds(reloader: Option<Reloader>) -> World {
    let mut world = World::empty(&Options::default(), |config| keep_all_kinds(config, reloader));
    for (group, version, plural, kind) in [
        ("argoproj.io", "v1alpha1", "rollouts", "Rollout"),
        ("apps.openshift.io", "v1", "deploymentconfigs", "DeploymentConfig"),
        ("example.org", "v1", "webs", "Web"),
    ] {
        world.sandbox.register(Resource::custom(group, version, plural, kind));
    }
    world.restart();
    world.settle().await;
    world
}

fn keep_all_kinds(config: &mut Config, reloader: Option<Reloader>) {
    let web: CustomKind = "example.org/v1/Web=spec.template".parse().unwrap();
    config.kinds.extend([
        WorkloadKind::Rollout,
        WorkloadKind::DeploymentConfig,
        WorkloadKind::Custom(web.intern()),
        WorkloadKind::Job,
        WorkloadKind::CronJob,
    ]);
    config.conventions.jobs = Jobs::Always;
    config.reloader = reloader;
}
