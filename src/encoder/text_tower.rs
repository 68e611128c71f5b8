//! A small transformer that turns sentences into vectors.
//!
//! Pre-norm and bidirectional, with learned positions; the mean over a sentence's tokens is projected to the output. It stands
//! where the published model has ImageBind's text encoder, and is trained with the rest of the embedded model.

use burn::{
    config::Config,
    module::{Module, Param},
    nn::{Embedding, EmbeddingConfig, Initializer, LayerNorm, LayerNormConfig, Linear, LinearConfig},
    tensor::{Bool, Device, Int, Tensor, TensorData, activation},
};

use crate::{
    error::{Error, Result},
    text::Tokenizer,
};

/// The shape of a [`TextTower`].
#[derive(Config, Debug, PartialEq)]
pub struct TextTowerConfig {
    /// Token ids.
    pub vocabulary: usize,
    /// Channels of a token.
    pub width: usize,
    /// Transformer blocks.
    #[config(default = 2)]
    pub layers: usize,
    /// Attention heads; divides `width`.
    #[config(default = 4)]
    pub heads: usize,
    /// The most tokens of a sentence; the rest is cut off.
    #[config(default = 32)]
    pub context: usize,
    /// Channels of the result.
    #[config(default = 128)]
    pub output: usize,
    /// Added to the variance in layer normalisation.
    #[config(default = 1e-5)]
    pub epsilon: f64,
}

/// Attention and a feed-forward network, each after a norm and beside a shortcut.
#[derive(Module, Debug)]
struct Block {
    attention_norm: LayerNorm,
    attention_in: Linear,
    attention_out: Linear,
    feed_norm: LayerNorm,
    feed_in: Linear,
    feed_out: Linear,
    heads: usize,
}

/// Sentences to vectors.
#[derive(Module, Debug)]
pub struct TextTower {
    tokens: Embedding,
    positions: Param<Tensor<2>>,
    blocks: Vec<Block>,
    norm: LayerNorm,
    projection: Linear,
}

impl TextTowerConfig {
    /// A tower with random weights.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for a zero, or heads that don't divide the width.
    pub fn init(&self, device: &Device) -> Result<TextTower> {
        let Self { vocabulary, width, heads, context, output, .. } = *self;
        if [vocabulary, width, heads, context, output].contains(&0) || !width.is_multiple_of(heads) {
            let reason = format!("{self:?} needs sizes above zero, and heads that divide the width");
            return Err(Error::InvalidConfig { what: "text tower", reason: reason.into() });
        }
        let small = Initializer::Normal { mean: 0.0, std: 0.02 };
        Ok(TextTower {
            tokens: EmbeddingConfig::new(vocabulary, width).with_initializer(small.clone()).init(device),
            positions: small.init([context, width], device),
            blocks: (0..self.layers).map(|_| self.block(device)).collect(),
            norm: self.norm(device),
            projection: LinearConfig::new(width, output).with_bias(false).init(device),
        })
    }

    fn norm(&self, device: &Device) -> LayerNorm {
        LayerNormConfig::new(self.width).with_epsilon(self.epsilon).init(device)
    }

    fn block(&self, device: &Device) -> Block {
        let linear = |inputs, outputs| LinearConfig::new(inputs, outputs).init(device);
        Block {
            attention_norm: self.norm(device),
            attention_in: linear(self.width, 3 * self.width),
            attention_out: linear(self.width, self.width),
            feed_norm: self.norm(device),
            feed_in: linear(self.width, 4 * self.width),
            feed_out: linear(4 * self.width, self.width),
            heads: self.heads,
        }
    }
}

impl Block {
    /// `x` is `[sentences, tokens, width]`, `hidden` `[sentences, heads, tokens, tokens]`, true where a key is padding.
    fn forward(&self, x: Tensor<3>, hidden: &Tensor<4, Bool>) -> Tensor<3> {
        let x = x.clone() + self.attend(self.attention_norm.forward(x), hidden);
        let feed = self.feed_in.forward(self.feed_norm.forward(x.clone()));
        x + self.feed_out.forward(activation::gelu(feed))
    }

    fn attend(&self, x: Tensor<3>, hidden: &Tensor<4, Bool>) -> Tensor<3> {
        let [sentences, tokens, width] = x.dims();
        let size = width / self.heads;
        let heads = self.attention_in.forward(x).reshape([sentences, tokens, 3, self.heads, size]).permute([2, 0, 3, 1, 4]);
        let part = |index| heads.clone().narrow(0, index, 1).squeeze_dim::<4>(0);
        let scores = part(0).matmul(part(1).transpose()) * (1.0 / (size as f64).sqrt());
        let weights = activation::softmax(scores.mask_fill(hidden.clone(), HIDDEN), 3);
        self.attention_out.forward(weights.matmul(part(2)).swap_dims(1, 2).reshape([sentences, tokens, width]))
    }
}

