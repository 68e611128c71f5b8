//! Weights: tensors listed and read one by one from files of every published format, and loaded strictly into modules.
//!
//! A [`TensorSource`] lists its tensors without reading them. [`Checkpoint`] is the one for files and folders; a source may also
//! compute what it gives, as those of [`merge`] do. [`StateDict`] holds a small model's tensors in memory.
//!
//! What is wrong with a file is an [`Error::Checkpoint`] with the file, the tensor and a [`Fault`].

mod checkpoint;
mod export;
mod fault;
mod formats;
pub mod gguf;
pub mod keys;
mod kind;
pub mod merge;
mod part;
mod state_dict;
#[cfg(test)]
mod tests;
mod tokens;

use std::{
    collections::BTreeMap,
    fmt::Debug,
    path::{Path, PathBuf},
};

use burn::tensor::{DType, TensorData};

pub use checkpoint::Checkpoint;
pub use export::{ExportOptions, export};
pub use fault::Fault;
pub use gguf::Gguf;
pub use kind::{CheckpointKind, Dimension, Pairing, Size, check_pairing, mismatches};
pub use part::{Part, Selection};
pub use state_dict::{Layout, StateDict};
pub use tokens::check_tokens;

use crate::error::{Error, Result};

/// A tensor that was listed and not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Axes, outermost first.
    pub shape: Vec<usize>,
    /// The type that [`TensorSource::read`] gives.
    pub dtype: DType,
    /// The file that holds it.
    pub file: PathBuf,
}

impl TensorInfo {
    /// How many elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Bytes of the elements.
    pub fn bytes(&self) -> usize {
        self.elements() * self.dtype.size()
    }
}

/// Named tensors that are read one by one, so that loading a model takes its own size and one tensor's.
pub trait TensorSource: Debug + Send + Sync {
    /// The file or folder that errors name.
    fn origin(&self) -> &Path;

    /// All tensors by name.
    fn tensors(&self) -> &BTreeMap<String, TensorInfo>;

    /// Reads a tensor, row-major, in its own type.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for an unknown name, an unreadable file, and values that are infinite or not numbers.
    fn read(&self, name: &str) -> Result<TensorData>;

    /// A tensor's shape, type and file.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] with [`Fault::MissingTensor`].
    fn info(&self, name: &str) -> Result<&TensorInfo> {
        self.tensors().get(name).ok_or_else(|| Error::tensor(self.origin(), name, Fault::MissingTensor))
    }

    /// Reads a tensor of floats as `f32`, unrounded.
    ///
    /// # Errors
    /// Those of [`read`](Self::read), and [`Fault::DType`] for a tensor of integers.
    fn read_f32(&self, name: &str) -> Result<TensorData> {
        let info = self.info(name)?;
        if !info.dtype.is_float() {
            return Err(Error::tensor(&info.file, name, Fault::DType(format!("{:?} where floats are needed", info.dtype))));
        }
        Ok(self.read_unrounded(name)?.convert::<f32>())
    }

    /// Reads a tensor with all that is known of its values: in its own type, or as `f32` where [`read`](Self::read) rounds what it
    /// computes.
    ///
    /// # Errors
    /// Those of [`read`](Self::read).
    fn read_unrounded(&self, name: &str) -> Result<TensorData> {
        self.read(name)
    }

    /// Reads the tensors that `rename` names into memory, floats as `f32`.
    ///
    /// # Errors
    /// Those of [`read`](Self::read).
    fn state_dict(&self, rename: &dyn Fn(&str) -> Option<String>) -> Result<StateDict> {
        let mut state = StateDict::new(self.origin().display().to_string());
        for (name, info) in self.tensors() {
            if let Some(renamed) = rename(name) {
                state.insert(renamed, if info.dtype.is_float() { self.read_f32(name)? } else { self.read(name)? });
            }
        }
        Ok(state)
    }
}

macro_rules! forward {
    ($pointer:ty) => {
        impl<S: TensorSource + ?Sized> TensorSource for $pointer {
            fn origin(&self) -> &Path {
                (**self).origin()
            }
            fn tensors(&self) -> &BTreeMap<String, TensorInfo> {
                (**self).tensors()
            }
            fn read(&self, name: &str) -> Result<TensorData> {
                (**self).read(name)
            }
            fn read_unrounded(&self, name: &str) -> Result<TensorData> {
                (**self).read_unrounded(name)
            }
        }
    };
}
forward!(Box<S>);
forward!(&S);
