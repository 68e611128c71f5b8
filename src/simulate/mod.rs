//! Simulated anomalies: defective images, with exact masks, made of normal ones.
//!
//! The paper cuts a patch from another normal image, resizes it, and blends it in by Poisson editing; cut-paste is the comparison of its Figure 3.
//!
//! Deviations from the paper:
//! - besides patches there are drawn defects ([`Defect`]): real cracks, scratches, holes and stains are thin or of low contrast, and a
//!   model that has seen pasted patches only misses them. [`SimulateOptions::defects`] with `Patch` alone gives the paper's data.
//! - patches don't overlap, each has a centre of its own, and one that can't be seen is tried again or left out, so that labels are true.
//!   A piece of a random texture, such as gravel, within that texture can't be seen: it changes every pixel and shows nothing new; nor
//!   can a dark spot in grass. A few of these pass the test all the same, so the source had better show something else. A part that is
//!   only misplaced, without a seam, is left out with them.

mod drawn;
mod novelty;
mod outline;
mod patch;
mod poisson;
mod visible;

use std::{cell::OnceCell, ops::RangeInclusive};

use image::{GenericImage, GrayImage, RgbImage};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::error::{Error, Result};

pub use poisson::{Cloning, seamless_clone};

use novelty::Windows;

/// Attempts to place one anomaly before it is left out.
const ATTEMPTS: usize = 24;
/// Smallest side in pixels of an image that anomalies are placed in.
const SMALLEST: u32 = 32;

/// Kinds of simulated anomalies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Defect {
    /// A piece of another normal image: the paper's.
    Patch,
    /// A thin, dark, jagged line, sometimes branched.
    Crack,
    /// One to three thin and nearly straight lines, dark or bright.
    Scratch,
    /// A dark or bright blob with a soft border.
    Spot,
    /// A nearly black pit with a sharp border, lit at one side.
    Hole,
    /// A wide and smooth change of brightness, of low contrast.
    Stain,
}

/// How a patch is joined to the image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Blend {
    /// Poisson editing, as in the paper.
    #[default]
    Normal,
    /// Poisson editing with the stronger gradient of both.
    Mixed,
    /// No blending: the comparison of the paper's Figure 3.
    CutPaste,
}

/// What [`simulate`] may do.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SimulateOptions {
    /// How many anomalies an image gets, each number equally likely. Default: 1 to 3.
    pub count: RangeInclusive<u32>,
    /// Sides of a patch as shares of the image's, in `(0, 1]`; small ones are likelier. Default: 0.06 to 0.4.
    pub side: RangeInclusive<f32>,
    /// Factors that a patch is resized by. Default: 0.7 to 1.3.
    pub scale: RangeInclusive<f32>,
    /// How patches are joined. Default: [`Blend::Normal`].
    pub blend: Blend,
    /// Share in `[0, 1]` of patches that are ellipses or polygons instead of rectangles. Default: 0.6.
    pub irregular: f32,
    /// Kinds with their weights. Default: patches 0.5, cracks 0.13, scratches 0.12, spots 0.09, holes 0.08, stains 0.08.
    pub defects: Vec<(Defect, f32)>,
    /// A pixel counts as changed where a channel differs by more than this many levels of 255. Default: 6.
    pub threshold: u8,
}

impl Default for SimulateOptions {
    fn default() -> Self {
        let drawn = [(Defect::Crack, 0.13), (Defect::Scratch, 0.12), (Defect::Spot, 0.09), (Defect::Hole, 0.08), (Defect::Stain, 0.08)];
        Self {
            count: 1..=3,
            side: 0.06..=0.4,
            scale: 0.7..=1.3,
            blend: Blend::Normal,
            irregular: 0.6,
            defects: std::iter::once((Defect::Patch, 0.5)).chain(drawn).collect(),
            threshold: 6,
        }
    }
}

