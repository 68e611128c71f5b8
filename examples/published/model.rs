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
    /// Folder that `convert` wrote, instead of all other files.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["imagebind", "llama", "delta", "pandagpt", "anomalygpt", "config"])]
    converted: Option<PathBuf>,
    /// ImageBind, `imagebind_huge.pth`.
    #[arg(long, value_name = "FILE", required_unless_present = "converted")]
    imagebind: Option<PathBuf>,
    /// Folder of Vicuna, or with --delta of LLaMA: config.json, tokenizer and weights.
    #[arg(long, alias = "base", value_name = "DIR", required_unless_present = "converted")]
    llama: Option<PathBuf>,
    /// Folder of Vicuna's delta, where --llama is the LLaMA that it is added to.
    #[arg(long, value_name = "DIR")]
    delta: Option<PathBuf>,
    /// PandaGPT's delta.
    #[arg(long, value_name = "FILE", required_unless_present = "converted")]
    pandagpt: Option<PathBuf>,
    /// AnomalyGPT's delta.
    #[arg(long, value_name = "FILE", required_unless_present = "converted")]
    anomalygpt: Option<PathBuf>,
    /// What the files don't say, as JSON or a file of it, by default
    /// {"vision_heads": 16, "text_heads": 16, "taps": [7, 15, 23, 31], "lora_alpha": 32}.
    #[arg(long, value_name = "JSON")]
    config: Option<String>,
    /// How the language model's weights are held: f32, f16, bf16, q8 or q4.
    #[arg(long, value_name = "FORM")]
    precision: Option<Precision>,
}

impl Model {
    /// The files, to be loaded; with `precision` where none was asked for.
    pub(crate) fn files(&self, compat: Compat, precision: Precision) -> anomalygpt::Result<PublishedFiles> {
        let precision = self.precision.unwrap_or(precision);
        if let Some(folder) = &self.converted {
            return Ok(PublishedFiles { precision, compat, ..PublishedFiles::converted(folder)? });
        }
        let config = match &self.config {
            Some(json) if json.trim_start().starts_with('{') => PublishedConfig::from_json(json)?,
            Some(path) => PublishedConfig::read(path.as_ref())?,
            None => PublishedConfig::default(),
        };
        let path = |path: &Option<PathBuf>| path.clone().unwrap_or_default();
        Ok(PublishedFiles {
            imagebind: path(&self.imagebind),
            llama: path(&self.llama),
            vicuna_delta: self.delta.clone(),
            pandagpt: path(&self.pandagpt),
            anomalygpt: path(&self.anomalygpt),
            config,
            precision,
            compat,
        })
    }
}
