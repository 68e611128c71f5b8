//! Patch tokens against sentences: the paper's image decoder (Eq. 1).
//!
//! Each tap's tokens are projected into the text's space by one affine map without an activation, and the layers'
//! probabilities are averaged, as the reference does. The embedded model has [`ContextDecoder`](super::ContextDecoder) instead.

use burn::{
    config::Config,
    module::Module,
    nn::{Linear, LinearConfig},
    tensor::{Device, Tensor, activation::sigmoid},
};

use super::{Decoder, Localization, Reference, TextPair, check_features, matching, upsample::align_corners};
use crate::{encoder::ImageFeatures, error::Result};

/// Shape of a [`PatchTextDecoder`].
#[derive(Config, Debug)]
pub struct PatchTextDecoderConfig {
    /// Width of each tap.
    pub tap_widths: Vec<usize>,
    /// Width of the text vectors.
    pub text_width: usize,
    /// Pixels of the map a patch, along each axis: 14 for ImageBind.
    pub upscale: usize,
    /// Probability above which a pixel is anomalous, in `(0, 1)`; less than half where the training's anomalies are small.
    #[config(default = 0.5)]
    pub threshold: f32,
}

impl PatchTextDecoderConfig {
    /// A decoder with random weights.
    pub fn init(&self, device: &Device) -> PatchTextDecoder {
        let fc = self.tap_widths.iter().map(|&width| LinearConfig::new(width, self.text_width).init(device)).collect();
        PatchTextDecoder { fc, upscale: self.upscale, threshold: self.threshold }
    }
}

/// Matches patch tokens with a pair of text vectors, or with a [`MemoryBank`](super::MemoryBank).
///
/// Only the first needs this decoder's weights: a memory bank compares tokens as the encoder gives them.
#[derive(Module, Debug)]
pub struct PatchTextDecoder {
    fc: Vec<Linear>,
    upscale: usize,
    threshold: f32,
}

impl PatchTextDecoder {
    /// Widths of the taps that it takes.
    pub fn tap_widths(&self) -> Vec<usize> {
        self.fc.iter().map(|linear| linear.weight.dims()[0]).collect()
    }

    /// The projections, one a tap.
    pub fn layers(&self) -> &[Linear] {
        &self.fc
    }

    /// Probability that a pixel is abnormal, by each tap: `[batch, taps, height, width]` in `[0, 1]` (Eq. 1 before the
    /// mean over layers). Gradients pass to the weights.
    ///
    /// # Errors
    /// [`Error::Incompatible`](crate::Error::Incompatible) for features or text of other widths than it was made for.
    pub fn layer_probabilities(&self, image: &ImageFeatures, text: &TextPair) -> Result<Tensor<4>> {
        Ok(sigmoid(align_corners(self.logits(image, text)?, self.map_size(image))))
    }

    /// The logits of patches' being abnormal, by each tap: `[batch, taps, rows, columns]`.
    ///
    /// # Errors
    /// As [`layer_probabilities`](Self::layer_probabilities).
    pub(super) fn logits(&self, image: &ImageFeatures, text: &TextPair) -> Result<Tensor<4>> {
        let batch = check_features(image, &self.tap_widths())?;
        let differences = self.differences(&image.patch_tokens, text, batch)?;
        Ok(differences.swap_dims(1, 2).reshape([batch, self.fc.len(), image.grid[0], image.grid[1]]))
    }

    /// Probability that tokens are abnormal, mean over taps: `[batch, tokens]`, of one tensor a tap `[batch, tokens, width]`.
    ///
    /// # Errors
    /// As [`layer_probabilities`](Self::layer_probabilities).
    #[cfg(feature = "eval")]
    pub(crate) fn token_probabilities(&self, taps: &[Tensor<3>], text: &TextPair) -> Result<Tensor<2>> {
        let batch = taps.first().map_or(0, |tokens| tokens.dims()[0]);
        Ok(sigmoid(self.differences(taps, text, batch)?).mean_dim(2).squeeze_dim(2))
    }

    /// The abnormal logit less the normal one by each tap, `[batch, tokens, taps]`.
    fn differences(&self, taps: &[Tensor<3>], text: &TextPair, batch: usize) -> Result<Tensor<3>> {
        let direction = matching::direction(text, self.text_width(), batch)?;
        let layers = self.fc.iter().zip(taps);
        let differences = layers.map(|(linear, tokens)| matching::difference(linear.forward(tokens.clone()), &direction));
        Ok(Tensor::cat(differences.collect(), 2))
    }

    pub(super) fn text_width(&self) -> usize {
        self.fc.first().map_or(0, |linear| linear.weight.dims()[1])
    }

    pub(super) fn upscale(&self) -> usize {
        self.upscale
    }

    pub(super) fn threshold(&self) -> f32 {
        self.threshold
    }

    fn map_size(&self, image: &ImageFeatures) -> [usize; 2] {
        image.grid.map(|cells| cells * self.upscale)
    }
}