/// Score of a hidden key: its weight underflows to an exact zero.
const HIDDEN: f32 = -1e9;

impl TextTower {
    /// Encodes `ids`, `[sentences, tokens]` of at most the context's tokens; `keep` is false where there is only padding.
    /// Gives `[sentences, output]`, not normalised.
    ///
    /// # Panics
    /// Where a sentence is longer than the context; [`encode`](Self::encode) cuts.
    pub fn forward(&self, ids: Tensor<2, Int>, keep: Tensor<2, Bool>) -> Tensor<2> {
        let [sentences, tokens] = ids.dims();
        let heads = self.blocks.first().map_or(1, |block| block.heads);
        let hidden = keep.clone().bool_not().unsqueeze_dims::<4>(&[1, 2]).expand([sentences, heads, tokens, tokens]);
        let positions = self.positions.val().narrow(0, 0, tokens).unsqueeze::<3>();
        let mut x = self.tokens.forward(ids) + positions;
        for block in &self.blocks {
            x = block.forward(x, &hidden);
        }
        let keep = keep.float().unsqueeze_dim::<3>(2);
        let count = keep.clone().sum_dim(1).clamp_min(1.0);
        let mean = (self.norm.forward(x) * keep).sum_dim(1) / count;
        self.projection.forward(mean.squeeze_dim::<2>(1))
    }

    /// [`forward`](Self::forward) to unit vectors.
    pub fn unit(&self, ids: Tensor<2, Int>, keep: Tensor<2, Bool>) -> Tensor<2> {
        let vectors = self.forward(ids, keep);
        let norm = (vectors.clone().square().sum_dim(1) + NORM_EPSILON).sqrt();
        vectors / norm
    }

    /// Encodes sentences to unit vectors, `[sentences, output]`. A sentence longer than the context is cut.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] for a sentence that can't be tokenized; [`Error::InvalidConfig`] for none, one without a token, or a
    /// tokenizer with more tokens than the tower knows.
    pub fn encode(&self, tokenizer: &Tokenizer, texts: &[&str]) -> Result<Tensor<2>> {
        let (ids, keep) = self.batch(tokenizer, texts)?;
        Ok(self.unit(ids, keep))
    }

    /// The tensors that [`forward`](Self::forward) takes, padded to the longest sentence.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn batch(&self, tokenizer: &Tokenizer, texts: &[&str]) -> Result<(Tensor<2, Int>, Tensor<2, Bool>)> {
        let [context, _] = self.positions.val().dims();
        let [vocabulary, _] = self.tokens.weight.val().dims();
        let mut rows = texts.iter().map(|text| tokenizer.encode(text)).collect::<Result<Vec<_>>>()?;
        rows.iter_mut().for_each(|row| row.truncate(context));
        let invalid = |reason: String| Error::InvalidConfig { what: "sentence", reason: reason.into() };
        if let Some(at) = rows.iter().position(Vec::is_empty) {
            return Err(invalid(format!("{:?} has no tokens", texts[at])));
        }
        if let Some(id) = rows.iter().flatten().find(|id| **id as usize >= vocabulary) {
            return Err(invalid(format!("token {id} is beyond the text tower's vocabulary of {vocabulary}")));
        }
        let longest = rows.iter().map(Vec::len).max().ok_or_else(|| invalid("there is none".into()))?;
        let padded = |row: &Vec<u32>| (0..longest).map(|at| row.get(at).map_or(0, |id| i64::from(*id))).collect::<Vec<_>>();
        let ids: Vec<i64> = rows.iter().flat_map(padded).collect();
        let keep: Vec<bool> = rows.iter().flat_map(|row| (0..longest).map(|at| at < row.len())).collect();
        let (shape, device) = ([rows.len(), longest], self.positions.val().device());
        Ok((Tensor::from_data(TensorData::new(ids, shape), &device), Tensor::from_data(TensorData::new(keep, shape), &device)))
    }
}

