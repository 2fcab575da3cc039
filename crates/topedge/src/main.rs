//! The `topedge` command line: trains networks, predicts with them, and shows what they consist of.

#![forbid(unsafe_code)]

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
