//! The published model written into one folder: no pickle, adapters merged in, files that load without either.

use std::{fs, path::Path};

use burn::tensor::DType;

use super::{
    PublishedFiles,
    open::{CONFIG, Opened},
};
use crate::{
    error::{Error, Result},
    llm::llama::LlamaConfig,
    weights::{Dimension, ExportOptions, Part, Selection, Size, TensorSource, check_pairing, export},
};

/// Files beside a language model's weights; all but the first may be missing.
const COPIED: [&str; 7] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
];

/// What the user of the folder must know about the weights' terms.
const LICENSE_NOTES: &str = include_str!("LICENSE-NOTES.txt");

/// How a converted model is written.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConvertOptions {
    /// Type of the language model and of both deltas: `F32` or `F16`.
    pub dtype: DType,
    /// Type of ImageBind, which is published in 32 bits.
    pub imagebind_dtype: DType,
    /// Longest file, in bytes.
    pub shard_bytes: u64,
}

impl Default for ConvertOptions {
    /// As published: ImageBind in 32 bits, all else in 16; files of 4 GB.
    fn default() -> Self {
        Self { dtype: DType::F16, imagebind_dtype: DType::F32, shard_bytes: ExportOptions::default().shard_bytes }
    }
}

impl PublishedFiles {
    /// Writes the model into an empty or new folder: safetensors of all parts under their published names, Vicuna's delta and
    /// PandaGPT's adapters merged in; the language model's `config.json` and tokenizer; `published.json` with what the tensors don't
    /// say; `LICENSE-NOTES.txt`. One tensor is in memory at a time; `progress` is told each one's name and bytes.
    ///
    /// [`converted`](Self::converted) names the folder's files again.
    ///
    /// # Errors
    /// Those of reading and of [`export`]; [`Error::InvalidConfig`] for a folder that is not empty;
    /// [`Error::WeightsMismatch`] for tensors of unknown names; [`Error::Pairing`] for files of different models.
    pub fn convert(&self, folder: &Path, options: &ConvertOptions, progress: &mut dyn FnMut(&str, u64)) -> Result<()> {
        let opened = self.open()?;
        check(&opened)?;
        prepare(folder)?;
        self.write_small_files(&opened.folder, folder)?;
        let Opened { imagebind, language_model, projection, anomalygpt, .. } = &opened;
        let imagebind = Selection::new(imagebind, &[Part::ImageBind]);
        let language_model = Selection::new(language_model, &[Part::LanguageModel]);
        let projection = Selection::new(projection, &[Part::Projection]);
        let ConvertOptions { dtype, imagebind_dtype, shard_bytes } = *options;
        let sources: [(&dyn TensorSource, _); 4] =
            [(&imagebind, Some(imagebind_dtype)), (&language_model, Some(dtype)), (&projection, Some(dtype)), (anomalygpt, Some(dtype))];
        let metadata = [("format", "pt"), ("adapters", "merged")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        export(&sources, folder, &ExportOptions { shard_bytes, metadata: metadata.into() }, progress)
    }

    fn write_small_files(&self, from: &Path, to: &Path) -> Result<()> {
        for name in COPIED {
            let source = from.join(name);
            if source.exists() {
                fs::copy(&source, to.join(name)).map_err(|error| Error::io(source, error))?;
            }
        }
        let config = serde_json::to_string_pretty(&self.config)
            .map_err(|error| Error::InvalidConfig { what: "configuration of the published model", reason: error.to_string().into() })?;
        for (name, text) in [(CONFIG, config.as_str()), ("LICENSE-NOTES.txt", LICENSE_NOTES)] {
            let path = to.join(name);
            fs::write(&path, text).map_err(|error| Error::io(path, error))?;
        }
        Ok(())
    }
}

/// What would only be found out when the result is loaded.
fn check(opened: &Opened) -> Result<()> {
    let llama = LlamaConfig::open(&opened.folder)?;
    let vocabulary = Size::setting(Dimension::Vocabulary, llama.vocabulary, "vocab_size", &opened.folder.join("config.json"));
    check_pairing(&[&opened.language_model], &[vocabulary])?;
    for source in [&opened.imagebind, &opened.language_model, &opened.projection, &opened.anomalygpt] {
        let (_, unused) = Part::all(source);
        if !unused.is_empty() {
            return Err(Error::WeightsMismatch { origin: source.origin().display().to_string(), missing: vec![], unused, misfits: vec![] });
        }
    }
    Ok(())
}

fn prepare(folder: &Path) -> Result<()> {
    let io = |error| Error::io(folder, error);
    fs::create_dir_all(folder).map_err(io)?;
    match fs::read_dir(folder).map_err(io)?.next() {
        None => Ok(()),
        Some(_) => {
            Err(Error::InvalidConfig { what: "folder of the converted model", reason: format!("{} is not empty", folder.display()).into() })
        }
    }
}
