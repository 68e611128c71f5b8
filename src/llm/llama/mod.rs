//! LLaMA: RMSNorm, half-split rotary positions, SwiGLU, grouped-query attention, key-value cache.

mod attention;
mod cache;
mod config;
mod feed_forward;
mod gguf;
mod host;
mod linear;
mod load;
mod network;
mod precision;
mod rotary;
#[cfg(test)]
mod tests;

pub use cache::KeyValueCache;
pub use config::LlamaConfig;
pub use network::LlamaNetwork;
pub use precision::Precision;

use std::{ops::ControlFlow, path::Path};

use burn::tensor::{Device, Int, Tensor, TensorData};

use super::{GenerateOptions, Llm, Segment, generate::Generation, sampling::log_probability};
use crate::{
    device::host,
    error::{Error, Result},
    text::Tokenizer,
    weights::{Checkpoint, StateDict, TensorSource},
};
use gguf::{GgufLlama, Vocabulary};

/// A LLaMA network with its tokenizer. Prompts begin with `<s>`, once; answers end at `</s>`. (A GGUF file can name other tokens,
/// and no beginning at all.)
///
/// The tokenizer's ids count, not those of `config.json`, which are wrong in some published files.
#[derive(Clone, Debug)]
pub struct Llama {
    network: LlamaNetwork,
    tokenizer: Tokenizer,
    beginning: Option<u32>,
    end: u32,
    device: Device,
}

impl Llama {
    /// Joins a network and its tokenizer.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for a tokenizer without `<s>` or `</s>`; [`Error::Incompatible`] for one of more tokens than the network has.
    pub fn new(network: LlamaNetwork, tokenizer: Tokenizer) -> Result<Self> {
        let id = |piece| {
            let reason = || format!("it has no token {piece}").into();
            tokenizer.id(piece).ok_or_else(|| Error::InvalidConfig { what: "tokenizer", reason: reason() })
        };
        let vocabulary = Vocabulary { beginning: Some(id("<s>")?), end: id("</s>")?, tokenizer };
        Self::with_vocabulary(network, vocabulary)
    }

    fn with_vocabulary(network: LlamaNetwork, vocabulary: Vocabulary) -> Result<Self> {
        let Vocabulary { tokenizer, beginning, end } = vocabulary;
        let (found, expected) = (tokenizer.vocabulary(), network.config().vocabulary);
        if found > expected {
            return Err(Error::Incompatible { left: "the tokenizer", right: "the language model", expected, found });
        }
        let device = network.device();
        Ok(Self { network, tokenizer, beginning, end, device })
    }

    /// Reads a Hugging Face folder: `config.json`, `tokenizer.json` or `tokenizer.model`, and weights in `.safetensors` or `.bin`, sharded
    /// or not.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Checkpoint`], [`Error::Tokenizer`], all with the file; those of [`read`](Self::read).
    pub fn open(folder: impl AsRef<Path>, precision: Precision, device: &Device) -> Result<Self> {
        let folder = folder.as_ref();
        let config = LlamaConfig::open(folder)?;
        Self::read(&config, &Checkpoint::open(folder)?, Tokenizer::read(folder)?, precision, device)
    }

    /// Reads a GGUF file, tokenizer included. Its blocks keep their values in a form of as many bits or more.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Checkpoint`], [`Error::Tokenizer`]; those of [`LlamaNetwork::read`].
    pub fn open_gguf(file: impl AsRef<Path>, precision: Precision, device: &Device) -> Result<Self> {
        let file = GgufLlama::open(file.as_ref())?;
        let vocabulary = file.vocabulary()?;
        Self::with_vocabulary(LlamaNetwork::read(file.config(), &file, precision, device)?, vocabulary)
    }

    /// Reads weights with Hugging Face's names, one tensor after the other.
    ///
    /// # Errors
    /// Those of [`LlamaNetwork::read`] and of [`new`](Self::new).
    pub fn read(
        config: &LlamaConfig,
        source: &dyn TensorSource,
        tokenizer: Tokenizer,
        precision: Precision,
        device: &Device,
    ) -> Result<Self> {
        Self::new(LlamaNetwork::read(config, source, precision, device)?, tokenizer)
    }

    /// Loads a small checkpoint with Hugging Face's names, in `f32`.
    ///
    /// # Errors
    /// Those of [`LlamaNetwork::load`] and of [`new`](Self::new).
    pub fn load(config: &LlamaConfig, weights: &StateDict, tokenizer: Tokenizer, device: &Device) -> Result<Self> {
        Self::new(LlamaNetwork::load(config, weights, device)?, tokenizer)
    }

