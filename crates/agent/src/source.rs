//! Objects straight from the API server, as files: for those who cannot wait for a kubelet, or need objects of another
//! namespace.
//!
//! ```text
//! API server ─▶ watch ─▶ what is known of each source ─▶ one flat set of files ─▶ a directory, swapped at one moment
//! ```
//! What follows from the directory's change is everybody else's work, as with any other watched directory. Which program
//! can do this is decided by who starts it ([`Objects`]): the small `afresh-agent` has no Kubernetes client in it.

#[cfg(feature = "source")]
mod follow;
#[cfg(feature = "source")]
mod merge;
#[cfg(feature = "source")]
mod seen;
mod selector;
#[cfg(feature = "source")]
mod sizes;

use std::convert::Infallible;
use std::fmt;
use std::future::pending;
use std::path::PathBuf;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;

use afresh_model::name::{ConfigKind, Name, NameError};
use tokio::sync::watch;

use crate::size::Size;
use crate::status::Status;

#[cfg(feature = "source")]
pub use follow::follow;
pub use selector::{LabelSelector, SelectorError};

/// The kinds of object that can be a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// core/v1 `ConfigMap`.
    ConfigMap,
    /// core/v1 Secret.
    Secret,
}

impl Kind {
    /// As users write it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::ConfigMap => ConfigKind::ConfigMap.word(),
            Self::Secret => ConfigKind::Secret.word(),
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        match ConfigKind::from_word(word)? {
            ConfigKind::ConfigMap => Some(Self::ConfigMap),
            ConfigKind::Secret => Some(Self::Secret),
            ConfigKind::SecretProviderClass => None,
        }
    }
}

/// Where objects are selected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// The pod's own namespace, or that of the kubeconfig's context.
    Own,
    /// This one.
    Namespace(Name),
    /// All.
    All,
}

/// One `--source`. Written as it is read: `configmap/NAME`, `secret/NAMESPACE/NAME`, `configmap:LABELS`,
/// `secret/NAMESPACE:LABELS`, `configmap/*:LABELS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// One object, by its name.
    Object {
        /// Its kind.
        kind: Kind,
        /// Its namespace, unless it is the own one.
        namespace: Option<Name>,
        /// Its name.
        name: Name,
    },
    /// All objects with these labels.
    Selection {
        /// Their kind.
        kind: Kind,
        /// Where.
        scope: Scope,
        /// Which labels.
        labels: LabelSelector,
    },
}

/// A text that is no source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// It does not begin with a kind.
    #[error("{text:?} begins with neither configmap nor secret: {WAY_OUT}")]
    Kind {
        /// The text.
        text: String,
    },
    /// A kind alone, or too many parts.
    #[error("{text:?} names no object: {WAY_OUT}")]
    Parts {
        /// The text.
        text: String,
    },
    /// A name in every namespace.
    #[error("{text:?}: all namespaces go with labels only: write configmap/*:LABEL=VALUE")]
    NameInAll {
        /// The text.
        text: String,
    },
    /// A namespace or a name.
    #[error("{text:?}: {source}")]
    Name {
        /// The text.
        text: String,
        /// What is wrong.
        source: NameError,
    },
    /// A namespace is a DNS label.
    #[error("{text:?}: {namespace:?} is no namespace: at most 63 of a-z, 0-9 and '-'")]
    Namespace {
        /// The text.
        text: String,
        /// The part that is wrong.
        namespace: Name,
    },
    /// The labels.
    #[error("{text:?}: {source}")]
    Labels {
        /// The text.
        text: String,
        /// What is wrong.
        source: SelectorError,
    },
}

const WAY_OUT: &str =
    "write configmap/NAME, secret/NAMESPACE/NAME, configmap:LABEL=VALUE or secret/NAMESPACE:LABEL=VALUE";

impl FromStr for Source {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        let own = || text.to_owned();
        // A label's key may have a slash, a name has no colon.
        let (head, labels) = match text.split_once(':') {
            Some((head, labels)) => (head, Some(labels)),
            None => (text, None),
        };
        let mut parts = head.split('/');
        let kind = parts.next().and_then(Kind::from_word);
        let kind = kind.ok_or_else(|| SourceError::Kind { text: own() })?;
        let parts: Vec<&str> = parts.collect();
        let name = |part: &str| {
            let name = part.parse::<Name>();
            name.map_err(|source| SourceError::Name { text: own(), source })
        };
        let namespace = |part: &str| match name(part)? {
            namespace if is_namespace(&namespace) => Ok(namespace),
            namespace => Err(SourceError::Namespace { text: own(), namespace }),
        };
        if let Some(labels) = labels {
            let labels = labels
                .parse()
                .map_err(|source| SourceError::Labels { text: own(), source })?;
            let scope = match parts[..] {
                [] => Scope::Own,
                ["*"] => Scope::All,
                [part] => Scope::Namespace(namespace(part)?),
                _ => return Err(SourceError::Parts { text: own() }),
            };
            return Ok(Self::Selection { kind, scope, labels });
        }
        let (namespace, name) = match parts[..] {
            ["*", _] => return Err(SourceError::NameInAll { text: own() }),
            [part] => (None, name(part)?),
            [first, part] => (Some(namespace(first)?), name(part)?),
            _ => return Err(SourceError::Parts { text: own() }),
        };
        Ok(Self::Object { kind, namespace, name })
    }
}

