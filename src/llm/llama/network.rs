//! The network: token embedding, blocks, final norm, head.

use burn::{
    module::Module,
    nn::{Initializer, RmsNorm, RmsNormConfig},
    tensor::{Bool, Device, Int, Tensor},
};

use super::{
    attention::{Attention, Pass},
    cache::KeyValueCache,
    config::LlamaConfig,
    feed_forward::FeedForward,
    linear::{Embedding, Linear},
    precision::Precision,
    rotary::Rotary,
};
use crate::{
    error::{Error, Result},
    weights::{Layout, StateDict, keys},
};

const INITIAL: Initializer = Initializer::Normal { mean: 0.0, std: 0.02 };

#[derive(Module, Debug)]
pub(super) struct Block {
    pub(super) attention_norm: RmsNorm,
    pub(super) attention: Attention,
    pub(super) feed_forward_norm: RmsNorm,
    pub(super) feed_forward: FeedForward,
}

/// LLaMA over input embeddings; differentiable on a device with autodiff.
///
/// Activations are in `f32`; weights are in the form that [`precision`](Self::precision) tells.
#[derive(Module, Debug)]
pub struct LlamaNetwork {
    embedding: Embedding,
    blocks: Vec<Block>,
    norm: RmsNorm,
    /// `None` where the head is the embedding's matrix.
    head: Option<Linear>,
    rotary: Rotary,
    #[module(skip)]
    config: LlamaConfig,
    #[module(skip)]
    precision: Precision,
}

impl LlamaNetwork {
    pub(super) fn new(config: &LlamaConfig, device: &Device) -> Self {
        let LlamaConfig { vocabulary, hidden, heads, key_value_heads, feed_forward, .. } = *config;
        let norm = || RmsNormConfig::new(hidden).with_epsilon(config.epsilon).init(device);
        let linear = |input, output| Linear::new(input, output, &INITIAL, device);
        let block = || Block {
            attention_norm: norm(),
            attention: Attention::new(linear(hidden, (heads + 2 * key_value_heads) * config.head_width()), linear(hidden, hidden), config),
            feed_forward_norm: norm(),
            feed_forward: FeedForward::new(linear(hidden, 2 * feed_forward), linear(feed_forward, hidden)),
        };
        let embedding = Embedding::new(vocabulary, hidden, &INITIAL, device);
        let blocks = (0..config.layers).map(|_| block()).collect();
        let head = (!config.tied).then(|| linear(hidden, vocabulary));
        Self::from_parts(config, embedding, blocks, norm(), head, Precision::F32, device)
    }

    pub(super) fn from_parts(
        config: &LlamaConfig,
        embedding: Embedding,
        blocks: Vec<Block>,
        norm: RmsNorm,
        head: Option<Linear>,
        precision: Precision,
        device: &Device,
    ) -> Self {
        let rotary = Rotary::new(config.context, config.head_width(), config.rope_theta, device);
        Self { embedding, blocks, norm, head, rotary, config: config.clone(), precision }
    }

    /// A network with the weights of a checkpoint under Hugging Face's names (`model.layers.0.self_attn.q_proj.weight`, ...).
    ///
    /// # Errors
    /// [`Error::WeightsMismatch`] with all that is missing, unused or of another shape; [`Error::InvalidConfig`].
    pub fn load(config: &LlamaConfig, weights: &StateDict, device: &Device) -> Result<Self> {
        let network = config.init(device)?;
        keys::llama(weights, config)?.load_into(network, Layout::PyTorch)
    }

    /// Where its weights are.
    pub fn device(&self) -> Device {
        self.norm.gamma.val().device()
    }

    /// How its weights are held.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Its sizes.
    pub fn config(&self) -> &LlamaConfig {
        &self.config
    }

    /// Embeddings `[batch, positions, hidden]` of token ids `[batch, positions]`, each below [`LlamaConfig::vocabulary`].
    pub fn embed(&self, ids: Tensor<2, Int>) -> Tensor<3> {
        self.embedding.forward(ids)
    }

