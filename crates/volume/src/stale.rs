//! Mounts that can never show newer content.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Whether `path` is a `subPath` mount whose content the kubelet has replaced since.
///
/// Such a mount pins the inode it was made from. Once the volume is swapped that inode has no name left
/// (`st_nlink == 0`), yet the path still leads to it: only a mount can do that. Seen at the first swap; what the content
/// now is cannot be known from inside. A file system that counts no links at all (some FUSE ones) would be taken for
/// stale.
///
/// # Errors
/// If `path` cannot be looked at.
pub fn stale_sub_path(path: &Path) -> io::Result<bool> {
    let first = fs::metadata(path)?;
    if first.nlink() > 0 {
        return Ok(false);
    }
    // It may have been unlinked between the look-up and the count. Reached again by its name, it is mounted there.
    let second = fs::metadata(path)?;
    Ok(second.nlink() == 0 && (second.dev(), second.ino()) == (first.dev(), first.ino()))
}
