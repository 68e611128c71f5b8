//! Sizes of a LLaMA network, from its own file or from a Hugging Face `config.json`.

use std::{fs::File, io::Read, path::Path};

use burn::{config::Config, tensor::Device};

use super::{network::LlamaNetwork, precision::Precision};
use crate::error::{Error, Result};

/// No `config.json` is longer, in bytes.
const LONGEST: u64 = 1 << 20;

/// Sizes and constants of a [`LlamaNetwork`].
#[derive(Config, Debug, PartialEq)]
pub struct LlamaConfig {
    /// How many tokens the embedding and the head have.
    pub vocabulary: usize,
    /// Width of the embeddings.
    pub hidden: usize,
    /// How many blocks there are.
    pub layers: usize,
    /// How many heads attention has; divides `hidden`.
    pub heads: usize,
    /// How many heads keys and values have; divides `heads`, and is less in grouped-query attention.
    pub key_value_heads: usize,
    /// Width inside a feed-forward net.
    pub feed_forward: usize,
    /// Added to the mean square in RMSNorm.
    #[config(default = 1e-6)]
    pub epsilon: f64,
    /// Base of the rotary frequencies.
    #[config(default = 10000.0)]
    pub rope_theta: f64,
    /// The most positions of prompt and answer together.
    #[config(default = 2048)]
    pub context: usize,
    /// Whether the head is the embedding's matrix.
    #[config(default = false)]
    pub tied: bool,
}

/// The part of a Hugging Face `config.json` that matters here.
#[derive(Config, Debug)]
struct HuggingFace {
    vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    num_key_value_heads: Option<usize>,
    rms_norm_eps: Option<f64>,
    rope_theta: Option<f64>,
    max_position_embeddings: Option<usize>,
    tie_word_embeddings: Option<bool>,
    hidden_act: Option<String>,
    head_dim: Option<usize>,
    attention_bias: Option<bool>,
    mlp_bias: Option<bool>,
    rope_scaling: Option<Rope>,
    /// Where newer files have base and kind together.
    rope_parameters: Option<Rope>,
    model_type: Option<String>,
    sliding_window: Option<usize>,
}

#[derive(Config, Debug)]
struct Rope {
    rope_type: Option<String>,
    rope_theta: Option<f64>,
}

impl LlamaConfig {
    /// Reads the `config.json` of a Hugging Face folder.
    ///
    /// # Errors
    /// [`Error::Io`]; those of [`from_hugging_face`](Self::from_hugging_face), with the file.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join("config.json");
        let io = |source| Error::io(&path, source);
        let mut json = vec![];
        File::open(&path).map_err(io)?.take(LONGEST).read_to_end(&mut json).map_err(io)?;
        Self::from_hugging_face(&json).map_err(|error| match error {
            Error::InvalidConfig { what, reason } => Error::InvalidConfig { what, reason: format!("{}: {reason}", path.display()).into() },
            other => other,
        })
    }

    /// Reads a Hugging Face `config.json` of a LLaMA model.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for anything else, and for what the network here does not do: biases, scaled rotary
    /// frequencies, another activation than SiLU, heads that do not span the width, a window of attention.
    pub fn from_hugging_face(json: &[u8]) -> Result<Self> {
        let found = HuggingFace::load_binary(json).map_err(|error| invalid(error.to_string()))?;
        found.check()?;
        let config = Self {
            vocabulary: found.vocab_size,
            hidden: found.hidden_size,
            layers: found.num_hidden_layers,
            heads: found.num_attention_heads,
            key_value_heads: found.num_key_value_heads.unwrap_or(found.num_attention_heads),
            feed_forward: found.intermediate_size,
            epsilon: found.rms_norm_eps.unwrap_or(1e-6),
            rope_theta: found.rope_theta.or(found.rope_parameters.and_then(|rope| rope.rope_theta)).unwrap_or(10000.0),
            context: found.max_position_embeddings.unwrap_or(2048),
            tied: found.tie_word_embeddings.unwrap_or(false),
        };
        config.check().map(|()| config)
    }

    /// A network with random weights: normal with a deviation of 0.02, as LLaMA's own.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for sizes that do not fit each other.
    pub fn init(&self, device: &Device) -> Result<LlamaNetwork> {
        self.check()?;
        Ok(LlamaNetwork::new(self, device))
    }

    /// Width of one head.
    pub fn head_width(&self) -> usize {
        self.hidden / self.heads.max(1)
    }

    /// How many weights a network has.
    pub fn weights(&self) -> u64 {
        self.embedding_weights() + self.matrix_weights() + self.hidden as u64 * (2 * self.layers as u64 + 1)
    }

    /// Bytes that a network's weights take.
    pub fn bytes(&self, precision: Precision) -> u64 {
        let norms = self.hidden as u64 * (2 * self.layers as u64 + 1);
        precision.of_embedding().bytes(self.embedding_weights()) + precision.bytes(self.matrix_weights()) + Precision::F32.bytes(norms)
    }

    fn embedding_weights(&self) -> u64 {
        self.vocabulary as u64 * self.hidden as u64
    }

    /// Those of attention and feed-forward nets, and of the head.
    fn matrix_weights(&self) -> u64 {
        let rows = 2 * self.hidden + 2 * self.key_value_heads * self.head_width() + 3 * self.feed_forward;
        let head = if self.tied { 0 } else { self.embedding_weights() };
        self.layers as u64 * rows as u64 * self.hidden as u64 + head
    }

    pub(super) fn check(&self) -> Result<()> {
        let sizes = [self.vocabulary, self.hidden, self.layers, self.heads, self.key_value_heads, self.feed_forward, self.context];
        if sizes.contains(&0) {
            return Err(invalid("a size is 0"));
        }
        if !self.hidden.is_multiple_of(self.heads) || !self.head_width().is_multiple_of(2) {
            return Err(invalid(format!("{} heads do not split {} channels into even parts", self.heads, self.hidden)));
        }
        if !self.heads.is_multiple_of(self.key_value_heads) {
            return Err(invalid(format!("{} key and value heads do not divide {} heads", self.key_value_heads, self.heads)));
        }
        if !(self.epsilon > 0.0 && self.epsilon.is_finite() && self.rope_theta > 0.0 && self.rope_theta.is_finite()) {
            return Err(invalid("the norm's epsilon and the rotary base must be positive"));
        }
        Ok(())
    }
}

