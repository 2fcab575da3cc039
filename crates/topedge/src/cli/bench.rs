//! `topedge bench`: what does this machine give, and how much of it do convolutions get?

use std::time::Duration;

use rayon::ThreadPool;
use serde::{Serialize, Serializer};
use topedge::bench::{
    Convolution, ConvolutionRun, Format, Pass, convolutions, copied_bytes_per_second, gflops,
    median_seconds_over, peak_gflops,
};
use topedge::kernels::Isa;

use super::failure::Failure;
use super::{MAX_THREADS, output, progress};

/// How long each measurement goes on, at least; a peak is the best of several shorter ones.
const TOTAL: Duration = Duration::from_millis(100);
const SHORT: Duration = Duration::from_millis(20);

/// A peak whose samples differ by more than this says that the machine did not do the same all the time.
const STEADY: f64 = 0.85;

/// Measures this machine, and convolutions on it
#[derive(clap::Args)]
#[command(
    long_about = "\
Measures this machine, and convolutions on it, in half a minute to a minute.

What there is to be had: the peak of fused multiply-adds of each instruction set, and how fast memory is
copied. And what convolutions get of it: the layers of simple-cnn-bn (book1 to book5) with 512 images and
layers of common networks, forward and both gradients, each in the memory format that suits it best. The
peak is the best of many short samples, taken between the layers. Close other programs, and run it twice:
where the two runs differ, something else was running.",
    after_help = "\
Examples:
  topedge bench                            everything, on all cores
  topedge bench --threads 1 --layers book  the layers of simple-cnn-bn on one core
  topedge bench --isa avx2                 as on a machine without AVX-512

How to read it: % are of the peak on as many threads. Each weight at each place of the output counts as a
multiplication and an addition, as is usual. Small layers stay far below the peak, for they are over before
all threads are at work, and so do those that move more memory than they calculate (the 1x1 ones). Layers
with less to do than that count can be above it: products with the zeros of padding are skipped where that
is possible, and Winograd's method, for 3x3 layers of stride 1 with 16 channels or more, takes up to four
times fewer multiplications (TOPEDGE_WINOGRAD=off forbids it).

