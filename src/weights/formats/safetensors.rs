//! Safetensors: the header's length in eight bytes, the header as JSON, the tensors' bytes without gaps.

use std::{fs::File, path::Path};

use burn::tensor::DType;
use safetensors::{Dtype, tensor::TensorInfo as Header};

use super::{Entry, Extent, Pairs, read_at};
use crate::{
    error::{Error, Result},
    weights::{Fault, TensorInfo},
};

/// Longest header that is read; those of the largest published models have some 100 kB.
const MAX_HEADER: u64 = 16 << 20;

pub(super) fn list(path: &Path, mut file: File, header: u64) -> Result<Vec<Entry>> {
    let malformed = |reason: String| Error::checkpoint(path, Fault::Malformed(reason.into()));
    if header > MAX_HEADER {
        return Err(malformed(format!("a header of {header} bytes, more than {MAX_HEADER}")));
    }
    let bytes = read_at(&mut file, path, 8, header)?;
    let pairs: Pairs<serde_json::Value> = serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
    let mut tensors = vec![];
    for (name, value) in pairs.0 {
        if name != "__metadata__" {
            let header: Header =
                serde_json::from_value(value).map_err(|error| Error::tensor(path, &name, Fault::Malformed(error.to_string().into())))?;
            tensors.push((name, header));
        }
    }
    tensors.sort_by_key(|(_, header)| header.data_offsets);
    let data = 8 + header;
    let mut end = 0;
    let mut entries = vec![];
    for (name, header) in tensors {
        let fail = |fault| Error::tensor(path, &name, fault);
        let dtype = dtype(header.dtype).ok_or_else(|| fail(Fault::DType(format!("{:?}", header.dtype))))?;
        let count = header.shape.iter().try_fold(dtype.size(), |product, length| product.checked_mul(*length));
        let (from, to) = header.data_offsets;
        if from != end || count.is_none() || to.checked_sub(from) != count {
            return Err(fail(Fault::Offsets(format!("{from}..{to}, and {count:?} bytes from {end} on were expected"))));
        }
        end = to;
        let info = TensorInfo { shape: header.shape, dtype, file: path.into() };
        entries.push(Entry { name, info, extent: Extent { start: data + from as u64, strides: None } });
    }
    let found = file.metadata().map_err(|source| Error::io(path, source))?.len();
    match data.checked_add(end as u64) {
        Some(expected) if expected == found => Ok(entries),
        Some(expected) if expected < found => Err(malformed(format!("{} bytes follow the last tensor", found - expected))),
        _ => {
            let last = entries.pop().map(|entry| entry.name).unwrap_or_default();
            Err(Error::tensor(
                path,
                last,
                Fault::Truncated { found, missing: format!("what should reach to {end} bytes after the header").into() },
            ))
        }
    }
}

/// Types of both worlds. Booleans are read as bytes: any byte is a value then.
const TYPES: [(Dtype, DType); 12] = [
    (Dtype::F64, DType::F64),
    (Dtype::F32, DType::F32),
    (Dtype::F16, DType::F16),
    (Dtype::BF16, DType::BF16),
    (Dtype::I64, DType::I64),
    (Dtype::I32, DType::I32),
    (Dtype::I16, DType::I16),
    (Dtype::I8, DType::I8),
    (Dtype::U8, DType::U8),
    (Dtype::U16, DType::U16),
    (Dtype::U32, DType::U32),
    (Dtype::U64, DType::U64),
];

fn dtype(dtype: Dtype) -> Option<DType> {
    let dtype = if dtype == Dtype::BOOL { Dtype::U8 } else { dtype };
    TYPES.iter().find(|(kind, _)| *kind == dtype).map(|(_, dtype)| *dtype)
}

/// The format's name for a type.
pub(in crate::weights) fn safetensors_dtype(dtype: DType) -> Option<Dtype> {
    TYPES.iter().find(|(_, known)| *known == dtype).map(|(kind, _)| *kind)
}
