//! Which relative paths a volume may hold: the kubelet's `validatePath` and `cleanPayload`.

use std::collections::BTreeMap;

use crate::{File, Files};

/// Linux's `PATH_MAX` as the kubelet uses it, in bytes.
const MAX_PATH: usize = 4096;
/// Linux's `NAME_MAX` as the kubelet uses it, in bytes.
const MAX_NAME: usize = 255;

/// Why a relative path cannot be a file of a volume.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Nothing is left of the path once `.` and empty elements are dropped.
    #[error("path {0:?} names no file")]
    Empty(String),
    /// The path starts with `/`.
    #[error("path {0:?} is absolute; it must be relative to the volume")]
    Absolute(String),
    /// The path has a `..` element.
    #[error("path {0:?} contains \"..\", which could leave the volume")]
    Parent(String),
    /// The first element starts with `..`, which the volume keeps for itself.
    #[error("path {0:?} starts with \"..\", which is reserved for the volume's own names")]
    Reserved(String),
    /// The path is longer than 4096 bytes.
    #[error("path {0:?}... is longer than {MAX_PATH} bytes")]
    LongPath(String),
    /// One element is longer than 255 bytes.
    #[error("path {0:?} has an element longer than {MAX_NAME} bytes")]
    LongName(String),
    /// The path holds a NUL byte, which no file name can.
    #[error("path {0:?} contains a NUL byte")]
    Nul(String),
    /// Two paths cannot both exist: they are the same, or one would have to be a directory.
    #[error("paths {0:?} and {1:?} cannot both be files of one volume")]
    Conflict(String, String),
}

/// The path with `.` and empty elements dropped.
///
/// # Errors
/// Any [`KeyError`] but `Conflict`. Unlike the kubelet's, the reserved prefix is looked for after cleaning, so
/// `./..x` is refused as well.
pub(crate) fn clean(path: &str) -> Result<String, KeyError> {
    if path.len() > MAX_PATH {
        return Err(KeyError::LongPath(path.chars().take(64).collect()));
    }
    if path.starts_with('/') {
        return Err(KeyError::Absolute(path.to_owned()));
    }
    if path.contains('\0') {
        return Err(KeyError::Nul(path.to_owned()));
    }
    let parts: Vec<&str> = path
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    if parts.contains(&"..") {
        return Err(KeyError::Parent(path.to_owned()));
    }
    if parts.iter().any(|part| part.len() > MAX_NAME) {
        return Err(KeyError::LongName(path.to_owned()));
    }
    match parts.first() {
        None => Err(KeyError::Empty(path.to_owned())),
        Some(first) if first.starts_with("..") => Err(KeyError::Reserved(path.to_owned())),
        Some(_) => Ok(parts.join("/")),
    }
}

/// The files under cleaned paths, checked to be able to exist together.
///
/// # Errors
/// The first path that is not valid, or two that exclude each other.
pub(crate) fn clean_all(files: &Files) -> Result<BTreeMap<String, &File>, KeyError> {
    let mut cleaned = BTreeMap::new();
    for (path, file) in files {
        let key = clean(path)?;
        if cleaned.contains_key(&key) {
            return Err(KeyError::Conflict(key, path.clone()));
        }
        cleaned.insert(key, file);
    }
    for key in cleaned.keys() {
        for (slash, _) in key.match_indices('/') {
            let directory = &key[..slash];
            if cleaned.contains_key(directory) {
                return Err(KeyError::Conflict(directory.to_owned(), key.clone()));
            }
        }
    }
    Ok(cleaned)
}

/// The first element of a cleaned path: the name under which the volume shows it.
pub(crate) fn visible_name(key: &str) -> &str {
    key.split_once('/').map_or(key, |(first, _)| first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_paths_of_a_volume_are_taken_and_cleaned() {
        for (path, cleaned) in [
            ("app.yaml", "app.yaml"),
            ("a/b/c", "a/b/c"),
            ("./a//b/", "a/b"),
            (".env", ".env"),
            ("a/..b", "a/..b"),
            ("...", "..."),
        ] {
            // The kubelet refuses "..." as well: it starts with "..".
            if path == "..." {
                assert_eq!(clean(path), Err(KeyError::Reserved("...".into())));
            } else {
                assert_eq!(clean(path).as_deref(), Ok(cleaned));
            }
        }
        assert!(clean(&"n".repeat(255)).is_ok());
    }

    #[test]
    fn paths_that_could_hurt_are_refused_by_name() {
        let own = |path: &str| path.to_owned();
        for (path, error) in [
            ("", KeyError::Empty(own(""))),
            ("./.", KeyError::Empty(own("./."))),
            ("/etc/passwd", KeyError::Absolute(own("/etc/passwd"))),
            ("..", KeyError::Parent(own(".."))),
            ("a/../../b", KeyError::Parent(own("a/../../b"))),
            ("..data", KeyError::Reserved(own("..data"))),
            ("./..data", KeyError::Reserved(own("./..data"))),
            ("a\0b", KeyError::Nul(own("a\0b"))),
        ] {
            assert_eq!(clean(path), Err(error));
        }
        assert!(matches!(clean(&"n".repeat(256)), Err(KeyError::LongName(_))));
        assert!(matches!(clean(&"n/".repeat(2049)), Err(KeyError::LongPath(_))));
    }

    #[test]
    fn paths_that_exclude_each_other_are_refused() {
        let files = |names: &[&str]| -> Files { names.iter().map(|n| ((*n).to_owned(), File::new("x"))).collect() };
        assert!(matches!(clean_all(&files(&["a", "a/b"])), Err(KeyError::Conflict(..))));
        assert!(matches!(clean_all(&files(&["a", "./a"])), Err(KeyError::Conflict(..))));
        assert!(clean_all(&files(&["a/b", "a/c", "ab"])).is_ok());
    }
}
