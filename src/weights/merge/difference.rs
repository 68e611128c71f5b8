//! Vicuna as it was first published: its difference from LLaMA.

use std::{collections::BTreeMap, path::Path};

use burn::tensor::TensorData;

use super::{floats, rounded};
use crate::{
    error::{Error, Result},
    weights::{Part, TensorInfo, TensorSource},
};

/// Matrices with a row for each piece of the vocabulary.
const VOCABULARIES: [&str; 2] = ["model.embed_tokens.weight", "lm_head.weight"];

/// A language model and a difference, added tensor by tensor and rounded to the first one's type.
///
/// Version 0 of Vicuna has a piece for padding more than LLaMA (32,001 and 32,000). The rows that the base lacks are taken to be the
/// mean of its others, as the tool that made the difference does.
#[derive(Clone, Debug)]
pub struct WithDifference<S, D> {
    base: S,
    difference: D,
    tensors: BTreeMap<String, TensorInfo>,
}

impl<S: TensorSource, D: TensorSource> WithDifference<S, D> {
    /// Joins LLaMA and Vicuna's delta.
    ///
    /// # Errors
    /// [`Error::WeightsMismatch`] in the delta's names, for all that only one of the two has, or that differs in shape.
    pub fn new(base: S, difference: D) -> Result<Self> {
        let needed = |source: &dyn TensorSource| -> Vec<(String, TensorInfo)> {
            let known = source.tensors().iter().filter(|(name, _)| Part::of(name) != Some(Part::Spare));
            known.map(|(name, info)| (name.clone(), info.clone())).collect()
        };
        let (mut tensors, mut misfits, mut unused) = (BTreeMap::new(), vec![], vec![]);
        for (name, delta) in needed(&difference) {
            match base.tensors().get(&name) {
                None => unused.push(name),
                Some(info) if fits(&name, &info.shape, &delta.shape) && info.dtype.is_float() && delta.dtype.is_float() => {
                    tensors.insert(name, TensorInfo { shape: delta.shape, ..info.clone() });
                }
                Some(info) => misfits.push(format!(
                    "{name}: {:?} {:?} in {}, and {:?} {:?} in the delta",
                    info.dtype,
                    info.shape,
                    info.file.display(),
                    delta.dtype,
                    delta.shape
                )),
            }
        }
        let missing: Vec<String> =
            needed(&base).into_iter().map(|(name, _)| name).filter(|name| !difference.tensors().contains_key(name)).collect();
        if missing.is_empty() && misfits.is_empty() && unused.is_empty() {
            return Ok(Self { base, difference, tensors });
        }
        Err(Error::WeightsMismatch { origin: difference.origin().display().to_string(), missing, unused, misfits })
    }
}

/// Equal shapes, or a longer vocabulary in the difference.
fn fits(name: &str, base: &[usize], delta: &[usize]) -> bool {
    let longer = || matches!((base, delta), ([rows, columns], [more, others]) if columns == others && 0 < *rows && rows < more);
    base == delta || VOCABULARIES.contains(&name) && longer()
}

impl<S: TensorSource, D: TensorSource> TensorSource for WithDifference<S, D> {
    fn origin(&self) -> &Path {
        self.base.origin()
    }

    fn tensors(&self) -> &BTreeMap<String, TensorInfo> {
        &self.tensors
    }

    fn read(&self, name: &str) -> Result<TensorData> {
        let info = self.info(name)?;
        let (mut base, mut sum) = (self.base.read_f32(name)?, self.difference.read_f32(name)?);
        let base = floats(&mut base, name, info)?;
        let values = floats(&mut sum, name, info)?;
        let (shared, added) = values.split_at_mut(base.len());
        shared.iter_mut().zip(base.iter()).for_each(|(value, base)| *value += base);
        if let ([_, columns], false) = (info.shape.as_slice(), added.is_empty()) {
            let mean = mean_row(base, *columns, name, info)?;
            added.chunks_mut(*columns).for_each(|row| row.iter_mut().zip(&mean).for_each(|(value, mean)| *value += mean));
        }
        rounded(sum, name, info)
    }
}

/// The mean of rows, rounded to the type that they were read from.
fn mean_row(values: &[f32], columns: usize, name: &str, info: &TensorInfo) -> Result<Vec<f32>> {
    let mut sums = vec![0.0f64; columns];
    for row in values.chunks(columns) {
        sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
    }
    let rows = (values.len() / columns) as f64;
    let mean = TensorData::new(sums.iter().map(|sum| (sum / rows) as f32).collect::<Vec<_>>(), [columns]);
    let mut mean = rounded(mean, name, info)?.convert::<f32>();
    Ok(floats(&mut mean, name, info)?.to_vec())
}
