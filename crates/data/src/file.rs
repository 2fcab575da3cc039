//! Writing files whole or not at all.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Writes `bytes` to `path` so that the file is never seen half-written, whatever goes wrong, a loss of
/// power too: written beside, flushed to the disk, renamed, and the folder with the new name flushed.
///
/// # Errors
///
/// When the operating system refuses; what stood at `path` is then unchanged and nothing is left
/// beside it. Only if it refuses no sooner than to flush the folder, the new file stands there.
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
    written.and_then(|()| sync_folder_of(path))
}

/// Flushes the folder that `path` is in to the disk: what has been renamed in it stays so.
///
/// # Errors
///
/// When the operating system refuses.
#[cfg(unix)]
pub fn sync_folder_of(path: &Path) -> io::Result<()> {
    match File::open(folder_of(path))?.sync_all() {
        // Some file systems know no such thing.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        outcome => outcome,
    }
}

/// Flushes nothing: here a folder cannot be opened.
///
/// # Errors
///
/// None.
#[cfg(not(unix))]
pub fn sync_folder_of(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Removes what calls of [`write_whole`] for `path` that were killed have left beside it.
///
/// # Errors
///
/// When the operating system refuses.
pub fn remove_unfinished(path: &Path) -> io::Result<()> {
    let start = hidden(path)?;
    for entry in fs::read_dir(folder_of(path))? {
        let entry = entry?;
        let name = entry.file_name();
        let rest = name.as_encoded_bytes().strip_prefix(start.as_encoded_bytes());
        // What follows is a process and a number.
        let numbers = |rest: &[u8]| rest.iter().all(|c| c.is_ascii_digit() || *c == b'.');
        if rest.and_then(|rest| rest.strip_suffix(b"tmp")).is_some_and(numbers) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn folder_of(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// What the names of unfinished files for `path` begin with.
fn hidden(path: &Path) -> io::Result<OsString> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not the name of a file"))?;
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(".");
    Ok(hidden)
}

/// A name in the same folder that no other writer uses.
fn beside(path: &Path) -> io::Result<PathBuf> {
    static WRITES: AtomicU64 = AtomicU64::new(0);
    let mut name = hidden(path)?;
    let count = WRITES.fetch_add(1, Ordering::Relaxed);
    name.push(format!("{}.{count}.tmp", std::process::id()));
    Ok(path.with_file_name(name))
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

    #[test]
    fn what_a_killed_writer_left_is_removed_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.txt");
        write_whole(&path, b"x").unwrap();
        fs::write(beside(&path).unwrap(), b"half").unwrap();
        let others = [".x.txt.mine.tmp", ".x.txt", ".y.txt.1.2.tmp", "x.txt.1.2.tmp"];
        others.iter().for_each(|name| fs::write(dir.path().join(name), b"").unwrap());
        assert_eq!(names(dir.path()).len(), 6);
        remove_unfinished(&path).unwrap();
        let left = names(dir.path());
        assert!(left.len() == 5 && others.iter().all(|name| left.contains(&name.to_string())));
    }
}
