//! One inspection by the published model with all that is computed on the way, for people who port or debug.

use std::borrow::Cow;

use burn::tensor::{DType, Tensor, TensorData};
use image::DynamicImage;

use super::AnomalyGpt;
use crate::{
    decoder::PatchTextDecoder,
    encoder::ImageBind,
    error::{Error, Result},
    llm::{Segment, llama::KeyValueCache},
    prompt_learner::PromptLearner,
    text::dialogue,
};

/// Id of the piece `##` in LLaMA's vocabulary, at which the reference ends an answer.
const STOP: u32 = 2277;

/// Tokens that the reference takes off every answer, whatever ended it.
const CUT: usize = 2;

/// Everything that one inspection computes, named as in the reference's golden set.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Trace {
    /// The image's vector, `[1, width]`.
    pub embedding: Tensor<2>,
    /// Patch tokens a tap, `[1, patches, width]`.
    pub features: Vec<Tensor<3>>,
    /// The same in the text's space, `[1, patches, text width]`.
    pub decoded: Vec<Tensor<3>>,
    /// Directions of the normal and the abnormal object, `[2, text width]`.
    pub text: Tensor<2>,
    /// What the prompt learner sees, `[1, 1, height, width]`.
    pub map: Tensor<4>,
    /// Prompt embeddings, `[1, vectors, width]`.
    pub prompts: Tensor<3>,
    /// All input embeddings, `[1, positions, width]`.
    pub inputs: Tensor<3>,
    /// Logits of the answer's first token, `[vocabulary]`.
    pub logits: Tensor<1>,
    /// The likeliest answer's token ids, with the one that ended it.
    pub greedy_ids: Vec<u32>,
    /// Their text as the reference gives it, which is without the last two.
    pub answer: String,
}

impl Trace {
    /// All tensors by name: `embedding`, `features.0`, ..., `decoded.0`, ..., `text`, `map`, `prompts`, `inputs`, `logits` in `f32`,
    /// and `greedy_ids` in `i64`.
    pub fn tensors(&self) -> Vec<(String, TensorData)> {
        let mut tensors = vec![
            ("embedding".into(), float(self.embedding.clone())),
            ("text".into(), float(self.text.clone())),
            ("map".into(), float(self.map.clone())),
            ("prompts".into(), float(self.prompts.clone())),
            ("inputs".into(), float(self.inputs.clone())),
            ("logits".into(), float(self.logits.clone())),
        ];
        for (name, layers) in [("features", &self.features), ("decoded", &self.decoded)] {
            tensors.extend(layers.iter().enumerate().map(|(tap, tokens)| (format!("{name}.{tap}"), float(tokens.clone()))));
        }
        let ids: Vec<i64> = self.greedy_ids.iter().map(|id| i64::from(*id)).collect();
        tensors.push(("greedy_ids".into(), TensorData::new(ids, [self.greedy_ids.len()])));
        tensors
    }
}

fn float<const D: usize>(tensor: Tensor<D>) -> TensorData {
    tensor.into_data().convert_dtype(DType::F32)
}

impl AnomalyGpt<ImageBind, PatchTextDecoder> {
    /// Inspects a photograph as [`Behaviour`](crate::Behaviour) says, and keeps all that is computed.
    ///
    /// `normals`, where there are any, take the place of the text. `prompt` is taken as it is, between the prompt embeddings and
    /// `\n### Assistant:`: description, question and all earlier turns. The answer is the likeliest, of at most
    /// [`max_new_tokens`](crate::llm::GenerateOptions::max_new_tokens).
    ///
    /// # Errors
    /// As [`inspect`](Self::inspect).
    pub fn trace(&self, image: &DynamicImage, normals: &[DynamicImage], prompt: &str) -> Result<Trace> {
        if !normals.is_empty() {
            return self.clone().with_normals(normals)?.trace(image, &[], prompt);
        }
        let seen = self.see(image)?;
        let pair = self.text_pair(&self.behaviour.class.object(None, prompt))?;
        let map = self.prompt_map(&self.locate(&seen, None, prompt)?)?;
        let embeddings = self.prompt_learner.prompt(&seen.features, map.clone())?;
        let said = Segment::Text(Cow::Owned(format!("{prompt}{}", dialogue::ASK)));
        let inputs = self.llm.embed(&dialogue::framed(&embeddings, said))?;
        let (logits, greedy_ids) = self.greedy(inputs.clone())?;
        let answer = self.llm.tokenizer().decode(&greedy_ids[..greedy_ids.len().saturating_sub(CUT)])?;
        let layers = self.decoder.layers().iter().zip(&seen.features.patch_tokens);
        Ok(Trace {
            decoded: layers.map(|(layer, tokens)| layer.forward(tokens.clone())).collect(),
            embedding: seen.features.embedding,
            features: seen.features.patch_tokens,
            text: Tensor::cat(vec![pair.normal, pair.abnormal], 0),
            map,
            prompts: embeddings.prompt,
            inputs,
            logits,
            greedy_ids,
            answer,
        })
    }

    /// Logits of the first token, and the likeliest token each time, up to one that ends the answer.
    fn greedy(&self, mut inputs: Tensor<3>) -> Result<(Tensor<1>, Vec<u32>)> {
        let options = &self.behaviour.generate;
        options.check()?;
        let (mut cache, mut first, mut ids) = (KeyValueCache::default(), None, vec![]);
        loop {
            let logits = self.llm.network().last(inputs, Some(&mut cache))?.squeeze_dim::<1>(0);
            let best = logits.clone().argmax(0).into_data().iter::<i64>().next().and_then(|id| u32::try_from(id).ok());
            let id = best.ok_or_else(|| Error::component("the language model", "gave no logits"))?;
            first.get_or_insert(logits);
            ids.push(id);
            if [STOP, self.llm.end()].contains(&id) || ids.len() >= options.max_new_tokens {
                break;
            }
            inputs = self.llm.embed_token(id);
        }
        let first = first.ok_or_else(|| Error::component("the language model", "gave no logits"))?;
        Ok((first, ids))
    }
}
