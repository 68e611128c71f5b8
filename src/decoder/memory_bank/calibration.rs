//! One scale for all products: where normal images lie on the raw map's scale, and where an anomaly starts.

use burn::tensor::{Bool, Tensor, TensorData, activation::sigmoid};

use super::{MemoryBank, mean};
use crate::{
    encoder::ImageFeatures,
    error::{Error, Result},
};

/// Patches no further than this from one another look alike because they overlap.
const NEAR: usize = 2;

/// Least distance of high from low, so that identical normal images don't make noise an anomaly.
const LEAST_RANGE: f32 = 0.02;

/// Settings of the calibrated map, `sigmoid(sharpness * (z - 1))` where `z` is 0 at normal images' `low` quantile of raw
/// values and 1 at their `high` quantile. It grows strictly with the raw map, so ranks are kept.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct CalibrationOptions {
    /// Steepness of the map at the border of what is normal, above 0.
    pub sharpness: f32,
    /// Share of the normal images' patches below `z = 0`, in `[0, 1]`.
    pub low: f32,
    /// Share of the normal images' patches below `z = 1`, in `[low, 1]`.
    pub high: f32,
}

impl Default for CalibrationOptions {
    fn default() -> Self {
        Self { sharpness: 4.0, low: 0.5, high: 0.995 }
    }
}

impl CalibrationOptions {
    pub(super) fn check(&self) -> Result<()> {
        let invalid = |what, reason: &'static str| Err(Error::InvalidConfig { what, reason: reason.into() });
        if !(self.sharpness > 0.0 && self.sharpness.is_finite()) {
            return invalid("sharpness", "it must be above 0");
        }
        if !(0.0 <= self.low && self.low <= self.high && self.high <= 1.0) {
            return invalid("quantiles of the calibration", "they must hold 0 <= low <= high <= 1");
        }
        Ok(())
    }
}

/// Raw values that become 0 and 1 before the sigmoid.
#[derive(Clone, Debug)]
pub(super) struct Calibration {
    low: f32,
    range: f32,
    sharpness: f32,
}

impl Calibration {
    /// From raw values of normal patches; there is at least one.
    fn of(mut values: Vec<f32>, options: &CalibrationOptions) -> Self {
        values.sort_by(f32::total_cmp);
        let quantile = |share: f32| values.get(((values.len() - 1) as f32 * share).round() as usize).copied().unwrap_or(0.0);
        let low = quantile(options.low);
        Self { low, range: (quantile(options.high) - low).max(LEAST_RANGE), sharpness: options.sharpness }
    }

    /// The calibrated map of a raw one.
    pub(super) fn apply(&self, raw: Tensor<4>) -> Tensor<4> {
        sigmoid(((raw - self.low) / self.range - 1.0) * self.sharpness)
    }
}

/// Where normal images lie: those that the bank is made of without their own rows, or the probes, or the one image
/// within itself.
pub(super) fn calibrate(
    bank: &MemoryBank,
    normals: &[Vec<ImageFeatures>],
    probes: &[ImageFeatures],
    options: &CalibrationOptions,
) -> Result<Calibration> {
    let images = || normals.iter().filter_map(|views| views.first());
    let similarities: Vec<(&ImageFeatures, Tensor<1>)> = match (normals.len(), probes) {
        (1, []) => images().map(|image| (image, within_itself(bank, image))).collect(),
        (1, probes) => probes.iter().map(|probe| (probe, bank.similarity(probe))).collect(),
        _ => images().enumerate().map(|(index, image)| (image, without_its_own(bank, index, image))).collect(),
    };
    let mut values = vec![];
    for (image, similarity) in similarities {
        let similarity = bank.smoothed(bank.on_patches(similarity, image.grid), image.grid);
        let found = (1.0f32 - similarity).into_data().convert::<f32>().try_to_vec::<f32>();
        values.extend(found.map_err(|error| Error::component("the memory bank", format!("{error:?}")))?);
    }
    Ok(Calibration::of(values, options))
}

/// Similarity of one of the bank's images to the rows of all others.
fn without_its_own(bank: &MemoryBank, index: usize, image: &ImageFeatures) -> Tensor<1> {
    let start = index.checked_sub(1).and_then(|before| bank.ends.get(before)).copied().unwrap_or(0);
    let (end, rows) = (bank.ends.get(index).copied().unwrap_or(start), bank.rows());
    let taps = bank.tokens(image).into_iter().zip(&bank.taps).map(|(tokens, tap)| {
        let parts = [0..start, end..rows].into_iter().filter(|part| !part.is_empty());
        let nearest = parts.map(|part| tokens.clone().matmul(tap.clone().slice_dim(1, part)).max_dim(1)).collect();
        Tensor::cat(nearest, 1).max_dim(1)
    });
    mean(taps.collect::<Vec<_>>().into_iter())
}

/// Similarity of each patch of an image to those of the same image that are not near it.
fn within_itself(bank: &MemoryBank, image: &ImageFeatures) -> Tensor<1> {
    let [rows, columns] = bank.coarse(image.grid);
    let patches = rows * columns;
    let near = |left: usize, right: usize| {
        (left / columns).abs_diff(right / columns) <= NEAR && (left % columns).abs_diff(right % columns) <= NEAR
    };
    let mask: Vec<bool> = (0..patches * patches).map(|pair| near(pair / patches, pair % patches)).collect();
    let mask = Tensor::<2, Bool>::from_data(TensorData::new(mask, [patches, patches]), &image.embedding.device());
    let taps = bank.tokens(image).into_iter().map(|tokens| {
        let tokens = tokens.slice_dim(0, 0..patches);
        tokens.clone().matmul(tokens.transpose()).mask_fill(mask.clone(), -1.0).max_dim(1)
    });
    mean(taps.collect::<Vec<_>>().into_iter())
}
