//! The embedded model (feature `mini`): the paper's stages at a size that ships with the crate.
//!
//! The image trunk is EfficientNet-Lite0, trained on ImageNet by its authors (Apache-2.0, see `NOTICE`); text tower,
//! decoder, prompt learner and language model were trained by `examples/train_mini` on simulated anomalies.

mod mini;

pub use mini::{MINI_TOKENIZER, MINI_TRUNK, Mini, MiniConfig, mini_trunk, sample};
