//! AnomalyGPT.
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod decoder;
pub mod encoder;
mod error;
mod inspection;
pub mod llm;
mod place;
pub mod preprocess;
pub mod prompt_learner;
#[cfg(feature = "train")]
pub mod simulate;
pub mod text;
#[cfg(feature = "train")]
pub mod train;
pub mod weights;

pub use error::{Error, Result};
pub use inspection::{AnomalyMap, Detection, Inspection, Region, Verdict, regions};
pub use place::Place;
