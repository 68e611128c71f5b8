//! One scale for all products: where normal images lie on the raw map's scale, and where an anomaly starts.
//!
//! With two normal images or more, each is compared with the bank of the others, all of its views left out. Slightly turned views
//! of a single image (probes) take their place. A few images tell badly how parts differ from one another; how far mirrored views
//! of each are from the image itself tells it a second time, of other samples, so the border is the geometric mean of both. Where the
//! text is trusted beside them, it rises by what a faint text adds.
//! Whether an image is anomalous at all is said best by its score, so the height of its map follows from that.

use burn::tensor::{Bool, Tensor, TensorData, activation::sigmoid};

use super::{
    MemoryBank,
    matching::{Match, mean, nearest},
    subject::Subject,
};
use crate::{
    device::host,
    error::{Error, Result},
};

/// Patches no further than this from one another look alike because they overlap.
const NEAR: usize = 2;

/// The border rises by what a text of this value adds where it is trusted, so that one at the level of noise lifts nothing over it;
/// chosen, as trust is, on the embedded decoder.
const LEAST_TEXT: f32 = 0.1;

/// Least score at which an anomaly starts, so that identical normal images don't make noise one.
pub(super) const LEAST_SCORE: f32 = 0.02;

/// Settings of the calibrated map: of `x = sharpness * (z - 1)` it is `sigmoid(x)` up to the border, `x = 0`, and
/// `(1 + x) / (2 + x)` above, which is as steep there but does not saturate: the shape of what is strongly anomalous stays to be seen.
///
/// `z` is 0 at the normal images' `low` quantile of raw values, and grows evenly up to the map's peak, where it is the image's score,
/// not divided for the text's weight, as a multiple of the border: a peak above 0.5 is a score above it.
/// Below `low`, `z` has one slope for all images; what is not at the peak moves against its height a little
/// ([`contrast`](Self::contrast)). Within an image it grows with the raw map, so ranks are kept.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct CalibrationOptions {
    /// Steepness of the map at the border of what is normal, above 0.
    pub sharpness: f32,
    /// Share of the normal images' patches below `z = 0`, in `[0, 1]`.
    pub low: f32,
    /// How much of a peak's distance from the border the rest of its map moves the other way, in `[0, 1)`: an image with a strong anomaly
    /// lies higher as a whole, because a patch's features see its surroundings.
    pub contrast: f32,
    /// Where all normal images bring further views, which should be mirrored ones: the border as a multiple of the geometric mean of
    /// the views' mean score, each compared with its own image alone, and the images' mean score, above 0. `None` leaves views aside.
    pub spread_of_views: Option<f32>,
    /// With one normal image, and views left aside: how much more good parts differ from it than its probes do, above 0.
    pub spread_of_parts: f32,
}

impl Default for CalibrationOptions {
    fn default() -> Self {
        Self { sharpness: 5.0, low: 0.75, contrast: 0.25, spread_of_views: Some(1.08), spread_of_parts: 1.3 }
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
        if !(0.0..1.0).contains(&self.contrast) {
            return invalid("contrast", "it must be from 0 to below 1");
        }
        if [Some(self.spread_of_parts), self.spread_of_views].into_iter().flatten().any(|spread| !(spread > 0.0 && spread.is_finite())) {
            return invalid("spread of parts or of views", "it must be above 0");
        }
        Ok(())
    }
}

/// What normal images look like.
#[derive(Clone, Debug)]
pub(super) struct Calibration {
    /// Raw value of an ordinary patch.
    low: f32,
    /// Raw value of an ordinary map's peak, where an anomaly starts.
    high: f32,
    /// Score at which an anomaly starts.
    score: f32,
    contrast: f32,
    sharpness: f32,
}