impl HuggingFace {
    fn check(&self) -> Result<()> {
        let unnamed = if self.rope_scaling.is_some() { "unnamed" } else { "default" };
        let kinds = [&self.rope_scaling, &self.rope_parameters].map(|rope| rope.as_ref().and_then(|rope| rope.rope_type.as_deref()));
        let scaling = kinds.into_iter().flatten().next().unwrap_or(unnamed);
        match () {
            () if self.hidden_act.as_deref().is_some_and(|activation| activation != "silu") => Err(invalid("hidden_act is not silu")),
            () if self.attention_bias == Some(true) || self.mlp_bias == Some(true) => Err(invalid("biases are not supported")),
            () if self.head_dim.is_some_and(|width| width * self.num_attention_heads != self.hidden_size) => {
                Err(invalid("head_dim is not hidden_size / num_attention_heads"))
            }
            () if scaling != "default" => Err(invalid("rope_scaling is not supported")),
            () if self.model_type.as_deref().is_some_and(|kind| kind != "llama") => Err(invalid("model_type is not llama")),
            () if self.sliding_window.is_some() => Err(invalid("sliding_window is not supported")),
            () => Ok(()),
        }
    }
}

fn invalid(reason: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::InvalidConfig { what: "LLaMA configuration", reason: reason.into() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn json(extra: &str) -> Vec<u8> {
        format!(
            r#"{{"vocab_size":32000,"hidden_size":4096,"num_hidden_layers":32,"num_attention_heads":32,"intermediate_size":11008{extra}}}"#
        )
        .into_bytes()
    }

    #[test]
    fn a_hugging_face_file_is_read() {
        let golden = LlamaConfig::from_hugging_face(include_bytes!("../../../tests/golden/data/llama_config.json")).unwrap();
        assert_eq!(golden, LlamaConfig::new(2400, 64, 2, 4, 4, 176));
        let grouped = LlamaConfig::from_hugging_face(&json(r#","num_key_value_heads":8,"rms_norm_eps":1e-5,"rope_theta":5e5,"max_position_embeddings":8192,"tie_word_embeddings":true,"rope_scaling":null"#)).unwrap();
        let expected =
            LlamaConfig::new(32000, 4096, 32, 32, 8, 11008).with_epsilon(1e-5).with_rope_theta(5e5).with_context(8192).with_tied(true);
        assert_eq!(grouped, expected);
        let newer = LlamaConfig::from_hugging_face(&json(r#","rope_parameters":{"rope_type":"default","rope_theta":1e5}"#)).unwrap();
        assert_eq!(newer.rope_theta, 1e5);
        assert_eq!(LlamaConfig::load_binary(grouped.to_string().as_bytes()).unwrap(), grouped);
    }

    #[test]
    fn weights_are_counted() {
        let seven = LlamaConfig::new(32000, 4096, 32, 32, 32, 11008);
        assert_eq!(seven.weights(), 6_738_415_616);
        let gib = |precision| seven.bytes(precision) as f64 / f64::from(1 << 30);
        assert!(gib(Precision::F16) < 12.6 && gib(Precision::Q4) < 3.8, "{} {}", gib(Precision::F16), gib(Precision::Q4));
        let small = LlamaConfig::new(11, 16, 2, 4, 2, 12).with_tied(true);
        assert_eq!(small.weights(), 11 * 16 + 2 * (16 * 16 * 2 + 2 * 8 * 16 + 3 * 12 * 16 + 2 * 16) + 16);
    }

    #[test]
    fn what_is_not_supported_is_refused() {
        for extra in [
            r#","hidden_act":"gelu""#,
            r#","attention_bias":true"#,
            r#","head_dim":64"#,
            r#","rope_scaling":{"rope_type":"llama3","factor":8.0}"#,
            r#","rope_scaling":{"type":"linear","factor":2.0}"#,
            r#","rope_parameters":{"rope_type":"llama3","rope_theta":5e5}"#,
            r#","model_type":"qwen2""#,
            r#","sliding_window":4096"#,
            r#","num_key_value_heads":5"#,
            r#","rms_norm_eps":0.0"#,
        ] {
            assert!(matches!(LlamaConfig::from_hugging_face(&json(extra)), Err(Error::InvalidConfig { .. })), "{extra}");
        }
        assert!(matches!(LlamaConfig::from_hugging_face(b"{}"), Err(Error::InvalidConfig { .. })));
    }

    #[test]
    fn sizes_must_fit() {
        let device = Device::default();
        for config in [LlamaConfig::new(10, 30, 1, 4, 4, 8), LlamaConfig::new(10, 12, 1, 4, 4, 8), LlamaConfig::new(10, 16, 0, 4, 4, 8)] {
            assert!(matches!(config.init(&device), Err(Error::InvalidConfig { .. })), "{config}");
        }
    }
}
