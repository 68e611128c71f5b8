//! Photographs to tensors: decode, fit, resize exactly as Pillow does, normalise.

mod fit;
mod jpeg;
mod pil;
mod read;

use std::array;

use burn::tensor::{Device, Tensor, TensorData};
use image::RgbImage;

use crate::error::{Error, Result};

pub use fit::{Covered, Fit, MAX_ASPECT};
pub use pil::resize_bicubic;
#[cfg(feature = "eval")]
pub(crate) use pil::resize_bilinear;
pub use read::{MAX_DECODED_BYTES, MAX_PIXELS, MAX_SIDE, Narrowing, Orientation, ReadOptions, read_image, read_image_with, to_rgb};

/// Shortest side in pixels that is inspected; less has nothing to see, and resizing it would make things up.
pub const MIN_SIDE: u32 = 8;

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
    /// [`Error::ImageSize`] where a side is under [`MIN_SIDE`], [`Error::InvalidConfig`] where a size of this preprocessing is 0.
    pub fn resize(&self, image: &RgbImage) -> Result<RgbImage> {
        fit::apply(self.fit, self.size, image)
    }

    /// Normalises resized images of one size to `[images, 3, height, width]`: `(value / 255 - mean) / std`.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] where sizes differ or there is no image.
    pub fn to_tensor(&self, images: &[RgbImage], device: &Device) -> Result<Tensor<4>> {
        let invalid = |reason: String| Error::InvalidConfig { what: "batch of images", reason: reason.into() };
        let Some((width, height)) = images.first().map(RgbImage::dimensions) else {
            return Err(invalid("it holds no image".into()));
        };
        if let Some(other) = images.iter().find(|image| image.dimensions() != (width, height)) {
            return Err(invalid(format!("it holds images of {width}x{height} and of {}x{} pixels", other.width(), other.height())));
        }
        let levels = self.normalized_levels();
        let area = width as usize * height as usize;
        let mut values = vec![0.0; images.len() * 3 * area];
        for (image, planes) in images.iter().zip(values.chunks_exact_mut((3 * area).max(1))) {
            for (channel, plane) in planes.chunks_exact_mut(area).enumerate() {
                for (value, pixel) in plane.iter_mut().zip(image.as_raw().as_chunks::<3>().0) {
                    *value = levels[channel][usize::from(pixel[channel])];
                }
            }
        }
        Ok(Tensor::from_data(TensorData::new(values, [images.len(), 3, height as usize, width as usize]), device))
    }

    /// What each of the 256 levels becomes, per channel.
    fn normalized_levels(&self) -> [[f32; 256]; 3] {
        array::from_fn(|channel| array::from_fn(|level| (level as f32 / 255.0 - self.mean[channel]) / self.std[channel]))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use image::Rgb;

    use super::*;

    #[test]
    fn tensors_are_planes_of_normalised_values() {
        let preprocess = Preprocess::new(8, Fit::Squash, [0.5, 0.25, 0.0], [0.5, 1.0, 2.0]);
        let images = [1u8, 2].map(|seed| RgbImage::from_fn(3, 2, |x, y| Rgb([seed * 10 + x as u8, y as u8, 255])));
        let tensor = preprocess.to_tensor(&images, &Device::default()).unwrap();
        assert_eq!(tensor.dims(), [2, 3, 2, 3]);
        let values = tensor.into_data().try_to_vec::<f32>().unwrap();
        assert_eq!(values[18 + 2], (22.0f32 / 255.0 - 0.5) / 0.5, "second image, red, row 0, column 2");
        assert_eq!(values[6 + 3], 1.0f32 / 255.0 - 0.25, "first image, green, row 1, column 0");
        assert_eq!(values[12..18], [0.5; 6], "first image, blue");
    }

    #[test]
    fn batches_of_nothing_or_of_mixed_sizes_are_refused() {
        let preprocess = Preprocess::new(8, Fit::Squash, [0.0; 3], [1.0; 3]);
        assert!(matches!(preprocess.to_tensor(&[], &Device::default()), Err(Error::InvalidConfig { .. })));
        let error = preprocess.to_tensor(&[RgbImage::new(4, 4), RgbImage::new(4, 5)], &Device::default()).unwrap_err();
        assert!(error.to_string().contains("4x4 and of 4x5"), "{error}");
    }
}
