//! The published model's files on the command line.

use std::path::PathBuf;

use anomalygpt::{
    Compat,
    llm::llama::Precision,
    published::{PublishedConfig, PublishedFiles},
};
use clap::Args;

/// Where the published model's files are.
#[derive(Debug, Args)]
pub(crate) struct Model {
    /// ImageBind, `imagebind_huge.pth`.
    #[arg(long, value_name = "FILE")]
    imagebind: PathBuf,
    /// Folder of Vicuna, or with --delta of LLaMA: config.json, tokenizer and weights.
    #[arg(long, alias = "base", value_name = "DIR")]
    llama: PathBuf,
    /// Folder of Vicuna's delta, where --llama is the LLaMA that it is added to.
    #[arg(long, value_name = "DIR")]
    delta: Option<PathBuf>,
    /// PandaGPT's delta.
    #[arg(long, value_name = "FILE")]
    pandagpt: PathBuf,
    /// AnomalyGPT's delta.
    #[arg(long, value_name = "FILE")]
    anomalygpt: PathBuf,
    /// What the files don't say, as JSON or a file of it, by default
    /// {"vision_heads": 16, "text_heads": 16, "taps": [7, 15, 23, 31], "lora_alpha": 32}.
    #[arg(long, value_name = "JSON")]
    config: Option<String>,
    /// How the language model's weights are held: f32, f16, q8 or q4.
    #[arg(long, value_name = "FORM")]
    precision: Option<Precision>,
}

impl Model {
    /// The files, to be loaded; with `precision` where none was asked for.
    pub(crate) fn files(&self, compat: Compat, precision: Precision) -> anomalygpt::Result<PublishedFiles> {
        let config = match &self.config {
            Some(json) if json.trim_start().starts_with('{') => PublishedConfig::from_json(json)?,
            Some(path) => PublishedConfig::read(path.as_ref())?,
            None => PublishedConfig::default(),
        };
        Ok(PublishedFiles {
            imagebind: self.imagebind.clone(),
            llama: self.llama.clone(),
            vicuna_delta: self.delta.clone(),
            pandagpt: self.pandagpt.clone(),
            anomalygpt: self.anomalygpt.clone(),
            config,
            precision: self.precision.unwrap_or(precision),
            compat,
        })
    }
}
