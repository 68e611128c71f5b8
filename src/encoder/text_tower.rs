//! A small net that turns sentences into vectors.
//!
//! Each token, at its position, strengthens or weakens each of some learned concepts, whose shares after all tokens are projected to
//! the output. What tokens say is thus multiplied, not added up: patches are compared with the difference between "damaged" and
//! "flawless", in which whatever a product's name *adds* to both cancels. The tower stands where the published model has
//! ImageBind's text encoder, and is trained with the rest of the embedded model.

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
    /// The most tokens of a sentence; the rest is cut off.
    #[config(default = 32)]
    pub context: usize,
    /// What tokens strengthen and weaken.
    #[config(default = 128)]
    pub concepts: usize,
    /// Channels of the result.
    #[config(default = 128)]
    pub output: usize,
    /// Added to the variance in layer normalisation.
    #[config(default = 1e-5)]
    pub epsilon: f64,
}

/// Sentences to vectors.
#[derive(Module, Debug)]
pub struct TextTower {
    tokens: Embedding,
    positions: Param<Tensor<2>>,
    norm: LayerNorm,
    gates: Linear,
    projection: Linear,
}

impl TextTowerConfig {
    /// A tower with random weights.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for a zero.
    pub fn init(&self, device: &Device) -> Result<TextTower> {
        let Self { vocabulary, width, context, concepts, output, epsilon } = *self;
        if [vocabulary, width, context, concepts, output].contains(&0) {
            let reason = format!("{self:?} needs sizes above zero");
            return Err(Error::InvalidConfig { what: "text tower", reason: reason.into() });
        }
        let small = Initializer::Normal { mean: 0.0, std: 0.02 };
        Ok(TextTower {
            tokens: EmbeddingConfig::new(vocabulary, width).with_initializer(small.clone()).init(device),
            positions: small.init([context, width], device),
            norm: LayerNormConfig::new(width).with_epsilon(epsilon).init(device),
            gates: LinearConfig::new(width, concepts).init(device),
            projection: LinearConfig::new(concepts, output).with_bias(false).init(device),
        })
    }
}

/// By what share a token can strengthen or weaken a concept, below 1.
const GAIN: f64 = 0.7;

impl TextTower {
    /// Encodes `ids`, `[sentences, tokens]` of at most the context's tokens; `keep` is false where there is only padding.
    /// Gives `[sentences, output]`, not normalised.
    ///
    /// # Panics
    /// Where a sentence is longer than the context; [`encode`](Self::encode) cuts.
    pub fn forward(&self, ids: Tensor<2, Int>, keep: Tensor<2, Bool>) -> Tensor<2> {
        self.projection.forward(self.shares(ids, keep))
    }

    /// Shares of the concepts in sentences, `[sentences, concepts]`, each row of sum 1.
    fn shares(&self, ids: Tensor<2, Int>, keep: Tensor<2, Bool>) -> Tensor<2> {
        let tokens = ids.dims()[1];
        let x = self.tokens.forward(ids) + self.positions.val().narrow(0, 0, tokens).unsqueeze::<3>();
        let gains = (self.gates.forward(self.norm.forward(x)).tanh() * GAIN + 1.0).log();
        let gain = (gains * keep.float().unsqueeze_dim::<3>(2)).sum_dim(1);
        activation::softmax(gain.squeeze_dim::<2>(1), 1)
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
    fn what_tokens_say_is_multiplied() {
        let tower = tower();
        let device = Device::default();
        let shares = |keep: [[bool; 2]; 1]| numbers(tower.shares(Tensor::from_data([[5, 6]], &device), Tensor::from_data(keep, &device)));
        let [first, second, both] = [[[true, false]], [[false, true]], [[true, true]]].map(shares);
        let products: Vec<f32> = first.iter().zip(&second).map(|(first, second)| first * second).collect();
        let sum: f32 = products.iter().sum();
        assert!(close(&both, &products.iter().map(|product| product / sum).collect::<Vec<_>>()), "{both:?} {products:?}");
        assert!(!close(&both, &first) && !close(&both, &second));
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
        assert!(TextTowerConfig::new(3, 0).init(&Device::default()).is_err());
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
        for weight in [&tower.gates.weight, &tower.projection.weight] {
            let gradient = weight.val().grad(&gradients).unwrap();
            assert!(gradient.abs().sum().into_scalar::<f32>() > 0.0);
        }
        assert!(tower.positions.val().grad(&gradients).is_some() && tower.tokens.weight.val().grad(&gradients).is_some());
    }
}
