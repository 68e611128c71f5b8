//! Patches against sentences, and among their neighbours: the embedded model's image decoder.
//!
//! Deviation from the paper (Eq. 1): besides its layers, one a tap, there is one that sees all taps and finer maps at once and, by
//! residual 3x3 convolutions and an attention, the patches around each and those of the whole image. What is odd among its
//! surroundings can be told without knowing the product, so this layer hears no text, and a name that is wrong or unknown does less
//! harm. The map is the mean of its map and of the paper's. As it is far surer of itself than it is right, its logits are divided by a
//! temperature (Guo et al. 2017), which training does not see. Both see squares of patches, and are upsampled over areas, in training
//! too: with aligned corners, as in the reference, what is found moves towards the image's sides by up to half a square.

mod comparison;
mod network;

use burn::{
    config::Config,
    module::Module,
    tensor::{Device, Tensor, activation::sigmoid},
};

use super::{
    Decoder, Localization, PatchTextDecoder, PatchTextDecoderConfig, Reference, TextPair, check_features, matching,
    upsample::{average_squares, squares_over},
};
use crate::{encoder::ImageFeatures, error::Result};

use network::Context;

/// What the context's logits are divided by.
const TEMPERATURE: f32 = 2.0;

/// Shape of a [`ContextDecoder`].
#[derive(Config, Debug)]
pub struct ContextDecoderConfig {
    /// The paper's layers.
    pub layers: PatchTextDecoderConfig,
    /// Side of the squares of patches that are seen as one, at least 1. [`PatchTextDecoderConfig::upscale`] counts pixels of the map a
    /// square.
    #[config(default = 1)]
    pub coarseness: usize,
    /// Channels of the joined taps.
    #[config(default = 64)]
    pub width: usize,
    /// Widths of the encoder's [`fine`](ImageFeatures::fine) maps, which have two positions a square each way; the last row or column
    /// may be missing.
    #[config(default = "Vec::new()")]
    pub fine_widths: Vec<usize>,
    /// Convolutions, each of which lets a square see one further, before the squares are compared with each other, and once more after.
    #[config(default = 2)]
    pub steps: usize,
}

impl ContextDecoderConfig {
    /// A decoder with random weights.
    pub fn init(&self, device: &Device) -> ContextDecoder {
        ContextDecoder { coarseness: self.coarseness.max(1), layers: self.layers.init(device), context: Context::new(self, device) }
    }
}

/// Matches patches with a pair of text vectors and looks at them among their neighbours, or matches them with a
/// [`MemoryBank`](super::MemoryBank).
///
/// A memory bank has no use for this decoder's weights, unless it listens to the text too.
#[derive(Module, Debug)]
pub struct ContextDecoder {
    layers: PatchTextDecoder,
    context: Context,
    coarseness: usize,
}

impl ContextDecoder {
    /// The paper's layers.
    pub fn layers(&self) -> &PatchTextDecoder {
        &self.layers
    }

    /// The same with the paper's layers of another decoder.
    #[must_use]
    pub fn with_layers(self, layers: PatchTextDecoder) -> Self {
        Self { layers, ..self }
    }

    /// Logits of a pixel's being abnormal by the context alone, not tempered, `[batch, 1, height, width]`. Gradients pass to the weights.
    ///
    /// # Errors
    /// [`Error::Incompatible`](crate::Error::Incompatible) for taps or fine maps of other numbers, widths or grids than it was made for.
    pub fn context_logits(&self, image: &ImageFeatures) -> Result<Tensor<4>> {
        Ok(self.upsampled(self.context.logits(&self.squares(image)?)?, image))
    }

    /// Probabilities in `[0, 1]` of a pixel's being abnormal by each of the paper's layers alone, `[batch, layers, height, width]`.
    /// Gradients pass to the weights.
    ///
    /// # Errors
    /// [`Error::Incompatible`](crate::Error::Incompatible) for taps of other numbers, widths or grids than it was made for, and for texts
    /// of another width.
    pub fn layer_probabilities(&self, image: &ImageFeatures, text: &TextPair) -> Result<Tensor<4>> {
        self.of_layers(&self.squares(image)?, image, text)
    }

