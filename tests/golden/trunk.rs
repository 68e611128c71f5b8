//! The image trunk against PyTorch on the shipped weights, all blocks that are shipped, square and oblong.

use std::path::Path;

use anomalygpt::{
    encoder::efficientnet::{EfficientNet, EfficientNetConfig},
    weights::StateDict,
};
use burn::tensor::{Device, Tensor, TensorData};

/// Relative to a block's largest value (9 to 50): sums of up to 1152 `f32` products in another order, through 16 blocks.
const TOLERANCE: f32 = 1e-5;

fn read(path: &str) -> StateDict {
    StateDict::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

type Build = fn(&EfficientNetConfig, &StateDict, &Device) -> anomalygpt::Result<EfficientNet>;

fn trunk(build: Build) -> EfficientNet {
    let config = EfficientNetConfig::lite0().tapped((0..15).collect::<Vec<_>>());
    build(&config, &read("src/pretrained/trunk.safetensors"), &Device::default()).unwrap()
}

/// `sin(0.1 y + 0.2 x + channel)`.
fn wave(rows: usize, columns: usize) -> Tensor<4> {
    let value = |at: usize| {
        let (channel, y, x) = (at / (rows * columns), at / columns % rows, at % columns);
        (0.1 * y as f64 + 0.2 * x as f64 + channel as f64).sin() as f32
    };
    let data = TensorData::new((0..3 * rows * columns).map(value).collect::<Vec<_>>(), [1, 3, rows, columns]);
    Tensor::from_data(data, &Device::default())
}

fn assert_close(what: &str, found: impl Iterator<Item = f32>, expected: &[f32], scale: f32) {
    let found: Vec<_> = found.collect();
    assert_eq!(found.len(), expected.len(), "{what}");
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() < TOLERANCE * scale, "{what}[{at}]: {found} for {expected}");
    }
}

fn compare(build: Build, name: &str, rows: usize, columns: usize) {
    let golden = read("tests/golden/data/trunk.safetensors");
    for (block, tap) in trunk(build).forward(wave(rows, columns)).unwrap().into_iter().enumerate() {
        let expected = |part: &str| golden.get(&format!("{name}.blocks.{block}.{part}")).unwrap().try_to_vec::<f32>().unwrap();
        let [_, _, height, width] = tap.dims();
        let numbers = tap.into_data().try_to_vec::<f32>().unwrap();
        let scale = numbers.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
        let what = |part: &str| format!("{name}, block {block}, {part}");
        let sample = numbers.iter().copied().step_by((numbers.len() / 500) | 1);
        assert_close(&what("sample"), sample, &expected("sample"), scale);
        let pixels = (height * width) as f64;
        let mean = |channel: &[f32]| channel.iter().map(|value| f64::from(*value)).sum::<f64>() / pixels;
        let channels = || numbers.chunks_exact(height * width);
        assert_close(&what("mean"), channels().map(|channel| mean(channel) as f32), &expected("mean"), scale);
        let spread = |channel: &[f32]| {
            let mean = mean(channel);
            (channel.iter().map(|value| (f64::from(*value) - mean).powi(2)).sum::<f64>() / pixels).sqrt() as f32
        };
        assert_close(&what("std"), channels().map(spread), &expected("std"), scale);
    }
}

#[test]
fn square_features_match() {
    compare(EfficientNet::from_state, "square", 224, 224);
}

#[test]
fn oblong_features_match() {
    compare(EfficientNet::from_state, "wide", 160, 288);
}

#[test]
fn burn_operations_match_too() {
    compare(EfficientNet::portable, "wide", 160, 288);
}
