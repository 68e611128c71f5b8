#![allow(clippy::unwrap_used)]

use image::Rgb;
use proptest::prelude::*;
use rand::SeedableRng;

use super::*;

/// A smooth ground with some grain.
fn ground(width: u32, height: u32, seed: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let grain = (x.wrapping_mul(7919) ^ y.wrapping_mul(104_729) ^ seed.wrapping_mul(31)) % 7;
        let shade = 90 + (x * 40 / width + y * 30 / height) + grain;
        Rgb([shade as u8, (shade + seed % 20) as u8, 110])
    })
}

/// A ground with a bold pattern, so that patches of it can be seen.
fn pattern(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| if (x / 9 + y / 7) % 2 == 0 { Rgb([40, 60, 70]) } else { Rgb([200, 190, 150]) })
}

fn only(defect: Defect) -> SimulateOptions {
    SimulateOptions { defects: vec![(defect, 1.0)], ..SimulateOptions::default() }
}

/// Pixels; rounding of a quotient up to 170.
const CENTER_TOLERANCE: f32 = 1e-4;

const ALL: [Defect; 6] = [Defect::Patch, Defect::Crack, Defect::Scratch, Defect::Spot, Defect::Hole, Defect::Stain];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn labels_are_true(seed in any::<u64>(), width in 40u32..170, height in 40u32..170, kind in 0usize..6, threshold in 3u8..12) {
        let (image, source) = (ground(width, height, 3), pattern(90, 120));
        let options = SimulateOptions { threshold, ..only(ALL[kind]) };
        let result = simulate(&mut ChaCha8Rng::seed_from_u64(seed), &image, &source, &options).unwrap();
        let inside = |[x, y, wide, high]: [u32; 4], u: u32, v: u32| u >= x && v >= y && u < x + wide && v < y + high;
        for (x, y, marked) in result.mask.enumerate_pixels() {
            let holders = result.patches.iter().filter(|patch| inside(patch.bbox, x, y)).count();
            prop_assert!(holders <= 1, "patches overlap at ({x}, {y})");
            if marked.0[0] > 0 {
                prop_assert!(holders == 1 && image.get_pixel(x, y) != result.image.get_pixel(x, y), "({x}, {y}) is marked, not changed");
            }
        }
        for patch in &result.patches {
            let [x, y, wide, high] = patch.bbox;
            prop_assert!(wide > 0 && high > 0 && x + wide <= width && y + high <= height);
            let own = result.mask.enumerate_pixels().filter(|(u, v, marked)| marked.0[0] > 0 && inside(patch.bbox, *u, *v));
            let middles: Vec<[f32; 2]> = own.map(|(u, v, _)| [u as f32 + 0.5, v as f32 + 0.5]).collect();
            for (axis, center) in patch.center.into_iter().enumerate() {
                let mean = middles.iter().map(|middle| middle[axis]).sum::<f32>() / middles.len() as f32;
                prop_assert!((center - mean).abs() < CENTER_TOLERANCE, "{center} {mean}");
            }
        }
    }
}

