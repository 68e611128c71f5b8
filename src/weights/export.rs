//! Any source written as a folder of safetensors files, one tensor at a time.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Write,
    path::{Path, PathBuf},
};

use burn::tensor::{DType, TensorData};
use safetensors::{Dtype, tensor::TensorInfo as Header};

use super::{Fault, TensorInfo, TensorSource, formats, merge};
use crate::error::{Error, Result};

/// How a checkpoint is written.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ExportOptions {
    /// Longest file in bytes, header aside; a tensor that is longer has a file of its own.
    pub shard_bytes: u64,
    /// Facts that stand in each file's header.
    pub metadata: BTreeMap<String, String>,
}

impl Default for ExportOptions {
    /// Files of 4 GB, and no facts.
    fn default() -> Self {
        Self { shard_bytes: 4_000_000_000, metadata: BTreeMap::new() }
    }
}

/// A tensor that is to be written, and its type then.
struct Item<'a> {
    name: &'a str,
    source: &'a dyn TensorSource,
    info: &'a TensorInfo,
    dtype: DType,
    kind: Dtype,
}

impl Item<'_> {
    fn bytes(&self) -> u64 {
        (self.info.elements() * self.dtype.size()) as u64
    }
}

/// Writes all tensors of all sources into a folder that exists: `model.safetensors`, or several files and
/// `model.safetensors.index.json`. Floats of a source with a type become that type, and all else keeps its own. No more than one
/// tensor is in memory. `progress` is told each tensor's name and its bytes.
///
/// # Errors
/// [`Error::Io`], also for a file that is there already; what reading a tensor gives; [`Fault::DuplicateName`] for a name that two
/// sources have; [`Fault::DType`] for a type that safetensors lacks; [`Fault::NotFinite`] for values that are too large for the type.
pub fn export(
    sources: &[(&dyn TensorSource, Option<DType>)],
    folder: &Path,
    options: &ExportOptions,
    progress: &mut dyn FnMut(&str, u64),
) -> Result<()> {
    let shards = shards(items(sources)?, options.shard_bytes);
    let name = |index: usize| match shards.len() {
        1 => "model.safetensors".to_owned(),
        count => format!("model-{:05}-of-{count:05}.safetensors", index + 1),
    };
    let mut places = BTreeMap::new();
    let mut total = 0;
    for (index, items) in shards.iter().enumerate() {
        write_file(&folder.join(name(index)), items, &options.metadata, progress)?;
        places.extend(items.iter().map(|item| (item.name, name(index))));
        total += items.iter().map(Item::bytes).sum::<u64>();
    }
    if shards.len() == 1 {
        return Ok(());
    }
    // The index comes last: a folder that was left half-written has none, and is not taken for a checkpoint.
    let path = folder.join("model.safetensors.index.json");
    let index = serde_json::json!({ "metadata": { "total_size": total }, "weight_map": places });
    create(&path)?.write_all(format!("{index:#}").as_bytes()).map_err(|source| Error::io(path, source))
}

fn items<'a>(sources: &[(&'a dyn TensorSource, Option<DType>)]) -> Result<Vec<Item<'a>>> {
    let mut items = vec![];
    let mut seen = BTreeMap::new();
    for &(source, wanted) in sources {
        for (name, info) in source.tensors() {
            if seen.insert(name, &info.file).is_some() {
                return Err(Error::tensor(&info.file, name, Fault::DuplicateName));
            }
            let dtype = wanted.filter(|_| info.dtype.is_float()).unwrap_or(info.dtype);
            let kind = formats::safetensors_dtype(dtype)
                .ok_or_else(|| Error::tensor(&info.file, name, Fault::DType(format!("{dtype:?}, which safetensors lacks"))))?;
            items.push(Item { name, source, info, dtype, kind });
        }
    }
    Ok(items)
}

/// Items by file, in their order; within a file the widest types come first, so that every tensor is aligned.
fn shards(items: Vec<Item<'_>>, limit: u64) -> Vec<Vec<Item<'_>>> {
    let mut shards = vec![vec![]];
    let mut length = 0;
    for item in items {
        if length > 0 && length + item.bytes() > limit {
            shards.push(vec![]);
            length = 0;
        }
        length += item.bytes();
        if let Some(shard) = shards.last_mut() {
            shard.push(item);
        }
    }
    for shard in &mut shards {
        shard.sort_by_key(|item| std::cmp::Reverse(item.dtype.size()));
    }
    shards
}

fn write_file(path: &PathBuf, items: &[Item<'_>], metadata: &BTreeMap<String, String>, progress: &mut dyn FnMut(&str, u64)) -> Result<()> {
    let io = |source| Error::io(path, source);
    let mut file = create(path)?;
    let header = header(path, items, metadata)?;
    file.write_all(&(header.len() as u64).to_le_bytes()).map_err(io)?;
    file.write_all(&header).map_err(io)?;
    for item in items {
        file.write_all(item.read()?.as_bytes()).map_err(io)?;
        progress(item.name, item.bytes());
    }
    file.sync_all().map_err(io)
}

fn header(path: &Path, items: &[Item<'_>], metadata: &BTreeMap<String, String>) -> Result<Vec<u8>> {
    let malformed = |error: serde_json::Error| Error::checkpoint(path, Fault::Malformed(error.to_string().into()));
    let mut header = serde_json::Map::new();
    header.insert("__metadata__".into(), serde_json::to_value(metadata).map_err(malformed)?);
    let mut end = 0;
    for item in items {
        let start = end;
        end += item.info.elements() * item.dtype.size();
        let entry = Header { dtype: item.kind, shape: item.info.shape.clone(), data_offsets: (start, end) };
        header.insert(item.name.into(), serde_json::to_value(entry).map_err(malformed)?);
    }
    let mut bytes = serde_json::to_vec(&header).map_err(malformed)?;
    bytes.resize(bytes.len().next_multiple_of(8), b' ');
    Ok(bytes)
}

impl Item<'_> {
    /// The tensor in its new type, without a detour through a narrower one.
    fn read(&self) -> Result<TensorData> {
        if self.dtype == self.info.dtype {
            return self.source.read(self.name);
        }
        merge::to_dtype(self.source.read_f32(self.name)?, self.dtype, self.name, self.info)
    }
}

fn create(path: &Path) -> Result<File> {
    File::create_new(path).map_err(|source| Error::io(path, source))
}
