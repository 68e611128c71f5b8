//! From files to an inspector.

use std::path::Path;

use burn::tensor::Device;

use super::{PublishedConfig, PublishedFiles};
use crate::{
    anomaly_gpt::AnomalyGpt,
    compat::Compat,
    decoder::{PatchTextDecoder, PatchTextDecoderConfig},
    encoder::ImageBind,
    error::{Error, Result},
    llm::{
        Llama,
        llama::{LlamaConfig, Precision},
    },
    prompt_learner::{ConvPromptLearner, ConvPromptLearnerConfig},
    text::Tokenizer,
    weights::{Dimension, Layout, Size, TensorSource, check_pairing, check_tokens, keys},
};

/// Layers of the prompt learner's net between two that have weights: a ReLU and a pooling.
const META_NET_STEP: usize = 3;

/// Side of the map that the prompt learner's last convolution takes.
const LAST_MAP: usize = 7;

/// The published model's tensors, wherever they are.
#[derive(Clone, Copy, Debug)]
pub struct PublishedSources<'a> {
    /// ImageBind.
    pub imagebind: &'a dyn TensorSource,
    /// The language model with the adapters merged in.
    pub language_model: &'a dyn TensorSource,
    /// `llama_proj.*`.
    pub projection: &'a dyn TensorSource,
    /// `image_decoder.*` and `prompt_learner.*`.
    pub anomalygpt: &'a dyn TensorSource,
}

/// What is chosen at load.
#[derive(Clone, Debug, PartialEq)]
pub struct PublishedOptions {
    /// What the tensors don't say.
    pub config: PublishedConfig,
    /// How the language model's weights are held.
    pub precision: Precision,
    /// How the model behaves.
    pub compat: Compat,
}

impl AnomalyGpt {
    /// The model that AnomalyGPT's authors published, from its files.
    ///
    /// Large tensors that are used as they are stay in their files: while the model lives, replace these (as `mv` does), don't overwrite them.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Checkpoint`] for files that can't be read or are something else;
    /// [`Error::WeightsMismatch`] with all that is missing, unused or of another shape; [`Error::Pairing`] and
    /// [`Error::Incompatible`] for files of different models; [`Error::Tokenizer`]; [`Error::InvalidConfig`] for a configuration
    /// that does not fit.
    pub fn published(files: PublishedFiles, device: &Device) -> Result<AnomalyGpt<ImageBind, PatchTextDecoder>> {
        let opened = files.open()?;
        let PublishedFiles { config, precision, compat, .. } = files;
        Self::from_published(opened.sources(), &opened.folder, PublishedOptions { config, precision, compat }, device)
    }

    /// The same from tensors that may be anywhere; `config.json` and the tokenizer are in `folder`.
    ///
    /// # Errors
    /// As [`published`](Self::published).
    pub fn from_published(
        sources: PublishedSources<'_>,
        folder: &Path,
        options: PublishedOptions,
        device: &Device,
    ) -> Result<AnomalyGpt<ImageBind, PatchTextDecoder>> {
        let PublishedSources { imagebind, language_model, projection, anomalygpt } = sources;
        let PublishedOptions { config, precision, compat } = options;
        // What is small and may be wrong comes first.
        let llama = LlamaConfig::open(folder)?;
        let tokenizer = Tokenizer::read(folder)?;
        let vocabulary = Size::setting(Dimension::Vocabulary, llama.vocabulary, "vocab_size", &folder.join("config.json"));
        check_pairing(&[imagebind, language_model, projection, anomalygpt], &[vocabulary])?;
        check_tokens(language_model, folder, &tokenizer)?;
        check_names(anomalygpt)?;
        let prompt_learner = prompt_learner(sources, device)?;
        let encoder = ImageBind::load(&config.imagebind(), imagebind, device)?.with_fit(compat.fit);
        let decoder = decoder(anomalygpt, encoder.vision().config().patch, device)?;
        check_widths(&encoder, &decoder)?;
        let llm = Llama::read(&llama, language_model, tokenizer, precision, device)?;
        Self::builder().encoder(encoder).decoder(decoder).prompt_learner(prompt_learner).llm(llm).behaviour(compat.behaviour).build(device)
    }
}

