//! File formats: which one a file has, where its tensors lie, and their elements.

mod elements;
mod mapped;
mod pickle;
mod pytorch;
mod safetensors;

use std::{
    collections::HashSet,
    fmt,
    fs::File,
    io::{Read, Seek, SeekFrom},
    marker::PhantomData,
    path::Path,
};

use bytemuck::{Pod, cast_slice_mut};
use serde::{Deserialize, Deserializer, de};

pub(super) use elements::{Extent, first_not_finite, read};
pub(super) use safetensors::safetensors_dtype;

use super::{Fault, TensorInfo};
use crate::error::{Error, Result};

/// A tensor of a file.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) info: TensorInfo,
    pub(super) extent: Extent,
}

/// Safetensors files begin with the length of their header; a text's first eight bytes are a far greater number.
const GREATEST_PLAUSIBLE_HEADER: u64 = 1 << 48;

/// The tensors of a file, whatever its format and its name.
pub(super) fn list(path: &Path) -> Result<Vec<Entry>> {
    let mut file = File::open(path).map_err(|source| Error::io(path, source))?;
    let length = file.metadata().map_err(|source| Error::io(path, source))?.len();
    let head = read_at(&mut file, path, 0, length.min(512))?;
    let header = head.first_chunk().map(|bytes| u64::from_le_bytes(*bytes)).filter(|header| *header < GREATEST_PLAUSIBLE_HEADER);
    let entries = match (head.as_slice(), header) {
        // First, as the length of a header can begin like a pickle.
        ([_, _, _, _, _, _, _, _, b'{', ..], Some(header)) => safetensors::list(path, file, header)?,
        ([b'P', b'K', 3 | 5, 4 | 6, ..], _) => pytorch::list_zip(path, file)?,
        ([0x80, 1..=5, ..], _) => pytorch::list_legacy(path, file)?,
        _ => return Err(Error::checkpoint(path, stranger(&head))),
    };
    let mut names = HashSet::new();
    match entries.iter().find(|entry| !names.insert(&entry.name)) {
        Some(twice) => Err(Error::tensor(path, &twice.name, Fault::DuplicateName)),
        None => Ok(entries),
    }
}

/// What a file is that holds no weights, by its first bytes.
pub(super) fn stranger(head: &[u8]) -> Fault {
    let text = std::str::from_utf8(head).or_else(|error| std::str::from_utf8(&head[..error.valid_up_to()])).unwrap_or_default();
    let text = text.trim_start().to_ascii_lowercase();
    if text.starts_with("version https://git-lfs") {
        return Fault::LfsPointer;
    }
    Fault::WrongKind(match head {
        [] => "empty",
        [0x89, b'P', b'N', b'G', ..] | [0xff, 0xd8, 0xff, ..] | [b'G', b'I', b'F', b'8', ..] => "an image",
        [b'R', b'I', b'F', b'F', ..] | [b'B', b'M', ..] | [b'I', b'I', b'*', 0, ..] | [b'M', b'M', 0, b'*', ..] => "an image",
        [0x1f, 0x8b, ..] => "a gzip archive",
        [b'%', b'P', b'D', b'F', ..] => "a PDF document",
        [b'G', b'G', b'U', b'F', ..] => "a GGUF file",
        _ if head.get(257..262) == Some(b"ustar") => "a tar archive",
        _ if text.starts_with("<!doctype") || text.starts_with("<html") => "an HTML page",
        _ if text.starts_with(['{', '[']) => "a JSON text",
        _ if head.iter().all(|byte| *byte == 0) => "a file of zeros",
        _ if text.len() + 4 > head.len() => "a text",
        _ => "a file of an unknown kind",
    })
}

/// Reads a part of a file that is not open.
pub(super) fn read_part(path: &Path, start: u64, count: u64) -> Result<Vec<u8>> {
    read_at(&mut File::open(path).map_err(|source| Error::io(path, source))?, path, start, count)
}

/// How many elements a part of a file has; what is promised beyond its end is an error and not an allocation.
fn count_within<E>(file: &File, path: &Path, start: u64, count: u64) -> Result<usize> {
    let found = file.metadata().map_err(|source| Error::io(path, source))?.len();
    let end = count.checked_mul(size_of::<E>() as u64).and_then(|bytes| bytes.checked_add(start));
    match (end.is_some_and(|end| end <= found), usize::try_from(count)) {
        (true, Ok(count)) => Ok(count),
        _ => {
            let missing = format!("what should be {count} times {} bytes from {start} on", size_of::<E>()).into();
            Err(Error::checkpoint(path, Fault::Truncated { found, missing }))
        }
    }
}

/// Reads a part of a file.
fn read_at<E: Pod>(file: &mut File, path: &Path, start: u64, count: u64) -> Result<Vec<E>> {
    let io = |source| Error::io(path, source);
    let mut elements = vec![E::zeroed(); count_within::<E>(file, path, start, count)?];
    file.seek(SeekFrom::Start(start)).map_err(io)?;
    file.read_exact(cast_slice_mut(&mut elements)).map_err(io)?;
    Ok(elements)
}

/// The pairs of a JSON object in their order; a map would drop all but one of equal names.
pub(super) struct Pairs<T>(pub(super) Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Pairs<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> de::Visitor<'de> for Visitor<T> {
            type Value = Pairs<T>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }
            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Pairs<T>, A::Error> {
                let mut pairs = vec![];
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Visitor(PhantomData))
    }
}
