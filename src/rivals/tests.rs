#![allow(clippy::unwrap_used)]

use std::cell::RefCell;

use burn::tensor::{Device, Distribution, TensorData};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{rows::Rows, *};
use crate::decoder::{Decoder, MemoryBank, MemoryBankOptions, PatchTextDecoder, PatchTextDecoderConfig, Reference, TextPair};

/// Distances of equal vectors by way of their squares, of numbers near 1.
const ROUNDING: f32 = 5e-3;

const GRID: [usize; 2] = [6, 8];

thread_local! {
    /// A device's own generator is shared by all tests, which run in any order; each test has a thread, and so numbers, of its own.
    static NUMBERS: RefCell<ChaCha8Rng> = RefCell::new(ChaCha8Rng::seed_from_u64(0));
}

/// Random features of `batch` images, two taps.
fn images(batch: usize, grid: [usize; 2]) -> ImageFeatures {
    let device = Device::default();
    let values = |count: usize| NUMBERS.with_borrow_mut(|rng| (0..count).map(|_| rng.random_range(-1.7f32..1.7)).collect::<Vec<_>>());
    let patches = grid[0] * grid[1];
    let random = |width: usize| Tensor::<3>::from_data(TensorData::new(values(batch * patches * width), [batch, patches, width]), &device);
    let embedding = Tensor::<2>::from_data(TensorData::new(values(batch * 5), [batch, 5]), &device);
    ImageFeatures { patch_tokens: vec![random(6), random(4)], grid, fine: vec![], embedding }
}

/// The same features with one patch of the first image far from anything.
fn damaged(image: &ImageFeatures, patch: usize) -> ImageFeatures {
    let mut damaged = image.clone();
    for tokens in &mut damaged.patch_tokens {
        let width = tokens.dims()[2];
        let far = Tensor::<1>::from_data(
            TensorData::new((0..width).map(|at| if at == 0 { -9.0f32 } else { 6.0 }).collect::<Vec<_>>(), [width]),
            &tokens.device(),
        );
        *tokens = tokens.clone().slice_assign([0..1, patch..patch + 1, 0..width], far.reshape([1, 1, width]));
    }
    damaged.embedding = damaged.embedding.slice_fill([0..1, 0..1], 9.0);
    damaged
}

/// A reference that three of the four don't look at.
fn unused() -> TextPair {
    let side = Tensor::<2>::zeros([1, 1], &Device::default());
    TextPair { normal: side.clone(), abnormal: side }
}

fn unsmoothed() -> MapOptions {
    MapOptions { smoothing: 0.0, upscale: 1 }
}

fn all_fitted(normals: &[ImageFeatures]) -> Vec<(&'static str, Box<dyn Decoder>)> {
    let map = unsmoothed();
    vec![
        ("SPADE", Box::new(Spade::fit(normals, SpadeOptions { map, ..Default::default() }).unwrap())),
        ("PaDiM", Box::new(Padim::fit(normals, PadimOptions { map, ..Default::default() }).unwrap())),
        ("PatchCore", Box::new(PatchCore::fit(normals, PatchCoreOptions { map, neighbourhood: 1, ..Default::default() }).unwrap())),
        ("WinCLIP", Box::new(WinClip::fit(normals, None, WinClipOptions { map, coarseness: 1, ..Default::default() }).unwrap())),
    ]
}

fn peak(raw: &[f32]) -> usize {
    (0..raw.len()).max_by(|&left, &right| raw[left].total_cmp(&raw[right])).unwrap()
}

#[test]
fn a_far_patch_is_the_peak_and_raises_the_score() {
    for count in [1, 3] {
        let normals: Vec<_> = (0..count).map(|_| images(1, GRID)).collect();
        for (name, rival) in all_fitted(&normals) {
            let text = unused();
            let localize = |image: &ImageFeatures| rival.localize(image, Reference::Text(&text)).unwrap();
            let (normal, bad) = (localize(&normals[0]), localize(&damaged(&normals[0], 20)));
            assert_eq!(bad.raw.dims(), [1, 1, GRID[0], GRID[1]], "{name}");
            let (scores, raw) = ([normal.score, bad.score].map(|score| numbers(score).unwrap()[0]), numbers(bad.raw).unwrap());
            assert!(scores[1] > scores[0] + 0.05, "{name} {scores:?}");
            assert_eq!(peak(&raw), 20, "{name}");
            let map = numbers(bad.map).unwrap();
            assert!(map.iter().zip(&raw).all(|(map, raw)| (map - raw / (1.0 + raw)).abs() < 1e-6 && (0.0..1.0).contains(map)), "{name}");
        }
    }
}

#[test]
fn what_is_known_is_no_anomaly() {
    let normals = [images(2, GRID), images(1, [5, 7])];
    for (name, rival) in all_fitted(&normals) {
        let text = unused();
        let found = rival.localize(&normals[0], Reference::Text(&text)).unwrap();
        let score = numbers(found.score).unwrap();
        assert_eq!(score.len(), 2, "{name}");
        if name == "SPADE" || name == "PaDiM" {
            continue; // The first averages over all images, the second is a distance from a mean.
        }
        assert!(score.iter().all(|&score| score.abs() < ROUNDING), "{name} {score:?}");
    }
}

