//! What all watched paths hold together.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use afresh_model::content::{Content as Digests, Entry};
use afresh_model::digest::{Digest, EntryDigest, EntryHasher, KeyHash};
use afresh_model::selection::Selection;
use afresh_volume::{File, Files, ReadError, Snapshot};

use crate::size::Size;

/// Why there is no content.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContentError {
    /// A path could not be read.
    #[error(transparent)]
    Read(ReadError),
    /// A path holds too much.
    #[error("{path} makes the content larger than --max-size {limit}: raise that, or watch less")]
    TooLarge {
        /// The file that was one too much.
        path: PathBuf,
        /// The limit.
        limit: Size,
    },
    /// Two paths hold the same name.
    #[error("{first} and {second} both hold {name:?}: they cannot be one set of files")]
    Collision {
        /// The name, relative to both.
        name: String,
        /// One path.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
}

impl ContentError {
    fn of(error: ReadError, limit: Size) -> Self {
        match error {
            ReadError::TooLarge { path, .. } => Self::TooLarge { path, limit },
            other => Self::Read(other),
        }
    }

    /// Whether only somebody else's doing can mend it, of which the watcher will tell.
    pub(crate) fn awaits_news(&self) -> bool {
        matches!(self, Self::Read(ReadError::Missing { .. }) | Self::Collision { .. })
    }
}

/// All files, under names relative to the path that holds them.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) files: Files,
    pub(crate) sums: Sums,
}

impl Content {
    /// Reads each path as it is at one moment, and puts them together. Paths are read one after another: the kubelet
    /// swaps the volumes of a pod one after another, too.
    ///
    /// # Errors
    /// See [`ContentError`].
    pub(crate) fn read(paths: &[PathBuf], limit: Size) -> Result<Self, ContentError> {
        let mut files = Files::new();
        let mut holders: BTreeMap<String, &Path> = BTreeMap::new();
        for path in paths {
            let snapshot =
                Snapshot::read_with(path, &limit.limits()).map_err(|error| ContentError::of(error, limit))?;
            for (name, file) in snapshot.into_files() {
                // A file and a directory of one name collide, too, so each is compared by what stands first.
                let top = name.split('/').next().unwrap_or(&name).to_owned();
                let holder = *holders.entry(top.clone()).or_insert(path);
                if holder != path {
                    return Err(ContentError::Collision {
                        name: top,
                        first: holder.to_owned(),
                        second: path.clone(),
                    });
                }
                files.insert(name, file);
            }
        }
        let sums = Sums::of(&files);
        Ok(Self { files, sums })
    }
}

/// What is remembered of a content: a hash per name, never the bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sums(BTreeMap<String, EntryDigest>);

impl Sums {
    pub(crate) fn of(files: &Files) -> Self {
        Self(
            files
                .iter()
                .map(|(name, file)| (name.clone(), sum(name, file)))
                .collect(),
        )
    }

    /// One digest of all; the controller's for an object of these keys.
    pub(crate) fn digest(&self) -> Digest {
        let entry = |(name, digest): (&String, &EntryDigest)| Entry {
            key: KeyHash::of(name),
            digest: *digest,
            binary: false,
        };
        let digests = Digests::new(self.0.iter().map(entry).collect());
        digests.fingerprint(&Selection::all(), None).digest
    }

    /// The names by what became of them since `before`.
    pub(crate) fn since(&self, before: &Self) -> Difference {
        let names = |in_one: &Self, keep: &dyn Fn(&String, &EntryDigest) -> bool| {
            let kept = in_one.0.iter().filter(|(name, digest)| keep(name, digest));
            kept.map(|(name, _)| name.clone()).collect()
        };
        Difference {
            added: names(self, &|name, _| !before.0.contains_key(name)),
            changed: names(self, &|name, digest| {
                before.0.get(name).is_some_and(|old| old != digest)
            }),
            removed: names(before, &|name, _| !self.0.contains_key(name)),
        }
    }
}

fn sum(name: &str, file: &File) -> EntryDigest {
    let mut hasher = EntryHasher::new(name);
    hasher.update(&file.bytes);
    hasher.finish().plain()
}

/// Names that differ between two contents.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) added: Vec<String>,
    pub(crate) changed: Vec<String>,
    pub(crate) removed: Vec<String>,
}

#[cfg(test)]
mod tests {
    use afresh_volume::AtomicWriter;

    use super::*;

    fn limit() -> Size {
        "1Ki".parse().unwrap()
    }

    #[test]
    fn what_is_too_much_names_the_file_and_the_flag() {
        let large = volume(&[("a", &"x".repeat(1000)), ("b", &"x".repeat(1000))]);
        let error = Content::read(&paths(&[&large]), limit()).unwrap_err().to_string();
        let way_out = " makes the content larger than --max-size 1Ki: raise that, or watch less";
        assert!(error.ends_with(way_out), "{error}");
        assert!(Content::read(&paths(&[&large]), "2Ki".parse().unwrap()).is_ok());
    }

    fn volume(entries: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let files = entries
            .iter()
            .map(|(name, text)| ((*name).to_owned(), File::new(*text)));
        AtomicWriter::write(dir.path(), &files.collect()).unwrap();
        dir
    }

    fn paths(volumes: &[&tempfile::TempDir]) -> Vec<PathBuf> {
        volumes.iter().map(|volume| volume.path().to_owned()).collect()
    }

    #[test]
    fn several_paths_are_one_flat_set() {
        let (one, two) = (volume(&[("a", "1"), ("sub/b", "2")]), volume(&[("c", "3")]));
        let content = Content::read(&paths(&[&one, &two]), limit()).unwrap();
        assert_eq!(content.files.keys().collect::<Vec<_>>(), ["a", "c", "sub/b"]);
        let whole = Snapshot::read(volume(&[("a", "1"), ("c", "3"), ("sub/b", "2")]).path()).unwrap();
        assert_eq!(content.sums.digest(), whole.fingerprint(None).digest);
    }

    #[test]
    fn names_that_collide_are_refused_and_named() {
        for (first, second) in [("a", "a"), ("a", "a/b"), ("a/b", "a"), ("a/b", "a/c")] {
            let (one, two) = (volume(&[(first, "1")]), volume(&[(second, "1")]));
            let error = Content::read(&paths(&[&one, &two]), limit()).unwrap_err();
            assert!(!matches!(error, ContentError::Read(_)));
            let text = error.to_string();
            assert!(
                text.contains(one.path().to_str().unwrap()) && text.contains(two.path().to_str().unwrap()),
                "{text}"
            );
            assert!(text.contains("both hold \"a\""), "{text}");
        }
    }

    #[test]
    fn what_differs_is_told_by_name() {
        let sums = |entries: &[(&str, &str)]| Content::read(&paths(&[&volume(entries)]), limit()).unwrap().sums;
        let before = sums(&[("gone", "1"), ("same", "1"), ("other", "1")]);
        let after = sums(&[("new", "1"), ("same", "1"), ("other", "2")]);
        let difference = after.since(&before);
        assert_eq!(
            (difference.added, difference.changed, difference.removed),
            (
                vec!["new".to_owned()],
                vec!["other".to_owned()],
                vec!["gone".to_owned()]
            )
        );
        assert_eq!(after.since(&after), Difference::default());
    }
}