/// Keeps the gradient of a zero vector's length finite; far below a vector's squared length.
const NORM_EPSILON: f64 = 1e-12;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Rounding differs with the shapes that matrices are multiplied in.
    const ROUNDING: f32 = 2e-6;

    const WORDS: &str = r#"{"version":"1.0","added_tokens":[],"normalizer":null,"pre_tokenizer":{"type":"Whitespace"},"decoder":null,
        "model":{"type":"WordLevel","unk_token":"?","vocab":{"?":0,"a":1,"photo":2,"of":3,"flawless":4,"damaged":5,"bottle":6}}}"#;

    fn config() -> TextTowerConfig {
        TextTowerConfig::new(7, 16).with_context(8).with_output(12)
    }

    fn tower() -> TextTower {
        let device = Device::default();
        device.seed(7);
        config().init(&device).unwrap()
    }

    fn words() -> Tokenizer {
        Tokenizer::from_bytes(WORDS.as_bytes()).unwrap()
    }

    fn numbers(tensor: Tensor<2>) -> Vec<f32> {
        tensor.into_data().try_to_vec().unwrap()
    }

    fn close(left: &[f32], right: &[f32]) -> bool {
        left.len() == right.len() && left.iter().zip(right).all(|(left, right)| (left - right).abs() < ROUNDING)
    }

    #[test]
    fn neither_padding_nor_company_changes_a_sentence() {
        let (tower, words) = (tower(), words());
        let alone = numbers(tower.encode(&words, &["a damaged bottle"]).unwrap());
        let both = numbers(tower.encode(&words, &["a photo of a flawless bottle", "a damaged bottle"]).unwrap());
        let swapped = numbers(tower.encode(&words, &["a damaged bottle", "of", "bottle"]).unwrap());
        assert!(close(&alone, &both[12..]), "{alone:?} {both:?}");
        assert!(close(&alone, &swapped[..12]), "{alone:?} {swapped:?}");
        assert!(!close(&both[..12], &both[12..]));
    }

    #[test]
    fn padding_ids_are_not_seen() {
        let tower = tower();
        let device = Device::default();
        let keep = Tensor::<2, Bool>::from_data([[true, true, false]], &device);
        let one = tower.forward(Tensor::from_data([[1, 5, 0]], &device), keep.clone());
        let other = tower.forward(Tensor::from_data([[1, 5, 6]], &device), keep);
        assert_eq!(numbers(one), numbers(other));
    }

    #[test]
    fn words_and_their_order_count() {
        let (tower, words) = (tower(), words());
        let all = numbers(tower.encode(&words, &["flawless bottle", "damaged bottle", "bottle damaged"]).unwrap());
        assert!(!close(&all[..12], &all[12..24]) && !close(&all[12..24], &all[24..]));
        assert!(all.chunks_exact(12).all(|row| (row.iter().map(|value| value * value).sum::<f32>() - 1.0).abs() < 1e-5));
    }

    #[test]
    fn long_sentences_are_cut_at_the_context() {
        let (tower, words) = (tower(), words());
        let long = numbers(tower.encode(&words, &["a a a a a a a a bottle bottle"]).unwrap());
        assert!(close(&long, &numbers(tower.encode(&words, &["a a a a a a a a"]).unwrap())));
    }

    #[test]
    fn what_cannot_be_encoded_is_an_error() {
        let (tower, words) = (tower(), words());
        assert!(matches!(tower.encode(&words, &[]), Err(Error::InvalidConfig { what: "sentence", .. })));
        assert!(matches!(tower.encode(&words, &["a", ""]), Err(Error::InvalidConfig { what: "sentence", .. })));
        let small = TextTowerConfig::new(3, 16).init(&Device::default()).unwrap();
        assert!(small.encode(&words, &["bottle"]).unwrap_err().to_string().contains("vocabulary of 3"));
        assert!(TextTowerConfig::new(3, 15).init(&Device::default()).is_err());
    }

    #[test]
    fn epsilon_reaches_the_norms() {
        let device = Device::default();
        let norm = |epsilon| config().with_epsilon(epsilon).init(&device).unwrap().norm;
        let x = Tensor::<2>::from_data(TensorData::new([1e-3f32, -1e-3].repeat(8), [1, 16]), &device);
        assert!(!close(&numbers(norm(1e-5).forward(x.clone())), &numbers(norm(1e-6).forward(x))));
    }

    #[cfg(feature = "train")]
    #[test]
    fn every_parameter_has_a_gradient() {
        let device = Device::default().autodiff();
        let tower = config().init(&device).unwrap();
        let (ids, keep) = tower.batch(&words(), &["a damaged bottle", "of"]).unwrap();
        let gradients = tower.unit(ids, keep).narrow(1, 0, 1).sum().backward();
        let block = &tower.blocks[0];
        for weight in [&block.attention_in.weight, &block.attention_out.weight, &block.feed_in.weight, &tower.projection.weight] {
            let gradient = weight.val().grad(&gradients).unwrap();
            assert!(gradient.abs().sum().into_scalar::<f32>() > 0.0);
        }
        assert!(tower.positions.val().grad(&gradients).is_some() && tower.tokens.weight.val().grad(&gradients).is_some());
    }
}
