//! The methods that the paper compares with, over the same [`Encoder`](crate::encoder::Encoder): SPADE, PaDiM, PatchCore, WinCLIP.
//!
//! Each is a [`Decoder`](crate::decoder::Decoder), so that it can stand in an [`AnomalyGpt`](crate::AnomalyGpt) as well. For
//! [`WinClip`] that is natural: it compares with the text that it is given. The other three know nothing of a reference:
//! they compare with the normal photographs that they were fitted to, whatever they are given.
//!
//! They rank; their raw maps and scores have scales of their own and are not calibrated. What they give as calibrated map is
//! `raw / (1 + raw)`, which keeps ranks and lies in `[0, 1)`.

mod padim;
mod patch_core;
mod rows;
mod spade;
#[cfg(test)]
mod tests;
mod win_clip;

use burn::tensor::Tensor;

use crate::{
    decoder::{
        CALIBRATED, Localization, check_features,
        upsample::{align_corners, blur},
    },
    device::host,
    encoder::ImageFeatures,
    error::{Error, Result},
};

pub use padim::{Padim, PadimOptions};
pub use patch_core::{PatchCore, PatchCoreOptions};
pub use spade::{Spade, SpadeOptions};
pub use win_clip::{WinClip, WinClipOptions};

/// How a grid of values becomes a map.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MapOptions {
    /// Standard deviation, in patches, of a Gaussian blur of the grid; 0 for none. All of the papers but WinCLIP's blur their
    /// maps of 224 pixels with a deviation of 4, half a patch of 8 pixels.
    pub smoothing: f32,
    /// Pixels of the map a patch, along each axis.
    pub upscale: usize,
}

impl Default for MapOptions {
    fn default() -> Self {
        Self { smoothing: 0.5, upscale: 8 }
    }
}

impl MapOptions {
    fn check(&self) -> Result<()> {
        if !(self.smoothing >= 0.0 && self.smoothing.is_finite()) {
            return Err(invalid("smoothing", "it must be 0 or above"));
        }
        if self.upscale == 0 {
            return Err(invalid("upscale", "it must be at least 1"));
        }
        Ok(())
    }

    /// Blurred, `[batch, rows * columns]`.
    fn smoothed(&self, values: Tensor<2>, grid: [usize; 2]) -> Tensor<2> {
        if self.smoothing == 0.0 { values } else { blur(values.unsqueeze_dim(2), grid, self.smoothing).squeeze_dim(2) }
    }

    /// A localization of `size` (rows and columns of patches) from values `[batch, rows * columns]` of `grid`, at least 0, and
    /// scores `[batch]`.
    fn localization(&self, values: Tensor<2>, grid: [usize; 2], size: [usize; 2], score: Tensor<1>) -> Localization {
        let [batch, _] = values.dims();
        let raw = align_corners(values.reshape([batch, 1, grid[0], grid[1]]), size.map(|cells| cells * self.upscale));
        Localization { map: raw.clone() / (raw.clone() + 1.0), raw, threshold: CALIBRATED, score }
    }
}

fn invalid(what: &'static str, reason: &'static str) -> Error {
    Error::InvalidConfig { what, reason: reason.into() }
}

/// Widths of the taps of normal images, once there is one image at least and all fit together.
fn fitting_widths(normals: &[ImageFeatures]) -> Result<Vec<usize>> {
    let first = normals.first().ok_or(Error::NoNormals)?;
    let widths: Vec<usize> = first.patch_tokens.iter().map(|tokens| tokens.dims()[2]).collect();
    for image in normals {
        if check_features(image, &widths)? == 0 {
            return Err(Error::NoNormals);
        }
    }
    Ok(widths)
}

/// All taps side by side, `[batch, patches, sum of widths]`: the feature pyramids of SPADE, PaDiM and PatchCore, whose coarser
/// layers are resampled to the finest grid too.
fn pyramid(image: &ImageFeatures, widths: &[usize]) -> Result<Tensor<3>> {
    check_features(image, widths)?;
    Ok(Tensor::cat(image.patch_tokens.clone(), 2))
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>> {
    host("the tensor backend", tensor)
}