    /// [`layer_probabilities`](Self::layer_probabilities) of an image whose squares are known.
    fn of_layers(&self, squares: &ImageFeatures, image: &ImageFeatures, text: &TextPair) -> Result<Tensor<4>> {
        Ok(sigmoid(self.upsampled(self.layers.logits(squares, text)?, image)))
    }

    fn text_map(&self, image: &ImageFeatures, text: &TextPair) -> Result<Tensor<4>> {
        let squares = self.squares(image)?;
        let alone = self.of_layers(&squares, image, text)?.mean_dim(1);
        let context = sigmoid(self.upsampled(self.context.logits(&squares)?, image) / TEMPERATURE);
        Ok((alone + context) / 2.0)
    }

    /// The image with squares for patches.
    fn squares(&self, image: &ImageFeatures) -> Result<ImageFeatures> {
        check_features(image, &self.layers.tap_widths())?;
        let squares = |tokens: &Tensor<3>| average_squares(tokens.clone(), image.grid, self.coarseness, 1);
        Ok(ImageFeatures {
            patch_tokens: image.patch_tokens.iter().map(squares).collect(),
            grid: image.grid.map(|cells| cells.div_ceil(self.coarseness)),
            ..image.clone()
        })
    }

    /// A map's (height, width).
    fn map_size(&self, image: &ImageFeatures) -> [usize; 2] {
        image.grid.map(|cells| (cells * self.layers.upscale()).div_ceil(self.coarseness))
    }

    /// Maps of squares `[batch, channels, rows, columns]` as maps of pixels.
    fn upsampled(&self, squares: Tensor<4>, image: &ImageFeatures) -> Tensor<4> {
        squares_over(squares, self.layers.upscale(), self.map_size(image))
    }
}

