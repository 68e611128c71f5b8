//! The drawings and photographs that `train_mini` trains on.
#![cfg(feature = "train")]
#![allow(missing_docs, unreachable_pub, dead_code, clippy::unwrap_used, clippy::print_stdout)]

#[path = "../examples/train_mini/bounds.rs"]
mod bounds;
#[path = "../examples/train_mini/draw/mod.rs"]
mod draw;
#[path = "../examples/train_mini/images.rs"]
mod images;
#[path = "../examples/train_mini/lines.rs"]
mod lines;
#[path = "../examples/train_mini/photographs.rs"]
mod photographs;
#[path = "../examples/train_mini/products/mod.rs"]
mod products;
#[path = "../examples/train_mini/symmetry.rs"]
mod symmetry;
#[path = "../examples/train_mini/textures/mod.rs"]
mod textures;

use image::{
    RgbImage,
    codecs::png::{CompressionType, FilterType, PngEncoder},
};
use products::{Kind, Product};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

fn mean(image: &RgbImage) -> f64 {
    image.iter().map(|value| f64::from(*value)).sum::<f64>() / image.len() as f64
}

fn deviation(image: &RgbImage) -> f64 {
    let mean = mean(image);
    (image.iter().map(|value| (f64::from(*value) - mean).powi(2)).sum::<f64>() / image.len() as f64).sqrt()
}

#[test]
fn every_kind_draws_every_size_with_something_on_it() {
    assert!(Kind::ALL.len() >= 24);
    for &kind in Kind::ALL {
        for (width, height) in [(64, 64), (90, 40), (33, 70)] {
            let image = Product { kind, style: 5 }.draw(&mut ChaCha8Rng::seed_from_u64(1), width, height);
            assert_eq!(image.dimensions(), (width, height));
            assert!(
                deviation(&image) > 1.5 && (5.0..250.0).contains(&mean(&image)),
                "{kind:?}: mean {}, deviation {}",
                mean(&image),
                deviation(&image)
            );
        }
    }
}

#[test]
fn a_style_is_kept_and_an_instance_varies() {
    for &kind in Kind::ALL {
        let draw = |style, instance| Product { kind, style }.draw(&mut ChaCha8Rng::seed_from_u64(instance), 64, 64);
        assert_eq!(draw(1, 1), draw(1, 1), "{kind:?}");
        assert_ne!(draw(1, 1), draw(1, 2), "{kind:?}");
        let apart = |other: &RgbImage| (mean(&draw(1, 1)) - mean(other)).abs();
        // Two parts of one line are about as bright; over ten other styles some are not.
        assert!(apart(&draw(1, 2)) < 25.0, "{kind:?}: {}", apart(&draw(1, 2)));
        assert!((2..12).any(|style| apart(&draw(style, 1)) > 10.0), "{kind:?}");
    }
}

#[test]
fn photographs_give_crops_of_any_size() {
    for photograph in photographs::all().unwrap() {
        for (width, height) in [(96, 96), (120, 50), (700, 600)] {
            let image = photograph.draw(3, &mut ChaCha8Rng::seed_from_u64(2), width, height);
            assert_eq!(image.dimensions(), (width, height));
            assert!(deviation(&image) > 10.0, "{}", photograph.name);
        }
    }
}

#[test]
fn pieces_of_irregular_surfaces_come_from_other_products() {
    let lines = [lines::drawn(0..2), lines::photographed(0..2).unwrap()].concat();
    for line in &lines {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let own = (0..40).filter(|_| images::source(line, &lines, &mut rng).name() == line.name()).count();
        assert_eq!(own == 0, line.is_irregular(), "{}: {own}", line.name());
    }
    let named = |name| lines.iter().find(|line| line.name() == name).unwrap().is_irregular();
    assert!(named("gravel") && named("leather") && !named("brick") && !named("metal nut"));
}

#[test]
fn the_shipped_sample_is_the_drawn_one() {
    let shipped = image::open(concat!(env!("CARGO_MANIFEST_DIR"), "/src/pretrained/sample.png")).unwrap().to_rgb8();
    let drawn = products::sample().unwrap();
    assert_eq!(shipped.dimensions(), drawn.dimensions());
    let difference = shipped.iter().zip(drawn.iter()).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / drawn.len() as f64;
    // Sines and cosines differ between platforms in their last bit.
    assert!(difference < 0.5, "{difference}");
}

/// Writes the shipped sample and sheets to look at: `SHEETS=DIR cargo test --release --features train --test products -- --ignored`.
#[test]
#[ignore = "writes files"]
fn write_sheets() {
    let folder = std::path::PathBuf::from(std::env::var("SHEETS").unwrap());
    let kinds = |range: std::ops::Range<usize>, styles: &[u64], instances: u64| {
        let mut pictures = Vec::new();
        for &kind in &Kind::ALL[range] {
            for &style in styles {
                pictures.extend(
                    (0..instances).map(|instance| Product { kind, style }.draw(&mut ChaCha8Rng::seed_from_u64(instance + 9), 160, 160)),
                );
            }
        }
        products::sheet(&pictures, styles.len() as u32 * instances as u32)
    };
    kinds(0..18, &[1, 2, 3, 4], 2).save(folder.join("products.png")).unwrap();
    kinds(18..Kind::ALL.len(), &[1, 2, 3, 4], 2).save(folder.join("textures.png")).unwrap();
    let file = std::fs::File::create(folder.join("sample.png")).unwrap();
    let encoder = PngEncoder::new_with_quality(file, CompressionType::Best, FilterType::Adaptive);
    products::sample().unwrap().write_with_encoder(encoder).unwrap();
    for &kind in Kind::ALL {
        let start = std::time::Instant::now();
        let count = 20;
        for instance in 0..count {
            std::hint::black_box(Product { kind, style: instance }.draw(&mut ChaCha8Rng::seed_from_u64(instance), 256, 256));
        }
        println!("{kind:?}: {:?} an image of 256x256", start.elapsed() / count as u32);
    }
}
