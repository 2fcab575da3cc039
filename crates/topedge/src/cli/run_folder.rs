//! The folder that a training run leaves behind.

use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use topedge::data::{remove_unfinished, sync_folder_of};

use super::failure::Failure;

/// The name of the checkpoint in the folder of a run that has not come to its end.
pub(crate) const CHECKPOINT: &str = "checkpoint";

/// Where runs go that are not told where.
const RUNS: &str = "runs";

/// The files of a run that has come to its end, besides its history: those first without which it would be
/// lost.
pub(crate) const FILES: [&str; 9] = [
    "model.safetensors",
    "settings.json",
    "batches.csv",
    "histograms.csv",
    "times.json",
    "loss.svg",
    "schedule.svg",
    "sample.png",
    "report.html",
];

/// What the names of folders begin with in which files wait to be moved.
const STAGING: &str = ".topedge-";

/// A folder for the files of a run.
///
/// The history grows in it with each epoch, so that a run that is interrupted leaves that. All other
/// files come at the end: written into a hidden folder, and moved out of it once they are whole.
/// Unless that has happened, dropping this removes the run's files and the folders it made, and puts an
/// earlier run's history back: a run that fails leaves things as they were. One that has written a
/// checkpoint keeps that and its history, to be gone on with; the checkpoint goes when all files are there.
pub(crate) struct RunFolder {
    path: PathBuf,
    /// Folders that did not exist before, innermost first.
    made: Vec<PathBuf>,
    /// Where the history that an earlier run has left here waits.
    earlier_history: Option<PathBuf>,
    /// What keeps other processes out.
    lock: Option<File>,
    finished: bool,
}

impl RunFolder {
    /// The folder `path`, which is made if it does not exist; or the next free `runs/1`, `runs/2`, ...
    pub(crate) fn create(path: Option<&Path>) -> Result<RunFolder, Failure> {
        let folder = RunFolder::begin(path)?;
        // Before the work, not after it: whether its files can be written.
        folder.staging()?;
        FILES.iter().try_for_each(|name| refuse_folder(&folder.path.join(name)))?;
        Ok(folder)
    }

