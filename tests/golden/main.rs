//! Parity with the PyTorch reference, on the part of the golden set `tiny-a` that `make_subset.py` cuts out.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod decoder;
mod head;
mod imagebind;
mod layer_norm;
mod llm;
#[cfg(feature = "train")]
mod loss;
#[cfg(feature = "eval")]
mod metrics;
#[cfg(feature = "train")]
mod poisson;
mod preprocess;
mod prompt_learner;
mod published;
mod support;
#[cfg(feature = "train")]
mod train;
mod trunk;
mod weights;
