//! What the reference computed, and a comparison with it.

use std::{fs, io::Read};

use anomalygpt::weights::StateDict;
use burn::tensor::{Tensor, TensorData};
use flate2::read::GzDecoder;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/data");

/// The reference's tensors.
pub(crate) fn expected() -> StateDict {
    unpacked("expected.safetensors.gz")
}

/// The reference's numbers, texts and tolerances.
pub(crate) fn described() -> serde_json::Value {
    json("expected.json")
}

/// The reference's tolerance of a stage whose input is given.
pub(crate) fn tolerance(stage: &str) -> f32 {
    described()["tolerances"]["given"][stage].as_f64().unwrap() as f32
}

/// A JSON file.
pub(crate) fn json(name: &str) -> serde_json::Value {
    serde_json::from_slice(&fs::read(format!("{DATA}/{name}")).unwrap()).unwrap()
}

/// A gzipped safetensors file.
pub(crate) fn unpacked(name: &str) -> StateDict {
    let mut bytes = vec![];
    GzDecoder::new(fs::File::open(format!("{DATA}/{name}")).unwrap()).read_to_end(&mut bytes).unwrap();
    StateDict::from_safetensors(name, &bytes).unwrap()
}

/// Fails where any value differs by more than `tolerance`, or the shapes differ.
pub(crate) fn assert_close<const D: usize>(found: Tensor<D>, expected: &TensorData, tolerance: f32) {
    let found = found.into_data().convert::<f32>();
    assert_eq!(found.shape(), expected.shape());
    let pairs = found.as_slice::<f32>().unwrap().iter().zip(expected.as_slice::<f32>().unwrap());
    let furthest = pairs.map(|(found, expected)| (found - expected).abs()).fold(0.0, f32::max);
    assert!(furthest <= tolerance, "differs by {furthest}, more than {tolerance}");
}