    fn begin(path: Option<&Path>) -> Result<RunFolder, Failure> {
        let mut folder = RunFolder::nowhere();
        if let Some(path) = path {
            folder.make(path)?;
            folder.lock(path)?;
            let checkpoint = path.join(CHECKPOINT);
            if checkpoint.exists() {
                let checkpoint = checkpoint.display();
                return Err(Failure::flag(
                    "--out",
                    path.display(),
                    format!(
                        "a folder without an unfinished run, found {checkpoint}; --resume goes on with \
                         it, and without that file it is gone"
                    ),
                ));
            }
            folder.path = path.to_owned();
            folder.sync_made()?;
            folder.clean()?;
            refuse_folder(&folder.history())?;
            let aside = folder.aside();
            if aside.is_file() {
                // A run that was killed has put it there, and left a history that is of no use.
                folder.earlier_history = Some(aside);
                return Ok(folder);
            }
            match fs::rename(folder.history(), &aside) {
                Ok(()) => folder.earlier_history = Some(aside),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(Failure::io("move", &folder.history())(error)),
            }
            return Ok(folder);
        }
        folder.make(Path::new(RUNS))?;
        for number in 1_u64.. {
            let path = Path::new(RUNS).join(number.to_string());
            match fs::create_dir(&path) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Failure::io("make the folder", &path)(error)),
                Ok(()) => {
                    folder.made.insert(0, path.clone());
                    folder.lock(&path)?;
                    folder.path = path;
                    break;
                }
            }
        }
        folder.sync_made()?;
        Ok(folder)
    }

    /// The folder of a run that has left a checkpoint, to go on with it.
    pub(crate) fn reopen(path: &Path) -> Result<RunFolder, Failure> {
        let mut folder = RunFolder::nowhere();
        folder.lock(path)?;
        folder.path = path.to_owned();
        folder.earlier_history = Some(folder.aside()).filter(|aside| aside.is_file());
        folder.clean()?;
        Ok(folder)
    }

    /// Removes what a run that was killed has left half-written.
    fn clean(&self) -> Result<(), Failure> {
        for file in [self.checkpoint(), self.history()] {
            remove_unfinished(&file).map_err(Failure::io("clean up beside", &file))?;
        }
        let entries = fs::read_dir(&self.path).map_err(Failure::io("read", &self.path))?;
        for entry in entries.filter_map(Result::ok) {
            // One that was killed while it moved its files.
            if entry.file_name().as_encoded_bytes().starts_with(STAGING.as_bytes()) {
                let path = entry.path();
                fs::remove_dir_all(&path).map_err(Failure::io("remove", &path))?;
            }
        }
        Ok(())
    }

    fn nowhere() -> RunFolder {
        RunFolder {
            path: PathBuf::new(),
            made: vec![],
            earlier_history: None,
            lock: None,
            finished: false,
        }
    }

    /// Keeps other runs out of the folder `path` until this one ends, however it ends.
    fn lock(&mut self, path: &Path) -> Result<(), Failure> {
        // Where folders cannot be opened or locked, nothing is lost but this.
        let Ok(folder) = File::open(path) else { return Ok(()) };
        if let Err(TryLockError::WouldBlock) = folder.try_lock() {
            // The other run is in these.
            self.made.clear();
            let path = path.display();
            return Err(Failure::Failed(format!("{path}: another run is at work in this folder")));
        }
        self.lock = Some(folder);
        Ok(())
    }

    /// Makes `path` and what is missing above it.
    fn make(&mut self, path: &Path) -> Result<(), Failure> {
        let missing = path.ancestors().take_while(|p| !p.as_os_str().is_empty() && !p.exists());
        let missing: Vec<_> = missing.map(Path::to_owned).collect();
        // Known beforehand, since some may be made before one fails.
        self.made.splice(0..0, missing);
        fs::create_dir_all(path).map_err(Failure::io("make the folder", path))
    }

    /// Makes sure that the new folders outlast a loss of power, as what is in them does.
    fn sync_made(&self) -> Result<(), Failure> {
        let mut made = self.made.iter();
        made.try_for_each(|path| sync_folder_of(path).map_err(Failure::io("make the folder", path)))
    }

    /// Where checkpoints are to be kept.
    pub(crate) fn checkpoint(&self) -> PathBuf {
        self.path.join(CHECKPOINT)
    }

    /// Where an earlier run's history waits.
    fn aside(&self) -> PathBuf {
        self.path.join("history.csv.earlier")
    }

    /// Where the history is to be kept.
    pub(crate) fn history(&self) -> PathBuf {
        self.path.join("history.csv")
    }

    /// Writes all `files`, pairs of name and content, those first without which the run would be lost.
    /// Returns the folder's path. What cannot be written does not take the others with it.
    pub(crate) fn finish(mut self, files: &[(&str, Vec<u8>)]) -> Result<PathBuf, Failure> {
        let (kept, failure) = self.write(files)?;
        match failure {
            None => {
                // Only now is the checkpoint of no use.
                let _ = fs::remove_file(self.checkpoint());
            }
            Some(failure) if kept.is_empty() => return Err(failure),
            Some(_) => {}
        }
        if let Some(earlier) = &self.earlier_history {
            let _ = fs::remove_file(earlier);
        }
        self.finished = true;
        match failure {
            None => Ok(self.path.clone()),
            Some(failure) => {
                let (kept, path) = (kept.join(", "), self.path.display());
                Err(failure.and(format_args!("{path} holds {kept}")))
            }
        }
    }

    /// Writes `files` about a run that has come to nothing, if no earlier one is in the way.
    pub(crate) fn keep(mut self, files: &[(&str, Vec<u8>)]) -> Result<Option<PathBuf>, Failure> {
        if self.earlier_history.is_some()
            || files.iter().any(|(name, _)| self.path.join(name).exists())
        {
            return Ok(None);
        }
        let (kept, failure) = self.write(files)?;
        self.finished = !kept.is_empty();
        failure.map_or(Ok(Some(self.path.clone())), Err)
    }

    /// The names of the files that could be written, and what was wrong with the first other one.
    fn write<'f>(
        &self,
        files: &[(&'f str, Vec<u8>)],
    ) -> Result<(Vec<&'f str>, Option<Failure>), Failure> {
        let staging = self.staging()?;
        let mut failure = None;
        let mut whole = vec![];
        for (name, content) in files {
            let target = self.path.join(name);
            let write = || {
                let mut file = File::create_new(staging.path().join(name))?;
                file.write_all(content)?;
                file.sync_all()
            };
            let written = refuse_folder(&target)
                .and_then(|()| write().map_err(Failure::io("write", &target)));
            match written {
                Ok(()) => whole.push(*name),
                Err(error) => {
                    failure.get_or_insert(error);
                    // Room for the others, which may be smaller.
                    let _ = fs::remove_file(staging.path().join(name));
                    if target.is_file() {
                        // It is of an earlier run, and would be taken for this one's.
                        let _ = fs::remove_file(&target);
                    }
                }
            }
        }
        let mut moved = vec![];
        for name in whole {
            let target = self.path.join(name);
            match fs::rename(staging.path().join(name), &target) {
                Ok(()) => moved.push(name),
                Err(error) => {
                    failure.get_or_insert(Failure::io("write", &target)(error));
                }
            }
        }
        // The new names are to be on the disk.
        sync_folder_of(&self.history()).map_err(Failure::io("write into", &self.path))?;
        Ok((moved, failure))
    }

    /// A hidden folder beside the files.
    fn staging(&self) -> Result<TempDir, Failure> {
        let staging = tempfile::Builder::new().prefix(STAGING).tempdir_in(&self.path);
        staging.map_err(Failure::io("write into", &self.path))
    }
}

