//! Inspects photographs, and says in words, numbers and pictures what is wrong with them.
//!
//! `cargo run --release --example inspect -- --help`
#![allow(clippy::print_stdout)]

mod files;
mod output;

use std::{io, path::PathBuf, process::ExitCode};

use anomalygpt::{AnomalyGpt, Inspection, default_device, preprocess::read_image, pretrained::sample};
use clap::Parser;
use image::DynamicImage;

use files::Input;
use output::Output;

/// What the sample shows.
const SAMPLE_NAME: &str = "sample.png";

/// Inspect photographs of products: an answer, a verdict, a score, and where the anomalies are.
#[derive(Debug, Parser)]
#[command(name = "inspect")]
struct Arguments {
    /// Image files, or folders whose images are inspected; without any, the sample that ships with the crate.
    #[arg(value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// Photographs of normal parts (files or folders) to compare with; may be given several times.
    #[arg(long, value_name = "FILE|DIR", num_args = 1..)]
    normal: Vec<PathBuf>,
    /// What is seen, in words: "a metal nut".
    #[arg(long, value_name = "TEXT")]
    describe: Option<String>,
    /// A question of your own instead of "Is there any anomaly in the image?".
    #[arg(long, value_name = "TEXT")]
    question: Option<String>,
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
    /// Write an overlay PNG of each image into this folder.
    #[arg(long, value_name = "DIR")]
    heatmap: Option<PathBuf>,
    /// Write each map into this folder, as a 32-bit float TIFF of the image's size.
    #[arg(long, value_name = "DIR")]
    map: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // Whoever reads has seen enough.
        Err(error) if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", output::chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

/// Inspects all images; false where some could not be.
fn run(arguments: &Arguments) -> Result<bool, Box<dyn std::error::Error>> {
    let inputs = files::inputs(&arguments.images)?;
    let model = model(arguments)?;
    let mut output = Output::new(arguments.json, arguments.heatmap.as_deref(), arguments.map.as_deref())?;
    if inputs.is_empty() {
        eprintln!("No image given: inspecting the sample that ships with the crate.");
        let image = sample()?;
        let sample = Input { path: PathBuf::from(SAMPLE_NAME), name: PathBuf::from(SAMPLE_NAME) };
        output.write(&sample, &image, &inspect(&model, &image, arguments)?)?;
        return Ok(true);
    }
    let mut all = true;
    for input in &inputs {
        let inspected = read_image(&input.path).and_then(|image| inspect(&model, &image, arguments).map(|inspection| (image, inspection)));
        match inspected {
            Ok((image, inspection)) => output.write(input, &image, &inspection)?,
            Err(error) => {
                output.write_error(input, &error)?;
                all = false;
            }
        }
    }
    Ok(all)
}

/// The embedded model, with a memory bank where normal images are given.
fn model(arguments: &Arguments) -> Result<AnomalyGpt, Box<dyn std::error::Error>> {
    let model = AnomalyGpt::mini(&default_device()?)?;
    if arguments.normal.is_empty() {
        return Ok(model);
    }
    let normals = files::inputs(&arguments.normal)?.iter().map(|input| read_image(&input.path)).collect::<Result<Vec<_>, _>>()?;
    Ok(model.with_normals(&normals)?)
}

fn inspect(model: &AnomalyGpt, image: &DynamicImage, arguments: &Arguments) -> anomalygpt::Result<Inspection> {
    match &arguments.question {
        Some(question) => model.ask(image, arguments.describe.as_deref(), question),
        None => model.inspect(image, arguments.describe.as_deref()),
    }
}
