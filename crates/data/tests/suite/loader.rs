//! Data sets, normalisation, batches and loaders.

use crate::common::{assert_error, bytes, dataset};
use proptest::prelude::*;
use topedge_data::{
    Batch, DataLoader, DataLoaders, Dataset, LoaderConfig, LoadersConfig, MemoryFormat, Normalize,
    Splits,
};

fn collect(loader: &DataLoader, epoch: u64) -> Vec<Batch> {
    loader.epoch(epoch).map(|batch| batch.unwrap()).collect()
}

fn indices(loader: &DataLoader, epoch: u64) -> Vec<usize> {
    collect(loader, epoch).into_iter().flat_map(|b| b.indices).collect()
}

fn vocab(names: &[&str]) -> Vec<String> {
    names.iter().map(|n| n.to_string()).collect()
}

#[test]
fn data_sets_check_their_parts() {
    let new = |pixels: usize, shape, labels: &[u32], names: &[&str]| {
        Dataset::new(bytes(pixels), shape, labels.to_vec(), vocab(names))
    };
    assert_error(new(11, [1, 2, 3], &[0, 0], &["a"]), &["pixels", "2 images of 1x2x3", "11"]);
    assert_error(new(0, [1, 0, 3], &[0, 0], &["a"]), &["image shape", "[1, 0, 3]"]);
    assert_error(new(0, [usize::MAX, 2, 3], &[], &["a"]), &["image shape"]);
    assert_error(new(4, [1, 2, 2], &[usize::MAX as u32], &["a"]), &["label 4294967295 of image 0"]);
    assert_error(
        new(2, [1, 1, 1], &[0, 2], &["a", "b"]),
        &["labels", "2 classes", "label 2 of image 1"],
    );
    assert_error(new(1, [1, 1, 1], &[0], &["a", "b", "a"]), &["vocabulary", "\"a\"", "index 2"]);
    assert!(new(0, [3, 1, 2], &[], &[]).unwrap().is_empty());
}

#[test]
fn with_labels_keeps_the_order_of_the_vocabulary() {
    let data = dataset(7, [1, 1, 2]);
    let kept = data.with_labels(&["c", "a"]).unwrap();
    assert_eq!(kept.vocab(), ["a", "c"]);
    assert_eq!(kept.labels(), [0, 1, 0, 1, 0]);
    assert_eq!(kept.image(3), data.image(5));
    assert_error(data.with_labels(&["a", "d"]), &["\"d\"", "a, b, c"]);
    assert_error(data.with_labels(&[]), &["labels to keep", "a, b, c"]);
}

#[test]
fn random_split_shares_the_images_out() {
    let data = dataset(10, [1, 1, 1]);
    let (train, valid) = data.random_split(0.3, 1).unwrap();
    assert_eq!((train.len(), valid.len()), (7, 3));
    let mut all: Vec<u8> = (0..7).map(|i| train.image(i)[0]).collect();
    all.extend((0..3).map(|i| valid.image(i)[0]));
    let mut expected: Vec<u8> = (0..10).map(|i| data.image(i)[0]).collect();
    all.sort();
    expected.sort();
    assert_eq!(all, expected);
    let same = data.random_split(0.3, 1).unwrap();
    assert_eq!(same.1.labels(), valid.labels());
    let pixels = |d: &Dataset| (0..d.len()).map(|i| d.image(i)[0]).collect::<Vec<_>>();
    let differs =
        (2..6).any(|seed| pixels(&data.random_split(0.3, seed).unwrap().1) != pixels(&valid));
    assert!(differs);
    for fraction in [-0.1, 1.1, f64::NAN] {
        assert_error(data.random_split(fraction, 1), &["valid_fraction", &fraction.to_string()]);
    }
}

