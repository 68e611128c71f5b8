//! WinCLIP and WinCLIP+: Jeong, Zou, Kim, Zhang, Ravichandran & Dabeer, "WinCLIP: Zero-/Few-Shot Anomaly Classification and
//! Segmentation", CVPR 2023.
//!
//! Zero-shot: windows of 2x2 and of 3x3 patches, each against sentences about normal and abnormal objects (Eq. 1); a patch's
//! score is the harmonic mean over the windows that hold it (section "Harmonic aggregation"), and then over both window sizes and
//! the whole image (section "Multi-scale aggregation"). The image's score is that of the whole image. Few-shot (Eq. 4, reference
//! association): half of one minus the cosine to the nearest patch or window of the normal images, harmonic over the windows
//! that hold a patch, mean over patches and both window sizes; its map is averaged with the zero-shot one, and the mean of its
//! maximum and the zero-shot score is the image's score.
//!
//! Deviations: the paper runs CLIP again on each window's patches and takes the class token; here a window is the mean of its
//! patches. CLIP's space of images and texts is here that of a [`PatchTextDecoder`], trained on simulated anomalies, with its
//! own temperature (0.01 in place of 0.07), and probabilities and cosines are means over its taps; where there is none, only
//! the few-shot part remains. Patches are squares of [`WinClipOptions::coarseness`] of the encoder's: with 2, of 16 pixels, as
//! in the paper.

use burn::tensor::Tensor;

use super::{MapOptions, invalid};
use crate::{
    decoder::{
        Decoder, Localization, PatchTextDecoder, Reference, TextPair, check_features,
        upsample::{average_squares, cells_of_windows, window_means},
    },
    encoder::ImageFeatures,
    error::{Error, Result},
};

/// Least norm of a token and least score that is inverted.
const LEAST: f32 = 1e-8;

/// Settings of [`WinClip`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct WinClipOptions {
    /// Sides of the windows in patches, each at least 2.
    pub windows: Vec<usize>,
    /// The encoder's patches a patch here, along each axis, at least 1.
    pub coarseness: usize,
    /// How the map is made; `upscale` counts in patches of the encoder.
    pub map: MapOptions,
}

impl Default for WinClipOptions {
    /// The paper's windows of 2x2 and 3x3 patches, without a blur.
    fn default() -> Self {
        Self { windows: vec![2, 3], coarseness: 2, map: MapOptions { smoothing: 0.0, ..MapOptions::default() } }
    }
}

/// Windows against texts, and against windows of normal images.
#[derive(Clone, Debug)]
pub struct WinClip {
    text_space: Option<PatchTextDecoder>,
    /// By side of the window (1 for patches) and by tap, unit vectors `[width, rows]`; empty without normal images.
    references: Vec<Vec<Tensor<2>>>,
    options: WinClipOptions,
}

impl WinClip {
    /// Takes in normal images, of any grids and any number, and what brings patches and texts into one space, if there is such.
    ///
    /// # Errors
    /// [`Error::NoNormals`] with neither; [`Error::Incompatible`] for features of different widths; [`Error::InvalidConfig`] for
    /// options out of their range, or for windows larger than a normal image's grid.
    pub fn fit(normals: &[ImageFeatures], text_space: Option<PatchTextDecoder>, options: WinClipOptions) -> Result<Self> {
        options.map.check()?;
        if options.coarseness == 0 || options.windows.iter().any(|&side| side < 2) {
            return Err(invalid("coarseness or windows", "they must be at least 1, and at least 2"));
        }
        if normals.is_empty() && text_space.is_none() {
            return Err(Error::NoNormals);
        }
        let mut win_clip = Self { text_space, references: Vec::new(), options };
        if normals.is_empty() {
            return Ok(win_clip);
        }
        let widths = super::fitting_widths(normals)?;
        let images = normals.iter().map(|image| win_clip.scales(image, &widths)).collect::<Result<Vec<_>>>()?;
        win_clip.references = (0..win_clip.sides().len())
            .map(|scale| {
                let join = |tap: usize| {
                    Tensor::cat(images.iter().map(|scales| unit(scales[scale].tokens[tap].clone()).flatten(0, 1)).collect(), 0).transpose()
                };
                (0..widths.len()).map(join).collect()
            })
            .collect();
        Ok(win_clip)
    }

    fn sides(&self) -> Vec<usize> {
        std::iter::once(1).chain(self.options.windows.iter().copied()).collect()
    }

    /// Patches, then windows of each size.
    fn scales(&self, image: &ImageFeatures, widths: &[usize]) -> Result<Vec<Scale>> {
        check_features(image, widths)?;
        let side = self.options.coarseness;
        let grid = image.grid.map(|cells| cells.div_ceil(side));
        let largest = self.options.windows.iter().copied().max().unwrap_or(1);
        if grid[0].min(grid[1]) < largest {
            return Err(invalid("windows", "they don't fit into the image's grid"));
        }
        let patches: Vec<Tensor<3>> =
            image.patch_tokens.iter().map(|tokens| average_squares(tokens.clone(), image.grid, side, 1)).collect();
        let scale = |side| {
            let tokens = patches.iter().map(|tokens| if side == 1 { tokens.clone() } else { window_means(tokens.clone(), grid, side) });
            Scale { side, grid, tokens: tokens.collect() }
        };
        Ok(self.sides().into_iter().map(scale).collect())
    }

