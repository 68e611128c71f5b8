//! The image trunk: one image and a batch, in its own kernels and in Burn's operations.
#![allow(missing_docs, clippy::unwrap_used)]

use std::{hint::black_box, path::Path};

use anomalygpt::{
    encoder::efficientnet::{EfficientNet, EfficientNetConfig, SIZE},
    weights::StateDict,
};
use burn::tensor::{Device, Tensor};
use criterion::{Criterion, criterion_group, criterion_main};

fn trunk(criterion: &mut Criterion) {
    let device = Device::default();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/pretrained/trunk.safetensors");
    let state = StateDict::read(&path).unwrap();
    let config = EfficientNetConfig::lite0();
    let own = EfficientNet::from_state(&config, &state, &device).unwrap();
    let burn = EfficientNet::portable(&config, &state, &device).unwrap();
    let side = SIZE as usize;
    let images = |count: usize| Tensor::<1, burn::tensor::Int>::arange(0..(count * 3 * side * side) as i64, &device).float().sin();
    let images = |count: usize| images(count).reshape([count, 3, side, side]);
    let [one, eight] = [images(1), images(8)];
    let read = |taps: Vec<Tensor<4>>| taps.into_iter().map(|tap| tap.into_data()).collect::<Vec<_>>();

    let mut group = criterion.benchmark_group("trunk");
    group.sample_size(20);
    group.bench_function("own kernels, 1 image", |bencher| bencher.iter(|| read(own.channels_last(black_box(one.clone())).unwrap())));
    group.bench_function("own kernels, 8 images", |bencher| bencher.iter(|| read(own.channels_last(black_box(eight.clone())).unwrap())));
    group.bench_function("with the grid, 1 image", |bencher| bencher.iter(|| own.features(black_box(one.clone())).unwrap()));
    group.bench_function("Burn, 1 image", |bencher| bencher.iter(|| read(burn.channels_last(black_box(one.clone())).unwrap())));
    group.bench_function("load", |bencher| bencher.iter(|| EfficientNet::from_state(&config, black_box(&state), &device).unwrap()));
    group.finish();
}

criterion_group!(benches, trunk);
criterion_main!(benches);