fn is_namespace(name: &Name) -> bool {
    name.as_str().len() <= 63 && !name.as_str().contains('.')
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object { kind, namespace, name } => match namespace {
                Some(namespace) => write!(f, "{}/{namespace}/{name}", kind.word()),
                None => write!(f, "{}/{name}", kind.word()),
            },
            Self::Selection { kind, scope, labels } => match scope {
                Scope::Own => write!(f, "{}:{labels}", kind.word()),
                Scope::Namespace(namespace) => write!(f, "{}/{namespace}:{labels}", kind.word()),
                Scope::All => write!(f, "{}/*:{labels}", kind.word()),
            },
        }
    }
}

/// What is followed, where it is written, and which API server knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourcePlan {
    /// In this order: of two that hold the same key the later one wins.
    pub sources: Vec<Source>,
    /// The directory that is written.
    pub directory: PathBuf,
    /// The most that the objects of one source may hold.
    pub max_size: Size,
    /// This kubeconfig; otherwise `KUBECONFIG`, `~/.kube/config`, or the pod's ServiceAccount.
    pub kubeconfig: Option<PathBuf>,
    /// This context of it, instead of the current one.
    pub context: Option<String>,
    /// The API server at this URL, without a kubeconfig and without credentials.
    pub server: Option<String>,
}

/// It cannot be told which cluster is meant, or by which credentials.
#[derive(Debug, thiserror::Error)]
#[error("cannot tell which cluster --source means: {reason}")]
pub struct NoCluster {
    /// Why.
    pub reason: String,
}

/// Follows sources for ever, if it can be told which cluster is meant. To be told when there is content to begin with.
pub type Follow = fn(SourcePlan, Arc<Status>, Opening) -> Following;

/// What follows sources: it ends only if it cannot begin.
pub type Following = Pin<Box<dyn Future<Output = NoCluster>>>;

/// Whether the program can follow objects.
#[derive(Debug, Clone, Copy)]
pub enum Objects {
    /// It has no Kubernetes client in it.
    NotBuiltIn,
    /// It has.
    BuiltIn(Follow),
}

/// The end of those who write: says that the directory holds what is to be begun with.
#[derive(Debug)]
pub struct Opening(watch::Sender<bool>);

impl Opening {
    /// From now on. Returns whether it was not so before.
    pub fn open(&self) -> bool {
        !self.0.send_replace(true)
    }

    /// Whether it was said.
    #[must_use]
    pub fn is_open(&self) -> bool {
        *self.0.borrow()
    }
}

/// The end of those who wait for content.
#[derive(Debug)]
pub(crate) struct Opened(Option<watch::Receiver<bool>>);

impl Opened {
    /// Returns when there is content to begin with: at once where nothing is followed.
    pub(crate) async fn wait(&mut self) {
        if let Some(opened) = &mut self.0
            && opened.wait_for(|is_open| *is_open).await.is_err()
        {
            // Whoever writes has ended, and says why.
            let _: Infallible = pending().await;
        }
    }
}

impl SourcePlan {
    /// Begins, where there is anything to follow: what does it, and what waits for the first content.
    pub(crate) fn begin(plan: Option<(Self, Follow)>, status: &Arc<Status>) -> (Following, Opened) {
        match plan {
            None => (Box::pin(pending()), Opened(None)),
            Some((plan, follow)) => {
                let (opening, opened) = watch::channel(false);
                let following = follow(plan, Arc::clone(status), Opening(opening));
                (following, Opened(Some(opened)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("configmap/web", "configmap/web")]
    #[case("cm/web", "configmap/web")]
    #[case("secret/prod/web.crt", "secret/prod/web.crt")]
    #[case("configmap:app=web", "configmap:app=web")]
    #[case(
        "secrets/prod:app.kubernetes.io/name in (a,b),!old",
        "secret/prod:app.kubernetes.io/name in (a,b),!old"
    )]
    #[case("configmaps/*:grafana_dashboard", "configmap/*:grafana_dashboard")]
    fn a_source_is_read_and_written_the_same(#[case] text: &str, #[case] written: &str) {
        let source: Source = text.parse().unwrap();
        assert_eq!(source.to_string(), written);
        assert_eq!(written.parse::<Source>(), Ok(source));
    }

    #[rstest]
    #[case("", "\"\" begins with neither configmap nor secret: write configmap/NAME")]
    #[case("web", "\"web\" begins with neither configmap nor secret")]
    #[case("pod/web", "\"pod/web\" begins with neither")]
    #[case("secretproviderclass/web", "\"secretproviderclass/web\" begins with neither")]
    #[case("configmap", "\"configmap\" names no object: write configmap/NAME")]
    #[case("configmap/a/b/c", "\"configmap/a/b/c\" names no object")]
    #[case("configmap/a/b:c=d", "\"configmap/a/b:c=d\" names no object")]
    #[case("configmap/", "\"configmap/\": a name is empty")]
    #[case("configmap/Web", "\"configmap/Web\": \"Web\" is not a Kubernetes name")]
    #[case("configmap/a.b/web", "\"configmap/a.b/web\": \"a.b\" is no namespace")]
    #[case("secret/*/web", "\"secret/*/web\": all namespaces go with labels only")]
    #[case("configmap:", "\"configmap:\": there is no label in it")]
    #[case("configmap/*:a=b=c", "\"configmap/*:a=b=c\": \"b=c\" is no value of a label")]
    fn what_is_wrong_is_named_with_the_way_out(#[case] text: &str, #[case] message: &str) {
        let error = text.parse::<Source>().unwrap_err().to_string();
        assert!(error.starts_with(message), "{error}");
    }
}
