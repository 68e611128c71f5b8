//! The transformer block that both of ImageBind's towers are made of.

use burn::{
    module::Module,
    nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig},
    tensor::{Device, Tensor, activation::gelu, module::attention, ops::AttentionModuleOptions},
};

/// Added to the variance in every layer norm.
const EPSILON: f64 = 1e-6;

/// Attention and a feed-forward net with an exact GELU, each after a norm and beside a shortcut (`_trunk` of the reference).
#[derive(Module, Debug)]
pub(super) struct Block {
    norm_1: LayerNorm,
    /// Queries, keys and values from one product.
    in_proj: Linear,
    out_proj: Linear,
    norm_2: LayerNorm,
    fc1: Linear,
    fc2: Linear,
    heads: usize,
}

/// Sizes of a block.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockSize {
    pub(super) width: usize,
    pub(super) heads: usize,
    pub(super) feed_forward: usize,
}

/// A layer norm of ImageBind.
pub(super) fn norm(width: usize, device: &Device) -> LayerNorm {
    LayerNormConfig::new(width).with_epsilon(EPSILON).init(device)
}

impl Block {
    pub(super) fn new(size: BlockSize, device: &Device) -> Self {
        let BlockSize { width, heads, feed_forward } = size;
        let linear = |from, to| LinearConfig::new(from, to).init(device);
        Self {
            norm_1: norm(width, device),
            in_proj: linear(width, 3 * width),
            out_proj: linear(width, width),
            norm_2: norm(width, device),
            fc1: linear(width, feed_forward),
            fc2: linear(feed_forward, width),
            heads,
        }
    }

    /// `[batch * positions, width]` to the same shape; where `causal`, no position sees a later one.
    ///
    /// Two axes only: with three, a weight that is a transposed view would be copied at each use.
    pub(super) fn forward(&self, x: Tensor<2>, positions: usize, causal: bool) -> Tensor<2> {
        let x = x.clone() + self.attend(self.norm_1.forward(x), positions, causal);
        let inner = gelu(self.fc1.forward(self.norm_2.forward(x.clone())));
        x + self.fc2.forward(inner)
    }

    fn attend(&self, x: Tensor<2>, positions: usize, is_causal: bool) -> Tensor<2> {
        let [rows, width] = x.dims();
        let (batch, size) = (rows / positions.max(1), width / self.heads.max(1));
        let packed = self.in_proj.forward(x).reshape([batch, positions, 3, self.heads, size]).permute([2, 0, 3, 1, 4]);
        let part = |index| packed.clone().narrow(0, index, 1).squeeze_dim::<4>(0);
        let options = AttentionModuleOptions { scale: None, softcap: None, is_causal };
        let seen = attention(part(0), part(1), part(2), None, None, options);
        self.out_proj.forward(seen.swap_dims(1, 2).reshape([rows, width]))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use burn::tensor::TensorData;

    use super::*;

    #[test]
    fn epsilon_counts_where_the_variance_is_small() {
        let device = Device::default();
        let x = Tensor::<2>::from_data(TensorData::new([1e-3f32, -1e-3].repeat(8), [1, 16]), &device);
        let found = norm(16, &device).forward(x).into_data().try_to_vec::<f32>().unwrap();
        // Mean square 1e-6, and 1e-6 more.
        assert!((found[0] - std::f32::consts::FRAC_1_SQRT_2).abs() < 1e-4, "{}", found[0]);
    }

    #[test]
    fn a_causal_block_sees_no_later_position() {
        let device = Device::default();
        let block = Block::new(BlockSize { width: 8, heads: 2, feed_forward: 12 }, &device);
        let x = Tensor::<2>::random([3, 8], burn::tensor::Distribution::Normal(0.0, 1.0), &device);
        let first = |x: Tensor<2>, causal| block.forward(x, 3, causal).narrow(0, 0, 1).into_data().try_to_vec::<f32>().unwrap();
        let other = x.clone().slice_fill([2..3, 0..4], 1.0);
        assert_eq!(first(x.clone(), true), first(other.clone(), true));
        assert_ne!(first(x, false), first(other, false));
    }
}
