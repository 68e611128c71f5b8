//! The same photograph on two backends.
//!
//! With a graphics card, or Mesa's software Vulkan: `cargo test --features wgpu --test backends`.
#![cfg(all(feature = "flex", feature = "mini", any(feature = "ndarray", feature = "wgpu", feature = "cuda")))]
#![allow(missing_docs, clippy::unwrap_used)]

use anomalygpt::{AnomalyGpt, AnomalyMap};
use burn::tensor::Device;
use image::{DynamicImage, Rgb, RgbImage};

/// Maps have values in `[0, 1]`. The backends add up products in different orders, and the logits' factor of 100 before the
/// softmax enlarges what that changes in the last bits. About 1e-6 was found.
const MAP_TOLERANCE: f32 = 1e-4;
/// Scores are taken from the maps.
const SCORE_TOLERANCE: f32 = MAP_TOLERANCE;
/// Four layers on what the map has told.
const PROBABILITY_TOLERANCE: f32 = 1e-3;

/// A plate with a fine pattern, and a dark spot at `spot`.
fn plate(spot: Option<(u32, u32)>) -> DynamicImage {
    DynamicImage::ImageRgb8(RgbImage::from_fn(150, 110, |x, y| match spot {
        Some((left, top)) if x.abs_diff(left) < 9 && y.abs_diff(top) < 7 => Rgb([20, 30, 25]),
        _ => Rgb([(x * 7 % 31) as u8 + 120, (y * 5 % 23) as u8 + 130, ((x + y) % 17) as u8 + 140]),
    }))
}

fn beside_flex(other: Device) -> [AnomalyGpt; 2] {
    [Device::flex(), other].map(|device| AnomalyGpt::mini(&device).unwrap())
}

fn largest_difference(left: &AnomalyMap, right: &AnomalyMap) -> f32 {
    assert_eq!((left.width(), left.height()), (right.width(), right.height()));
    left.values().iter().zip(right.values()).map(|(left, right)| (left - right).abs()).fold(0.0, f32::max)
}

fn assert_alike(models: &[AnomalyGpt; 2]) {
    let image = plate(Some((40, 80)));
    let inspections = models.each_ref().map(|model| model.inspect(&image, Some("a metal plate")).unwrap());
    let [flex, other] = inspections.each_ref().map(|inspection| &inspection.detection);
    let spread =
        |map: &AnomalyMap| map.values().iter().copied().fold(f32::MIN, f32::max) - map.values().iter().copied().fold(f32::MAX, f32::min);
    assert!(spread(&flex.map) > 10.0 * MAP_TOLERANCE, "a map as even as {} tells nothing", spread(&flex.map));
    for (name, difference, tolerance) in [
        ("map", largest_difference(&flex.map, &other.map), MAP_TOLERANCE),
        ("raw map", largest_difference(&flex.raw, &other.raw), MAP_TOLERANCE),
        ("score", (flex.score - other.score).abs(), SCORE_TOLERANCE),
        ("probability", (inspections[0].probability - inspections[1].probability).abs(), PROBABILITY_TOLERANCE),
    ] {
        assert!(difference <= tolerance, "{name}: {difference} apart");
    }
    assert_eq!(inspections[0].answer, inspections[1].answer);
}

#[cfg(feature = "ndarray")]
#[allow(deprecated)]
#[test]
fn flex_and_ndarray_see_the_same_with_text() {
    assert_alike(&beside_flex(Device::ndarray()));
}

#[cfg(feature = "ndarray")]
#[allow(deprecated)]
#[test]
fn flex_and_ndarray_see_the_same_with_normal_images() {
    assert_alike(&beside_flex(Device::ndarray()).map(|model| model.with_normals(&[plate(None)]).unwrap()));
}

/// The default device is not the processor with these features.
#[cfg(any(feature = "wgpu", feature = "cuda"))]
#[test]
fn flex_and_the_default_device_see_the_same() {
    let models = beside_flex(anomalygpt::default_device().unwrap());
    assert_alike(&models);
    assert_alike(&models.map(|model| model.with_normals(&[plate(None)]).unwrap()));
}