/// One anomaly of a simulated image.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PatchBox {
    /// What it is.
    pub defect: Defect,
    /// `[x, y, width, height]` in pixels of the smallest box around this anomaly's changed pixels.
    pub bbox: [u32; 4],
    /// Centroid `[x, y]` of the changed pixels, in pixels.
    pub center: [f32; 2],
}

/// A normal image with anomalies.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Simulated {
    /// The image, of the normal one's size.
    pub image: RgbImage,
    /// 255 where the image differs visibly from the normal one, 0 elsewhere.
    pub mask: GrayImage,
    /// The anomalies, none overlapping another. Empty where no place was found in which one can be seen: then the image is the normal one.
    pub patches: Vec<PatchBox>,
}

/// A rectangle of pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Area {
    x: u32,
    y: u32,
    width: u32,
    height: u32,
}

impl Area {
    /// Whether two areas come closer than `gap` pixels.
    fn touches(self, other: Self, gap: u32) -> bool {
        let near = |a: u32, length: u32, b: u32, other: u32| a < b + other + gap && b < a + length + gap;
        near(self.x, self.width, other.x, other.width) && near(self.y, self.height, other.y, other.height)
    }
}

/// What an anomaly makes of an area.
struct Edit {
    area: Area,
    /// The area's new pixels.
    pixels: RgbImage,
    /// Where a change is meant to be: values above 0.
    footprint: GrayImage,
}

/// Where an anomaly may go.
struct Canvas<'a> {
    image: &'a RgbImage,
    taken: Vec<Area>,
    windows: OnceCell<Windows>,
    grey: OnceCell<bool>,
}

impl<'a> Canvas<'a> {
    fn new(image: &'a RgbImage) -> Self {
        Self { image, taken: Vec::new(), windows: OnceCell::new(), grey: OnceCell::new() }
    }

    /// Whether the image has next to no colour, as one of a grey camera.
    fn is_grey(&self) -> bool {
        *self.grey.get_or_init(|| visible::is_grey(self.image))
    }

    /// What the normal image shows.
    fn windows(&self) -> &Windows {
        self.windows.get_or_init(|| Windows::of(self.image))
    }

    /// Whether an area lies apart from those taken.
    fn is_free(&self, area: Area) -> bool {
        let gap = (self.image.width().min(self.image.height()) / 24).max(4);
        self.taken.iter().all(|taken| !taken.touches(area, gap))
    }
}

/// Places anomalies in `image`; patches are cut from `source`, another normal image of any size.
///
/// The same generator state gives the same result.
///
/// # Errors
/// [`Error::ImageSize`] for an image or source under 32 pixels wide or high; [`Error::InvalidConfig`] for options out of range.
pub fn simulate(rng: &mut ChaCha8Rng, image: &RgbImage, source: &RgbImage, options: &SimulateOptions) -> Result<Simulated> {
    validate(options)?;
    for (width, height) in [image.dimensions(), source.dimensions()] {
        if width.min(height) < SMALLEST {
            return Err(Error::ImageSize {
                path: None,
                width,
                height,
                reason: format!("is under {SMALLEST} pixels, too small for simulated anomalies").into(),
            });
        }
    }
    let mut result = Simulated { image: image.clone(), mask: GrayImage::new(image.width(), image.height()), patches: Vec::new() };
    let mut canvas = Canvas::new(image);
    for _ in 0..rng.random_range(options.count.clone()) {
        place(rng, &mut canvas, source, options, &mut result)?;
    }
    Ok(result)
}

/// Adds one anomaly, where a free place is found in which it can be seen.
fn place(
    rng: &mut ChaCha8Rng,
    canvas: &mut Canvas<'_>,
    source: &RgbImage,
    options: &SimulateOptions,
    result: &mut Simulated,
) -> Result<()> {
    let mut defect = pick(rng, &options.defects);
    for attempt in 0..ATTEMPTS {
        // A kind that can't be seen on this product, such as its own even surface pasted on itself, gives way to another.
        if attempt == ATTEMPTS / 2 {
            defect = pick(rng, &options.defects);
        }
        let edit = match defect {
            Defect::Patch => patch::cut(rng, canvas, source, options)?,
            drawn => drawn::draw(rng, canvas, drawn),
        };
        let Some(edit) = edit else { continue };
        let Some(changed) = visible::change(canvas, &edit, defect, options.threshold) else { continue };
        let Some(patch) = around(&changed, defect, edit.area) else { continue };
        let Area { x, y, .. } = edit.area;
        result.image.copy_from(&edit.pixels, x, y).map_err(|source| Error::component("simulation", source))?;
        result.mask.copy_from(&changed, x, y).map_err(|source| Error::component("simulation", source))?;
        result.patches.push(patch);
        canvas.taken.push(edit.area);
        return Ok(());
    }
    Ok(())
}

