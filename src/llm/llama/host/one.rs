//! The product of a matrix and one vector, limited by how fast weights come from memory.

use std::array;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::group::{GROUP, Group};

/// Rows a task.
const TASK: usize = 64;
/// Rows at a time: the vector is loaded once for all, and sums do not wait for each other.
const ROWS: usize = 4;

/// `out`, `[rows]`, becomes the products of `weights`, `[rows, groups]`, with `x`, `[groups * 32]`.
pub(super) fn product<G: Group>(weights: &[G], x: &[f32], out: &mut [f32]) {
    let task = TASK * (x.len() / GROUP);
    out.par_chunks_mut(TASK).zip(weights.par_chunks(task)).for_each(|(out, weights)| Arch::new().dispatch(Task { weights, x, out }));
}

struct Task<'a, G> {
    weights: &'a [G],
    x: &'a [f32],
    out: &'a mut [f32],
}

impl<G: Group> WithSimd for Task<'_, G> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { weights, x, out } = self;
        let groups = x.len() / GROUP;
        let (fours, rest) = out.as_chunks_mut::<ROWS>();
        let (of_fours, of_rest) = weights.split_at(fours.len() * ROWS * groups);
        for (out, rows) in fours.iter_mut().zip(of_fours.chunks_exact(ROWS * groups)) {
            *out = sums(simd, array::from_fn(|row| &rows[row * groups..][..groups]), x);
        }
        for (out, row) in rest.iter_mut().zip(of_rest.chunks_exact(groups)) {
            [*out] = sums(simd, [row], x);
        }
    }
}

#[inline(always)]
fn sums<S: Simd, G: Group, const R: usize>(simd: S, rows: [&[G]; R], x: &[f32]) -> [f32; R] {
    let mut sums = [[simd.splat_f32s(0.0); 2]; R];
    for (index, x) in x.as_chunks::<GROUP>().0.iter().enumerate() {
        let x = S::as_simd_f32s(x).0;
        for (sums, row) in sums.iter_mut().zip(&rows) {
            let (weights, scale) = (row[index].unscaled(), simd.splat_f32s(row[index].scale()));
            for (part, (weight, x)) in S::as_simd_f32s(&weights).0.iter().zip(x).enumerate() {
                sums[part % 2] = simd.mul_add_e_f32s(simd.mul_f32s(*weight, scale), *x, sums[part % 2]);
            }
        }
    }
    sums.map(|[even, odd]| simd.reduce_sum_f32s(simd.add_f32s(even, odd)))
}