impl Calibration {
    /// From normal images, of which there is at least one, the border that their scores give, and how much it is `raised`.
    fn of(images: &[Sample], border: impl FnOnce(f32) -> f32, raised: f32, options: &CalibrationOptions) -> Self {
        let count = images.len().max(1) as f32;
        let mean = images.iter().map(|image| image.score).sum::<f32>() / count;
        let ordinary = border(mean).max(LEAST_SCORE);
        let peaks = images.iter().map(|image| image.shape.iter().copied().fold(0.0, f32::max)).sum::<f32>() / count;
        let low = quantile(images.iter().flat_map(|image| image.shape.iter().copied()).collect(), options.low);
        let high = (peaks * ordinary / mean.max(LEAST_SCORE) + raised).max(low + LEAST_SCORE);
        Self { low, high, score: ordinary + raised, contrast: options.contrast, sharpness: options.sharpness }
    }

    /// The calibrated maps of raw ones, `[batch, 1, height, width]`, whose scores are `[batch]`.
    pub(super) fn apply(&self, raw: Tensor<4>, scores: Tensor<1>) -> Tensor<4> {
        let each = |values: Tensor<1>| values.reshape([-1, 1, 1, 1]);
        let peak = each(raw.clone().flatten::<2>(1, 3).max_dim(1).squeeze_dim::<1>(1));
        let height = each(scores / self.score);
        let low = peak.clone().clamp_max(self.low);
        let rise = (peak.clone() - low.clone()).clamp_min(LEAST_SCORE);
        // 1 at the peak, 0 at `low`.
        let above = 1.0f32 - (peak - raw.clone()) / rise;
        let below = (raw - low).clamp_max(0.0) / (self.high - self.low);
        // Never so much that the peak would not stay the highest.
        let against = (height.clone() - 1.0).max_pair(-height.clone()) * self.contrast;
        let z = height * above.clone().clamp_min(0.0) + below - against * (1.0f32 - above).clamp(0.0, 1.0);
        let logits = (z - 1.0) * self.sharpness;
        let over = logits.clone().clamp_min(0.0);
        sigmoid(logits.clamp_max(0.0)) + over.clone() / ((over + 2.0) * 2.0)
    }
}

/// One normal image, compared with others.
#[derive(Clone)]
struct Sample {
    score: f32,
    /// Raw values of its patches, as they form maps.
    shape: Vec<f32>,
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
    normals: &[Vec<Subject>],
    probes: &[Subject],
    options: &CalibrationOptions,
) -> Result<Calibration> {
    let samples: Result<Vec<Vec<Sample>>> = match (normals, probes) {
        ([views], []) => {
            let within = |image: Subject| image.samples(bank, Match { plain: within_itself(bank, &image), shape: None });
            views.iter().take(1).map(|views| within(views.first(&bank.options))).collect()
        }
        ([_], probes) => probes.iter().map(|probe| probe.samples(bank, bank.matched(&probe.tokens, None))).collect(),
        _ => {
            let views = normals.iter().enumerate().flat_map(|(index, views)| views.iter().map(move |view| (index, view)));
            views.map(|(index, view)| view.samples(bank, bank.matched(&view.tokens, Some(index)))).collect()
        }
    };
    let views = match options.spread_of_views {
        Some(_) => normals.iter().map(|views| view_scores(bank, views)).collect::<Result<Vec<_>>>()?,
        None => Vec::new(),
    };
    let border = |mean: f32| match options.spread_of_views {
        Some(spread) if views.iter().all(|scores| !scores.is_empty()) => {
            let scores = views.concat();
            spread * (mean.max(0.0) * scores.iter().sum::<f32>().max(0.0) / scores.len() as f32).sqrt()
        }
        _ if normals.len() == 1 && !probes.is_empty() => mean * options.spread_of_parts,
        _ => mean,
    };
    Ok(Calibration::of(&samples?.concat(), border, bank.trust * LEAST_TEXT, options))
}

