//! Writers of pickles, archives and safetensors that can also write what no honest program does.

use std::io::{Cursor, Write};

use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

/// A pickle, opcode by opcode.
#[derive(Clone)]
pub(super) struct Pickle(pub(super) Vec<u8>);

impl Pickle {
    pub(super) fn new() -> Self {
        Self(vec![0x80, 2])
    }

    pub(super) fn raw(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.0.extend_from_slice(bytes.as_ref());
        self
    }

    pub(super) fn global(self, module: &str, name: &str) -> Self {
        self.raw(format!("c{module}\n{name}\n"))
    }

    pub(super) fn text(self, text: &str) -> Self {
        self.raw("X").raw((text.len() as u32).to_le_bytes()).raw(text)
    }

    pub(super) fn int(self, value: i64) -> Self {
        self.raw([0x8a, 8]).raw(value.to_le_bytes())
    }

    pub(super) fn ints(self, values: &[i64]) -> Self {
        values.iter().fold(self.raw("("), |pickle, value| pickle.int(*value)).raw("t")
    }

    /// `_rebuild_tensor_v2(storage, offset, shape, strides, False, OrderedDict())`.
    pub(super) fn tensor(self, tensor: &Tensor) -> Self {
        let storage = self.global("torch._utils", "_rebuild_tensor_v2").raw("((").text("storage").global("torch", tensor.class);
        let storage = storage.text(tensor.key).text("cuda:0").int(tensor.elements).raw("tQ");
        let view = storage.int(tensor.offset).ints(&tensor.shape).ints(&tensor.strides);
        view.raw([0x89]).global("collections", "OrderedDict").raw(")RtR")
    }

    /// An `OrderedDict` of tensors.
    pub(super) fn tensors(self, tensors: &[(&str, Tensor)]) -> Self {
        let start = self.global("collections", "OrderedDict").raw(")R(");
        tensors.iter().fold(start, |pickle, (name, tensor)| pickle.text(name).tensor(tensor)).raw("u")
    }

    pub(super) fn stop(self) -> Vec<u8> {
        self.raw(".").0
    }
}

/// A view of a storage.
#[derive(Clone)]
pub(super) struct Tensor {
    pub(super) class: &'static str,
    pub(super) key: &'static str,
    pub(super) elements: i64,
    pub(super) offset: i64,
    pub(super) shape: Vec<i64>,
    pub(super) strides: Vec<i64>,
}

/// Six numbers of 32 bits as `[2, 3]`, in the storage `0`.
pub(super) fn two_by_three() -> Tensor {
    Tensor { class: "FloatStorage", key: "0", elements: 6, offset: 0, shape: vec![2, 3], strides: vec![3, 1] }
}

pub(super) fn floats(values: impl IntoIterator<Item = f32>) -> Vec<u8> {
    values.into_iter().flat_map(f32::to_le_bytes).collect()
}

/// A zip archive of stored entries.
pub(super) fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(vec![]));
    for (name, bytes) in entries {
        writer.start_file(*name, SimpleFileOptions::default().compression_method(CompressionMethod::Stored)).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// A PyTorch file of a pickle and one storage of the numbers 0 to 5.
pub(super) fn pytorch(pickle: &[u8]) -> Vec<u8> {
    archive(&[("w/data.pkl", pickle), ("w/byteorder", b"little"), ("w/data/0", &floats((0..6).map(|value| value as f32)))])
}

/// A PyTorch file of tensors in that storage.
pub(super) fn pytorch_of(tensors: &[(&str, Tensor)]) -> Vec<u8> {
    pytorch(&Pickle::new().tensors(tensors).stop())
}

/// A safetensors file of any header.
pub(super) fn safetensors(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

/// A safetensors file of `f32` tensors.
pub(super) fn safetensors_of(tensors: &[(&str, &[usize], Vec<f32>)]) -> Vec<u8> {
    let (mut entries, mut data) = (vec![], vec![]);
    for (name, shape, values) in tensors {
        let start = data.len();
        data.extend(floats(values.iter().copied()));
        entries.push(format!(r#""{name}":{{"dtype":"F32","shape":{shape:?},"data_offsets":[{start},{}]}}"#, data.len()));
    }
    safetensors(&format!("{{{}}}", entries.join(",")), &data)
}
