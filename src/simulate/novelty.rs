//! Whether an anomaly shows what the normal image shows nowhere.
//!
//! A piece of gravel among gravel changes every pixel, and yet nobody can tell that it does not belong there, nor that a dark spot in
//! grass is a hole. So little windows of the anomaly are looked for in the whole normal image, and what is not found is compared with
//! how well that image's own windows are found elsewhere in it, as in texture synthesis (Efros & Leung 1999).
//!
//! The measure is that of the image's ordinary windows: where most of it is even, a piece of the rest counts as new. A part that is only
//! misplaced, without a seam, does not. Details under a 128th of the image's longer side are not seen.

use image::{GrayImage, RgbImage, imageops};

use super::{Edit, visible::luminance};

/// Longest side in pixels of what is compared.
const SIDE: u32 = 128;
/// Side of a window.
const WINDOW: u32 = 5;
/// Values of a window: its pixels' channels.
const VALUES: usize = (WINDOW * WINDOW * 3) as usize;
/// Step from one window of the normal image to the next.
const STEP: usize = 2;
/// Windows that are looked for, at the most.
const SOUGHT: usize = 100;
/// Share of a patch's windows, those farthest from all others, that are left aside.
const FARTHEST: f32 = 0.1;
/// How many times further than an ordinary window the patch's have to be from all others, chosen by eye on simulated images.
const NOVEL: f32 = 1.5;
/// A patch whose windows vary less than this share of an ordinary one's is seen as a blur, though every window is near a blurred one.
const SMOOTH: f32 = 0.6;
/// Least distance, in levels of 255, of an ordinary window, for images that are even.
const LEAST_DISTANCE: f32 = 1.0;
/// How much of a window's middle pixel has to be the patch's, of 255.
const COVERED: u8 = 128;

/// A window's channels, row by row.
type Values = [u8; VALUES];

/// One window of an image.
struct Window {
    at: [u32; 2],
    values: Values,
}

/// What a normal image shows.
pub(super) struct Windows {
    all: Vec<Window>,
    size: (u32, u32),
    /// Median distance of a window from the nearest elsewhere, in levels of 255.
    distance: f32,
    /// Median deviation of a window's luminance.
    deviation: f32,
}

impl Windows {
    pub(super) fn of(image: &RgbImage) -> Self {
        let longest = image.width().max(image.height()).max(1);
        let shrunk = |side: u32| ((u64::from(side) * u64::from(SIDE.min(longest)) / u64::from(longest)) as u32).max(1);
        let size = (shrunk(image.width()), shrunk(image.height()));
        let small = imageops::thumbnail(image, size.0, size.1);
        let [columns, rows] = [size.0, size.1].map(|side| (0..(side + 1).saturating_sub(WINDOW)).step_by(STEP));
        let across = columns.len();
        let all: Vec<Window> =
            rows.flat_map(|y| columns.clone().map(move |x| [x, y])).map(|at| Window { at, values: values(&small, at) }).collect();
        let elsewhere = |window: &Window| {
            let apart = all.iter().filter(|other| (0..2).any(|axis| other.at[axis].abs_diff(window.at[axis]) >= WINDOW));
            distance(&window.values, apart)
        };
        let distance = quantile(some(&all, across).map(elsewhere).collect(), 0.5).max(LEAST_DISTANCE);
        let deviation = quantile(some(&all, across).map(|window| deviation(&window.values)).collect(), 0.5);
        Self { all, size, distance, deviation }
    }

    /// Whether `edit` makes `image`, the normal one, show something else. One that covers no pixel of what is compared is believed to.
    pub(super) fn lack(&self, image: &RgbImage, edit: &Edit) -> bool {
        let patch = self.sought(image, edit);
        if patch.is_empty() {
            return true;
        }
        let distances = some(&patch, 1).map(|values| distance(values, self.all.iter())).collect();
        let deviations = some(&patch, 1).map(deviation).collect();
        quantile(distances, 1.0 - FARTHEST) > NOVEL * self.distance || quantile(deviations, 0.5) < SMOOTH * self.deviation
    }

    /// The windows of an edited image about pixels of its patch.
    fn sought(&self, image: &RgbImage, edit: &Edit) -> Vec<Values> {
        let (width, height) = self.size;
        if width < WINDOW || height < WINDOW {
            return Vec::new();
        }
        let (mut edited, mut footprint) = (image.clone(), GrayImage::new(image.width(), image.height()));
        let [x, y] = [edit.area.x, edit.area.y].map(i64::from);
        imageops::replace(&mut edited, &edit.pixels, x, y);
        imageops::replace(&mut footprint, &edit.footprint, x, y);
        let (edited, footprint) = (imageops::thumbnail(&edited, width, height), imageops::thumbnail(&footprint, width, height));
        let corners = (0..=height - WINDOW).flat_map(|y| (0..=width - WINDOW).map(move |x| [x, y]));
        let about = corners.filter(|[x, y]| footprint.get_pixel(x + WINDOW / 2, y + WINDOW / 2).0[0] >= COVERED);
        about.map(|at| values(&edited, at)).collect()
    }
}

