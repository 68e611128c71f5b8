//! Looks at photographs of industrial products and says what is wrong with them.
//!
//! AnomalyGPT (AAAI 2024) on [Burn](burn): one call gives an answer in words, a verdict with its probability, a score, and a
//! map of the anomaly at the photograph's own size. With a few photographs of normal parts, the same call works on *your* product.
//!
//! ```no_run
//! use anomalygpt::{AnomalyGpt, default_device, preprocess::read_image};
//!
//! # fn main() -> anomalygpt::Result<()> {
//! let model = AnomalyGpt::mini(&default_device()?)?;
//! let inspection = model.inspect(&read_image("part.png")?, Some("a metal nut"))?;
//! println!("{} ({}, {:.2})", inspection.answer, inspection.verdict, inspection.probability);
//! for region in &inspection.detection.regions {
//!     println!("{}: {:?}", region.place, region.bbox);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # How it works
//!
//! ```text
//! image ──preprocess──▶ pixels ──Encoder──▶ patch tokens (4 layers) + image embedding
//!                                               │                        │
//! class words ──text──▶ sentences ──Encoder──▶ normal/abnormal text pair │
//! normal images ───────Encoder──▶ memory bank   │                        │
//!                                               ▼                        │
//!                                            Decoder ──▶ anomaly map     │
//!                                               │            │           │
//!                                               │            ▼           ▼
//!                                               │        PromptLearner ──▶ prompt embeddings
//!                                               ▼                        │
//!                        description + question ──text──▶ segments ──────▼
//!                                          Detection               Llm ──▶ answer, verdict
//! ```
//!
//! Each stage is a trait with one implementation or more; [`AnomalyGpt::builder`] takes others.
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `flex` (default) | the CPU, in pure Rust |
//! | `ndarray` | the CPU through Burn's older backend |
//! | `wgpu`, `vulkan`, `metal`, `cuda` | GPUs |
//! | `mini` (default) | the embedded model, [`AnomalyGpt::mini`] |
//! | `train` | simulated anomalies, losses and the trainer |
//! | `serde` | `Serialize` for results |
//! | `eval` | datasets, metrics, protocols, the report, and the methods to compare with |
#![cfg_attr(docsrs, feature(doc_cfg))]

mod anomaly_gpt;
mod compat;
mod convolution;
#[cfg(feature = "eval")]
pub mod data;
pub mod decoder;
mod device;
pub mod encoder;
mod error;
#[cfg(feature = "eval")]
pub mod eval;
mod inspection;
pub mod llm;
mod place;
pub mod preprocess;
#[cfg(feature = "mini")]
pub mod pretrained;
pub mod prompt_learner;
pub mod published;
#[cfg(feature = "eval")]
pub mod rivals;
#[cfg(feature = "train")]
pub mod simulate;
pub mod text;
#[cfg(feature = "train")]
pub mod train;
pub mod weights;

pub use anomaly_gpt::{AnomalyGpt, AnomalyGptBuilder, Seen, Trace};
pub use compat::{Behaviour, ClassRule, Compat, PromptMap, Views};
pub use device::default_device;
pub use error::{Error, Result};
pub use inspection::{AnomalyMap, Detection, Inspection, Region, Verdict, regions};
pub use place::Place;

/// Compiles the README's programs.
#[cfg(all(doctest, feature = "mini"))]
#[doc = include_str!("../README.md")]
struct Readme;
