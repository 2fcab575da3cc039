//! Words in pictures.

use font8x8::UnicodeFonts;

use super::picture::Picture;

/// `text` in white letters of 8x8 pixels; a letter that the font does not have is a blank.
pub(crate) fn lettering(text: &str) -> Picture {
    let mut picture = Picture::black(8 * text.chars().count(), 8);
    for (i, c) in text.chars().enumerate() {
        let rows = font8x8::BASIC_FONTS.get(c).or(font8x8::LATIN_FONTS.get(c)).unwrap_or([0; 8]);
        for (y, bits) in rows.into_iter().enumerate() {
            for x in (0..8).filter(|x| bits >> x & 1 == 1) {
                picture.pixels[y * picture.width + 8 * i + x] = [255; 3];
            }
        }
    }
    picture
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_as_the_font_has_it() {
        let text = lettering("I\u{1f600}");
        assert_eq!((text.width, text.height), (16, 8));
        let first_row: String =
            text.pixels[..16].iter().map(|&p| if p == [255; 3] { '#' } else { '.' }).collect();
        assert_eq!(first_row, ".####...........");
    }
}
