//! Patches of normal images, and how far a patch is from the nearest of them (paper, Eq. 2).
//!
//! The raw map is the reference's `few_shot_map`: tokens as the encoder gives them, cosine to every patch of the bank,
//! maximum, mean over layers, upsampling of the similarity with aligned corners, one minus that.
//!
//! Beyond the paper: normal images may bring further views of themselves (flipped ones, say), a bank that grows too large
//! is thinned, and the map is calibrated on the normal images, so that a good product's map is dark and the prompt learner
//! sees the same scale for all products. It is blurred, and upsampled over pixels' areas. The text may be heard too, the more
//! the less it finds in the normal images; its map stays sharp.
//! [`MemoryBankOptions::original`] switches all of this off.

mod calibration;
mod matching;
mod options;
mod subject;

use burn::tensor::{Tensor, TensorData};

use super::{
    CALIBRATED, Localization, check_features,
    upsample::{align_corners, antialiased, blur, squares_over},
};
use crate::{
    encoder::ImageFeatures,
    error::{Error, Result},
};

pub use calibration::CalibrationOptions;
pub use options::{MemoryBankOptions, ScoreRule};

use calibration::Calibration;
use matching::Match;
use subject::{Heard, Subject};

pub(crate) use subject::Normals;

/// A map that is nowhere above this is dark.
const DARK: f32 = 1e-8;

/// Gives the map of an image's features against a text pair, `[batch, 1, height, width]`.
pub type TextMap<'a> = &'a dyn Fn(&ImageFeatures) -> Result<Tensor<4>>;

/// Patches of normal images of one product, unit vectors by tap.
#[derive(Clone, Debug)]
pub struct MemoryBank {
    /// One a tap, `[width, rows]`.
    taps: Vec<Tensor<2>>,
    /// Where each image's rows end, the same for all taps.
    ends: Vec<usize>,
    /// What is forgiven the patches that match a row, one a tap, `[rows]`; empty for nothing.
    forgiven: Vec<Tensor<1>>,
    /// How much each tap counts in the map's shape, together 1.
    shares: Vec<f32>,
    /// How much more than [`MemoryBankOptions::text_weight`] the text map counts.
    trust: f32,
    calibration: Option<Calibration>,
    options: MemoryBankOptions,
}

impl MemoryBank {
    /// A bank of `normals`: for each image its views, of which the first is the image itself, as one or more batches.
    /// Images, and views of one image, may have different grids.
    ///
    /// The calibration compares each image with the rest of them, all of its views left out. For a single image it
    /// compares the `probes` with the bank: views of that image that are not in the bank (slightly turned or moved
    /// ones). Without probes, it compares each patch of the image with those of the same image that are not near it,
    /// which is right for textures and careful for objects.
    ///
    /// # Errors
    /// [`Error::NoNormals`] for no image or an image without views, [`Error::NotFinite`] for features that are not
    /// numbers, [`Error::Incompatible`] for features of different widths, [`Error::InvalidConfig`] for options out of
    /// their range.
    pub fn new(normals: &[Vec<ImageFeatures>], probes: &[ImageFeatures], options: MemoryBankOptions) -> Result<Self> {
        Self::build(normals, probes, None, options)
    }

    /// A bank that also listens to the text: `text_map` gives the map of features against a text pair, `[batch, 1, height,
    /// width]`, and a share of it is added to the raw map before calibration: [`MemoryBankOptions::text_weight`], and the more of
    /// [`MemoryBankOptions::text_trust`] the less the text finds in the normal images.
    ///
    /// # Errors
    /// As [`new`](Self::new), and what `text_map` reports.
    pub fn with_text(
        normals: &[Vec<ImageFeatures>],
        probes: &[ImageFeatures],
        text_map: TextMap<'_>,
        options: MemoryBankOptions,
    ) -> Result<Self> {
        Self::build(normals, probes, Some(text_map), options)
    }

    fn build(
        normals: &[Vec<ImageFeatures>],
        probes: &[ImageFeatures],
        text_map: Option<TextMap<'_>>,
        options: MemoryBankOptions,
    ) -> Result<Self> {
        let mut images = Normals::new(options, text_map)?;
        normals.iter().try_for_each(|views| images.add(views))?;
        images.bank(probes)
    }

