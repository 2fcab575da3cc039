//! Training that is killed (-9) at random moments and gone on with, again and again.

use std::env;
use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use tempfile::tempdir;

use crate::data::write_mnist;
use crate::topedge;
use crate::unfinished::{Outcome, TRAIN, start};

const EPOCHS: &str = "40";

/// What has happened.
#[derive(Default)]
struct Figures {
    kills: usize,
    /// Before there was a checkpoint: the run begins anew.
    before_a_checkpoint: usize,
    /// While one was being written.
    in_a_write: usize,
    /// Runs that came to their end, all with the same bits.
    runs: usize,
}

/// Kills training `kills` times, at moments that `seed` decides upon.
fn kill(kills: usize, seed: u64) {
    println!("seed {seed}");
    let mut rng = Pcg64::seed_from_u64(seed);
    let dir = tempdir().unwrap();
    write_mnist(&dir.path().join("data"));
    let begin = Instant::now();
    let whole = Outcome::whole(dir.path(), EPOCHS);
    let duration = begin.elapsed();
    let mut figures = Figures::default();
    while figures.kills < kills {
        let out = format!("out{}", figures.runs);
        let out = dir.path().join(&out);
        let every = ["1", "2", "7", "1epoch"][rng.random_range(0..4)];
        assert_eq!(train_through(&out, every, duration, &mut figures, kills, &mut rng), whole);
        fs::remove_dir_all(&out).unwrap();
        figures.runs += 1;
    }
    let Figures { kills, before_a_checkpoint, in_a_write, runs } = figures;
    println!(
        "{kills} kills, {in_a_write} of them while a checkpoint was being written, \
         {before_a_checkpoint} before there was one; {runs} runs, 0 lost, all with the same bits"
    );
}

/// Goes on with a run until it is done.
fn train_through(
    out: &Path,
    every: &str,
    duration: Duration,
    figures: &mut Figures,
    kills: usize,
    rng: &mut Pcg64,
) -> Outcome {
    let (dir, name) = (out.parent().unwrap(), out.file_name().unwrap().to_str().unwrap());
    loop {
        let args = match out.join("checkpoint").exists() {
            true => vec!["train", "--json", "--resume", name],
            false => {
                [&TRAIN[..], &[name, "--epochs", EPOCHS, "--checkpoint-every", every]].concat()
            }
        };
        let mut child = start(topedge(dir, &args));
        let process = child.id();
        if figures.kills < kills {
            sleep(duration.mul_f64(rng.random()));
            if child.try_wait().unwrap().is_none() {
                child.kill().unwrap();
            }
        }
        let output = child.wait_with_output().unwrap();
        if output.status.code().is_some() {
            // It was done sooner; or else it has failed, and the run would be lost.
            return Outcome::of(output, out);
        }
        figures.kills += 1;
        figures.before_a_checkpoint += usize::from(!out.join("checkpoint").exists());
        let files = fs::read_dir(out).into_iter().flatten().map(|file| file.unwrap().file_name());
        let half = format!(".checkpoint.{process}.");
        let mut names = files.map(|name| name.to_string_lossy().into_owned());
        figures.in_a_write += usize::from(names.any(|name| name.starts_with(&half)));
    }
}

#[cfg(unix)]
#[test]
fn killed_a_few_times() {
    kill(6, 1);
}

/// `TOPEDGE_KILLS` and `TOPEDGE_SEED` say how often, and when.
#[cfg(unix)]
#[test]
#[ignore = "takes minutes"]
fn killed_300_times() {
    let number = |name| env::var(name).ok().map(|text| text.parse().expect("a number"));
    kill(number("TOPEDGE_KILLS").unwrap_or(300) as usize, number("TOPEDGE_SEED").unwrap_or(1));
}
