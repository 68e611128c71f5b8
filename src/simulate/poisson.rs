//! Poisson image editing (Perez et al. 2003), by a direct solve with the discrete sine transform.
//!
//! Same method as OpenCV's `seamlessClone`: the mask's bounding box is solved as a rectangle whose border pixels are the target's, with
//! the source's gradients inside the mask (eroded by three pixels) and the target's elsewhere. So pixels of the rectangle outside the mask can change a
//! little; pixels outside the rectangle never do. Deviation: values are rounded where OpenCV truncates, so an unchanged gradient field gives
//! the target back exactly, and other results are at most one level brighter than OpenCV's.

use std::sync::Arc;

use image::{GrayImage, RgbImage};
use rustdct::{DctPlanner, Dst1};

use super::{bounding_box, set};
use crate::error::{Error, Result};

/// Pixels that the mask loses at its outline, as in OpenCV: a band in which the target's gradients lead over to the source's.
const EROSION: usize = 3;
/// Colour channels of an RGB image.
const CHANNELS: usize = 3;

/// Which gradients count inside the mask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cloning {
    /// The source's (OpenCV's `NORMAL_CLONE`).
    #[default]
    Normal,
    /// The stronger of source's and target's at each pixel (OpenCV's `MIXED_CLONE`): the target's texture shines through.
    Mixed,
}

/// Blends the masked part of `source` into `target`, with the mask's bounding box centred at `center` (`x`, `y` in pixels of the target).
///
/// `mask` has the size of `source`; pixels other than 0 count, except on its outermost ring. Where no pixel counts, or the bounding box is under
/// three pixels wide or high, the target comes back as it is. Source: OpenCV's `seamlessClone`.
///
/// # Errors
/// [`Error::InvalidConfig`] where the mask's size is not the source's, or the bounding box leaves the target.
pub fn seamless_clone(source: &RgbImage, mask: &GrayImage, target: &RgbImage, center: (u32, u32), cloning: Cloning) -> Result<RgbImage> {
    if mask.dimensions() != source.dimensions() {
        let reason = format!("{:?} pixels, but the source has {:?}", mask.dimensions(), source.dimensions()).into();
        return Err(Error::InvalidConfig { what: "mask of a seamless clone", reason });
    }
    let mut result = target.clone();
    let Some((left, top, width, height)) = clone_box(mask) else { return Ok(result) };
    let (x, y) = origin(center, (width, height), target.dimensions())?;
    if width < 3 || height < 3 {
        return Ok(result);
    }
    let inside = eroded(mask, (left, top, width, height));
    let size = (width as usize, height as usize);
    let mut solver = Solver::new(size.0 - 2, size.1 - 2);
    for channel in 0..CHANNELS {
        let patch = plane(source, (left, top), size, channel);
        let ground = plane(target, (x, y), size, channel);
        let mut correction = divergence(&patch, &ground, &inside, size, cloning);
        solver.solve(&mut correction);
        for (index, value) in correction.iter().enumerate() {
            let (column, row) = (index % (size.0 - 2) + 1, index / (size.0 - 2) + 1);
            let blended = (ground[row * size.0 + column] + value).round().clamp(0.0, 255.0);
            result.get_pixel_mut(x + column as u32, y + row as u32).0[channel] = blended as u8;
        }
    }
    Ok(result)
}

/// Left, top, width and height of the pixels other than 0, the outermost ring left out.
fn clone_box(mask: &GrayImage) -> Option<(u32, u32, u32, u32)> {
    bounding_box(set(mask).filter(|&(x, y)| counts(mask, x, y))).map(Into::into)
}

fn counts(mask: &GrayImage, x: u32, y: u32) -> bool {
    x > 0 && y > 0 && x + 1 < mask.width() && y + 1 < mask.height()
}

/// Where the rectangle starts in the target.
fn origin(center: (u32, u32), size: (u32, u32), target: (u32, u32)) -> Result<(u32, u32)> {
    let start = |center: u32, size: u32, limit: u32| {
        center.checked_sub(size / 2).filter(|start| start.checked_add(size).is_some_and(|end| end <= limit))
    };
    match (start(center.0, size.0, target.0), start(center.1, size.1, target.1)) {
        (Some(x), Some(y)) => Ok((x, y)),
        _ => {
            let reason = format!("a patch of {size:?} pixels at {center:?} leaves the target of {target:?}").into();
            Err(Error::InvalidConfig { what: "center of a seamless clone", reason })
        }
    }
}

