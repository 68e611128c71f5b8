//! The first stage: images and sentences to vectors.
//!
//! An encoder gives the patch tokens of several layers (taps), which the [`Decoder`](crate::decoder::Decoder) localizes
//! anomalies in, and one embedding an image, which the language model sees. Sentences land in the space that the
//! decoder projects patches into.

pub mod efficientnet;
pub mod imagebind;
pub mod text_tower;

use std::fmt;

use burn::tensor::Tensor;

use crate::{error::Result, preprocess::Preprocess};

pub use efficientnet::{EfficientNet, EfficientNetEncoder};
pub use imagebind::ImageBind;
pub use text_tower::TextTower;

/// What an encoder sees in a batch of images of one size.
#[derive(Clone, Debug)]
pub struct ImageFeatures {
    /// One tensor a tap, `[batch, rows * columns, width of the tap]`, row-major over [`grid`](Self::grid).
    pub patch_tokens: Vec<Tensor<3>>,
    /// Rows and columns of patches, the same for all taps.
    pub grid: [usize; 2],
    /// Maps of earlier layers, of grids of their own, `[batch, rows, columns, width]`: edges and spots rather than parts. Empty
    /// where the encoder has none to give; a decoder may ask for them.
    pub fine: Vec<Tensor<4>>,
    /// One vector an image, `[batch, embedding width]`.
    pub embedding: Tensor<2>,
}

impl ImageFeatures {
    /// How many images the first tap's tokens are of; 0 without taps.
    pub(crate) fn images(&self) -> usize {
        self.patch_tokens.first().map_or(0, |tokens| tokens.dims()[0])
    }
}

/// Turns images and sentences into vectors.
pub trait Encoder: fmt::Debug + Send + Sync {
    /// How a photograph becomes the tensor that [`encode_images`](Self::encode_images) takes.
    fn preprocess(&self) -> Preprocess;

    /// Width of [`ImageFeatures::embedding`].
    fn embedding_width(&self) -> usize;

    /// Encodes `images`, `[batch, 3, height, width]`, normalised as [`preprocess`](Self::preprocess) says.
    ///
    /// # Errors
    /// Whatever the implementation reports; shapes that it can't take.
    fn encode_images(&self, images: Tensor<4>) -> Result<ImageFeatures>;

    /// Encodes sentences to unit vectors, `[sentences, width]`.
    ///
    /// # Errors
    /// Whatever the implementation reports; sentences that it can't tokenize.
    fn encode_texts(&self, texts: &[&str]) -> Result<Tensor<2>>;
}

macro_rules! forward {
    ($pointer:ident) => {
        impl<T: Encoder + ?Sized> Encoder for $pointer<T> {
            fn preprocess(&self) -> Preprocess {
                (**self).preprocess()
            }
            fn embedding_width(&self) -> usize {
                (**self).embedding_width()
            }
            fn encode_images(&self, images: Tensor<4>) -> Result<ImageFeatures> {
                (**self).encode_images(images)
            }
            fn encode_texts(&self, texts: &[&str]) -> Result<Tensor<2>> {
                (**self).encode_texts(texts)
            }
        }
    };
}
use std::sync::Arc;
forward!(Box);
forward!(Arc);
