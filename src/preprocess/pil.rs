//! Pillow's bicubic and bilinear resize, bit for bit.
//!
//! Source: Pillow 10.0's `Image.resize(size, Image.BICUBIC)`, which the reference calls: cubic kernel with a = -0.5,
//! widened when shrinking (for masks `Image.BILINEAR`, a triangle); horizontal pass first, then vertical, 8-bit values in
//! between, fixed-point weights of 22 bits.
//! (Later Pillows run the vertical pass first where that is cheaper, and then differ by one level here and there.)

use std::ops::Range;

#[cfg(feature = "eval")]
use image::GrayImage;
use image::RgbImage;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

const PRECISION_BITS: u32 = 22;
const HALF: i32 = 1 << (PRECISION_BITS - 1);
/// Fewer rows than this are not worth another thread.
const ROWS_A_TASK: usize = 8;
/// Values that the horizontal pass multiplies at a time: a register of 32-bit numbers, and a pixel's channels fit in.
const LANES: usize = 4;

/// Resizes an image exactly as Pillow does.
///
/// A side that stays the same is not filtered. Where a side of either image is 0, the result has no information: it is black.
/// Source: the reference's `resize_u8`.
pub fn resize_bicubic(image: &RgbImage, width: u32, height: u32) -> RgbImage {
    resize_part(image, (width, height), Part { x: 0, y: 0, width, height })
}

/// Resizes a mask as Pillow does with `Image.BILINEAR`, which averages where it shrinks; edge cases as [`resize_bicubic`].
#[cfg(feature = "eval")]
pub(crate) fn resize_bilinear(mask: &GrayImage, width: u32, height: u32) -> GrayImage {
    let mut output = GrayImage::new(width, height);
    let source = mask.dimensions();
    if ![source.0, source.1, width, height].contains(&0) {
        let columns = windows(BILINEAR, source.0, width, 0..width);
        let rows = windows(BILINEAR, source.1, height, 0..height);
        let middle = filter_rows::<1>(mask.as_raw(), source.0 as usize, &columns);
        filter_columns(&middle, &rows, &mut output, width as usize);
    }
    output
}

/// A rectangle of a resized image, in its pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) x: u32,
    pub(super) y: u32,
    pub(super) width: u32,
    pub(super) height: u32,
}

/// The part of `resize_bicubic(image, full.0, full.1)` that is asked for, without the cost of the rest.
pub(super) fn resize_part(image: &RgbImage, full: (u32, u32), part: Part) -> RgbImage {
    let source = (image.width(), image.height());
    if source == full && (part.width, part.height) == full {
        return image.clone();
    }
    let mut output = RgbImage::new(part.width, part.height);
    if [source.0, source.1, part.width, part.height].contains(&0) {
        return output;
    }
    let columns = windows(BICUBIC, source.0, full.0, part.x..part.x + part.width);
    let mut rows = windows(BICUBIC, source.1, full.1, part.y..part.y + part.height);
    let (first, last) = rows.iter().fold((usize::MAX, 0), |(first, last), row| (first.min(row.start), last.max(row.end())));
    for row in &mut rows {
        row.start -= first;
    }
    let stride = source.0 as usize * 3;
    let middle = filter_rows::<3>(&image.as_raw()[first * stride..last * stride], stride, &columns);
    filter_columns(&middle, &rows, &mut output, part.width as usize * 3);
    output
}

/// A filter's weight by distance, and the distance from which on it is 0, in source pixels when enlarging.
#[derive(Clone, Copy)]
struct Kernel {
    weight: fn(f64) -> f64,
    support: f64,
}

const BICUBIC: Kernel = Kernel { weight: cubic, support: 2.0 };
#[cfg(feature = "eval")]
const BILINEAR: Kernel = Kernel { weight: |x| (1.0 - x.abs()).max(0.0), support: 1.0 };

/// The source pixels that one output pixel sees, and their weights.
struct Window {
    start: usize,
    weights: Vec<i32>,
}

