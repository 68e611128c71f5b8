//! The strings that are sent to the encoder and to the language model.
//!
//! The learned vectors that the paper calls "prompt" too are in [`prompt_learner`](crate::prompt_learner).

pub mod tokenizer;

pub use tokenizer::Tokenizer;
