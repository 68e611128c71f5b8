//! Banks that also listen to the text.

use super::*;

#[test]
fn a_bank_with_text_adds_its_share_before_calibration() {
    let normals = vec![vec![image(4, 4, 1)], vec![image(4, 4, 1)]];
    let query = image(4, 4, 1);
    let suspicion = Tensor::<4>::full([1, 1, 4, 4], 0.5, &Device::default());
    let text_map = |_: &ImageFeatures| Ok(suspicion.clone());
    // Above the median, the same share everywhere is no share at all.
    let score = ScoreRule::AboveMedian(1.0);
    let options = MemoryBankOptions { text_weight: 0.2, score, ..only(CalibrationOptions::default()) };
    let fused = MemoryBank::with_text(&normals, &[], &text_map, options.clone()).unwrap();
    let found = fused.localize_with_text(&query, Some(suspicion.clone()), [4, 4]).unwrap();
    let plain = MemoryBank::new(&normals, &[], options).unwrap().localize(&query, [4, 4]).unwrap();
    let [score, bank_s_score] = [values(found.score)[0], values(plain.score)[0]];
    assert!((score - bank_s_score / 1.2).abs() < ROUNDING, "a share of the most that bank and text can find together");
    for (found, plain) in values(found.raw).into_iter().zip(values(plain.raw)) {
        assert!((found * 1.2 - plain - 0.1).abs() < ROUNDING, "raw maps are shares of that, too");
    }
    for (found, plain) in values(found.map).into_iter().zip(values(plain.map)) {
        assert!((found - plain).abs() < 1e-4);
    }
}

#[test]
fn a_text_that_finds_nothing_in_normal_images_counts_more() {
    let normals = vec![vec![image(4, 4, 2)], vec![image(4, 4, 1)]];
    let options = MemoryBankOptions { text_weight: 0.2, text_trust: 0.6, ..MemoryBankOptions::original() };
    let added = |peaks: [f32; 3]| {
        // One square of each image is not dark.
        let map = |image: usize| (0..16).map(move |square| if square == image { peaks[image] } else { 0.0 });
        let text_map = |features: &ImageFeatures| {
            let batch = features.patch_tokens[0].dims()[0];
            let images = if batch == 2 { vec![0, 1] } else { vec![2] };
            Ok(Tensor::<4>::from_data(TensorData::new(images.into_iter().flat_map(map).collect(), [batch, 1, 4, 4]), &Device::default()))
        };
        let bank = MemoryBank::with_text(&normals, &[], &text_map, options.clone()).unwrap();
        let (query, lit) = (image(4, 4, 1), Tensor::<4>::ones([1, 1, 4, 4], &Device::default()));
        let with = bank.localize_with_text(&query, Some(lit), [4, 4]).unwrap();
        let without = bank.localize(&query, [4, 4]).unwrap();
        let weight = bank.weight_of_text();
        assert!((values(with.raw)[0] * (1.0 + weight) - values(without.raw)[0] - weight).abs() < ROUNDING);
        weight
    };
    assert!((added([0.0; 3]) - 0.8).abs() < ROUNDING);
    assert!((added([0.01, 0.02, 0.06]) - 0.2 - 0.6 * (-0.25f32).exp()).abs() < ROUNDING);
    assert!((added([0.03, 0.06, 0.09]) - 0.2 - 0.6 * (-1.0f32).exp()).abs() < ROUNDING);
    assert!((added([0.9, 0.0, 0.0]) - 0.2).abs() < 1e-4);
}

#[test]
fn where_the_text_is_trusted_a_faint_one_lifts_nothing_over_the_border() {
    // Left out, an image is at 90 degrees to the other, so the border is 1 for the bank alone.
    let normals = vec![vec![pointing(0)], vec![pointing(1)]];
    let dark = Tensor::<4>::zeros([1, 1, 3, 3], &Device::default());
    let text_map = |_: &ImageFeatures| Ok(dark.clone());
    let peak_at = |text: f32| {
        let options = MemoryBankOptions { text_trust: 0.5, ..only(CalibrationOptions::default()) };
        let bank = MemoryBank::with_text(&normals, &[], &text_map, options).unwrap();
        values(bank.localize_with_text(&pointing(2), Some(dark.clone() + text), [3, 3]).unwrap().map)[0]
    };
    assert!((peak_at(0.1) - 0.5).abs() < 1e-4, "{}", peak_at(0.1));
    assert!((peak_at(0.5) - calibrated(1.25 / 1.05)).abs() < 1e-4);
    assert!((peak_at(0.0) - calibrated(1.0 / 1.05)).abs() < 1e-4);
}