impl Window {
    fn end(&self) -> usize {
        self.start + self.weights.len()
    }
}

fn windows(kernel: Kernel, source: u32, full: u32, part: Range<u32>) -> Vec<Window> {
    let scale = f64::from(source) / f64::from(full);
    part.map(|index| {
        if source == full {
            Window { start: index as usize, weights: vec![1 << PRECISION_BITS] }
        } else {
            window(kernel, index, scale, source as usize)
        }
    })
    .collect()
}

fn window(kernel: Kernel, index: u32, scale: f64, source: usize) -> Window {
    let stretch = scale.max(1.0);
    let support = kernel.support * stretch;
    let center = (f64::from(index) + 0.5) * scale;
    let start = ((center - support + 0.5) as isize).max(0) as usize;
    let end = ((center + support + 0.5) as usize).min(source);
    let weights: Vec<f64> = (start..end).map(|at| (kernel.weight)((at as f64 - center + 0.5) * (1.0 / stretch))).collect();
    let sum: f64 = weights.iter().sum();
    Window { start, weights: weights.iter().map(|weight| fixed_point(weight / sum)).collect() }
}

fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

fn fixed_point(weight: f64) -> i32 {
    let scaled = weight * f64::from(1 << PRECISION_BITS);
    (if scaled < 0.0 { scaled - 0.5 } else { scaled + 0.5 }) as i32
}

#[inline(always)]
fn to_level(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}

/// Horizontal pass: rows of `stride` bytes become rows of `columns.len()` pixels.
fn filter_rows<const CHANNELS: usize>(source: &[u8], stride: usize, columns: &[Window]) -> Vec<u8> {
    let width = columns.len() * CHANNELS;
    let mut output = vec![0; source.len() / stride * width];
    let rows = output.par_chunks_exact_mut(width).zip(source.par_chunks_exact(stride)).with_min_len(ROWS_A_TASK);
    rows.for_each(|(output, source)| Arch::new().dispatch(Across::<CHANNELS> { source, columns, output }));
    output
}

/// Vertical pass: every output row is a weighted sum of rows of `source`, of `width` bytes.
fn filter_columns(source: &[u8], rows: &[Window], output: &mut [u8], width: usize) {
    let rows = output.par_chunks_exact_mut(width).zip(rows).with_min_len(ROWS_A_TASK);
    rows.for_each(|(output, window)| Arch::new().dispatch(Down { source, window, output }));
}

/// One row of the horizontal pass.
struct Across<'a, const CHANNELS: usize> {
    source: &'a [u8],
    columns: &'a [Window],
    output: &'a mut [u8],
}

impl<const CHANNELS: usize> WithSimd for Across<'_, CHANNELS> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        // Sums of a whole row, as the compiler gives up the register for a fourth sum that is dropped at once.
        let mut sums = vec![[HALF; LANES]; self.columns.len()];
        for (sum, column) in sums.iter_mut().zip(self.columns) {
            *sum = weighted_sum::<CHANNELS>(&self.source[column.start * CHANNELS..], &column.weights);
        }
        for (pixel, sum) in self.output.as_chunks_mut::<CHANNELS>().0.iter_mut().zip(&sums) {
            for (level, &sum) in pixel.iter_mut().zip(sum) {
                *level = to_level(sum);
            }
        }
    }
}

/// Sum of pixels times their weights, in the first `CHANNELS` numbers; those after come of the next pixel and mean nothing.
#[inline(always)]
fn weighted_sum<const CHANNELS: usize>(source: &[u8], weights: &[i32]) -> [i32; LANES] {
    let mut sums = [HALF; LANES];
    for (index, &weight) in weights.iter().enumerate() {
        let rest = &source[index * CHANNELS..];
        let values = rest.first_chunk::<LANES>().copied().unwrap_or_else(|| padded(rest));
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum += i32::from(value) * weight;
        }
    }
    sums
}

