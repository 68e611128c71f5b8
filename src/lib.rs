//! AnomalyGPT.
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod decoder;
pub mod encoder;
mod error;
mod inspection;
mod place;
pub mod llm;
pub mod preprocess;
pub mod prompt_learner;
#[cfg(feature = "train")]
pub mod simulate;
pub mod text;
#[cfg(feature = "train")]
pub mod train;
pub mod weights;

pub use error::{Error, Result};
pub use inspection::{AnomalyMap, Detection, Inspection, Region, Verdict};
pub use place::Place;
