//! Configuration and weights of the embedded model.

use burn::{config::Config, tensor::Device};
use image::DynamicImage;

use crate::{
    anomaly_gpt::{AnomalyGpt, AnomalyGptBuilder},
    compat::Behaviour,
    decoder::{ContextDecoder, ContextDecoderConfig, MemoryBankOptions, PatchTextDecoderConfig},
    encoder::{EfficientNet, EfficientNetEncoder, efficientnet::EfficientNetConfig, text_tower::TextTowerConfig},
    error::{Error, Result},
    llm::{Llama, llama::LlamaConfig},
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
    pub decoder: ContextDecoderConfig,
    /// Map and image to embeddings.
    pub prompt_learner: ConvPromptLearnerConfig,
    /// The language model.
    pub llm: LlamaConfig,
}

/// Widths of the trunk's taps.
const TAP_WIDTHS: [usize; 4] = [112, 112, 192, 192];
/// Widths of the trunk's fine maps.
const FINE_WIDTHS: [usize; 1] = [40];
/// How much each tap counts in the shape of a map against normal images: the first one at stride 32 localizes best.
const MAP_SHARES: [f32; 4] = [1.0, 1.0, 6.0, 1.0];
/// Patches whose mean is compared with normal images, each way: more of a region than texts are compared with.
const NEIGHBOURHOOD: usize = 5;
/// Side of the squares of patches that are compared with normal images as one: 24 pixels, between the strides of the taps.
const COMPARED: usize = 3;
/// Share of the text map in a map against normal images.
const TEXT_WEIGHT: f32 = 0.1;
/// What is added to it where the text finds nothing in the normal images.
const TEXT_TRUST: f32 = 3.0;
/// Side of the squares of patches that are compared with texts as one: the finest tap has a value for each.
const COARSENESS: usize = 2;
/// Values of the map a square, each way: half of its 16 pixels, as the map is interpolated between squares anyway.
const UPSCALE: usize = 8;
/// Channels in which patches meet texts.
const TEXT_WIDTH: usize = 128;
/// Less than half: a softmax over small simulated anomalies is careful.
const TEXT_THRESHOLD: f32 = 0.37;
/// Width of the language model.
const LLM_WIDTH: usize = 128;

impl MiniConfig {
    /// The sizes that are trained and embedded, for a tokenizer of so many tokens.
    pub fn sized_for(vocabulary: usize) -> Self {
        let layers = PatchTextDecoderConfig::new(TAP_WIDTHS.into(), TEXT_WIDTH, UPSCALE).with_threshold(TEXT_THRESHOLD);
        Self {
            text_tower: TextTowerConfig::new(vocabulary, 96).with_output(TEXT_WIDTH),
            decoder: ContextDecoderConfig::new(layers).with_coarseness(COARSENESS).with_fine_widths(FINE_WIDTHS.into()),
            prompt_learner: ConvPromptLearnerConfig::new(LLM_WIDTH, 192)
                .with_map_side(112)
                .with_channels(vec![8, 16, 32, 64])
                .with_coordinates(true),
            llm: LlamaConfig::new(vocabulary, LLM_WIDTH, 4, 4, 4, 352).with_context(1024).with_tied(true),
        }
    }
}

/// The embedded model's stages, to be used one by one or built in with others.
#[derive(Clone, Debug)]
pub struct Mini {
    /// EfficientNet-Lite0 and a text tower.
    pub encoder: EfficientNetEncoder,
    /// Patch-text matching and the memory bank.
    pub decoder: ContextDecoder,
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
        Self::from_bytes(mini_trunk(device)?, MINI_TOKENIZER, MINI_STAGES, device)
    }

    /// Joins a trunk with a tokenizer and trained parts, the bytes of a `tokenizer.json` and of a safetensors file.
    ///
    /// # Errors
    /// [`Error::Tokenizer`], [`Error::Weights`] and [`Error::WeightsMismatch`] for bytes that are not these.
    pub fn from_bytes(trunk: EfficientNet, tokenizer: &[u8], stages: &[u8], device: &Device) -> Result<Self> {
        let tokenizer = Tokenizer::from_bytes(tokenizer)?;
        let config = MiniConfig::sized_for(tokenizer.vocabulary());
        let state = StateDict::from_safetensors("the trained parts", stages)?;
        let text_tower = state.under("text_tower.").load_into(config.text_tower.init(device)?, Layout::Burn)?;
        let network = state.under("llm.").load_into(config.llm.init(device)?, Layout::Burn)?;
        Ok(Self {
            encoder: EfficientNetEncoder::new(trunk, text_tower, tokenizer.clone()),
            decoder: state.under("decoder.").load_into(config.decoder.init(device), Layout::Burn)?,
            prompt_learner: state.under("prompt_learner.").load_into(config.prompt_learner.init(device)?, Layout::Burn)?,
            llm: Llama::new(network, tokenizer)?,
        })
    }

    /// A builder with all four stages, any of which may be replaced, that compares with normal photographs as the language model heard
    /// it in training.
    pub fn builder(self) -> AnomalyGptBuilder<EfficientNetEncoder, ContextDecoder, ConvPromptLearner, Llama> {
        let normals = MemoryBankOptions {
            neighbourhood: NEIGHBOURHOOD,
            coarseness: COMPARED,
            text_weight: TEXT_WEIGHT,
            text_trust: TEXT_TRUST,
            map_shares: MAP_SHARES.into(),
            ..MemoryBankOptions::default()
        };
        let Self { encoder, decoder, prompt_learner, llm } = self;
        let builder = AnomalyGpt::builder().encoder(encoder).decoder(decoder).prompt_learner(prompt_learner).llm(llm);
        builder.behaviour(Behaviour { normals, ..Behaviour::default() })
    }
}

/// The embedded model's image trunk.
///
/// # Errors
/// As [`Mini::load`].
pub fn mini_trunk(device: &Device) -> Result<EfficientNet> {
    EfficientNet::from_state(&EfficientNetConfig::lite0(), &StateDict::from_safetensors("the embedded trunk", MINI_TRUNK)?, device)
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
        Self::from_mini(Mini::load(device)?, device)
    }

    /// A model of the embedded one's shape, from its parts.
    ///
    /// # Errors
    /// [`Error::Incompatible`] where they do not fit each other.
    pub fn from_mini(mini: Mini, device: &Device) -> Result<Self> {
        mini.builder().build(device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the weights may take of whoever embeds the crate.
    const TEN_MEGABYTES: usize = 10_000_000;

    #[test]
    fn the_embedded_model_is_under_ten_megabytes() {
        assert!(MINI_TRUNK.len() + MINI_TOKENIZER.len() + MINI_STAGES.len() < TEN_MEGABYTES);
    }
}
