//! Inspects photographs, and says in words, numbers and pictures what is wrong with them.
//!
//! `cargo run --release --example inspect -- --help`
#![allow(clippy::print_stdout)]

mod chain;
mod files;
mod output;
mod run;

use std::{path::PathBuf, process::ExitCode};

use anomalygpt::{AnomalyGpt, default_device, preprocess::ReadOptions, pretrained};
use clap::Parser;

use files::Input;
use run::Inspect;

/// What the sample shows.
const SAMPLE_NAME: &str = "sample.png";

/// Inspect photographs of products: an answer, a verdict, a score, and where the anomalies are.
#[derive(Debug, Parser)]
#[command(name = "inspect")]
struct Arguments {
    #[command(flatten)]
    inspect: Inspect,
}

fn main() -> ExitCode {
    let Arguments { inspect } = Arguments::parse();
    let load = || AnomalyGpt::mini(&default_device()?);
    let sample = || Ok((Input { path: PathBuf::from(SAMPLE_NAME), name: PathBuf::from(SAMPLE_NAME) }, pretrained::sample()?));
    run::exit(inspect.run(ReadOptions::default(), load, sample))
}
