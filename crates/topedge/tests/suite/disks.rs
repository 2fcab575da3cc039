//! Checkpoints that cannot be written to their end: the one before stays, whatever happens.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::tempdir;

use crate::bad_input::assert_fails;
use crate::data::write_mnist;
use crate::topedge;
use crate::unfinished::{Outcome, leave_unfinished};

const EPOCHS: &str = "300";

/// `topedge train --resume out`, started by a shell after `before`.
fn resumed_after(dir: &Path, before: &str) -> Output {
    let script = format!(r#"{before}; exec "$0" train --json --resume out"#);
    let program = env!("CARGO_BIN_EXE_topedge");
    Command::new("sh").current_dir(dir).args(["-c", &script, program]).output().unwrap()
}

/// A limit on the size of files, in blocks of 512 bytes, cuts the writing of a checkpoint at each
/// `step`th of them.
fn cut(step: usize) {
    let dir = tempdir().unwrap();
    write_mnist(&dir.path().join("data"));
    let whole = Outcome::whole(dir.path(), EPOCHS);
    leave_unfinished(dir.path(), EPOCHS);
    let out = dir.path().join("out");
    let before = fs::read(out.join("checkpoint")).unwrap();
    let mut cuts = 0;
    // The next checkpoint is a batch longer than this one.
    for blocks in (0..=before.len() / 512).step_by(step) {
        let output = resumed_after(dir.path(), &format!("ulimit -f {blocks}"));
        // The history is short, and only written after an epoch.
        let file = if blocks < 20 { "out/" } else { "out/checkpoint" };
        assert_fails(&output, 1, &["cannot write", file]);
        assert!(fs::read(out.join("checkpoint")).unwrap() == before, "cut at block {blocks}");
        cuts += 1;
    }
    println!("{cuts} checkpoints of {} bytes cut, none lost", before.len());
    let again = topedge(dir.path(), &["train", "--json", "--resume", "out"]).output().unwrap();
    assert_eq!(Outcome::of(again, &out), whole);
}

#[cfg(unix)]
#[test]
fn cut_at_some_blocks() {
    cut(16);
}

#[cfg(unix)]
#[test]
#[ignore = "some hundred runs"]
fn cut_at_every_512th_byte() {
    cut(1);
}

/// A small disk in memory, which takes the right to mount one.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_the_checkpoint_before() {
    let dir = tempdir().unwrap();
    write_mnist(&dir.path().join("data"));
    let whole = Outcome::whole(dir.path(), EPOCHS);
    leave_unfinished(dir.path(), EPOCHS);
    let out = dir.path().join("out");
    let before = fs::read(out.join("checkpoint")).unwrap();
    let size = 2 * before.len() + 65536;
    let script = format!(
        r#"mkdir disk && mount -t tmpfs -o size={size} tmpfs disk || exit 77
           cp -r out disk/out && rm -r out
           cat /dev/zero > disk/filler 2>/dev/null
           "$0" train --json --resume disk/out
           echo "exit code $?"
           cp -r disk/out out"#
    );
    let run = |own: &[&str]| {
        let program = env!("CARGO_BIN_EXE_topedge");
        let mut command = Command::new("unshare");
        command.current_dir(dir.path()).args(own).args(["sh", "-c", &script, program]);
        command.output().ok().filter(|output| output.status.code() == Some(0))
    };
    // As root, or else as one's own root.
    let Some(output) = run(&["-m"]).or_else(|| run(&["-rm"])) else {
        eprintln!("skipped: a small disk cannot be mounted here");
        return;
    };
    let stdout = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stdout.ends_with("exit code 1\n"), "{stdout} {stderr}");
    let full =
        stderr.starts_with("error: cannot write disk/out/") && stderr.contains("No space left");
    assert!(full, "{stderr}");
    assert!(fs::read(out.join("checkpoint")).unwrap() == before);
    let again = topedge(dir.path(), &["train", "--json", "--resume", "out"]).output().unwrap();
    assert_eq!(Outcome::of(again, &out), whole);
}
