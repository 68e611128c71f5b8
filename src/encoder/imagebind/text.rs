//! ImageBind's text tower: CLIP's causal transformer, read at the end of the sentence.
//!
//! No position sees a later one, so what comes after the end of a sentence is not computed.

use burn::{
    config::Config,
    module::{Module, Param},
    nn::{Embedding, EmbeddingConfig, LayerNorm, Linear, LinearConfig},
    tensor::{Device, Distribution, Int, Tensor, TensorData},
};

use super::{
    block::{Block, BlockSize, norm},
    vision::unit,
};
use crate::error::{Error, Result};

/// Most that sentence vectors are scaled by.
const LARGEST_SCALE: f32 = 100.0;

/// The shape of a [`SentenceTower`].
#[derive(Config, Debug, PartialEq)]
pub struct SentenceTowerConfig {
    /// Token ids.
    pub vocabulary: usize,
    /// The most tokens of a sentence.
    pub context: usize,
    /// Channels of a token.
    pub width: usize,
    /// Transformer blocks.
    pub blocks: usize,
    /// Attention heads; divides `width`.
    pub heads: usize,
    /// Channels inside a feed-forward net.
    pub feed_forward: usize,
    /// Channels of a sentence's vector.
    pub output: usize,
}

/// Sentences to vectors.
#[derive(Module, Debug)]
pub struct SentenceTower {
    token_embedding: Embedding,
    positions: Param<Tensor<3>>,
    blocks: Vec<Block>,
    norm: LayerNorm,
    head: Linear,
    log_logit_scale: Param<Tensor<1>>,
    #[module(skip)]
    config: SentenceTowerConfig,
}

impl SentenceTowerConfig {
    /// A tower with random weights.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for a zero, or heads that don't divide the width.
    pub fn init(&self, device: &Device) -> Result<SentenceTower> {
        let Self { vocabulary, context, width, blocks, heads, feed_forward, output } = *self;
        if [vocabulary, context, width, blocks, heads, feed_forward, output].contains(&0) || !width.is_multiple_of(heads) {
            let reason = format!("{self:?} needs sizes above zero, and heads that divide the width");
            return Err(Error::InvalidConfig { what: "text tower", reason: reason.into() });
        }
        Ok(SentenceTower {
            token_embedding: EmbeddingConfig::new(vocabulary, width).init(device),
            positions: Param::from_tensor(Tensor::random([1, context, width], Distribution::Normal(0.0, 0.02), device)),
            blocks: (0..blocks).map(|_| Block::new(BlockSize { width, heads, feed_forward }, device)).collect(),
            norm: norm(width, device),
            head: LinearConfig::new(width, output).with_bias(false).init(device),
            log_logit_scale: Param::from_tensor(Tensor::zeros([1], device)),
            config: self.clone(),
        })
    }
}

impl SentenceTower {
    /// Its sizes.
    pub fn config(&self) -> &SentenceTowerConfig {
        &self.config
    }

    /// Encodes token ids, one list a sentence, to unit vectors `[sentences, output]`. A sentence is read where its id is the
    /// largest, which the end token's is.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for no sentence, an empty one, one longer than the context, or an id beyond the vocabulary.
    pub fn unit(&self, sentences: &[Vec<u32>]) -> Result<Tensor<2>> {
        let ends = self.ends(sentences)?;
        let longest = ends.iter().copied().max().unwrap_or_default() + 1;
        let padded = sentences.iter().zip(&ends).flat_map(|(ids, end)| {
            let read = ids.iter().take(end + 1).map(|id| i64::from(*id));
            read.chain(std::iter::repeat(0)).take(longest).collect::<Vec<_>>()
        });
        let (count, device) = (sentences.len(), self.positions.val().device());
        let ids = TensorData::new(padded.collect::<Vec<_>>(), [count, longest]);
        let x = self.token_embedding.forward(Tensor::<2, Int>::from_data(ids, &device)) + self.positions.val().narrow(1, 0, longest);
        let mut x = x.reshape([count * longest, self.config.width]);
        for block in &self.blocks {
            x = block.forward(x, longest, true);
        }
        let last: Vec<i64> = ends.iter().enumerate().map(|(row, end)| (row * longest + end) as i64).collect();
        let x = x.select(0, Tensor::<1, Int>::from_data(TensorData::new(last, [count]), &device));
        Ok(unit(self.head.forward(self.norm.forward(x))))
    }