#[test]
fn splits_must_fit_each_other() {
    let data = dataset(6, [1, 2, 3]);
    let none = dataset(0, [1, 2, 3]);
    assert!(Splits::new(data.clone(), dataset(3, [1, 2, 3])).is_ok());
    assert_error(Splits::new(data.clone(), none.clone()), &["the validation set", "no images"]);
    assert_error(Splits::new(none, data.clone()), &["the training set", "no images"]);
    assert_error(Splits::new(data.clone(), dataset(6, [1, 3, 2])), &["image shape", "[1, 3, 2]"]);
    // Class c has no image in one of them.
    let two = dataset(2, [1, 2, 3]);
    let missing = |place| [place, "no image of class \"c\"", "a, b, c"];
    assert_error(Splits::new(two.clone(), data.clone()), &missing("the training set"));
    assert_error(Splits::new(data.clone(), two), &missing("the validation set"));
    let other = Dataset::new(bytes(6), [1, 2, 3], vec![0], vocab(&["x"])).unwrap();
    assert_error(Splits::new(data.clone(), other), &["vocabulary", "\"x\""]);
    let splits = Splits::new(data.clone(), data).unwrap().with_labels(&["b"]).unwrap();
    assert_eq!((splits.train.len(), splits.valid.len()), (2, 2));
}

#[test]
fn normalize_of_matches_the_plain_formula() {
    // More than 65,536 pixels a plane, so that the sums are taken in parts.
    for shape in [[3, 5, 7], [2, 300, 301]] {
        let data = dataset(4, shape);
        let normalize = Normalize::of(&data);
        let plane = shape[1] * shape[2];
        for c in 0..shape[0] {
            let values: Vec<f64> = (0..4)
                .flat_map(|i| &data.image(i)[c * plane..][..plane])
                .map(|&p| f64::from(p) / 255.0)
                .collect();
            let n = values.len() as f64;
            let mean = values.iter().sum::<f64>() / n;
            let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
            assert!((f64::from(normalize.mean[c]) - mean).abs() < 1e-7);
            assert!((f64::from(normalize.std[c]) - variance.sqrt()).abs() < 1e-7);
        }
    }
}

#[test]
fn normalize_of_the_extremes() {
    let white = Dataset::new(vec![255; 8], [2, 2, 2], vec![0], vocab(&["x"])).unwrap();
    assert_eq!(Normalize::of(&white).mean, [1.0, 1.0]);
    assert_eq!(Normalize::of(&white).std, [1.0, 1.0]);
    let one = Dataset::new(vec![51], [1, 1, 1], vec![0], vocab(&["x"])).unwrap();
    assert_eq!(Normalize::of(&one).mean, [0.2]);
    assert_eq!(Normalize::of(&one).std, [1.0]);
    assert_eq!(Normalize::of(&dataset(0, [1, 2, 2])), Normalize::default());
}

#[test]
fn normalize_of_one_batch_is_that_of_the_batch() {
    let data = dataset(9, [2, 3, 4]);
    let batch = Normalize::of_batch(&data, &[1, 3, 5]).unwrap();
    let pixels = [1, 3, 5].map(|i| data.image(i)).concat();
    let alone = Dataset::new(pixels, [2, 3, 4], vec![0; 3], vocab(&["x"])).unwrap();
    let whole = Normalize::of(&alone);
    assert_eq!(batch.mean, whole.mean);
    for (batch, whole) in batch.std.iter().zip(&whole.std) {
        assert!((batch - whole - 1e-7).abs() <= f32::EPSILON * whole);
        assert!(batch > whole);
    }
    assert_error(Normalize::of_batch(&data, &[0, 9]), &["below 9", "9"]);
}

#[test]
fn decode_undoes_apply_for_every_byte() {
    let normalize = Normalize { mean: vec![0.13, 0.9], std: vec![0.31, 0.007] };
    let image: Vec<u8> = (0..=255).chain((0..=255).rev()).collect();
    let values = normalize.apply(&image).unwrap();
    assert_eq!(values[3], (3.0 / 255.0 - 0.13) / 0.31);
    assert_eq!(values[256], (1.0 - 0.9) / 0.007);
    assert_eq!(normalize.decode(&values).unwrap(), image);
    assert_eq!(normalize.decode(&[1e9, f32::NEG_INFINITY]).unwrap(), [255, 0]);
    assert!(normalize.apply(&[]).unwrap().is_empty());
    assert_error(normalize.apply(&[1, 2, 3]), &["2 channels", "found 3"]);
}

