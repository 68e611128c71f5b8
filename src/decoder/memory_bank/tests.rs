#![allow(clippy::unwrap_used)]

use burn::tensor::{Device, Distribution, Tensor, TensorData};
use proptest::prelude::*;

use super::{calibration::LEAST_SCORE, *};

mod text;

/// Cosines of vectors of some ten numbers.
const ROUNDING: f32 = 2e-6;

fn image(rows: usize, columns: usize, batch: usize) -> ImageFeatures {
    let device = Device::default();
    let tokens = |width| Tensor::<3>::random([batch, rows * columns, width], Distribution::Normal(0.0, 1.0), &device);
    ImageFeatures {
        patch_tokens: vec![tokens(8), tokens(6)],
        grid: [rows, columns],
        fine: vec![],
        embedding: Tensor::zeros([batch, 3], &device),
    }
}

fn bank(normals: &[Vec<ImageFeatures>], options: MemoryBankOptions) -> MemoryBank {
    MemoryBank::new(normals, &[], options).unwrap()
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

fn only(calibration: CalibrationOptions) -> MemoryBankOptions {
    MemoryBankOptions { calibration: Some(calibration), ..MemoryBankOptions::original() }
}

/// The calibrated value of a multiple of normal images' scores.
fn calibrated(multiple: f32) -> f32 {
    let over = CalibrationOptions::default().sharpness * (multiple - 1.0);
    if over > 0.0 { (1.0 + over) / (2.0 + over) } else { 1.0 / (1.0 + (-over).exp()) }
}

/// The multiple of a calibrated value.
fn multiple(value: f32) -> f32 {
    let over = if value > 0.5 { (2.0 * value - 1.0) / (1.0 - value) } else { (value / (1.0 - value)).ln() };
    over / CalibrationOptions::default().sharpness + 1.0
}

#[test]
fn what_the_bank_holds_is_normal() {
    let normal = image(3, 4, 1);
    let found = bank(&[vec![normal.clone(), image(2, 2, 1)]], MemoryBankOptions::original()).localize(&normal, [9, 12]).unwrap();
    assert_eq!(found.map.dims(), [1, 1, 9, 12]);
    assert!(values(found.raw).into_iter().all(|value| value.abs() < ROUNDING));
}

#[test]
fn the_map_is_one_minus_the_largest_cosine() {
    let (normal, query) = (image(2, 2, 1), image(2, 2, 1));
    let found = values(bank(&[vec![normal.clone()]], MemoryBankOptions::original()).localize(&query, [2, 2]).unwrap().raw);
    for (patch, found) in found.into_iter().enumerate() {
        let nearest = |tap: usize, width: usize| {
            let (left, right) = (values(query.patch_tokens[tap].clone()), values(normal.patch_tokens[tap].clone()));
            let cosine = |left: &[f32], right: &[f32]| {
                let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
                dot(left, right) / (dot(left, left) * dot(right, right)).sqrt()
            };
            right.chunks(width).map(|row| cosine(&left[patch * width..][..width], row)).fold(-1.0, f32::max)
        };
        let expected = 1.0 - (nearest(0, 8) + nearest(1, 6)) / 2.0;
        assert!((found - expected).abs() < ROUNDING, "{found} {expected}");
    }
}

#[test]
fn smoothing_keeps_the_peak_and_the_score() {
    let normal = vec![vec![image(4, 4, 1)], vec![image(4, 4, 1)]];
    let query = image(4, 4, 2);
    let localized = |smoothing, score| {
        let options = MemoryBankOptions { smoothing, score, ..MemoryBankOptions::original() };
        bank(&normal, options).localize(&query, [4, 4]).unwrap()
    };
    let sharp = values(localized(0.0, ScoreRule::Maximum).raw);
    let smooth = localized(1.0, ScoreRule::Maximum);
    let deviation = |raw: &[f32]| {
        let mean = raw.iter().sum::<f32>() / raw.len() as f32;
        raw.iter().map(|value| (value - mean).powi(2)).sum::<f32>()
    };
    assert_eq!(values(smooth.score), sharp.chunks(16).map(peak).collect::<Vec<_>>());
    let smooth = values(smooth.raw);
    for (smooth, sharp) in smooth.chunks(16).zip(sharp.chunks(16)) {
        assert!((peak(smooth) - peak(sharp)).abs() < ROUNDING);
        assert!(deviation(smooth) < deviation(sharp));
    }
    let above = values(localized(1.0, ScoreRule::AboveMedian(0.5)).score);
    for (above, sharp) in above.into_iter().zip(sharp.chunks(16)) {
        let mut sorted = sharp.to_vec();
        sorted.sort_by(f32::total_cmp);
        assert!((above - (sorted[15] - sorted[8] / 2.0)).abs() < ROUNDING);
    }
}

#[test]
fn what_a_map_shows_stays_where_it_is_unless_corners_are_aligned() {
    let normal = image(8, 8, 1);
    let odd = normal.patch_tokens.iter().map(|tokens| tokens.clone().slice_fill([0..1, 9..10], 5.0)).collect();
    let query = ImageFeatures { patch_tokens: odd, ..normal.clone() };
    let centre = |aligned_corners| {
        let options = MemoryBankOptions { aligned_corners, ..MemoryBankOptions::original() };
        let raw = values(bank(&[vec![normal.clone()]], options).localize(&query, [32, 32]).unwrap().raw);
        let moment: f32 = raw.iter().enumerate().map(|(pixel, value)| value * ((pixel % 32) as f32 + 0.5) / 32.0).sum();
        moment / raw.iter().sum::<f32>()
    };
    // The second of eight columns; the rest of a thousand pixels is rounding.
    assert!((centre(false) - 1.5 / 8.0).abs() < 1e-4, "{}", centre(false));
    assert!((centre(true) - 1.0 / 7.0).abs() < 0.02 && centre(true) < centre(false) - 0.02, "{}", centre(true));
}

fn peak(map: &[f32]) -> f32 {
    map.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}

#[test]
fn calibration_keeps_ranks_and_leaves_the_raw_map() {
    let normals = vec![vec![image(4, 4, 1)], vec![image(5, 3, 1), image(3, 5, 1)]];
    let query = image(4, 4, 1);
    let plain = bank(&normals, MemoryBankOptions::original()).localize(&query, [8, 8]).unwrap();
    let found = bank(&normals, only(CalibrationOptions::default())).localize(&query, [8, 8]).unwrap();
    assert_eq!(values(plain.raw.clone()), values(found.raw.clone()));
    assert_eq!(values(plain.raw.clone()), values(plain.map));
    let mut pixels: Vec<(f32, f32)> = values(found.raw).into_iter().zip(values(found.map)).collect();
    pixels.sort_by(|left, right| left.0.total_cmp(&right.0));
    assert!(pixels.windows(2).all(|pair| pair[0].1 <= pair[1].1) && pixels[0].1 < pixels[63].1);
}

#[test]
fn a_peak_is_above_the_border_where_the_score_is_above_that_of_normal_images() {
    let normals = vec![vec![image(4, 4, 1)], vec![image(4, 4, 1)], vec![image(4, 4, 1)]];
    for rule in [ScoreRule::Maximum, ScoreRule::AboveMedian(0.5)] {
        let bank = bank(&normals, MemoryBankOptions { score: rule, ..only(CalibrationOptions::default()) });
        let border =
            |index: usize| rule.of(&values(1.0f32 - bank.matched(&subject::tokens(&normals[index][0], &bank.options), Some(index)).plain));
        let border = (border(0) + border(1) + border(2)) / 3.0;
        for query in [image(4, 4, 1), image(2, 2, 1)] {
            let found = bank.localize(&query, [4, 4]).unwrap();
            let (score, peak) = (values(found.score)[0], peak(&values(found.map)));
            assert!((peak - calibrated(score / border)).abs() < 1e-4, "{rule:?}: {score} {border} {peak}");
        }
    }
}

/// An image whose patches all are `value` in one of eight directions, so that cosines are 0 or 1.
fn pointing(direction: usize) -> ImageFeatures {
    let mut tokens = vec![0.0f32; 9 * 8];
    (0..9).for_each(|patch| tokens[patch * 8 + direction] = 3.0);
    let device = Device::default();
    let tokens = Tensor::<3>::from_data(TensorData::new(tokens, [1, 9, 8]), &device);
    ImageFeatures { patch_tokens: vec![tokens], grid: [3, 3], fine: vec![], embedding: Tensor::zeros([1, 3], &device) }
}

/// An image of one patch between each two directions.
fn between(directions: &[[usize; 2]]) -> ImageFeatures {
    let mut tokens = vec![0.0f32; directions.len() * 8];
    directions.iter().enumerate().for_each(|(patch, pair)| pair.iter().for_each(|direction| tokens[patch * 8 + direction] = 1.0));
    let device = Device::default();
    let tokens = Tensor::<3>::from_data(TensorData::new(tokens, [1, directions.len(), 8]), &device);
    ImageFeatures { patch_tokens: vec![tokens], grid: [1, directions.len()], fine: vec![], embedding: Tensor::zeros([1, 3], &device) }
}

#[test]
fn what_is_rare_among_normal_images_is_forgiven_in_part() {
    // Two images know direction 0, one alone knows direction 1; the query's patches are as far from the one as from the other.
    let normals = [vec![pointing(0)], vec![pointing(0)], vec![pointing(1)]];
    let localize = |forgiveness: f32, query: &[[usize; 2]]| {
        let options = MemoryBankOptions { forgiveness, ..MemoryBankOptions::original() };
        MemoryBank::new(&normals, &[], options).unwrap().localize(&between(query), [1, query.len()]).unwrap()
    };
    let (strict, lenient) = (localize(0.0, &[[0, 2], [1, 2]]), localize(0.25, &[[0, 2], [1, 2]]));
    let [distance, less] = [1.0 - 0.5f32.sqrt(), 0.75 - 0.5f32.sqrt()];
    assert!(values(strict.raw).iter().all(|value| (value - distance).abs() < ROUNDING));
    let found = values(lenient.raw);
    assert!((found[0] - distance).abs() < ROUNDING && (found[1] - less).abs() < ROUNDING, "{found:?}");
    assert_eq!(values(strict.score), values(lenient.score));
    let all = values(localize(0.5, &[[1, 2], [1, 2]]).raw);
    assert!(all.iter().all(|value| (value - distance).abs() < ROUNDING), "where all would be forgiven, nothing is: {all:?}");
}

#[test]
fn an_image_is_calibrated_without_its_own_views() {
    // Each image's own rows would give 0; the other image's give 1.
    let normals = vec![vec![pointing(0), pointing(0)], vec![pointing(1)]];
    let bank = bank(&normals, only(CalibrationOptions::default()));
    let map = values(bank.localize(&pointing(0), [3, 3]).unwrap().map);
    let unknown = values(bank.localize(&pointing(2), [3, 3]).unwrap().map);
    assert!((map[0] - calibrated(0.0)).abs() < 1e-6 && (unknown[0] - calibrated(1.0)).abs() < 1e-6, "{map:?} {unknown:?}");
    let alike = MemoryBank::new(&[vec![pointing(0)], vec![pointing(0)]], &[], only(CalibrationOptions::default())).unwrap();
    let unlike = values(alike.localize(&pointing(2), [3, 3]).unwrap().map);
    assert!((unlike[0] - calibrated(1.0 / LEAST_SCORE)).abs() < 1e-5, "{unlike:?}");
}

#[test]
fn the_border_is_measured_as_images_are() {
    // One square of the probe is unlike the image, and fades into those beside it where squares become patches.
    let normal = image(8, 8, 1);
    let odd = normal.patch_tokens.iter().map(|tokens| tokens.clone().slice_fill([0..1, 18..20], 5.0).slice_fill([0..1, 26..28], 5.0));
    let probe = ImageFeatures { patch_tokens: odd.collect(), ..normal.clone() };
    let calibration = CalibrationOptions { spread_of_views: None, spread_of_parts: 1.0, ..CalibrationOptions::default() };
    let options = MemoryBankOptions { coarseness: 2, score: ScoreRule::AboveMedian(0.75), ..only(calibration) };
    let bank = MemoryBank::new(&[vec![normal]], std::slice::from_ref(&probe), options).unwrap();
    let found = values(bank.localize(&probe, [8, 8]).unwrap().map);
    assert!((peak(&found) - calibrated(1.0)).abs() < 1e-4, "{}", peak(&found));
}

#[test]
fn one_image_is_calibrated_by_probes_or_within_itself() {
    let options = only(CalibrationOptions::default());
    let at_one = |probes: &[ImageFeatures]| {
        let bank = MemoryBank::new(&[vec![pointing(0)]], probes, options.clone()).unwrap();
        values(bank.localize(&pointing(2), [3, 3]).unwrap().map)[0]
    };
    assert!((at_one(&[pointing(0)]) - calibrated(1.0 / LEAST_SCORE)).abs() < 1e-5, "the probe says that normal patches match");
    // The probe is as far as the query, and good parts may differ more than probes do.
    let expected = calibrated(1.0 / options.calibration.as_ref().unwrap().spread_of_parts);
    assert!((at_one(&[pointing(1)]) - expected).abs() < 1e-6 && expected < 0.3, "the probe says that normal patches don't match");
    assert!(at_one(&[]) < 0.1, "a grid of 3x3 has no patches that are not near one another");
    let device = Device::default();
    let flat = ImageFeatures {
        patch_tokens: vec![Tensor::ones([1, 49, 8], &device)],
        grid: [7, 7],
        fine: vec![],
        embedding: Tensor::zeros([1, 3], &device),
    };
    let bank = MemoryBank::new(&[vec![flat]], &[], options).unwrap();
    let (unlike, distance) = (values(bank.localize(&pointing(2), [3, 3]).unwrap().map), 1.0 - 8f32.sqrt().recip());
    assert!((unlike[0] - calibrated(distance / LEAST_SCORE)).abs() < 1e-5, "{unlike:?}");
}

#[test]
fn mirrored_views_tell_a_second_time_how_parts_differ() {
    let spread_of_views = Some(2.0);
    let calibration = CalibrationOptions { spread_of_views, ..CalibrationOptions::default() };
    let angle = |patch: usize, other: usize| between(&[[patch, other]]);
    // Views are at 60 degrees to their images; left out, an image is at 90 degrees to the other.
    let normals = vec![vec![angle(0, 1), angle(1, 2)], vec![angle(3, 4), angle(4, 5)]];
    let border = 2.0 * (0.5f32 * 1.0).sqrt();
    let bank = bank(&normals, only(calibration));
    let map = values(bank.localize(&angle(6, 7), [1, 1]).unwrap().map);
    assert!((map[0] - calibrated(1.0 / border)).abs() < 1e-5, "{map:?}");
}

#[test]
fn a_map_hears_taps_by_their_shares_and_the_score_all_alike() {
    let two_taps = |first: usize, second: usize| {
        let taps = [pointing(first), pointing(second)].map(|image| image.patch_tokens).concat();
        ImageFeatures { patch_tokens: taps, ..pointing(0) }
    };
    let options = MemoryBankOptions { map_shares: vec![3.0, 1.0], smoothing: 0.5, ..MemoryBankOptions::original() };
    let bank = bank(&[vec![two_taps(0, 0)]], options);
    // Half of the patches are strange to one tap, half to the other.
    let mut query = two_taps(1, 1);
    query.patch_tokens[0] =
        query.patch_tokens[0].clone().slice_assign([0..1, 0..4, 0..8], pointing(0).patch_tokens[0].clone().narrow(1, 0, 4));
    query.patch_tokens[1] =
        query.patch_tokens[1].clone().slice_assign([0..1, 4..9, 0..8], pointing(0).patch_tokens[0].clone().narrow(1, 0, 5));
    let found = bank.localize(&query, [3, 3]).unwrap();
    assert_eq!(values(found.score), [0.5]);
    let raw = values(found.raw);
    assert!(
        (raw[8] - 0.5).abs() < 1e-3 && (raw[0] - 0.5 / 3.0).abs() < 0.02,
        "a peak is as high as the score's map, the rest in proportion: {raw:?}"
    );
}

#[test]
fn what_is_ordinary_is_on_one_scale_whatever_the_score() {
    let normals = vec![vec![image(4, 4, 1)], vec![image(4, 4, 1)], vec![image(4, 4, 1)]];
    let bank = bank(&normals, only(CalibrationOptions::default()));
    let slope_at_the_bottom = |query: ImageFeatures| {
        let found = bank.localize(&query, [4, 4]).unwrap();
        let mut pixels: Vec<(f32, f32)> = values(found.raw).into_iter().zip(values(found.map).into_iter().map(multiple)).collect();
        pixels.sort_by(|left, right| left.0.total_cmp(&right.0));
        (pixels[1].1 - pixels[0].1) / (pixels[1].0 - pixels[0].0)
    };
    let (first, second) = (slope_at_the_bottom(image(4, 4, 1)), slope_at_the_bottom(image(4, 4, 1)));
    assert!((first / second - 1.0).abs() < 1e-2, "{first} {second}");
}

#[test]
fn what_is_ordinary_moves_against_the_peak() {
    let normals = vec![vec![image(4, 4, 1)], vec![image(4, 4, 1)], vec![image(4, 4, 1)]];
    let (query, contrast) = (image(4, 4, 1), CalibrationOptions::default().contrast);
    let localized = |contrast| {
        let bank = bank(&normals, only(CalibrationOptions { contrast, ..CalibrationOptions::default() }));
        let found = bank.localize(&query, [4, 4]).unwrap();
        values(found.map).into_iter().map(multiple).collect::<Vec<_>>()
    };
    let (with, without) = (localized(contrast), localized(0.0));
    let lowest = |map: &[f32]| map.iter().copied().fold(f32::INFINITY, f32::min);
    let height = peak(&without);
    assert!((peak(&with) - height).abs() < 1e-4);
    let expected = lowest(&without) - contrast * (height - 1.0).max(-height);
    assert!((lowest(&with) - expected).abs() < 1e-4, "{} {expected}", lowest(&with));
}

#[test]
fn coarse_squares_are_compared_and_laid_over_the_patches() {
    let options = MemoryBankOptions { coarseness: 2, ..only(CalibrationOptions::default()) };
    let (first, second) = (image(5, 4, 2), image(4, 4, 1));
    let bank = bank(&[vec![first.clone()], vec![second]], options);
    assert_eq!(bank.rows(), 2 * 3 * 2 + 2 * 2);
    let found = bank.localize(&first, [10, 8]).unwrap();
    assert_eq!(found.map.dims(), [2, 1, 10, 8]);
    assert!(values(found.raw).into_iter().all(|value| value.abs() < ROUNDING));
}

#[test]
fn squares_that_go_beyond_the_image_do_not_stretch_it() {
    let bank = bank(&[vec![image(4, 4, 1)]], MemoryBankOptions { coarseness: 3, ..MemoryBankOptions::original() });
    let squares = Tensor::<1>::from_data([0.0f32, 0.0, 1.0, 1.0], &Device::default());
    let rows: Vec<f32> = values(bank.on_patches(squares, [4, 4])).into_iter().step_by(4).collect();
    assert_eq!(rows.len(), 4);
    for (found, expected) in rows.into_iter().zip([0.0, 0.0, 1.0 / 3.0, 2.0 / 3.0]) {
        assert!((found - expected).abs() < ROUNDING, "{found} {expected}");
    }
}

#[test]
fn bad_normals_are_refused() {
    let refused = |normals: &[Vec<ImageFeatures>]| MemoryBank::new(normals, &[], MemoryBankOptions::default()).unwrap_err();
    assert!(matches!(refused(&[]), Error::NoNormals));
    assert!(matches!(refused(&[vec![]]), Error::NoNormals));
    assert!(matches!(refused(&[vec![image(2, 2, 1)], vec![]]), Error::NoNormals));
    let blind = ImageFeatures { patch_tokens: vec![], ..image(2, 2, 1) };
    assert!(matches!(refused(&[vec![blind]]), Error::NoNormals));
    for others in [vec![vec![image(2, 2, 1)], vec![pointing(0)]], vec![vec![image(2, 2, 1), pointing(0)]]] {
        assert!(matches!(refused(&others), Error::Incompatible { expected: 2, found: 1, .. }));
    }
    let mut wrong = image(2, 2, 1);
    wrong.patch_tokens[1] = wrong.patch_tokens[1].clone().slice_fill([0..1, 1..2, 3..5], f32::NAN);
    assert!(matches!(refused(&[vec![wrong]]), Error::NotFinite { count: 2, first: 9, .. }));
}

#[test]
fn options_out_of_range_are_refused() {
    let refused = |change: &dyn Fn(&mut MemoryBankOptions)| {
        let mut options = MemoryBankOptions::default();
        change(&mut options);
        matches!(MemoryBank::new(&[vec![image(2, 2, 1)]], &[], options), Err(Error::InvalidConfig { .. }))
    };
    assert!(refused(&|options| options.neighbourhood = 2));
    assert!(refused(&|options| options.maximum_rows = Some(0)));
    assert!(refused(&|options| options.coarseness = 0));
    assert!(refused(&|options| options.smoothing = f32::NAN));
    assert!(refused(&|options| options.score = ScoreRule::AboveMedian(1.5)));
    assert!(refused(&|options| options.text_weight = -0.1));
    assert!(refused(&|options| options.text_trust = f32::NAN));
    assert!(refused(&|options| options.forgiveness = 1.1));
    assert!(refused(&|options| options.map_shares = vec![1.0]));
    assert!(refused(&|options| options.map_shares = vec![0.0, 0.0]));
    assert!(refused(&|options| options.map_shares = vec![2.0, -1.0]));
    assert!(!refused(&|options| options.map_shares = vec![2.0, 0.0]));
    assert!(refused(&|options| options.calibration = Some(CalibrationOptions { sharpness: f32::NAN, ..Default::default() })));
    assert!(refused(&|options| options.calibration = Some(CalibrationOptions { low: 1.1, ..Default::default() })));
    assert!(refused(&|options| options.calibration = Some(CalibrationOptions { contrast: 1.0, ..Default::default() })));
    assert!(refused(&|options| options.calibration = Some(CalibrationOptions { spread_of_views: Some(0.0), ..Default::default() })));
    assert!(!refused(&|options| options.neighbourhood = 3));
}

#[test]
fn other_widths_are_refused() {
    let found = bank(&[vec![image(2, 2, 1)]], MemoryBankOptions::default()).localize(&pointing(0), [4, 4]);
    assert!(matches!(found, Err(Error::Incompatible { expected: 2, found: 1, .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_selection_is_even_and_knows_whose_rows_are_kept(counts in prop::collection::vec(1usize..60, 1..6), maximum in 1usize..90) {
        let (kept, ends) = even_selection(&counts, Some(maximum));
        let total: usize = counts.iter().sum();
        let kept = kept.unwrap_or_else(|| (0..total as i32).collect());
        prop_assert_eq!(kept.len(), total.min(maximum));
        prop_assert!(kept.windows(2).all(|pair| pair[0] < pair[1]) && kept.iter().all(|&row| (row as usize) < total));
        let (mut start, mut before) = (0, 0);
        for (&end, &count) in ends.iter().zip(&counts) {
            prop_assert!(kept[start..end].iter().all(|&row| (before..before + count).contains(&(row as usize))));
            (start, before) = (end, before + count);
        }
        prop_assert_eq!(start, kept.len());
    }
}