    /// The network.
    pub fn network(&self) -> &LlamaNetwork {
        &self.network
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The id that prompts begin with, where they do.
    pub fn beginning(&self) -> Option<u32> {
        self.beginning
    }

    /// The id that ends an answer.
    pub fn end(&self) -> u32 {
        self.end
    }

    /// Input embeddings of a prompt, `[1, positions, width]`, with the beginning token before it.
    ///
    /// # Errors
    /// [`Error::Tokenizer`]; [`Error::Incompatible`] for embeddings of another width or of more than one prompt;
    /// [`Error::InvalidConfig`] for a prompt of nothing.
    pub fn embed(&self, prompt: &[Segment<'_>]) -> Result<Tensor<3>> {
        let mut ids: Vec<u32> = self.beginning.into_iter().collect();
        let mut parts = vec![];
        for segment in prompt {
            match segment {
                Segment::Text(text) => ids.extend(self.tokenizer.encode(text)?),
                Segment::Embeddings(embeddings) => {
                    let [batch, _, width] = embeddings.dims();
                    for (left, expected, found) in [("the prompt's batch", 1, batch), ("the prompt's embeddings", self.width(), width)] {
                        if expected != found {
                            return Err(Error::Incompatible { left, right: "the language model", expected, found });
                        }
                    }
                    parts.extend(self.embed_ids(&std::mem::take(&mut ids)));
                    parts.push(embeddings.clone());
                }
            }
        }
        parts.extend(self.embed_ids(&ids));
        if parts.is_empty() {
            return Err(Error::InvalidConfig { what: "prompt", reason: "it is empty".into() });
        }
        Ok(Tensor::cat(parts, 1))
    }

    /// Input embeddings of one token, `[1, 1, width]`; its id is below the vocabulary.
    pub(crate) fn embed_token(&self, id: u32) -> Tensor<3> {
        self.network.embed(Tensor::<2, Int>::from_data(TensorData::new(vec![i64::from(id)], [1, 1]), &self.device))
    }

    fn embed_ids(&self, ids: &[u32]) -> Option<Tensor<3>> {
        let data = || TensorData::new(ids.iter().map(|id| i64::from(*id)).collect(), [1, ids.len()]);
        (!ids.is_empty()).then(|| self.network.embed(Tensor::<2, Int>::from_data(data(), &self.device)))
    }

    /// Logits after the last of `ids`, of which there is at least one.
    fn step(&self, ids: &[u32], cache: &mut KeyValueCache) -> Result<Vec<f32>> {
        match self.embed_ids(ids) {
            Some(embeddings) => host("the language model", self.network.last(embeddings, Some(cache))?),
            None => Ok(vec![]),
        }
    }

    /// Logits of the first token after a prompt, and the prompt's keys and values.
    fn read_prompt(&self, prompt: &[Segment<'_>]) -> Result<(Vec<f32>, KeyValueCache)> {
        let mut cache = KeyValueCache::default();
        let first = host("the language model", self.network.last(self.embed(prompt)?, Some(&mut cache))?)?;
        Ok((first, cache))
    }

    /// Goes on from the first token's logits after a prompt that is in `cache`.
    fn answer(
        &self,
        first: Vec<f32>,
        mut cache: KeyValueCache,
        options: &GenerateOptions,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<String> {
        // The last token of an answer is not read, and takes no position.
        let room = (self.network.config().context + 1).saturating_sub(cache.len());
        let generation = Generation { tokenizer: &self.tokenizer, end: self.end, options, room };
        generation.run(first, |id| self.step(&[id], &mut cache), on_text)
    }

    /// Log-probabilities of continuations of a prompt that is in `cache`, and whose next token has the logits `first`.
    fn scores(&self, first: &[f32], cache: &KeyValueCache, continuations: &[&str]) -> Result<Vec<f32>> {
        continuations.iter().map(|continuation| self.score(first, cache, continuation)).collect()
    }

    /// Log-probability of a continuation whose first token has the logits `first`, and whose prompt is in `cache`.
    fn score(&self, first: &[f32], cache: &KeyValueCache, continuation: &str) -> Result<f32> {
        let ids = self.tokenizer.encode(continuation)?;
        let Some((last, read)) = ids.split_last() else { return Ok(0.0) };
        let mut logits = first.to_vec();
        if let Some(embeddings) = self.embed_ids(read) {
            logits.extend(host("the language model", self.network.forward(embeddings, Some(&mut cache.clone()), None)?)?);
        }
        let rows = logits.chunks_exact(first.len().max(1));
        let sum: Result<f64> = rows.zip(read.iter().chain([last])).map(|(logits, id)| log_probability(logits, *id)).sum();
        Ok(sum? as f32)
    }
}

impl Llm for Llama {
    fn width(&self) -> usize {
        self.network.config().hidden
    }

    fn generate(
        &self,
        prompt: &[Segment<'_>],
        options: &GenerateOptions,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<String> {
        options.check()?;
        let (first, cache) = self.read_prompt(prompt)?;
        self.answer(first, cache, options, on_text)
    }

    fn log_likelihood(&self, prompt: &[Segment<'_>], continuations: &[&str]) -> Result<Vec<f32>> {
        let (first, cache) = self.read_prompt(prompt)?;
        self.scores(&first, &cache, continuations)
    }

    fn score_and_generate(
        &self,
        prompt: &[Segment<'_>],
        continuations: &[&str],
        options: &GenerateOptions,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<(Vec<f32>, String)> {
        options.check()?;
        let (first, cache) = self.read_prompt(prompt)?;
        let scores = self.scores(&first, &cache, continuations)?;
        Ok((scores, self.answer(first, cache, options, on_text)?))
    }
}