#[test]
fn invalid_normalisation_is_refused() {
    let cases: [(&[f32], &[f32], &str); 6] = [
        (&[], &[1.0], "normalize.mean"),
        (&[0.0], &[], "normalize.std"),
        (&[0.0, 0.0], &[1.0], "normalize.mean"),
        (&[f32::NAN], &[1.0], "NaN"),
        (&[0.0], &[0.0], "above 0"),
        (&[0.0], &[1.0, 1.0, f32::INFINITY], "inf"),
    ];
    for (mean, std, part) in cases {
        let normalize = Normalize { mean: mean.to_vec(), std: std.to_vec() };
        let config = LoaderConfig { normalize, ..Default::default() };
        assert_error(DataLoader::new(dataset(5, [3, 2, 2]), config), &[part]);
    }
}

proptest! {
    /// Against the definition, value by value, in all three formats.
    #[test]
    fn batches_hold_the_normalised_values(
        n in 1_usize..140,
        c in 1_usize..4,
        h in 1_usize..6,
        w in 1_usize..6,
        batch_size in 1_usize..140,
    ) {
        let data = dataset(n, [c, h, w]);
        let normalize = Normalize::of(&data);
        for format in [MemoryFormat::Contiguous, MemoryFormat::ChannelsLast, MemoryFormat::BatchLast] {
            let config = LoaderConfig { batch_size, shuffle: true, format, normalize: normalize.clone(), ..Default::default() };
            for batch in collect(&DataLoader::new(data.clone(), config).unwrap(), 3) {
                let len = batch.indices.len();
                prop_assert_eq!(batch.shape, [len, c, h, w]);
                prop_assert_eq!(batch.values.len(), len * c * h * w);
                let of_part = len / format.parts(len);
                let dense = match format {
                    MemoryFormat::Contiguous => [c * h * w, h * w, w, 1],
                    MemoryFormat::ChannelsLast => [c * h * w, 1, w * c, c],
                    MemoryFormat::BatchLast => [1, h * w * of_part, w * of_part, of_part],
                };
                prop_assert_eq!((batch.strides, batch.parts), (dense, format.parts(len)));
                for (i, &index) in batch.indices.iter().enumerate() {
                    prop_assert_eq!(batch.labels[i], data.label(index));
                    let expected = normalize.apply(data.image(index)).unwrap();
                    prop_assert_eq!(batch.image(i), expected);
                }
            }
        }
    }

    #[test]
    fn every_image_once_an_epoch(n in 1_usize..50, batch_size in 1_usize..20, seed: u64, epoch: u64) {
        let config = LoaderConfig { batch_size, shuffle: true, seed, ..Default::default() };
        let loader = DataLoader::new(dataset(n, [1, 1, 1]), config).unwrap();
        let batches = collect(&loader, epoch);
        prop_assert_eq!(batches.len(), loader.batches());
        prop_assert_eq!(batches.len(), n.div_ceil(batch_size));
        let mut all: Vec<usize> = batches.into_iter().flat_map(|b| b.indices).collect();
        all.sort();
        prop_assert_eq!(all, (0..n).collect::<Vec<_>>());
    }
}

#[test]
fn large_batches_lie_in_parts_if_batch_last() {
    let parts = |n| MemoryFormat::BatchLast.parts(n);
    assert_eq!(
        [0, 1, 32, 63, 64, 65, 96, 128, 256, 300, 512].map(parts),
        [1, 1, 1, 1, 2, 1, 2, 2, 4, 1, 4]
    );
    assert_eq!(MemoryFormat::ChannelsLast.parts(512), 1);
    for n in [64, 96, 256] {
        let data = dataset(n, [2, 3, 5]);
        let normalize = Normalize::of(&data);
        let config =
            LoaderConfig { batch_size: n, normalize: normalize.clone(), ..Default::default() };
        let format = config.format;
        let batch = collect(&DataLoader::new(data.clone(), config).unwrap(), 0).remove(0);
        let images = n / format.parts(n);
        assert_eq!((batch.shape, batch.parts), ([n, 2, 3, 5], format.parts(n)));
        assert_eq!(batch.strides, format.strides([images, 2, 3, 5]));
        for i in 0..n {
            assert_eq!(batch.image(i), normalize.apply(data.image(i)).unwrap());
        }
        // The second part begins with its first image.
        assert_eq!(batch.values[images * 30], batch.image(images)[0]);
    }
}