/// The anomaly whose changed pixels an area's mask has, if it has any.
fn around(changed: &GrayImage, defect: Defect, area: Area) -> Option<PatchBox> {
    let [left, top, width, height] = bounding_box(set(changed))?;
    let [x, y] = centroid(set(changed));
    let bbox = [area.x + left, area.y + top, width, height];
    Some(PatchBox { defect, bbox, center: [area.x as f32 + x, area.y as f32 + y] })
}

/// Mean `[x, y]` of the middles of pixels at `(x, y)`, of which there is at least one.
fn centroid(pixels: impl Iterator<Item = (u32, u32)>) -> [f32; 2] {
    let [x, y, count] = pixels.fold([0.0; 3], |[across, down, count], (x, y)| [across + f64::from(x), down + f64::from(y), count + 1.0]);
    [x, y].map(|sum| (sum / count + 0.5) as f32)
}

/// `[left, top, width, height]` of the smallest box around pixels at `(x, y)`.
fn bounding_box(pixels: impl Iterator<Item = (u32, u32)>) -> Option<[u32; 4]> {
    let [left, top, right, bottom] = pixels.fold([u32::MAX, u32::MAX, 0, 0], |[left, top, right, bottom], (x, y)| {
        [left.min(x), top.min(y), right.max(x + 1), bottom.max(y + 1)]
    });
    (right > 0).then(|| [left, top, right - left, bottom - top])
}

/// The pixels of a mask that are set.
fn set(mask: &GrayImage) -> impl Iterator<Item = (u32, u32)> {
    mask.enumerate_pixels().filter(|(_, _, pixel)| pixel.0[0] > 0).map(|(x, y, _)| (x, y))
}

/// Draws a kind by its weight.
fn pick(rng: &mut ChaCha8Rng, defects: &[(Defect, f32)]) -> Defect {
    let mut left = rng.random::<f32>() * defects.iter().map(|(_, weight)| weight).sum::<f32>();
    for (defect, weight) in defects {
        left -= weight;
        if left < 0.0 {
            return *defect;
        }
    }
    defects.iter().rev().find(|(_, weight)| *weight > 0.0).map_or(Defect::Patch, |(defect, _)| *defect)
}

fn validate(options: &SimulateOptions) -> Result<()> {
    let check = |holds: bool, what: &'static str, reason: &'static str| {
        if holds { Ok(()) } else { Err(Error::InvalidConfig { what, reason: reason.into() }) }
    };
    let ordered = |range: &RangeInclusive<f32>, limit: f32| *range.start() > 0.0 && range.start() <= range.end() && *range.end() <= limit;
    check(!options.count.is_empty(), "count of anomalies", "the range is empty")?;
    check(ordered(&options.side, 1.0), "side of a patch", "a range within (0, 1] is needed")?;
    check(ordered(&options.scale, 16.0), "scale of a patch", "a range within (0, 16] is needed")?;
    check((0.0..=1.0).contains(&options.irregular), "share of irregular patches", "a value in [0, 1] is needed")?;
    let weights = options.defects.iter().map(|(_, weight)| *weight);
    let valid = weights.clone().all(|weight| weight.is_finite() && weight >= 0.0) && weights.sum::<f32>() > 0.0;
    check(valid, "weights of defects", "they have to be finite and not negative, and one above 0")
}

#[cfg(test)]
mod tests;
