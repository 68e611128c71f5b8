//! Patches against sentences, and among their neighbours: the embedded model's image decoder.
//!
//! Deviation from the paper (Eq. 1): besides its layers, one a tap, there is one that sees all taps and finer maps at once and, by
//! residual 3x3 convolutions and an attention, the patches around each and those of the whole image. What is odd among its
//! surroundings can be told without knowing the product, so this layer hears no text, and a name that is wrong or unknown does less
//! harm. The map is the mean of its map and of the paper's. As it is far surer of itself than it is right, its logits are divided by a
//! temperature (Guo et al. 2017), which training does not see. Both see squares of patches, and are upsampled over areas: with aligned
//! corners, which the paper's layers are trained with as in the reference, what is found moves towards the image's sides by up to half a
//! square.

use burn::{
    config::Config,
    module::{Module, Param},
    nn::{
        Initializer, LayerNorm, LayerNormConfig, Linear, LinearConfig, PaddingConfig2d,
        conv::{Conv2d, Conv2dConfig},
    },
    tensor::{
        Device, Tensor,
        activation::{relu, sigmoid},
    },
};

use super::{
    Decoder, Localization, PatchTextDecoder, PatchTextDecoderConfig, Reference, TextPair, check_features, check_fit,
    comparison::Comparison,
    matching,
    upsample::{antialiased, average_squares},
};
use crate::{convolution::convolved, encoder::ImageFeatures, error::Result};

/// Side of the kernels.
const KERNEL: usize = 3;
/// Positions of a fine map that a square has, each way.
const FINE: usize = 2;
/// What the context's logits are divided by.
const TEMPERATURE: f32 = 2.0;
/// Where logits begin to grow as a logarithm does. The dice loss pushes ordinary squares ever further down, to -300, from where an
/// interpolated map rises late; on the way gradients become denormal numbers, which some processors multiply a hundred times slower.
const KNEE: f32 = 4.0;
/// What untrained logits are about before they are compressed: few pixels are anomalous, and a net that starts undecided first learns
/// to call all of them normal, and stays there (Lin et al. 2017, section 4.1).
const PRIOR: f32 = -4.0;
/// Standard deviation of the last layer's random weights, small beside [`PRIOR`].
const SMALL: f64 = 0.01;

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
        let tap_widths = &self.layers.tap_widths;
        let norm = |&width: &usize| LayerNormConfig::new(width).init(device);
        let joined = |(tap, &width): (usize, &usize)| LinearConfig::new(width, self.width).with_bias(tap == 0).init(device);
        let gathered = |&width: &usize| LinearConfig::new(FINE * FINE * width, self.width).with_bias(false).init(device);
        let padding = PaddingConfig2d::Explicit(KERNEL / 2, KERNEL / 2, KERNEL / 2, KERNEL / 2);
        let step = |_| Conv2dConfig::new([self.width; 2], [KERNEL; 2]).with_padding(padding.clone()).init(device);
        let steps = || (0..self.steps).map(step).collect();
        ContextDecoder {
            coarseness: self.coarseness.max(1),
            layers: self.layers.init(device),
            context: Context {
                norms: tap_widths.iter().map(norm).collect(),
                taps: tap_widths.iter().enumerate().map(joined).collect(),
                fine_norms: self.fine_widths.iter().map(norm).collect(),
                fine: self.fine_widths.iter().map(gathered).collect(),
                steps: steps(),
                comparison: Comparison::new(self.width, device),
                later_steps: steps(),
                last: prior(LinearConfig::new(self.width, 1), device),
            },
        }
    }
}

fn prior(config: LinearConfig, device: &Device) -> Linear {
    let mut last = config.with_initializer(Initializer::Normal { mean: 0.0, std: SMALL }).init(device);
    last.bias = last.bias.map(|bias| Param::from_tensor(bias.val().full_like(PRIOR)));
    last
}

