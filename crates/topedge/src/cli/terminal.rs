//! Pictures and curves in the terminal.
//!
//! Where standard output is a terminal, a character holds two pixels: a half block with a colour for
//! the upper one and another for the lower one. Anywhere else, a pixel is two characters of ASCII, the
//! brighter the denser. Curves are braille dots, eight to a character.

use std::env;
use std::io::{IsTerminal, stdout};

use super::picture::Picture;

/// The most pixels of a picture side by side; wider ones are made smaller.
const MAX_WIDTH: usize = 78;
/// From dark to bright.
const RAMP: &[u8; 10] = b" .:-=+*#%@";

/// How pixels become characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Depth {
    Ascii,
    /// The palette of 256 colours.
    Palette,
    /// 24 bits.
    True,
}

impl Depth {
    fn of_stdout() -> Self {
        let colors = env::var("COLORTERM").unwrap_or_default();
        if !stdout().is_terminal() || env::var_os("NO_COLOR").is_some() {
            Depth::Ascii
        } else if colors == "truecolor" || colors == "24bit" {
            Depth::True
        } else {
            Depth::Palette
        }
    }
}

/// `picture` for standard output, without a line break at its end.
pub(crate) fn picture(picture: &Picture) -> String {
    show(picture, Depth::of_stdout())
}

/// How many pixels side by side fit into a terminal of 80 columns.
pub(crate) fn width() -> usize {
    if Depth::of_stdout() == Depth::Ascii { MAX_WIDTH / 2 } else { MAX_WIDTH }
}

fn show(picture: &Picture, depth: Depth) -> String {
    let width = if depth == Depth::Ascii { MAX_WIDTH / 2 } else { MAX_WIDTH };
    let picture = picture.shrunk(width);
    let rows: Vec<_> = picture.pixels.chunks(picture.width.max(1)).collect();
    let lines = match depth {
        Depth::Ascii => rows.iter().map(|row| ascii(row)).collect::<Vec<_>>(),
        _ => rows.chunks(2).map(|pair| half_blocks(pair, depth)).collect(),
    };
    lines.join("\n")
}

fn ascii(row: &[[u8; 3]]) -> String {
    let dense = |&[r, g, b]: &[u8; 3]| {
        let luma = (299 * u32::from(r) + 587 * u32::from(g) + 114 * u32::from(b)) / 1000;
        let c = char::from(RAMP[(luma as usize * RAMP.len()) / 256]);
        [c, c]
    };
    row.iter().flat_map(dense).collect::<String>().trim_end().to_string()
}

/// One row of characters from two rows of pixels; a missing one is black.
fn half_blocks(rows: &[&[[u8; 3]]], depth: Depth) -> String {
    let code = |[r, g, b]: [u8; 3]| match depth {
        Depth::True => format!("2;{r};{g};{b}"),
        _ => format!("5;{}", palette([r, g, b])),
    };
    let mut line = String::new();
    let mut last = None;
    for (i, &upper) in rows[0].iter().enumerate() {
        let colors = (upper, rows.get(1).map_or([0; 3], |row| row[i]));
        if last != Some(colors) {
            line += &format!("\x1b[38;{};48;{}m", code(colors.0), code(colors.1));
            last = Some(colors);
        }
        line.push('▀');
    }
    line + "\x1b[0m"
}

/// The nearest of the 256 colours: the 24 greys from 232 on, or the cube of 6x6x6 from 16 on.
fn palette([r, g, b]: [u8; 3]) -> u8 {
    if r == g && g == b {
        return match r {
            0..4 => 16,
            247.. => 231,
            _ => 232 + ((u16::from(r) - 3) / 10).min(23) as u8,
        };
    }
    let level = |value: u8| (u16::from(value) * 5 + 127) / 255;
    (16 + 36 * level(r) + 6 * level(g) + level(b)) as u8
}

/// A curve through `points`, in `columns` by `rows` characters of braille, with the range of its
/// values at the left. Points that are not finite are left out.
pub(crate) fn curve(points: &[(f64, f64)], columns: usize, rows: usize) -> String {
    let finite: Vec<_> = points.iter().filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
    let range = |values: &mut dyn Iterator<Item = f64>| {
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
    };
    let (left, right) = range(&mut finite.iter().map(|point| point.0));
    let (low, high) = range(&mut finite.iter().map(|point| point.1));
    let (width, height) = (2 * columns - 1, 4 * rows - 1);
    let place = |value: f64, low: f64, high: f64, size: usize| {
        if high > low { ((value - low) / (high - low) * size as f64).round() as usize } else { 0 }
    };
    let mut dots = vec![0u8; columns * rows];
    let mut dot = |x: usize, y: usize| {
        let y = height - y;
        // The bits of braille count down the left column, then the right one; the fourth row came
        // later.
        let bits = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];
        dots[y / 4 * columns + x / 2] |= bits[y % 4][x % 2];
    };
    let mut before = None;
    for &&(x, y) in &finite {
        let (x, y) = (place(x, left, right, width), place(y, low, high, height));
        let (x0, y0) = before.unwrap_or((x, y));
        let steps = x.abs_diff(x0).max(y.abs_diff(y0)).max(1);
        for i in 0..=steps {
            let part = |from: usize, to: usize| {
                (from as f64 + (to as f64 - from as f64) * i as f64 / steps as f64).round() as usize
            };
            dot(part(x0, x), part(y0, y));
        }
        before = Some((x, y));
    }
    let label = |row: usize| match row {
        _ if finite.is_empty() => String::new(),
        0 => format!("{high:.3}"),
        _ if row + 1 == rows => format!("{low:.3}"),
        _ => String::new(),
    };
    let lines = dots.chunks(columns).enumerate().map(|(row, cells)| {
        let cells = cells.iter().filter_map(|&bits| char::from_u32(0x2800 + u32::from(bits)));
        format!("{:>9} │{}", label(row), cells.collect::<String>())
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_as_characters() {
        let (black, white, red) = ([0; 3], [255; 3], [255, 0, 0]);
        let pixels = vec![black, white, red, black];
        let picture = Picture { width: 2, height: 2, pixels };
        assert_eq!(show(&picture, Depth::Ascii), "  @@\n::");
        assert_eq!(
            show(&picture, Depth::True),
            "\x1b[38;2;0;0;0;48;2;255;0;0m▀\x1b[38;2;255;255;255;48;2;0;0;0m▀\x1b[0m"
        );
        let palette = "\x1b[38;5;16;48;5;196m▀\x1b[38;5;231;48;5;16m▀\x1b[0m";
        assert_eq!(show(&picture, Depth::Palette), palette);
        assert_eq!(show(&Picture { width: 0, height: 0, pixels: vec![] }, Depth::Ascii), "");
    }

    #[test]
    fn wide_pictures_are_made_to_fit() {
        let picture = Picture { width: 400, height: 200, pixels: vec![[255; 3]; 400 * 200] };
        let text = show(&picture, Depth::Ascii);
        assert!(text.lines().all(|line| line.chars().count() == MAX_WIDTH), "{text}");
        assert_eq!(text.lines().count(), 19);
    }

    #[test]
    fn curves_rise_to_the_right() {
        let text = curve(&[(0.0, 0.0), (1.0, 1.0), (2.0, f64::NAN)], 2, 1);
        assert_eq!(text, "    1.000 │⡠⠊");
        assert_eq!(curve(&[], 1, 2).lines().count(), 2);
        assert_eq!(curve(&[(1.0, 5.0); 3], 1, 2), "    5.000 │⠀\n    5.000 │⡀");
    }
}
