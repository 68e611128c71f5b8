//! LLaMA in a GGUF file: sizes and tokenizer from its metadata, weights under Hugging Face's names.
//!
//! llama.cpp turns neighbouring channels of queries and keys together, and its files have their rows in that order; here they
//! are brought back into the order of halves.

use std::{collections::BTreeMap, path::Path};

use burn::tensor::TensorData;

use super::config::LlamaConfig;
use crate::{
    error::{Error, Result},
    text::{
        Tokenizer,
        byte_level::BytePairs,
        sentence_piece::{Kind, Piece, Pieces},
    },
    weights::{
        Fault, Gguf, TensorInfo, TensorSource,
        gguf::{Metadata, Value},
    },
};

/// Names, GGUF's and Hugging Face's.
const NAMES: [(&str, &str); 3] = [("token_embd", "model.embed_tokens"), ("output_norm", "model.norm"), ("output", "lm_head")];

/// The same within a block.
const OF_BLOCKS: [(&str, &str); 9] = [
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("ffn_norm", "post_attention_layernorm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
];

/// A GGUF file as a Hugging Face checkpoint of LLaMA.
#[derive(Debug)]
pub(super) struct GgufLlama {
    gguf: Gguf,
    config: LlamaConfig,
    tensors: BTreeMap<String, TensorInfo>,
    /// GGUF's names.
    names: BTreeMap<String, String>,
}

/// A tokenizer with the tokens that prompts begin and answers end with.
#[derive(Debug)]
pub(super) struct Vocabulary {
    pub(super) tokenizer: Tokenizer,
    pub(super) beginning: Option<u32>,
    pub(super) end: u32,
}

impl GgufLlama {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let gguf = Gguf::open(path)?;
        let config = config(&gguf)?;
        let (mut tensors, mut names) = (BTreeMap::new(), BTreeMap::new());
        for (name, info) in gguf.tensors() {
            // What has no other name keeps its own, and is reported as unused.
            let renamed = renamed(name).unwrap_or_else(|| name.clone());
            tensors.insert(renamed.clone(), info.clone());
            names.insert(renamed, name.clone());
        }
        Ok(Self { gguf, config, tensors, names })
    }

    pub(super) fn config(&self) -> &LlamaConfig {
        &self.config
    }

    /// The tokenizer in the metadata.
    pub(super) fn vocabulary(&self) -> Result<Vocabulary> {
        let metadata = self.gguf.metadata();
        let pieces = pieces(metadata)?;
        let model = metadata.text("tokenizer.ggml.model")?;
        let known = |key: &str| metadata.get(key).map(|_| metadata.number(key)).transpose();
        let tokenizer = match model {
            "llama" => Pieces { pieces, dummy_prefix: metadata.flag("tokenizer.ggml.add_space_prefix", true)? }.into_tokenizer()?,
            "gpt2" => {
                let single_digits = match metadata.text("tokenizer.ggml.pre")? {
                    "smollm" => true,
                    "gpt-2" => false,
                    other => return Err(metadata.malformed(format!("its tokenizer splits words like `{other}`, which is not read"))),
                };
                let unknown = known("tokenizer.ggml.unknown_token_id")?;
                BytePairs { tokens: pieces, merges: metadata.texts("tokenizer.ggml.merges")?, single_digits, unknown }.into_tokenizer()?
            }
            other => return Err(metadata.malformed(format!("its tokenizer is of the kind `{other}`, which is not read"))),
        };
        let id = |key: &str| -> Result<u32> {
            let id = metadata.number(key)?;
            let token = u32::try_from(id).ok().filter(|id| (*id as usize) < tokenizer.vocabulary());
            token.ok_or_else(|| metadata.malformed(format!("its metadata has {id} as `{key}`, and no token of that number")))
        };
        let begins = metadata.flag("tokenizer.ggml.add_bos_token", model == "llama")?;
        let beginning = if begins { Some(id("tokenizer.ggml.bos_token_id")?) } else { None };
        Ok(Vocabulary { beginning, end: id("tokenizer.ggml.eos_token_id")?, tokenizer })
    }
}

impl TensorSource for GgufLlama {
    fn origin(&self) -> &Path {
        self.gguf.origin()
    }

    fn tensors(&self) -> &BTreeMap<String, TensorInfo> {
        &self.tensors
    }

    fn read(&self, name: &str) -> Result<TensorData> {
        let original = self.names.get(name).ok_or_else(|| Error::tensor(self.origin(), name, Fault::MissingTensor))?;
        let data = self.gguf.read(original)?;
        let heads = match original.strip_suffix(".weight").and_then(|name| name.rsplit_once('.')) {
            Some((_, "attn_q")) => self.config.heads,
            Some((_, "attn_k")) => self.config.key_value_heads,
            _ => return Ok(data),
        };
        halves(data, heads).ok_or_else(|| Error::tensor(self.origin(), original, Fault::Offsets("not those of whole heads".into())))
    }
}

