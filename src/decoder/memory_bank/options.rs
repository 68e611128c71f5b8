//! Settings of a memory bank.

use super::CalibrationOptions;
use crate::error::{Error, Result};

/// How a [`MemoryBank`](super::MemoryBank) is built and read.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct MemoryBankOptions {
    /// Each token is averaged over a square of so many patches around it, as in PatchCore (Roth et al. 2022, section 3.1); odd, and 1
    /// for the tokens as they are. Texts are compared with those.
    pub neighbourhood: usize,
    /// Side of the squares of patches that are averaged and compared as one, at least 1; 2 costs a quarter.
    pub coarseness: usize,
    /// Most patches that a tap keeps; of more, an even selection. `None` keeps all.
    pub maximum_rows: Option<usize>,
    /// Standard deviation, in patches, of a Gaussian blur of the map, without the text's share in it, after which its peak is raised
    /// to its height before; 0 for none. The score sees the map before it.
    pub smoothing: f32,
    /// Whether maps are upsampled with aligned corners, as in the reference, which moves what they show by up to half a patch towards
    /// the image's sides. Otherwise they are upsampled over pixels' areas, and all stays where it is.
    pub aligned_corners: bool,
    /// Share of the text map that is added to the raw map by [`MemoryBank::with_text`](super::MemoryBank::with_text), at least 0.
    pub text_weight: f32,
    /// What is added to [`text_weight`](Self::text_weight) where the text finds nothing in the normal images, at least 0. It falls off,
    /// as a Gaussian does (1/e at 0.06), with the mean over them of the text map's value in its highest compared square.
    pub text_trust: f32,
    /// Share, in `[0, 1]`, of a row's distance to the nearest row of another normal image that is forgiven the patches which
    /// match it: what differs between normal images is no anomaly. 0 for none; without effect for a single image. It forms the
    /// map, whose height, like the score, comes of what is not forgiven.
    pub forgiveness: f32,
    /// How much each tap counts in the map's shape, one number at least 0 a tap; empty for all alike. The score hears all taps alike.
    pub map_shares: Vec<f32>,
    /// How the raw map is brought to one scale for all products; `None` leaves it as it is.
    pub calibration: Option<CalibrationOptions>,
    /// How one number an image comes of the map before smoothing.
    pub score: ScoreRule,
}

/// How one number an image comes of its raw map.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum ScoreRule {
    /// The largest value, as in the paper.
    Maximum,
    /// The largest value of a patch less this share, in `[0, 1]`, of the median patch: an image that is a little strange all
    /// over is not one with an anomaly.
    AboveMedian(f32),
}

impl ScoreRule {
    /// The score of an image's raw values.
    pub(super) fn of(self, values: &[f32]) -> f32 {
        let mut sorted = values.to_vec();
        sorted.sort_by(f32::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or(0.0);
        let median_share = match self {
            Self::Maximum => 0.0,
            Self::AboveMedian(share) => share,
        };
        at(sorted.len().saturating_sub(1)) - at(sorted.len() / 2) * median_share
    }
}

impl Default for MemoryBankOptions {
    fn default() -> Self {
        Self {
            neighbourhood: 1,
            coarseness: 2,
            maximum_rows: Some(2048),
            smoothing: 2.0,
            aligned_corners: false,
            text_weight: 0.05,
            text_trust: 0.0,
            forgiveness: 0.25,
            map_shares: Vec::new(),
            calibration: Some(CalibrationOptions::default()),
            score: ScoreRule::AboveMedian(0.75),
        }
    }
}

impl MemoryBankOptions {
    /// The paper's memory bank: every patch, no averaging or smoothing, no calibration, the map's maximum as the score.
    pub fn original() -> Self {
        Self {
            neighbourhood: 1,
            coarseness: 1,
            maximum_rows: None,
            smoothing: 0.0,
            aligned_corners: true,
            text_weight: 0.0,
            text_trust: 0.0,
            forgiveness: 0.0,
            map_shares: Vec::new(),
            calibration: None,
            score: ScoreRule::Maximum,
        }
    }

    /// Whether a bank may listen to the text.
    pub(crate) fn may_hear_text(&self) -> bool {
        self.text_weight + self.text_trust > 0.0
    }

    /// The grid that is compared.
    pub(super) fn coarse(&self, grid: [usize; 2]) -> [usize; 2] {
        grid.map(|cells| cells.div_ceil(self.coarseness))
    }

    /// How many squares of an image are compared.
    pub(super) fn squares(&self, grid: [usize; 2]) -> usize {
        self.coarse(grid).iter().product()
    }

    /// How much each of so many taps counts in the map's shape, together 1.
    pub(super) fn shares(&self, taps: usize) -> Result<Vec<f32>> {
        let shares = &self.map_shares;
        let sum: f32 = shares.iter().sum();
        if shares.is_empty() {
            return Ok(vec![1.0 / taps as f32; taps]);
        }
        if shares.len() != taps || shares.iter().any(|share| share.is_nan() || *share < 0.0) || !(sum > 0.0 && sum.is_finite()) {
            return Err(Error::InvalidConfig { what: "map_shares", reason: format!("{shares:?} are not shares of {taps} taps").into() });
        }
        Ok(shares.iter().map(|share| share / sum).collect())
    }

    pub(super) fn check(&self) -> Result<()> {
        let invalid = |what, reason: &'static str| Err(Error::InvalidConfig { what, reason: reason.into() });
        if self.neighbourhood.is_multiple_of(2) {
            return invalid("neighbourhood", "it must be odd");
        }
        if self.coarseness == 0 {
            return invalid("coarseness", "it must be at least 1");
        }
        if [self.text_weight, self.text_trust].into_iter().any(|weight| !(weight >= 0.0 && weight.is_finite())) {
            return invalid("text_weight or text_trust", "it must be at least 0");
        }
        if !(0.0..=1.0).contains(&self.forgiveness) {
            return invalid("forgiveness", "it must be from 0 to 1");
        }
        if self.maximum_rows == Some(0) {
            return invalid("maximum_rows", "it must be at least 1");
        }
        if !(self.smoothing >= 0.0 && self.smoothing.is_finite()) {
            return invalid("smoothing", "it must be 0 or above");
        }
        if let ScoreRule::AboveMedian(share) = self.score
            && !(0.0..=1.0).contains(&share)
        {
            return invalid("score", "the share of the median must be from 0 to 1");
        }
        self.calibration.as_ref().map_or(Ok(()), CalibrationOptions::check)
    }
}
