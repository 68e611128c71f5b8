//! The image trunk and a text tower as one [`Encoder`].

use std::sync::Arc;

use burn::tensor::Tensor;

use super::{EfficientNet, resample::resample};
use crate::{
    encoder::{Encoder, ImageFeatures, text_tower::TextTower},
    error::{Error, Result},
    preprocess::{Fit, MAX_SIDE, Preprocess},
    text::Tokenizer,
};

/// Side in pixels that images are fitted to unless told otherwise.
pub const SIZE: u32 = 384;

/// Pixels of an image a patch of the grid, across and down.
pub const PATCH: usize = 8;

/// Sides are a multiple of the coarsest stride, so that all taps see whole positions.
const MULTIPLE: u32 = 32;

/// An [`EfficientNet`] for images and a [`TextTower`] for sentences.
///
/// All taps but the fine ones are brought onto one grid of 8x8 pixels, 48x48 at the default size: finer ones are averaged, coarser
/// ones interpolated, and both moved to where what they see lies. The embedding is the mean of the last tap over all positions.
#[derive(Clone, Debug)]
pub struct EfficientNetEncoder {
    trunk: Arc<EfficientNet>,
    text: TextTower,
    tokenizer: Tokenizer,
    size: u32,
}

impl EfficientNetEncoder {
    /// An encoder for images of about 384x384 pixels.
    pub fn new(trunk: EfficientNet, text: TextTower, tokenizer: Tokenizer) -> Self {
        Self { trunk: Arc::new(trunk), text, tokenizer, size: SIZE }
    }

    /// Images of about `size` x `size` pixels instead.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for less than 32, and for more than [`MAX_SIDE`].
    pub fn with_size(self, size: u32) -> Result<Self> {
        if !(MULTIPLE..=MAX_SIDE).contains(&size) {
            let reason = format!("{size} is not from {MULTIPLE} to {MAX_SIDE} pixels");
            return Err(Error::InvalidConfig { what: "image size", reason: reason.into() });
        }
        Ok(Self { size, ..self })
    }

    /// Channels of each tap but the fine ones, in the order of [`ImageFeatures::patch_tokens`].
    pub fn tap_widths(&self) -> &[usize] {
        self.widths().1
    }

    /// Channels of each fine map, in the order of [`ImageFeatures::fine`].
    pub fn fine_widths(&self) -> &[usize] {
        self.widths().0
    }

    fn widths(&self) -> (&[usize], &[usize]) {
        self.trunk.tap_widths().split_at(self.trunk.config().fine)
    }
}

/// How the trunk was trained: values become `(value - 127) / 128`.
fn preprocess(size: u32) -> Preprocess {
    Preprocess::new(size, Fit::Keep { multiple: MULTIPLE }, [127.0 / 255.0; 3], [128.0 / 255.0; 3])
}

impl Encoder for EfficientNetEncoder {
    fn preprocess(&self) -> Preprocess {
        preprocess(self.size)
    }

    fn embedding_width(&self) -> usize {
        self.trunk.tap_widths().last().copied().unwrap_or_default()
    }

    fn encode_images(&self, images: Tensor<4>) -> Result<ImageFeatures> {
        self.trunk.features(images)
    }

    fn encode_texts(&self, texts: &[&str]) -> Result<Tensor<2>> {
        self.text.encode(&self.tokenizer, texts)
    }
}

impl EfficientNet {
    /// What [`Encoder::encode_images`] gives, without the text side; for training on features.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn features(&self, images: Tensor<4>) -> Result<ImageFeatures> {
        let [batch, _, height, width] = images.dims();
        let grid = [height.div_ceil(PATCH), width.div_ceil(PATCH)];
        let mut fine = self.channels_last(images)?;
        let taps = fine.split_off(self.config().fine);
        let embedding = match taps.last() {
            Some(last) => last.clone().mean_dims(&[1, 2]).reshape([batch as isize, -1]),
            None => return Err(Error::InvalidConfig { what: "taps", reason: "there are none".into() }),
        };
        let displacement = self.config().displacement / PATCH as f64;
        let patch_tokens = taps.into_iter().map(|tap| resample(tap, grid, displacement).flatten::<3>(1, 2)).collect();
        Ok(ImageFeatures { patch_tokens, grid, fine, embedding })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_centred_at_127() {
        let Preprocess { mean, std, .. } = preprocess(SIZE);
        for value in [0.0, 1.0, 127.0, 255.0f32] {
            assert!(((value / 255.0 - mean[0]) / std[0] - (value - 127.0) / 128.0).abs() < 1e-6);
        }
    }
}