/// The last values of a row, fewer than [`LANES`].
fn padded(values: &[u8]) -> [u8; LANES] {
    let mut padded = [0; LANES];
    padded.iter_mut().zip(values).for_each(|(padded, value)| *padded = *value);
    padded
}

/// One row of the vertical pass.
struct Down<'a> {
    source: &'a [u8],
    window: &'a Window,
    output: &'a mut [u8],
}

impl WithSimd for Down<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let width = self.output.len();
        let mut sums = vec![HALF; width];
        for (values, &weight) in self.source[self.window.start * width..].chunks_exact(width).zip(&self.window.weights) {
            for (sum, &value) in sums.iter_mut().zip(values) {
                *sum += i32::from(value) * weight;
            }
        }
        for (level, &sum) in self.output.iter_mut().zip(&sums) {
            *level = to_level(sum);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use image::Rgb;
    use proptest::prelude::*;

    use super::*;

    fn noise(width: u32, height: u32, seed: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| {
            let hash = (x.wrapping_mul(0x9E37_79B1) ^ y.wrapping_mul(0x85EB_CA77) ^ seed).wrapping_mul(0xC2B2_AE3D);
            Rgb([(hash >> 24) as u8, (hash >> 16) as u8, (hash >> 8) as u8])
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn a_constant_stays_constant(width in 1..70u32, height in 1..70u32, to in (1..90u32, 1..90u32), color: [u8; 3]) {
            let resized = resize_bicubic(&RgbImage::from_pixel(width, height, Rgb(color)), to.0, to.1);
            prop_assert_eq!(resized.dimensions(), to);
            prop_assert!(resized.pixels().all(|pixel| pixel.0 == color));
        }

        #[test]
        fn the_same_size_is_the_same_image(width in 1..50u32, height in 1..50u32, seed: u32) {
            let image = noise(width, height, seed);
            prop_assert_eq!(resize_bicubic(&image, width, height), image);
        }

        #[test]
        fn a_side_that_stays_is_not_filtered(width in 1..50u32, height in 2..50u32, seed: u32) {
            let column = noise(1, height, seed);
            let image = RgbImage::from_fn(width, height, |_, y| *column.get_pixel(0, y));
            let resized = resize_bicubic(&image, 40, height);
            prop_assert!(resized.enumerate_pixels().all(|(_, y, pixel)| pixel == column.get_pixel(0, y)));
        }

        #[test]
        fn a_part_is_the_same_as_cut_from_the_whole(side in 3..60u32, full in (8..90u32, 8..90u32), at in (0..4u32, 0..4u32), seed: u32) {
            let image = noise(side, side + 3, seed);
            let part = Part { x: at.0, y: at.1, width: full.0 - 2 * at.0, height: full.1 - 2 * at.1 };
            let whole = resize_bicubic(&image, full.0, full.1);
            let cut = image::imageops::crop_imm(&whole, part.x, part.y, part.width, part.height).to_image();
            prop_assert_eq!(resize_part(&image, full, part), cut);
        }
    }

    #[test]
    fn black_and_white_overshoot_stays_in_range() {
        let edge = RgbImage::from_fn(16, 16, |x, _| Rgb([if x < 8 { 0 } else { 255 }; 3]));
        let resized = resize_bicubic(&edge, 200, 16);
        assert_eq!(resized.get_pixel(0, 0).0, [0; 3]);
        assert_eq!(resized.get_pixel(199, 15).0, [255; 3]);
        assert!(
            resized.pixels().zip(resized.pixels().skip(1)).take(199).all(|(left, right)| left[0] <= right[0]),
            "an edge of extremes has no ringing after clamping"
        );
    }

    #[test]
    fn no_pixels_give_black_pixels() {
        assert_eq!(resize_bicubic(&RgbImage::new(0, 5), 4, 4), RgbImage::new(4, 4));
        assert_eq!(resize_bicubic(&noise(4, 4, 1), 0, 3).dimensions(), (0, 3));
    }
}
