//! The watches, merged into one stream of facts.

use std::collections::BTreeSet;
use std::sync::Arc;

use afresh_engine::classes::MountKey;
use afresh_engine::index::{Source, SourceKind};
use afresh_k8s::lean::{
    DecodeError, LeanClass, LeanConfigMap, LeanMount, LeanNamespace, LeanPod, LeanSecret, LeanWorkload, Of, Reader,
    Undecodable, Watched, WithSha1, Workloads,
};
use afresh_k8s::watch::{Event, InitialList, Presence, WatchFailure, WatchOptions, WatchStatus, watch_by};
use afresh_k8s::write::{WriteError, Writer};
use afresh_model::convention::Conventions;
use afresh_model::digest::DigestKey;
use afresh_model::name::{ConfigKey, ConfigKind, Name, WorkloadKey, WorkloadKind};
use afresh_model::object::ConfigObject;
use afresh_model::policy::Problem;
use futures::StreamExt as _;
use futures::stream::{BoxStream, SelectAll};
use kube::Client;

use crate::config::Config;

/// What a watch tells, in the engine's terms.
#[derive(Debug)]
pub(crate) enum Fact {
    /// A list begins.
    Begin,
    /// The list is complete.
    Synced,
    /// Listed or changed.
    Is(Thing, bool),
    /// Gone.
    Gone(Key),
    /// Cannot be read.
    Undecodable(Undecodable),
    /// The watch has trouble.
    Failed(WatchFailure),
}

/// A thing that is watched.
#[derive(Debug)]
pub(crate) enum Thing {
    Object(ConfigKey, ConfigObject, Option<Problem>),
    Workload(Box<LeanWorkload>),
    Pod(Box<LeanPod>),
    Namespace(Name),
    Class(LeanClass),
    Mount(Box<LeanMount>),
}

/// The name of a thing that is gone.
#[derive(Debug)]
pub(crate) enum Key {
    Object(ConfigKey),
    Workload(WorkloadKey),
    Namespace(Name),
    Class(ConfigKey),
    Mount(MountKey),
}

/// One watch among the others.
#[derive(Debug, Clone)]
pub(crate) struct Watch {
    pub(crate) source: Source,
    pub(crate) status: WatchStatus,
}

/// All facts, from all watches.
pub(crate) type Feed = SelectAll<BoxStream<'static, (usize, Fact)>>;

/// Kinds whose pods are watched through them, or through what owns them, not one by one.
const POD_OWNERS: [&str; 4] = ["ReplicaSet", "StatefulSet", "DaemonSet", "ReplicationController"];

/// Helm keeps each release in a Secret of up to a megabyte that no pod uses.
const NO_RELEASES: &str = "type!=helm.sh/release.v1";

/// Pods that may still run.
const ALIVE: &str = "status.phase!=Succeeded,status.phase!=Failed";

/// Begins every watch that the configuration asks for.
pub(crate) fn start(
    client: &Client,
    config: &Config,
    conventions: &Arc<Conventions>,
    key: &DigestKey,
) -> (Feed, Vec<Watch>) {
    let mut builder = Builder {
        client,
        config,
        key: Arc::new(key.clone()),
        conventions: conventions.clone(),
        feed: Feed::new(),
        watches: Vec::new(),
    };
    let everywhere = [None];
    let named: Vec<Option<Name>> = config.namespaces.iter().cloned().map(Some).collect();
    for namespace in if named.is_empty() { &everywhere[..] } else { &named } {
        builder.namespace(namespace.as_ref());
    }
    if config.namespace_selector.is_some() {
        builder.namespaces();
    }
    (builder.feed, builder.watches)
}

struct Builder<'a> {
    client: &'a Client,
    config: &'a Config,
    key: Arc<DigestKey>,
    conventions: Arc<Conventions>,
    feed: Feed,
    watches: Vec<Watch>,
}

