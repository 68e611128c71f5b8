//! Matrices on the processor: packed rows, and their products with `f32` vectors.
//!
//! Every form is unpacked in registers for a single vector, and once a panel of rows for several; sums are in `f32`, in an order
//! that does not depend on how work is split over threads. The vector width is chosen at run time.

mod group;
mod many;
mod one;

use std::borrow::Cow;

use burn::tensor::{DType, TensorData};
use half::{bf16, f16, slice::HalfFloatSliceExt};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::precision::Precision;
use group::{GROUP, Group, Q4, Q8};

/// A matrix of rows `[rows, columns]`, in one of the forms of [`Precision`].
pub(super) struct Matrix(Form);

enum Form {
    F32(Rows<[f32; GROUP]>),
    F16(Rows<[f16; GROUP]>),
    Bf16(Rows<[bf16; GROUP]>),
    Q8(Rows<Q8>),
    Q4(Rows<Q4>),
}

/// Rows of groups, padded with zeros.
struct Rows<G> {
    columns: usize,
    /// Groups a row.
    groups: usize,
    data: Vec<G>,
}

/// Runs an expression on the rows, whatever their form.
macro_rules! with_rows {
    ($matrix:expr, $rows:ident => $value:expr) => {
        match $matrix {
            Form::F32($rows) => $value,
            Form::F16($rows) => $value,
            Form::Bf16($rows) => $value,
            Form::Q8($rows) => $value,
            Form::Q4($rows) => $value,
        }
    };
}

impl Matrix {
    /// Without rows, and with room for `rows`.
    pub(super) fn with_capacity(precision: Precision, rows: usize, columns: usize) -> Self {
        Self(match precision {
            Precision::F32 => Form::F32(Rows::with_capacity(rows, columns)),
            Precision::F16 => Form::F16(Rows::with_capacity(rows, columns)),
            Precision::Bf16 => Form::Bf16(Rows::with_capacity(rows, columns)),
            Precision::Q8 => Form::Q8(Rows::with_capacity(rows, columns)),
            Precision::Q4 => Form::Q4(Rows::with_capacity(rows, columns)),
        })
    }

    pub(super) fn precision(&self) -> Precision {
        match self.0 {
            Form::F32(_) => Precision::F32,
            Form::F16(_) => Precision::F16,
            Form::Bf16(_) => Precision::Bf16,
            Form::Q8(_) => Precision::Q8,
            Form::Q4(_) => Precision::Q4,
        }
    }

    pub(super) fn rows(&self) -> usize {
        with_rows!(&self.0, rows => rows.data.len() / rows.groups)
    }

    pub(super) fn columns(&self) -> usize {
        with_rows!(&self.0, rows => rows.columns)
    }

    /// Adds rows of floats, `[rows, columns]` in `f32`, `f16` or `bf16`; `None` for another type or shape, and for values that the
    /// form can't hold.
    pub(super) fn append(&mut self, data: &TensorData) -> Option<()> {
        with_rows!(&mut self.0, rows => rows.append(data))
    }

    /// One row, which must exist.
    pub(super) fn row(&self, index: usize) -> Vec<f32> {
        with_rows!(&self.0, rows => rows.row(index))
    }

    /// Products of the vectors `x`, `[vectors, columns]`, with all rows: `[vectors, rows]`.
    pub(super) fn product(&self, x: &[f32]) -> Vec<f32> {
        with_rows!(&self.0, rows => rows.product(x))
    }
}

impl std::fmt::Debug for Matrix {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "[{}, {}] in {}", self.rows(), self.columns(), self.precision())
    }
}

impl<G: Group> Rows<G> {
    fn with_capacity(rows: usize, columns: usize) -> Self {
        let groups = columns.div_ceil(GROUP).max(1);
        Self { columns, groups, data: Vec::with_capacity(rows * groups) }
    }

    fn append(&mut self, data: &TensorData) -> Option<()> {
        let columns = self.columns;
        if data.shape().last() != Some(&columns) {
            return None;
        }
        match data.dtype() {
            DType::F32 => self.extend(data.as_slice::<f32>().ok()?, |from, to| to.copy_from_slice(from)),
            DType::F16 => self.extend(data.as_slice::<f16>().ok()?, |from, to| from.convert_to_f32_slice(to)),
            DType::BF16 => self.extend(data.as_slice::<bf16>().ok()?, |from, to| from.convert_to_f32_slice(to)),
            _ => None,
        }
    }

    fn extend<E: Sync>(&mut self, values: &[E], convert: impl Fn(&[E], &mut [f32]) + Sync) -> Option<()> {
        let (start, rows) = (self.data.len(), values.len() / self.columns.max(1));
        self.data.resize(start + rows * self.groups, G::default());
        let packed = self.data[start..].par_chunks_mut(self.groups);
        let fits = packed.zip(values.par_chunks_exact(self.columns.max(1))).all(|(groups, row)| {
            let mut floats = vec![0.0; groups.len() * GROUP];
            convert(row, &mut floats[..row.len()]);
            Arch::new().dispatch(Pack { floats: &floats, groups })
        });
        fits.then_some(())
    }

    fn row(&self, index: usize) -> Vec<f32> {
        let mut values = vec![0.0; self.groups * GROUP];
        let groups = &self.data[index * self.groups..][..self.groups];
        for (group, values) in groups.iter().zip(values.as_chunks_mut().0) {
            *values = group.unpack();
        }
        values.truncate(self.columns);
        values
    }

    fn product(&self, x: &[f32]) -> Vec<f32> {
        let x = self.padded(x);
        let mut out = vec![0.0; self.data.len() / self.groups * (x.len() / (self.groups * GROUP))];
        if x.len() == self.groups * GROUP {
            one::product(&self.data, &x, &mut out);
            return out;
        }
        many::product(&self.data, self.groups, &x, &mut out);
        out
    }

    /// Vectors as long as the padded rows.
    fn padded<'a>(&self, x: &'a [f32]) -> Cow<'a, [f32]> {
        let width = self.groups * GROUP;
        if width == self.columns {
            return Cow::Borrowed(x);
        }
        let mut padded = vec![0.0; x.len() / self.columns * width];
        for (to, from) in padded.chunks_exact_mut(width).zip(x.chunks_exact(self.columns)) {
            to[..self.columns].copy_from_slice(from);
        }
        Cow::Owned(padded)
    }
}

/// Rounds a row to its form; false where a value is too large.
struct Pack<'a, G> {
    floats: &'a [f32],
    groups: &'a mut [G],
}

impl<G: Group> WithSimd for Pack<'_, G> {
    type Output = bool;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> bool {
        let mut fits = true;
        for (group, values) in self.groups.iter_mut().zip(self.floats.as_chunks().0) {
            match G::pack(simd, values) {
                Some(packed) => *group = packed,
                None => fits = false,
            }
        }
        fits
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
