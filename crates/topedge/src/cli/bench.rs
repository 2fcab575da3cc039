//! `topedge bench`: what does this machine give, and how much of it do convolutions get?

use std::time::Duration;

use rayon::ThreadPool;
use serde::Serialize;
use topedge::bench::{
    Convolution, ConvolutionRun, Format, Pass, convolutions, copied_bytes_per_second, gflops,
    median_seconds_over, peak_gflops,
};
use topedge::kernels::Isa;

use super::failure::Failure;
use super::{output, progress};

/// How long each measurement goes on, at least.
const TOTAL: Duration = Duration::from_millis(100);

/// Measures this machine, and convolutions on it
#[derive(clap::Args)]
#[command(
    long_about = "\
Measures this machine, and convolutions on it, in about half a minute.

First what there is to be had: the peak of fused multiply-adds of each instruction set, and how fast
memory is copied. Then the layers of simple-cnn-bn (book1 to book5) with 512 images and layers of
common networks, forward and both gradients, each in the memory format that suits it best. Close
other programs, and run it twice: where the two runs differ, something else was running.",
    after_help = "\
Examples:
  topedge bench                            everything, on all cores
  topedge bench --threads 1 --layers book  the layers of simple-cnn-bn on one core
  topedge bench --isa avx2                 as on a machine without AVX-512

How to read it: a layer near 100 % cannot become faster on this machine. Small layers stay below, for
they are over before all threads are at work, and so do those that move more memory than they
calculate (the 1x1 ones).

