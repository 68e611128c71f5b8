//! The third stage: what the encoder and the decoder saw, as embeddings that a language model reads.
//!
//! These are learned vectors; the strings around them are in [`text`](crate::text).

pub mod conv;

use std::{fmt, sync::Arc};

use burn::tensor::Tensor;

use crate::{encoder::ImageFeatures, error::Result};

pub use conv::{ConvPromptLearner, ConvPromptLearnerConfig};

/// Embeddings for the language model, both `[batch, positions, width]`.
#[derive(Clone, Debug)]
pub struct PromptEmbeddings {
    /// The image itself, `E_img` in the paper's prompt.
    pub image: Tensor<3>,
    /// Learned vectors and those made from the anomaly map, `E_prompt` in the paper's prompt.
    pub prompt: Tensor<3>,
}

/// Turns an image's features and its anomaly map into embeddings.
pub trait PromptLearner: fmt::Debug + Send + Sync {
    /// Width of the embeddings; it must be the language model's.
    fn width(&self) -> usize;

    /// Width of the images' embeddings that it takes, where that is fixed.
    fn embedding_width(&self) -> Option<usize> {
        None
    }

    /// Makes embeddings from features and a map `[batch, 1, height, width]` in `[0, 1]`, of any size.
    ///
    /// # Errors
    /// Whatever the implementation reports; features of another width than it was made for.
    fn prompt(&self, image: &ImageFeatures, map: Tensor<4>) -> Result<PromptEmbeddings>;
}

macro_rules! forward {
    ($pointer:ident) => {
        impl<T: PromptLearner + ?Sized> PromptLearner for $pointer<T> {
            fn width(&self) -> usize {
                (**self).width()
            }
            fn embedding_width(&self) -> Option<usize> {
                (**self).embedding_width()
            }
            fn prompt(&self, image: &ImageFeatures, map: Tensor<4>) -> Result<PromptEmbeddings> {
                (**self).prompt(image, map)
            }
        }
    };
}
forward!(Box);
forward!(Arc);