    /// [`unit`](Self::unit) vectors times the learnt scale, at most 100 (`text_tower` of the reference).
    ///
    /// # Errors
    /// As [`unit`](Self::unit).
    pub fn forward(&self, sentences: &[Vec<u32>]) -> Result<Tensor<2>> {
        let scale = self.log_logit_scale.val().exp().clamp_max(LARGEST_SCALE);
        Ok(self.unit(sentences)? * scale.unsqueeze::<2>())
    }

    /// Where each sentence has its largest id, the first time.
    fn ends(&self, sentences: &[Vec<u32>]) -> Result<Vec<usize>> {
        let invalid = |reason: String| Error::InvalidConfig { what: "sentence", reason: reason.into() };
        let SentenceTowerConfig { vocabulary, context, .. } = self.config;
        if sentences.is_empty() {
            return Err(invalid("there is none".into()));
        }
        let end = |ids: &Vec<u32>| {
            if ids.len() > context {
                return Err(invalid(format!("{} tokens are more than the context of {context}", ids.len())));
            }
            let largest = ids.iter().copied().max().ok_or_else(|| invalid("it has no tokens".into()))?;
            if largest as usize >= vocabulary {
                return Err(invalid(format!("token {largest} is beyond the text tower's vocabulary of {vocabulary}")));
            }
            Ok(ids.iter().position(|id| *id == largest).unwrap_or_default())
        };
        sentences.iter().map(end).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Rounding differs with the shapes that matrices are multiplied in.
    const ROUNDING: f32 = 2e-6;

    fn tower() -> SentenceTower {
        let device = Device::default();
        device.seed(7);
        SentenceTowerConfig::new(10, 6, 8, 2, 2, 12, 4).init(&device).unwrap()
    }

    fn numbers(tensor: Tensor<2>) -> Vec<f32> {
        tensor.into_data().try_to_vec().unwrap()
    }

    #[test]
    fn neither_company_nor_what_follows_the_end_changes_a_sentence() {
        let tower = tower();
        let alone = numbers(tower.unit(&[vec![8, 3, 9]]).unwrap());
        let both = numbers(tower.unit(&[vec![8, 1, 2, 4, 5, 9], vec![8, 3, 9, 0, 0, 9]]).unwrap());
        assert!(alone.iter().zip(&both[4..]).all(|(a, b)| (a - b).abs() < ROUNDING), "{alone:?} {both:?}");
        assert!(alone.iter().zip(&both[..4]).any(|(a, b)| (a - b).abs() > ROUNDING));
    }

    #[test]
    fn vectors_are_scaled_up_to_a_hundred() {
        let mut tower = tower();
        let device = Device::default();
        for (log, expected) in [(0.0f32, 1.0f32), (2.0, 2.0f32.exp()), (9.0, 100.0)] {
            tower.log_logit_scale = Param::from_tensor(Tensor::from_data([log], &device));
            let length = numbers(tower.forward(&[vec![8, 9]]).unwrap()).iter().map(|value| value * value).sum::<f32>().sqrt();
            assert!((length / expected - 1.0).abs() < 1e-5, "{length} is not {expected}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        let tower = tower();
        for sentences in [vec![], vec![vec![]], vec![vec![8, 9], vec![10]], vec![vec![1; 7]]] {
            assert!(matches!(tower.unit(&sentences), Err(Error::InvalidConfig { what: "sentence", .. })), "{sentences:?}");
        }
    }
}