/// An error if there is a folder where a file is to go.
fn refuse_folder(target: &Path) -> Result<(), Failure> {
    if target.is_dir() {
        let found = format!("cannot write {}: found a folder, expected a file", target.display());
        return Err(Failure::Failed(found));
    }
    Ok(())
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        if self.finished || (!self.path.as_os_str().is_empty() && self.checkpoint().exists()) {
            return;
        }
        if !self.path.as_os_str().is_empty() {
            let _ = match &self.earlier_history {
                Some(earlier) => fs::rename(earlier, self.history()),
                None => fs::remove_file(self.history()),
            };
        }
        for made in &self.made {
            // Only if it is empty; what others have put there stays.
            let _ = fs::remove_dir(made);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn all_files_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        let folder = RunFolder::create(Some(&path)).unwrap();
        fs::write(folder.history(), "epoch").unwrap();
        let finished = folder.finish(&[("x", b"1".to_vec()), ("y", b"2".to_vec())]).unwrap();
        assert_eq!(finished, path);
        assert_eq!(names(&path), ["history.csv", "x", "y"]);

        let again = RunFolder::create(Some(&path)).unwrap();
        fs::write(again.history(), "epoch").unwrap();
        again.finish(&[("x", b"3".to_vec())]).unwrap();
        assert_eq!(fs::read(path.join("x")).unwrap(), b"3");
        assert_eq!(names(&path), ["history.csv", "x", "y"]);
    }

    #[test]
    fn a_run_that_does_not_finish_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        drop(RunFolder::create(Some(&dir.path().join("a/b"))).unwrap());
        assert_eq!(names(dir.path()), [""; 0]);

        fs::create_dir(dir.path().join("mine")).unwrap();
        drop(RunFolder::create(Some(&dir.path().join("mine/run"))).unwrap());
        assert_eq!(names(dir.path()), ["mine"]);
        drop(RunFolder::create(Some(&dir.path().join("mine"))).unwrap());
        assert_eq!(names(dir.path()), ["mine"]);
    }

    /// The second neither begins nor goes on, and takes nothing of the first away.
    #[cfg(unix)]
    #[test]
    fn one_run_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run");
        let folder = RunFolder::create(Some(&path)).unwrap();
        fs::write(folder.history(), "epoch").unwrap();
        for second in [RunFolder::create(Some(&path)), RunFolder::reopen(&path)] {
            let failure = second.err().unwrap().to_string();
            assert!(failure.contains("another run is at work"), "{failure}");
            assert_eq!(names(&path), ["history.csv"]);
        }
        folder.finish(&[("x", b"1".to_vec())]).unwrap();
        drop(RunFolder::create(Some(&path)).unwrap());
    }

    #[test]
    fn a_folder_in_the_way_is_found_before_the_work() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        fs::create_dir(path.join("report.html")).unwrap();
        fs::write(path.join("history.csv"), "earlier").unwrap();
        let failure = RunFolder::create(Some(path)).err().unwrap();
        assert!(failure.to_string().contains("found a folder"), "{failure}");
        assert_eq!(names(path), ["history.csv", "report.html"]);
        assert_eq!(fs::read(path.join("history.csv")).unwrap(), b"earlier");
    }

    #[test]
    fn a_folder_that_cannot_be_made_leaves_none_above_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new").join("x".repeat(300));
        assert!(RunFolder::create(Some(&path)).is_err());
        assert_eq!(names(dir.path()), [""; 0]);
    }

    #[test]
    fn a_run_that_does_not_finish_puts_an_earlier_history_back() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("history.csv"), "earlier").unwrap();
        let folder = RunFolder::create(Some(dir.path())).unwrap();
        fs::write(folder.history(), "epoch").unwrap();
        drop(folder);
        assert_eq!(fs::read(dir.path().join("history.csv")).unwrap(), b"earlier");
        assert_eq!(names(dir.path()), ["history.csv"]);
    }

    #[test]
    fn a_file_that_cannot_be_written_leaves_the_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run");
        let folder = RunFolder::create(Some(&path)).unwrap();
        fs::write(folder.history(), "epoch").unwrap();
        fs::create_dir(path.join("y")).unwrap();
        let files = [("x", b"1".to_vec()), ("y", b"2".to_vec()), ("no/z", b"3".to_vec())];
        let failure = folder.finish(&files).unwrap_err().to_string();
        assert!(
            failure.contains("/y: found a folder")
                && failure.ends_with("holds x")
                && failure.matches("error").count() == 1,
            "{failure}"
        );
        assert_eq!(names(&path), ["history.csv", "x", "y"]);

        let again = RunFolder::create(Some(&dir.path().join("again"))).unwrap();
        again.finish(&[("no/z", b"3".to_vec())]).unwrap_err();
        assert_eq!(names(dir.path()), ["run"]);
    }

    #[test]
    fn what_a_run_came_to_is_kept_beside_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run");
        let keep = || {
            let folder = RunFolder::create(Some(&path)).unwrap();
            fs::write(folder.history(), "epoch").unwrap();
            folder.keep(&[("x", b"1".to_vec())]).unwrap()
        };
        assert_eq!(keep().as_ref(), Some(&path));
        assert_eq!(names(&path), ["history.csv", "x"]);
        fs::write(path.join("history.csv"), "earlier").unwrap();
        assert_eq!(keep(), None);
        assert_eq!(fs::read(path.join("history.csv")).unwrap(), b"earlier");
    }
}
