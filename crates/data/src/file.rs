//! Writing files whole or not at all.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Writes `bytes` to `path` so that the file is never seen half-written, whatever goes wrong:
/// written beside, flushed to the disk, then renamed.
///
/// # Errors
///
/// When the operating system refuses; what stood at `path` is then unchanged and nothing is left
/// beside it.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = beside(path)?;
    let written = File::create_new(&beside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    });
    if written.is_err() {
        // It may not exist; the first error is the one that counts.
        let _ = fs::remove_file(&beside);
    }
    written
}

/// A name in the same folder that no other writer uses.
fn beside(path: &Path) -> io::Result<PathBuf> {
    static WRITES: AtomicU64 = AtomicU64::new(0);
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not the name of a file"))?;
    let mut hidden = OsString::from(".");
    hidden.push(name);
    let count = WRITES.fetch_add(1, Ordering::Relaxed);
    hidden.push(format!(".{}.{count}.tmp", std::process::id()));
    Ok(path.with_file_name(hidden))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let entries = fs::read_dir(dir).unwrap();
        entries.map(|e| name(e).into_string().unwrap()).collect()
    }

    #[test]
    fn replaces_and_leaves_nothing_beside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.txt");
        write_whole(&path, b"long contents").unwrap();
        write_whole(&path, b"short").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"short");
        assert_eq!(names(dir.path()), ["x.txt"]);
    }

    #[test]
    fn a_failure_leaves_nothing_beside() {
        let dir = tempfile::tempdir().unwrap();
        // A file cannot replace a folder, so that the last step, the renaming, fails.
        let path = dir.path().join("folder");
        fs::create_dir(&path).unwrap();
        assert!(write_whole(&path, b"x").is_err());
        assert_eq!(names(dir.path()), ["folder"]);

        assert!(write_whole(&dir.path().join("missing").join("x.txt"), b"x").is_err());
        assert!(write_whole(Path::new("/"), b"x").is_err());
    }
}
