//! Those who follow the objects.

use std::sync::Arc;
use std::time::Duration;

use afresh_k8s::client::{Connection, RequestCounts, connect};
use afresh_k8s::content::{ConfigMapContent, ObjectContent, SecretContent, get};
use afresh_k8s::lean::Watched;
use afresh_k8s::watch::{Event, WatchFailure, WatchOptions, WatchStatus, watch as watch_objects};
use afresh_model::name::Name;
use futures::StreamExt;
use futures::future::join_all;
use tokio::sync::watch;

use super::feed::Board;
use super::{Cluster, Object, ObjectKind, Strategy};

/// How long one GET may take.
const ANSWER: Duration = Duration::from_secs(10);

/// The pause after a GET that failed, where there is no TTL or a longer one.
const AGAIN: Duration = Duration::from_secs(5);

/// A watch that fails this often in a row is told of; the first failures are what any watch goes through.
const STREAK: u32 = 3;

/// Follows all objects until `asked` is closed.
pub(super) async fn all(cluster: Cluster, board: Arc<Board>, asked: watch::Receiver<u64>) {
    let connection = match connect(&cluster.0, &RequestCounts::default()).await {
        Ok(connection) => connection,
        Err(error) => {
            for index in 0..board.objects.len() {
                board.troubled(index, error.to_string());
            }
            return;
        }
    };
    board.connected(&connection.namespace);
    let followed = board.objects.iter().enumerate().map(|(index, object)| {
        let follower = Follower {
            connection: &connection,
            board: &board,
            index,
            object,
        };
        follower.run(asked.clone())
    });
    join_all(followed).await;
}

struct Follower<'a> {
    connection: &'a Connection,
    board: &'a Board,
    index: usize,
    object: &'a Object,
}

impl Follower<'_> {
    async fn run(self, asked: watch::Receiver<u64>) {
        let namespace = self.object.namespace.as_deref().unwrap_or(&self.connection.namespace);
        let names = namespace
            .parse()
            .and_then(|namespace| Ok((namespace, self.object.name.parse()?)));
        let (namespace, name): (Name, Name) = match names {
            Ok(names) => names,
            Err(error) => return self.board.unreadable(self.index, error.to_string()),
        };
        match self.object.kind {
            ObjectKind::ConfigMap => self.follow::<ConfigMapContent>(namespace, name, asked).await,
            ObjectKind::Secret => self.follow::<SecretContent>(namespace, name, asked).await,
        }
    }

    async fn follow<K: Watched + Into<ObjectContent>>(self, namespace: Name, name: Name, asked: watch::Receiver<u64>) {
        match self.object.strategy {
            Strategy::Watch => self.watch::<K>(namespace, &name, asked).await,
            Strategy::Cached { ttl } => self.get::<K>(&namespace, &name, asked, Some(ttl)).await,
            Strategy::Get => self.get::<K>(&namespace, &name, asked, None).await,
        }
    }

    async fn watch<K: Watched + Into<ObjectContent>>(
        self,
        namespace: Name,
        name: &Name,
        mut asked: watch::Receiver<u64>,
    ) {
        let options = WatchOptions {
            namespace: Some(namespace),
            fields: Some(format!("metadata.name={name}")),
            ..WatchOptions::default()
        };
        let client = self.connection.client.clone();
        let mut events = std::pin::pin!(watch_objects::<K>(client, options, WatchStatus::new()));
        let mut is_listed = false;
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                // Asking brings nothing that the watch does not.
                asked = asked.changed() => match asked {
                    Ok(()) => continue,
                    Err(_) => return,
                },
            };
            match event {
                None => return,
                Some(Event::Begin) => is_listed = false,
                Some(Event::Listed(object) | Event::Applied(object)) => {
                    is_listed = true;
                    self.board.saw(self.index, Some(object.into().entries));
                }
                Some(Event::Synced) if is_listed => {}
                Some(Event::Synced | Event::Deleted(_)) => self.board.saw(self.index, None),
                Some(Event::Undecodable(object)) => {
                    is_listed = true;
                    self.board.unreadable(self.index, object.error.to_string());
                }
                Some(Event::Failed(failure)) => self.failed(&failure),
            }
        }
    }

    fn failed(&self, failure: &WatchFailure) {
        let is_known = self.board.is_known(self.index);
        if !is_known || failure.streak >= STREAK {
            self.board.troubled(self.index, failure.message.to_string());
        }
    }

    async fn get<K: Watched + Into<ObjectContent>>(
        self,
        namespace: &Name,
        name: &Name,
        mut asked: watch::Receiver<u64>,
        ttl: Option<Duration>,
    ) {
        loop {
            let read = get::<K>(&self.connection.client, namespace, name, ANSWER);
            let read = tokio::select! {
                read = read => read,
                () = closed(asked.clone()) => return,
            };
            let pause = match read {
                Ok(object) => {
                    self.board.saw(self.index, object.map(|object| object.into().entries));
                    ttl
                }
                Err(error) => {
                    self.board.troubled(self.index, error.to_string());
                    Some(ttl.map_or(AGAIN, |ttl| ttl.min(AGAIN)))
                }
            };
            let rest = async {
                match pause {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = rest => {}
                asked = asked.changed() => if asked.is_err() { return },
            }
        }
    }
}

/// Waits until nobody can ask any more.
async fn closed(mut asked: watch::Receiver<u64>) {
    while asked.changed().await.is_ok() {}
}
