//! Against MNIST itself.

use std::env;
use std::path::PathBuf;

use topedge_data::{Normalize, load};

#[test]
#[ignore = "needs MNIST: set TOPEDGE_MNIST"]
fn mnist_is_what_it_is_known_to_be() {
    let dir = env::var_os("TOPEDGE_MNIST").expect("TOPEDGE_MNIST names a folder");
    let splits = load(&PathBuf::from(dir), &|_| ()).unwrap();
    assert_eq!((splits.train.len(), splits.valid.len()), (60_000, 10_000));
    assert_eq!(splits.train.image_shape(), [1, 28, 28]);
    assert_eq!(splits.train.labels()[..5], [5, 0, 4, 1, 9]);
    assert_eq!(splits.valid.labels()[..5], [7, 2, 1, 0, 4]);
    // The numbers that everyone normalises MNIST by.
    let normalize = Normalize::of(&splits.train);
    assert!((normalize.mean[0] - 0.1307).abs() < 5e-5);
    assert!((normalize.std[0] - 0.3081).abs() < 5e-5);
    let two = splits.with_labels(&["3", "7"]).unwrap();
    assert_eq!((two.train.len(), two.valid.len()), (6131 + 6265, 1010 + 1028));
}