/// Matches patches with a pair of text vectors and looks at them among their neighbours, or matches them with a
/// [`MemoryBank`](super::MemoryBank).
///
/// Only the first needs this decoder's weights: a memory bank compares tokens as the encoder gives them.
#[derive(Module, Debug)]
pub struct ContextDecoder {
    layers: PatchTextDecoder,
    context: Context,
    coarseness: usize,
}

/// The layer that sees all taps, finer maps, the squares around each, and how they differ from the image's others.
#[derive(Module, Debug)]
struct Context {
    norms: Vec<LayerNorm>,
    taps: Vec<Linear>,
    fine_norms: Vec<LayerNorm>,
    fine: Vec<Linear>,
    steps: Vec<Conv2d>,
    comparison: Comparison,
    later_steps: Vec<Conv2d>,
    last: Linear,
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

    fn text_map(&self, image: &ImageFeatures, text: &TextPair) -> Result<Tensor<4>> {
        let squares = self.squares(image)?;
        let alone = sigmoid(self.upsampled(self.layers.logits(&squares, text)?, image)).mean_dim(1);
        let context = sigmoid(self.upsampled(self.context.logits(&squares)?, image) / TEMPERATURE);
        Ok((alone + context) / 2.0)
    }

    /// The image with squares for patches.
    fn squares(&self, image: &ImageFeatures) -> Result<ImageFeatures> {
        check_features(image, &self.layers.tap_widths())?;
        let squares = |tokens: &Tensor<3>| average_squares(tokens.clone(), image.grid, self.coarseness, 1);
        Ok(match self.coarseness {
            1 => image.clone(),
            side => ImageFeatures {
                patch_tokens: image.patch_tokens.iter().map(squares).collect(),
                grid: image.grid.map(|cells| cells.div_ceil(side)),
                ..image.clone()
            },
        })
    }

    /// A map's (height, width).
    fn map_size(&self, image: &ImageFeatures) -> [usize; 2] {
        image.grid.map(|cells| (cells * self.layers.upscale()).div_ceil(self.coarseness))
    }

    /// Maps of squares `[batch, channels, rows, columns]` as maps of pixels, without those that the last squares have beyond the image.
    fn upsampled(&self, squares: Tensor<4>, image: &ImageFeatures) -> Tensor<4> {
        let [_, _, rows, columns] = squares.dims();
        let [height, width] = self.map_size(image);
        antialiased(squares, [rows, columns].map(|cells| cells * self.layers.upscale())).narrow(2, 0, height).narrow(3, 0, width)
    }
}

impl Context {
    fn check_fine(&self, image: &ImageFeatures) -> Result<()> {
        let fits = |expected, found| check_fit("the image encoder's fine maps", expected, found);
        let (batch, [rows, columns]) = (image.images(), image.grid);
        fits(self.fine.len(), image.fine.len())?;
        for (map, linear) in image.fine.iter().zip(&self.fine) {
            let [images, down, across, width] = map.dims();
            fits(batch, images)?;
            fits(rows, down.div_ceil(FINE))?;
            fits(columns, across.div_ceil(FINE))?;
            fits(linear.weight.dims()[0] / (FINE * FINE), width)?;
        }
        Ok(())
    }

    /// How anomalous squares are, `[batch, 1, rows, columns]`.
    fn logits(&self, image: &ImageFeatures) -> Result<Tensor<4>> {
        self.check_fine(image)?;
        let [rows, columns] = image.grid;
        let joined = self.joined(image);
        let around = |squares: Tensor<3>, steps| stepped(squares, steps, [rows, columns]);
        let compared = self.comparison.forward(around(joined, &self.steps), [rows, columns]);
        let squares = around(compared, &self.later_steps);
        let logits = self.last.forward(relu(squares));
        let [batch, ..] = logits.dims();
        Ok(compressed(logits.reshape([batch, 1, rows, columns])))
    }

