//! Reading of the golden set, and comparison with it.

use std::{fs, io::Read as _, path::PathBuf};

use anomalygpt::weights::StateDict;
use burn::tensor::{Tensor, TensorData};
use flate2::read::GzDecoder;

/// The bytes of a file of the golden set.
pub(crate) fn bytes(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/data").join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A gzipped safetensors file.
pub(crate) fn unpacked(name: &str) -> StateDict {
    let mut safetensors = vec![];
    GzDecoder::new(&bytes(name)[..]).read_to_end(&mut safetensors).unwrap();
    StateDict::from_safetensors(name, &safetensors).unwrap()
}

/// Every expected tensor, under the names of `make_subset.py`.
pub(crate) fn expected() -> StateDict {
    unpacked("expected.safetensors.gz")
}

/// A JSON file.
pub(crate) fn json(name: &str) -> serde_json::Value {
    serde_json::from_slice(&bytes(name)).unwrap()
}

/// What is expected besides tensors: cases, token ids, tolerances.
pub(crate) fn described() -> serde_json::Value {
    json("expected.json")
}

/// The reference's tolerance of a stage whose input is given.
pub(crate) fn tolerance(stage: &str) -> f64 {
    described()["tolerances"]["given"][stage].as_f64().unwrap()
}

/// Fails where shapes differ, or a value by more than `tolerance`.
pub(crate) fn assert_close(found: &TensorData, expected: &TensorData, tolerance: f64) {
    assert_eq!(found.shape(), expected.shape());
    let difference = found.iter::<f64>().zip(expected.iter::<f64>()).map(|(found, expected)| (found - expected).abs()).fold(0.0, f64::max);
    assert!(difference <= tolerance, "values differ by {difference}, more than {tolerance}");
}

/// The same for a tensor.
pub(crate) fn assert_tensor_close<const D: usize>(found: Tensor<D>, expected: &TensorData, tolerance: f64) {
    assert_close(&found.into_data(), expected, tolerance);
}
