//! PyTorch's two file formats: a zip archive of a pickle and the storages, and, before version 1.6, pickles followed by the storages.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    path::Path,
};

use zip::{CompressionMethod, ZipArchive};

use super::{
    Entry, Extent,
    elements::{row_major, span},
    pickle::{self, Pickle, Tensor, Value},
    read_at,
};
use crate::{
    error::{Error, Result},
    weights::{Fault, TensorInfo},
};

/// Longest pickle that is read; ImageBind's, of 1,311 tensors, has 165 kB.
const MAX_PICKLE: u64 = 16 << 20;

/// The first pickle of a file without an archive: 0x1950a86a20f9469cfc6c.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
const PROTOCOL: i64 = 1001;

/// First byte and length of each storage, by its key.
type Storages = HashMap<String, (u64, u64)>;

/// The tensors of a zip archive.
pub(super) fn list_zip(path: &Path, mut file: File) -> Result<Vec<Entry>> {
    let fail = |fault| Error::checkpoint(path, fault);
    let entries = zip_entries(path, &mut file)?;
    let pickles: Vec<&str> = entries.keys().filter_map(|name| name.strip_suffix("data.pkl")).collect();
    let [folder] = pickles.as_slice() else {
        return Err(fail(Fault::Malformed(format!("{} pickles in the archive where there should be one", pickles.len()).into())));
    };
    let mut whole = |name: &str, limit: u64| match entries.get(&format!("{folder}{name}")) {
        None => Ok(None),
        Some((_, length)) if *length > limit => Err(fail(Fault::Malformed(format!("a {name} of {length} bytes").into()))),
        Some((start, length)) => read_at(&mut file, path, *start, *length).map(Some),
    };
    if whole("byteorder", 16)?.is_some_and(|order| order != b"little") {
        return Err(fail(Fault::Malformed("numbers with the highest byte first".into())));
    }
    let bytes = whole("data.pkl", MAX_PICKLE)?.unwrap_or_default();
    let (pickle, _) = pickle::read(&bytes).map_err(fail)?;
    let storages = format!("{folder}data/");
    let storages = entries.iter().filter_map(|(name, range)| Some((name.strip_prefix(&storages)?.to_owned(), *range))).collect();
    tensors(path, &pickle, &storages)
}

/// First byte and length of each entry. Entries are stored and never packed, so that tensors can be read in place.
fn zip_entries(path: &Path, file: &mut File) -> Result<Storages> {
    let fail = |fault| Error::checkpoint(path, fault);
    let found = file.metadata().map_err(|source| Error::io(path, source))?.len();
    let directory = || fail(Fault::Truncated { found, missing: "the archive's directory".into() });
    let mut archive = ZipArchive::new(file).map_err(|_| directory())?;
    let mut entries = HashMap::new();
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).map_err(|error| fail(Fault::Malformed(error.to_string().into())))?;
        let name = entry.name().map_err(|error| fail(Fault::Malformed(error.to_string().into())))?.into_owned();
        if name.starts_with('/') || name.contains(['\\', ':']) || name.split('/').any(|part| part == "..") {
            return Err(fail(Fault::PathOutside(name)));
        }
        if entry.compression() != CompressionMethod::Stored || entry.encrypted() {
            return Err(fail(Fault::Malformed(format!("the entry {name} is compressed").into())));
        }
        let (start, length) = (entry.data_start().ok_or_else(directory)?, entry.size());
        if start.checked_add(length).is_none_or(|end| end > found) {
            return Err(fail(Fault::Truncated { found, missing: format!("the entry {name} of {length} bytes").into() }));
        }
        entries.insert(name, (start, length));
    }
    Ok(entries)
}

/// The tensors of a file without an archive: a number, a version, facts about the machine, the tensors, and the storages' keys, each
/// a pickle; then the storages, each after its length in elements.
pub(super) fn list_legacy(path: &Path, mut file: File) -> Result<Vec<Entry>> {
    let fail = |fault| Error::checkpoint(path, fault);
    let found = file.metadata().map_err(|source| Error::io(path, source))?.len();
    let bytes = read_at(&mut file, path, 0, found.min(MAX_PICKLE))?;
    let mut rest = bytes.as_slice();
    let mut next = || {
        let (pickle, after) = pickle::read(rest).map_err(fail)?;
        rest = after;
        Ok::<_, Error>(pickle)
    };
    let (magic, version) = (next()?, next());
    if !matches!(magic.root(), Value::Bytes(magic) if *magic == MAGIC) {
        return Err(fail(Fault::WrongKind("a pickle of something else")));
    }
    if !matches!(version?.root(), Value::Int(PROTOCOL)) {
        return Err(fail(Fault::Malformed("a version that is not known".into())));
    }
    let (machine, pickle, keys) = (next()?, next()?, next()?);
    let little = |(key, value): &(_, _)| machine.text(*key) == Some("little_endian") && matches!(machine.value(*value), Value::Bool(true));
    if !matches!(machine.root(), Value::Dict(facts) if facts.iter().any(little)) {
        return Err(fail(Fault::Malformed("numbers with the highest byte first".into())));
    }
    let start = found.min(MAX_PICKLE) - rest.len() as u64;
    let storages = legacy_storages(path, &mut file, start, &pickle, &keys)?;
    tensors(path, &pickle, &storages)
}

