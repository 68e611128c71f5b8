//! One scale for all products: where normal images lie on the raw map's scale, and where an anomaly starts.
//!
//! With two normal images or more, each is compared with the bank of the others, all of its views left out. Such banks hold
//! an image less, so what they find is a little higher than what the whole bank finds in a good part: that is the margin.
//! Whether an image is anomalous at all is said best by its score, so the height of its map follows from that.
//! One image can't tell how parts differ from one another; slightly turned views of it (probes) differ less than parts do,
//! by a factor that is a setting.

use burn::tensor::{Bool, Tensor, TensorData, activation::sigmoid};

use super::{MemoryBank, ScoreRule, TextMap, mean};
use crate::{
    encoder::ImageFeatures,
    error::{Error, Result},
};

/// Patches no further than this from one another look alike because they overlap.
const NEAR: usize = 2;

/// Least score at which an anomaly starts, so that identical normal images don't make noise one.
const LEAST_SCORE: f32 = 0.02;

/// Settings of the calibrated map, `sigmoid(sharpness * (z - 1))`. `z` is 0 at the normal images' `low` quantile of raw values, and
/// grows evenly up to the map's peak, where it is the image's score as a multiple of the normal images' mean score: a peak above 0.5 is
/// a score above theirs. Within an image it grows strictly with the raw map, so ranks are kept.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct CalibrationOptions {
    /// Steepness of the map at the border of what is normal, above 0.
    pub sharpness: f32,
    /// Share of the normal images' patches below `z = 0`, in `[0, 1]`.
    pub low: f32,
    /// With one normal image: how much more good parts differ from it than its probes do, above 0.
    pub spread_of_parts: f32,
}

impl Default for CalibrationOptions {
    fn default() -> Self {
        Self { sharpness: 5.0, low: 0.5, spread_of_parts: 1.3 }
    }
}

impl CalibrationOptions {
    pub(super) fn check(&self) -> Result<()> {
        let invalid = |what, reason: &'static str| Err(Error::InvalidConfig { what, reason: reason.into() });
        if !(self.sharpness > 0.0 && self.sharpness.is_finite()) {
            return invalid("sharpness", "it must be above 0");
        }
        if !(0.0..=1.0).contains(&self.low) {
            return invalid("low quantile of the calibration", "it must be from 0 to 1");
        }
        if !(self.spread_of_parts > 0.0 && self.spread_of_parts.is_finite()) {
            return invalid("spread of parts", "it must be above 0");
        }
        Ok(())
    }
}

/// What normal images look like.
#[derive(Clone, Debug)]
pub(super) struct Calibration {
    /// Raw value of an ordinary patch.
    low: f32,
    /// Score at which an anomaly starts.
    score: f32,
    sharpness: f32,
}

impl Calibration {
    /// From raw values of normal images, one list each; there is at least one value.
    fn of(images: Vec<Vec<f32>>, rule: ScoreRule, spread: f32, options: &CalibrationOptions) -> Self {
        let scores: f32 = images.iter().map(|values| rule.of(values)).sum();
        let score = (scores / images.len().max(1) as f32 * spread).max(LEAST_SCORE);
        Self { low: quantile(images.concat(), options.low), score, sharpness: options.sharpness }
    }

    /// The calibrated maps of raw ones, `[batch, 1, height, width]`, whose scores are `[batch]`.
    pub(super) fn apply(&self, raw: Tensor<4>, scores: Tensor<1>) -> Tensor<4> {
        let peak = raw.clone().flatten::<2>(1, 3).max_dim(1).squeeze_dim::<1>(1);
        let height = scores / self.score;
        let slope = height.clone() / (peak.clone() - self.low).clamp_min(LEAST_SCORE);
        let each = |values: Tensor<1>| values.reshape([-1, 1, 1, 1]);
        sigmoid((each(height) - (each(peak) - raw) * each(slope) - 1.0) * self.sharpness)
    }
}

fn quantile(mut values: Vec<f32>, share: f32) -> f32 {
    values.sort_by(f32::total_cmp);
    let at = (values.len().saturating_sub(1)) as f32 * share;
    let value = |index: f32| values.get(index as usize).copied().unwrap_or(0.0);
    (value(at.floor()) + value(at.ceil())) / 2.0
}

/// Where normal images lie: those that the bank is made of without their own rows, or the probes, or the one image
/// within itself.
pub(super) fn calibrate(
    bank: &MemoryBank,
    normals: &[Vec<ImageFeatures>],
    probes: &[ImageFeatures],
    text_map: Option<TextMap<'_>>,
    options: &CalibrationOptions,
) -> Result<Calibration> {
    let dissimilarity = |view: &ImageFeatures, similarity: Tensor<1>| {
        let text_map = text_map.map(|text_map| text_map(view)).transpose()?;
        let found = (1.0f32 - bank.less_text(similarity, text_map, view.grid)).into_data().convert::<f32>().try_to_vec::<f32>();
        found.map_err(|error| Error::component("the memory bank", error.to_string()))
    };
    let (values, spread): (Result<Vec<_>>, f32) = match (normals, probes) {
        ([views], []) => (views.first().map(|image| dissimilarity(image, within_itself(bank, image))).into_iter().collect(), 1.0),
        ([_], probes) => (probes.iter().map(|probe| dissimilarity(probe, bank.similarity(probe, None))).collect(), options.spread_of_parts),
        _ => {
            let views = normals.iter().enumerate().flat_map(|(index, views)| views.iter().map(move |view| (index, view)));
            (views.map(|(index, view)| dissimilarity(view, bank.similarity(view, Some(index)))).collect(), 1.0)
        }
    };
    Ok(Calibration::of(values?, bank.options.score, spread, options))
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
    mean(taps.collect())
}