/// Hugging Face's name of a tensor.
fn renamed(name: &str) -> Option<String> {
    let part = name.strip_suffix(".weight")?;
    let (names, block, part) = match part.strip_prefix("blk.").map(|rest| rest.split_once('.')) {
        Some(Some((layer, part))) => (&OF_BLOCKS[..], format!("model.layers.{layer}."), part),
        Some(None) => return None,
        None => (&NAMES[..], String::new(), part),
    };
    let (_, found) = names.iter().find(|(gguf, _)| *gguf == part)?;
    Some(format!("{block}{found}.weight"))
}

/// Rows of neighbouring pairs, in the order of halves, for each of the heads.
fn halves(data: TensorData, heads: usize) -> Option<TensorData> {
    let shape = data.shape().to_vec();
    let (dtype, rows) = (data.dtype(), *shape.first()?);
    let mut bytes = data.into_bytes();
    let row = bytes.len().checked_div(rows).filter(|row| *row > 0)?;
    let width = rows.checked_div(heads).filter(|width| width.is_multiple_of(2) && width * heads == rows)?;
    // One head is copied at a time, and not the tensor.
    let mut pairs = vec![0; width * row];
    for head in bytes.chunks_exact_mut(width * row) {
        pairs.copy_from_slice(head);
        let turned = (0..2).flat_map(|half| pairs.chunks_exact(row).skip(half).step_by(2));
        head.chunks_exact_mut(row).zip(turned).for_each(|(to, from)| to.copy_from_slice(from));
    }
    TensorData::try_from_bytes(bytes, shape, dtype).ok()
}

fn config(gguf: &Gguf) -> Result<LlamaConfig> {
    let metadata = gguf.metadata();
    let architecture = metadata.text("general.architecture")?;
    if architecture != "llama" {
        return Err(metadata.malformed(format!("its architecture is `{architecture}`, and `llama` is read")));
    }
    let number = |key: &str| metadata.number(&format!("llama.{key}"));
    let known = |key: &str| metadata.get(&format!("llama.{key}")).map(|_| number(key)).transpose();
    let shape = &gguf.info("token_embd.weight")?.shape;
    let heads = number("attention.head_count")?;
    let config = LlamaConfig {
        vocabulary: shape.first().copied().unwrap_or_default(),
        hidden: number("embedding_length")?,
        layers: number("block_count")?,
        heads,
        key_value_heads: known("attention.head_count_kv")?.unwrap_or(heads),
        feed_forward: number("feed_forward_length")?,
        epsilon: metadata.float("llama.attention.layer_norm_rms_epsilon")?,
        rope_theta: match metadata.get("llama.rope.freq_base") {
            None => 10000.0,
            Some(_) => metadata.float("llama.rope.freq_base")?,
        },
        context: number("context_length")?,
        tied: !gguf.tensors().contains_key("output.weight"),
    };
    config.check()?;
    for key in ["rope.dimension_count", "attention.key_length", "attention.value_length"] {
        if let Some(width) = known(key)?.filter(|width| *width != config.head_width()) {
            return Err(
                metadata.malformed(format!("its `llama.{key}` is {width}, and only the heads' width of {} is read", config.head_width()))
            );
        }
    }
    if known("expert_count")?.is_some_and(|count| count > 0) {
        return Err(metadata.malformed("it is a mixture of experts".into()));
    }
    match metadata.get("llama.rope.scaling.type") {
        None => Ok(config),
        Some(Value::Text(kind)) if kind == "none" => Ok(config),
        Some(other) => Err(metadata.malformed(format!("its rotary frequencies are scaled, {other:?}"))),
    }
}

fn pieces(metadata: &Metadata) -> Result<Vec<Piece>> {
    let texts = metadata.texts("tokenizer.ggml.tokens")?;
    let list = |key: &str| match metadata.get(key) {
        None => Ok(None),
        Some(_) => match metadata.list(key)? {
            list if list.len() == texts.len() => Ok(Some(list)),
            list => Err(metadata.malformed(format!("its metadata has {} values as `{key}` for {} tokens", list.len(), texts.len()))),
        },
    };
    let (scores, kinds) = (list("tokenizer.ggml.scores")?, list("tokenizer.ggml.token_type")?);
    let piece = |(index, text): (usize, &&str)| {
        let score = match scores.and_then(|scores| scores.get(index)) {
            Some(Value::Float(score)) => *score as f32,
            _ => 0.0,
        };
        let kind = match kinds.and_then(|kinds| kinds.get(index)) {
            Some(Value::Signed(kind)) => Kind::new((*kind).try_into().unwrap_or_default())?,
            Some(Value::Unsigned(kind)) => Kind::new(*kind)?,
            _ => Kind::Normal,
        };
        Ok(Piece { text: (*text).to_owned(), score, kind })
    };
    texts.iter().enumerate().map(piece).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