With --json, an object for each figure:
  {\"event\":\"peak\",\"isa\":\"avx2\",\"threads\":2,\"gflops\":...}
  {\"event\":\"copy\",\"threads\":2,\"gigabytes_per_second\":...}
  {\"layer\":\"book1\",\"pass\":\"forward\",\"threads\":2,\"ms\":...,\"gflops\":...,\"percent_of_peak\":...,\"format\":\"batch-last\"}"
)]
pub(crate) struct Args {
    /// Threads to compute on [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Only layers with this in their names
    #[arg(long, value_name = "SUBSTRING", default_value = "")]
    layers: String,
    /// The instruction set [default: the best that this machine has]
    #[arg(long, value_name = "NAME")]
    isa: Option<String>,
    /// Print one JSON object a line, and nothing else
    #[arg(long)]
    json: bool,
}

/// A peak for a program.
#[derive(Serialize)]
struct PeakEvent {
    event: &'static str,
    isa: &'static str,
    threads: usize,
    gflops: f64,
}

/// The bandwidth of memory for a program.
#[derive(Serialize)]
struct CopyEvent {
    event: &'static str,
    threads: usize,
    gigabytes_per_second: f64,
}

/// One pass of a layer for a program.
#[derive(Serialize)]
struct LayerLine {
    layer: &'static str,
    pass: String,
    threads: usize,
    ms: f64,
    gflops: f64,
    percent_of_peak: f64,
    format: &'static str,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let layers = layers(&args.layers)?;
    let isa = isa(args.isa.as_deref())?;
    let threads = args.threads.map_or_else(rayon::current_num_threads, usize::from);
    // One thread alone, then all.
    let mut pools = vec![pool(1)?];
    if threads > 1 {
        pools.push(pool(threads)?);
    }
    let peak = machine(args, isa, &pools)?;

    let bar = progress::layer_bar();
    bar.set_length(layers.len() as u64);
    let pool = &pools[pools.len() - 1];
    if !args.json {
        let threads = pool.current_num_threads();
        output::line(format_args!("\nGFLOP/s on {}, {}\n", isa.name(), threads_word(threads)))?;
        output::line(row(
            "layer",
            Pass::ALL.map(|pass| [pass.name().replace('-', " "), "%".into()]),
        ))?;
    }
    for layer in layers {
        bar.set_message(layer.name);
        let mut measured = vec![];
        for pass in Pass::ALL {
            measured.push(pool.install(|| isa.with(|| measure(layer, pass, peak)))?);
        }
        bar.suspend(|| show(args, &measured))?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    if !args.json {
        output::line(
            "\n% are of the peak on as many threads. Products with the zeros of padding count as work, as is\n\
             usual, but are skipped where that is possible: then it can be more than 100 %.",
        )?;
    }
    Ok(())
}

fn layers(part: &str) -> Result<Vec<Convolution>, Failure> {
    let all = convolutions();
    let names: Vec<_> = all.iter().map(|layer| layer.name).collect();
    let found: Vec<_> = all.into_iter().filter(|layer| layer.name.contains(part)).collect();
    if found.is_empty() {
        return Err(Failure::flag("--layers", part, format!("a part of {}", names.join(", "))));
    }
    Ok(found)
}

fn isa(name: Option<&str>) -> Result<Isa, Failure> {
    let Some(name) = name else {
        return Ok(Isa::current());
    };
    Isa::by_name(name).map_err(|_| {
        let have: Vec<_> = Isa::available().map(Isa::name).collect();
        Failure::flag("--isa", name, format!("what this machine has, {}", have.join(", ")))
    })
}

fn pool(threads: usize) -> Result<ThreadPool, Failure> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.map_err(|error| Failure::Failed(format!("cannot start {threads} threads: {error}")))
}

/// Shows what the machine gives on each of `pools`. Returns the peak of `isa` on the last one.
fn machine(args: &Args, isa: Isa, pools: &[ThreadPool]) -> Result<f64, Failure> {
    let table = |what: &str, figures: &[String]| {
        let figures: String = figures.iter().map(|figure| format!("{figure:>12}")).collect();
        output::line(format_args!("{what:<36}{figures}"))
    };
    let threads: Vec<_> = pools.iter().map(ThreadPool::current_num_threads).collect();
    if !args.json {
        let heads: Vec<_> = threads.iter().map(|&threads| threads_word(threads)).collect();
        table("what this machine gives", &heads)?;
    }
    let mut peak_of_isa = 0.0;
    for shown in Isa::available().filter(|&shown| args.isa.is_none() || shown == isa) {
        let mut figures = vec![];
        for (pool, &threads) in pools.iter().zip(&threads) {
            let gflops = pool.install(|| peak_gflops(shown, TOTAL));
            if args.json {
                let event = PeakEvent { event: "peak", isa: shown.name(), threads, gflops };
                output::line(output::json(&event)?)?;
            }
            figures.push(format!("{gflops:.0}"));
            if shown == isa {
                peak_of_isa = gflops;
            }
        }
        if !args.json {
            table(&format!("{}, multiply-adds, GFLOP/s", shown.name()), &figures)?;
        }
    }
    let mut figures = vec![];
    for (pool, &threads) in pools.iter().zip(&threads) {
        let gigabytes_per_second = pool.install(|| copied_bytes_per_second(TOTAL)) / 1e9;
        if args.json {
            let event = CopyEvent { event: "copy", threads, gigabytes_per_second };
            output::line(output::json(&event)?)?;
        }
        figures.push(format!("{gigabytes_per_second:.1}"));
    }
    if !args.json {
        table("memory copied, GB/s read and written", &figures)?;
    }
    Ok(peak_of_isa)
}

/// Runs one pass of a layer in each memory format; the fastest counts.
fn measure(layer: Convolution, pass: Pass, peak: f64) -> Result<LayerLine, Failure> {
    let mut best = (f64::INFINITY, "");
    for format in Format::ALL {
        let mut run = ConvolutionRun::new(layer, format, pass);
        run.run().map_err(topedge::Error::from)?;
        let seconds = median_seconds_over(TOTAL, || run.run().expect("it has just run"));
        if seconds < best.0 {
            best = (seconds, format.name());
        }
    }
    let gflops = gflops(layer.operations(), best.0);
    Ok(LayerLine {
        layer: layer.name,
        pass: pass.name().replace('-', "_"),
        threads: rayon::current_num_threads(),
        ms: 1e3 * best.0,
        gflops,
        percent_of_peak: 100.0 * gflops / peak,
        format: best.1,
    })
}

/// Shows the three passes of a layer.
fn show(args: &Args, passes: &[LayerLine]) -> Result<(), Failure> {
    if args.json {
        for pass in passes {
            output::line(output::json(pass)?)?;
        }
    } else if let [a, b, c] = passes {
        let cells = |pass: &LayerLine| {
            [format!("{:.0}", pass.gflops), format!("{:.0} %", pass.percent_of_peak)]
        };
        output::line(row(a.layer, [a, b, c].map(cells)))?;
    }
    Ok(())
}

fn threads_word(threads: usize) -> String {
    if threads == 1 { "1 thread".to_string() } else { format!("{threads} threads") }
}

fn row(name: &str, passes: [[String; 2]; 3]) -> String {
    let cells = passes.iter().map(|[rate, percent]| format!("{rate:>17}{percent:>7}"));
    format!("{name:<11}{}", cells.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_by_a_part_of_their_names() {
        assert_eq!(layers("").unwrap().len(), 18);
        let names: Vec<_> = layers("512").unwrap().iter().map(|layer| layer.name).collect();
        assert_eq!(names, ["cifar.512"]);
        assert!(layers("alexnet").is_err());
    }

    #[test]
    fn the_table_is_aligned() {
        let head = row("layer", Pass::ALL.map(|pass| [pass.name().to_string(), "%".to_string()]));
        let cells = || ["1234".to_string(), "101 %".to_string()];
        assert_eq!(row("cifar.128s2", [cells(), cells(), cells()]).len(), head.len());
        assert!(convolutions().iter().all(|layer| layer.name.len() <= 11));
    }
}
