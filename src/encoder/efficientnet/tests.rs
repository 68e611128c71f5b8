#![allow(clippy::unwrap_used)]
use burn::tensor::{Device, Tensor, TensorData};

use super::*;

/// Sums of up to 1152 products in another order, through four blocks, relative to the largest value.
const ROUNDING: f32 = 1e-5;

fn noise(seed: usize, length: usize, scale: f32) -> Vec<f32> {
    (0..length).map(|at| ((((at + 1) * (seed + 31)) as f32 * 12.9898).sin() * 43758.547).fract() * scale).collect()
}

/// Widths that fill panels, leave a remainder, and need two; both kernels, both strides, with and without a shortcut.
fn config() -> EfficientNetConfig {
    let stage = |(kernel, expansion, width, blocks, stride)| Stage { kernel, expansion, width, blocks, stride };
    let stages = [(3, 1, 20, 1, 1), (5, 3, 20, 2, 2), (3, 6, 56, 2, 2), (5, 1, 56, 1, 1)].map(stage);
    EfficientNetConfig { stem: 24, stages: stages.into(), taps: vec![0, 2, 4, 5], fine: 0, displacement: 0.0 }
}

fn state(config: &EfficientNetConfig) -> StateDict {
    let zeros = StateDict::of(&Layers::zeros(config.stem, &config.blocks().unwrap(), &Device::default()), "a test");
    let mut state = StateDict::new("a test");
    for (seed, name) in zeros.names().enumerate() {
        let shape = zeros.get(name).unwrap().shape().to_vec();
        let inputs: usize = shape[1..].iter().product();
        let scale = if shape.len() == 1 { 0.5 } else { 2.0 / (inputs as f32).sqrt() };
        state.insert(name, TensorData::new(noise(seed, shape.iter().product(), scale), shape));
    }
    state
}

fn images(batch: usize, height: usize, width: usize) -> Tensor<4> {
    Tensor::from_data(TensorData::new(noise(3, batch * 3 * height * width, 2.0), [batch, 3, height, width]), &Device::default())
}

fn numbers(tensor: Tensor<4>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

fn both() -> [EfficientNet; 2] {
    [EfficientNet::from_state, EfficientNet::portable].map(|build| build(&config(), &state(&config()), &Device::default()).unwrap())
}

#[test]
fn both_paths_agree_at_any_size() {
    let [host, device] = both();
    for (height, width) in [(33, 50), (64, 32), (1, 1), (7, 130)] {
        let taps = host.forward(images(1, height, width)).unwrap();
        for (left, right) in taps.into_iter().zip(device.forward(images(1, height, width)).unwrap()) {
            assert_eq!(left.dims(), right.dims());
            let (left, right) = (numbers(left), numbers(right));
            let largest = right.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
            let difference = left.iter().zip(&right).fold(0.0f32, |most, (left, right)| most.max((left - right).abs()));
            assert!(largest > 0.1 && difference < ROUNDING * largest, "{height}x{width}: {difference} of {largest}");
        }
    }
}

#[test]
fn taps_have_the_strides_of_their_stages() {
    let [host, _] = both();
    let shapes: Vec<_> = host.forward(images(2, 33, 50)).unwrap().iter().map(Tensor::dims).collect();
    assert_eq!(shapes, [[2, 20, 17, 25], [2, 20, 9, 13], [2, 56, 5, 7], [2, 56, 5, 7]]);
    assert_eq!(host.tap_widths(), [20, 20, 56, 56]);
}

#[test]
fn bytes_depend_on_neither_batch_nor_threads() {
    let [host, _] = both();
    let all = host.channels_last(images(3, 40, 56)).unwrap();
    let second = host.channels_last(images(3, 40, 56).narrow(0, 1, 1)).unwrap();
    for (all, alone) in all.iter().zip(&second) {
        assert_eq!(numbers(all.clone().narrow(0, 1, 1)), numbers(alone.clone()));
    }
    let expected: Vec<_> = second.into_iter().map(numbers).collect();
    let run = || host.channels_last(images(3, 40, 56).narrow(0, 1, 1)).unwrap().into_iter().map(numbers).collect::<Vec<_>>();
    let single = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    assert_eq!(single.install(run), expected);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(run)).collect();
        assert!(threads.into_iter().all(|thread| thread.join().unwrap() == expected));
    });
}

