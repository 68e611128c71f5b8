//! Squares of an image among all others of it: what a surface shows again and again is ordinary, wherever it stands.

use burn::{
    module::Module,
    nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig},
    tensor::{Device, Tensor},
};

use crate::decoder::upsample::average_squares;

/// Heads of the attention.
const HEADS: usize = 4;
/// Side of the blocks of squares whose mean a square is compared with; all pairs of squares cost four times as much.
const BLOCK: usize = 2;

/// Attention without positions of each square to blocks of squares, beside a shortcut (Vaswani et al. 2017; keys of blocks are those of
/// Pyramid Vision Transformer, Wang et al. 2021, with plain means).
#[derive(Module, Debug)]
pub(super) struct Comparison {
    norm: LayerNorm,
    queries: Linear,
    /// Keys and values from one product.
    blocks: Linear,
    output: Linear,
}

impl Comparison {
    /// With random weights.
    pub(super) fn new(width: usize, device: &Device) -> Self {
        let all_heads = HEADS * width.div_ceil(HEADS);
        Self {
            norm: LayerNormConfig::new(width).init(device),
            queries: LinearConfig::new(width, all_heads).init(device),
            blocks: LinearConfig::new(width, 2 * all_heads).init(device),
            output: LinearConfig::new(all_heads, width).init(device),
        }
    }

    /// `[batch, squares, width]` to the same shape; memory grows with the square of the squares.
    pub(super) fn forward(&self, squares: Tensor<3>, grid: [usize; 2]) -> Tensor<3> {
        let [all_heads, _] = self.output.weight.dims();
        let heads = |rows: Tensor<3>| {
            let [batch, count, _] = rows.dims();
            rows.reshape([batch, count, HEADS, all_heads / HEADS]).swap_dims(1, 2)
        };
        let normed = self.norm.forward(squares.clone());
        let queries = self.queries.forward(normed.clone());
        let blocks = self.blocks.forward(average_squares(normed, grid, BLOCK, 1));
        let [keys, values] = [0, all_heads].map(|start| heads(blocks.clone().narrow(2, start, all_heads)));
        let seen = attended(heads(queries), keys, values).swap_dims(1, 2).flatten::<3>(2, 3);
        squares + self.output.forward(seen)
    }
}

/// Softmax attention, `[batch, heads, squares or blocks, size]` each.
///
/// Not Burn's own: the weights of all pairs are much of the memory that training moves, and with fewer tensors of that size
/// a step takes less time. A column of ones beside the values sums the weights up.
fn attended(queries: Tensor<4>, keys: Tensor<4>, values: Tensor<4>) -> Tensor<4> {
    let size = queries.dims()[3];
    let scores = (queries / (size as f32).sqrt()).matmul(keys.transpose());
    let weights = (scores.clone() - scores.detach().max_dim(3)).exp();
    let one = values.clone().narrow(3, 0, 1).ones_like();
    let sums = weights.matmul(Tensor::cat(vec![values, one], 3));
    sums.clone().narrow(3, 0, size) / sums.narrow(3, size, 1)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use burn::tensor::{Distribution, activation::softmax};

    use super::*;

    /// Sums of some dozen products of numbers about 1.
    const ROUNDING: f32 = 1e-5;

    fn distance(left: Tensor<3>, right: Tensor<3>) -> f32 {
        (left - right).abs().max().into_scalar()
    }

    #[test]
    fn it_is_softmax_attention_of_each_head_to_the_means_of_blocks() {
        let device = Device::default();
        let (comparison, squares) = (Comparison::new(8, &device), Tensor::<3>::random([1, 8, 8], Distribution::Normal(0.0, 1.0), &device));
        let normed = comparison.norm.forward(squares.clone());
        let queries = comparison.queries.forward(normed.clone());
        // Two rows of four squares are two blocks.
        let means = normed.reshape([1, 2, 2, 2, 8]).mean_dims(&[1, 3]).reshape([1, 2, 8]);
        let packed = comparison.blocks.forward(means);
        let head = |head: usize| {
            let part = |index: usize| packed.clone().narrow(2, index * 8 + head * 2, 2);
            softmax(queries.clone().narrow(2, head * 2, 2).matmul(part(0).transpose()) / 2.0f32.sqrt(), 2).matmul(part(1))
        };
        let seen = Tensor::cat((0..HEADS).map(head).collect(), 2);
        let expected = squares.clone() + comparison.output.forward(seen);
        assert!(distance(comparison.forward(squares, [2, 4]), expected) < ROUNDING);
    }

    #[test]
    fn a_mirrored_image_has_mirrored_squares() {
        let device = Device::default();
        // No multiple of the heads.
        let (comparison, squares) = (Comparison::new(6, &device), Tensor::<3>::random([2, 16, 6], Distribution::Normal(0.0, 1.0), &device));
        let compared = |squares| comparison.forward(squares, [4, 4]);
        assert!(distance(compared(squares.clone().flip([1])), compared(squares).flip([1])) < ROUNDING);
    }
}
