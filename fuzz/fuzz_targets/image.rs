//! The reader of PNG and JPEG files takes any bytes: it answers as many pixels as were asked for, or an
//! error.

#![no_main]

use libfuzzer_sys::fuzz_target;
use topedge_data::parse_image;
use topedge_fuzz::most_work;

/// The pixels that a file says it has, where it says so; the most of all places that may be its header.
fn pixels(bytes: &[u8]) -> usize {
    let number =
        |bytes: &[u8]| bytes.iter().fold(0, |number, &byte| number << 8 | usize::from(byte));
    let product = |header: &[u8], each: usize| number(&header[..each]) * number(&header[each..]);
    let png = bytes.get(16..24).filter(|_| bytes.starts_with(b"\x89PNG"));
    let jpeg = bytes.windows(9).filter(|frame| matches!(frame, [0xFF, 0xC0..=0xC2, ..]));
    let jpeg = jpeg.filter(|_| bytes.starts_with(b"\xFF\xD8")).map(|frame| product(&frame[5..], 2));
    png.map(|header| product(header, 4)).into_iter().chain(jpeg).max().unwrap_or(0)
}

fuzz_target!(|bytes: &[u8]| {
    // A few bytes may say that they are a large image, and take long.
    if pixels(bytes) > most_work(bytes) {
        return;
    }
    if let Ok(pixels) = parse_image(bytes, [3, 8, 8]) {
        assert_eq!(pixels.len(), 3 * 8 * 8);
    }
});