/// Evenly chosen items of rows of so many `columns`, not always the same columns.
fn some<T>(all: &[T], columns: usize) -> impl Iterator<Item = &T> {
    let least = all.len().div_ceil(SOUGHT).max(1);
    let step = if least > 1 && columns.is_multiple_of(least) { least + 1 } else { least };
    all.iter().step_by(step)
}

/// The window with its first corner at `[x, y]`.
fn values(image: &RgbImage, [x, y]: [u32; 2]) -> Values {
    let mut values = [0; VALUES];
    let pixels = (y..y + WINDOW).flat_map(|row| (x..x + WINDOW).map(move |column| image.get_pixel(column, row)));
    values.as_chunks_mut::<3>().0.iter_mut().zip(pixels).for_each(|(value, pixel)| *value = pixel.0);
    values
}

/// How far a window is from the nearest of others: root of the mean square, in levels of 255.
fn distance<'a>(values: &Values, others: impl Iterator<Item = &'a Window>) -> f32 {
    let squares = |other: &Window| values.iter().zip(&other.values).map(|(left, right)| u32::from(left.abs_diff(*right)).pow(2)).sum();
    let nearest: u32 = others.map(squares).min().unwrap_or(0);
    (nearest as f32 / VALUES as f32).sqrt()
}

/// Standard deviation of a window's luminance.
fn deviation(values: &Values) -> f32 {
    let lights = values.as_chunks::<3>().0.iter().map(|pixel| luminance(*pixel));
    let (sum, squares) = lights.fold((0.0, 0.0), |(sum, squares), light| (sum + light, squares + light * light));
    let mean = sum / (WINDOW * WINDOW) as f32;
    (squares / (WINDOW * WINDOW) as f32 - mean * mean).max(0.0).sqrt()
}

fn quantile(mut values: Vec<f32>, share: f32) -> f32 {
    values.sort_by(f32::total_cmp);
    let at = values.len().saturating_sub(1) as f32 * share;
    values.get(at.round() as usize).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use image::Rgb;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::simulate::Area;

    const SIZE: u32 = 160;

    /// Grains of random brightness, three pixels wide.
    fn gravel(seed: u64) -> RgbImage {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let grains = GrayImage::from_fn(SIZE / 3 + 1, SIZE / 3 + 1, |_, _| image::Luma([rng.random_range(60..200)]));
        RgbImage::from_fn(SIZE, SIZE, |x, y| Rgb([grains.get_pixel(x / 3, y / 3).0[0]; 3]))
    }

    /// Upright stripes.
    fn stripes(period: u32) -> RgbImage {
        RgbImage::from_fn(SIZE, SIZE, |x, _| Rgb([if x % period < period / 2 { 70 } else { 180 }; 3]))
    }

    /// `source` in the middle of `image`.
    fn lacks(image: &RgbImage, source: &RgbImage) -> bool {
        let area = Area { x: 50, y: 60, width: 40, height: 30 };
        let pixels = imageops::crop_imm(source, area.x, area.y, area.width, area.height).to_image();
        let footprint = GrayImage::from_pixel(area.width, area.height, image::Luma([255]));
        Windows::of(image).lack(image, &Edit { area, pixels, footprint })
    }

    #[test]
    fn gravel_among_gravel_is_nothing_new() {
        for seed in 0..8 {
            assert!(!lacks(&gravel(seed), &gravel(seed + 100)), "seed {seed}");
        }
    }

    #[test]
    fn wide_stripes_brighter_grains_and_blurs_are() {
        let gravel = gravel(1);
        let mut bright = gravel.clone();
        bright.iter_mut().for_each(|value| *value = value.saturating_add(90));
        let blur = imageops::blur(&gravel, 4.0);
        let others = [stripes(64), bright, blur].map(|source| lacks(&gravel, &source));
        assert_eq!(others, [true; 3]);
    }

    #[test]
    fn what_is_found_elsewhere_is_nothing_new_and_what_breaks_an_order_is() {
        let image = stripes(16);
        assert!(!lacks(&image, &image));
        assert!(lacks(&image, &stripes(12)) && lacks(&image, &imageops::rotate90(&image)));
    }

    #[test]
    fn a_patch_that_covers_no_pixel_of_what_is_compared_is_believed() {
        let lacks = |image: &RgbImage, side: u32| {
            let (pixels, footprint) =
                (RgbImage::from_pixel(side, side, Rgb([70; 3])), GrayImage::from_pixel(side, side, image::Luma([255])));
            Windows::of(image).lack(image, &Edit { area: Area { x: 11, y: 11, width: side, height: side }, pixels, footprint })
        };
        let even = RgbImage::from_pixel(1280, 640, Rgb([70; 3]));
        assert!(lacks(&even, 4) && !lacks(&even, 40));
        assert!(lacks(&RgbImage::from_pixel(32, 1000, Rgb([70; 3])), 20), "an image too narrow for a window");
    }

    #[test]
    fn windows_are_chosen_from_many_columns() {
        for columns in [7, 31, 50, 62] {
            for rows in [13, 49, 50, 62] {
                let all: Vec<usize> = (0..columns * rows).collect();
                let chosen: std::collections::BTreeSet<usize> = some(&all, columns).map(|at| at % columns).collect();
                assert!(2 * chosen.len() >= columns.min(SOUGHT), "{columns} x {rows}: {chosen:?}");
            }
        }
    }
}