    /// A bank of images that are compared with, and calibrated on them or on the probes.
    fn of(normals: &[Vec<Subject>], probes: &[Subject], options: MemoryBankOptions) -> Result<Self> {
        let first = normals.first().and_then(|views| views.first()).ok_or(Error::NoNormals)?;
        let shares = options.shares(first.tokens.len())?;
        let mut bank = Self { taps: vec![], ends: vec![], forgiven: vec![], shares, trust: 0.0, calibration: None, options };
        bank.fill(normals);
        bank.forgive();
        bank.trust = subject::trust(&bank, normals)?;
        if let Some(wanted) = bank.options.calibration.clone() {
            bank.calibration = Some(calibration::calibrate(&bank, normals, probes, &wanted)?);
        }
        Ok(bank)
    }

    /// Number of patches that an image is compared with, by each tap.
    pub fn rows(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Widths of the taps.
    pub fn tap_widths(&self) -> Vec<usize> {
        self.taps.iter().map(|tap| tap.dims()[0]).collect()
    }

    /// Whether the text has a share in what the bank finds.
    pub(crate) fn hears_text(&self) -> bool {
        self.weight_of_text() > 0.0
    }

    /// Localizes what the bank does not know, in maps of `size` (height, width). For a bank that was made without a text.
    ///
    /// # Errors
    /// [`Error::Incompatible`] for features of other widths than the bank's.
    pub fn localize(&self, image: &ImageFeatures, size: [usize; 2]) -> Result<Localization> {
        self.localize_with_text(image, None, size)
    }

    /// [`localize`](Self::localize) for a bank that also listens to the text, with the image's map against the text pair. Score and raw
    /// map are divided by one plus the text's weight, so that they stay in `[0, 1]` where no cosine is negative; the score ranks
    /// images of one bank.
    ///
    /// # Errors
    /// As [`localize`](Self::localize), [`Error::Incompatible`] for a text map that is not one channel an image, and [`Error::Component`]
    /// for one without pixels.
    pub fn localize_with_text(&self, image: &ImageFeatures, text_map: Option<Tensor<4>>, size: [usize; 2]) -> Result<Localization> {
        check_features(image, &self.tap_widths())?;
        let text = text_map.map(|map| Heard::new(&self.options, map, image)).transpose()?;
        let matched = self.matched(&subject::tokens(image, &self.options), None);
        let similarity = self.on_patches(self.less_text(matched.plain.clone(), text.as_ref().map(|text| &text.on_squares)), image.grid);
        let plain = self.anomaly(similarity.clone(), image.grid, size);
        let score = score(&plain, &similarity, self.options.score);
        // Of single patches, neither shared out nor blurred, both are the same.
        let shape = if matched.shape.is_none() && self.options.coarseness == 1 && self.options.smoothing == 0.0 {
            plain.clone()
        } else {
            self.anomaly(self.shaped(matched, text.as_ref(), image.grid), image.grid, size)
        };
        let map = self.calibration.as_ref().map(|calibration| calibration.apply(shape.clone(), score.clone()));
        let most = 1.0 + if text.is_some() { self.weight_of_text() } else { 0.0 };
        let raw = peaking(shape, plain) / most;
        Ok(Localization { map: map.unwrap_or_else(|| raw.clone()), raw, threshold: CALIBRATED, score: score / most })
    }

    /// What the map's shape comes of, `[batch * patches]`: similarities are blurred as the options say, the text stays as sharp as it is.
    fn shaped(&self, Match { plain, shape }: Match, text: Option<&Heard>, grid: [usize; 2]) -> Tensor<1> {
        let on_patches = self.on_patches(shape.unwrap_or(plain), grid);
        self.less_text(self.smoothed(on_patches, grid), text.map(|text| &text.on_patches))
    }

    /// One minus the upsampled similarity `[batch * patches]`: `[batch, 1, height, width]`.
    fn anomaly(&self, similarity: Tensor<1>, grid: [usize; 2], size: [usize; 2]) -> Tensor<4> {
        let batch = similarity.dims()[0] / (grid[0] * grid[1]).max(1);
        let upsampled = if self.options.aligned_corners { align_corners } else { antialiased };
        1.0f32 - upsampled(similarity.reshape([batch, 1, grid[0], grid[1]]), size)
    }

    /// Blurred as the options say, `[batch * patches]`.
    fn smoothed(&self, similarity: Tensor<1>, grid: [usize; 2]) -> Tensor<1> {
        match self.options.smoothing {
            0.0 => similarity,
            sigma => {
                let patches = grid[0] * grid[1];
                let batch = similarity.dims()[0] / patches.max(1);
                blur(similarity.reshape([batch, patches, 1]), grid, sigma).flatten(0, 2)
            }
        }
    }

    /// Similarities of compared squares, as similarities of patches `[batch * patches]`.
    fn on_patches(&self, similarity: Tensor<1>, grid: [usize; 2]) -> Tensor<1> {
        let [rows, columns] = self.options.coarse(grid);
        let batch = similarity.dims()[0] / (rows * columns).max(1);
        squares_over(similarity.reshape([batch, 1, rows, columns]), self.options.coarseness, grid).flatten(0, 3)
    }

    /// How much the text map counts.
    fn weight_of_text(&self) -> f32 {
        self.options.text_weight + self.trust
    }

    /// Similarities less the weighted text at the same places.
    fn less_text(&self, similarity: Tensor<1>, text: Option<&Tensor<1>>) -> Tensor<1> {
        match text {
            Some(text) => similarity - text.clone() * self.weight_of_text(),
            None => similarity,
        }
    }

    fn fill(&mut self, normals: &[Vec<Subject>]) {
        let counts: Vec<usize> = normals.iter().map(|views| views.iter().map(Subject::squares).sum()).collect();
        let (kept, ends) = even_selection(&counts, self.options.maximum_rows);
        let join = |tap: usize| {
            let rows = Tensor::cat(normals.iter().flatten().filter_map(|view| view.tokens.get(tap).cloned()).collect(), 0);
            let rows = match &kept {
                Some(kept) => {
                    let kept = Tensor::from_data(TensorData::new(kept.clone(), [kept.len()]), &rows.device());
                    rows.select(0, kept)
                }
                None => rows,
            };
            rows.transpose()
        };
        (self.taps, self.ends) = ((0..self.shares.len()).map(join).collect(), ends);
    }
}

/// `smooth` maps, without what is below 0, scaled so that each is as high as the `sharp` one; one that is nowhere above 0, as more may
/// be forgiven than there is, gives way to that.
fn peaking(smooth: Tensor<4>, sharp: Tensor<4>) -> Tensor<4> {
    let peak = |maps: &Tensor<4>| maps.clone().flatten::<2>(1, 3).max_dim(1).unsqueeze_dims::<4>(&[2, 3]);
    let height = peak(&smooth);
    let flat = height.clone().lower_equal_elem(DARK).expand(smooth.shape());
    let scaled = smooth.clamp_min(0.0) * (peak(&sharp) / height.clamp_min(DARK));
    scaled.mask_where(flat, sharp)
}

/// Which of all rows are kept (`None` for all), and where each image's rows then end. Every image keeps the same share of
/// its rows, so that leaving one out costs the same for each.
fn even_selection(counts: &[usize], maximum: Option<usize>) -> (Option<Vec<i32>>, Vec<usize>) {
    let total: usize = counts.iter().sum();
    let ends = |kept: &dyn Fn(usize) -> usize| {
        let mut before = 0;
        counts
            .iter()
            .map(|count| {
                before += count;
                kept(before)
            })
            .collect()
    };
    match maximum.filter(|&maximum| maximum < total) {
        None => (None, ends(&|row| row)),
        Some(maximum) => {
            let kept = (0..maximum).map(|index| (index * total / maximum) as i32).collect();
            // The first index whose row is not before `row`.
            (Some(kept), ends(&|row| (row * maximum).div_ceil(total)))
        }
    }
}

/// One number an image, `[batch]`.
fn score(plain: &Tensor<4>, similarity: &Tensor<1>, rule: ScoreRule) -> Tensor<1> {
    let batch = plain.dims()[0];
    match rule {
        ScoreRule::Maximum => plain.clone().flatten::<2>(1, 3).max_dim(1).squeeze_dim(1),
        ScoreRule::AboveMedian(share) => {
            let patches = similarity.dims()[0] / batch.max(1);
            let sorted = (1.0f32 - similarity.clone().reshape([batch, patches])).sort(1);
            let at = |index: usize| sorted.clone().narrow(1, index, 1).squeeze_dim::<1>(1);
            at(patches.saturating_sub(1)) - at(patches / 2) * share
        }
    }
}

#[cfg(test)]
mod tests;
