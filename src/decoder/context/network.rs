//! The layer that sees all taps, finer maps, the squares around each, and how they differ from the image's others.

use burn::{
    module::{Module, Param},
    nn::{
        Initializer, LayerNorm, LayerNormConfig, Linear, LinearConfig, PaddingConfig2d,
        conv::{Conv2d, Conv2dConfig},
    },
    tensor::{Device, Tensor, activation::relu},
};

use super::{ContextDecoderConfig, comparison::Comparison};
use crate::{convolution::convolved, decoder::check_fit, encoder::ImageFeatures, error::Result};

/// Side of the kernels.
const KERNEL: usize = 3;
/// Positions of a fine map that a square has, each way.
pub(super) const FINE: usize = 2;
/// Where logits begin to grow as a logarithm does. The dice loss pushes ordinary squares ever further down, to -300, from where an
/// interpolated map rises late; on the way gradients become denormal numbers, which some processors multiply a hundred times slower.
const KNEE: f32 = 4.0;
/// What untrained logits are about before they are compressed: few pixels are anomalous, and a net that starts undecided first learns
/// to call all of them normal, and stays there (Lin et al. 2017, section 4.1).
const PRIOR: f32 = -4.0;
/// Standard deviation of the last layer's random weights, small beside [`PRIOR`].
const SMALL: f64 = 0.01;

/// Residual convolutions over the squares of an image, before and after they are compared with each other.
#[derive(Module, Debug)]
pub(super) struct Context {
    norms: Vec<LayerNorm>,
    taps: Vec<Linear>,
    fine_norms: Vec<LayerNorm>,
    fine: Vec<Linear>,
    steps: Vec<Conv2d>,
    comparison: Comparison,
    later_steps: Vec<Conv2d>,
    last: Linear,
}

impl Context {
    /// With random weights.
    pub(super) fn new(config: &ContextDecoderConfig, device: &Device) -> Self {
        let tap_widths = &config.layers.tap_widths;
        let norm = |&width: &usize| LayerNormConfig::new(width).init(device);
        let joined = |(tap, &width): (usize, &usize)| LinearConfig::new(width, config.width).with_bias(tap == 0).init(device);
        let gathered = |&width: &usize| LinearConfig::new(FINE * FINE * width, config.width).with_bias(false).init(device);
        let padding = PaddingConfig2d::Explicit(KERNEL / 2, KERNEL / 2, KERNEL / 2, KERNEL / 2);
        let step = |_| Conv2dConfig::new([config.width; 2], [KERNEL; 2]).with_padding(padding.clone()).init(device);
        let steps = || (0..config.steps).map(step).collect();
        Self {
            norms: tap_widths.iter().map(norm).collect(),
            taps: tap_widths.iter().enumerate().map(joined).collect(),
            fine_norms: config.fine_widths.iter().map(norm).collect(),
            fine: config.fine_widths.iter().map(gathered).collect(),
            steps: steps(),
            comparison: Comparison::new(config.width, device),
            later_steps: steps(),
            last: prior(LinearConfig::new(config.width, 1), device),
        }
    }

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
    pub(super) fn logits(&self, image: &ImageFeatures) -> Result<Tensor<4>> {
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

fn prior(config: LinearConfig, device: &Device) -> Linear {
    let mut last = config.with_initializer(Initializer::Normal { mean: 0.0, std: SMALL }).init(device);
    last.bias = last.bias.map(|bias| Param::from_tensor(bias.val().full_like(PRIOR)));
    last
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use burn::tensor::{Distribution, TensorData};

    use super::{
        super::tests::{config, features, values},
        *,
    };

    #[test]
    fn each_step_sees_one_square_further() {
        let device = Device::default();
        let context = Context::new(&config(), &device);
        let squares = Tensor::<3>::random([2, 81, 12], Distribution::Normal(0.0, 1.0), &device);
        let other = squares.clone().slice_fill([0..1, 40..41, 0..4], 5.0);
        let reached = |cell: usize| (cell / 9).abs_diff(4) <= 2 && (cell % 9).abs_diff(4) <= 2;
        for steps in [&context.steps, &context.later_steps] {
            let change = (stepped(squares.clone(), steps, [9, 9]) - stepped(other.clone(), steps, [9, 9])).abs().sum_dim(2);
            for (cell, change) in values(change.narrow(0, 0, 1).reshape([1, 1, 9, 9])).into_iter().enumerate() {
                assert_eq!(change > 0.0, reached(cell), "cell {cell}: {change}");
            }
        }
    }

    #[test]
    fn squares_see_tokens_and_details_of_the_whole_image() {
        let device = Device::default();
        let (context, image) = (Context::new(&config(), &device), features([9, 9], &device));
        let [mut other_token, mut other_detail] = [image.clone(), image.clone()];
        other_token.patch_tokens[0] = image.patch_tokens[0].clone().slice_fill([0..1, 0..1, 0..4], 5.0);
        other_detail.fine[0] = image.fine[0].clone().slice_fill([0..1, 0..1, 0..1, 0..2], 5.0);
        let logits = |image: &ImageFeatures| context.logits(image).unwrap();
        for other in [other_token, other_detail] {
            let change = values((logits(&image) - logits(&other)).abs());
            let (own, of_another_image) = change.split_at(81);
            // The convolutions alone reach four squares; few of the changes further on are lost in rounding.
            assert!(own.iter().enumerate().any(|(cell, change)| cell / 9 > 4 && *change > 0.0), "{own:?}");
            assert!(of_another_image.iter().all(|change| *change == 0.0), "{of_another_image:?}");
        }
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
