//! Evaluates the embedded model, and the methods that the paper compares with, on a data set.
//!
//! `cargo run --release --example evaluate -- --help`

mod arguments;
#[path = "../inspect/chain.rs"]
mod chain;
mod journal;
mod maps;
mod memory;
mod methods;
mod observer;
mod output;
mod plan;
mod run;

use std::{fs, path::Path, process::ExitCode};

use anomalygpt::default_device;
use clap::Parser;

use arguments::Arguments;
use chain::chain;
use journal::Journal;
use methods::Models;

/// Exit code where some images could not be evaluated.
const SOME_FAILED: u8 = 3;
/// Exit code for bad options, as clap's.
const USAGE: u8 = 2;

/// Why the run ended early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Options that can't be followed.
    Usage(String),
    /// Anything else.
    Other(String),
}

impl From<anomalygpt::Error> for Failure {
    fn from(error: anomalygpt::Error) -> Self {
        Self::Other(chain(&error))
    }
}

impl From<String> for Failure {
    fn from(text: String) -> Self {
        Self::Other(text)
    }
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(SOME_FAILED),
        Err(Failure::Usage(text)) => {
            eprintln!("error: {text}");
            ExitCode::from(USAGE)
        }
        Err(Failure::Other(text)) => {
            eprintln!("error: {text}");
            ExitCode::FAILURE
        }
    }
}

/// Evaluates everything; gives the number of images that could not be.
fn run(arguments: &Arguments) -> Result<usize, Failure> {
    let dataset = arguments.dataset()?;
    for problem in &dataset.problems {
        eprintln!("{}: {problem}", if arguments.strict { "error" } else { "warning" });
    }
    if arguments.strict && !dataset.problems.is_empty() {
        return Err(Failure::Other(format!("{} things are odd about the data set, and --strict was given", dataset.problems.len())));
    }
    arguments.check_report()?;
    // What can't be drawn is found before anything is written.
    plan::plan(arguments, &dataset)?;
    if let Some(folder) = arguments.report.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let mut journal = Journal::open(&beside(&arguments.report, "jsonl"), &arguments.fingerprint(&dataset), arguments.restart)?;
    let models = Models::load(&default_device()?)?;
    run::run(arguments, &dataset, &models, &mut journal)?;
    output::write(arguments, &dataset, &models, &journal)?;
    Ok(journal.cells.iter().map(|cell| cell.failed).sum())
}

/// The report's path with another ending.
fn beside(report: &Path, ending: &str) -> std::path::PathBuf {
    report.with_extension(ending)
}