impl Decoder for ContextDecoder {
    fn localize(&self, image: &ImageFeatures, reference: Reference<'_>) -> Result<Localization> {
        matching::localized(image, reference, |pair| self.text_map(image, pair), self.map_size(image), self.layers.threshold())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use burn::tensor::Distribution;

    use super::{network::FINE, *};
    use crate::error::Error;

    /// Rounding of logits of up to 100.
    const ROUNDING: f32 = 2e-5;

    pub(super) fn config() -> ContextDecoderConfig {
        let layers = PatchTextDecoderConfig::new(vec![8, 6], 16, 4);
        ContextDecoderConfig::new(layers).with_fine_widths(vec![3]).with_width(12)
    }

    fn decoder(device: &Device) -> ContextDecoder {
        config().init(device)
    }

    pub(super) fn features(grid: [usize; 2], device: &Device) -> ImageFeatures {
        let tokens = |width| Tensor::<3>::random([2, grid[0] * grid[1], width], Distribution::Normal(0.0, 1.0), device);
        let fine = vec![fine(grid, device)];
        ImageFeatures { patch_tokens: vec![tokens(8), tokens(6)], grid, fine, embedding: Tensor::zeros([2, 5], device) }
    }

    /// A fine map for so many squares.
    fn fine([rows, columns]: [usize; 2], device: &Device) -> Tensor<4> {
        Tensor::random([2, FINE * rows, FINE * columns, 3], Distribution::Normal(0.0, 1.0), device)
    }

    fn text(device: &Device) -> TextPair {
        let side = || Tensor::<2>::random([1, 16], Distribution::Normal(0.0, 0.02), device);
        TextPair { normal: side(), abnormal: side() }
    }

    pub(super) fn values(map: Tensor<4>) -> Vec<f32> {
        map.into_data().try_to_vec().unwrap()
    }

    #[test]
    fn a_map_is_the_mean_of_the_layers_and_the_tempered_context() {
        let device = Device::default();
        let (decoder, image, text) = (decoder(&device), features([5, 6], &device), text(&device));
        let found = values(decoder.localize(&image, Reference::Text(&text)).unwrap().map);
        let alone = values(decoder.layer_probabilities(&image, &text).unwrap().mean_dim(1));
        let context = values(sigmoid(decoder.context_logits(&image).unwrap()));
        assert_eq!([found.len(), alone.len(), context.len()], [2 * 20 * 24; 3]);
        for (pixel, (alone, context)) in alone.iter().zip(context).enumerate() {
            let odds = (context / (1.0 - context)).powf(1.0 / TEMPERATURE);
            let expected = (alone + odds / (1.0 + odds)) / 2.0;
            assert!((found[pixel] - expected).abs() < ROUNDING, "{} {expected}", found[pixel]);
        }
        // The corners of a map are those of the grid, where nothing is interpolated.
        let cornered = values(decoder.layers().layer_probabilities(&image, &text).unwrap().mean_dim(1));
        for corner in [0, 23, 19 * 24, 20 * 24 - 1] {
            assert!((alone[corner] - cornered[corner]).abs() < ROUNDING, "{} {}", alone[corner], cornered[corner]);
        }
    }

    #[test]
    fn coarse_squares_are_the_means_of_patches() {
        let device = Device::default();
        let (sharp, text) = (decoder(&device), text(&device));
        let mut coarse = sharp.clone();
        coarse.coarseness = 2;
        let image = ImageFeatures { fine: vec![fine([3, 4], &device)], ..features([6, 8], &device) };
        let mean = |tokens: &Tensor<3>| {
            let width = tokens.dims()[2];
            tokens.clone().reshape([2, 3, 2, 4, 2, width]).mean_dims(&[2, 4]).reshape([2, 12, width])
        };
        let means = ImageFeatures { patch_tokens: image.patch_tokens.iter().map(mean).collect(), grid: [3, 4], ..image.clone() };
        let distance: f32 = (coarse.context_logits(&image).unwrap() - sharp.context_logits(&means).unwrap()).abs().max().into_scalar();
        assert!(distance < ROUNDING, "{distance}");
        // As the encoder gives them: a position for each patch.
        let details = Tensor::random([2, 5, 7, 3], Distribution::Normal(0.0, 1.0), &device);
        let odd = ImageFeatures { fine: vec![details], ..features([5, 7], &device) };
        assert_eq!(coarse.localize(&odd, Reference::Text(&text)).unwrap().map.dims(), [2, 1, 10, 14]);
        let whole = sharp.context_logits(&coarse.squares(&odd).unwrap()).unwrap();
        let inside = whole.narrow(2, 0, 10).narrow(3, 0, 14);
        let distance: f32 = (coarse.context_logits(&odd).unwrap() - inside).abs().max().into_scalar();
        assert!(distance < ROUNDING, "{distance}");
    }

    #[test]
    fn an_untrained_context_calls_little_anomalous() {
        let device = Device::default();
        let map = values(sigmoid(decoder(&device).context_logits(&features([5, 6], &device)).unwrap()));
        assert!(map.into_iter().all(|value| value > 0.0 && value < 0.1));
    }

    #[test]
    fn other_widths_are_refused() {
        let device = Device::default();
        let (decoder, image) = (decoder(&device), features([3, 4], &device));
        let refused = |image: &ImageFeatures| match decoder.context_logits(image) {
            Err(Error::Incompatible { expected, found, .. }) => (expected, found),
            other => panic!("{other:?}"),
        };
        assert_eq!(refused(&ImageFeatures { grid: [3, 3], ..image.clone() }), (9, 12));
        assert_eq!(refused(&ImageFeatures { patch_tokens: image.patch_tokens[..1].to_vec(), ..image.clone() }), (2, 1));
        assert_eq!(refused(&ImageFeatures { fine: vec![], ..image.clone() }), (1, 0));
        assert_eq!(refused(&ImageFeatures { fine: vec![fine([3, 5], &device)], ..image.clone() }), (4, 5));
        let wide = Tensor::cat(vec![image.fine[0].clone(); 2], 3);
        assert_eq!(refused(&ImageFeatures { fine: vec![wide], ..image }), (3, 6));
    }
}
