//! Photographs to tensors: decode, fit, resize exactly as Pillow does, normalise.

mod fit;
mod pil;
mod read;

use burn::tensor::{Device, Tensor, TensorData};
use image::RgbImage;

use crate::error::Result;

pub use fit::{Covered, Fit};
pub use pil::resize_bicubic;
pub use read::{Orientation, ReadOptions, read_image, read_image_with, to_rgb};

/// How an encoder wants its images.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Preprocess {
    /// Side in pixels that [`Fit`] aims at.
    pub size: u32,
    /// How an image of any aspect ratio becomes one of the encoder's.
    pub fit: Fit,
    /// Mean of each channel, of values in `[0, 1]`.
    pub mean: [f32; 3],
    /// Standard deviation of each channel, of values in `[0, 1]`.
    pub std: [f32; 3],
}

impl Preprocess {
    /// A preprocessing with all its parts.
    pub fn new(size: u32, fit: Fit, mean: [f32; 3], std: [f32; 3]) -> Self {
        Self { size, fit, mean, std }
    }

    /// Resizes (and, where [`Fit`] says so, crops) an image to what the encoder takes.
    ///
    /// # Errors
    /// [`Error::ImageSize`](crate::Error::ImageSize) for an image without pixels.
    pub fn resize(&self, image: &RgbImage) -> Result<RgbImage> {
        fit::apply(self.fit, self.size, image)
    }

    /// Normalises resized images of one size to `[images, 3, height, width]`: `(value / 255 - mean) / std`.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`](crate::Error::InvalidConfig) where sizes differ or there is no image.
    pub fn to_tensor(&self, images: &[RgbImage], device: &Device) -> Result<Tensor<4>> {
        todo!("{images:?} {device:?} {:?}", TensorData::from([0.0]))
    }
}
