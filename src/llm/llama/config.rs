//! Sizes of a LLaMA network, from its own file or from a Hugging Face `config.json`.

use burn::{config::Config, tensor::Device};

use super::network::LlamaNetwork;
use crate::error::{Error, Result};

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
    rope_scaling: Option<RopeScaling>,
}

#[derive(Config, Debug)]
struct RopeScaling {
    rope_type: Option<String>,
}

impl LlamaConfig {
    /// Reads a Hugging Face `config.json` of a LLaMA model.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for anything else, and for what the network here does not do: biases, scaled rotary
    /// frequencies, another activation than SiLU, heads that do not span the width.
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
            rope_theta: found.rope_theta.unwrap_or(10000.0),
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

    fn check(&self) -> Result<()> {
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
        let scaling = self.rope_scaling.as_ref().and_then(|scaling| scaling.rope_type.as_deref().or(Some("unnamed")));
        match () {
            () if self.hidden_act.as_deref().is_some_and(|activation| activation != "silu") => Err(invalid("hidden_act is not silu")),
            () if self.attention_bias == Some(true) || self.mlp_bias == Some(true) => Err(invalid("biases are not supported")),
            () if self.head_dim.is_some_and(|width| width * self.num_attention_heads != self.hidden_size) => {
                Err(invalid("head_dim is not hidden_size / num_attention_heads"))
            }
            () if scaling.is_some_and(|kind| kind != "default") => Err(invalid("rope_scaling is not supported")),
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
        assert_eq!(LlamaConfig::load_binary(grouped.to_string().as_bytes()).unwrap(), grouped);
    }

    #[test]
    fn what_is_not_supported_is_refused() {
        for extra in [
            r#","hidden_act":"gelu""#,
            r#","attention_bias":true"#,
            r#","head_dim":64"#,
            r#","rope_scaling":{"rope_type":"llama3","factor":8.0}"#,
            r#","rope_scaling":{"type":"linear","factor":2.0}"#,
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
