//! Times of loading, `detect` and `inspect` on a photograph of 900x900 pixels, with text and with 1 and 4 normal images.
#![allow(missing_docs, clippy::unwrap_used)]

use anomalygpt::{AnomalyGpt, default_device, pretrained::sample};
use criterion::{Criterion, criterion_group, criterion_main};
use image::{DynamicImage, imageops::FilterType};

fn photograph() -> DynamicImage {
    sample().unwrap().resize_exact(900, 900, FilterType::CatmullRom)
}

fn load(criterion: &mut Criterion) {
    let device = default_device().unwrap();
    criterion.benchmark_group("load").sample_size(10).bench_function("mini", |bencher| bencher.iter(|| AnomalyGpt::mini(&device).unwrap()));
}

fn inspection(criterion: &mut Criterion) {
    let text = AnomalyGpt::mini(&default_device().unwrap()).unwrap();
    let image = photograph();
    let normals = [image.fliph(), image.flipv(), image.huerotate(5), image.huerotate(15)];
    let one = text.clone().with_normals(&normals[..1]).unwrap();
    let four = text.clone().with_normals(&normals).unwrap();
    let mut group = criterion.benchmark_group("900x900");
    group.sample_size(20);
    for (name, model) in [("text", &text), ("1 normal", &one), ("4 normals", &four)] {
        group.bench_function(format!("detect, {name}"), |bencher| bencher.iter(|| model.detect(&image, None).unwrap()));
        group.bench_function(format!("inspect, {name}"), |bencher| bencher.iter(|| model.inspect(&image, None).unwrap()));
    }
}

criterion_group!(benches, load, inspection);
criterion_main!(benches);