/// Which pixels of the rectangle keep the source's gradients, row by row.
fn eroded(mask: &GrayImage, (left, top, width, height): (u32, u32, u32, u32)) -> Vec<bool> {
    let reach = EROSION as i64;
    let set = |x: i64, y: i64| {
        let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else { return false };
        counts(mask, x, y) && mask.get_pixel(x, y).0[0] > 0
    };
    let (width, height) = (i64::from(width), i64::from(height));
    let (left, top) = (i64::from(left), i64::from(top));
    // A square window is separable: first along rows, then along columns.
    let mut rows = vec![false; (width * (height + 2 * reach)) as usize];
    for y in 0..height + 2 * reach {
        for x in 0..width {
            rows[(y * width + x) as usize] = (-reach..=reach).all(|step| set(left + x + step, top + y - reach));
        }
    }
    let column = |x: i64, y: i64| (0..=2 * reach).all(|step| rows[((y + step) * width + x) as usize]);
    (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| column(x, y)).collect()
}

fn plane(image: &RgbImage, (left, top): (u32, u32), (width, height): (usize, usize), channel: usize) -> Vec<f32> {
    let at = |index: usize| image.get_pixel(left + (index % width) as u32, top + (index / width) as u32).0[channel];
    (0..width * height).map(|index| f32::from(at(index))).collect()
}

/// Divergence of the wanted gradient field less the target's own, at the rectangle's inner pixels: whole numbers, 0 where nothing is to change.
fn divergence(patch: &[f32], ground: &[f32], inside: &[bool], (width, height): (usize, usize), cloning: Cloning) -> Vec<f32> {
    let excess = |x: usize, y: usize| -> [f32; 2] {
        let at = y * width + x;
        if !inside[at] || x + 1 == width || y + 1 == height {
            return [0.0; 2];
        }
        let gradient = |values: &[f32]| [values[at + 1] - values[at], values[at + width] - values[at]];
        let (new, old) = (gradient(patch), gradient(ground));
        // OpenCV compares differences of the two components, not lengths.
        let keeps = cloning == Cloning::Mixed && (new[0] - new[1]).abs() <= (old[0] - old[1]).abs();
        if keeps { [0.0; 2] } else { [new[0] - old[0], new[1] - old[1]] }
    };
    let mut field = Vec::with_capacity((width - 2) * (height - 2));
    for y in 1..height - 1 {
        for x in 1..width - 1 {
            let here = excess(x, y);
            field.push(here[0] - excess(x - 1, y)[0] + here[1] - excess(x, y - 1)[1]);
        }
    }
    field
}

/// Solves the discrete Poisson equation on a rectangle whose surroundings are 0.
struct Solver {
    across: Arc<dyn Dst1<f32>>,
    down: Arc<dyn Dst1<f32>>,
    width: usize,
    height: usize,
    scratch: Vec<f32>,
    turned: Vec<f32>,
}

impl Solver {
    fn new(width: usize, height: usize) -> Self {
        let mut planner = DctPlanner::new();
        let (across, down) = (planner.plan_dst1(width), planner.plan_dst1(height));
        let scratch = vec![0.0; across.get_scratch_len().max(down.get_scratch_len())];
        Self { across, down, width, height, scratch, turned: vec![0.0; width * height] }
    }

    /// Replaces the right-hand side, row by row, by the solution.
    fn solve(&mut self, field: &mut [f32]) {
        let (width, height) = (self.width, self.height);
        transform(&*self.across, field, width, &mut self.scratch);
        transpose(field, &mut self.turned, width, height);
        transform(&*self.down, &mut self.turned, height, &mut self.scratch);
        let cosines = |count: usize| -> Vec<f32> {
            (1..=count).map(|at| 2.0 * (std::f64::consts::PI * at as f64 / (count + 1) as f64).cos() as f32).collect()
        };
        let (along_x, along_y) = (cosines(width), cosines(height));
        let scale = 4.0 / ((width + 1) as f32 * (height + 1) as f32);
        for (column, x) in self.turned.chunks_exact_mut(height).zip(along_x) {
            for (value, y) in column.iter_mut().zip(&along_y) {
                *value *= scale / (x + y - 4.0);
            }
        }
        transform(&*self.down, &mut self.turned, height, &mut self.scratch);
        transpose(&self.turned, field, height, width);
        transform(&*self.across, field, width, &mut self.scratch);
    }
}

fn transform(sines: &dyn Dst1<f32>, values: &mut [f32], length: usize, scratch: &mut [f32]) {
    let needed = sines.get_scratch_len();
    for line in values.chunks_exact_mut(length) {
        // rustdct 0.7.1 takes two places of its scratch for zeros that it never writes.
        scratch.fill(0.0);
        sines.process_dst1_with_scratch(line, &mut scratch[..needed]);
    }
}

