//! One look at the pods of a workload whose pods are evicted one by one.

use afresh_engine::engine::{Command, Eviction, Outcome};
use afresh_engine::evict::{self, Pod, Step};
use afresh_k8s::lean::LeanReplica;
use afresh_k8s::write::WriteError;
use afresh_model::name::Name;
use afresh_model::time::UnixSeconds;

use crate::act::Actor;

impl Actor {
    /// Evicts the next pod, if there is one whose turn it is.
    pub(crate) async fn evict(
        &self,
        command: &Command,
        selector: &str,
        since: UnixSeconds,
    ) -> Result<Outcome, WriteError> {
        let namespace = &command.key.namespace;
        if selector.is_empty() {
            return self.evict_one(namespace, &command.key.name, &command.uid).await;
        }
        // How many there should be is read anew each time: right after an eviction one is missing in the list only.
        let workload = self.writer.get_workload(&command.key).await?;
        if workload.observed.uid != command.uid {
            return Ok(Outcome::Gone);
        }
        let pods = self.writer.list_replicas(namespace, selector).await?;
        let pods: Vec<Pod> = pods.into_iter().map(seen).collect();
        match evict::next(&pods, since, workload.replicas) {
            Step::Done => Ok(Outcome::Eviction(Eviction::Done)),
            Step::Wait => Ok(Outcome::Eviction(Eviction::Waits)),
            Step::Evict { pod, uid } => self.evict_one(namespace, &pod, &uid).await,
        }
    }

    async fn evict_one(&self, namespace: &Name, pod: &Name, uid: &str) -> Result<Outcome, WriteError> {
        let eviction = match self.writer.evict_pod(namespace, pod, uid).await {
            // Gone by itself is as good.
            Ok(()) | Err(WriteError::Gone) => Eviction::Evicted(pod.clone()),
            Err(WriteError::Throttled { retry_after, message }) => Eviction::Refused {
                pod: pod.clone(),
                after: retry_after,
                message: message.into(),
            },
            Err(error) => return Err(error),
        };
        Ok(Outcome::Eviction(eviction))
    }
}

fn seen(replica: LeanReplica) -> Pod {
    let LeanReplica { pod, ready, .. } = replica;
    Pod {
        name: pod.key.name,
        uid: pod.uid,
        created: pod.created,
        ready,
        leaving: pod.deleting,
        owned: pod.owner.is_some(),
    }
}
