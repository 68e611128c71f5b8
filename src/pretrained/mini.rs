//! Configuration and weights of the embedded model.

use burn::{config::Config, tensor::Device};
use image::DynamicImage;

use crate::{
    anomaly_gpt::AnomalyGpt,
    decoder::{PatchTextDecoder, PatchTextDecoderConfig},
    encoder::{EfficientNet, EfficientNetConfig, EfficientNetEncoder, text_tower::TextTowerConfig},
    error::{Error, Result},
    llm::{
        Llama,
        llama::{LlamaConfig, LlamaNetwork},
    },
    prompt_learner::{ConvPromptLearner, ConvPromptLearnerConfig},
    text::Tokenizer,
    weights::{Layout, StateDict},
};

/// The image trunk, `f16` safetensors with BatchNorm folded in.
pub const MINI_TRUNK: &[u8] = include_bytes!("trunk.safetensors");
/// The tokenizer of text tower and language model.
pub const MINI_TOKENIZER: &[u8] = include_bytes!("tokenizer.json");
/// All that was trained, `f16` safetensors.
const MINI_STAGES: &[u8] = include_bytes!("stages.safetensors");
const SAMPLE: &[u8] = include_bytes!("sample.png");

/// Sizes of the embedded model's trained parts.
#[derive(Config, Debug)]
pub struct MiniConfig {
    /// The encoder's text side.
    pub text_tower: TextTowerConfig,
    /// Patches against texts.
    pub decoder: PatchTextDecoderConfig,
    /// Map and image to embeddings.
    pub prompt_learner: ConvPromptLearnerConfig,
    /// The language model.
    pub llm: LlamaConfig,
}

/// The embedded model's stages, to be used one by one or built in with others.
#[derive(Clone, Debug)]
pub struct Mini {
    /// EfficientNet-Lite0 and a text tower.
    pub encoder: EfficientNetEncoder,
    /// Patch-text matching and the memory bank.
    pub decoder: PatchTextDecoder,
    /// The net over the map.
    pub prompt_learner: ConvPromptLearner,
    /// A small LLaMA.
    pub llm: Llama,
}

impl Mini {
    /// Loads the embedded weights onto a device.
    ///
    /// # Errors
    /// [`Error::Weights`] and [`Error::WeightsMismatch`] if the crate was built from damaged files.
    pub fn load(device: &Device) -> Result<Self> {
        let config = MiniConfig::embedded();
        let tokenizer = Tokenizer::from_bytes(MINI_TOKENIZER)?;
        let state = StateDict::from_safetensors("the embedded model", MINI_STAGES)?;
        let text_tower = state.under("text_tower.").load_into(config.text_tower.init(device), Layout::Burn)?;
        let network: LlamaNetwork = state.under("llm.").load_into(config.llm.init(device), Layout::Burn)?;
        Ok(Self {
            encoder: EfficientNetEncoder::new(mini_trunk(device)?, text_tower, tokenizer.clone()),
            decoder: state.under("decoder.").load_into(config.decoder.init(device), Layout::Burn)?,
            prompt_learner: state.under("prompt_learner.").load_into(config.prompt_learner.init(device), Layout::Burn)?,
            llm: Llama::new(network, tokenizer)?,
        })
    }
}

/// The embedded model's image trunk.
///
/// # Errors
/// As [`Mini::load`].
pub fn mini_trunk(device: &Device) -> Result<EfficientNet> {
    EfficientNetConfig::lite0().load(StateDict::from_safetensors("the embedded trunk", MINI_TRUNK)?, device)
}

/// A drawn product with a defect, to try things on.
///
/// # Errors
/// [`Error::Image`] if the crate was built from a damaged file.
pub fn sample() -> Result<DynamicImage> {
    image::load_from_memory(SAMPLE).map_err(|source| Error::Image { path: "the embedded sample".into(), source })
}

impl AnomalyGpt {
    /// The embedded model: nothing is downloaded, nothing is read from disk.
    ///
    /// # Errors
    /// As [`Mini::load`].
    pub fn mini(device: &Device) -> Result<Self> {
        let Mini { encoder, decoder, prompt_learner, llm } = Mini::load(device)?;
        Self::builder().encoder(encoder).decoder(decoder).prompt_learner(prompt_learner).llm(llm).build(device)
    }
}