    /// All taps and fine maps of squares, `[batch, squares, width]`.
    fn joined(&self, image: &ImageFeatures) -> Tensor<3> {
        let tap = |((tokens, norm), linear): ((&Tensor<3>, &LayerNorm), &Linear)| linear.forward(norm.forward(tokens.clone()));
        let fine = |((map, norm), linear): ((&Tensor<4>, &LayerNorm), &Linear)| linear.forward(gathered(norm.forward(map.clone())));
        let taps = image.patch_tokens.iter().zip(&self.norms).zip(&self.taps).map(tap);
        taps.chain(image.fine.iter().zip(&self.fine_norms).zip(&self.fine).map(fine))
            .reduce(|sum, tap| sum + tap)
            .unwrap_or_else(|| Tensor::zeros([0, 0, 0], &self.last.weight.device()))
    }
}

/// Residual convolutions over squares, `[batch, squares, width]`.
fn stepped(squares: Tensor<3>, steps: &[Conv2d], [rows, columns]: [usize; 2]) -> Tensor<3> {
    let [batch, _, width] = squares.dims();
    let map = squares.swap_dims(1, 2).reshape([batch, width, rows, columns]);
    let step = |map: Tensor<4>, step| map.clone() + convolved(step, relu(map), KERNEL / 2);
    steps.iter().fold(map, step).flatten::<3>(2, 3).swap_dims(1, 2)
}

/// About the same near 0, and a logarithm far from it.
fn compressed(logits: Tensor<4>) -> Tensor<4> {
    (logits.clone().abs() / KNEE).log1p() * logits.sign() * KNEE
}

/// The map with its last row or column a second time where one is missing of the last squares.
fn filled(map: Tensor<4>) -> Tensor<4> {
    let fill = |map: Tensor<4>, axis| match map.dims()[axis] {
        length if length % FINE == 0 => map,
        length => Tensor::cat(vec![map.clone(), map.narrow(axis, length - 1, 1)], axis),
    };
    fill(fill(map, 1), 2)
}

/// The positions of each square side by side, `[batch, squares, FINE * FINE * width]`, of `[batch, rows, columns, width]`.
fn gathered(map: Tensor<4>) -> Tensor<3> {
    let map = filled(map);
    let [batch, rows, columns, width] = map.dims();
    let [down, across] = [rows / FINE, columns / FINE];
    let squares = map.reshape([batch, down, FINE, across, FINE * width]).swap_dims(2, 3);
    squares.reshape([batch, down * across, FINE * FINE * width])
}