#[test]
fn every_kind_can_be_seen_and_leaves_no_change_unmarked() {
    let (image, source) = (ground(160, 120, 3), pattern(90, 120));
    for defect in ALL {
        let mut found = 0;
        for seed in 0..12 {
            let result = simulate(&mut ChaCha8Rng::seed_from_u64(seed), &image, &source, &only(defect)).unwrap();
            found += result.patches.len();
            let strong =
                |(x, y): (u32, u32)| image.get_pixel(x, y).0.iter().zip(result.image.get_pixel(x, y).0).any(|(a, b)| a.abs_diff(b) > 30);
            let points = (0..120).flat_map(|y| (0..160).map(move |x| (x, y)));
            let (missed, all) = points
                .filter(|point| strong(*point))
                .fold((0, 0), |(missed, all), (x, y)| (missed + u32::from(result.mask.get_pixel(x, y).0[0] == 0), all + 1));
            assert!(missed * 20 <= all, "{defect:?}, seed {seed}: {missed} of {all} strongly changed pixels are not marked");
        }
        assert!(found >= 12, "{defect:?}: {found} anomalies in 12 images");
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_does_not() {
    let (image, source, options) = (ground(96, 80, 1), pattern(96, 80), SimulateOptions::default());
    let run = |seed| simulate(&mut ChaCha8Rng::seed_from_u64(seed), &image, &source, &options).unwrap();
    assert_eq!(run(5), run(5));
    assert_ne!(run(5), run(6));
}

#[test]
fn an_even_image_pasted_on_itself_is_no_anomaly() {
    let even = RgbImage::from_pixel(64, 64, Rgb([120, 90, 60]));
    for blend in [Blend::Normal, Blend::Mixed, Blend::CutPaste] {
        let options = SimulateOptions { blend, ..only(Defect::Patch) };
        let result = simulate(&mut ChaCha8Rng::seed_from_u64(1), &even, &even, &options).unwrap();
        assert!(result.patches.is_empty() && result.image == even && result.mask.iter().all(|value| *value == 0));
    }
}

/// Grains without an order, each image with others.
fn texture(seed: u64) -> RgbImage {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let noise = GrayImage::from_fn(128, 128, |_, _| image::Luma([rng.random()]));
    let noise = image::imageops::blur(&noise, 1.2);
    RgbImage::from_fn(128, 128, |x, y| Rgb([noise.get_pixel(x, y).0[0]; 3]))
}

#[test]
fn a_random_texture_within_itself_is_hardly_ever_an_anomaly() {
    let options = SimulateOptions { count: 1..=1, scale: 1.0..=1.0, ..only(Defect::Patch) };
    let found = |source: &dyn Fn(u64) -> RgbImage| -> usize {
        let of = |seed| simulate(&mut ChaCha8Rng::seed_from_u64(seed), &texture(seed), &source(seed + 100), &options).unwrap();
        (0..8).map(|seed| of(seed).patches.len()).sum()
    };
    let [itself, another] = [found(&texture), found(&|_| pattern(128, 128))];
    assert!(itself <= 2 && another == 8, "{itself} and {another} of 8");
}

#[test]
fn a_drawn_defect_has_to_show_something_new_too() {
    let area = Area { x: 50, y: 60, width: 30, height: 20 };
    let footprint = GrayImage::from_pixel(area.width, area.height, image::Luma([255]));
    let is_seen = |image: &RgbImage, seed: u64, defect: Defect| {
        let canvas = Canvas::new(image);
        let pixels = image::imageops::crop_imm(&texture(seed), area.x, area.y, area.width, area.height).to_image();
        visible::change(&canvas, &Edit { area, pixels, footprint: footprint.clone() }, defect, 6).is_some()
    };
    for &defect in &ALL[1..] {
        let seen = |image: &dyn Fn(u64) -> RgbImage| (0..8).filter(|&seed| is_seen(&image(seed), seed + 100, defect)).count();
        let [itself, another] = [seen(&texture), seen(&|_| ground(128, 128, 3))];
        assert!(itself <= 2 && another == 8, "{defect:?}: {itself} and {another} of 8");
    }
}

#[test]
fn counts_stay_in_range_and_reach_three() {
    let (image, source) = (pattern(200, 200), ground(200, 200, 9));
    let count = |seed| simulate(&mut ChaCha8Rng::seed_from_u64(seed), &image, &source, &only(Defect::Hole)).unwrap().patches.len();
    let counts: Vec<usize> = (0..30).map(count).collect();
    assert!(counts.iter().all(|count| (1..=3).contains(count)), "{counts:?}");
    assert!((1..=3).all(|wanted| counts.contains(&wanted)), "{counts:?}");
}

#[test]
fn bad_options_and_tiny_images_are_errors() {
    let image = ground(64, 64, 1);
    let run = |image: &RgbImage, options: SimulateOptions| simulate(&mut ChaCha8Rng::seed_from_u64(1), image, &ground(64, 64, 2), &options);
    assert!(matches!(run(&ground(31, 64, 1), SimulateOptions::default()), Err(Error::ImageSize { width: 31, .. })));
    let base = SimulateOptions::default;
    let bad = [
        SimulateOptions { side: 0.0..=0.4, ..base() },
        SimulateOptions { side: 0.1..=1.4, ..base() },
        SimulateOptions { scale: f32::NAN..=1.0, ..base() },
        SimulateOptions { irregular: 1.5, ..base() },
        SimulateOptions { defects: vec![], ..base() },
        SimulateOptions { defects: vec![(Defect::Spot, -1.0), (Defect::Hole, 3.0)], ..base() },
        SimulateOptions { count: RangeInclusive::new(3, 1), ..base() },
    ];
    for options in bad {
        assert!(matches!(run(&image, options.clone()), Err(Error::InvalidConfig { .. })), "{options:?}");
    }
}
