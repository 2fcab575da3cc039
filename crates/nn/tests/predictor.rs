//! A `Predictor` says what the network itself says in evaluation, whatever it is made of.

use rand::SeedableRng;
use rand_pcg::Pcg64;
use topedge_autograd::{PadMode, Tensor};
use topedge_kernels::Isa;
use topedge_kernels::pool::Pool2dConfig;
use topedge_nn::layers::*;
use topedge_nn::{Context, ItemMut, Module, Net, NetConfig, Predictor, walk_mut};

fn rng() -> Pcg64 {
    Pcg64::seed_from_u64(7)
}

fn noise(len: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

/// Norms as training leaves them: nothing of them 0 or 1.
fn trained(mut network: Sequential) -> Sequential {
    let mut seed = 0;
    walk_mut(&mut network, &mut |path, item| {
        seed += 1;
        match item {
            ItemMut::Buffer(values) => {
                let positive = path.ends_with("var");
                let noise = noise(values.len(), seed);
                for (value, noise) in values.iter_mut().zip(noise) {
                    *value = if positive { noise.abs() + 0.1 } else { noise };
                }
            }
            ItemMut::Parameter(parameter) if path.ends_with("bias") => {
                let shape = parameter.value.shape().to_vec();
                let values = noise(parameter.value.len(), seed);
                parameter.set(Tensor::new(values, &shape).unwrap());
            }
            _ => {}
        }
    });
    network
}

fn check(name: &str, network: Sequential, image_shape: [usize; 3]) {
    let mut network = trained(network);
    let mut predictor = Predictor::new(&network, image_shape).unwrap();
    let (image_len, output_len): (usize, usize) =
        (image_shape.iter().product(), predictor.output_shape().iter().product());
    for n in [0, 1, 3] {
        let images = noise(n * image_len, 99);
        let [c, h, w] = image_shape;
        let mut outputs = vec![7.0; n * output_len];
        predictor.predict(&images, &mut outputs).unwrap();
        if n == 0 {
            continue;
        }
        let x = Tensor::new(images, &[n, c, h, w]).unwrap();
        let expected = network.forward(&x, &mut Context::eval()).unwrap();
        assert_eq!(expected.shape()[1..], *predictor.output_shape(), "{name}");
        let expected = expected.to_vec();
        let largest = expected.iter().fold(0.0, |largest: f32, y| largest.max(y.abs()));
        for (got, expected) in outputs.iter().zip(&expected) {
            let difference = (got - expected).abs();
            assert!(difference <= 4e-6 * largest, "{name}: {got} is not {expected}");
        }
    }
}

fn conv2d(inputs: usize, outputs: usize, kernel: [usize; 2], config: Conv2dConfig) -> Conv2d {
    Conv2d::new(inputs, outputs, kernel, &config, &mut rng()).unwrap()
}

fn linear(inputs: usize, outputs: usize, bias: bool) -> Linear {
    let config = LinearConfig { bias, ..Default::default() };
    Linear::new(inputs, outputs, &config, &mut rng()).unwrap()
}

fn padded(padding: [usize; 2]) -> Conv2dConfig {
    Conv2dConfig { padding: Padding::Explicit(padding), ..Default::default() }
}

#[test]
fn all_networks_by_name() {
    for isa in Isa::available() {
        isa.with(|| {
            for net in Net::ALL {
                for image_shape in [[1, 28, 28], [3, 17, 32], [2, 5, 3]] {
                    for classes in [2, 10, 37] {
                        let config = NetConfig { image_shape, classes };
                        check(net.name(), net.build(&config, &mut rng()).unwrap(), image_shape);
                    }
                }
            }
        });
    }
}

#[test]
fn odd_networks() {
    check("nothing", Sequential::new(), [2, 3, 4]);
    check("flatten", Sequential::new().push(Flatten), [2, 3, 4]);
    for place in [NormPlace::BeforeActivation, NormPlace::AfterActivation] {
        for act in [true, false] {
            let config = BlockConfig { norm: Some(place), act, stride: 1, ..Default::default() };
            let block = conv(3, 5, &config, &mut rng()).unwrap();
            let config = BlockConfig { kernel_size: 2, ..config };
            let next = conv(5, 20, &config, &mut rng()).unwrap();
            check("blocks", Sequential::new().push(block).push(next), [3, 6, 7]);
        }
    }
    let dilated = Conv2dConfig { dilation: [1, 2], stride: [2, 1], bias: false, ..padded([0, 3]) };
    let same = Conv2dConfig { padding: Padding::Same, ..Default::default() };
    let net = Sequential::new()
        .push(conv2d(3, 7, [2, 3], dilated))
        .push(Dropout::new(0.5).unwrap())
        .push(Relu)
        .push(Relu)
        .push(conv2d(7, 4, [3, 3], same));
    check("dilated", net, [3, 9, 8]);

    let mut overlapping = Pool2dConfig::new([3, 2]);
    overlapping.stride = [2, 1];
    overlapping.padding = [1, 1];
    overlapping.count_include_pad = false;
    let net = Sequential::new()
        .push(MaxPool2d(overlapping))
        .push(conv2d(2, 18, [3, 3], padded([1, 1])))
        .push(Relu)
        .push(AvgPool2d(overlapping))
        .push(conv2d(18, 6, [3, 3], padded([2, 1])))
        .push(AdaptiveMaxPool2d { output_size: [3, 2] })
        .push(Flatten)
        .push(linear(36, 33, false))
        .push(BatchNorm1d::new(33).unwrap())
        .push(Relu)
        .push(Flatten)
        .push(linear(33, 3, true));
    check("pools", net, [2, 9, 8]);
    let net = Sequential::new()
        .push(conv2d(1, 70, [1, 1], Conv2dConfig::default()))
        .push(BatchNorm2d::new(70).unwrap())
        .push(AdaptiveAvgPool2d { output_size: [1, 1] })
        .push(Flatten)
        .push(linear(70, 130, true));
    check("head", net, [1, 4, 5]);
}

#[test]
fn what_it_does_not_know_is_named() {
    let message = |network: Sequential| {
        Predictor::new(&network, [4, 5, 6]).map(|_| ()).unwrap_err().to_string()
    };
    let reflected = Conv2dConfig { padding_mode: PadMode::Reflect, ..padded([1, 1]) };
    let grouped = Conv2dConfig { groups: 2, ..Default::default() };
    let inner = || Sequential::new().push(conv2d(4, 4, [3, 3], padded([1, 1])));
    for (layer, name) in [
        (Sequential::new().push(Sigmoid), "1.0, Sigmoid"),
        (Sequential::new().push(conv2d(4, 4, [3, 3], reflected)), "1.0, Conv2d"),
        (Sequential::new().push(conv2d(4, 4, [3, 3], grouped)), "1.0, Conv2d"),
        (Sequential::new().push(MaxPool2d(Pool2dConfig::new([2, 2]))).push(Relu), "1.1, ReLU"),
        (
            inner().push(BatchNorm2d::new(4).unwrap()).push(BatchNorm2d::new(4).unwrap()),
            "1.2, BatchNorm2d(4)",
        ),
    ] {
        let error = message(Sequential::new().push(inner()).push(layer));
        assert!(error.contains(name) && error.contains("expected convolution"), "{error}");
    }
    // A norm of features that are no channels any more.
    let net = inner().push(Flatten).push(BatchNorm1d::new(120).unwrap());
    assert!(message(net).contains("2, BatchNorm1d"));
    assert!(message(Sequential::new().push(linear(6, 2, true))).contains("0, Linear"));
    assert!(Predictor::new(&Sequential::new(), [4, 0, 6]).is_err());

    let mut predictor = Predictor::new(&inner(), [4, 5, 6]).unwrap();
    for (images, outputs) in [(119, 120), (120, 119), (121, 120), (120, 240), (0, 120)] {
        assert!(predictor.predict(&vec![0.0; images], &mut vec![0.0; outputs]).is_err());
    }
}

/// They are refused before anything is made for them.
#[test]
fn images_that_are_too_large() {
    let network = Sequential::new().push(conv2d(1, 8, [3, 3], padded([1, 1])));
    let error = Predictor::new(&network, [1, 10_000_000, 10_000_000]).unwrap_err().to_string();
    assert!(error.contains("at most 2^32 values"), "{error}");
}

/// Also with the threads' instruction set forced: each takes some of the images.
#[test]
fn the_same_bits_on_any_number_of_threads() {
    let network = Net::SimpleCnnBn.build(&NetConfig::default(), &mut rng()).unwrap();
    let network = trained(network);
    let images = noise(50 * 28 * 28, 3);
    let mut predictor = Predictor::new(&network, [1, 28, 28]).unwrap();
    for isa in Isa::available() {
        let mut on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut scores = vec![0.0; 50 * 10];
            pool.install(|| isa.with(|| predictor.predict(&images, &mut scores).unwrap()));
            scores
        };
        let one = on(1);
        for threads in [2, 3, 4, 8] {
            assert!(on(threads) == one, "{} with {threads} threads", isa.name());
        }
    }
}
