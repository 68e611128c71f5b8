//! Convolutions whose gradients are right on every device.

use burn::{nn::conv::Conv2d, tensor::Tensor};

/// A convolution as a sum of matrix products, one for each place in the kernel, with `padding` rows and columns of zeros around the map.
///
/// Burn's own gives wrong gradients on wgpu: that of the prompt learner's last weight, as rows that come of joining tensors
/// are read as if they lay without gaps, and on Mesa's software Vulkan, which breaks a thread's loops off after 65,535 rounds, that of
/// the first. One product for all places would add up nine times as many terms in a row; its rounding, some 5e-6, decides poolings.
pub(crate) fn convolved(step: &Conv2d, map: Tensor<4>, padding: usize) -> Tensor<4> {
    let [batch, channels, ..] = map.dims();
    let [outputs, _, side, _] = step.weight.dims();
    let padded = map.pad((padding, padding, padding, padding), 0.0);
    let [height, width] = [2, 3].map(|axis| (padded.dims()[axis] + 1).saturating_sub(side));
    let weight = step.weight.val();
    let product = |place: usize| {
        let (down, right) = (place / side, place % side);
        let shifted = padded.clone().slice([0..batch, 0..channels, down..down + height, right..right + width]);
        let weight = weight.clone().slice([0..outputs, 0..channels, down..down + 1, right..right + 1]);
        weight.reshape([1, outputs, channels]).matmul(shifted.reshape([batch, channels, height * width]))
    };
    let bias = step.bias.as_ref().map(|bias| bias.val().reshape([1, outputs, 1]));
    let products = (0..side * side).map(product).chain(bias);
    let sum = products.reduce(|sum, product| sum + product);
    sum.unwrap_or_else(|| Tensor::zeros([batch, outputs, height * width], &padded.device())).reshape([batch, outputs, height, width])
}

#[cfg(test)]
mod tests {
    use burn::{
        nn::{Initializer, PaddingConfig2d, conv::Conv2dConfig},
        tensor::{Device, Distribution},
    };

    use super::*;

    /// Two orders of adding up 75 products of standard normal numbers.
    const SUM_OF_75_PRODUCTS: f32 = 1e-4;

    #[test]
    fn a_convolution_by_copies_is_burn_s_own() {
        let device = Device::default();
        let map = Tensor::<4>::random([2, 3, 9, 8], Distribution::Normal(0.0, 1.0), &device);
        for (side, padding) in [(3, 1), (5, 0), (1, 2)] {
            let config = Conv2dConfig::new([3, 4], [side; 2]).with_padding(PaddingConfig2d::Explicit(padding, padding, padding, padding));
            let step = config.with_initializer(Initializer::Normal { mean: 0.0, std: 1.0 }).init(&device);
            let (found, expected) = (convolved(&step, map.clone(), padding), step.forward(map.clone()));
            assert_eq!(found.dims(), expected.dims());
            let difference: f32 = (found - expected).abs().max().into_scalar();
            assert!(difference < SUM_OF_75_PRODUCTS, "{side}: {difference}");
        }
    }
}
