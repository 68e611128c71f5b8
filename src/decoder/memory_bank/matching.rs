//! Which rows of a bank are nearest to an image's patches, and how near they are.

use std::ops::Range;

use burn::tensor::{Tensor, s};

use super::MemoryBank;

/// How alike patches are to the nearest rows, `[batch * compared squares]`.
pub(super) struct Match {
    /// Cosine, mean over taps.
    pub(super) plain: Tensor<1>,
    /// What the map's shape comes of, where that is not the same: cosine and what is forgiven, weighted mean over taps.
    pub(super) shape: Option<Tensor<1>>,
}

impl MemoryBank {
    /// Compares an image's tokens, `[batch * compared squares, width]` a tap, with the bank, without the rows of one of the bank's images,
    /// if any.
    pub(super) fn matched(&self, tokens: &[Tensor<2>], left_out: Option<usize>) -> Match {
        let left_out = left_out.map(|index| self.rows_of(index));
        let (mut plain, mut shape) = (vec![], vec![]);
        for ((number, tap), tokens) in self.taps.iter().enumerate().zip(tokens) {
            let similarity = without_columns(tokens.clone().matmul(tap.clone()), left_out.clone());
            match self.forgiven.get(number) {
                None => plain.push(similarity.max_dim(1)),
                Some(forgiven) => {
                    let (nearest, row) = similarity.max_dim_with_indices(1);
                    shape.push(nearest.clone() + forgiven.clone().select(0, row.squeeze_dim(1)).unsqueeze_dim(1));
                    plain.push(nearest);
                }
            }
        }
        let shape = match (shape.is_empty(), self.options.map_shares.is_empty()) {
            (true, true) => None,
            (true, false) => Some(self.shared(plain.clone())),
            _ => Some(self.shared(shape)),
        };
        Match { plain: mean(plain), shape }
    }

    /// Finds how far each row is from the rows of other images.
    pub(super) fn forgive(&mut self) {
        if self.options.forgiveness == 0.0 || self.ends.len() < 2 {
            return;
        }
        let distances = |tap: &Tensor<2>| {
            let rows = tap.clone().transpose();
            let of_image = |own: Range<usize>| {
                let similarity = rows.clone().slice_dim(0, own.clone()).matmul(tap.clone());
                1.0f32 - without_columns(similarity, Some(own)).max_dim(1)
            };
            let images = (0..self.ends.len()).map(|image| self.rows_of(image)).filter(|own| !own.is_empty());
            Tensor::cat(images.map(of_image).collect(), 0).squeeze_dim::<1>(1) * self.options.forgiveness
        };
        self.forgiven = self.taps.iter().map(distances).collect();
    }

    /// Rows of one of the bank's images.
    fn rows_of(&self, image: usize) -> Range<usize> {
        let start = image.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        start..self.ends.get(image).copied().unwrap_or(start)
    }

    /// Weighted mean over taps of `[positions, 1]`, as `[positions]`.
    fn shared(&self, taps: Vec<Tensor<2>>) -> Tensor<1> {
        let weighted = taps.into_iter().zip(&self.shares).map(|(tap, &share)| tap * share).collect();
        Tensor::cat(weighted, 1).sum_dim(1).squeeze_dim(1)
    }
}

/// Cosine of squares to the nearest of `rows`, both one tensor `[squares, width]` a tap, mean over taps.
pub(super) fn nearest(tokens: &[Tensor<2>], rows: &[Tensor<2>]) -> Tensor<1> {
    let taps = tokens.iter().zip(rows);
    mean(taps.map(|(tokens, rows)| tokens.clone().matmul(rows.clone().transpose()).max_dim(1)).collect())
}

/// Mean over taps of `[positions, 1]`, as `[positions]`.
pub(super) fn mean(taps: Vec<Tensor<2>>) -> Tensor<1> {
    Tensor::cat(taps, 1).mean_dim(1).squeeze_dim(1)
}

/// Similarities whose columns in a range, if any, are those of the farthest rows there can be.
fn without_columns(similarity: Tensor<2>, columns: Option<Range<usize>>) -> Tensor<2> {
    match columns {
        Some(columns) if !columns.is_empty() => similarity.slice_fill(s![.., columns], -1.0),
        _ => similarity,
    }
}