fn transpose(from: &[f32], to: &mut [f32], width: usize, height: usize) {
    for (y, row) in from.chunks_exact(width).enumerate() {
        for (x, value) in row.iter().enumerate() {
            to[x * height + y] = *value;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use image::{Luma, Rgb};
    use proptest::prelude::*;

    use super::*;

    /// A texture with values in `[60, 190]`, so that offsets up to 50 stay in range.
    fn texture(width: u32, height: u32, seed: u32) -> RgbImage {
        let wave = |x: u32, y: u32, channel: u32| ((x * 7 + y * 13 + seed) % 31) * 2 + ((x * y + channel * 11 + seed) % 17) * 4 + 60;
        RgbImage::from_fn(width, height, |x, y| Rgb([0, 1, 2].map(|channel| wave(x, y, channel) as u8)))
    }

    fn disc(width: u32, height: u32) -> GrayImage {
        let (middle_x, middle_y) = (f64::from(width) / 2.0, f64::from(height) / 2.0);
        GrayImage::from_fn(width, height, |x, y| {
            let (u, v) = ((f64::from(x) + 0.5 - middle_x) / middle_x, (f64::from(y) + 0.5 - middle_y) / middle_y);
            Luma([if u * u + v * v < 1.0 { 255 } else { 0 }])
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn a_source_brighter_by_a_constant_leaves_the_target_as_it_is(
            width in 3u32..40, height in 3u32..40, x in 0u32..20, y in 0u32..20, offset in -50i16..50, round in any::<bool>(), mixed in any::<bool>(),
        ) {
            let target = texture(64, 60, 5);
            let patch = RgbImage::from_fn(width, height, |u, v| Rgb(target.get_pixel(x + u, y + v).0.map(|value| (i16::from(value) + offset) as u8)));
            let mask = if round { disc(width, height) } else { GrayImage::from_pixel(width, height, Luma([255])) };
            // The mask's ring does not count: the bounding box starts one pixel further in.
            let center = clone_box(&mask).map_or((30, 30), |(left, top, width, height)| (x + left + width / 2, y + top + height / 2));
            let cloning = if mixed { Cloning::Mixed } else { Cloning::Normal };
            prop_assert_eq!(seamless_clone(&patch, &mask, &target, center, cloning).unwrap(), target);
        }

        #[test]
        fn nothing_outside_the_rectangle_changes(width in 5u32..30, height in 5u32..30, seed in 0u32..99) {
            let (target, source, mask) = (texture(48, 40, seed), texture(width, height, seed + 7), disc(width, height));
            let (_, _, wide, high) = clone_box(&mask).unwrap();
            let result = seamless_clone(&source, &mask, &target, (24, 20), Cloning::Normal).unwrap();
            let (left, top) = (24 - wide / 2, 20 - high / 2);
            for (x, y, pixel) in result.enumerate_pixels() {
                let within = x > left && x + 1 < left + wide && y > top && y + 1 < top + high;
                prop_assert!(within || pixel == target.get_pixel(x, y), "({x}, {y}) changed");
            }
        }

        #[test]
        fn the_solution_fulfils_the_equation(width in 1usize..40, height in 1usize..40, seed in 0usize..99) {
            let wanted: Vec<f32> = (0..width * height).map(|index| ((index * 37 + seed * 11) % 23) as f32 - 11.0).collect();
            let mut solution = wanted.clone();
            Solver::new(width, height).solve(&mut solution);
            let at = |x: isize, y: isize| {
                let inside = x >= 0 && y >= 0 && x < width as isize && y < height as isize;
                if inside { solution[y as usize * width + x as usize] } else { 0.0 }
            };
            for (index, wanted) in wanted.iter().enumerate() {
                let (x, y) = ((index % width) as isize, (index / width) as isize);
                let laplacian = at(x - 1, y) + at(x + 1, y) + at(x, y - 1) + at(x, y + 1) - 4.0 * at(x, y);
                // 32-bit transforms of values up to some hundreds.
                prop_assert!((laplacian - wanted).abs() < 5e-3, "({x}, {y}): {laplacian} for {wanted}");
            }
        }
    }

    #[test]
    fn a_misfit_is_an_error_and_an_empty_mask_changes_nothing() {
        let (target, source) = (texture(20, 20, 1), texture(10, 10, 2));
        let full = GrayImage::from_pixel(10, 10, Luma([255]));
        assert!(seamless_clone(&source, &full, &target, (2, 10), Cloning::Normal).is_err());
        assert!(seamless_clone(&source, &full, &target, (10, u32::MAX), Cloning::Normal).is_err());
        assert!(seamless_clone(&source, &disc(9, 10), &target, (10, 10), Cloning::Normal).is_err());
        assert_eq!(seamless_clone(&source, &GrayImage::new(10, 10), &target, (0, 0), Cloning::Normal).unwrap(), target);
        assert_ne!(seamless_clone(&source, &full, &target, (10, 10), Cloning::Normal).unwrap(), target);
    }
}
