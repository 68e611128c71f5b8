//! Assembles an inspector from four stages.

use std::{
    collections::BTreeMap,
    sync::{Arc, RwLock},
};

use burn::tensor::Device;

use super::AnomalyGpt;
use crate::{
    compat::Behaviour,
    decoder::Decoder,
    encoder::Encoder,
    error::{Error, Result},
    llm::{GenerateOptions, Llm},
    prompt_learner::PromptLearner,
};

/// Assembles an [`AnomalyGpt`]; a stage that is missing does not compile.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct AnomalyGptBuilder<E = (), D = (), P = (), L = ()> {
    encoder: E,
    decoder: D,
    prompt_learner: P,
    llm: L,
    behaviour: Behaviour,
}

impl AnomalyGpt {
    /// Starts with no stage at all.
    pub fn builder() -> AnomalyGptBuilder {
        AnomalyGptBuilder { encoder: (), decoder: (), prompt_learner: (), llm: (), behaviour: Behaviour::default() }
    }
}

impl<E, D, P, L> AnomalyGptBuilder<E, D, P, L> {
    /// Sets the first stage.
    pub fn encoder<T: Encoder>(self, encoder: T) -> AnomalyGptBuilder<T, D, P, L> {
        let Self { decoder, prompt_learner, llm, behaviour, .. } = self;
        AnomalyGptBuilder { encoder, decoder, prompt_learner, llm, behaviour }
    }

    /// Sets the second stage.
    pub fn decoder<T: Decoder>(self, decoder: T) -> AnomalyGptBuilder<E, T, P, L> {
        let Self { encoder, prompt_learner, llm, behaviour, .. } = self;
        AnomalyGptBuilder { encoder, decoder, prompt_learner, llm, behaviour }
    }

    /// Sets the third stage.
    pub fn prompt_learner<T: PromptLearner>(self, prompt_learner: T) -> AnomalyGptBuilder<E, D, T, L> {
        let Self { encoder, decoder, llm, behaviour, .. } = self;
        AnomalyGptBuilder { encoder, decoder, prompt_learner, llm, behaviour }
    }

    /// Sets the last stage.
    pub fn llm<T: Llm>(self, llm: T) -> AnomalyGptBuilder<E, D, P, T> {
        let Self { encoder, decoder, prompt_learner, behaviour, .. } = self;
        AnomalyGptBuilder { encoder, decoder, prompt_learner, llm, behaviour }
    }

    /// Sets the sentence templates of the text pair, [`ensemble::TEMPLATES`](crate::text::ensemble::TEMPLATES) by default.
    pub fn templates(mut self, templates: &'static [&'static str]) -> Self {
        self.behaviour.templates = templates;
        self
    }

    /// Sets how the inspector compares and answers, templates and generation among it.
    pub fn behaviour(mut self, behaviour: Behaviour) -> Self {
        self.behaviour = behaviour;
        self
    }

    /// Sets how answers are generated, greedily by default.
    pub fn generate_options(mut self, options: GenerateOptions) -> Self {
        self.behaviour.generate = options;
        self
    }
}

impl<E: Encoder, D: Decoder, P: PromptLearner, L: Llm> AnomalyGptBuilder<E, D, P, L> {
    /// Wires the stages; tensors are made on `device`, which the stages must live on.
    ///
    /// # Errors
    /// [`Error::Incompatible`] where the prompt learner's width is not the language model's, or the encoder's embeddings are of another
    /// width than the prompt learner takes.
    pub fn build(self, device: &Device) -> Result<AnomalyGpt<E, D, P, L>> {
        let (found, expected) = (self.prompt_learner.width(), self.llm.width());
        if found != expected {
            return Err(Error::Incompatible { left: "the prompt learner", right: "the language model", expected, found });
        }
        let found = self.encoder.embedding_width();
        if let Some(expected) = self.prompt_learner.embedding_width().filter(|expected| *expected != found) {
            return Err(Error::Incompatible { left: "the image encoder", right: "the prompt learner", expected, found });
        }
        let Self { encoder, decoder, prompt_learner, llm, behaviour } = self;
        let text_pairs = Arc::new(RwLock::new(BTreeMap::new()));
        Ok(AnomalyGpt { encoder, decoder, prompt_learner, llm, device: device.clone(), normals: None, text_pairs, behaviour })
    }
}