impl Decoder for ContextDecoder {
    fn localize(&self, image: &ImageFeatures, reference: Reference<'_>) -> Result<Localization> {
        matching::localized(image, reference, |pair| self.text_map(image, pair), self.map_size(image), self.layers.threshold())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use burn::tensor::{Distribution, TensorData};

    use super::*;
    use crate::error::Error;

    /// Rounding of logits of up to 100.
    const ROUNDING: f32 = 2e-5;

    fn decoder(device: &Device) -> ContextDecoder {
        let layers = PatchTextDecoderConfig::new(vec![8, 6], 16, 4);
        ContextDecoderConfig::new(layers).with_fine_widths(vec![3]).with_width(12).init(device)
    }

    fn features(grid: [usize; 2], device: &Device) -> ImageFeatures {
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

    fn values(map: Tensor<4>) -> Vec<f32> {
        map.into_data().try_to_vec().unwrap()
    }

    #[test]
    fn a_map_is_the_mean_of_the_layers_and_the_tempered_context() {
        let device = Device::default();
        let (decoder, image, text) = (decoder(&device), features([5, 6], &device), text(&device));
        let found = values(decoder.localize(&image, Reference::Text(&text)).unwrap().map);
        let alone = values(decoder.layers().layer_probabilities(&image, &text).unwrap().mean_dim(1));
        // The corners of a map are those of the grid, where nothing is interpolated.
        let context = values(sigmoid(decoder.context_logits(&image).unwrap()));
        for corner in [0, 23, 19 * 24, 20 * 24 - 1] {
            let odds = (context[corner] / (1.0 - context[corner])).powf(1.0 / TEMPERATURE);
            let expected = (alone[corner] + odds / (1.0 + odds)) / 2.0;
            assert!((found[corner] - expected).abs() < ROUNDING, "{} {expected}", found[corner]);
        }
    }

    #[test]
    fn each_step_sees_one_square_further() {
        let device = Device::default();
        let decoder = decoder(&device);
        let squares = Tensor::<3>::random([2, 81, 12], Distribution::Normal(0.0, 1.0), &device);
        let other = squares.clone().slice_fill([0..1, 40..41, 0..4], 5.0);
        let reached = |cell: usize| (cell / 9).abs_diff(4) <= 2 && (cell % 9).abs_diff(4) <= 2;
        for steps in [&decoder.context.steps, &decoder.context.later_steps] {
            let change = (stepped(squares.clone(), steps, [9, 9]) - stepped(other.clone(), steps, [9, 9])).abs().sum_dim(2);
            for (cell, change) in values(change.narrow(0, 0, 1).reshape([1, 1, 9, 9])).into_iter().enumerate() {
                assert_eq!(change > 0.0, reached(cell), "cell {cell}: {change}");
            }
        }
    }

    #[test]
    fn squares_see_tokens_and_details_of_the_whole_image() {
        let device = Device::default();
        let (decoder, image) = (decoder(&device), features([9, 9], &device));
        let [mut other_token, mut other_detail] = [image.clone(), image.clone()];
        other_token.patch_tokens[0] = image.patch_tokens[0].clone().slice_fill([0..1, 0..1, 0..4], 5.0);
        other_detail.fine[0] = image.fine[0].clone().slice_fill([0..1, 0..1, 0..1, 0..2], 5.0);
        let logits = |image: &ImageFeatures| decoder.context.logits(image).unwrap();
        for other in [other_token, other_detail] {
            let change = values((logits(&image) - logits(&other)).abs());
            let (own, of_another_image) = change.split_at(81);
            // The convolutions alone reach four squares; few of the changes further on are lost in rounding.
            assert!(own.iter().enumerate().any(|(cell, change)| cell / 9 > 4 && *change > 0.0), "{own:?}");
            assert!(of_another_image.iter().all(|change| *change == 0.0), "{of_another_image:?}");
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

    #[test]
    fn logits_keep_their_order_and_grow_slowly() {
        let logits = Tensor::<1>::from_data([-300.0f32, -8.0, -0.01, 0.0, 0.01, 8.0, 300.0], &Device::default());
        let found = values(compressed(logits.reshape([1, 1, 1, 7])));
        assert!(found.is_sorted() && found[0] > -20.0 && found[3] == 0.0, "{found:?}");
        assert!((0..3).all(|index| found[index] == -found[6 - index]) && (found[4] - 0.01).abs() < 1e-4, "{found:?}");
    }

    #[test]
    fn what_is_missing_of_the_last_squares_is_there_twice() {
        let map = Tensor::<1>::from_data([0.0f32, 1.0, 2.0, 3.0, 4.0, 5.0], &Device::default()).reshape([1, 2, 3, 1]);
        assert_eq!(values(filled(map.clone())), [0.0, 1.0, 2.0, 2.0, 3.0, 4.0, 5.0, 5.0]);
        assert_eq!(values(filled(map.swap_dims(1, 2))), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0, 2.0, 5.0]);
    }

    #[test]
    fn positions_of_a_square_stand_side_by_side() {
        let map = Tensor::<1>::from_data(TensorData::new((0..16).map(|cell| cell as f32).collect::<Vec<_>>(), [16]), &Device::default());
        let squares = gathered(map.reshape([1, 2, 4, 2]));
        assert_eq!(squares.dims(), [1, 2, 8]);
        assert_eq!(
            squares.into_data().try_to_vec::<f32>().unwrap(),
            [0.0, 1.0, 2.0, 3.0, 8.0, 9.0, 10.0, 11.0, 4.0, 5.0, 6.0, 7.0, 12.0, 13.0, 14.0, 15.0]
        );
    }
}