impl AnomalyGpt<ImageBind, PatchTextDecoder> {
    /// The same model, behaving in another way. A memory bank stays as it was made.
    #[must_use]
    pub fn with_compat(self, compat: Compat) -> Self {
        self.map_encoder(|encoder| encoder.with_fit(compat.fit)).with_behaviour(compat.behaviour)
    }
}

/// The decoder's and the encoder's sizes, which come of different files.
fn check_widths(encoder: &ImageBind, decoder: &PatchTextDecoder) -> Result<()> {
    let (left, right) = ("ImageBind", "AnomalyGPT's delta");
    let fits = |expected, found| if expected == found { Ok(()) } else { Err(Error::Incompatible { left, right, expected, found }) };
    let (vision, widths) = (encoder.vision().config(), decoder.tap_widths());
    fits(widths.len(), vision.taps.len())?;
    widths.into_iter().try_for_each(|width| fits(width, vision.width))?;
    let text = decoder.layers().first().map_or(0, |layer| layer.weight.dims()[1]);
    fits(text, encoder.text().config().output)
}

fn check_names(anomalygpt: &dyn TensorSource) -> Result<()> {
    let known = |name: &str| keys::prompt_learner(name).is_some() || name.starts_with(DECODER);
    let unused: Vec<String> = anomalygpt.tensors().keys().filter(|name| !known(name)).cloned().collect();
    if unused.is_empty() {
        return Ok(());
    }
    Err(Error::WeightsMismatch { origin: anomalygpt.origin().display().to_string(), missing: vec![], unused, misfits: vec![] })
}

const DECODER: &str = "image_decoder.";

fn decoder(source: &dyn TensorSource, patch: usize, device: &Device) -> Result<PatchTextDecoder> {
    let mut widths = vec![];
    let mut text_width = 0;
    while let Some(info) = source.tensors().get(&format!("{DECODER}fc.{}.weight", widths.len())) {
        let [text, tap] = matrix(info.shape.as_slice());
        text_width = text;
        widths.push(tap);
    }
    let decoder = PatchTextDecoderConfig::new(widths, text_width, patch).init(device);
    source.state_dict(&|name| name.strip_prefix(DECODER).map(str::to_owned))?.load_into(decoder, Layout::PyTorch)
}

fn prompt_learner(sources: PublishedSources<'_>, device: &Device) -> Result<ConvPromptLearner> {
    let PublishedSources { projection, anomalygpt, .. } = sources;
    let [base_prompts, width] = matrix(&anomalygpt.info("prompt_learner.base_prompts")?.shape);
    let [_, embedding_width] = matrix(&projection.info("llama_proj.weight")?.shape);
    let layer = |index: usize| anomalygpt.tensors().get(&format!("prompt_learner.meta_net.{}.weight", index * META_NET_STEP));
    let outputs: Vec<usize> = (0..).map_while(|index| layer(index)?.shape.first().copied()).collect();
    let channels = outputs.split_last().map(|(_, channels)| channels.to_vec()).unwrap_or_default();
    let map_side = LAST_MAP.checked_shl(channels.len() as u32).unwrap_or_default();
    let config = ConvPromptLearnerConfig::new(width, embedding_width)
        .with_map_side(map_side)
        .with_channels(channels)
        .with_base_prompts(base_prompts);
    let mut state = anomalygpt.state_dict(&keys::prompt_learner)?;
    for name in ["llama_proj.weight", "llama_proj.bias"] {
        state.insert(name, projection.read_f32(name)?);
    }
    state.load_into(config.init(device)?, Layout::PyTorch)
}

/// A matrix's two sizes; zeros for anything else, which loading then reports.
fn matrix(shape: &[usize]) -> [usize; 2] {
    <[usize; 2]>::try_from(shape).unwrap_or_default()
}
