//! Container images without a registry: made from files, imported into the node's containerd.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use afresh_testbed_host::Program;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};
use crate::pki::hex;
use crate::process::locate;

/// The image of a pod's sandbox.
pub(crate) const PAUSE: &str = "afresh.test/pause:1";

/// An image on every node: a static busybox with all its applets in `/bin`. Without a command it sleeps for ever.
pub const BUSYBOX: &str = "afresh.test/busybox:1";

/// What goes into an image.
#[derive(Clone, Debug)]
enum Content {
    File(PathBuf, PathBuf),
    Program(PathBuf, PathBuf),
    Tree(PathBuf, PathBuf),
    Busybox,
}

/// An image to be made: one layer. Pods name it with `imagePullPolicy: Never`.
#[derive(Clone, Debug)]
pub struct Image {
    name: String,
    contents: Vec<Content>,
    command: Vec<String>,
}

impl Image {
    /// An empty image, to be called `name`, with its registry and tag: `afresh.test/app:1`.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            contents: Vec::new(),
            command: Vec::new(),
        }
    }

    /// A program at `target` (absolute, in the image) from `source`, with the shared libraries that `ldd` names, so that
    /// what cargo builds for this machine runs in a pod.
    #[must_use]
    pub fn program(mut self, target: impl Into<PathBuf>, source: impl Into<PathBuf>) -> Self {
        self.contents.push(Content::Program(target.into(), source.into()));
        self
    }

    /// An executable file at `target` (absolute, in the image) from `source`, as it is.
    #[must_use]
    pub fn file(mut self, target: impl Into<PathBuf>, source: impl Into<PathBuf>) -> Self {
        self.contents.push(Content::File(target.into(), source.into()));
        self
    }

    /// Everything below the directory `source`, at `target` (absolute, in the image).
    #[must_use]
    pub fn tree(mut self, target: impl Into<PathBuf>, source: impl Into<PathBuf>) -> Self {
        self.contents.push(Content::Tree(target.into(), source.into()));
        self
    }

    /// A shell and its usual commands in `/bin`.
    #[must_use]
    pub fn busybox(mut self) -> Self {
        self.contents.push(Content::Busybox);
        self
    }

    /// What a container runs whose pod names no command.
    #[must_use]
    pub fn command<S: Into<String>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.command = words.into_iter().map(Into::into).collect();
        self
    }

    /// Writes the image as an archive of the `docker save` format into `directory`.
    pub(crate) fn write(&self, directory: &Path) -> Result<PathBuf> {
        let layer = self.layer()?;
        let diff_id = format!("sha256:{}", hex(&Sha256::digest(&layer)));
        let architecture = if cfg!(target_arch = "aarch64") {
            "arm64"
        } else {
            "amd64"
        };
        let config = json!({
            "architecture": architecture,
            "os": "linux",
            "config": { "Entrypoint": self.command, "Env": ["PATH=/bin"] },
            "rootfs": { "type": "layers", "diff_ids": [diff_id] },
        });
        let config = config.to_string();
        let config_name = format!("{}.json", hex(&Sha256::digest(&config)));
        let manifest = json!([{ "Config": config_name, "RepoTags": [self.name], "Layers": ["layer.tar"] }]).to_string();
        let path = directory.join(format!("{}.tar", self.name.replace(['/', ':'], "_")));
        let write = || {
            let mut archive = tar::Builder::new(fs::File::create(&path)?);
            append(&mut archive, &config_name, config.as_bytes())?;
            append(&mut archive, "manifest.json", manifest.as_bytes())?;
            append(&mut archive, "layer.tar", &layer)?;
            archive.into_inner()?.sync_data()
        };
        write().map_err(Error::file("write", &path))?;
        Ok(path)
    }

    fn layer(&self) -> Result<Vec<u8>> {
        let mut layer = tar::Builder::new(Vec::new());
        layer.follow_symlinks(false);
        for content in &self.contents {
            match content {
                Content::File(target, source) => add_file(&mut layer, target, source)?,
                Content::Program(target, source) => {
                    add_file(&mut layer, target, source)?;
                    for library in libraries(source)? {
                        add_file(&mut layer, &library, &library)?;
                    }
                }
                Content::Tree(target, source) => {
                    layer
                        .append_dir_all(inside(target), source)
                        .map_err(Error::file("pack", source))?;
                }
                Content::Busybox => add_busybox(&mut layer)?,
            }
        }
        let path = Path::new(&self.name);
        layer.into_inner().map_err(Error::file("pack", path))
    }
}

/// The image that every pod's sandbox runs.
pub(crate) fn pause() -> Result<Image> {
    Ok(Image::new(PAUSE)
        .file("/busybox", locate(Program::Busybox)?)
        .command(["/busybox", "sleep", "infinity"]))
}

