//! Writes the published model into one folder without pickles: Vicuna's delta and PandaGPT's adapters merged in, a tensor at a time.
//!
//! `cargo run --release --example convert -- --help`

#[path = "../inspect/chain.rs"]
mod chain;
#[path = "../published/model.rs"]
mod model;

use std::{error::Error, path::PathBuf, process::ExitCode};

use anomalygpt::{Compat, llm::llama::Precision, published::ConvertOptions};
use burn::tensor::DType;
use clap::{Parser, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use model::Model;

/// Write the published model into one folder: safetensors with all deltas merged in, tokenizer, configuration, and notes on the
/// weights' terms. `published --converted DIR` loads it.
#[derive(Debug, Parser)]
#[command(name = "convert")]
struct Arguments {
    #[command(flatten)]
    model: Model,
    /// Type of the language model and of the deltas.
    #[arg(long, value_enum, default_value_t = Type::F16)]
    dtype: Type,
    /// Type of ImageBind. Its towers are published in 32 bits; in 16 their results change in the third digit.
    #[arg(long, value_enum, default_value_t = Type::F32)]
    imagebind_dtype: Type,
    /// Longest file, in gigabytes.
    #[arg(long, value_name = "GB", default_value_t = 4.0)]
    shard_gb: f64,
    /// Where the folder goes; it must be empty or not be there.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Type {
    F32,
    F16,
}

impl From<Type> for DType {
    fn from(value: Type) -> Self {
        match value {
            Type::F32 => Self::F32,
            Type::F16 => Self::F16,
        }
    }
}

fn main() -> ExitCode {
    match convert(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", chain::chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn convert(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    if !(arguments.shard_gb > 0.0 && arguments.shard_gb.is_finite()) {
        return Err("--shard-gb must be greater than 0".into());
    }
    let mut options = ConvertOptions::default();
    options.dtype = arguments.dtype.into();
    options.imagebind_dtype = arguments.imagebind_dtype.into();
    options.shard_bytes = (arguments.shard_gb * 1e9) as u64;
    // How many tensors there will be is known when they are listed, which `convert` does.
    let bar = ProgressBar::no_length().with_style(ProgressStyle::with_template("{elapsed_precise} {bytes} {bytes_per_sec} {msg}")?);
    let files = arguments.model.files(Compat::default(), Precision::F16)?;
    files.convert(&arguments.out, &options, &mut |name, bytes| {
        bar.inc(bytes);
        bar.set_message(name.to_owned());
    })?;
    bar.finish_and_clear();
    eprintln!(
        "Wrote {} bytes of weights to {}. Read LICENSE-NOTES.txt there before you pass them on.",
        bar.position(),
        arguments.out.display()
    );
    Ok(())
}
