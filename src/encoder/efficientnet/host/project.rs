//! A product written to a panel: the projection, and the end of the stem.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::{
    clamp,
    panel::{Panels, Weights},
    product::{Sink, product},
};

/// Multiplies the pixels `range` of `map` with one panel of weights into `out`, `[range][width]`.
pub(super) struct Project<'a> {
    pub(super) map: Panels<'a>,
    pub(super) range: Range<usize>,
    pub(super) panel: &'a Weights,
    /// What is added, in the layout of `out`.
    pub(super) residual: Option<&'a [f32]>,
    /// Whether to clamp to `[0, 6]`.
    pub(super) clamp: bool,
    pub(super) out: &'a mut [f32],
}

impl WithSimd for Project<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let mut sink = Rows {
            out: S::as_mut_simd_f32s(self.out).0,
            residual: self.residual.map(|residual| S::as_simd_f32s(residual).0),
            clamp: self.clamp,
            first: self.range.start,
            vectors: self.panel.width / S::F32_LANES,
        };
        product(simd, self.map, self.range, self.panel, &mut sink);
    }
}

struct Rows<'a, V> {
    out: &'a mut [V],
    residual: Option<&'a [V]>,
    clamp: bool,
    first: usize,
    vectors: usize,
}

impl<S: Simd> Sink<S> for Rows<'_, S::f32s> {
    #[inline(always)]
    fn put<const V: usize>(&mut self, simd: S, pixel: usize, vector: usize, mut values: [S::f32s; V]) {
        let at = (pixel - self.first) * self.vectors + vector;
        if let Some(residual) = self.residual {
            for (value, residual) in values.iter_mut().zip(&residual[at..at + V]) {
                *value = simd.add_f32s(*value, *residual);
            }
        }
        if self.clamp {
            for value in &mut values {
                *value = clamp(simd, *value);
            }
        }
        self.out[at..at + V].copy_from_slice(&values);
    }
}
