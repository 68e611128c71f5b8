//! A language model of full size from its folder: time and memory of loading it, and seconds a token.
//!
//! `tests/write_llama.py FOLDER` writes a folder of random values. Then, for each of `f32`, `f16`, `q8`, `q4`:
//! `LLAMA_FOLDER=FOLDER PRECISION=q4 cargo test --release --test full_size -- --ignored --nocapture`.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::{env, fs, time::Instant};

use anomalygpt::{
    default_device,
    llm::llama::{KeyValueCache, Llama, Precision},
};
use burn::tensor::{Int, Tensor};

/// Positions of a prompt: about those of the published model with a description.
const POSITIONS: usize = 96;
const TOKENS: usize = 8;

/// A line of the process's status in GiB.
fn gibibytes(name: &str) -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB")).unwrap_or("0");
    line.parse::<f64>().unwrap() / f64::from(1 << 20)
}

#[test]
#[ignore = "needs a folder of full size; prints timings"]
fn a_folder_of_full_size() {
    let folder = env::var("LLAMA_FOLDER").unwrap();
    let precision: Precision = env::var("PRECISION").unwrap().parse().unwrap();
    let device = default_device().unwrap();
    let start = Instant::now();
    let llama = Llama::open(folder, precision, &device).unwrap();
    let network = llama.network();
    println!("{precision}: loaded in {:.1} s", start.elapsed().as_secs_f64());
    println!("weights {:.2} GiB", network.config().bytes(precision) as f64 / f64::from(1 << 30));
    println!("resident {:.2} GiB, at the peak {:.2} GiB", gibibytes("VmRSS:"), gibibytes("VmHWM:"));
    let ids = |count: usize| Tensor::<1, Int>::arange(5..5 + count as i64, &device).reshape([1, count]);
    let mut cache = KeyValueCache::default();
    let start = Instant::now();
    let _ = network.last(network.embed(ids(POSITIONS)), Some(&mut cache)).unwrap().into_data();
    println!("a prompt of {POSITIONS} positions: {:.2} s", start.elapsed().as_secs_f64());
    let mut times: Vec<f64> = (0..TOKENS)
        .map(|_| {
            let start = Instant::now();
            let logits = network.last(network.embed(ids(1)), Some(&mut cache)).unwrap().into_data();
            assert!(logits.iter::<f32>().all(f32::is_finite));
            start.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    println!("a token: median {:.3} s, fastest {:.3} s", times[TOKENS / 2], times[0]);
    println!("at the peak {:.2} GiB", gibibytes("VmHWM:"));
}
