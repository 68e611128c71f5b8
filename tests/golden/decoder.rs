//! Anomaly maps from the reference's features.

use anomalygpt::{
    decoder::{Decoder, MemoryBank, MemoryBankOptions, PatchTextDecoder, PatchTextDecoderConfig, Reference, TextPair},
    encoder::ImageFeatures,
    weights::{Layout, StateDict},
};
use burn::tensor::{Device, Tensor};

use crate::{
    head::head,
    support::{assert_tensor_close, expected, tolerance},
};

/// ImageBind's taps, text and patches, at the sizes of the golden set.
pub(crate) fn decoder(device: &Device) -> PatchTextDecoder {
    let state = head().under("image_decoder.");
    state.load_into(PatchTextDecoderConfig::new(vec![64; 4], 32, 14).init(device), Layout::PyTorch).unwrap()
}

pub(crate) fn features(expected: &StateDict, name: &str, device: &Device) -> ImageFeatures {
    let tap = |tap| Tensor::<3>::from_data(expected.get(&format!("{name}.{tap}")).unwrap().clone(), device);
    let patch_tokens: Vec<_> = (0..4).map(tap).collect();
    let embedding = Tensor::zeros([patch_tokens[0].dims()[0], 32], device);
    ImageFeatures { patch_tokens, grid: [16, 16], fine: vec![], embedding }
}

pub(crate) fn text(expected: &StateDict, class: &str, device: &Device) -> TextPair {
    let pair = Tensor::<2>::from_data(expected.get(&format!("text_features.{class}")).unwrap().clone(), device);
    TextPair { normal: pair.clone().narrow(0, 0, 1), abnormal: pair.narrow(0, 1, 1) }
}

fn every7(map: Tensor<4>) -> Tensor<4> {
    let kept = Tensor::arange(0..32, &map.device()) * 7;
    map.select(2, kept.clone()).select(3, kept)
}

#[test]
fn the_text_map_is_the_reference_s() {
    let (device, expected) = (Device::default(), expected());
    let (image, text) = (features(&expected, "features.defect.png", &device), text(&expected, "bottle", &device));
    let found = decoder(&device).localize(&image, Reference::Text(&text)).unwrap();
    assert_eq!(found.map.dims(), [1, 1, 224, 224]);
    assert_tensor_close(every7(found.map), expected.get("case.zero_shot.map.every7").unwrap(), tolerance("map"));
}

#[test]
fn the_memory_bank_map_is_the_reference_s() {
    let (device, expected) = (Device::default(), expected());
    let image = |name| features(&expected, name, &device);
    let normals = [vec![image("features.normal_1.png")]];
    let wanted = expected.get("case.few_shot_1.map.every7").unwrap();
    let bank = MemoryBank::new(&normals, &[], MemoryBankOptions::original()).unwrap();
    let found = decoder(&device).localize(&image("features.defect.png"), Reference::Normals(&bank)).unwrap();
    assert_tensor_close(every7(found.raw), wanted, tolerance("map"));
    assert_tensor_close(every7(found.map), wanted, tolerance("map"));
}
