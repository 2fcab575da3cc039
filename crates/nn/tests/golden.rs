//! The same network as PyTorch's: names, shapes, and what it computes. `golden/simple_cnn_bn.py`
//! made the expected values, with PyTorch 2.15.

use rand::SeedableRng;
use serde::Deserialize;
use topedge_autograd::Tensor;
use topedge_nn::{
    Context, Module, Net, NetConfig, StateDict, StateTensor, StateValues, load_state_dict,
    state_dict,
};

#[derive(Deserialize)]
struct Golden {
    state: Vec<(String, Vec<usize>)>,
    evaluated: Vec<f32>,
    trained: Vec<f32>,
    running_mean: Vec<f32>,
    running_var: Vec<f32>,
}

fn wave(len: usize, frequency: f64) -> Vec<f32> {
    let value = |i| (0.2 * (frequency * i as f64).sin()) as f32;
    (0..len).map(value).collect()
}

fn assert_close(what: &str, got: &[f32], expected: &[f32]) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        let tolerance = 1e-5 * expected.abs().max(1.0);
        assert!((got - expected).abs() <= tolerance, "{what} {i}: {got} is not {expected}");
    }
}

fn running(state: &StateDict, name: &str) -> Vec<f32> {
    match &state.get(name).unwrap().values {
        StateValues::F32(values) => values.clone(),
        StateValues::I64(_) => panic!("{name} is a counter"),
    }
}

#[test]
fn simple_cnn_bn_computes_what_pytorch_computes() {
    let golden: Golden = serde_json::from_str(include_str!("golden/simple_cnn_bn.json")).unwrap();
    let mut rng = rand_pcg::Pcg64::seed_from_u64(1);
    let mut model = Net::SimpleCnnBn.build(&NetConfig::default(), &mut rng).unwrap();
    let own = state_dict(&model);
    let names: Vec<_> = own.iter().map(|(n, t)| (n.to_string(), t.shape.clone())).collect();
    assert_eq!(names, golden.state);

    let entries = own.iter().enumerate().map(|(number, (name, tensor))| {
        let values = match &tensor.values {
            StateValues::I64(count) => StateValues::I64(count.clone()),
            StateValues::F32(values) => {
                let mut values = wave(values.len(), 0.1 * number as f64 + 1.0);
                if name.ends_with("running_var") {
                    values.iter_mut().for_each(|v| *v = v.abs() + 0.5);
                }
                StateValues::F32(values)
            }
        };
        let shape = tensor.shape.clone();
        (name.to_string(), StateTensor { shape, values })
    });
    load_state_dict(&mut model, &entries.collect()).unwrap();

    let images = wave(3 * 28 * 28, 0.7).into_iter().map(|v| 5.0 * v);
    let images = Tensor::new(images.collect(), &[3, 1, 28, 28]).unwrap();
    let evaluated = model.forward(&images, &mut Context::eval()).unwrap();
    assert_close("evaluated", &evaluated.to_vec(), &golden.evaluated);
    let trained = model.forward(&images, &mut Context::train(1)).unwrap();
    assert_close("trained", &trained.to_vec(), &golden.trained);
    let state = state_dict(&model);
    let mean = running(&state, "0.2.running_mean");
    assert_close("running mean", &mean, &golden.running_mean);
    let var = running(&state, "0.2.running_var");
    assert_close("running var", &var, &golden.running_var);
}