    /// Logits `[batch, positions, vocabulary]` of input embeddings `[batch, positions, hidden]`.
    ///
    /// With a cache, of the same batch, the positions follow those that it holds, and are added to it. `keep`, `[batch, cached + positions]`,
    /// is false at padding, which no other position then sees. (Padding on the right needs none, as long as what is computed at
    /// padded positions is not used: no position sees what comes after it.)
    ///
    /// # Errors
    /// [`Error::ContextOverflow`] for more positions than the context; [`Error::InvalidConfig`] for none;
    /// [`Error::Incompatible`] for embeddings of another width.
    pub fn forward(&self, embeddings: Tensor<3>, cache: Option<&mut KeyValueCache>, keep: Option<Tensor<2, Bool>>) -> Result<Tensor<3>> {
        Ok(self.head(self.states(embeddings, cache, keep)?))
    }

    /// Logits `[batch, vocabulary]` of the last position only; see [`forward`](Self::forward).
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn last(&self, embeddings: Tensor<3>, cache: Option<&mut KeyValueCache>) -> Result<Tensor<2>> {
        let states = self.states(embeddings, cache, None)?;
        let [batch, positions, width] = states.dims();
        Ok(self.head(states.narrow(1, positions - 1, 1).reshape([batch, width])))
    }

    /// What the blocks make of input embeddings, `[batch, positions, hidden]`, for [`head`](Self::head); see [`forward`](Self::forward).
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn states(&self, embeddings: Tensor<3>, mut cache: Option<&mut KeyValueCache>, keep: Option<Tensor<2, Bool>>) -> Result<Tensor<3>> {
        let [batch, positions, width] = embeddings.dims();
        let past = cache.as_ref().map_or(0, |cache| cache.len());
        self.check(past, positions, width, keep.as_ref())?;
        let pass = Pass::new(self.rotary.at(past, positions), keep, self.config.heads, positions);
        // Two axes only: with three, a weight that is a transposed view would be copied at each use.
        let mut x = embeddings.reshape([batch * positions, width]);
        for (layer, block) in self.blocks.iter().enumerate() {
            x = x.clone() + block.attention.forward(block.attention_norm.forward(x), &pass, cache.as_deref_mut(), layer);
            x = x.clone() + block.feed_forward.forward(block.feed_forward_norm.forward(x));
        }
        Ok(x.reshape([batch, positions, width]))
    }

    /// Logits of [`states`](Self::states) or of a part of them: `[..., hidden]` to `[..., vocabulary]`.
    pub fn head<const D: usize>(&self, states: Tensor<D>) -> Tensor<D> {
        let mut shape = states.dims();
        let rows = shape[..D - 1].iter().product::<usize>();
        let states = self.norm.forward(states.reshape([rows, self.config.hidden]));
        let logits = match &self.head {
            Some(head) => head.forward(states),
            None => self.embedding.logits(states),
        };
        shape[D - 1] = self.config.vocabulary;
        logits.reshape(shape)
    }

    fn check(&self, past: usize, new: usize, width: usize, keep: Option<&Tensor<2, Bool>>) -> Result<()> {
        let positions = past + new;
        let incompatible = |left, expected, found| Err(Error::Incompatible { left, right: "the language model", expected, found });
        if new == 0 {
            return Err(Error::InvalidConfig { what: "embeddings", reason: "they have no positions".into() });
        }
        if positions > self.config.context {
            return Err(Error::ContextOverflow { needed: positions, capacity: self.config.context });
        }
        if width != self.config.hidden {
            return incompatible("the embeddings' width", self.config.hidden, width);
        }
        match keep.map(|keep| keep.dims()[1]) {
            Some(kept) if kept != positions => incompatible("the padding mask", positions, kept),
            _ => Ok(()),
        }
    }
}
