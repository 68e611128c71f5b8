//! Pointwise convolution: the product of a map and packed weights, in tiles that stay in registers.
//!
//! Every sum runs over the inputs in order, whatever tile it is in, so the result does not depend on how work is split.

use std::ops::Range;

use pulp::Simd;

use super::panel::{GROUP, PANEL, Panels, Weights, panel_width};

/// What becomes of a tile.
pub(super) trait Sink<S: Simd> {
    /// Takes the vectors of one pixel, from the panel's vector `vector` on.
    fn put<const V: usize>(&mut self, simd: S, pixel: usize, vector: usize, values: [S::f32s; V]);
}

/// Multiplies the pixels `range` of `map` with the weights of one panel.
#[inline(always)]
pub(super) fn product<S: Simd, O: Sink<S>>(simd: S, map: Panels<'_>, range: Range<usize>, panel: &Weights, sink: &mut O) {
    let vectors = panel.width / S::F32_LANES;
    // AVX-512 and NEON have 32 registers, AVX2 has 16.
    let many = S::F32_LANES == GROUP || S::F32_LANES == 4;
    let step = if many && vectors.is_multiple_of(3) { 3 } else { 2 - vectors % 2 };
    for vector in (0..vectors).step_by(step) {
        match (step, many) {
            (3, _) => columns::<S, O, 8, 3>(simd, map, range.clone(), panel, vector, sink),
            (2, true) => columns::<S, O, 12, 2>(simd, map, range.clone(), panel, vector, sink),
            (2, false) => columns::<S, O, 6, 2>(simd, map, range.clone(), panel, vector, sink),
            _ => columns::<S, O, 12, 1>(simd, map, range.clone(), panel, vector, sink),
        }
    }
}

#[inline(always)]
fn columns<S: Simd, O: Sink<S>, const M: usize, const V: usize>(
    simd: S,
    map: Panels<'_>,
    range: Range<usize>,
    panel: &Weights,
    vector: usize,
    sink: &mut O,
) {
    let mut first = range.start;
    while first + M <= range.end {
        emit::<S, O, M, V>(simd, map, first, panel, vector, sink);
        first += M;
    }
    while first + 4 <= range.end {
        emit::<S, O, 4, V>(simd, map, first, panel, vector, sink);
        first += 4;
    }
    while first < range.end {
        emit::<S, O, 1, V>(simd, map, first, panel, vector, sink);
        first += 1;
    }
}

#[inline(always)]
fn emit<S: Simd, O: Sink<S>, const M: usize, const V: usize>(
    simd: S,
    map: Panels<'_>,
    first: usize,
    panel: &Weights,
    vector: usize,
    sink: &mut O,
) {
    let sums = tile::<S, M, V>(simd, map, first, panel, vector);
    for (m, values) in sums.into_iter().enumerate() {
        sink.put::<V>(simd, first + m, vector, values);
    }
}

#[inline(always)]
fn tile<S: Simd, const M: usize, const V: usize>(
    simd: S,
    map: Panels<'_>,
    first: usize,
    panel: &Weights,
    vector: usize,
) -> [[S::f32s; V]; M] {
    let vectors = panel.width / S::F32_LANES;
    let bias = &S::as_simd_f32s(&panel.bias).0[vector..][..V];
    let mut sums = [[simd.splat_f32s(0.0); V]; M];
    for row in &mut sums {
        row.copy_from_slice(bias);
    }
    let mut weights = S::as_simd_f32s(&panel.weights).0;
    for start in (0..map.channels).step_by(PANEL) {
        let width = panel_width(map.channels, start);
        let length = (map.channels - start).min(PANEL);
        let pixels = &map.data[start * map.pixels + first * width..][..M * width];
        // By a loop: `array::from_fn` becomes a call, behind which the lengths are unknown and every value is checked.
        let mut rows = [&pixels[..length]; M];
        for (row, pixel) in rows.iter_mut().zip(pixels.chunks_exact(width)) {
            *row = &pixel[..length];
        }
        let (block, rest) = weights.split_at(length * vectors);
        weights = rest;
        for input in 0..length {
            let weight = &block[input * vectors + vector..][..V];
            for (sum, row) in sums.iter_mut().zip(&rows) {
                let value = simd.splat_f32s(row[input]);
                for (sum, weight) in sum.iter_mut().zip(weight) {
                    *sum = simd.mul_add_e_f32s(value, *weight, *sum);
                }
            }
        }
    }
    sums
}