impl Builder<'_> {
    fn namespace(&mut self, namespace: Option<&Name>) {
        // A kind that does not count is not watched either: Reloader's chart takes away the right to read it.
        let labels = || self.config.selector.clone();
        for kind in self.conventions.clone().objects.iter().copied() {
            match kind {
                ConfigKind::ConfigMap => self.config_maps(self.options(namespace, labels(), None)),
                ConfigKind::Secret => self.secrets(self.options(namespace, labels(), Some(NO_RELEASES))),
                ConfigKind::SecretProviderClass => self.classes(namespace),
            }
        }
        self.workloads(namespace);
    }

    fn classes(&mut self, namespace: Option<&Name>) {
        if self.config.csi {
            // The selector is for what people label: the driver's own objects bear labels of its own.
            let options = WatchOptions {
                presence: Presence::Optional,
                ..self.options(namespace, None, None)
            };
            self.add(
                Of::<LeanClass>::default(),
                SourceKind::Classes,
                options.clone(),
                |lean| Some(Thing::Class(lean)),
            );
            self.add(Of::<LeanMount>::default(), SourceKind::Mounts, options, |lean| {
                Some(Thing::Mount(Box::new(lean)))
            });
        }
    }

    fn workloads(&mut self, namespace: Option<&Name>) {
        for kind in self.config.kinds.clone() {
            match kind {
                WorkloadKind::Pod => self.pods(namespace),
                kind => self.workloads_of(kind, namespace),
            }
        }
    }

    fn config_maps(&mut self, options: WatchOptions) {
        let conventions = self.conventions.clone();
        self.objects(ConfigKind::ConfigMap, options, move |lean: LeanConfigMap| {
            lean.into_object(&conventions)
        });
    }

    fn secrets(&mut self, options: WatchOptions) {
        let (key, conventions) = (self.key.clone(), self.conventions.clone());
        self.objects(ConfigKind::Secret, options, move |lean: LeanSecret| {
            lean.into_object(&key, &conventions)
        });
    }

    /// Only who keeps Reloader's marks pays for Reloader's hash.
    fn objects<K: Watched>(
        &mut self,
        kind: ConfigKind,
        options: WatchOptions,
        read: impl Fn(K) -> (ConfigKey, ConfigObject, Option<Problem>) + Send + Sync + 'static,
    ) where
        WithSha1<K>: Watched,
    {
        let source = SourceKind::Config(kind);
        let thing = move |lean| {
            let (key, object, problem) = read(lean);
            Some(Thing::Object(key, object, problem))
        };
        if self.conventions.strategy.is_some() {
            let hashed = move |WithSha1(lean)| thing(lean);
            self.add(Of::<WithSha1<K>>::default(), source, options, hashed);
        } else {
            self.add(Of::<K>::default(), source, options, thing);
        }
    }

    fn workloads_of(&mut self, kind: WorkloadKind, namespace: Option<&Name>) {
        let options = WatchOptions {
            presence: if kind.may_be_absent() {
                Presence::Optional
            } else {
                Presence::Certain
            },
            ..self.options(namespace, None, None)
        };
        self.add(Workloads::new(kind), SourceKind::Workload(kind), options, |lean| {
            Some(Thing::Workload(Box::new(lean)))
        });
    }

    fn pods(&mut self, namespace: Option<&Name>) {
        let kinds = self.config.kinds.iter();
        let own = kinds.filter(|kind| matches!(kind, WorkloadKind::Custom(_) | WorkloadKind::Job));
        let owners: Vec<&str> = POD_OWNERS.into_iter().chain(own.map(|kind| kind.api_kind())).collect();
        let options = self.options(namespace, None, Some(ALIVE));
        let source = SourceKind::Workload(WorkloadKind::Pod);
        self.add(Of::<LeanPod>::default(), source, options, move |lean| {
            let owner = lean.owner.as_ref();
            let owned = owner.is_some_and(|owner| owners.contains(&&*owner.kind));
            (!owned).then(|| Thing::Pod(Box::new(lean)))
        });
    }

    fn namespaces(&mut self) {
        let options = self.options(None, self.config.namespace_selector.clone(), None);
        self.add(
            Of::<LeanNamespace>::default(),
            SourceKind::Namespaces,
            options,
            |lean| Some(Thing::Namespace(lean.name)),
        );
    }

    fn options(&self, namespace: Option<&Name>, labels: Option<String>, fields: Option<&str>) -> WatchOptions {
        WatchOptions {
            namespace: namespace.cloned(),
            labels,
            fields: fields.map(str::to_owned),
            initial: if self.config.streaming_lists {
                InitialList::Streaming
            } else {
                InitialList::Paged(InitialList::PAGE)
            },
            ..WatchOptions::default()
        }
    }

    fn add<R: Reader>(
        &mut self,
        reader: R,
        kind: SourceKind,
        options: WatchOptions,
        read: impl Fn(R::Object) -> Option<Thing> + Send + Sync + 'static,
    ) {
        let source = Source {
            kind,
            namespace: options.namespace.clone(),
        };
        let status = WatchStatus::new();
        let number = self.watches.len();
        let excluded: BTreeSet<Name> = self.config.exclude_namespaces.clone();
        let events = watch_by(self.client.clone(), reader, options, status.clone());
        let facts = events.filter_map(move |event| {
            let fact = fact(event, &read).filter(|fact| !fact.is_in(&excluded));
            std::future::ready(fact)
        });
        // In their order, one after the other: only Argo Rollouts can borrow a template.
        let facts = if kind == SourceKind::Workload(WorkloadKind::Rollout) {
            let writer = Writer::new(self.client.clone()).with_limit(self.config.call_timeout);
            facts.then(move |fact| lend(writer.clone(), fact)).boxed()
        } else {
            facts.boxed()
        };
        self.feed.push(facts.map(move |fact| (number, fact)).boxed());
        self.watches.push(Watch { source, status });
    }
}

