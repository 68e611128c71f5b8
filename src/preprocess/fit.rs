//! Which pixels of an image an encoder sees, and at which size.

use image::RgbImage;

use super::{
    MIN_SIDE,
    pil::{Part, resize_part},
};
use crate::error::{Error, Result};

/// [`Fit::Keep`] keeps aspect ratios up to this; longer images are squeezed to it, so that their cost stays bounded.
pub const MAX_ASPECT: f64 = 8.0;

/// How an image of any aspect ratio becomes one of the encoder's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fit {
    /// Short side to `size`, then the centre `size` x `size`; the rest is not seen. Source: the reference's evaluation.
    Crop,
    /// Straight to `size` x `size`; the aspect ratio is lost. Source: the reference's demo and training.
    Squash,
    /// About `size` x `size` pixels of the image's own aspect ratio (up to [`MAX_ASPECT`]); all of it is seen.
    Keep {
        /// Both sides are a multiple of it.
        multiple: u32,
    },
}

/// The rectangle of the original image that a resized one shows, in the original's pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Covered {
    /// Left edge.
    pub x: f32,
    /// Upper edge.
    pub y: f32,
    /// Pixels across.
    pub width: f32,
    /// Pixels down.
    pub height: f32,
}

impl Covered {
    /// All of an image of `width` x `height`.
    pub fn whole(width: u32, height: u32) -> Self {
        Self { x: 0.0, y: 0.0, width: width as f32, height: height as f32 }
    }
}

impl Fit {
    /// What an image of `width` x `height` pixels shows of itself once fitted to `size`.
    pub fn covered(self, size: u32, width: u32, height: u32) -> Covered {
        let Self::Crop = self else { return Covered::whole(width, height) };
        if [size, width, height].contains(&0) {
            return Covered::whole(width, height);
        }
        let (full, part) = self.plan(size, width, height);
        let (across, down) = (width as f32 / full.0 as f32, height as f32 / full.1 as f32);
        Covered { x: part.x as f32 * across, y: part.y as f32 * down, width: part.width as f32 * across, height: part.height as f32 * down }
    }

    /// The size to resize to, and the part of that which is kept; no argument is 0.
    fn plan(self, size: u32, width: u32, height: u32) -> ((u32, u32), Part) {
        let full = match self {
            Self::Crop => (cropped_side(size, width, height), cropped_side(size, height, width)),
            Self::Squash => (size, size),
            Self::Keep { multiple } => kept_size(size, multiple, width, height),
        };
        let part = match self {
            Self::Crop => Part { x: margin(full.0, size), y: margin(full.1, size), width: size, height: size },
            _ => Part { x: 0, y: 0, width: full.0, height: full.1 },
        };
        (full, part)
    }
}

/// A side when the short one becomes `size`: truncated, as in the reference.
fn cropped_side(size: u32, side: u32, other: u32) -> u32 {
    if side <= other { size } else { (f64::from(size) * f64::from(side) / f64::from(other)) as u32 }
}

/// Pixels cut off before the centre; halves go to the even number, as Python rounds.
fn margin(full: u32, size: u32) -> u32 {
    (f64::from(full - size) / 2.0).round_ties_even() as u32
}

fn kept_size(size: u32, multiple: u32, width: u32, height: u32) -> (u32, u32) {
    let stretch = (f64::from(width) / f64::from(height)).clamp(1.0 / MAX_ASPECT, MAX_ASPECT).sqrt();
    let side = |length: f64| (length / f64::from(multiple)).round().max(1.0) as u32 * multiple;
    (side(f64::from(size) * stretch), side(f64::from(size) / stretch))
}

/// Resizes and crops an image.
///
/// # Errors
/// [`Error::ImageSize`] where a side is under [`MIN_SIDE`], [`Error::InvalidConfig`] where `size` or `multiple` is 0.
pub(super) fn apply(fit: Fit, size: u32, image: &RgbImage) -> Result<RgbImage> {
    let (width, height) = image.dimensions();
    if size == 0 || fit == (Fit::Keep { multiple: 0 }) {
        return Err(Error::InvalidConfig { what: "preprocessing", reason: "its size and its multiple must be at least 1".into() });
    }
    check_min_side(width, height)?;
    let (full, part) = fit.plan(size, width, height);
    Ok(resize_part(image, full, part))
}

