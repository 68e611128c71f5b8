//! The second stage: patch tokens against a reference, to a map of anomaly.
//!
//! The reference is either a pair of text vectors, one for the normal and one for the abnormal object (paper, Eq. 1), or
//! a memory bank of patches of normal images (Eq. 2).

pub mod context;
mod matching;
pub mod memory_bank;
pub mod patch_text;
pub(crate) mod upsample;

use std::{fmt, sync::Arc};

use burn::tensor::Tensor;

use crate::{
    encoder::ImageFeatures,
    error::{Error, Result},
};

pub use context::{ContextDecoder, ContextDecoderConfig};
pub use memory_bank::{MemoryBank, MemoryBankOptions};
pub use patch_text::{PatchTextDecoder, PatchTextDecoderConfig};

/// Unit vectors of the normal and the abnormal object, each `[1, width]`, or `[batch, width]` with a text for each image.
#[derive(Clone, Debug)]
pub struct TextPair {
    /// Mean direction of the sentences about a flawless object.
    pub normal: Tensor<2>,
    /// Mean direction of the sentences about a damaged object.
    pub abnormal: Tensor<2>,
}

/// Mean direction of sentences' vectors `[sentences, width]`, a unit vector `[1, width]` (`class_text_features` of the reference).
pub fn mean_direction(sentences: Tensor<2>) -> Tensor<2> {
    let mean = sentences.mean_dim(0);
    let norm = mean.clone().square().sum_dim(1).sqrt();
    mean / norm
}

/// What an image is compared with.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Reference<'a> {
    /// Two sentences' directions (paper, Eq. 1).
    Text(&'a TextPair),
    /// Patches of normal images (paper, Eq. 2).
    Normals(&'a MemoryBank),
    /// Both: a bank made [`with_text`](MemoryBank::with_text), and the text pair that it was made with.
    NormalsAndText(&'a MemoryBank, &'a TextPair),
}

/// Value above which a pixel of a calibrated map is anomalous.
pub(crate) const CALIBRATED: f32 = 0.5;

/// Where a decoder sees an anomaly.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Localization {
    /// Anomaly of each pixel in `[0, 1]`, `[batch, 1, height, width]`; of one scale for all products. Against a memory bank that
    /// is not calibrated it is one less a cosine, up to 2.
    pub map: Tensor<4>,
    /// The same before calibration; equal to [`map`](Self::map) where there is none.
    pub raw: Tensor<4>,
    /// Value of [`map`](Self::map) above which a pixel is anomalous, in `(0, 1)`: 0.5 for a calibrated map.
    pub threshold: f32,
    /// One number an image that ranks it, `[batch]`: the higher, the more anomalous.
    pub score: Tensor<1>,
}

impl Localization {
    /// A localization whose map needs no calibration; the score is the map's maximum.
    pub fn from_map(map: Tensor<4>) -> Self {
        let score = map.clone().flatten::<2>(1, 3).max_dim(1).squeeze_dim(1);
        Self { raw: map.clone(), map, threshold: CALIBRATED, score }
    }

    /// The map, cut off at 0 and 1, by the power that brings the threshold to 0.5, `[batch, 1, height, width]`: above 0.5 is anomalous,
    /// whatever the map comes of.
    ///
    /// # Errors
    /// [`Error::Component`] for a threshold that is not between 0 and 1.
    pub fn bordered(&self) -> Result<Tensor<4>> {
        if !(self.threshold > 0.0 && self.threshold < 1.0) {
            return Err(Error::component("decoder", format!("gave a threshold of {}, which is not between 0 and 1", self.threshold)));
        }
        let map = self.map.clone().clamp(0.0, 1.0);
        Ok(if self.threshold == CALIBRATED { map } else { map.powf_scalar(CALIBRATED.ln() / self.threshold.ln()) })
    }
}

/// Turns patch tokens and a reference into an anomaly map.
pub trait Decoder: fmt::Debug + Send + Sync {
    /// Localizes anomalies in a batch of images.
    ///
    /// # Errors
    /// Whatever the implementation reports; features or a reference of other widths than it was made for.
    fn localize(&self, image: &ImageFeatures, reference: Reference<'_>) -> Result<Localization>;
}

/// Size of the batch, once the number of taps, their widths and their grid are found to be right.
pub(crate) fn check_features(image: &ImageFeatures, widths: &[usize]) -> Result<usize> {
    let fits = |expected, found| check_fit("the image encoder", expected, found);
    let batch = image.images();
    fits(widths.len(), image.patch_tokens.len())?;
    for (tokens, &width) in image.patch_tokens.iter().zip(widths) {
        let [images, patches, found] = tokens.dims();
        fits(width, found)?;
        fits(batch, images)?;
        fits(image.grid[0] * image.grid[1], patches)?;
    }
    Ok(batch)
}

/// Whether what `left` gives is of the size that the decoder takes.
fn check_fit(left: &'static str, expected: usize, found: usize) -> Result<()> {
    if expected == found { Ok(()) } else { Err(Error::Incompatible { left, right: "the decoder", expected, found }) }
}

macro_rules! forward {
    ($pointer:ident) => {
        impl<T: Decoder + ?Sized> Decoder for $pointer<T> {
            fn localize(&self, image: &ImageFeatures, reference: Reference<'_>) -> Result<Localization> {
                (**self).localize(image, reference)
            }
        }
    };
}
forward!(Box);
forward!(Arc);

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn whatever_the_threshold_half_is_the_border() {
        let map = Tensor::<4>::from_data([[[[0.0f32, 0.2, 0.25, 0.3, 1.0]]]], &Device::default());
        let bordered = |threshold| Localization { threshold, ..Localization::from_map(map.clone()) }.bordered();
        let values = |threshold| bordered(threshold).unwrap().into_data().try_to_vec::<f32>().unwrap();
        let beyond = Localization::from_map(map.clone() * 3.0 - 1.0).bordered().unwrap();
        assert_eq!([beyond.clone().min(), beyond.max()].map(Tensor::into_scalar::<f32>), [0.0, 1.0]);
        assert_eq!(values(CALIBRATED), [0.0, 0.2, 0.25, 0.3, 1.0]);
        let found = values(0.25);
        assert!((found[2] - CALIBRATED).abs() < 1e-6 && found.is_sorted() && found[0] == 0.0 && found[4] == 1.0, "{found:?}");
        for threshold in [0.0, 1.0, f32::NAN, -0.5] {
            assert!(matches!(bordered(threshold), Err(Error::Component { component: "decoder", .. })), "{threshold}");
        }
    }
}
