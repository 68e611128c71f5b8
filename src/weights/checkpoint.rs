//! Checkpoints on disk: a file of any format, or a folder as Hugging Face lays it out.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use burn::tensor::TensorData;

use super::{
    Fault, TensorInfo, TensorSource,
    formats::{self, Extent},
};
use crate::error::{Error, Result};

/// Names of a folder's weights, in the order in which they are looked for.
const INDICES: [&str; 2] = ["model.safetensors.index.json", "pytorch_model.bin.index.json"];
const SINGLES: [&str; 3] = ["model.safetensors", "pytorch_model.bin", "pytorch_model.pt"];
/// Beginning and end of the names of shards, where there is no index: `model-00001-of-00002.safetensors`.
const SHARDS: [(&str, &str); 2] = [("model-", ".safetensors"), ("pytorch_model-", ".bin")];

/// Longest index that is read; those of the largest published models have some 100 kB.
const MAX_INDEX: u64 = 16 << 20;

/// The tensors of a file or folder, listed and not read.
///
/// Files are told apart by their content: PyTorch's zip files and the older ones without, and safetensors. A pickle is read as
/// data: nothing in it is executed, and what is no part of a tensor is refused.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    origin: PathBuf,
    tensors: BTreeMap<String, TensorInfo>,
    extents: BTreeMap<String, Extent>,
}

impl Checkpoint {
    /// Lists the tensors of a file, or of a folder with `model.safetensors` or `pytorch_model.bin`, sharded or not. Shards without an
    /// index are told by their names.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Checkpoint`] with the file and tensor, for everything that [`Fault`] names.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        if !path.is_dir() {
            return Self::empty(path).with_file(path);
        }
        if let Some(index) = INDICES.iter().map(|name| path.join(name)).find(|index| index.exists()) {
            return Self::open_shards(path, &index);
        }
        if let Some(single) = SINGLES.iter().map(|name| path.join(name)).find(|single| single.exists()) {
            return Self::empty(path).with_file(&single);
        }
        match numbered_shards(path)? {
            shards if shards.is_empty() => Err(Error::checkpoint(path, Fault::EmptyFolder)),
            shards => shards.iter().try_fold(Self::empty(path), |checkpoint, shard| checkpoint.with_file(shard)),
        }
    }

    /// The files that hold tensors.
    pub fn files(&self) -> BTreeSet<&Path> {
        self.tensors.values().map(|info| info.file.as_path()).collect()
    }

    fn empty(origin: &Path) -> Self {
        Self { origin: origin.into(), tensors: BTreeMap::new(), extents: BTreeMap::new() }
    }

    fn with_file(mut self, file: &Path) -> Result<Self> {
        for entry in formats::list(file)? {
            if self.tensors.insert(entry.name.clone(), entry.info).is_some() {
                return Err(Error::tensor(file, entry.name, Fault::DuplicateName));
            }
            self.extents.insert(entry.name, entry.extent);
        }
        Ok(self)
    }

    fn open_shards(folder: &Path, index: &Path) -> Result<Self> {
        let places = read_index(index)?;
        let shards: BTreeSet<&String> = places.iter().map(|(_, shard)| shard).collect();
        let mut checkpoint = Self::empty(folder);
        for shard in shards {
            let plain = Path::new(shard).file_name() == Some(OsStr::new(shard));
            let path = folder.join(shard);
            match () {
                () if !plain => return Err(Error::checkpoint(index, Fault::PathOutside(shard.clone()))),
                () if !path.is_file() => return Err(Error::checkpoint(index, Fault::MissingShard(shard.clone()))),
                () => checkpoint = checkpoint.with_file(&path)?,
            }
        }
        for (name, shard) in &places {
            let expected = folder.join(shard);
            match checkpoint.tensors.get(name) {
                None => return Err(Error::tensor(expected, name, Fault::MissingTensor)),
                Some(info) if info.file != expected => {
                    let fault = Fault::OtherShard { expected: shard.clone(), found: info.file.clone() };
                    return Err(Error::tensor(index, name, fault));
                }
                Some(_) => {}
            }
        }
        Ok(checkpoint)
    }
}

impl TensorSource for Checkpoint {
    fn origin(&self) -> &Path {
        &self.origin
    }

    fn tensors(&self) -> &BTreeMap<String, TensorInfo> {
        &self.tensors
    }

    fn read(&self, name: &str) -> Result<TensorData> {
        let info = self.info(name)?;
        let extent = self.extents.get(name).ok_or_else(|| Error::tensor(&info.file, name, Fault::MissingTensor))?;
        formats::read(name, info, extent)
    }
}

/// The shards in a folder that has no index: all that the name of one of them promises, or none.
fn numbered_shards(folder: &Path) -> Result<Vec<PathBuf>> {
    let io = |source| Error::io(folder, source);
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder).map_err(io)? {
        names.insert(entry.map_err(io)?.file_name().to_string_lossy().into_owned());
    }
    for (start, end) in SHARDS {
        let numbers = names.iter().filter_map(|name| name.strip_prefix(start)?.strip_suffix(end)?.split_once("-of-"));
        let Some((_, total)) = numbers.clone().next() else { continue };
        if let Some((number, other)) = numbers.clone().find(|(_, other)| *other != total) {
            let reason = format!("it has shards of {total} and of {other}, as {start}{number}-of-{other}{end}, and no index");
            return Err(Error::checkpoint(folder, Fault::Malformed(reason.into())));
        }
        let Ok(count) = total.parse::<usize>() else { continue };
        let name = |number: usize| format!("{start}{number:05}-of-{total}{end}");
        return match (1..=count).map(name).find(|name| !names.contains(name)) {
            Some(missing) => Err(Error::checkpoint(folder, Fault::MissingShard(missing))),
            None => Ok((1..=count).map(|number| folder.join(name(number))).collect()),
        };
    }
    Ok(vec![])
}

/// An index's tensors and the shards that it puts them in.
fn read_index(path: &Path) -> Result<Vec<(String, String)>> {
    let malformed = |reason: String| Error::checkpoint(path, Fault::Malformed(reason.into()));
    let length = fs::metadata(path).map_err(|source| Error::io(path, source))?.len();
    if length > MAX_INDEX {
        return Err(malformed(format!("an index of {length} bytes")));
    }
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: formats::Pairs<String>,
    }
    let bytes = fs::read(path).map_err(|source| Error::io(path, source))?;
    let index: Index = serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
    let mut names = BTreeSet::new();
    match index.weight_map.0.iter().find(|(name, _)| !names.insert(name)) {
        Some((name, _)) => Err(Error::tensor(path, name, Fault::DuplicateName)),
        None => Ok(index.weight_map.0),
    }
}
