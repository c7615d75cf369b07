// What the examples of the documentation stand on: a type, and volumes as the kubelet writes them.
use afresh_volume::{AtomicWriter, File, Files};

#[derive(Debug, serde::Deserialize)]
pub struct Settings {
    pub message: String,
    #[serde(default)]
    pub workers: u8,
}

/// A mounted ConfigMap of its own.
pub fn volume(data: &[(&str, &str)]) -> tempfile::TempDir {
    let volume = tempfile::tempdir().unwrap();
    write(&volume, data);
    volume
}

/// The kubelet brings the ConfigMap's new content.
pub fn write(volume: &tempfile::TempDir, data: &[(&str, &str)]) {
    let files: Files = data.iter().map(|(key, text)| ((*key).to_owned(), File::new(*text))).collect();
    AtomicWriter::write(volume.path(), &files).unwrap();
}
