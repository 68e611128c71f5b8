//! Inspects photographs with the model that AnomalyGPT's authors published, from its files; otherwise as `inspect` does.
//!
//! `cargo run --release --example published -- --help`
#![allow(clippy::print_stdout)]

#[path = "../inspect/chain.rs"]
mod chain;
#[path = "../inspect/files.rs"]
mod files;
mod model;
#[path = "../inspect/output.rs"]
mod output;
#[path = "../inspect/run.rs"]
mod run;

use std::{path::PathBuf, process::ExitCode};

use anomalygpt::{AnomalyGpt, Compat, default_device, llm::llama::Precision, pretrained};
use clap::{Parser, ValueEnum};

use files::Input;
use model::Model;
use run::{Inspect, Outcome};

/// What the sample shows.
const SAMPLE_NAME: &str = "sample.png";

/// Inspect photographs of products with the published model: an answer, a verdict, a score, and where the anomalies are.
#[derive(Debug, Parser)]
#[command(name = "published")]
struct Arguments {
    #[command(flatten)]
    model: Model,
    #[command(flatten)]
    inspect: Inspect,
    /// Whether to do what is sound, or what the authors' evaluation or web demo do.
    #[arg(long, value_enum, default_value_t)]
    behave: Behave,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Behave {
    #[default]
    Sound,
    Original,
    Demo,
}

fn main() -> ExitCode {
    run::exit(inspect(&Arguments::parse()))
}

fn inspect(arguments: &Arguments) -> Outcome<bool> {
    let compat = match arguments.behave {
        Behave::Sound => Compat::default(),
        Behave::Original => Compat::original(),
        Behave::Demo => Compat::demo(),
    };
    let (read, files) = (compat.read, arguments.model.files(compat, Precision::F16)?);
    let load = || AnomalyGpt::published(files, &default_device()?);
    let sample = || Ok((Input { path: PathBuf::from(SAMPLE_NAME), name: PathBuf::from(SAMPLE_NAME) }, pretrained::sample()?));
    arguments.inspect.run(read, load, sample)
}
