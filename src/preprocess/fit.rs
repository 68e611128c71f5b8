//! Fit.
use image::RgbImage;
use crate::error::Result;
/// How an image of any aspect ratio becomes one of the encoder's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fit {
    /// Short side to `size`, then the centre `size` x `size` (the reference's evaluation); the rest is not seen.
    Crop,
    /// Straight to `size` x `size` (the reference's demo and training); the aspect ratio is lost.
    Squash,
    /// About `size` x `size` pixels of the image's own aspect ratio, sides a multiple of `multiple`; all of it is seen.
    Keep {
        /// Both sides are a multiple of it.
        multiple: u32,
    },
}
/// The part of the original image that the resized one shows, in its pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Covered { pub x: f32, pub y: f32, pub width: f32, pub height: f32 }
pub(super) fn apply(_fit: Fit, _size: u32, _image: &RgbImage) -> Result<RgbImage> { todo!() }