#[test]
fn threads_that_make_a_batch_together_make_the_same() {
    for (n, format) in [
        (37, MemoryFormat::Contiguous),
        (37, MemoryFormat::ChannelsLast),
        (37, MemoryFormat::BatchLast),
        (64, MemoryFormat::BatchLast),
    ] {
        let data = dataset(n, [3, 17, 23]);
        let config = LoaderConfig {
            batch_size: n,
            normalize: Normalize::of(&data),
            format,
            prefetch: false,
            ..Default::default()
        };
        let loader = DataLoader::new(data.clone(), config).unwrap();
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| collect(&loader, 0).remove(0))
        };
        let one = on(1);
        for threads in 2..6 {
            assert_eq!(on(threads), one, "{n} images, {format:?}, {threads} threads");
        }
    }
}

#[test]
fn batch_counts_of_mnist() {
    let data = Dataset::new(vec![0; 60_000], [1, 1, 1], vec![0; 60_000], vocab(&["x"])).unwrap();
    for (batch_size, drop_last, batches) in
        [(64, true, 937), (512, true, 117), (64, false, 938), (60_000, true, 1)]
    {
        let config = LoaderConfig { batch_size, drop_last, ..Default::default() };
        let loader = DataLoader::new(data.clone(), config).unwrap();
        assert_eq!(loader.batches(), batches);
        assert_eq!(loader.epoch(0).count(), batches);
    }
}

#[test]
fn the_order_depends_on_seed_and_epoch_alone() {
    let loader = |seed, prefetch| {
        let config =
            LoaderConfig { batch_size: 7, shuffle: true, seed, prefetch, ..Default::default() };
        DataLoader::new(dataset(100, [1, 2, 2]), config).unwrap()
    };
    let here = loader(1, false);
    let ahead = loader(1, true);
    for epoch in [0, 1, u64::MAX] {
        assert_eq!(collect(&here, epoch), collect(&ahead, epoch));
    }
    assert_eq!(indices(&here, 5), indices(&here, 5));
    assert_ne!(indices(&here, 0), indices(&here, 1));
    assert_ne!(indices(&here, 0), indices(&loader(2, false), 0));
    assert_ne!(indices(&here, 0), (0..100).collect::<Vec<_>>());
    let unshuffled = DataLoader::new(dataset(100, [1, 2, 2]), LoaderConfig::default()).unwrap();
    assert_eq!(indices(&unshuffled, 3), (0..100).collect::<Vec<_>>());
}

#[test]
fn recycled_memory_is_reused_and_leaves_no_trace() {
    let config = LoaderConfig { batch_size: 8, prefetch: false, ..Default::default() };
    let loader = DataLoader::new(dataset(20, [1, 3, 3]), config).unwrap();
    let expected = collect(&loader, 0);
    let mut epoch = loader.epoch(0);
    let mut addresses = vec![];
    let mut batches = vec![];
    while let Some(batch) = epoch.next() {
        let batch = batch.unwrap();
        addresses.push(batch.values.as_ptr());
        batches.push(batch.clone());
        epoch.recycle(batch);
    }
    assert_eq!(batches, expected);
    assert!(addresses.iter().all(|&a| a == addresses[0]));
    // The next epoch goes on with the same memory.
    assert_eq!(loader.epoch(1).next().unwrap().unwrap().values.as_ptr(), addresses[0]);
}

#[test]
fn recycling_while_prefetching_changes_nothing() {
    let config = LoaderConfig { batch_size: 8, shuffle: true, ..Default::default() };
    let loader = DataLoader::new(dataset(100, [2, 3, 3]), config).unwrap();
    for number in 0..3 {
        let expected = collect(&loader, number);
        let mut epoch = loader.epoch(number);
        for expected in expected {
            let batch = epoch.next().unwrap().unwrap();
            assert_eq!(batch, expected);
            epoch.recycle(batch);
        }
        assert!(epoch.next().is_none());
    }
}

#[test]
fn an_epoch_can_be_left_early() {
    let config = LoaderConfig { batch_size: 1, ..Default::default() };
    let loader = DataLoader::new(dataset(1000, [1, 1, 1]), config).unwrap();
    for _ in 0..50 {
        assert_eq!(loader.epoch(0).next().unwrap().unwrap().indices, [0]);
    }
}

