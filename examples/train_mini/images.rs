//! Normal images of a line, and images with simulated anomalies that can be seen.

use anomalygpt::simulate::{Defect, SimulateOptions, Simulated, simulate};
use image::{GrayImage, RgbImage};
use rand::{
    RngExt,
    seq::{IndexedRandom, IteratorRandom},
};
use rand_chacha::ChaCha8Rng;

use crate::{bounds::Bounds, lines::Line};

/// Least share of the image that is changed for each anomaly, and by how many levels, so that what is asked for can be seen.
const LEAST_SHARE: f64 = 0.0008;
const LEAST_CHANGE: u8 = 16;
/// How often simulation is tried until all can be seen.
const ATTEMPTS: usize = 12;
/// Sides of images in pixels.
const SIDES: [u32; 4] = [256, 288, 320, 400];
/// Side of normal images for a memory bank.
const NORMAL_SIDE: u32 = 288;
/// How many there are, each number as likely as the others.
const SHOTS: [usize; 4] = [1, 2, 4, 8];

/// One image that a line gives.
pub(crate) struct Drawn {
    /// The photograph.
    pub(crate) image: RgbImage,
    /// Where it was changed.
    pub(crate) mask: Option<GrayImage>,
    /// Where its anomalies are, none for a normal image.
    pub(crate) anomalies: Vec<Bounds>,
}

/// What is simulated in training: one or two anomalies of any kind.
pub(crate) fn any_defects() -> SimulateOptions {
    let mut options = SimulateOptions::default();
    (options.count, options.threshold) = (1..=2, LEAST_CHANGE);
    options
}

/// The paper's anomalies alone: pieces of other normal images.
pub(crate) fn patches() -> SimulateOptions {
    let mut options = any_defects();
    options.defects = vec![(Defect::Patch, 1.0)];
    options
}

/// Draws one image of a line, with simulated anomalies if asked for.
pub(crate) fn draw(
    line: &Line,
    others: &[Line],
    anomalous: bool,
    options: &SimulateOptions,
    rng: &mut ChaCha8Rng,
) -> anomalygpt::Result<Drawn> {
    let side = *SIDES.choose(rng).unwrap_or(&NORMAL_SIDE);
    let image = line.draw(rng, side, side);
    for _ in 0..if anomalous { ATTEMPTS } else { 0 } {
        let source = source(line, others, rng).draw(rng, side, side);
        let simulated = simulate(rng, &image, &source, options)?;
        if is_visible(&simulated) {
            let Simulated { image, mask, patches, .. } = simulated;
            let anomalies = patches.iter().map(|patch| Bounds::of(patch.bbox, patch.center, side)).collect();
            return Ok(Drawn { image, mask: Some(mask), anomalies });
        }
    }
    Ok(Drawn { image, mask: None, anomalies: Vec::new() })
}

/// Whose image patches are cut from: the paper's is of any product. Here it is of another one, or half of the time of the same, unless
/// that would show nothing.
pub(crate) fn source<'a>(line: &'a Line, others: &'a [Line], rng: &mut ChaCha8Rng) -> &'a Line {
    if !line.is_irregular() && rng.random_bool(0.5) {
        return line;
    }
    others.iter().filter(|other| other.name() != line.name()).choose(rng).unwrap_or(line)
}

/// Normal images of a line, for a memory bank.
pub(crate) fn draw_normals(line: &Line, rng: &mut ChaCha8Rng) -> Vec<RgbImage> {
    let shots = *SHOTS.choose(rng).unwrap_or(&1);
    (0..shots).map(|_| line.draw(rng, NORMAL_SIDE, NORMAL_SIDE)).collect()
}

/// Whether there is an anomaly, and each has enough changed pixels.
fn is_visible(simulated: &Simulated) -> bool {
    let mask = &simulated.mask;
    let least = f64::from(mask.width() * mask.height()) * LEAST_SHARE;
    let changed = |[x, y, width, height]: [u32; 4]| {
        let rows = (y..y + height).flat_map(|row| (x..x + width).map(move |column| (column, row)));
        rows.filter(|&(column, row)| mask.get_pixel(column, row)[0] > 0).count() as f64
    };
    !simulated.patches.is_empty() && simulated.patches.iter().all(|patch| changed(patch.bbox) >= least)
}
