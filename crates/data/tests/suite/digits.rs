//! Drawn digits.

use crate::common::assert_error;
use topedge_data::digits::{Digits, generate};
use topedge_data::{Dataset, Splits};

fn draw(train: usize, valid: usize, seed: u64) -> Splits {
    generate(&Digits { train, valid, seed }).unwrap()
}

fn pixels(data: &Dataset) -> Vec<u8> {
    (0..data.len()).flat_map(|i| data.image(i)).copied().collect()
}

#[test]
fn the_same_on_any_number_of_threads() {
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let splits = pool.install(|| draw(200, 50, 7));
        (pixels(&splits.train), pixels(&splits.valid))
    };
    assert_eq!(on(1), on(3));
}

#[test]
fn an_image_depends_on_seed_split_and_place_alone() {
    let splits = draw(60, 40, 1);
    assert_eq!(pixels(&draw(40, 10, 1).train), pixels(&splits.train)[..40 * 784]);
    assert_ne!(pixels(&draw(40, 10, 2).train), pixels(&splits.train)[..40 * 784]);
    assert_ne!(pixels(&splits.valid), pixels(&splits.train)[..40 * 784]);
    // The same digit is never drawn twice alike.
    assert_ne!(splits.train.image(0), splits.train.image(10));
}

#[test]
fn sets_are_balanced_and_mnist_shaped() {
    let splits = draw(1000, 100, 3);
    for (data, each) in [(&splits.train, 100), (&splits.valid, 10)] {
        assert_eq!(data.image_shape(), [1, 28, 28]);
        assert_eq!(data.vocab(), ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
        for digit in 0..10 {
            assert_eq!(data.labels().iter().filter(|&&l| l == digit).count(), each);
        }
    }
}

#[test]
fn digits_are_white_centred_and_within_the_image() {
    let splits = draw(1000, 10, 5);
    let (mut ink, mut border) = (0.0, 0.0);
    for i in 0..1000 {
        let image = splits.train.image(i);
        // Noise apart, paper is black and ink is white.
        let covered = image.iter().filter(|&&p| p > 128).count();
        assert!((15..400).contains(&covered), "image {i} has {covered} white pixels");
        let (mut mass, mut x_mass, mut y_mass) = (0.0, 0.0, 0.0);
        for (at, &pixel) in image.iter().enumerate().filter(|(_, p)| **p > 64) {
            let (x, y) = (at % 28, at / 28);
            mass += f64::from(pixel);
            x_mass += f64::from(pixel) * (x as f64 + 0.5);
            y_mass += f64::from(pixel) * (y as f64 + 0.5);
            if x.min(y) == 0 || x.max(y) == 27 {
                border += f64::from(pixel);
            }
        }
        ink += mass;
        for centre in [x_mass / mass, y_mass / mass] {
            assert!((centre - 14.0).abs() < 3.0, "image {i} is centred at {centre}");
        }
    }
    // MNIST has a mean of 0.131; its border is nearly empty.
    let mean = ink / (1000.0 * 784.0 * 255.0);
    assert!((0.1..0.2).contains(&mean), "mean {mean}");
    assert!(border < 0.005 * ink, "{border} of {ink} at the border");
}

#[test]
fn impossible_numbers_are_refused() {
    let generate = |train, valid| generate(&Digits { train, valid, seed: 1 });
    assert_error(generate(9, 10), &["no image of class \"9\""]);
    assert_error(generate(0, 10), &["the training set", "no images"]);
    assert_error(generate(10, 0), &["the validation set", "no images"]);
    assert_error(generate(usize::MAX, 10), &["number of digits", "memory"]);
}