/// Reads the template of a workload that has none of its own. Where there is none it uses nothing; where it cannot be
/// read, what is known of the workload stands.
async fn lend(writer: Writer, fact: Fact) -> Fact {
    let Fact::Is(Thing::Workload(mut lean), live) = fact else {
        return fact;
    };
    let Some(lender) = lean.lender.clone() else {
        return Fact::Is(Thing::Workload(lean), live);
    };
    match writer.lend(&mut lean).await {
        Ok(()) | Err(WriteError::Gone) => Fact::Is(Thing::Workload(lean), live),
        Err(error) => Fact::Undecodable(Undecodable {
            namespace: lean.key.namespace.as_str().into(),
            name: lean.key.name.as_str().into(),
            resource_version: lean.resource_version,
            deleted: false,
            error: DecodeError::Lent(lender, error.to_string().into()),
        }),
    }
}

fn fact<K>(event: Event<K>, read: &impl Fn(K) -> Option<Thing>) -> Option<Fact> {
    match event {
        Event::Begin => Some(Fact::Begin),
        Event::Synced => Some(Fact::Synced),
        Event::Listed(lean) => read(lean).map(|thing| Fact::Is(thing, false)),
        Event::Applied(lean) => read(lean).map(|thing| Fact::Is(thing, true)),
        Event::Deleted(lean) => read(lean).map(|thing| Fact::Gone(thing.key())),
        Event::Undecodable(what) => Some(Fact::Undecodable(what)),
        Event::Failed(failure) => Some(Fact::Failed(failure)),
    }
}

impl Thing {
    fn key(self) -> Key {
        match self {
            Self::Object(key, ..) => Key::Object(key),
            Self::Workload(lean) => Key::Workload(lean.key),
            Self::Pod(lean) => Key::Workload(lean.key),
            Self::Namespace(name) => Key::Namespace(name),
            Self::Class(lean) => Key::Class(lean.key),
            Self::Mount(lean) => Key::Mount(lean.key),
        }
    }
}

impl Fact {
    fn is_in(&self, namespaces: &BTreeSet<Name>) -> bool {
        if namespaces.is_empty() {
            return false;
        }
        match self {
            Self::Is(Thing::Object(key, ..), _) | Self::Gone(Key::Object(key)) => namespaces.contains(&key.namespace),
            Self::Is(Thing::Workload(lean), _) => namespaces.contains(&lean.key.namespace),
            Self::Is(Thing::Pod(lean), _) => namespaces.contains(&lean.key.namespace),
            Self::Is(Thing::Namespace(name), _) | Self::Gone(Key::Namespace(name)) => namespaces.contains(name),
            Self::Gone(Key::Workload(key)) => namespaces.contains(&key.namespace),
            Self::Is(Thing::Class(lean), _) => namespaces.contains(&lean.key.namespace),
            Self::Is(Thing::Mount(lean), _) => namespaces.contains(&lean.key.0),
            Self::Gone(Key::Class(key)) => namespaces.contains(&key.namespace),
            Self::Gone(Key::Mount(key)) => namespaces.contains(&key.0),
            _ => false,
        }
    }
}
