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
    /// Long side to `size`, aspect ratio kept; the image stands in the middle of `size` x `size` pixels and is mirrored at its
    /// edges to fill them, so that no frame stands out. All of it is seen, once.
    Pad,
}

/// The rectangle that a resized image shows, in the original's pixels. With [`Fit::Pad`] it is larger than the original.
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
        if !matches!(self, Self::Crop | Self::Pad) || [size, width, height].contains(&0) {
            return Covered::whole(width, height);
        }
        let (full, part) = self.plan(size, width, height);
        let (across, down) = (width as f32 / full.0 as f32, height as f32 / full.1 as f32);
        if self == Self::Pad {
            let (x, y) = (-(padding(full.0, size) as f32) * across, -(padding(full.1, size) as f32) * down);
            return Covered { x, y, width: size as f32 * across, height: size as f32 * down };
        }
        Covered { x: part.x as f32 * across, y: part.y as f32 * down, width: part.width as f32 * across, height: part.height as f32 * down }
    }

    /// The size to resize to, and the part of that which is kept; no argument is 0.
    fn plan(self, size: u32, width: u32, height: u32) -> ((u32, u32), Part) {
        let full = match self {
            Self::Crop => (cropped_side(size, width, height), cropped_side(size, height, width)),
            Self::Squash => (size, size),
            Self::Keep { multiple } => kept_size(size, multiple, width, height),
            Self::Pad => (padded_side(size, width, height), padded_side(size, height, width)),
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

/// A side when the long one becomes `size`.
fn padded_side(size: u32, side: u32, other: u32) -> u32 {
    if side >= other { size } else { ((f64::from(size) * f64::from(side) / f64::from(other)).round() as u32).max(1) }
}

/// Mirrored pixels before an image whose side is `side`.
fn padding(side: u32, size: u32) -> u32 {
    (size - side) / 2
}

/// The image in the middle of `size` x `size` pixels, mirrored at its edges as often as it takes.
fn mirrored(image: &RgbImage, size: u32) -> RgbImage {
    let from = |at: u32, side: u32| {
        let period = i64::from(side) * 2;
        let at = (i64::from(at) - i64::from(padding(side, size))).rem_euclid(period);
        (if at < i64::from(side) { at } else { period - 1 - at }) as u32
    };
    let (width, height) = image.dimensions();
    RgbImage::from_fn(size, size, |x, y| *image.get_pixel(from(x, width), from(y, height)))
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
    let resized = resize_part(image, full, part);
    Ok(if fit == Fit::Pad { mirrored(&resized, size) } else { resized })
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
    fn padding_mirrors_and_shows_all() {
        let image = RgbImage::from_fn(16, 8, |x, y| image::Rgb([x as u8, y as u8, 0]));
        let padded = apply(Fit::Pad, 16, &image).unwrap();
        assert_eq!(padded.dimensions(), (16, 16));
        for (row, shown) in [(0, 3), (3, 0), (4, 0), (11, 7), (12, 7), (15, 4)] {
            assert_eq!(padded.get_pixel(5, row), &image::Rgb([5, shown, 0]), "row {row}");
        }
        assert_eq!(Fit::Pad.covered(16, 16, 8), Covered { x: 0.0, y: -4.0, width: 16.0, height: 16.0 });
        assert_eq!(Fit::Pad.covered(224, 448, 448), Covered::whole(448, 448));
        let thin = apply(Fit::Pad, 16, &RgbImage::from_pixel(2000, 8, image::Rgb([7, 8, 9]))).unwrap();
        assert_eq!(thin, RgbImage::from_pixel(16, 16, image::Rgb([7, 8, 9])));
    }

    #[test]
    fn a_map_of_a_padded_image_goes_back_to_its_place() {
        let (size, width, height) = (16u32, 32u32, 16u32);
        let values = (0..size * size).map(|at| if (4..12).contains(&(at / size)) { (at % size) as f32 } else { -1.0 });
        let map = crate::AnomalyMap::new(size, size, values.collect()).unwrap();
        let placed = map.place_into(Fit::Pad.covered(size, width, height), width, height).unwrap();
        for (x, y) in [(0, 8), (9, 4), (31, 12), (16, 8)] {
            let expected = ((x as f32 - 0.5) / 2.0).clamp(0.0, 15.0);
            let found = placed.get(x, y).unwrap();
            assert!((found - expected).abs() < 0.51, "{x} {y}: {found}");
        }
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
        fn a_padded_image_covers_all_of_it(width in 8..4000u32, height in 8..4000u32, size in 8..512u32) {
            let covered = Fit::Pad.covered(size, width, height);
            prop_assert!(covered.x <= 0.0 && covered.y <= 0.0);
            let rounding = 1e-3 * width.max(height) as f32;
            prop_assert!(covered.x + covered.width >= width as f32 - rounding && covered.y + covered.height >= height as f32 - rounding);
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
