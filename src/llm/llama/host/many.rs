//! The product of a matrix and several vectors: a panel of rows is unpacked into the cache once, for all vectors.

use std::{array, cell::RefCell};

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::group::{GROUP, Group};

/// Rows of a panel.
const PANEL: usize = 24;
/// Columns of a row that are unpacked at a time: memory is read in long runs, and a panel of them stays in the second-level cache.
const RUN: usize = 4096;
/// Columns that are multiplied at a time: a tile of them stays in the first-level cache.
const DEPTH: usize = 1024;

thread_local! {
    static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// `out`, `[vectors, rows]`, becomes the products of `weights`, `[rows, groups]`, with `x`, `[vectors, groups * 32]`.
pub(super) fn product<G: Group>(weights: &[G], groups: usize, x: &[f32], out: &mut [f32]) {
    let (rows, vectors) = (weights.len() / groups, x.len() / (groups * GROUP));
    // Each panel's products lie together, `[rows, vectors]`, while they are made.
    let mut turned = vec![0.0; rows * vectors];
    turned.par_chunks_mut(PANEL * vectors).zip(weights.par_chunks(PANEL * groups)).for_each(|(out, weights)| {
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.resize(PANEL * RUN, 0.0);
            Arch::new().dispatch(Panel { weights, groups, x, out, scratch });
        });
    });
    out.par_chunks_mut(rows).enumerate().for_each(|(vector, out)| {
        for (value, products) in out.iter_mut().zip(turned.chunks_exact(vectors)) {
            *value = products[vector];
        }
    });
}

struct Panel<'a, G> {
    weights: &'a [G],
    groups: usize,
    x: &'a [f32],
    /// `[rows, vectors]`, zero before.
    out: &'a mut [f32],
    scratch: &'a mut [f32],
}

impl<G: Group> WithSimd for Panel<'_, G> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { weights, groups, x, out, scratch } = self;
        let rows = weights.len() / groups;
        let width = groups * GROUP;
        for start in (0..width).step_by(RUN) {
            let run = RUN.min(width - start);
            for (row, unpacked) in weights.chunks_exact(groups).zip(scratch.chunks_exact_mut(run)) {
                for (group, values) in row[start / GROUP..].iter().zip(unpacked.as_chunks_mut().0) {
                    unpack(simd, group, values);
                }
            }
            for first in (0..run).step_by(DEPTH) {
                let part = Part { scratch, run, rows, x, width, start: start + first, first, depth: DEPTH.min(run - first) };
                // AVX-512 and NEON have 32 registers, AVX2 has 16.
                if S::F32_LANES == 16 || S::F32_LANES == 4 {
                    part.tiles::<S, 4, 6>(simd, out);
                } else {
                    part.tiles::<S, 3, 4>(simd, out);
                }
            }
        }
    }
}

/// Some columns of a panel, unpacked, and of the vectors.
#[derive(Clone, Copy)]
struct Part<'a> {
    /// `[rows, run]`
    scratch: &'a [f32],
    run: usize,
    rows: usize,
    /// `[vectors, width]`
    x: &'a [f32],
    width: usize,
    /// First column of the vectors that counts.
    start: usize,
    /// First column of the run that counts.
    first: usize,
    /// How many columns count.
    depth: usize,
}

impl Part<'_> {
    /// Adds the products to `out`, `[rows, vectors]`, in tiles of `V` vectors and `R` rows.
    #[inline(always)]
    fn tiles<S: Simd, const V: usize, const R: usize>(self, simd: S, out: &mut [f32]) {
        let vectors = self.x.len() / self.width;
        let mut vector = 0;
        while vector + V <= vectors {
            self.strip::<S, V, R>(simd, vector, out);
            vector += V;
        }
        while vector < vectors {
            self.strip::<S, 1, R>(simd, vector, out);
            vector += 1;
        }
    }

    #[inline(always)]
    fn strip<S: Simd, const V: usize, const R: usize>(self, simd: S, vector: usize, out: &mut [f32]) {
        let mut row = 0;
        while row + R <= self.rows {
            self.tile::<S, V, R>(simd, vector, row, out);
            row += R;
        }
        while row < self.rows {
            self.tile::<S, V, 1>(simd, vector, row, out);
            row += 1;
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const V: usize, const R: usize>(self, simd: S, vector: usize, row: usize, out: &mut [f32]) {
        let vectors = self.x.len() / self.width;
        let length = self.depth / S::F32_LANES;
        let x: [_; V] = array::from_fn(|v| lanes::<S>(self.x, (vector + v) * self.width + self.start, self.depth));
        let rows: [_; R] = array::from_fn(|r| lanes::<S>(self.scratch, (row + r) * self.run + self.first, self.depth));
        let mut sums = [[simd.splat_f32s(0.0); R]; V];
        for index in 0..length {
            let x: [S::f32s; V] = array::from_fn(|v| x[v][index]);
            for (r, weights) in rows.iter().enumerate() {
                let weight = weights[index];
                for (sums, x) in sums.iter_mut().zip(x) {
                    sums[r] = simd.mul_add_e_f32s(weight, x, sums[r]);
                }
            }
        }
        for (v, sums) in sums.iter().enumerate() {
            for (r, sum) in sums.iter().enumerate() {
                out[(row + r) * vectors + vector + v] += simd.reduce_sum_f32s(*sum);
            }
        }
    }
}

#[inline(always)]
fn lanes<S: Simd>(from: &[f32], first: usize, count: usize) -> &[S::f32s] {
    &S::as_simd_f32s(&from[first..][..count]).0[..count / S::F32_LANES]
}

#[inline(always)]
fn unpack<S: Simd, G: Group>(simd: S, group: &G, values: &mut [f32; GROUP]) {
    let (unscaled, scale) = (group.unscaled(), simd.splat_f32s(group.scale()));
    for (value, unscaled) in S::as_mut_simd_f32s(values).0.iter_mut().zip(S::as_simd_f32s(&unscaled).0) {
        *value = simd.mul_f32s(*unscaled, scale);
    }
}
