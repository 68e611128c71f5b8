//! Vectors to look for nearest neighbours in.

use burn::tensor::{Int, Tensor};

/// Vectors, and squares of their lengths.
#[derive(Clone, Debug)]
pub(super) struct Rows {
    /// `[width, rows]`.
    transposed: Tensor<2>,
    /// `[1, rows]`.
    squares: Tensor<2>,
}

impl Rows {
    /// From `[rows, width]`.
    pub(super) fn new(rows: Tensor<2>) -> Self {
        let squares = rows.clone().square().sum_dim(1).transpose();
        Self { transposed: rows.transpose(), squares }
    }

    /// How many.
    pub(super) fn count(&self) -> usize {
        self.squares.dims()[1]
    }

    /// One row, `[1, width]`.
    pub(super) fn row(&self, index: usize) -> Tensor<2> {
        self.transposed.clone().narrow(1, index, 1).transpose()
    }

    /// Squared distances of `queries`, `[queries, width]`, to all rows: `[queries, rows]`, at least 0.
    pub(super) fn squared_distances(&self, queries: Tensor<2>) -> Tensor<2> {
        let squares = queries.clone().square().sum_dim(1);
        ((queries.matmul(self.transposed.clone()) * -2.0 + self.squares.clone()) + squares).clamp_min(0.0)
    }

    /// Squared distance of each query to its nearest row and that row's index, both `[queries, 1]`.
    pub(super) fn nearest(&self, queries: Tensor<2>) -> (Tensor<2>, Tensor<2, Int>) {
        self.squared_distances(queries).min_dim_with_indices(1)
    }
}
