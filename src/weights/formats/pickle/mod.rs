//! Pickles read as data: a machine for the opcodes and names that a file of tensors needs. Everything else is refused, and
//! nothing is ever called.
//!
//! Values lie in one list and refer to each other by index, so that neither depth nor a cycle can exhaust the program's stack, and
//! memory stays in proportion to the pickle's own bytes.

mod machine;
mod opcode;

use burn::tensor::DType;

pub(super) use machine::read;

use crate::weights::Fault;

/// Index of a value.
pub(super) type Id = usize;

/// A value that a pickle describes.
#[derive(Debug)]
pub(super) enum Value {
    /// `None`, truth values and floats: things beside the tensors that are never asked for.
    Other,
    Bool(bool),
    Int(i64),
    /// Text, and an integer too great for [`Int`](Self::Int).
    Text(String),
    Bytes(Vec<u8>),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Global(Global),
    Storage(Storage),
    Tensor(Tensor),
}

/// What a pickle may name.
#[derive(Clone, Copy, Debug)]
pub(super) enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Size,
    Storage(DType),
}

/// Elements of one type, stored outside the pickle.
#[derive(Clone, Debug)]
pub(super) struct Storage {
    pub(super) key: String,
    pub(super) dtype: DType,
    pub(super) elements: usize,
}

/// A view of a storage.
#[derive(Clone, Debug)]
pub(super) struct Tensor {
    pub(super) storage: Storage,
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

/// The values of a pickle, and the last one of all.
#[derive(Debug)]
pub(super) struct Pickle {
    values: Vec<Value>,
    root: Id,
}

impl Pickle {
    pub(super) fn root(&self) -> &Value {
        self.value(self.root)
    }

    pub(super) fn value(&self, id: Id) -> &Value {
        self.values.get(id).unwrap_or(&Value::Other)
    }

    pub(super) fn text(&self, id: Id) -> Option<&str> {
        match self.value(id) {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// All storages in the order in which they are first named.
    pub(super) fn storages(&self) -> impl Iterator<Item = &Storage> {
        self.values.iter().filter_map(|value| match value {
            Value::Storage(storage) => Some(storage),
            _ => None,
        })
    }
}

impl Global {
    fn named(module: &str, name: &str) -> Result<Self, Fault> {
        match (module, name) {
            ("collections", "OrderedDict") => return Ok(Self::OrderedDict),
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => return Ok(Self::RebuildTensor),
            ("torch._utils", "_rebuild_parameter") => return Ok(Self::RebuildParameter),
            ("torch", "Size") => return Ok(Self::Size),
            _ => {}
        }
        let dtype = match (module, name) {
            ("torch", "DoubleStorage") => DType::F64,
            ("torch", "FloatStorage") => DType::F32,
            ("torch", "HalfStorage") => DType::F16,
            ("torch", "BFloat16Storage") => DType::BF16,
            ("torch", "LongStorage") => DType::I64,
            ("torch", "IntStorage") => DType::I32,
            ("torch", "ShortStorage") => DType::I16,
            ("torch", "CharStorage") => DType::I8,
            ("torch", "ByteStorage" | "BoolStorage") => DType::U8,
            _ => return Err(Fault::PickleGlobal(format!("{module}.{name}").chars().take(120).collect())),
        };
        Ok(Self::Storage(dtype))
    }
}
