//! Layer normalisation against PyTorch, on a row of so small a variance that the epsilon decides.

use anomalygpt::weights::{Layout, StateDict};
use burn::{
    nn::LayerNormConfig,
    tensor::{Device, Tensor, TensorData},
};
use serde_json::Value;

/// The variance of values near 0.25 keeps about four digits in `f32`; the two epsilons differ by more than 0.1.
const TOLERANCE: f32 = 2e-4;

fn numbers(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap() as f32).collect()
}

#[test]
fn epsilon_decides_where_the_variance_is_small() {
    let golden: Value = serde_json::from_str(include_str!("data/layer_norm.json")).unwrap();
    let device = Device::default();
    let [input, weight, bias] = ["input", "weight", "bias"].map(|name| numbers(&golden[name]));
    let width = input.len();
    let input = Tensor::<2>::from_data(TensorData::new(input, [1, width]), &device);
    for case in golden["outputs"].as_array().unwrap() {
        let mut state = StateDict::new("layer_norm.json");
        state.insert("weight", TensorData::new(weight.clone(), [width]));
        state.insert("bias", TensorData::new(bias.clone(), [width]));
        let norm = LayerNormConfig::new(width).with_epsilon(case["epsilon"].as_f64().unwrap()).init(&device);
        let norm = state.load_into(norm, Layout::PyTorch).unwrap();
        let found = norm.forward(input.clone()).into_data().try_to_vec::<f32>().unwrap();
        for (found, expected) in found.iter().zip(numbers(&case["output"])) {
            assert!((found - expected).abs() < TOLERANCE, "epsilon {}: {found} for {expected}", case["epsilon"]);
        }
    }
}