With --json, an object for each figure, all at the end; gflops of a peak is the best sample, lowest_gflops
the worst, and format how images lay in memory:
  {\"event\":\"peak\",\"isa\":\"avx2\",\"threads\":2,\"gflops\":...,\"lowest_gflops\":...}
  {\"event\":\"copy\",\"threads\":2,\"gigabytes_per_second\":...}
  {\"layer\":\"book1\",\"pass\":\"forward\",\"threads\":2,\"ms\":...,\"gflops\":...,\"percent_of_peak\":...,\"format\":\"batch-last\"}
pass is forward, backward_input or backward_weight, format batch-last, channels-last or contiguous."
)]
pub(crate) struct Args {
    /// Threads to compute on [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=MAX_THREADS))]
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

/// The peak of an instruction set, from samples; a line for a program, too.
#[derive(Serialize)]
struct Peak {
    event: &'static str,
    #[serde(serialize_with = "name_of")]
    isa: Isa,
    threads: usize,
    gflops: f64,
    lowest_gflops: f64,
}

fn name_of<S: Serializer>(isa: &Isa, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(isa.name())
}

impl Peak {
    /// Of as many threads as the pool has, from the first samples.
    fn of(isa: Isa, pool: &ThreadPool) -> Peak {
        let (threads, lowest_gflops) = (pool.current_num_threads(), f64::INFINITY);
        let mut peak = Peak { event: "peak", isa, threads, gflops: 0.0, lowest_gflops };
        (0..3).for_each(|_| peak.sample(pool));
        peak
    }

    fn sample(&mut self, pool: &ThreadPool) {
        let gflops = pool.install(|| peak_gflops(self.isa, SHORT));
        self.gflops = self.gflops.max(gflops);
        self.lowest_gflops = self.lowest_gflops.min(gflops);
    }
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

/// All that was measured.
struct Figures {
    /// Of each instruction set, on one thread and on all.
    peaks: Vec<Peak>,
    copies: Vec<CopyEvent>,
    layers: Vec<[LayerLine; 3]>,
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
    let figures = measure(args, isa, &layers, &pools)?;
    if args.json { print_json(&figures) } else { print(isa, &figures) }
}

fn measure(
    args: &Args,
    isa: Isa,
    layers: &[Convolution],
    pools: &[ThreadPool],
) -> Result<Figures, Failure> {
    let bar = progress::layer_bar();
    bar.set_length(layers.len() as u64);
    bar.set_message("this machine");
    let shown = Isa::available().filter(|&shown| args.isa.is_none() || shown == isa);
    let mut peaks: Vec<Peak> =
        shown.flat_map(|isa| pools.iter().map(move |pool| Peak::of(isa, pool))).collect();
    let copy = |pool: &ThreadPool| CopyEvent {
        event: "copy",
        threads: pool.current_num_threads(),
        gigabytes_per_second: pool.install(|| copied_bytes_per_second(TOTAL)) / 1e9,
    };
    let copies = pools.iter().map(copy).collect();

    let pool = &pools[pools.len() - 1];
    let threads = pool.current_num_threads();
    let peak = peaks.iter_mut().find(|peak| peak.isa == isa && peak.threads == threads);
    let peak = peak.expect("each that is available, and so this, was sampled");
    let mut measured = vec![];
    for &layer in layers {
        bar.set_message(layer.name);
        let mut pass = |pass| {
            peak.sample(pool);
            pool.install(|| isa.with(|| one_pass(layer, pass)))
        };
        let [forward, backward_input, backward_weight] = Pass::ALL;
        measured.push([pass(forward)?, pass(backward_input)?, pass(backward_weight)?]);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let best = peak.gflops;
    for line in measured.as_flattened_mut() {
        line.percent_of_peak = 100.0 * line.gflops / best;
    }
    Ok(Figures { peaks, copies, layers: measured })
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

/// Runs one pass of a layer in each memory format; the fastest counts.
fn one_pass(layer: Convolution, pass: Pass) -> Result<LayerLine, Failure> {
    let mut best = (f64::INFINITY, "");
    for format in Format::ALL {
        let mut run = ConvolutionRun::new(layer, format, pass);
        run.run().map_err(topedge::Error::from)?;
        let seconds = median_seconds_over(TOTAL, || run.run().expect("it has just run"));
        if seconds < best.0 {
            best = (seconds, format.name());
        }
    }
    Ok(LayerLine {
        layer: layer.name,
        pass: pass.name().replace('-', "_"),
        threads: rayon::current_num_threads(),
        ms: 1e3 * best.0,
        gflops: gflops(layer.operations(), best.0),
        // Until the peak is known.
        percent_of_peak: f64::NAN,
        format: best.1,
    })
}

fn print_json(figures: &Figures) -> Result<(), Failure> {
    let Figures { peaks, copies, layers } = figures;
    peaks.iter().try_for_each(|peak| output::line(output::json(peak)?))?;
    copies.iter().try_for_each(|copy| output::line(output::json(copy)?))?;
    let mut passes = layers.as_flattened().iter();
    Ok(passes.try_for_each(|pass| output::line(output::json(pass)?))?)
}

fn print(isa: Isa, figures: &Figures) -> Result<(), Failure> {
    let Figures { peaks, copies, layers } = figures;
    let table = |what: &str, figures: Vec<String>| {
        let figures: String = figures.iter().map(|figure| format!("{figure:>12}")).collect();
        output::line(format_args!("{what:<36}{figures}"))
    };
    let heads = copies.iter().map(|copy| threads_word(copy.threads)).collect();
    table("what this machine gives", heads)?;
    for peaks in peaks.chunk_by(|a, b| a.isa == b.isa) {
        let what = format!("{}, multiply-adds, GFLOP/s", peaks[0].isa.name());
        table(&what, peaks.iter().map(|peak| format!("{:.0}", peak.gflops)).collect())?;
    }
    let rates = copies.iter().map(|copy| format!("{:.1}", copy.gigabytes_per_second));
    table("memory copied, GB/s read and written", rates.collect())?;

    let threads = copies.last().map_or(1, |copy| copy.threads);
    output::line(format_args!("\nGFLOP/s on {}, {}\n", isa.name(), threads_word(threads)))?;
    output::line(row("layer", Pass::ALL.map(|pass| [pass.name().replace('-', " "), "%".into()])))?;
    for passes in layers {
        let cells = |pass: &LayerLine| {
            [format!("{:.0}", pass.gflops), format!("{:.0} %", pass.percent_of_peak)]
        };
        output::line(row(passes[0].layer, passes.each_ref().map(cells)))?;
    }
    output::line(
        "\n% are of the peak on as many threads. It can be more than 100 %: products with the zeros of padding\n\
         count as work, as is usual, but are skipped where that is possible, and Winograd's method (3x3, stride 1,\n\
         16 channels or more) takes up to four times fewer multiplications than are counted.",
    )?;
    match peaks.iter().find(|peak| peak.isa == isa && peak.threads == threads) {
        Some(Peak { gflops, lowest_gflops, .. }) if *lowest_gflops < STEADY * gflops => {
            Ok(output::line(format_args!(
                "\nThe peak varied from {lowest_gflops:.0} to {gflops:.0} GFLOP/s while this was measured: \
                 something else was running.\nWhat was measured meanwhile is too low; run it again."
            ))?)
        }
        _ => Ok(()),
    }
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