    /// Probabilities that patches are abnormal `[batch, patches]`, and that the images are `[batch]`.
    fn against_text(&self, decoder: &PatchTextDecoder, scales: &[Scale], text: &TextPair) -> Result<(Tensor<2>, Tensor<1>)> {
        let Some((patches, windows)) = scales.split_first() else { return Err(invalid("windows", "there are none")) };
        let whole: Vec<Tensor<3>> = patches.tokens.iter().map(|tokens| tokens.clone().mean_dim(1)).collect();
        let image = decoder.token_probabilities(&whole, text)?;
        let [batch, count] = [image.dims()[0], patches.grid[0] * patches.grid[1]];
        let mut inverse = image.clone().clamp_min(LEAST).recip().expand([batch, count]);
        for scale in windows {
            inverse = inverse + scale.harmonic(decoder.token_probabilities(&scale.tokens, text)?).recip();
        }
        Ok((inverse.recip() * scales.len() as f32, image.squeeze_dim(1)))
    }

    /// Anomaly of patches against the normal images, `[batch, patches]`.
    fn against_normals(&self, scales: &[Scale]) -> Tensor<2> {
        let maps = scales.iter().zip(&self.references).map(|(scale, references)| scale.harmonic(scale.association(references)));
        Tensor::<2>::stack::<3>(maps.collect(), 0).mean_dim(0).squeeze_dim(0)
    }
}

impl Decoder for WinClip {
    /// Compares with the texts of `reference`, if it has some, and with the images that it was fitted to.
    fn localize(&self, image: &ImageFeatures, reference: Reference<'_>) -> Result<Localization> {
        let text = match (&self.text_space, reference) {
            (Some(decoder), Reference::Text(pair) | Reference::NormalsAndText(_, pair)) => Some((decoder, pair)),
            _ => None,
        };
        let widths = match (&self.text_space, self.references.first()) {
            (_, Some(taps)) => taps.iter().map(|tap| tap.dims()[0]).collect(),
            (Some(decoder), None) => decoder.tap_widths(),
            (None, None) => return Err(Error::NoNormals),
        };
        let scales = self.scales(image, &widths)?;
        let normals = (!self.references.is_empty()).then(|| self.against_normals(&scales));
        let text = text.map(|(decoder, pair)| self.against_text(decoder, &scales, pair)).transpose()?;
        let (values, score) = match (text, normals) {
            (Some((map, score)), None) => (map, score),
            (None, Some(map)) => (map.clone(), map.max_dim(1).squeeze_dim(1)),
            (Some((text, score)), Some(map)) => {
                let peak: Tensor<1> = map.clone().max_dim(1).squeeze_dim(1);
                ((text + map) / 2.0, (score + peak) / 2.0)
            }
            (None, None) => return Err(Error::NoNormals),
        };
        let grid = image.grid.map(|cells| cells.div_ceil(self.options.coarseness));
        Ok(self.options.map.localization(self.options.map.smoothed(values, grid), grid, image.grid, score))
    }
}

/// Windows of one size.
struct Scale {
    side: usize,
    /// Rows and columns of patches.
    grid: [usize; 2],
    /// One a tap, `[batch, windows, width]`.
    tokens: Vec<Tensor<3>>,
}

impl Scale {
    /// Half of one minus the cosine to the nearest reference, `[batch, windows]`.
    fn association(&self, references: &[Tensor<2>]) -> Tensor<2> {
        let nearest = |(tokens, reference): (&Tensor<3>, &Tensor<2>)| unit(tokens.clone()).matmul(reference.clone().unsqueeze()).max_dim(2);
        let cosines = Tensor::cat(self.tokens.iter().zip(references).map(nearest).collect(), 2).mean_dim(2).squeeze_dim::<2>(2);
        ((1.0f32 - cosines) / 2.0).clamp_min(0.0)
    }

    /// Scores of windows `[batch, windows]` as scores of patches `[batch, patches]`.
    fn harmonic(&self, scores: Tensor<2>) -> Tensor<2> {
        if self.side == 1 {
            return scores;
        }
        let inverse = scores.clamp_min(LEAST).recip().unsqueeze_dim(2);
        cells_of_windows(inverse, self.grid, self.side).squeeze_dim::<2>(2).recip()
    }
}

fn unit(tokens: Tensor<3>) -> Tensor<3> {
    let norms = tokens.clone().square().sum_dim(2).sqrt().clamp_min(LEAST);
    tokens / norms
}