#[test]
fn a_batch_is_its_images() {
    let normals = [images(2, GRID)];
    let both = images(2, GRID);
    let text = unused();
    for (name, rival) in all_fitted(&normals) {
        let together = numbers(rival.localize(&both, Reference::Text(&text)).unwrap().raw).unwrap();
        let single = |index: usize| {
            let part = |tokens: &Tensor<3>| tokens.clone().narrow(0, index, 1);
            let image = ImageFeatures {
                patch_tokens: both.patch_tokens.iter().map(part).collect(),
                grid: GRID,
                fine: vec![],
                embedding: both.embedding.clone().narrow(0, index, 1),
            };
            numbers(rival.localize(&image, Reference::Text(&text)).unwrap().raw).unwrap()
        };
        let apart = [single(0), single(1)].concat();
        assert!(together.iter().zip(&apart).all(|(left, right)| (left - right).abs() < ROUNDING), "{name}");
    }
}

#[test]
fn spade_averages_the_nearest_images() {
    let normals = images(3, GRID);
    let image = images(1, GRID);
    let distances = numbers((normals.embedding.clone() - image.embedding.clone()).square().sum_dim(1)).unwrap();
    let mut sorted = distances.clone();
    sorted.sort_by(f32::total_cmp);
    let text = unused();
    for (count, expected) in [(1, sorted[0]), (2, (sorted[0] + sorted[1]) / 2.0), (50, sorted.iter().sum::<f32>() / 3.0)] {
        let spade = Spade::fit(std::slice::from_ref(&normals), SpadeOptions { images: count, map: unsmoothed() }).unwrap();
        let found = spade.localize(&image, Reference::Text(&text)).unwrap();
        assert!((numbers(found.score).unwrap()[0] - expected).abs() < ROUNDING);
        // Pixels come of the chosen images only.
        let nearest = (0..3).min_by(|&left, &right| distances[left].total_cmp(&distances[right])).unwrap();
        if count == 1 {
            let tokens = |image: &ImageFeatures, at: usize| pyramid(image, &[6, 4]).unwrap().narrow(0, at, 1).squeeze_dim::<2>(0);
            let expected = numbers(Rows::new(tokens(&normals, nearest)).nearest(tokens(&image, 0)).0).unwrap();
            let raw = numbers(found.raw).unwrap();
            assert!(raw.iter().zip(expected).all(|(left, right)| (left - right).abs() < ROUNDING));
        }
    }
}

#[test]
fn patch_core_weighs_the_furthest_patch_by_the_neighbours_of_its_nearest() {
    let normals = [images(2, GRID)];
    let image = images(1, GRID);
    let options = PatchCoreOptions { map: unsmoothed(), neighbourhood: 1, ..Default::default() };
    let text = unused();
    let score = |neighbours: usize| {
        let core = PatchCore::fit(&normals, PatchCoreOptions { neighbours, ..options.clone() }).unwrap();
        let found = core.localize(&image, Reference::Text(&text)).unwrap();
        (numbers(found.score).unwrap()[0], numbers(found.raw).unwrap())
    };
    let (plain, raw) = score(1);
    assert!((plain - raw.iter().copied().fold(0.0, f32::max)).abs() < 1e-6);
    // The same by hand.
    let patches = |image: &ImageFeatures| pyramid(image, &[6, 4]).unwrap().flatten::<2>(0, 1);
    let bank = numbers(patches(&normals[0])).unwrap();
    let far = numbers(patches(&image)).unwrap().chunks(10).nth(peak(&raw)).unwrap().to_vec();
    let distance = |left: &[f32], right: &[f32]| left.iter().zip(right).map(|(left, right)| (left - right).powi(2)).sum::<f32>().sqrt();
    let nearest = bank.chunks(10).min_by(|left, right| distance(left, &far).total_cmp(&distance(right, &far))).unwrap();
    let mut around: Vec<&[f32]> = bank.chunks(10).collect();
    around.sort_by(|left, right| distance(left, nearest).total_cmp(&distance(right, nearest)));
    let sum: f32 = around[..4].iter().map(|row| distance(row, &far).exp()).sum();
    let expected = (1.0 - plain.exp() / sum) * plain;
    assert!((score(4).0 - expected).abs() < 1e-3, "{} {expected}", score(4).0);
}

#[test]
fn patch_core_keeps_a_share_and_at_least_so_many() {
    let normals = [images(2, GRID)];
    let rows = |ratio, least_rows| PatchCore::fit(&normals, PatchCoreOptions { ratio, least_rows, ..Default::default() }).unwrap().rows();
    assert_eq!([rows(0.25, 1), rows(0.25, 40), rows(0.25, 1000), rows(1.0, 1), rows(1e-9, 0)], [24, 40, 96, 96, 1]);
}

