//! Looks at folders and says which parts of the published model are there, what is missing or does not fit, and how much memory
//! each precision needs. Files are told by their tensors, not by their names, and no weights are loaded.
//!
//! `cargo run --release --example doctor -- pretrained_ckpt ckpt`
#![allow(clippy::print_stdout)]

#[path = "../inspect/chain.rs"]
mod chain;
mod diagnosis;
mod report;
mod survey;

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;

use diagnosis::Diagnosis;
use survey::Survey;

/// Say which parts of the published model are there, and what is missing or does not fit. Succeeds where a whole model is there.
#[derive(Debug, Parser)]
#[command(name = "doctor")]
struct Arguments {
    /// Folders to search, and files to look at.
    #[arg(value_name = "PATH", default_value = ".")]
    paths: Vec<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let survey = Survey::of(&arguments.paths);
    let diagnosis = Diagnosis::of(&survey);
    if arguments.json {
        println!("{:#}", report::json(&survey, &diagnosis));
    } else {
        print!("{}", report::text(&survey, &diagnosis));
    }
    if diagnosis.choice.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