#[test]
fn batch_sizes_are_checked() {
    let new = |batch_size, drop_last| {
        let config = LoaderConfig { batch_size, drop_last, ..Default::default() };
        DataLoader::new(dataset(5, [1, 1, 1]), config)
    };
    assert_error(new(0, false), &["batch_size is 0", "at least 1"]);
    assert_error(new(6, true), &["batch_size is 6", "at most the 5 images"]);
    assert_eq!(new(6, false).unwrap().batches(), 1);
    assert_eq!(new(usize::MAX, false).unwrap().epoch(0).count(), 1);
}

#[test]
fn loaders_train_shuffled_and_validate_in_order() {
    let splits = Splits::new(dataset(10, [1, 2, 2]), dataset(5, [1, 2, 2])).unwrap();
    let config = LoadersConfig { batch_size: 3, ..Default::default() };
    let loaders = DataLoaders::new(&splits, &config).unwrap();
    assert_eq!((loaders.train.batches(), loaders.valid.batches()), (3, 2));
    assert_eq!(indices(&loaders.valid, 1), [0, 1, 2, 3, 4]);
    assert_ne!(indices(&loaders.train, 0), indices(&loaders.train, 1));
    for loader in [&loaders.train, &loaders.valid] {
        assert_eq!(loader.config().normalize, Normalize::of(&splits.train));
        assert_eq!(loader.config().format, MemoryFormat::BatchLast);
    }
    let config = LoadersConfig { normalize: Some(Normalize::default()), batch_size: 3, ..config };
    let loaders = DataLoaders::new(&splits, &config).unwrap();
    assert_eq!(loaders.valid.config().normalize, Normalize::default());
    let config = LoadersConfig { batch_size: 11, ..config };
    assert_error(DataLoaders::new(&splits, &config), &["batch_size is 11", "10 images"]);
}

#[test]
fn an_epoch_can_start_at_any_batch() {
    for (drop_last, prefetch) in [(false, true), (true, false)] {
        let shuffle = true;
        let config =
            LoaderConfig { batch_size: 3, shuffle, drop_last, prefetch, ..Default::default() };
        let loader = DataLoader::new(dataset(10, [1, 1, 2]), config).unwrap();
        let whole = collect(&loader, 5);
        for first in 0..=whole.len() + 1 {
            let rest: Vec<_> = loader.epoch_from(5, first).map(|batch| batch.unwrap()).collect();
            assert_eq!(rest, whole[first.min(whole.len())..]);
        }
    }
}

#[test]
fn the_hash_of_a_data_set_depends_on_each_part() {
    let hash = |pixels: &[u8], shape, labels: &[u32], names: &[&str]| {
        let data = Dataset::new(pixels.to_vec(), shape, labels.to_vec(), vocab(names)).unwrap();
        data.sha256().to_string()
    };
    let hashes = [
        hash(&[1, 2, 3, 4], [1, 1, 2], &[0, 1], &["a", "b"]),
        hash(&[1, 2, 3, 5], [1, 1, 2], &[0, 1], &["a", "b"]),
        hash(&[1, 2, 3, 4], [1, 2, 1], &[0, 1], &["a", "b"]),
        hash(&[1, 2, 3, 4], [1, 1, 2], &[1, 0], &["a", "b"]),
        hash(&[1, 2, 3, 4], [1, 1, 2], &[0, 1], &["a", "c"]),
    ];
    assert_eq!(hashes[0], hash(&[1, 2, 3, 4], [1, 1, 2], &[0, 1], &["a", "b"]));
    assert!((1..5).all(|i| !hashes[..i].contains(&hashes[i])), "{hashes:?}");
    assert!(hashes[0].len() == 64 && hashes[0].bytes().all(|byte| byte.is_ascii_hexdigit()));
}

/// What a run has recorded is only worth anything if the order stays what it was.
#[test]
fn the_order_of_a_seed_and_an_epoch_stays() {
    let data = dataset(10, [1, 1, 1]);
    let config = LoaderConfig { batch_size: 5, shuffle: true, seed: 42, ..Default::default() };
    let loader = DataLoader::new(data, config).unwrap();
    assert_eq!(indices(&loader, 0), [6, 9, 2, 0, 3, 5, 7, 8, 4, 1]);
    assert_eq!(indices(&loader, 3), [6, 2, 1, 8, 3, 5, 0, 4, 9, 7]);
}