impl Decoder for PatchTextDecoder {
    fn localize(&self, image: &ImageFeatures, reference: Reference<'_>) -> Result<Localization> {
        let text_map = |pair: &TextPair| Ok(self.layer_probabilities(image, pair)?.mean_dim(1));
        matching::localized(image, reference, text_map, self.map_size(image), self.threshold)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use burn::tensor::{Distribution, activation::softmax};

    use super::*;
    use crate::error::Error;

    /// Sigmoid and softmax of logits up to 100 agree to the rounding of the logits.
    const ROUNDING: f32 = 2e-5;

    fn features(device: &Device) -> ImageFeatures {
        let tokens = |width| Tensor::<3>::random([2, 12, width], Distribution::Normal(0.0, 1.0), device);
        ImageFeatures { patch_tokens: vec![tokens(8), tokens(6)], grid: [3, 4], fine: vec![], embedding: Tensor::zeros([2, 5], device) }
    }

    fn text(rows: usize, width: usize, device: &Device) -> TextPair {
        let side = || Tensor::<2>::random([rows, width], Distribution::Normal(0.0, 0.02), device);
        TextPair { normal: side(), abnormal: side() }
    }

    fn decoder(device: &Device) -> PatchTextDecoder {
        PatchTextDecoderConfig::new(vec![8, 6], 16, 7).init(device)
    }

    #[test]
    fn one_channel_equals_the_softmax_over_two() {
        let device = Device::default();
        let (decoder, image, text) = (decoder(&device), features(&device), text(2, 16, &device));
        let found = decoder.layer_probabilities(&image, &text).unwrap();
        let both = Tensor::<2>::stack::<3>(vec![text.normal.clone(), text.abnormal.clone()], 1);
        for (tap, linear) in decoder.fc.iter().enumerate() {
            let tokens = linear.forward(image.patch_tokens[tap].clone());
            let unit = tokens.clone() / tokens.square().sum_dim(2).sqrt();
            let logits = unit.matmul(both.clone().swap_dims(1, 2)) * matching::LOGIT_SCALE;
            let logits = align_corners(logits.swap_dims(1, 2).reshape([2, 2, 3, 4]), [21, 28]);
            let expected = softmax(logits, 1).slice([0..2, 1..2]);
            let distance: f32 = (found.clone().slice([0..2, tap..tap + 1]) - expected).abs().max().into_scalar();
            assert!(distance < ROUNDING, "{distance}");
        }
    }

    #[test]
    fn one_pair_serves_the_whole_batch() {
        let device = Device::default();
        let (decoder, image, one) = (decoder(&device), features(&device), text(1, 16, &device));
        let each = TextPair { normal: one.normal.clone().expand([2, 16]), abnormal: one.abnormal.clone().expand([2, 16]) };
        let shared = decoder.localize(&image, Reference::Text(&one)).unwrap();
        let repeated = decoder.localize(&image, Reference::Text(&each)).unwrap();
        assert_eq!(shared.map.dims(), [2, 1, 21, 28]);
        let distance: f32 = (shared.map - repeated.map).abs().max().into_scalar();
        assert!(distance < ROUNDING, "{distance}");
    }

    #[test]
    fn other_widths_are_refused() {
        let device = Device::default();
        let (decoder, image) = (decoder(&device), features(&device));
        let refused = |image: &ImageFeatures, text: TextPair| match decoder.localize(image, Reference::Text(&text)) {
            Err(Error::Incompatible { expected, found, .. }) => (expected, found),
            other => panic!("{other:?}"),
        };
        assert_eq!(refused(&image, text(1, 15, &device)), (16, 15));
        assert_eq!(refused(&image, text(3, 16, &device)), (2, 3));
        let mut narrow = image.clone();
        narrow.patch_tokens.swap(0, 1);
        assert_eq!(refused(&narrow, text(1, 16, &device)), (8, 6));
        let few = ImageFeatures { patch_tokens: vec![image.patch_tokens[0].clone()], ..image.clone() };
        assert_eq!(refused(&few, text(1, 16, &device)), (2, 1));
        assert_eq!(refused(&ImageFeatures { grid: [3, 3], ..image }, text(1, 16, &device)), (9, 12));
    }

    #[test]
    fn a_token_of_zeros_is_undecided() {
        let device = Device::default();
        let mut state = crate::weights::StateDict::of(&decoder(&device), "a test");
        for name in ["fc.0.bias", "fc.1.bias"] {
            state.insert(name, burn::tensor::TensorData::zeros::<f32, _>([16]));
        }
        let decoder = state.load_into(decoder(&device), crate::weights::Layout::Burn).unwrap();
        let mut image = features(&device);
        image.patch_tokens.iter_mut().for_each(|tokens| *tokens = tokens.zeros_like());
        let map = decoder.localize(&image, Reference::Text(&text(1, 16, &device))).unwrap().map;
        assert!(map.into_data().try_to_vec::<f32>().unwrap().into_iter().all(|value| (value - 0.5).abs() < 1e-6));
    }
}
