//! Depthwise convolution over planes of 16 channels that already hold their padding.

use pulp::{Simd, WithSimd};

use super::{
    clamp,
    panel::{GROUP, Weights},
};
use crate::encoder::efficientnet::geometry::Window;

/// A band of the input with its padding, `[groups][rows][columns][16]`.
#[derive(Clone, Copy)]
pub(super) struct Band<'a> {
    pub(super) data: &'a [f32],
    pub(super) rows: usize,
    pub(super) columns: usize,
}

/// Convolves one panel, adds the bias, clamps to `[0, 6]`, and writes `[rows][columns][width]`.
pub(super) struct Depthwise<'a> {
    pub(super) window: Window,
    pub(super) band: Band<'a>,
    pub(super) panel: &'a Weights,
    pub(super) columns: usize,
    pub(super) out: &'a mut [f32],
}

impl WithSimd for Depthwise<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { window, band, panel, columns, out } = self;
        match (window.kernel, window.stride) {
            (3, 1) => groups::<S, 3, 1>(simd, band, panel, columns, out),
            (3, _) => groups::<S, 3, 2>(simd, band, panel, columns, out),
            (_, 1) => groups::<S, 5, 1>(simd, band, panel, columns, out),
            _ => groups::<S, 5, 2>(simd, band, panel, columns, out),
        }
    }
}

#[inline(always)]
fn groups<S: Simd, const K: usize, const STRIDE: usize>(simd: S, band: Band<'_>, panel: &Weights, columns: usize, out: &mut [f32]) {
    let vectors = panel.width / S::F32_LANES;
    let halves = GROUP / S::F32_LANES;
    let plane = band.rows * band.columns * halves;
    let input = S::as_simd_f32s(band.data).0;
    let out = S::as_mut_simd_f32s(out).0;
    for vector in 0..vectors {
        let plane = &input[vector / halves * plane..][..plane];
        let half = vector % halves;
        let lines = Lines { plane, columns: band.columns, half, vector, vectors, panel };
        for (row, out) in out.chunks_exact_mut(columns * vectors).enumerate() {
            match halves {
                1 => lines.line::<S, K, STRIDE, 1>(simd, row, columns, out),
                2 => lines.line::<S, K, STRIDE, 2>(simd, row, columns, out),
                4 => lines.line::<S, K, STRIDE, 4>(simd, row, columns, out),
                _ => lines.line::<S, K, STRIDE, GROUP>(simd, row, columns, out),
            }
        }
    }
}

/// One vector of channels of a band.
struct Lines<'a, V> {
    plane: &'a [V],
    columns: usize,
    half: usize,
    vector: usize,
    vectors: usize,
    panel: &'a Weights,
}

impl<V> Lines<'_, V> {
    /// One row of the output; `H` vectors make a group.
    #[inline(always)]
    fn line<S: Simd<f32s = V>, const K: usize, const STRIDE: usize, const H: usize>(
        &self,
        simd: S,
        row: usize,
        columns: usize,
        out: &mut [V],
    ) where
        V: Copy,
    {
        let mut column = 0;
        while column + 7 <= columns {
            self.strip::<S, K, STRIDE, H, 7>(simd, row, column, out);
            column += 7;
        }
        while column + 4 <= columns {
            self.strip::<S, K, STRIDE, H, 4>(simd, row, column, out);
            column += 4;
        }
        while column < columns {
            self.strip::<S, K, STRIDE, H, 1>(simd, row, column, out);
            column += 1;
        }
    }

    #[inline(always)]
    fn strip<S: Simd<f32s = V>, const K: usize, const STRIDE: usize, const H: usize, const T: usize>(
        &self,
        simd: S,
        row: usize,
        column: usize,
        out: &mut [V],
    ) where
        V: Copy,
    {
        let weights = S::as_simd_f32s(&self.panel.weights).0;
        let mut sums = [S::as_simd_f32s(&self.panel.bias).0[self.vector]; T];
        for y in 0..K {
            let start = ((row * STRIDE + y) * self.columns + column * STRIDE) * H + self.half;
            let line = &self.plane[start..][..((T - 1) * STRIDE + K - 1) * H + 1];
            for x in 0..K {
                let weight = weights[(y * K + x) * self.vectors + self.vector];
                for (t, sum) in sums.iter_mut().enumerate() {
                    *sum = simd.mul_add_e_f32s(line[(t * STRIDE + x) * H], weight, *sum);
                }
            }
        }
        for (t, sum) in sums.into_iter().enumerate() {
            out[(column + t) * self.vectors + self.vector] = clamp(simd, sum);
        }
    }
}
