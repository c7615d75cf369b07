//! The environment that mounted keys and dotenv files make.
//!
//! As with `envFrom` of a pod: a key is a variable, its content the value, byte for byte; a key that cannot be the
//! name of a variable is passed over and named. Unlike `envFrom` it can change while the pod lives.

mod dotenv;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use afresh_volume::{ReadError, Snapshot};

use crate::size::Size;

pub use dotenv::DotenvError;

/// Variables on top of the inherited ones. `Debug` names them and shows no value: it may be a Secret's.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<OsString, OsString>);

/// Where variables come from. Later sources win over earlier ones, files over directories, and all of them over what
/// is inherited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sources {
    /// Directories with a key per file, such as mounted ConfigMaps and Secrets.
    pub directories: Vec<PathBuf>,
    /// What is put before each key of a directory.
    pub prefix: String,
    /// Files of lines `NAME=value`.
    pub files: Vec<PathBuf>,
    /// The most that one of them may hold.
    pub max_size: Size,
}

/// Why there is no environment. Names the place, never a value.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// A directory or file cannot be read.
    #[error(transparent)]
    Read(ReadError),
    /// A directory or file holds too much.
    #[error("{path} makes the environment larger than --max-size {limit}: raise that, or name less")]
    TooLarge {
        /// The file that was one too much.
        path: PathBuf,
        /// The limit.
        limit: Size,
    },
    /// A directory was to be a file, or the other way round.
    #[error("{path} is {is}: {instead}")]
    Kind {
        /// The path.
        path: PathBuf,
        /// What it is.
        is: &'static str,
        /// The way out.
        instead: &'static str,
    },
    /// A file has a line that is none.
    #[error("{path}: {source}")]
    Dotenv {
        /// The file.
        path: PathBuf,
        /// The line, and what is wrong with it.
        source: DotenvError,
    },
}

/// A key that was passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Where it is.
    pub path: PathBuf,
    /// Why it makes no variable.
    pub reason: &'static str,
}

impl Environment {
    /// The variables by name.
    #[must_use]
    pub fn variables(&self) -> &BTreeMap<OsString, OsString> {
        &self.0
    }

    /// The names of variables that are new, gone, or have another value than in `before`.
    #[must_use]
    pub fn changed(&self, before: &Self) -> Vec<String> {
        let differs = |name: &&OsString| self.0.get(*name) != before.0.get(*name);
        let names = before.0.keys().filter(|name| !self.0.contains_key(*name));
        let names = self.0.keys().chain(names).filter(differs);
        names.map(|name| name.display().to_string()).collect()
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Sources {
    /// Whether there are any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.directories.is_empty() && self.files.is_empty()
    }

    /// Every path that variables come from.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.directories.iter().chain(&self.files).map(PathBuf::as_path)
    }

    /// Reads all of them, each as it is at one moment.
    ///
    /// # Errors
    /// [`EnvironmentError`] for the first that cannot be read.
    pub fn read(&self) -> Result<(Environment, Vec<Skipped>), EnvironmentError> {
        let mut environment = Environment::default();
        let mut skipped = Vec::new();
        for directory in &self.directories {
            let content = self.snapshot(directory)?;
            if directory.is_file() {
                return Err(kind(directory, "a file", "name it by --env-file"));
            }
            self.add_keys(directory, content, &mut environment, &mut skipped);
        }
        for file in &self.files {
            if file.is_dir() {
                return Err(kind(file, "a directory", "name it by --env-from"));
            }
            let bytes = self.snapshot(file)?.into_files().into_values().map(|file| file.bytes);
            let lines = dotenv::parse(&bytes.flatten().collect::<Vec<_>>());
            let lines = lines.map_err(|source| EnvironmentError::Dotenv {
                path: file.clone(),
                source,
            })?;
            environment.0.extend(lines);
        }
        Ok((environment, skipped))
    }

    fn snapshot(&self, path: &Path) -> Result<Snapshot, EnvironmentError> {
        Snapshot::read_with(path, &self.max_size.limits()).map_err(|error| match error {
            ReadError::TooLarge { path, .. } => EnvironmentError::TooLarge {
                path,
                limit: self.max_size,
            },
            other => EnvironmentError::Read(other),
        })
    }

    fn add_keys(&self, directory: &Path, content: Snapshot, to: &mut Environment, skipped: &mut Vec<Skipped>) {
        for (key, file) in content.into_files() {
            let name = format!("{}{key}", self.prefix);
            match why_not(&name, &file.bytes) {
                None => drop(to.0.insert(name.into(), OsString::from_vec(file.bytes))),
                Some(reason) => skipped.push(Skipped {
                    path: directory.join(key),
                    reason,
                }),
            }
        }
    }
}

fn kind(path: &Path, is: &'static str, instead: &'static str) -> EnvironmentError {
    EnvironmentError::Kind {
        path: path.to_owned(),
        is,
        instead,
    }
}

/// Why a key makes no variable: the kubelet's rule since Kubernetes 1.34 (`IsRelaxedEnvVarName`), and what no system
/// can hold. Below a directory, a key is part of a path, as only projected volumes have them.
fn why_not(name: &str, value: &[u8]) -> Option<&'static str> {
    let printable = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    if name.contains('/') {
        Some("it is in a subdirectory")
    } else if name.is_empty() || name.contains('=') || !name.bytes().all(printable) {
        Some("its name is no name of a variable")
    } else if value.contains(&0) {
        Some("its value has a zero byte")
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