#[test]
fn win_clip_listens_to_text_where_it_can() {
    let device = Device::default();
    let decoder = PatchTextDecoderConfig::new(vec![6, 4], 7, 1).init(&device);
    let side = || Tensor::<2>::random([1, 7], Distribution::Normal(0.0, 0.02), &device);
    let text = TextPair { normal: side(), abnormal: side() };
    let (normals, image) = ([images(1, GRID)], images(2, GRID));
    let options = || WinClipOptions { map: unsmoothed(), coarseness: 1, ..Default::default() };
    let found = |normals: &[ImageFeatures], decoder: Option<PatchTextDecoder>, reference: Reference<'_>| {
        let found = WinClip::fit(normals, decoder, options()).unwrap().localize(&image, reference).unwrap();
        (numbers(found.score).unwrap(), numbers(found.raw).unwrap())
    };
    let zero = found(&[], Some(decoder.clone()), Reference::Text(&text));
    let few = found(&normals, None, Reference::Text(&text));
    let both = found(&normals, Some(decoder.clone()), Reference::Text(&text));
    assert!(zero.1.iter().all(|value| (0.0..=1.0).contains(value)));
    for (index, both_raw) in both.1.iter().enumerate() {
        assert!((both_raw - (zero.1[index] + few.1[index]) / 2.0).abs() < 1e-4);
    }
    assert!((both.0[1] - (zero.0[1] + few.0[1]) / 2.0).abs() < 1e-4);
    let bank = MemoryBank::new(&[vec![normals[0].clone()]], &[], MemoryBankOptions::original()).unwrap();
    assert_eq!(found(&normals, Some(decoder.clone()), Reference::Normals(&bank)).1, few.1, "without a text only normal images count");
    let silent = WinClip::fit(&[], Some(decoder), options()).unwrap().localize(&image, Reference::Normals(&bank));
    assert!(matches!(silent, Err(Error::NoNormals)));
}

#[test]
fn bad_normals_and_options_are_refused() {
    let good = [images(1, GRID)];
    let narrow = ImageFeatures { patch_tokens: vec![images(1, GRID).patch_tokens[1].clone()], ..images(1, GRID) };
    let mixed = [images(1, GRID), narrow.clone()];
    assert!(matches!(Spade::fit(&[], SpadeOptions::default()), Err(Error::NoNormals)));
    assert!(matches!(Padim::fit(&[], PadimOptions::default()), Err(Error::NoNormals)));
    assert!(matches!(PatchCore::fit(&[], PatchCoreOptions::default()), Err(Error::NoNormals)));
    assert!(matches!(WinClip::fit(&[], None, WinClipOptions::default()), Err(Error::NoNormals)));
    assert!(matches!(Spade::fit(&mixed, SpadeOptions::default()), Err(Error::Incompatible { expected: 2, found: 1, .. })));
    assert!(matches!(PatchCore::fit(&mixed, PatchCoreOptions::default()), Err(Error::Incompatible { .. })));
    let invalid = |result: Result<()>| matches!(result, Err(Error::InvalidConfig { .. }));
    let blur = MapOptions { smoothing: f32::NAN, upscale: 1 };
    assert!(invalid(Spade::fit(&good, SpadeOptions { images: 0, ..Default::default() }).map(drop)));
    assert!(invalid(Spade::fit(&good, SpadeOptions { map: blur, ..Default::default() }).map(drop)));
    assert!(invalid(Padim::fit(&good, PadimOptions { regularization: 0.0, ..Default::default() }).map(drop)));
    assert!(invalid(Padim::fit(&good, PadimOptions { channels: 0, ..Default::default() }).map(drop)));
    assert!(invalid(PatchCore::fit(&good, PatchCoreOptions { ratio: 0.0, ..Default::default() }).map(drop)));
    assert!(invalid(PatchCore::fit(&good, PatchCoreOptions { neighbourhood: 2, ..Default::default() }).map(drop)));
    assert!(invalid(WinClip::fit(&good, None, WinClipOptions { windows: vec![9], coarseness: 1, ..Default::default() }).map(drop)));
    let text = unused();
    for (name, rival) in all_fitted(&good) {
        assert!(matches!(rival.localize(&narrow, Reference::Text(&text)), Err(Error::Incompatible { .. })), "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn images_of_any_grid_give_maps_of_it(rows in 3usize..9, columns in 3usize..9) {
        let normals = [images(1, GRID)];
        let text = unused();
        for (name, rival) in all_fitted(&normals) {
            let found = rival.localize(&images(1, [rows, columns]), Reference::Text(&text)).unwrap();
            prop_assert_eq!(found.raw.dims(), [1, 1, rows, columns], "{}", name);
            prop_assert!(numbers(found.raw).unwrap().iter().all(|value| value.is_finite() && *value >= 0.0), "{}", name);
        }
    }
}
