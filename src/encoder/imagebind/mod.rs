//! ImageBind's image and text towers, the published model's encoder.
//!
//! Deviations from the authors' code, none of which changes a result: the stem sees one frame through a summed kernel, and a
//! sentence is computed up to its end. Sentences' vectors have length 1 here; the authors scale them all alike, which the mean
//! direction loses again ([`SentenceTower::forward`] keeps it).

mod block;
mod bpe;
mod clean;
mod keys;
mod load;
pub mod text;
pub mod vision;

use burn::{config::Config, tensor::Tensor};

use super::{Encoder, ImageFeatures};
use crate::{
    error::{Error, Result},
    preprocess::{Fit, Preprocess},
};

pub use bpe::ClipTokenizer;
pub use text::{SentenceTower, SentenceTowerConfig};
pub use vision::{VisionTower, VisionTowerConfig};

/// Mean of each channel, CLIP's.
const MEAN: [f32; 3] = [0.48145466, 0.4578275, 0.40821072];
/// Standard deviation of each channel, CLIP's.
const STD: [f32; 3] = [0.26862955, 0.2613026, 0.2757771];

/// What ImageBind's tensors don't say about it.
#[derive(Config, Debug, PartialEq)]
pub struct ImageBindConfig {
    /// Attention heads of the image tower.
    #[config(default = 16)]
    pub vision_heads: usize,
    /// Attention heads of the text tower.
    #[config(default = 16)]
    pub text_heads: usize,
    /// Indices of the image tower's blocks whose outputs are the patch tokens, ascending.
    #[config(default = "vec![7, 15, 23, 31]")]
    pub taps: Vec<usize>,
}

impl Default for ImageBindConfig {
    fn default() -> Self {
        Self::new()
    }
}

/// Both towers, CLIP's tokenizer, and how photographs are fitted.
#[derive(Clone, Debug)]
pub struct ImageBind {
    vision: VisionTower,
    text: SentenceTower,
    tokenizer: ClipTokenizer,
    fit: Fit,
}

impl ImageBind {
    /// Joins two towers; photographs are fitted by [`Fit::Pad`], which shows all of them.
    ///
    /// # Errors
    /// [`Error::Incompatible`] where the text tower has fewer tokens than CLIP's tokenizer.
    pub fn new(vision: VisionTower, text: SentenceTower) -> Result<Self> {
        let tokenizer = ClipTokenizer::new()?;
        let (found, expected) = (tokenizer.vocabulary(), text.config().vocabulary);
        if found > expected {
            return Err(Error::Incompatible { left: "CLIP's tokenizer", right: "the text tower", expected, found });
        }
        Ok(Self { vision, text, tokenizer, fit: Fit::Pad })
    }

    /// Fits photographs in another way.
    #[must_use]
    pub fn with_fit(mut self, fit: Fit) -> Self {
        self.fit = fit;
        self
    }

    /// The image tower.
    pub fn vision(&self) -> &VisionTower {
        &self.vision
    }

    /// The text tower.
    pub fn text(&self) -> &SentenceTower {
        &self.text
    }

    /// Token ids of sentences, at most the text tower's context of each.
    ///
    /// # Errors
    /// [`Error::Tokenizer`], which no text is known to cause.
    pub fn tokenize(&self, texts: &[&str]) -> Result<Vec<Vec<u32>>> {
        texts.iter().map(|text| self.tokenizer.encode(text, self.text.config().context)).collect()
    }
}

impl Encoder for ImageBind {
    fn preprocess(&self) -> Preprocess {
        Preprocess::new(self.vision.config().side() as u32, self.fit, MEAN, STD)
    }

    fn embedding_width(&self) -> usize {
        self.vision.config().output
    }

    fn encode_images(&self, images: Tensor<4>) -> Result<ImageFeatures> {
        self.vision.forward(images)
    }

    fn encode_texts(&self, texts: &[&str]) -> Result<Tensor<2>> {
        self.text.unit(&self.tokenize(texts)?)
    }
}
