//! Patch tokens against sentences: the paper's image decoder (Eq. 1).
//!
//! Each tap's tokens are projected into the text's space by one affine map without an activation. As in the authors'
//! code, and unlike in the paper's equation, the logits are cosines times 100, they are upsampled with aligned corners
//! before the softmax, and the layers' probabilities are averaged (`layer_probabilities` and `zero_shot_map` of the
//! reference). A softmax over two classes is the sigmoid of their logits' difference, and upsampling is linear, so one
//! channel does the work of two.

use burn::{
    config::Config,
    module::Module,
    nn::{Linear, LinearConfig},
    tensor::{Device, Tensor, activation::sigmoid},
};

use super::{Decoder, Localization, Reference, TextPair, check_features, upsample::align_corners};
use crate::{
    encoder::ImageFeatures,
    error::{Error, Result},
};

/// Factor of the cosines, the inverse of the softmax's temperature.
const LOGIT_SCALE: f32 = 100.0;

/// Least norm of a token, so that a token of zeros is not divided by zero.
const LEAST_NORM: f32 = 1e-12;

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
    /// [`Error::Incompatible`] for features or text of other widths than it was made for.
    pub fn layer_probabilities(&self, image: &ImageFeatures, text: &TextPair) -> Result<Tensor<4>> {
        let batch = check_features(image, &self.tap_widths())?;
        let direction = self.direction(text, batch)?;
        let [rows, columns] = image.grid;
        let logits = self.fc.iter().zip(&image.patch_tokens).map(|(linear, tokens)| difference(linear, tokens, &direction));
        let logits = Tensor::cat(logits.collect(), 2).swap_dims(1, 2).reshape([batch, self.fc.len(), rows, columns]);
        Ok(sigmoid(align_corners(logits, self.map_size(image))))
    }

    /// Probability that tokens are abnormal, mean over taps: `[batch, tokens]`, of one tensor a tap `[batch, tokens, width]`.
    ///
    /// # Errors
    /// As [`layer_probabilities`](Self::layer_probabilities).
    #[cfg(feature = "eval")]
    pub(crate) fn token_probabilities(&self, taps: &[Tensor<3>], text: &TextPair) -> Result<Tensor<2>> {
        let batch = taps.first().map_or(0, |tokens| tokens.dims()[0]);
        let direction = self.direction(text, batch)?;
        let probabilities = self.fc.iter().zip(taps).map(|(linear, tokens)| sigmoid(difference(linear, tokens, &direction)));
        Ok(Tensor::cat(probabilities.collect(), 2).mean_dim(2).squeeze_dim(2))
    }

    /// From normal to abnormal, `[1 or batch, text width, 1]`.
    fn direction(&self, text: &TextPair, batch: usize) -> Result<Tensor<3>> {
        let width = self.fc.first().map_or(0, |linear| linear.weight.dims()[1]);
        for side in [&text.normal, &text.abnormal] {
            let [rows, found] = side.dims();
            if found != width {
                return Err(Error::Incompatible { left: "the text encoder", right: "the decoder", expected: width, found });
            }
            if rows != 1 && rows != batch {
                return Err(Error::Incompatible { left: "the text pair", right: "a batch of images", expected: batch, found: rows });
            }
        }
        Ok((text.abnormal.clone() - text.normal.clone()).unsqueeze_dim(2))
    }

    fn map_size(&self, image: &ImageFeatures) -> [usize; 2] {
        image.grid.map(|cells| cells * self.upscale)
    }
}

/// The abnormal logit less the normal one, `[batch, patches, 1]`.
fn difference(linear: &Linear, tokens: &Tensor<3>, direction: &Tensor<3>) -> Tensor<3> {
    let tokens = linear.forward(tokens.clone());
    let norms = tokens.clone().square().sum_dim(2).sqrt().clamp_min(LEAST_NORM);
    tokens.matmul(direction.clone()) * LOGIT_SCALE / norms
}

impl Decoder for PatchTextDecoder {
    fn localize(&self, image: &ImageFeatures, reference: Reference<'_>) -> Result<Localization> {
        match reference {
            Reference::Text(pair) => {
                let map = self.layer_probabilities(image, pair)?.mean_dim(1);
                Ok(Localization { threshold: self.threshold, ..Localization::from_map(map) })
            }
            Reference::Normals(bank) => bank.localize(image, self.map_size(image)),
            Reference::NormalsAndText(bank, pair) => {
                let text_map = self.layer_probabilities(image, pair)?.mean_dim(1);
                bank.localize_with_text(image, Some(text_map), self.map_size(image))
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use burn::tensor::{Distribution, activation::softmax};

    use super::*;

    /// Sigmoid and softmax of logits up to 100 agree to the rounding of the logits.
    const ROUNDING: f32 = 2e-5;

    fn features(device: &Device) -> ImageFeatures {
        let tokens = |width| Tensor::<3>::random([2, 12, width], Distribution::Normal(0.0, 1.0), device);
        ImageFeatures { patch_tokens: vec![tokens(8), tokens(6)], grid: [3, 4], embedding: Tensor::zeros([2, 5], device) }
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
            let logits = unit.matmul(both.clone().swap_dims(1, 2)) * 100.0;
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
