//! The last stage: a language model that reads text and embeddings, and answers.

mod generate;
pub mod llama;
mod sampling;

use std::{borrow::Cow, fmt, ops::ControlFlow, sync::Arc};

use burn::tensor::Tensor;

use crate::error::Result;

pub use llama::Llama;

/// A piece of a prompt. Each piece is tokenized on its own.
#[derive(Clone, Debug)]
#[non_exhaustive]
// A prompt has five of them.
#[allow(clippy::large_enum_variant)]
pub enum Segment<'a> {
    /// Text; what looks like a control token in it stays text.
    Text(Cow<'a, str>),
    /// Embeddings in the place of tokens, `[1, positions, width]`.
    Embeddings(Tensor<3>),
}

/// How to continue a prompt. The default is greedy.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct GenerateOptions {
    /// The answer ends after so many tokens at the latest.
    pub max_new_tokens: usize,
    /// 0 takes the likeliest token; above, logits are divided by it and a token is drawn.
    pub temperature: f32,
    /// A token is drawn from the likeliest ones that together have this probability, in `[0, 1]`; at least one always stays.
    pub top_p: f32,
    /// Seed of the draw.
    pub seed: u64,
    /// The answer ends before any of these.
    pub stop: Vec<Cow<'static, str>>,
}

impl Default for GenerateOptions {
    fn default() -> Self {
        Self { max_new_tokens: 128, temperature: 0.0, top_p: 1.0, seed: 0, stop: vec![Cow::Borrowed("###")] }
    }
}

impl GenerateOptions {
    /// Draws tokens with a temperature above 0, from the likeliest ones that have `top_p` together.
    #[must_use]
    pub fn sampled(mut self, temperature: f32, top_p: f32, seed: u64) -> Self {
        (self.temperature, self.top_p, self.seed) = (temperature, top_p, seed);
        self
    }

    /// Limits the answer's length.
    #[must_use]
    pub fn with_max_new_tokens(mut self, max_new_tokens: usize) -> Self {
        self.max_new_tokens = max_new_tokens;
        self
    }
}

/// Continues prompts of text and embeddings.
pub trait Llm: fmt::Debug + Send + Sync {
    /// Width of the embeddings that it reads.
    fn width(&self) -> usize;

    /// Continues `prompt` and returns the answer, without the stop string and without white space around it.
    ///
    /// `on_text` gets the answer piece by piece as it grows, and can break it off; the pieces joined are the answer so far.
    /// An answer ends at the latest where the context does.
    ///
    /// # Errors
    /// Whatever the implementation reports; options out of range; a prompt that exceeds its context.
    fn generate(
        &self,
        prompt: &[Segment<'_>],
        options: &GenerateOptions,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<String>;

    /// Log-probability of each continuation's tokens after `prompt`, summed over them.
    ///
    /// # Errors
    /// Whatever the implementation reports; a prompt that exceeds its context.
    fn log_likelihood(&self, prompt: &[Segment<'_>], continuations: &[&str]) -> Result<Vec<f32>>;

    /// [`log_likelihood`](Self::log_likelihood) and [`generate`](Self::generate) of one prompt, which need not be read twice.
    ///
    /// # Errors
    /// Those of both.
    fn score_and_generate(
        &self,
        prompt: &[Segment<'_>],
        continuations: &[&str],
        options: &GenerateOptions,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<(Vec<f32>, String)> {
        Ok((self.log_likelihood(prompt, continuations)?, self.generate(prompt, options, on_text)?))
    }
}

macro_rules! forward {
    ($pointer:ident) => {
        impl<T: Llm + ?Sized> Llm for $pointer<T> {
            fn width(&self) -> usize {
                (**self).width()
            }
            fn generate(
                &self,
                prompt: &[Segment<'_>],
                options: &GenerateOptions,
                on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
            ) -> Result<String> {
                (**self).generate(prompt, options, on_text)
            }
            fn log_likelihood(&self, prompt: &[Segment<'_>], continuations: &[&str]) -> Result<Vec<f32>> {
                (**self).log_likelihood(prompt, continuations)
            }
            fn score_and_generate(
                &self,
                prompt: &[Segment<'_>],
                continuations: &[&str],
                options: &GenerateOptions,
                on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
            ) -> Result<(Vec<f32>, String)> {
                (**self).score_and_generate(prompt, continuations, options, on_text)
            }
        }
    };
}
forward!(Box);
forward!(Arc);
