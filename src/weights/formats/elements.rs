//! A tensor's elements: read, put into row-major order, and checked to be finite.

use std::fs::File;

use burn::tensor::{Bytes, DType, TensorData};
use bytemuck::Pod;

use super::{count_within, mapped, read_at};
use crate::{
    error::{Error, Result},
    weights::{Fault, TensorInfo},
};

/// Where a tensor's elements lie in its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::weights) struct Extent {
    /// Byte of the first element.
    pub(in crate::weights) start: u64,
    /// Elements from one to the next of each axis; `None` for a row-major tensor.
    pub(in crate::weights) strides: Option<Vec<usize>>,
}

/// Reads a tensor in its file's type, row-major; infinite values and those that are not numbers are an error.
pub(in crate::weights) fn read(name: &str, info: &TensorInfo, extent: &Extent) -> Result<TensorData> {
    let fail = |fault| Error::tensor(&info.file, name, fault);
    // `Bytes` of a vector of bytes are copied to be aligned; those of wider elements are not.
    let bytes = match info.dtype.size() {
        1 => elements::<u8>(info, extent),
        2 => elements::<u16>(info, extent),
        4 => elements::<u32>(info, extent),
        8 => elements::<u64>(info, extent),
        _ => Err(fail(Fault::DType(format!("{:?}", info.dtype)))),
    };
    let bytes = bytes.map_err(|error| match error {
        Error::Checkpoint { file, fault, .. } => Error::tensor(file, name, fault),
        other => other,
    })?;
    match first_not_finite(&bytes, info.dtype) {
        Some(index) => Err(fail(Fault::NotFinite { index })),
        None => TensorData::try_from_bytes(bytes, info.shape.clone(), info.dtype)
            .map_err(|error| fail(Fault::Malformed(error.to_string().into()))),
    }
}

fn elements<E: Pod + Send + Sync>(info: &TensorInfo, extent: &Extent) -> Result<Bytes> {
    let mut file = File::open(&info.file).map_err(|source| Error::io(&info.file, source))?;
    let (bytes, aligned) = (info.bytes() as u64, extent.start.is_multiple_of(size_of::<E>() as u64));
    if extent.strides.is_none() && aligned && bytes >= mapped::SMALLEST {
        let count = count_within::<E>(&file, &info.file, extent.start, info.elements() as u64)?;
        if let Some(bytes) = mapped::map(&file, extent.start, count * size_of::<E>()) {
            return Ok(bytes);
        }
    }
    let mut read = |count: usize| read_at::<E>(&mut file, &info.file, extent.start, count as u64);
    Ok(Bytes::from_elems(match &extent.strides {
        None => read(info.elements())?,
        Some(strides) => gather(&read(span(&info.shape, strides).unwrap_or(usize::MAX))?, &info.shape, strides),
    }))
}

/// Elements from a tensor's first to its last, both counted; `None` where that overflows.
pub(super) fn span(shape: &[usize], strides: &[usize]) -> Option<usize> {
    if shape.contains(&0) {
        return Some(0);
    }
    let reach = |(length, stride): (&usize, &usize)| (length - 1).checked_mul(*stride);
    shape.iter().zip(strides).try_fold(1usize, |sum, axis| sum.checked_add(reach(axis)?))
}

/// Strides of a row-major tensor; `None` where it has more elements than can be counted.
pub(super) fn row_major(shape: &[usize]) -> Option<Vec<usize>> {
    let mut strides = vec![1; shape.len()];
    let mut product = 1usize;
    for (stride, length) in strides.iter_mut().zip(shape).rev() {
        *stride = product;
        product = product.checked_mul(*length)?;
    }
    Some(strides)
}

/// The elements of a strided tensor, row-major.
fn gather<E: Copy>(elements: &[E], shape: &[usize], strides: &[usize]) -> Vec<E> {
    let count: usize = shape.iter().product();
    let mut gathered = Vec::with_capacity(count);
    let mut position = vec![0; shape.len()];
    let mut element = 0;
    for _ in 0..count {
        gathered.push(elements[element]);
        for axis in (0..shape.len()).rev() {
            position[axis] += 1;
            element += strides[axis];
            if position[axis] < shape[axis] {
                break;
            }
            element -= strides[axis] * shape[axis];
            position[axis] = 0;
        }
    }
    gathered
}

/// Flat index of the first float that is infinite or not a number.
pub(in crate::weights) fn first_not_finite(bytes: &[u8], dtype: DType) -> Option<usize> {
    // A float whose exponent is all ones is not finite.
    match dtype {
        DType::F16 => first_masked(bytes, |bytes| u16::from_le_bytes(bytes) & 0x7c00 == 0x7c00),
        DType::BF16 => first_masked(bytes, |bytes| u16::from_le_bytes(bytes) & 0x7f80 == 0x7f80),
        DType::F32 => first_masked(bytes, |bytes| u32::from_le_bytes(bytes) & 0x7f80_0000 == 0x7f80_0000),
        DType::F64 => first_masked(bytes, |bytes| u64::from_le_bytes(bytes) & 0x7ff0 << 48 == 0x7ff0 << 48),
        _ => None,
    }
}

fn first_masked<const N: usize>(bytes: &[u8], bad: impl Fn([u8; N]) -> bool) -> Option<usize> {
    // A block is looked at whole, without a branch for each element, so that the compiler can use vectors.
    const BLOCK: usize = 1024;
    let (elements, _) = bytes.as_chunks::<N>();
    let block = elements.chunks(BLOCK).position(|block| block.iter().fold(false, |any, element| any | bad(*element)))?;
    let within = elements.iter().skip(block * BLOCK).position(|element| bad(*element))?;
    Some(block * BLOCK + within)
}
