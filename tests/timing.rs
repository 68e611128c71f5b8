//! Medians of the host-side steps: `cargo test --release --test timing -- --ignored --nocapture`.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::{hint::black_box, time::Instant};

use anomalygpt::{
    AnomalyMap,
    preprocess::{Fit, Preprocess, resize_bicubic},
    regions,
};
use burn::tensor::Device;
use image::{Rgb, RgbImage};

const ROUNDS: usize = 41;

fn median_of<T>(name: &str, mut work: impl FnMut() -> T) {
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            black_box(work());
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    println!("{name}: {:.2} ms (fastest {:.2})", times[ROUNDS / 2], times[0]);
}

/// Three soft spots on a noisy ground.
fn map(side: u32) -> AnomalyMap {
    let spot = |x: f32, y: f32, at: (f32, f32)| (-((x - at.0).powi(2) + (y - at.1).powi(2)) * 200.0).exp();
    let values = (0..side * side).map(|index| {
        let (x, y) = ((index % side) as f32 / side as f32, (index / side) as f32 / side as f32);
        0.1 * ((index * 2_654_435) % 97) as f32 / 97.0
            + 0.9 * [(0.2, 0.3), (0.7, 0.7), (0.9, 0.1)].map(|at| spot(x, y, at)).iter().sum::<f32>()
    });
    AnomalyMap::new(side, side, values.collect()).unwrap()
}

#[test]
#[ignore = "prints timings; run it in release"]
fn host_side_steps() {
    let image = RgbImage::from_fn(900, 900, |x, y| Rgb([(x * y) as u8, x as u8, (x + 3 * y) as u8]));
    median_of("resize 900x900 to 224x224", || resize_bicubic(&image, 224, 224));
    let preprocess = Preprocess::new(224, Fit::Squash, [0.5; 3], [0.25; 3]);
    let images = [preprocess.resize(&image).unwrap()];
    let device = Device::default();
    median_of("to_tensor 224x224", || preprocess.to_tensor(&images, &device).unwrap());
    let raw = map(224);
    median_of("map 224x224 to 900x900", || raw.resize(900, 900).unwrap());
    let full = map(900);
    let noisy = AnomalyMap::new(900, 900, full.values().iter().map(|value| (value * 7.0).fract()).collect()).unwrap();
    median_of("regions 900x900, three spots", || regions(&full, 0.5));
    median_of("regions 900x900, nothing", || regions(&full, 5.0));
    median_of("regions 900x900, noise", || regions(&noisy, 0.5));
    let found = regions(&full, 0.5);
    median_of("overlay 900x900", || full.overlay(&image, &found).unwrap());
    median_of("AnomalyMap::new 900x900", || AnomalyMap::new(900, 900, full.values().to_vec()).unwrap());
}