#[test]
fn a_trunk_is_cut_after_its_last_tap() {
    let state = state(&config());
    let short = EfficientNet::from_state(&config().tapped([0, 2]), &state, &Device::default()).unwrap();
    let [full, _] = both();
    let expected: Vec<_> = full.forward(images(1, 32, 32)).unwrap().into_iter().take(2).map(numbers).collect();
    assert_eq!(short.forward(images(1, 32, 32)).unwrap().into_iter().map(numbers).collect::<Vec<_>>(), expected);
}

#[test]
fn fine_taps_stay_maps_of_their_own_size() {
    let config = EfficientNetConfig { fine: 2, ..config() };
    let trunk = EfficientNet::from_state(&config, &state(&config), &Device::default()).unwrap();
    let features = trunk.features(images(2, 33, 50)).unwrap();
    assert_eq!(features.fine.iter().map(Tensor::dims).collect::<Vec<_>>(), [[2, 17, 25, 20], [2, 9, 13, 20]]);
    assert_eq!(features.patch_tokens.iter().map(Tensor::dims).collect::<Vec<_>>(), [[2, 35, 56], [2, 35, 56]]);
    let maps = trunk.channels_last(images(2, 33, 50)).unwrap();
    assert_eq!(numbers(features.fine[0].clone()), numbers(maps[0].clone()));
    let blind = EfficientNetConfig { fine: 4, ..config };
    assert!(matches!(blind.tap_widths(), Err(Error::InvalidConfig { what: "taps", .. })));
}

#[test]
fn what_does_not_fit_is_an_error() {
    let device = Device::default();
    for taps in [vec![], vec![6], vec![2, 2], vec![3, 1]] {
        assert!(matches!(config().tapped(taps).tap_widths(), Err(Error::InvalidConfig { what: "taps", .. })));
    }
    let mut wrong = config();
    wrong.stages[0].kernel = 4;
    assert!(matches!(wrong.tap_widths(), Err(Error::InvalidConfig { what: "stage", .. })));
    let astray = EfficientNetConfig { displacement: f64::NAN, ..config() };
    assert!(matches!(astray.tap_widths(), Err(Error::InvalidConfig { what: "displacement", .. })));
    let mut state = state(&config());
    state.insert("blocks.0.extra", TensorData::from([0.0f32]));
    let error = EfficientNet::from_state(&config(), &state, &device).unwrap_err().to_string();
    assert!(error.contains("blocks.0.extra"), "{error}");
    let [host, _] = both();
    assert!(host.forward(Tensor::zeros([1, 4, 8, 8], &device)).is_err());
    assert!(host.forward(Tensor::zeros([0, 3, 8, 8], &device)).is_err());
}

#[test]
fn features_lie_on_one_grid() {
    let [host, _] = both();
    let features = host.features(images(2, 64, 96)).unwrap();
    assert_eq!(features.grid, [8, 12]);
    let shapes: Vec<_> = features.patch_tokens.iter().map(Tensor::dims).collect();
    assert_eq!(shapes, [[2, 96, 20], [2, 96, 20], [2, 96, 56], [2, 96, 56]]);
    let last = numbers(host.forward(images(2, 64, 96)).unwrap().remove(3));
    let mean = last[..96].iter().sum::<f32>() / 96.0;
    assert!((features.embedding.into_data().try_to_vec::<f32>().unwrap()[0] - mean).abs() < 1e-5 * (1.0 + mean.abs()));
}

#[test]
fn the_encoder_serves_images_and_sentences() {
    use crate::{
        encoder::{Encoder, text_tower::TextTowerConfig},
        text::Tokenizer,
    };
    let words = r#"{"version":"1.0","added_tokens":[],"model":{"type":"WordLevel","unk_token":"?","vocab":{"?":0,"bottle":1}}}"#;
    let text = TextTowerConfig::new(2, 8).with_output(6).init(&Device::default()).unwrap();
    let [trunk, _] = both();
    let encoder = EfficientNetEncoder::new(trunk, text, Tokenizer::from_bytes(words.as_bytes()).unwrap()).with_size(96).unwrap();
    assert_eq!((encoder.preprocess().size, encoder.embedding_width()), (96, 56));
    assert_eq!(encoder.encode_images(images(1, 64, 32)).unwrap().embedding.dims(), [1, 56]);
    assert_eq!(encoder.encode_texts(&["bottle", "thing"]).unwrap().dims(), [2, 6]);
    assert!([31, 40_000].into_iter().all(|size| encoder.clone().with_size(size).is_err()));
}
