//! GGUF, the file format of llama.cpp: metadata and tensors, plain or in blocks of 32 weights.
//!
//! Versions 2 and 3, little-endian. Tensors keep the file's names; the types `F32`, `F16`, `BF16`, `Q4_0`, `Q4_1` and `Q8_0` are read.

mod blocks;
mod header;
mod metadata;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use burn::tensor::{DType, TensorData};

pub use metadata::{Metadata, Value};

use super::{
    Fault, TensorInfo, TensorSource,
    formats::{self, Extent},
};
use crate::error::{Error, Result};
use blocks::Block;

/// How a tensor's elements are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Plain(DType),
    Blocks(Block),
}

impl Form {
    /// By GGUF's number of the type.
    fn new(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::Plain(DType::F32),
            1 => Self::Plain(DType::F16),
            2 => Self::Blocks(Block::Q4_0),
            3 => Self::Blocks(Block::Q4_1),
            8 => Self::Blocks(Block::Q8_0),
            30 => Self::Plain(DType::BF16),
            _ => return None,
        })
    }

    /// Bytes of so many elements in rows of `columns`; `None` where rows end within a block, and for too many.
    fn bytes(self, elements: usize, columns: usize) -> Option<usize> {
        match self {
            Self::Plain(dtype) => elements.checked_mul(dtype.size()),
            Self::Blocks(block) => {
                columns.is_multiple_of(blocks::WEIGHTS).then(|| (elements / blocks::WEIGHTS).checked_mul(block.bytes()))?
            }
        }
    }

    fn dtype(self) -> DType {
        match self {
            Self::Plain(dtype) => dtype,
            Self::Blocks(_) => DType::F32,
        }
    }
}

/// Where a tensor is, and in what form.
#[derive(Clone, Copy, Debug)]
struct Place {
    form: Form,
    /// Byte of the file.
    start: u64,
    bytes: usize,
}

/// A GGUF file, listed and not read. Blocks are read as `f32`.
#[derive(Clone, Debug)]
pub struct Gguf {
    path: PathBuf,
    metadata: Metadata,
    tensors: BTreeMap<String, TensorInfo>,
    places: BTreeMap<String, Place>,
}

impl Gguf {
    /// Reads the metadata and lists the tensors.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Checkpoint`] with what is wrong: another kind of file, one that is cut off, an unknown type of tensor.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let (metadata, entries) = header::read(path)?;
        let mut gguf = Self { path: path.into(), metadata, tensors: BTreeMap::new(), places: BTreeMap::new() };
        for header::Entry { name, shape, place } in entries {
            let info = TensorInfo { shape, dtype: place.form.dtype(), file: path.into() };
            if gguf.tensors.insert(name.clone(), info).is_some() {
                return Err(Error::tensor(path, name, Fault::DuplicateName));
            }
            gguf.places.insert(name, place);
        }
        Ok(gguf)
    }

    /// What the file says about itself.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}

impl TensorSource for Gguf {
    fn origin(&self) -> &Path {
        &self.path
    }

    fn tensors(&self) -> &BTreeMap<String, TensorInfo> {
        &self.tensors
    }

    fn read(&self, name: &str) -> Result<TensorData> {
        let info = self.info(name)?;
        let place = self.places.get(name).ok_or_else(|| Error::tensor(&self.path, name, Fault::MissingTensor))?;
        let block = match place.form {
            Form::Plain(_) => return formats::read(name, info, &Extent { start: place.start, strides: None }),
            Form::Blocks(block) => block,
        };
        let values = block.values(&formats::read_part(&self.path, place.start, place.bytes as u64)?);
        match values.iter().position(|value| !value.is_finite()) {
            Some(index) => Err(Error::tensor(&self.path, name, Fault::NotFinite { index })),
            None => Ok(TensorData::new(values, info.shape.clone())),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests;
