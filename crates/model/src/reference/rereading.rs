//! Which volumes Afresh agents in the pod reread.

use std::path::Path;

use crate::template::{Agent, Container, KeyToPath, PodSpec, Reach};

/// A volume that an agent mounts and, at least in part, watches.
pub(super) struct Rereading<'a> {
    /// The agent's container.
    pub(super) container: &'a str,
    volume: &'a str,
    mounted_at: &'a str,
    agent: Agent,
}

/// What the agents of a pod reread; those of init containers that end reread nothing for long.
pub(super) fn rereadings(spec: &PodSpec) -> Vec<Rereading<'_>> {
    let sidecars = spec.init_containers.iter().filter(|container| container.is_sidecar());
    let staying = spec.containers.iter().chain(sidecars);
    staying.flat_map(of_container).collect()
}

fn of_container(container: &Container) -> Vec<Rereading<'_>> {
    let Some(agent) = container.agent() else {
        return Vec::new();
    };
    let whole = container.volume_mounts.iter().filter(|mount| mount.is_whole());
    let reading = whole.map(|mount| Rereading {
        container: &container.name,
        volume: &mount.name,
        mounted_at: &mount.mount_path,
        agent: agent.clone(),
    });
    reading.collect()
}

impl Rereading<'_> {
    /// Whether it serves a container that uses these keys of the volume (all of them where no items are chosen): the
    /// whole volume is watched, or the file of each key.
    pub(super) fn serves(&self, container: &str, volume: &str, items: Option<&[KeyToPath]>) -> bool {
        let reached = self.agent.reach == Reach::Pod || *self.container == *container;
        let watches_file = |item: &KeyToPath| {
            let path = Path::new(self.mounted_at).join(&*item.path);
            path.to_str().is_some_and(|path| self.agent.watches(path))
        };
        let watches =
            || self.agent.watches(self.mounted_at) || items.is_some_and(|items| items.iter().all(watches_file));
        reached && *self.volume == *volume && watches()
    }
}
