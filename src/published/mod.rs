//! The model that AnomalyGPT's authors published, from the files that they and others ship: ImageBind, Vicuna, PandaGPT's delta
//! and AnomalyGPT's delta.
//!
//! Loading is strict: a tensor that is missing, unused or of another shape is an error that names it and its file. The weights
//! have terms of their own: ImageBind's and AnomalyGPT's are CC BY-NC-SA 4.0, Vicuna's are LLaMA's.

mod convert;
mod load;
mod open;

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    compat::Compat,
    encoder::imagebind::ImageBindConfig,
    error::{Error, Result},
    llm::llama::Precision,
};

pub use convert::ConvertOptions;
pub use load::{PublishedOptions, PublishedSources};

/// The files of the published model. Each may be PyTorch's or safetensors; what counts is the content, not the name. All four may
/// be one folder that [`convert`](Self::convert) wrote.
#[derive(Clone, Debug, PartialEq)]
pub struct PublishedFiles {
    /// ImageBind, `imagebind_huge.pth`.
    pub imagebind: PathBuf,
    /// Folder of Vicuna as Hugging Face lays it out: `config.json`, tokenizer, weights. With
    /// [`vicuna_delta`](Self::vicuna_delta), that of LLaMA.
    pub llama: PathBuf,
    /// Folder of the difference between Vicuna and LLaMA, where it has not been added yet; its `config.json` and tokenizer count.
    pub vicuna_delta: Option<PathBuf>,
    /// PandaGPT's delta: `llama_proj` and the language model's adapters.
    pub pandagpt: PathBuf,
    /// AnomalyGPT's delta: `image_decoder` and `prompt_learner`.
    pub anomalygpt: PathBuf,
    /// What the files don't say.
    pub config: PublishedConfig,
    /// How the language model's weights are held.
    pub precision: Precision,
    /// How the model behaves.
    pub compat: Compat,
}

impl Default for PublishedFiles {
    /// No files; the published configuration, weights in 16 bits, sound behaviour.
    fn default() -> Self {
        let [imagebind, llama, pandagpt, anomalygpt] = [const { PathBuf::new() }; 4];
        let (config, compat) = (PublishedConfig::default(), Compat::default());
        Self { imagebind, llama, vicuna_delta: None, pandagpt, anomalygpt, config, precision: Precision::F16, compat }
    }
}

/// What the published files don't say about the model. The defaults are right for what was published.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct PublishedConfig {
    /// Attention heads of ImageBind's image tower.
    pub vision_heads: usize,
    /// Attention heads of ImageBind's text tower.
    pub text_heads: usize,
    /// Indices of the image tower's blocks whose outputs are the patch tokens, ascending.
    pub taps: Vec<usize>,
    /// Scale of the adapters, which is divided by their rank.
    pub lora_alpha: f64,
}

impl Default for PublishedConfig {
    fn default() -> Self {
        let ImageBindConfig { vision_heads, text_heads, taps } = ImageBindConfig::default();
        Self { vision_heads, text_heads, taps, lora_alpha: 32.0 }
    }
}

impl PublishedConfig {
    /// Reads a JSON object with any of `vision_heads`, `text_heads`, `taps` and `lora_alpha`.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for anything else.
    pub fn from_json(json: &str) -> Result<Self> {
        let object = serde_json::from_str(json).map(serde_json::Value::Object);
        let config: Self = object
            .and_then(serde_json::from_value)
            .map_err(|error| Error::InvalidConfig { what: "configuration of the published model", reason: error.to_string().into() })?;
        if !config.lora_alpha.is_finite() {
            return Err(Error::InvalidConfig { what: "lora_alpha", reason: "it must be finite".into() });
        }
        Ok(config)
    }

    /// Reads a file of such a JSON object.
    ///
    /// # Errors
    /// [`Error::Io`], and as [`from_json`](Self::from_json).
    pub fn read(path: &Path) -> Result<Self> {
        Self::from_json(&fs::read_to_string(path).map_err(|source| Error::io(path, source))?)
    }

    fn imagebind(&self) -> ImageBindConfig {
        ImageBindConfig { vision_heads: self.vision_heads, text_heads: self.text_heads, taps: self.taps.clone() }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_config_has_the_published_defaults() {
        let config = PublishedConfig::from_json(r#"{"vision_heads": 4, "lora_alpha": 8}"#).unwrap();
        assert_eq!((config.vision_heads, config.lora_alpha), (4, 8.0));
        assert_eq!((config.text_heads, &config.taps[..]), (16, &[7, 15, 23, 31][..]));
        assert_eq!(PublishedConfig::from_json("{}").unwrap(), PublishedConfig::default());
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for json in [r#"{"heads": 4}"#, "[]", "", r#"{"taps": [-1]}"#, r#"{"lora_alpha": "x"}"#] {
            assert!(matches!(PublishedConfig::from_json(json), Err(Error::InvalidConfig { .. })), "{json}");
        }
        assert!(matches!(PublishedConfig::read(Path::new("nowhere.json")), Err(Error::Io { .. })));
    }
}
