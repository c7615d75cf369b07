//! Reading all sources into one tree, those of one volume from one moment.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use afresh_volume::{DATA_DIR, Limits, ReadError, Snapshot};

use crate::error::missing;
use crate::format::{Format, small};
use crate::source::{Kind as SourceKind, Source};
use crate::tree::{At, Kind, Node, Sources};
use crate::{LoadError, Place, env};

/// What one reading has read so far.
pub(crate) struct Gather<'a> {
    limits: Limits,
    volumes: HashMap<PathBuf, Snapshot>,
    pub(crate) sources: Sources,
    #[cfg(feature = "kube")]
    objects: Option<&'a crate::object::Feed>,
    #[cfg(not(feature = "kube"))]
    _objects: std::marker::PhantomData<&'a ()>,
}

impl<'a> Gather<'a> {
    #[cfg(feature = "kube")]
    pub(crate) fn new(limits: Limits, objects: Option<&'a crate::object::Feed>) -> Self {
        Self {
            limits,
            volumes: HashMap::new(),
            sources: Sources::default(),
            objects,
        }
    }

    #[cfg(not(feature = "kube"))]
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            volumes: HashMap::new(),
            sources: Sources::default(),
            _objects: std::marker::PhantomData,
        }
    }

    /// Lays all sources over each other, in their order.
    pub(crate) fn tree(&mut self, layers: &[Source]) -> Result<Node, LoadError> {
        let mut tree = Node::empty();
        let mut is_first = true;
        let mut objects = 0;
        for layer in layers {
            let read = self.layer(layer, objects);
            objects += usize::from(layer.is_object());
            match read {
                Ok(node) if is_first => tree = node,
                Ok(node) => tree.overlay(node),
                Err(error) if layer.optional && error.is_absence() => continue,
                Err(error) => return Err(error),
            }
            is_first = false;
        }
        Ok(tree)
    }

    /// `objects` is how many objects there are among the layers before.
    fn layer(&mut self, layer: &Source, objects: usize) -> Result<Node, LoadError> {
        #[cfg(not(feature = "kube"))]
        let _ = objects;
        match &layer.kind {
            SourceKind::File { path, format } => self.file(path, *format),
            SourceKind::Directory { path } => self.directory(path),
            SourceKind::Env { prefix } => env::read(prefix, std::env::vars_os(), &mut self.sources),
            SourceKind::Variable { name, key } => env::variable(name, key, std::env::var_os(name), &mut self.sources),
            #[cfg(feature = "kube")]
            SourceKind::Object(object) => self.object(object, objects),
        }
    }

    fn file(&mut self, path: &Path, format: Option<Format>) -> Result<Node, LoadError> {
        let format = format.or_else(|| Format::of(path));
        let format = format.ok_or_else(|| LoadError::unknown_format(path.display()))?;
        let bytes = self.file_bytes(path)?;
        let at = self.sources.add(path.display().to_string());
        self.document(&bytes, format, at)
    }

    /// Through the volume that the file lies in, if it does, so that it is of one moment with what else comes from there.
    fn file_bytes(&mut self, path: &Path) -> Result<Vec<u8>, LoadError> {
        let name = path.file_name().and_then(|name| name.to_str());
        if let (Some(volume), Some(name)) = (path.parent(), name)
            && volume.join(DATA_DIR).is_symlink()
        {
            let snapshot = self.volume(volume)?;
            let bytes = snapshot.get(name).map(<[u8]>::to_vec);
            return bytes.ok_or_else(|| missing(path.to_owned()));
        }
        let files = Snapshot::read_with(path, &self.limits)?.into_files();
        let mut files = files.into_iter();
        match (files.next(), files.next()) {
            (Some((only, file)), None) if Some(only.as_str()) == name => Ok(file.bytes),
            _ => Err(LoadError::Read(ReadError::NotAFile { path: path.to_owned() })),
        }
    }

    fn directory(&mut self, path: &Path) -> Result<Node, LoadError> {
        if path.is_file() {
            return Err(LoadError::Read(ReadError::NotAFile { path: path.to_owned() }));
        }
        let files: Vec<_> = self.volume(path)?.files().clone().into_iter().collect();
        let whole = self.sources.add(path.display().to_string());
        let mut node = Node::new(whole, Node::empty().kind);
        for (name, file) in files {
            let at = self.sources.add(path.join(&name).display().to_string());
            let keys: Vec<&str> = name.split('/').collect();
            // A directory and a file cannot have one name.
            let _ = node.insert(&keys, at, false, Kind::Loose(without_last_break(file.bytes)));
        }
        Ok(node)
    }

    fn volume(&mut self, path: &Path) -> Result<&Snapshot, LoadError> {
        let key = path.to_owned();
        Ok(match self.volumes.entry(key) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(free) => free.insert(Snapshot::read_with(path, &self.limits)?),
        })
    }

    #[cfg(feature = "kube")]
    fn object(&mut self, object: &crate::object::Object, index: usize) -> Result<Node, LoadError> {
        let Some(feed) = self.objects else {
            return Err(object.failed(object.to_string(), "nobody follows it"));
        };
        let entries = feed.entries(index)?;
        let name = feed.name(object);
        let Some((key, format)) = object.document_of() else {
            let whole = self.sources.add(name.clone());
            let mut node = Node::new(whole, Node::empty().kind);
            for (key, bytes) in entries {
                let at = self.sources.add(format!("{name}:{key}"));
                // Keys of an object have no levels, so that none is in the way of another.
                let _ = node.insert(&[&key], at, false, Kind::Loose(without_last_break(bytes)));
            }
            return Ok(node);
        };
        let document = format!("{name}:{key}");
        let format = format.or_else(|| Format::of(Path::new(key)));
        let format = format.ok_or_else(|| LoadError::unknown_format(&document))?;
        let Some(bytes) = entries.get(key) else {
            return Err(missing(document.into()));
        };
        let at = self.sources.add(document);
        self.document(bytes, format, at)
    }

    fn document(&self, bytes: &[u8], format: Format, at: At) -> Result<Node, LoadError> {
        let place = |line, column| Place {
            line,
            column,
            ..self.sources.place(at)
        };
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let good = String::from_utf8_lossy(bytes.get(..error.valid_up_to()).unwrap_or_default());
            let (line, column) = end_of(&good);
            LoadError::NotUtf8 {
                place: place(line, column),
            }
        })?;
        format.parse(text, at).map_err(|broken| LoadError::Syntax {
            place: place(broken.line, broken.column),
            format,
            message: broken.message,
        })
    }
}

/// The place after the last character.
fn end_of(text: &str) -> (u32, u32) {
    let last = text.rsplit('\n').next().unwrap_or_default();
    (small(text.matches('\n').count() + 1), small(last.chars().count() + 1))
}

fn without_last_break(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    bytes
}
