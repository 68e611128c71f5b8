//! Assembles an inspector from four stages.

use std::{
    collections::BTreeMap,
    sync::{Arc, RwLock},
};

use burn::tensor::Device;

use super::AnomalyGpt;
use crate::{
    decoder::Decoder,
    encoder::Encoder,
    error::{Error, Result},
    llm::{GenerateOptions, Llm},
    prompt_learner::PromptLearner,
    text::ensemble,
};

/// Assembles an [`AnomalyGpt`]; a stage that is missing does not compile.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct AnomalyGptBuilder<E = (), D = (), P = (), L = ()> {
    encoder: E,
    decoder: D,
    prompt_learner: P,
    llm: L,
    templates: &'static [&'static str],
    generate: GenerateOptions,
}

impl AnomalyGpt {
    /// Starts with no stage at all.
    pub fn builder() -> AnomalyGptBuilder {
        AnomalyGptBuilder {
            encoder: (),
            decoder: (),
            prompt_learner: (),
            llm: (),
            templates: &ensemble::TEMPLATES,
            generate: GenerateOptions::default(),
        }
    }
}

impl<E, D, P, L> AnomalyGptBuilder<E, D, P, L> {
    /// Sets the first stage.
    pub fn encoder<T: Encoder>(self, encoder: T) -> AnomalyGptBuilder<T, D, P, L> {
        let Self { decoder, prompt_learner, llm, templates, generate, .. } = self;
        AnomalyGptBuilder { encoder, decoder, prompt_learner, llm, templates, generate }
    }

    /// Sets the second stage.
    pub fn decoder<T: Decoder>(self, decoder: T) -> AnomalyGptBuilder<E, T, P, L> {
        let Self { encoder, prompt_learner, llm, templates, generate, .. } = self;
        AnomalyGptBuilder { encoder, decoder, prompt_learner, llm, templates, generate }
    }

    /// Sets the third stage.
    pub fn prompt_learner<T: PromptLearner>(self, prompt_learner: T) -> AnomalyGptBuilder<E, D, T, L> {
        let Self { encoder, decoder, llm, templates, generate, .. } = self;
        AnomalyGptBuilder { encoder, decoder, prompt_learner, llm, templates, generate }
    }

    /// Sets the last stage.
    pub fn llm<T: Llm>(self, llm: T) -> AnomalyGptBuilder<E, D, P, T> {
        let Self { encoder, decoder, prompt_learner, templates, generate, .. } = self;
        AnomalyGptBuilder { encoder, decoder, prompt_learner, llm, templates, generate }
    }

    /// Sets the sentence templates of the text pair, [`ensemble::TEMPLATES`] by default.
    pub fn templates(mut self, templates: &'static [&'static str]) -> Self {
        self.templates = templates;
        self
    }

    /// Sets how answers are generated, greedily by default.
    pub fn generate_options(mut self, options: GenerateOptions) -> Self {
        self.generate = options;
        self
    }
}

impl<E: Encoder, D: Decoder, P: PromptLearner, L: Llm> AnomalyGptBuilder<E, D, P, L> {
    /// Wires the stages; tensors are made on `device`, which the stages must live on.
    ///
    /// # Errors
    /// [`Error::Incompatible`] where the prompt learner's width is not the language model's.
    pub fn build(self, device: &Device) -> Result<AnomalyGpt<E, D, P, L>> {
        let (found, expected) = (self.prompt_learner.width(), self.llm.width());
        if found != expected {
            return Err(Error::Incompatible { left: "the prompt learner", right: "the language model", expected, found });
        }
        let Self { encoder, decoder, prompt_learner, llm, templates, generate } = self;
        let text_pairs = Arc::new(RwLock::new(BTreeMap::new()));
        Ok(AnomalyGpt { encoder, decoder, prompt_learner, llm, device: device.clone(), normals: None, text_pairs, templates, generate })
    }
}