#[test]
fn the_text_stays_sharp_in_a_map_of_blurred_squares() {
    let normal = image(8, 8, 1);
    let mut lit = vec![0.0f32; 64];
    lit[9] = 1.0;
    let lit = Tensor::<4>::from_data(TensorData::new(lit, [1, 1, 8, 8]), &Device::default());
    let dark = |_: &ImageFeatures| Ok(lit.zeros_like());
    let options = MemoryBankOptions { coarseness: 2, smoothing: 2.0, text_trust: 1.0, ..MemoryBankOptions::original() };
    let bank = MemoryBank::with_text(&[vec![normal.clone()]], &[], &dark, options).unwrap();
    let raw = values(bank.localize_with_text(&normal, Some(lit.clone()), [8, 8]).unwrap().raw);
    assert!(raw[9] > 0.05 && raw.iter().enumerate().all(|(pixel, value)| pixel == 9 || value.abs() < ROUNDING), "{raw:?}");
}

#[test]
fn a_text_that_lights_one_patch_of_a_square_is_not_lost_in_its_mean() {
    let normal = image(4, 4, 1);
    let options = MemoryBankOptions { coarseness: 2, ..MemoryBankOptions::original() };
    let on_squares = |text: Vec<f32>| {
        let text = Tensor::<4>::from_data(TensorData::new(text, [1, 1, 4, 4]), &Device::default());
        values(Heard::new(&options, text, &normal).unwrap().on_squares)
    };
    assert!(on_squares(vec![0.4; 16]).into_iter().all(|value| (value - 0.4).abs() < ROUNDING));
    let mut one = vec![0.0; 16];
    one[0] = 1.0;
    let found = on_squares(one);
    assert!((found[0] - (1.0 + 0.25) / 2.0).abs() < ROUNDING && found[1..].iter().all(|value| *value == 0.0), "{found:?}");
}

#[test]
fn bad_normals_are_refused_beside_a_text_and_so_is_a_bad_text() {
    let asked = |normals: &[Vec<ImageFeatures>], value: f32| {
        let text_map = |_: &ImageFeatures| Ok(Tensor::<4>::full([1, 1, 4, 4], value, &Device::default()));
        MemoryBank::with_text(normals, &[], &text_map, MemoryBankOptions::default()).map(|bank| bank.trust)
    };
    let blind = ImageFeatures { patch_tokens: vec![], ..image(2, 2, 1) };
    for normals in [vec![vec![]], vec![vec![image(2, 2, 1)], vec![]], vec![vec![blind]]] {
        assert!(matches!(asked(&normals, 0.0), Err(Error::NoNormals)));
    }
    let normals = [vec![image(4, 4, 1)]];
    assert!(matches!(asked(&normals, f32::NAN), Err(Error::NotFinite { component: "the text map", count: 4, first: 0 })));
    assert_eq!(asked(&normals, 0.5).unwrap(), 0.0, "without text_trust there is none");
}

#[test]
fn two_views_of_one_image_in_a_batch_may_be_compared_with_text() {
    let text_map = |_: &ImageFeatures| Ok(Tensor::<4>::zeros([2, 1, 4, 4], &Device::default()));
    let options = MemoryBankOptions { text_trust: 1.0, ..MemoryBankOptions::default() };
    let bank = MemoryBank::with_text(&[vec![image(4, 4, 2)]], &[], &text_map, options).unwrap();
    assert_eq!(bank.trust, 1.0);
}

#[test]
fn a_text_map_of_other_images_of_more_channels_or_without_pixels_is_refused() {
    let map = |shape: [usize; 4]| Tensor::<4>::zeros(shape, &Device::default());
    let refused = |result: Result<()>| match result {
        Err(Error::Incompatible { left: "the text map", expected, found, .. }) => (expected, found),
        other => panic!("{other:?}"),
    };
    let bank = |shape: [usize; 4]| {
        let text_map = |_: &ImageFeatures| Ok(map(shape));
        MemoryBank::with_text(&[vec![image(4, 4, 2)]], &[], &text_map, MemoryBankOptions::default())
    };
    assert_eq!(refused(bank([1, 1, 4, 4]).map(|_| ())), (2, 1));
    let bank = bank([2, 1, 4, 4]).unwrap();
    let localized = |shape: [usize; 4]| bank.localize_with_text(&image(4, 4, 1), Some(map(shape)), [4, 4]).map(|_| ());
    assert_eq!((refused(localized([2, 1, 4, 4])), refused(localized([1, 3, 4, 4]))), ((1, 2), (1, 3)));
    assert!(localized([1, 1, 9, 5]).is_ok(), "of any size");
    assert!(matches!(localized([1, 1, 0, 5]), Err(Error::Component { .. })), "but not of none");
}