fn legacy_storages(path: &Path, file: &mut File, mut start: u64, pickle: &Pickle, keys: &Pickle) -> Result<Storages> {
    let fail = |reason: String| Error::checkpoint(path, Fault::Malformed(reason.into()));
    let named: HashMap<&str, usize> = pickle.storages().map(|storage| (storage.key.as_str(), storage.dtype.size())).collect();
    let Value::List(keys_in_order) = keys.root() else { return Err(fail("no list of storages".into())) };
    let mut storages = HashMap::new();
    for key in keys_in_order.iter().map(|key| keys.text(*key).unwrap_or_default()) {
        let size = named.get(key).ok_or_else(|| fail(format!("a storage {key} that no tensor names")))?;
        let elements = read_at(file, path, start, 8)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes)).unwrap_or_default();
        let length = elements.checked_mul(*size as u64).ok_or_else(|| fail(format!("a storage {key} of {elements} elements")))?;
        start += 8;
        storages.insert(key.to_owned(), (start, length));
        start = start.checked_add(length).ok_or_else(|| fail(format!("a storage {key} of {elements} elements")))?;
    }
    Ok(storages)
}

/// The tensors that a file's pickle names: those of its dictionary, or of that one's `state_dict`.
fn tensors(path: &Path, pickle: &Pickle, storages: &Storages) -> Result<Vec<Entry>> {
    let malformed = |reason: &'static str| Error::checkpoint(path, Fault::Malformed(reason.into()));
    let Value::Dict(root) = pickle.root() else { return Err(malformed("its pickle holds no dictionary")) };
    let nested = root.iter().find(|(key, _)| pickle.text(*key) == Some("state_dict")).map(|(_, value)| pickle.value(*value));
    let items = match nested {
        Some(Value::Dict(nested)) => nested,
        _ => root,
    };
    let found = std::fs::metadata(path).map_err(|source| Error::io(path, source))?.len();
    let (mut entries, mut names) = (vec![], HashSet::new());
    for (key, value) in items {
        let name = pickle.text(*key).ok_or_else(|| malformed("its pickle has a name that is no text"))?;
        let fail = |fault| Error::tensor(path, name, fault);
        if !names.insert(name) {
            return Err(fail(Fault::DuplicateName));
        }
        match pickle.value(*value) {
            Value::Tensor(tensor) => entries.push(entry(path, name, tensor, storages, found)?),
            Value::Other | Value::Bool(_) | Value::Int(_) | Value::Text(_) | Value::Bytes(_) => {}
            _ => return Err(fail(Fault::Malformed("it is no tensor".into()))),
        }
    }
    Ok(entries)
}

fn entry(path: &Path, name: &str, tensor: &Tensor, storages: &Storages, found: u64) -> Result<Entry> {
    let fail = |fault| Error::tensor(path, name, fault);
    let Tensor { storage, offset, shape, strides } = tensor;
    let missing =
        || fail(Fault::Truncated { found, missing: format!("its storage {} of {} elements", storage.key, storage.elements).into() });
    let (start, length) = *storages.get(&storage.key).ok_or_else(missing)?;
    let size = storage.dtype.size();
    let promised = storage.elements.checked_mul(size).ok_or_else(missing)? as u64;
    if promised > length || start.checked_add(length).is_none_or(|end| end > found) {
        return Err(missing());
    }
    // An expanded tensor (stride 0) has more elements than its storage: its size is a promise that no byte backs.
    let elements = shape.iter().try_fold(1usize, |product, axis| product.checked_mul(*axis));
    let end = span(shape, strides).and_then(|span| span.checked_add(*offset));
    if elements.is_none_or(|elements| elements > storage.elements) || end.is_none_or(|end| end > storage.elements) {
        let fault = format!("of shape {shape:?} with strides {strides:?} from {offset} on, in a storage of {} elements", storage.elements);
        return Err(fail(Fault::Offsets(fault)));
    }
    // Axes of one element have no neighbour, whatever their stride.
    let plain = row_major(shape).unwrap_or_default();
    let contiguous =
        elements == Some(0) || shape.iter().zip(strides.iter().zip(&plain)).all(|(axis, (stride, plain))| *axis == 1 || stride == plain);
    let info = TensorInfo { shape: shape.clone(), dtype: storage.dtype, file: path.into() };
    let extent = Extent { start: start + (offset * size) as u64, strides: (!contiguous).then(|| strides.clone()) };
    Ok(Entry { name: name.into(), info, extent })
}