/// [`BUSYBOX`].
pub(crate) fn busybox() -> Result<Image> {
    locate(Program::Busybox)?;
    Ok(Image::new(BUSYBOX).busybox().command(["/bin/sleep", "infinity"]))
}

fn add_file(layer: &mut tar::Builder<Vec<u8>>, target: &Path, source: &Path) -> Result<()> {
    let bytes = fs::read(source).map_err(Error::file("read", source))?;
    append(layer, &inside(target), &bytes).map_err(Error::file("pack", source))
}

/// The shared libraries of a program, the loader among them; none of a static one, of which `ldd` says so by failing.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("ldd")
        .arg(program)
        .output()
        .map_err(Error::file("run ldd on", program))?;
    Ok(parse_ldd(&String::from_utf8_lossy(&output.stdout)))
}

/// Lines are `NAME => PATH (ADDRESS)` or, for the loader, `PATH (ADDRESS)`.
fn parse_ldd(output: &str) -> Vec<PathBuf> {
    let paths = output.lines().filter_map(|line| {
        let (name, _) = line.trim().rsplit_once(" (")?;
        let path = name.rsplit_once("=> ").map_or(name, |(_, path)| path);
        path.starts_with('/').then(|| PathBuf::from(path))
    });
    paths.collect()
}

fn add_busybox(layer: &mut tar::Builder<Vec<u8>>) -> Result<()> {
    let source = locate(Program::Busybox)?;
    let mut bytes = Vec::new();
    fs::File::open(&source)
        .and_then(|mut file| file.read_to_end(&mut bytes))
        .map_err(Error::file("read", &source))?;
    let applets = Command::new(&source)
        .arg("--list")
        .output()
        .map_err(Error::file("run", &source))?;
    let pack = |layer: &mut tar::Builder<Vec<u8>>| {
        append(layer, "bin/busybox", &bytes)?;
        for applet in String::from_utf8_lossy(&applets.stdout)
            .lines()
            .filter(|name| *name != "busybox")
        {
            let mut header = header(0, tar::EntryType::Symlink, 0o777);
            layer.append_link(&mut header, format!("bin/{applet}"), "busybox")?;
        }
        append_plain(
            layer,
            "etc/passwd",
            b"root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n",
        )?;
        append_plain(layer, "etc/group", b"root:x:0:\nnobody:x:65534:\n")?;
        let mut tmp = header(0, tar::EntryType::Directory, 0o1777);
        layer.append_data(&mut tmp, "tmp/", io::empty())
    };
    pack(layer).map_err(Error::file("pack", &source))
}

fn inside(target: &Path) -> String {
    let relative = target.strip_prefix("/").unwrap_or(target);
    if relative.as_os_str().is_empty() {
        ".".to_owned()
    } else {
        relative.to_string_lossy().into_owned()
    }
}

fn header(size: u64, kind: tar::EntryType, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

fn append<W: io::Write>(archive: &mut tar::Builder<W>, path: &str, bytes: &[u8]) -> io::Result<()> {
    archive.append_data(
        &mut header(bytes.len() as u64, tar::EntryType::Regular, 0o755),
        path,
        bytes,
    )
}

fn append_plain<W: io::Write>(archive: &mut tar::Builder<W>, path: &str, bytes: &[u8]) -> io::Result<()> {
    archive.append_data(
        &mut header(bytes.len() as u64, tar::EntryType::Regular, 0o644),
        path,
        bytes,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_those_with_a_path() {
        let output = "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibc.so.6 => /lib/libc.so.6 (0x00007fc2)\n\
            \tlibgone.so => not found\n\t/lib64/ld-linux-x86-64.so.2 (0x00007fc3)\n";
        let expected = ["/lib/libc.so.6", "/lib64/ld-linux-x86-64.so.2"].map(PathBuf::from);
        assert_eq!(parse_ldd(output), expected);
        assert_eq!(parse_ldd("\tstatically linked\n"), Vec::<PathBuf>::new());
    }

    #[test]
    fn an_image_holds_its_files_under_the_names_they_are_to_have() -> std::result::Result<(), Box<dyn std::error::Error>>
    {
        let directory = std::env::temp_dir().join(format!("afresh-image-{}", std::process::id()));
        fs::create_dir_all(directory.join("tree/deep"))?;
        fs::write(directory.join("tree/deep/note"), "text")?;
        let image = Image::new("afresh.test/x:1")
            .tree("/files", directory.join("tree"))
            .file("/bin/note", directory.join("tree/deep/note"));

        let layer = image.layer()?;

        let mut archive = tar::Archive::new(layer.as_slice());
        let names: Vec<_> = archive
            .entries()?
            .map(|entry| Ok(entry?.path()?.display().to_string()))
            .collect::<io::Result<_>>()?;
        for name in ["files/deep/note", "bin/note"] {
            assert!(names.iter().any(|other| other == name), "{names:?}");
        }
        fs::remove_dir_all(directory)?;
        Ok(())
    }
}
