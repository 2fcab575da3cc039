//! The readers of `history.csv` and `batches.csv` take any text: they answer what can be written and read
//! again, or an error.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;

// Of the command line, which is no library.
#[allow(dead_code)]
#[path = "../../crates/topedge/src/cli/batches.rs"]
mod batches;
#[allow(dead_code)]
#[path = "../../crates/topedge/src/cli/failure.rs"]
mod failure;
#[path = "../../crates/topedge/src/cli/history.rs"]
mod history;

fuzz_target!(|text: &str| {
    let path = Path::new("x");
    if let Ok(rows) = history::of_csv(text, path) {
        assert_eq!(rows.len() + 1, text.lines().count());
    }
    if let Ok((recorder, stats)) = batches::of_csv(text, path) {
        let written = String::from_utf8(batches::to_csv(&recorder, &stats)).unwrap();
        let (recorder, stats) = batches::of_csv(&written, path).unwrap();
        assert_eq!(batches::to_csv(&recorder, &stats), written.as_bytes());
    }
});