pub(super) fn check_min_side(width: u32, height: u32) -> Result<()> {
    if width.min(height) < MIN_SIDE {
        return Err(Error::image_size((width, height), format!("is too small to inspect; both sides need at least {MIN_SIDE}")));
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn crop_truncates_and_rounds_half_to_even() {
        let plan = |width, height| Fit::Crop.plan(224, width, height);
        assert_eq!(plan(900, 600).0, (336, 224));
        assert_eq!(plan(640, 479).0, (299, 224), "224 * 640 / 479 = 299.29");
        assert_eq!(plan(229, 224).1.x, 2, "2.5 goes to 2");
        assert_eq!(plan(224, 227).1.y, 2, "1.5 goes to 2");
    }

    #[test]
    fn covered_is_the_centre_for_crop_and_all_for_the_rest() {
        assert_eq!(Fit::Crop.covered(224, 896, 448), Covered { x: 224.0, y: 0.0, width: 448.0, height: 448.0 });
        assert_eq!(Fit::Squash.covered(224, 896, 448), Covered::whole(896, 448));
        assert_eq!(Fit::Keep { multiple: 32 }.covered(224, 896, 448), Covered::whole(896, 448));
    }

    #[test]
    fn a_very_long_crop_costs_what_a_square_costs() {
        let image = RgbImage::from_pixel(30_000, 8, image::Rgb([7, 8, 9]));
        assert_eq!(apply(Fit::Crop, 224, &image).unwrap(), RgbImage::from_pixel(224, 224, image::Rgb([7, 8, 9])));
    }

    #[test]
    fn what_cannot_be_resized_is_refused() {
        let error = apply(Fit::Squash, 224, &RgbImage::new(1, 1)).unwrap_err();
        assert!(matches!(error, Error::ImageSize { path: None, width: 1, height: 1, .. }), "{error:?}");
        assert!(error.to_string().contains("at least 8"), "{error}");
        assert!(apply(Fit::Squash, 224, &RgbImage::new(0, 0)).is_err());
        for (fit, size) in [(Fit::Squash, 0), (Fit::Keep { multiple: 0 }, 224)] {
            assert!(matches!(apply(fit, size, &RgbImage::new(9, 9)), Err(Error::InvalidConfig { .. })));
        }
    }

    proptest! {
        #[test]
        fn keep_holds_aspect_ratio_area_and_multiple(width in 8..4000u32, height in 8..4000u32, size in 128..512u32, multiple in 1..33u32) {
            let ((across, down), part) = Fit::Keep { multiple }.plan(size, width, height);
            prop_assert_eq!((part.x, part.y, part.width, part.height), (0, 0, across, down));
            prop_assert!(across % multiple == 0 && down % multiple == 0 && across >= multiple && down >= multiple);
            let aspect = (f64::from(width) / f64::from(height)).clamp(1.0 / MAX_ASPECT, MAX_ASPECT);
            let half = f64::from(multiple) / 2.0 + 1e-6;
            prop_assert!((f64::from(across) - f64::from(size) * aspect.sqrt()).abs() <= half);
            prop_assert!((f64::from(down) - f64::from(size) / aspect.sqrt()).abs() <= half);
        }

        #[test]
        fn crop_covers_a_part_of_the_image(width in 8..4000u32, height in 8..4000u32, size in 8..512u32) {
            let covered = Fit::Crop.covered(size, width, height);
            prop_assert!(covered.x >= 0.0 && covered.y >= 0.0);
            prop_assert!(covered.x + covered.width <= width as f32 * 1.0001 && covered.y + covered.height <= height as f32 * 1.0001);
            let short = width.min(height) as f32;
            prop_assert!((covered.width.min(covered.height) / short - 1.0).abs() < 1e-4);
        }
    }
}
