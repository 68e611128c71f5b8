//! Low-rank adapters added to the matrices that they are for (LoRA, arXiv 2106.09685).

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use burn::tensor::TensorData;
use rayon::prelude::*;

use super::{floats, rounded};
use crate::{
    error::{Error, Result},
    weights::{
        Part, TensorInfo, TensorSource,
        part::{self, Factor},
    },
};

/// A language model with adapters merged in: `W + alpha / rank * B A`.
///
/// [`read`](TensorSource::read) rounds the sums to the model's own type; [`read_unrounded`](TensorSource::read_unrounded) does not.
#[derive(Clone, Debug)]
pub struct WithAdapters<S, A> {
    base: S,
    adapters: A,
    alpha: f64,
    /// Names of both factors by the matrix that they are for.
    factors: BTreeMap<String, [String; 2]>,
}

impl<S: TensorSource, A: TensorSource> WithAdapters<S, A> {
    /// Joins a language model and PandaGPT's delta, of which the projection is left alone; `alpha` is 32 for the published one and
    /// stands in no file.
    ///
    /// # Errors
    /// [`Error::WeightsMismatch`] in the delta's names: no adapters at all, a factor without the other, a matrix that the model lacks or that has other
    /// sizes, a layer without the adapters that others have.
    pub fn new(base: S, adapters: A, alpha: f64) -> Result<Self> {
        let mut factors: BTreeMap<String, [Option<String>; 2]> = BTreeMap::new();
        for name in adapters.tensors().keys() {
            if let Some((matrix, factor)) = part::adapter(name) {
                factors.entry(matrix).or_default()[usize::from(factor == Factor::B)] = Some(name.clone());
            }
        }
        let (mut missing, mut misfits) = (lacking(&base, factors.keys()), vec![]);
        let mut complete = BTreeMap::new();
        for (matrix, pair) in factors {
            match pair {
                [Some(a), Some(b)] => {
                    misfits.extend(misfit(&base, &adapters, &matrix, [&a, &b]));
                    complete.insert(matrix, [a, b]);
                }
                [a, _] => missing.push(format!("the factor {} of {matrix}", if a.is_none() { "A" } else { "B" })),
            }
        }
        if complete.is_empty() && missing.is_empty() {
            missing.push("adapters (lora_A and lora_B)".into());
        }
        let known = |name: &&String| matches!(Part::of(name), Some(Part::Adapter | Part::Projection));
        let unused: Vec<String> = adapters.tensors().keys().filter(|name| !known(name)).cloned().collect();
        if missing.is_empty() && misfits.is_empty() && unused.is_empty() {
            return Ok(Self { base, adapters, alpha, factors: complete });
        }
        Err(Error::WeightsMismatch { origin: adapters.origin().display().to_string(), missing, unused, misfits })
    }

    fn merged(&self, name: &str, [a, b]: &[String; 2]) -> Result<TensorData> {
        let mut merged = self.base.read_f32(name)?;
        let (mut a_data, mut b_data) = (self.adapters.read_f32(a)?, self.adapters.read_f32(b)?);
        let rank = self.adapters.info(a)?.shape.first().copied().unwrap_or_default();
        let a_values = floats(&mut a_data, a, self.adapters.info(a)?)?;
        let b_values = floats(&mut b_data, b, self.adapters.info(b)?)?;
        let info = self.base.info(name)?;
        add_product(floats(&mut merged, name, info)?, a_values, b_values, rank, self.alpha);
        Ok(merged)
    }
}

/// `values [out, in] += alpha / rank * b [out, rank] a [rank, in]`.
fn add_product(values: &mut [f32], a: &[f32], b: &[f32], rank: usize, alpha: f64) {
    if rank == 0 || a.is_empty() {
        return;
    }
    let (columns, scale) = (a.len() / rank, (alpha / rank as f64) as f32);
    values.par_chunks_mut(columns).zip(b.par_chunks(rank)).for_each(|(row, factors)| {
        let mut sum = vec![0.0f32; columns];
        for (factor, a_row) in factors.iter().zip(a.chunks(columns)) {
            sum.iter_mut().zip(a_row).for_each(|(sum, value)| *sum += factor * value);
        }
        row.iter_mut().zip(&sum).for_each(|(value, sum)| *value += scale * sum);
    });
}

/// Matrices without adapters though their like in another layer has them.
fn lacking<'a>(base: &impl TensorSource, adapted: impl Iterator<Item = &'a String>) -> Vec<String> {
    let place = |name: &str| {
        let (layer, rest) = name.strip_prefix("model.layers.")?.split_once('.')?;
        layer.parse::<usize>().ok()?;
        Some(rest.to_owned())
    };
    let adapted: BTreeSet<&String> = adapted.collect();
    let places: BTreeSet<String> = adapted.iter().filter_map(|name| place(name)).collect();
    let lacks = |name: &&String| !adapted.contains(*name) && place(name).is_some_and(|place| places.contains(&place));
    base.tensors().keys().filter(lacks).map(|name| format!("the adapter of {name}")).collect()
}

fn misfit(base: &impl TensorSource, adapters: &impl TensorSource, matrix: &str, [a, b]: [&str; 2]) -> Option<String> {
    let shape = |info: Option<&TensorInfo>| info.map(|info| info.shape.clone()).unwrap_or_default();
    let (w, a_shape, b_shape) = (shape(base.tensors().get(matrix)), shape(adapters.tensors().get(a)), shape(adapters.tensors().get(b)));
    match (w.as_slice(), a_shape.as_slice(), b_shape.as_slice()) {
        ([out, inputs], [rank, a_inputs], [b_out, b_rank]) if out == b_out && inputs == a_inputs && rank == b_rank => None,
        _ => Some(format!("{a} {a_shape:?} and {b} {b_shape:?} do not fit {matrix} {w:?} of {}", base.origin().display())),
    }
}

impl<S: TensorSource, A: TensorSource> TensorSource for WithAdapters<S, A> {
    fn origin(&self) -> &Path {
        self.base.origin()
    }

    fn tensors(&self) -> &BTreeMap<String, TensorInfo> {
        self.base.tensors()
    }

    fn read(&self, name: &str) -> Result<TensorData> {
        match self.factors.get(name) {
            Some(factors) => rounded(self.merged(name, factors)?, name, self.info(name)?),
            None => self.base.read(name),
        }
    }

    fn read_unrounded(&self, name: &str) -> Result<TensorData> {
        match self.factors.get(name) {
            Some(factors) => self.merged(name, factors),
            None => self.base.read_unrounded(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_is_scaled_by_alpha_over_rank() {
        let mut values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        // B A = [[1], [2]] * 1..3 + [[0], [1]] * 10.
        add_product(&mut values, &[1.0, 2.0, 3.0, 10.0, 10.0, 10.0], &[1.0, 0.0, 2.0, 1.0], 2, 4.0);
        assert_eq!(values, [3.0, 6.0, 9.0, 28.0, 33.0, 38.0]);
    }
}
