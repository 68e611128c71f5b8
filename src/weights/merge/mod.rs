//! Sources that compute their tensors from two others', one tensor at a time.

mod adapters;
mod difference;

pub use adapters::WithAdapters;
pub use difference::WithDifference;

use burn::tensor::{DType, TensorData};

use super::{Fault, TensorInfo, formats};
use crate::error::{Error, Result};

/// The values in a tensor's own type; those that become infinite in it are an error.
fn rounded(values: TensorData, name: &str, info: &TensorInfo) -> Result<TensorData> {
    to_dtype(values, info.dtype, name, info)
}

/// Floats in another type; those that become infinite in it are an error.
pub(super) fn to_dtype(values: TensorData, dtype: DType, name: &str, info: &TensorInfo) -> Result<TensorData> {
    let converted = values.convert_dtype(dtype);
    match formats::first_not_finite(converted.as_bytes(), dtype) {
        Some(index) => Err(Error::tensor(&info.file, name, Fault::NotFinite { index })),
        None => Ok(converted),
    }
}

/// The values of a tensor that was read as `f32`.
fn floats<'a>(data: &'a mut TensorData, name: &str, info: &TensorInfo) -> Result<&'a mut [f32]> {
    data.as_mut_slice::<f32>().map_err(|error| Error::tensor(&info.file, name, Fault::Malformed(error.to_string().into())))
}
