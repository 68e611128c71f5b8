//! One rename table a checkpoint kind: published names to the names of this crate's modules.

use std::collections::BTreeMap;

use burn::tensor::{DType, TensorData};

use super::{StateDict, TensorSource};
use crate::{
    error::Result,
    llm::llama::{LlamaConfig, LlamaNetwork},
};

/// A module's parameter, and the checkpoint's tensors that it stacks, by rows.
pub(crate) struct Entry {
    name: String,
    kind: Kind,
    /// Names and shapes.
    pub(crate) sources: Vec<(String, Vec<usize>)>,
}

impl Entry {
    /// Rows of all tensors together.
    pub(crate) fn rows(&self) -> usize {
        self.sources.iter().filter_map(|(_, shape)| shape.first()).sum()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Norm,
    Linear,
    Embedding,
}

/// Hugging Face's LLaMA names to those of [`LlamaNetwork`], in PyTorch's layout. Queries, keys and values of a block become one
/// matrix, and so do gate and up; `rotary_emb.inv_freq` of old files, and the head of a tied model, are left out.
///
/// # Errors
/// [`Error::WeightsMismatch`](crate::Error::WeightsMismatch) with all that is missing, unused or of another shape, under Hugging Face's names.
pub fn llama(state: &StateDict, config: &LlamaConfig) -> Result<StateDict> {
    let (mut loaded, mut missing, mut misfits) = (StateDict::new(&state.origin), vec![], vec![]);
    let table = table(config);
    for entry in &table {
        let mut rows = vec![];
        let mut values = vec![];
        for (name, shape) in &entry.sources {
            match state.tensors.get(name) {
                None => missing.push(name.clone()),
                Some(data) => match data.as_slice::<f32>() {
                    Ok(slice) if data.shape().to_vec() == *shape => values.extend_from_slice(slice),
                    _ => misfits.push(format!("{name}: expected floats {shape:?}, found {:?} {:?}", data.dtype(), data.shape().to_vec())),
                },
            }
            rows.push(shape[0]);
        }
        let shape: Vec<usize> = entry.sources.first().map(|(_, shape)| [&[rows.iter().sum()], &shape[1..]].concat()).unwrap_or_default();
        if values.len() == shape.iter().product::<usize>() {
            loaded.insert(&entry.name, TensorData::new(values, shape));
        }
    }
    let known = |name: &str| table.iter().any(|entry| entry.sources.iter().any(|(source, _)| source == name));
    let unused: Vec<String> = state.names().filter(|name| !known(name) && !spare(name, config)).map(str::to_owned).collect();
    if missing.is_empty() && misfits.is_empty() && unused.is_empty() {
        return Ok(loaded);
    }
    Err(state.mismatch(missing, unused, misfits))
}

/// What [`llama`] stacks, for a source that is not in memory: entries by the names of [`LlamaNetwork`]'s parameters.
///
/// # Errors
/// As [`llama`].
pub(crate) fn llama_entries(source: &dyn TensorSource, config: &LlamaConfig) -> Result<BTreeMap<String, Entry>> {
    let (table, tensors) = (table(config), source.tensors());
    let needed: BTreeMap<&str, &[usize]> =
        table.iter().flat_map(|entry| &entry.sources).map(|(name, shape)| (name.as_str(), shape.as_slice())).collect();
    let missing: Vec<String> = needed.keys().filter(|name| !tensors.contains_key(**name)).map(|name| (*name).to_owned()).collect();
    let (mut unused, mut misfits) = (vec![], vec![]);
    for (name, info) in tensors {
        match needed.get(name.as_str()) {
            None if spare(name, config) => {}
            None => unused.push(name.clone()),
            Some(shape) if info.shape == **shape && is_read(info.dtype) => {}
            Some(shape) => {
                let file = info.file.display();
                misfits.push(format!("{name}: expected floats {shape:?}, found {:?} {:?} in {file}", info.dtype, info.shape));
            }
        }
    }
    if missing.is_empty() && unused.is_empty() && misfits.is_empty() {
        return Ok(table.into_iter().map(|entry| (entry.name.clone(), entry)).collect());
    }
    Err(StateDict::new(source.origin().display().to_string()).mismatch(missing, unused, misfits))
}

fn is_read(dtype: DType) -> bool {
    matches!(dtype, DType::F32 | DType::F16 | DType::BF16 | DType::F64)
}

/// Tensors of published files that no parameter needs.
fn spare(name: &str, config: &LlamaConfig) -> bool {
    name.ends_with("rotary_emb.inv_freq") || (config.tied && name == "lm_head.weight")
}

/// The weights of a network under Hugging Face's names and in its layout: what [`llama`] reads.
///
/// # Errors
/// [`Error::WeightsMismatch`](crate::Error::WeightsMismatch) where a weight is not of `f32`.
pub fn llama_checkpoint(network: &LlamaNetwork, origin: impl Into<String>) -> Result<StateDict> {
    let state = StateDict::of(network, origin);
    let mut saved = StateDict::new(&state.origin);
    for Entry { name, kind, sources } in table(network.config()) {
        let name = if kind == Kind::Norm { format!("{}gamma", name.trim_end_matches("weight")) } else { name };
        let data = state.get(&name)?;
        let values = data
            .as_slice::<f32>()
            .map_err(|_| state.mismatch(vec![], vec![], vec![format!("{name}: expected f32, found {:?}", data.dtype())]))?;
        let rows: usize = sources.iter().map(|(_, shape)| shape[0]).sum();
        let mut values = if kind == Kind::Linear { transposed(values, rows) } else { values.to_vec() };
        for (source, shape) in sources {
            let rest = values.split_off(shape.iter().product());
            saved.insert(source, TensorData::new(values, shape));
            values = rest;
        }
    }
    Ok(saved)
}

/// Row-major `[columns, rows]` to `[rows, columns]`.
fn transposed(values: &[f32], rows: usize) -> Vec<f32> {
    (0..rows).flat_map(|row| values.iter().skip(row).step_by(rows).copied()).collect()
}

fn table(config: &LlamaConfig) -> Vec<Entry> {
    let LlamaConfig { vocabulary, hidden, feed_forward, .. } = *config;
    let grouped = config.key_value_heads * config.head_width();
    let entry = |name: &str, kind, sources: &[(&str, &[usize])]| Entry {
        name: format!("{name}.weight"),
        kind,
        sources: sources.iter().map(|(source, shape)| (format!("{source}.weight"), shape.to_vec())).collect(),
    };
    let mut table = vec![
        entry("embedding", Kind::Embedding, &[("model.embed_tokens", &[vocabulary, hidden])]),
        entry("norm", Kind::Norm, &[("model.norm", &[hidden])]),
    ];
    if !config.tied {
        table.push(entry("head", Kind::Linear, &[("lm_head", &[vocabulary, hidden])]));
    }
    for layer in 0..config.layers {
        let from = |name: &str| format!("model.layers.{layer}.{name}");
        let to = |name: &str| format!("blocks.{layer}.{name}");
        let [q, k, v, o] = ["q", "k", "v", "o"].map(|part| from(&format!("self_attn.{part}_proj")));
        let [gate, up, down] = ["gate", "up", "down"].map(|part| from(&format!("mlp.{part}_proj")));
        table.extend([
            entry(&to("attention_norm"), Kind::Norm, &[(&from("input_layernorm"), &[hidden])]),
            entry(
                &to("attention.projection"),
                Kind::Linear,
                &[(&q, &[hidden, hidden]), (&k, &[grouped, hidden]), (&v, &[grouped, hidden])],
            ),
            entry(&to("attention.output"), Kind::Linear, &[(&o, &[hidden, hidden])]),
            entry(&to("feed_forward_norm"), Kind::Norm, &[(&from("post_attention_layernorm"), &[hidden])]),
            entry(&to("feed_forward.gate_up"), Kind::Linear, &[(&gate, &[feed_forward, hidden]), (&up, &[feed_forward, hidden])]),
            entry(&to("feed_forward.down"), Kind::Linear, &[(&down, &[hidden, feed_forward])]),
        ]);
    }
    table
}

/// Path in a [`PatchTextDecoder`](crate::decoder::PatchTextDecoder) of a checkpoint's tensor; `None` for a tensor of another part.
pub fn decoder(name: &str) -> Option<String> {
    name.strip_prefix("image_decoder.").map(str::to_owned)
}

/// Path in a [`ConvPromptLearner`](crate::prompt_learner::ConvPromptLearner) of a checkpoint's tensor; `None` for a tensor
/// of another part.
///
/// `prompt_learner.meta_net` counts ReLU and pooling layers too, so that every third of its entries has weights; the image
/// token's projection is `llama_proj`.
pub fn prompt_learner(name: &str) -> Option<String> {
    if name.starts_with("llama_proj.") {
        return Some(name.into());
    }
    let part = name.strip_prefix("prompt_learner.")?;
    let Some(layer) = part.strip_prefix("meta_net.") else {
        return Some(part.into());
    };
    let known = || {
        let (index, parameter) = layer.split_once('.')?;
        let index = index.parse::<usize>().ok().filter(|index| index.is_multiple_of(3))?;
        Some(format!("meta_net.{}.{parameter}", index / 3))
    };
    // A layer that is not understood keeps its whole name, so that loading reports it and it takes no other's place.
    Some(known().unwrap_or_else(|| name.into()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use burn::tensor::{Device, Tensor};

    use super::*;
    use crate::error::Error;

    fn config() -> LlamaConfig {
        LlamaConfig::new(11, 16, 2, 4, 2, 12)
    }

    #[test]
    fn a_saved_network_loads_again() {
        let device = Device::default();
        for config in [config(), config().with_tied(true)] {
            let network = config.init(&device).unwrap();
            let saved = llama_checkpoint(&network, "a test").unwrap();
            assert_eq!(saved.names().any(|name| name == "lm_head.weight"), !config.tied);
            assert_eq!(saved.get("model.layers.1.self_attn.k_proj.weight").unwrap().shape().to_vec(), [8, 16]);
            let again = LlamaNetwork::load(&config, &saved, &device).unwrap();
            let resaved = llama_checkpoint(&again, "a test").unwrap();
            assert!(saved.names().eq(resaved.names()));
            assert!(saved.names().all(|name| saved.get(name).unwrap() == resaved.get(name).unwrap()));
            // The two hold their matrices in other layouts, and sum in another order.
            let x = Tensor::<3>::ones([1, 3, 16], &device);
            let difference = again.forward(x.clone(), None, None).unwrap() - network.forward(x, None, None).unwrap();
            assert!(difference.abs().max().into_scalar::<f32>() < 1e-6);
        }
    }

    #[test]
    fn a_mismatch_speaks_in_the_checkpoints_names() {
        let device = Device::default();
        let mut saved = llama_checkpoint(&config().init(&device).unwrap(), "there").unwrap();
        saved = saved.renamed(|name| (name != "model.layers.0.mlp.up_proj.weight").then(|| name.to_owned()));
        saved.insert("model.layers.7.mlp.up_proj.weight", TensorData::from([1.0f32]));
        saved.insert("model.layers.0.self_attn.rotary_emb.inv_freq", TensorData::from([1.0f32]));
        saved.insert("model.norm.weight", TensorData::from([1.0f32]));
        let Err(Error::WeightsMismatch { origin, missing, unused, misfits }) = llama(&saved, &config()) else { panic!() };
        assert_eq!(origin, "there");
        assert_eq!(missing, ["model.layers.0.mlp.up_proj.weight"]);
        assert_eq!(unused, ["model.layers.7.mlp.up_proj.weight"]);
        assert!(misfits.len() == 1 && misfits[0].contains("model.norm.weight"), "{misfits:?}");
    }

    #[test]
    fn the_prompt_learner_s_names_are_known() {
        let rename = |name| super::prompt_learner(name);
        assert_eq!(rename("prompt_learner.base_prompts").as_deref(), Some("base_prompts"));
        assert_eq!(rename("prompt_learner.meta_net.15.weight").as_deref(), Some("meta_net.5.weight"));
        assert_eq!(rename("prompt_learner.meta_net.4.weight").as_deref(), Some("prompt_learner.meta_net.4.weight"));
        assert_eq!(rename("llama_proj.bias").as_deref(), Some("llama_proj.bias"));
        assert_eq!(rename("image_decoder.fc.0.bias"), None);
    }
}
