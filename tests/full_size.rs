//! A model of full size from its files: time and memory of loading it, and seconds a stage and a token.
//!
//! `tests/write_published.py FOLDER` writes files of random values. Then, for each of `f32`, `f16`, `bf16`, `q8`, `q4`:
//! `FULL_SIZE=FOLDER PRECISION=q4 cargo test --release --test full_size the_published_model -- --ignored --nocapture`,
//! or `the_language_model` for that alone.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Instant,
};

use anomalygpt::{
    AnomalyGpt, default_device,
    llm::{
        GenerateOptions,
        llama::{KeyValueCache, Llama, Precision},
    },
    published::PublishedFiles,
};
use burn::tensor::{Int, Tensor};
use image::{DynamicImage, Rgb, RgbImage};

/// Positions of a prompt: about those of the published model with a description.
const POSITIONS: usize = 96;
const TOKENS: usize = 8;

/// A line of the process's status in GiB.
fn gibibytes(name: &str) -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB")).unwrap_or("0");
    line.parse::<f64>().unwrap() / f64::from(1 << 20)
}

fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let start = Instant::now();
    let done = work();
    (start.elapsed().as_secs_f64(), done)
}

fn arguments() -> (PathBuf, Precision) {
    (env::var("FULL_SIZE").unwrap().into(), env::var("PRECISION").unwrap().parse().unwrap())
}

fn disk_bytes(path: &Path) -> u64 {
    match fs::read_dir(path) {
        Ok(entries) => entries.map(|entry| disk_bytes(&entry.unwrap().path())).sum(),
        Err(_) => fs::metadata(path).unwrap().len(),
    }
}

fn print_loaded(precision: Precision, seconds: f64, files: &[&Path]) {
    let bytes: u64 = files.iter().map(|path| disk_bytes(path)).sum();
    println!("{precision}: {:.2} GB on disk loaded in {seconds:.1} s, {:.0} MB/s", bytes as f64 / 1e9, bytes as f64 / 1e6 / seconds);
    println!("resident {:.2} GiB, at the peak {:.2} GiB", gibibytes("VmRSS:"), gibibytes("VmHWM:"));
}

#[test]
#[ignore = "needs files of full size; prints timings"]
fn the_language_model() {
    let (folder, precision) = arguments();
    let (folder, device) = (folder.join("vicuna"), default_device().unwrap());
    let (seconds, llama) = timed(|| Llama::open(&folder, precision, &device).unwrap());
    let network = llama.network();
    print_loaded(precision, seconds, &[&folder]);
    println!("weights {:.2} GiB", network.config().bytes(precision) as f64 / f64::from(1 << 30));
    let ids = |count: usize| Tensor::<1, Int>::arange(5..5 + count as i64, &device).reshape([1, count]);
    let mut cache = KeyValueCache::default();
    let (seconds, _) = timed(|| network.last(network.embed(ids(POSITIONS)), Some(&mut cache)).unwrap().into_data());
    println!("a prompt of {POSITIONS} positions: {seconds:.2} s");
    let mut token = || {
        let (seconds, logits) = timed(|| network.last(network.embed(ids(1)), Some(&mut cache)).unwrap().into_data());
        assert!(logits.iter::<f32>().all(f32::is_finite));
        seconds
    };
    let mut times: Vec<f64> = (0..TOKENS).map(|_| token()).collect();
    times.sort_by(f64::total_cmp);
    println!("a token: median {:.3} s, fastest {:.3} s", times[TOKENS / 2], times[0]);
    println!("at the peak {:.2} GiB", gibibytes("VmHWM:"));
}

#[test]
#[ignore = "needs files of full size; prints timings"]
fn the_published_model() {
    let (folder, precision) = arguments();
    let [imagebind, llama, pandagpt, anomalygpt] =
        ["imagebind_huge.pth", "vicuna", "pandagpt.pt", "anomalygpt.pt"].map(|name| folder.join(name));
    let files = PublishedFiles { precision, imagebind, llama, pandagpt, anomalygpt, ..PublishedFiles::default() };
    let device = default_device().unwrap();
    let (seconds, model) = timed(|| AnomalyGpt::published(files.clone(), &device).unwrap());
    print_loaded(precision, seconds, &[&files.imagebind, &files.llama, &files.pandagpt, &files.anomalygpt]);

    let image = DynamicImage::ImageRgb8(RgbImage::from_fn(900, 900, |x, y| Rgb([(x * y) as u8, x as u8, (x + 3 * y) as u8])));
    let (seconds, seen) = timed(|| {
        let seen = model.see(&image).unwrap();
        seen.features.embedding.to_data();
        seen
    });
    println!("image tower: {seconds:.2} s");
    let description = Some("a metal nut");
    let localize = || timed(|| model.localize(&seen, description).unwrap().raw.into_data()).0;
    let (first, again) = (localize(), localize());
    println!("text tower, once an object: {:.2} s; comparing: {again:.2} s", first - again);
    // The verdict is taken from the same reading of the prompt, and costs two tokens or less.
    let inspect = |tokens: usize| {
        let mut behaviour = model.behaviour().clone();
        behaviour.generate = GenerateOptions::default().with_max_new_tokens(tokens);
        behaviour.generate.stop.clear();
        let model = model.clone().with_behaviour(behaviour);
        model.localize(&seen, description).unwrap();
        let (seconds, inspection) = timed(|| model.inspect_seen(&seen, description).unwrap());
        assert!(inspection.probability.is_finite() && inspection.detection.score.is_finite());
        println!("{tokens} tokens: {:?}", inspection.answer);
        seconds
    };
    let (one, many) = (inspect(1), inspect(1 + TOKENS));
    println!("prompt and verdict: {:.2} s; a token: {:.3} s", one - again, (many - one) / TOKENS as f64);
    println!("at the peak {:.2} GiB", gibibytes("VmHWM:"));
}