impl Subject {
    /// The scores of its batch.
    fn scores(&self, bank: &MemoryBank, plain: Tensor<1>) -> Result<Vec<f32>> {
        let grid = self.grid;
        let plain = bank.on_patches(bank.less_text(plain, self.text.as_ref().map(|text| &text.on_squares)), grid);
        let plain = host("the memory bank", 1.0f32 - plain)?;
        Ok(plain.chunks((grid[0] * grid[1]).max(1)).map(|image| bank.options.score.of(image)).collect())
    }

    fn samples(&self, bank: &MemoryBank, matched: Match) -> Result<Vec<Sample>> {
        let grid = self.grid;
        let plain = matched.plain.clone();
        let shapes = host("the memory bank", 1.0f32 - bank.shaped(matched, self.text.as_ref(), grid))?;
        let shapes = shapes.chunks((grid[0] * grid[1]).max(1)).map(<[f32]>::to_vec);
        Ok(self.scores(bank, plain)?.into_iter().zip(shapes).map(|(score, shape)| Sample { score, shape }).collect())
    }
}

/// Scores of an image's further views, each compared with the image alone.
fn view_scores(bank: &MemoryBank, views: &[Subject]) -> Result<Vec<f32>> {
    let Some(own) = views.first().map(|first| first.first(&bank.options)) else { return Ok(Vec::new()) };
    let scores = views.iter().map(|view| view.scores(bank, nearest(&view.tokens, &own.tokens))).collect::<Result<Vec<_>>>()?;
    Ok(scores.concat().into_iter().skip(1).collect())
}

/// Similarity of each patch of an image to those of the same image that are not near it.
fn within_itself(bank: &MemoryBank, image: &Subject) -> Tensor<1> {
    let [rows, columns] = bank.options.coarse(image.grid);
    let patches = rows * columns;
    let near = |left: usize, right: usize| {
        (left / columns).abs_diff(right / columns) <= NEAR && (left % columns).abs_diff(right % columns) <= NEAR
    };
    let mask: Vec<bool> = (0..patches * patches).map(|pair| near(pair / patches, pair % patches)).collect();
    let mask = TensorData::new(mask, [patches, patches]);
    let taps = image.tokens.iter().map(|tokens| {
        let mask = Tensor::<2, Bool>::from_data(mask.clone(), &tokens.device());
        tokens.clone().matmul(tokens.clone().transpose()).mask_fill(mask, -1.0).max_dim(1)
    });
    mean(taps.collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_map_is_as_steep_on_both_sides_of_the_border_and_far_above_it_still_rises() {
        let calibration = Calibration { low: 0.0, high: 1.0, score: 1.0, contrast: 0.0, sharpness: 5.0 };
        let at = |multiples: [f32; 5]| {
            let raw = Tensor::<1>::from_data(multiples, &Default::default()).reshape([1, 1, 1, 5]);
            let peak = raw.clone().flatten::<1>(0, 3).max();
            calibration.apply(raw, peak).into_data().try_to_vec::<f32>().unwrap()
        };
        let map = at([0.99, 1.0, 1.01, 4.0, 8.0]);
        assert!((map[1] - 0.5).abs() < 1e-6 && ((map[2] - map[1]) / (map[1] - map[0]) - 1.0).abs() < 0.1, "{map:?}");
        assert!((map[3] - 16.0 / 17.0).abs() < 1e-6 && (map[4] - 36.0 / 37.0).abs() < 1e-6, "{map:?}");
    }

    #[test]
    fn a_raised_border_is_as_much_higher_on_the_map_as_for_the_score() {
        let samples = [Sample { score: 0.2, shape: vec![0.1, 0.1, 0.1, 0.4] }];
        let at = |raised| Calibration::of(&samples, |mean| 1.5 * mean, raised, &CalibrationOptions::default());
        let (plain, raised) = (at(0.0), at(0.08));
        assert!((plain.score - 0.3).abs() < 1e-6 && (plain.high - 0.6).abs() < 1e-6);
        assert!((raised.score - plain.score - 0.08).abs() < 1e-6 && (raised.high - plain.high - 0.08).abs() < 1e-6);
        assert_eq!(raised.low, plain.low);
    }
}
