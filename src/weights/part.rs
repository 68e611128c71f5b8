//! Which part of the published model a tensor is of, by its name; and a source's tensors of some parts alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use burn::tensor::TensorData;

use super::{TensorInfo, TensorSource};
use crate::error::Result;

/// A part of the published model, as its authors name the tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Part {
    /// ImageBind's towers for images and text: `modality_*.vision.*`, `modality_*.text.*`.
    ImageBind,
    /// LLaMA and Vicuna: `model.*`, `lm_head.*`.
    LanguageModel,
    /// PandaGPT's projection of the image embedding: `llama_proj.*`.
    Projection,
    /// PandaGPT's low-rank adapters of the language model: `llama_model.*.lora_A.*`, `.lora_B.*`.
    Adapter,
    /// AnomalyGPT's decoder: `image_decoder.*`.
    Decoder,
    /// AnomalyGPT's prompt learner: `prompt_learner.*`.
    PromptLearner,
    /// What is published beside them and is not used: ImageBind's other senses, and buffers that are computed.
    Spare,
}

/// ImageBind's senses that AnomalyGPT does not use.
const OTHER_SENSES: [&str; 4] = ["audio", "depth", "thermal", "imu"];

/// What precedes the names of adapted layers.
const ADAPTED: &str = "llama_model.base_model.model.";

impl Part {
    /// The part that a tensor is of; `None` for a name that is not known.
    pub fn of(name: &str) -> Option<Self> {
        if name == "modality_preprocessors.text.mask" || name.ends_with(".rotary_emb.inv_freq") {
            return Some(Self::Spare);
        }
        let (first, rest) = name.split_once('.')?;
        match first {
            "modality_preprocessors" | "modality_trunks" | "modality_heads" | "modality_postprocessors" => match rest.split('.').next()? {
                "vision" | "text" => Some(Self::ImageBind),
                sense => OTHER_SENSES.contains(&sense).then_some(Self::Spare),
            },
            "model" => ["embed_tokens.", "layers.", "norm."].iter().any(|start| rest.starts_with(start)).then_some(Self::LanguageModel),
            "lm_head" => Some(Self::LanguageModel),
            "llama_proj" => Some(Self::Projection),
            "llama_model" => adapter(name).map(|_| Self::Adapter),
            "image_decoder" => Some(Self::Decoder),
            "prompt_learner" => Some(Self::PromptLearner),
            _ => None,
        }
    }

    /// The parts of all tensors of a source, and the names that are not known.
    pub fn all(source: &dyn TensorSource) -> (BTreeSet<Self>, Vec<String>) {
        let (mut parts, mut unknown) = (BTreeSet::new(), vec![]);
        for name in source.tensors().keys() {
            match Self::of(name) {
                Some(part) => drop(parts.insert(part)),
                None => unknown.push(name.clone()),
            }
        }
        (parts, unknown)
    }
}

/// One of an adapter's two matrices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Factor {
    /// `[rank, in]`.
    A,
    /// `[out, rank]`.
    B,
}

/// The language model's matrix that an adapter's tensor is for, and which of the two it is.
pub(super) fn adapter(name: &str) -> Option<(String, Factor)> {
    let rest = name.strip_prefix(ADAPTED)?;
    let (layer, factor) = match (rest.strip_suffix(".lora_A.default.weight"), rest.strip_suffix(".lora_B.default.weight")) {
        (Some(layer), _) => (layer, Factor::A),
        (_, Some(layer)) => (layer, Factor::B),
        _ => return None,
    };
    Some((format!("{layer}.weight"), factor))
}

/// The tensors of some parts of a source; the others are hidden.
#[derive(Clone, Debug)]
pub struct Selection<S> {
    source: S,
    tensors: BTreeMap<String, TensorInfo>,
}

impl<S: TensorSource> Selection<S> {
    /// Hides what is of no part in `parts`, and keeps tensors of names that are not known, so that a loader reports those.
    pub fn new(source: S, parts: &[Part]) -> Self {
        let kept = |name: &str| Part::of(name).is_none_or(|part| parts.contains(&part));
        let tensors = source.tensors().iter().filter(|(name, _)| kept(name)).map(|(name, info)| (name.clone(), info.clone())).collect();
        Self { source, tensors }
    }
}

impl<S: TensorSource> TensorSource for Selection<S> {
    fn origin(&self) -> &Path {
        self.source.origin()
    }

    fn tensors(&self) -> &BTreeMap<String, TensorInfo> {
        &self.tensors
    }

    fn read(&self, name: &str) -> Result<TensorData> {
        self.info(name)?;
        self.source.read(name)
    }

    fn read_unrounded(&self, name: &str) -> Result<TensorData> {
        self.info(name)?;
        self.source.read_unrounded(name)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_part() {
        for (name, part) in [
            ("modality_trunks.vision.blocks.31.attn.in_proj_weight", Some(Part::ImageBind)),
            ("modality_postprocessors.text.1.log_logit_scale", Some(Part::ImageBind)),
            ("modality_heads.imu.3.weight", Some(Part::Spare)),
            ("modality_preprocessors.text.mask", Some(Part::Spare)),
            ("modality_heads.smell.0.weight", None),
            ("model.layers.3.self_attn.rotary_emb.inv_freq", Some(Part::Spare)),
            ("model.layers.3.self_attn.q_proj.weight", Some(Part::LanguageModel)),
            ("model.vision.weight", None),
            ("lm_head.weight", Some(Part::LanguageModel)),
            ("llama_proj.bias", Some(Part::Projection)),
            ("llama_model.base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight", Some(Part::Adapter)),
            ("llama_model.base_model.model.model.layers.0.self_attn.q_proj.lora_C.default.weight", None),
            ("image_decoder.fc.0.weight", Some(Part::Decoder)),
            ("prompt_learner.base_prompts", Some(Part::PromptLearner)),
            ("bert.embeddings", None),
            ("weight", None),
        ] {
            assert_eq!(Part::of(name), part, "{name}");
        }
    }

    #[test]
    fn adapters_name_their_matrix() {
        let name = "llama_model.base_model.model.model.layers.7.self_attn.o_proj.lora_B.default.weight";
        assert_eq!(adapter(name), Some(("model.layers.7.self_attn.o_proj.weight".into(), Factor::B)));
    }
}
