//! Runs one inspection as the authors' code does, and writes every tensor on the way, for people who port or debug.
//!
//! `cargo run --release --example trace -- --help`

#[path = "../inspect/chain.rs"]
mod chain;
#[path = "../published/model.rs"]
mod model;

use std::{
    error::Error,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anomalygpt::{
    AnomalyGpt, Compat, Trace, default_device,
    llm::llama::Precision,
    preprocess::{ReadOptions, read_image_with},
};
use burn::tensor::DType;
use clap::Parser;
use safetensors::{Dtype, tensor::TensorView};

use model::Model;

/// Inspect one photograph as the authors' code does, and write every tensor on the way.
#[derive(Debug, Parser)]
#[command(name = "trace")]
struct Arguments {
    #[command(flatten)]
    model: Model,
    /// The photograph.
    #[arg(long, value_name = "FILE")]
    image: PathBuf,
    /// Photographs of normal parts to compare with.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    normal: Vec<PathBuf>,
    /// All that is said after the prompt embeddings, word for word: description, earlier turns and question.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    prompt: String,
    /// Squash the photograph as the web demo does, instead of cropping it.
    #[arg(long)]
    squash: bool,
    /// The most tokens of the answer.
    #[arg(long, value_name = "N", default_value_t = 512)]
    max_new_tokens: usize,
    /// Where the tensors go.
    #[arg(long, value_name = "FILE.safetensors")]
    out: PathBuf,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(answer) => {
            eprintln!("{answer}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {}", chain::chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<String, Box<dyn Error>> {
    let mut compat = if arguments.squash { Compat::demo() } else { Compat::original() };
    compat.behaviour.generate = compat.behaviour.generate.with_max_new_tokens(arguments.max_new_tokens);
    let read = |path: &PathBuf| read_image_with(path, ReadOptions::original());
    let image = read(&arguments.image)?;
    let normals = arguments.normal.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let model = AnomalyGpt::published(arguments.model.files(compat, Precision::F32)?, &default_device()?)?;
    let trace = model.trace(&image, &normals, &arguments.prompt)?;
    write(&trace, &arguments.out)?;
    Ok(trace.answer)
}

fn write(trace: &Trace, out: &Path) -> Result<(), Box<dyn Error>> {
    let tensors = trace.tensors();
    let view = |data: &'_ burn::tensor::TensorData| match data.dtype() {
        DType::I64 => Dtype::I64,
        _ => Dtype::F32,
    };
    let views = tensors
        .iter()
        .map(|(name, data)| Ok((name, TensorView::new(view(data), data.shape().to_vec(), data.as_bytes())?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
    safetensors::serialize_to_file(views, None, out).map_err(|error| format!("{}: {error}", out.display()))?;
    Ok(())
}
