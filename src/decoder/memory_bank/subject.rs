//! Normal images beside the text, and how much the text may say then.

use burn::tensor::Tensor;

use super::{MemoryBank, MemoryBankOptions, TextMap};
use crate::{
    decoder::{
        check_features, check_fit,
        upsample::{antialiased, average_squares, highest_of_squares},
    },
    device::host,
    encoder::ImageFeatures,
    error::{Error, Result, check_finite},
};

/// Least norm of a token, as in the reference.
const LEAST_NORM: f32 = 1e-8;

/// Mean of the text map's highest values in normal images, at which trust in it has fallen to 1/e: what the embedded decoder says of
/// drawn parts is mostly below, of photographed magnetic tiles mostly far above.
const DOUBT: f32 = 0.06;

/// What the text says of an image's batch.
pub(super) struct Heard {
    /// In the mean of each square, `[batch * compared squares]`.
    means: Tensor<1>,
    /// For scores, `[batch * compared squares]`: halfway from that mean to the square's highest patch, as a fault may be smaller.
    pub(super) on_squares: Tensor<1>,
    /// For the map, `[batch * patches]`.
    pub(super) on_patches: Tensor<1>,
}

impl Heard {
    pub(super) fn new(options: &MemoryBankOptions, map: Tensor<4>, image: &ImageFeatures) -> Result<Self> {
        let [maps, channels, rows, columns] = map.dims();
        check_fit("the text map", image.images(), maps)?;
        check_fit("the text map", 1, channels)?;
        if rows * columns == 0 {
            return Err(Error::component("the text map", "it has no pixels"));
        }
        let side = options.coarseness;
        let on_patches = antialiased(map, image.grid);
        let patches = on_patches.clone().reshape([maps as isize, -1, 1]);
        let means = average_squares(patches, image.grid, side, 1).flatten(0, 2);
        let highest = highest_of_squares(on_patches.clone(), side).flatten(0, 3);
        Ok(Self { on_squares: (means.clone() + highest) / 2.0, means, on_patches: on_patches.flatten(0, 3) })
    }
}

/// A batch of an image's views, or of probes: what is compared of it, and the text, if that is listened to.
pub(super) struct Subject {
    /// One a tap, `[batch * compared squares, width]`, unit vectors.
    pub(super) tokens: Vec<Tensor<2>>,
    pub(super) grid: [usize; 2],
    pub(super) text: Option<Heard>,
}

/// Normal images on their way into a bank. What else was seen in them is let go, so that hundreds fit the memory.
pub(crate) struct Normals<'a> {
    options: MemoryBankOptions,
    text_map: Option<TextMap<'a>>,
    images: Vec<Vec<Subject>>,
}

impl<'a> Normals<'a> {
    pub(crate) fn new(options: MemoryBankOptions, text_map: Option<TextMap<'a>>) -> Result<Self> {
        options.check()?;
        let text_map = text_map.filter(|_| options.may_hear_text());
        Ok(Self { options, text_map, images: Vec::new() })
    }

    /// Adds an image: its views, of which the first is the image itself, as one or more batches.
    pub(crate) fn add(&mut self, views: &[ImageFeatures]) -> Result<()> {
        let mut compared: Vec<Subject> = Vec::new();
        for view in views {
            let subject = self.subject(view, self.first().or(compared.first()))?;
            compared.push(subject);
        }
        if compared.iter().all(|view| view.squares() == 0) {
            return Err(Error::NoNormals);
        }
        self.images.push(compared);
        Ok(())
    }

    /// How many images there are.
    pub(crate) fn images(&self) -> usize {
        self.images.len()
    }

    /// The bank of all of them, calibrated, where there is one image alone, on its probes.
    pub(crate) fn bank(self, probes: &[ImageFeatures]) -> Result<MemoryBank> {
        let probes = probes.iter().map(|probe| self.subject(probe, self.first())).collect::<Result<Vec<_>>>()?;
        MemoryBank::of(&self.images, &probes, self.options)
    }

    fn first(&self) -> Option<&Subject> {
        self.images.first().and_then(|views| views.first())
    }

    /// What is compared of a batch, whose tokens must be as wide as those of another one.
    fn subject(&self, features: &ImageFeatures, other: Option<&Subject>) -> Result<Subject> {
        let widths: Vec<usize> = match other {
            Some(subject) => subject.tokens.iter().map(|tokens| tokens.dims()[1]).collect(),
            None => features.patch_tokens.iter().map(|tokens| tokens.dims()[2]).collect(),
        };
        check_features(features, &widths)?;
        check_finite_tokens(features)?;
        let text_map = self.text_map.filter(|_| features.images() > 0);
        let text = text_map.map(|text_map| Heard::new(&self.options, text_map(features)?, features)).transpose()?;
        Ok(Subject { tokens: tokens(features, &self.options), grid: features.grid, text })
    }
}

/// One a tap, `[batch * compared squares, width]`, unit vectors.
pub(super) fn tokens(image: &ImageFeatures, options: &MemoryBankOptions) -> Vec<Tensor<2>> {
    let unit = |tokens: &Tensor<3>| {
        let tokens = average_squares(tokens.clone(), image.grid, options.coarseness, options.neighbourhood);
        let tokens = tokens.flatten::<2>(0, 1);
        let norms = tokens.clone().square().sum_dim(1).sqrt().clamp_min(LEAST_NORM);
        tokens / norms
    };
    image.patch_tokens.iter().map(unit).collect()
}

fn check_finite_tokens(image: &ImageFeatures) -> Result<()> {
    for tokens in &image.patch_tokens {
        check_finite("the image encoder", &host("the image encoder", tokens.clone())?)?;
    }
    Ok(())
}

/// How much more the text map counts: a text that finds nothing in normal images is right there, and may be believed elsewhere.
pub(super) fn trust(bank: &MemoryBank, normals: &[Vec<Subject>]) -> Result<f32> {
    let peaks = normals.iter().flatten().map(|subject| subject.text_peaks(bank)).collect::<Result<Vec<_>>>()?.concat();
    let mean = peaks.iter().sum::<f32>() / peaks.len().max(1) as f32;
    Ok(if peaks.is_empty() { 0.0 } else { bank.options.text_trust * (-(mean / DOUBT).powi(2)).exp() })
}

impl Subject {
    /// How many squares of its batch are compared.
    pub(super) fn squares(&self) -> usize {
        self.tokens.first().map_or(0, |tokens| tokens.dims()[0])
    }

    /// The first image of its batch.
    pub(super) fn first(&self, options: &MemoryBankOptions) -> Self {
        let [rows, columns] = self.grid;
        let (squares, patches) = (options.squares(self.grid), rows * columns);
        let of_first = |values: &Tensor<1>, count: usize| values.clone().narrow(0, 0, count);
        let first = |text: &Heard| Heard {
            means: of_first(&text.means, squares),
            on_squares: of_first(&text.on_squares, squares),
            on_patches: of_first(&text.on_patches, patches),
        };
        let tokens = self.tokens.iter().map(|tokens| tokens.clone().narrow(0, 0, squares)).collect();
        Self { tokens, grid: self.grid, text: self.text.as_ref().map(first) }
    }

    /// The text's highest mean of a square in each image of its batch.
    fn text_peaks(&self, bank: &MemoryBank) -> Result<Vec<f32>> {
        let values = self.text.as_ref().map_or(Ok(Vec::new()), |text| host("the text map", text.means.clone()))?;
        check_finite("the text map", &values)?;
        Ok(values.chunks(bank.options.squares(self.grid).max(1)).map(|image| image.iter().copied().fold(0.0, f32::max)).collect())
    }
}
