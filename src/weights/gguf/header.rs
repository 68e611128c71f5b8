//! The header of a GGUF file; nothing is believed that reaches beyond the file's end.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufReader, Read},
    path::Path,
};

use super::{Form, Metadata, Place, Value};
use crate::{
    error::{Error, Result},
    weights::{Fault, formats},
};

/// Most entries of metadata, and most tensors.
const MOST_ENTRIES: u64 = 1 << 16;
/// Most values of a list; vocabularies have some 100,000.
const LONGEST_LIST: u64 = 1 << 22;
/// Longest text, in bytes.
const LONGEST_TEXT: u64 = 1 << 24;
/// Most axes of a tensor.
const MOST_AXES: u32 = 4;
/// Offsets are multiples of it, unless the metadata say otherwise.
const ALIGNMENT: u64 = 32;

/// A tensor of the file.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    pub(super) place: Place,
}

pub(super) fn read(path: &Path) -> Result<(Metadata, Vec<Entry>)> {
    let file = File::open(path).map_err(|source| Error::io(path, source))?;
    let length = file.metadata().map_err(|source| Error::io(path, source))?.len();
    let mut header = Header { path, reader: BufReader::new(file), at: 0, length };
    header.magic()?;
    let version = header.u32()?;
    if !(2..=3).contains(&version) {
        return Err(header.malformed(format!("its version is {version:#x}, and 2 and 3 are read")));
    }
    let (tensors, values) = (header.count("tensors", MOST_ENTRIES)?, header.count("entries of metadata", MOST_ENTRIES)?);
    let mut metadata = Metadata { file: path.into(), values: BTreeMap::new() };
    for _ in 0..values {
        let (key, kind) = (header.text()?, header.u32()?);
        let value = header.value(kind)?;
        if metadata.values.insert(key.clone(), value).is_some() {
            return Err(header.malformed(format!("its metadata has `{key}` twice")));
        }
    }
    let alignment = match metadata.get("general.alignment") {
        None => ALIGNMENT,
        Some(_) => metadata.number("general.alignment")? as u64,
    };
    if !alignment.is_power_of_two() {
        return Err(header.malformed(format!("its alignment is {alignment}")));
    }
    let mut entries = (0..tensors).map(|_| header.entry(alignment)).collect::<Result<Vec<_>>>()?;
    let data = header.at.next_multiple_of(alignment);
    place(path, length, data, &mut entries)?;
    Ok((metadata, entries))
}

/// Turns offsets from the data's start into those of the file; tensors must not overlap nor reach beyond the end.
fn place(path: &Path, length: u64, data: u64, entries: &mut [Entry]) -> Result<()> {
    entries.sort_by_key(|entry| entry.place.start);
    let mut free = data;
    for Entry { name, place, .. } in entries {
        let start = data.checked_add(place.start).filter(|start| *start >= free);
        let end = start.and_then(|start| start.checked_add(place.bytes as u64));
        match (start, end) {
            (Some(start), Some(end)) if end <= length => (place.start, free) = (start, end),
            (Some(_), Some(end)) => {
                let missing = format!("what should reach to byte {end}").into();
                return Err(Error::tensor(path, name.as_str(), Fault::Truncated { found: length, missing }));
            }
            _ => return Err(Error::tensor(path, name.as_str(), Fault::Offsets(format!("at {}, within another tensor's", place.start)))),
        }
    }
    Ok(())
}

struct Header<'a> {
    path: &'a Path,
    reader: BufReader<File>,
    at: u64,
    length: u64,
}

impl Header<'_> {
    fn magic(&mut self) -> Result<()> {
        let bytes = formats::read_part(self.path, 0, self.length.min(512))?;
        if !bytes.starts_with(b"GGUF") {
            return Err(Error::checkpoint(self.path, formats::stranger(&bytes)));
        }
        self.array::<4>().map(|_| ())
    }

    fn entry(&mut self, alignment: u64) -> Result<Entry> {
        let (name, axes) = (self.text()?, self.u32()?);
        if !(1..=MOST_AXES).contains(&axes) {
            return Err(Error::tensor(self.path, name, Fault::Malformed(format!("it has {axes} axes").into())));
        }
        let mut shape = (0..axes).map(|_| self.size()).collect::<Result<Vec<_>>>()?;
        // GGUF has the innermost axis first.
        shape.reverse();
        let (number, start) = (self.u32()?, self.u64()?);
        let fail = |fault| Error::tensor(self.path, name.as_str(), fault);
        let form = Form::new(number).ok_or_else(|| fail(Fault::DType(format!("of GGUF's type {number}, which is not read"))))?;
        let elements = shape.iter().try_fold(1usize, |product, length| product.checked_mul(*length));
        let bytes = elements.zip(shape.last()).and_then(|(elements, columns)| form.bytes(elements, *columns));
        let bytes = bytes.ok_or_else(|| fail(Fault::Offsets(format!("of shape {shape:?}, which no file has in this type"))))?;
        if !start.is_multiple_of(alignment) {
            return Err(fail(Fault::Offsets(format!("at {start}, no multiple of {alignment}"))));
        }
        Ok(Entry { place: Place { form, start, bytes }, name, shape })
    }

    fn value(&mut self, kind: u32) -> Result<Value> {
        if kind != 9 {
            return self.single(kind);
        }
        let kind = self.u32()?;
        let count = self.count("values of a list", LONGEST_LIST)?;
        (0..count).map(|_| self.single(kind)).collect::<Result<_>>().map(Value::List)
    }

    fn single(&mut self, kind: u32) -> Result<Value> {
        Ok(match kind {
            0 => Value::Unsigned(u8::from_le_bytes(self.array()?).into()),
            1 => Value::Signed(i8::from_le_bytes(self.array()?).into()),
            2 => Value::Unsigned(u16::from_le_bytes(self.array()?).into()),
            3 => Value::Signed(i16::from_le_bytes(self.array()?).into()),
            4 => Value::Unsigned(self.u32()?.into()),
            5 => Value::Signed(i32::from_le_bytes(self.array()?).into()),
            6 => Value::Float(f32::from_le_bytes(self.array()?).into()),
            7 => Value::Bool(self.array::<1>()? != [0]),
            8 => Value::Text(self.text()?),
            10 => Value::Unsigned(self.u64()?),
            11 => Value::Signed(i64::from_le_bytes(self.array()?)),
            12 => Value::Float(f64::from_le_bytes(self.array()?)),
            other => return Err(self.malformed(format!("a value of its metadata has the type {other}"))),
        })
    }

    fn text(&mut self) -> Result<String> {
        let count = self.count("bytes of a text", LONGEST_TEXT)?;
        let mut bytes = vec![0; count as usize];
        self.fill(&mut bytes)?;
        String::from_utf8(bytes).map_err(|_| self.malformed("a text is not UTF-8".into()))
    }

    /// A count of things that take a byte or more each.
    fn count(&mut self, what: &'static str, most: u64) -> Result<u64> {
        let count = self.u64()?;
        if count > self.length - self.at {
            return Err(self.truncated(format!("what should be {count} {what}")));
        }
        if count > most {
            return Err(self.malformed(format!("it has {count} {what}, and at most {most} are read")));
        }
        Ok(count)
    }

    fn size(&mut self) -> Result<usize> {
        let size = self.u64()?;
        usize::try_from(size).map_err(|_| self.malformed(format!("a tensor's axis has the length {size}")))
    }

    fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<()> {
        let count = bytes.len() as u64;
        if count > self.length - self.at {
            return Err(self.truncated("the rest of the header".into()));
        }
        self.at += count;
        self.reader.read_exact(bytes).map_err(|source| Error::io(self.path, source))
    }

    fn malformed(&self, reason: String) -> Error {
        Error::checkpoint(self.path, Fault::Malformed(reason.into()))
    }

    fn truncated(&self, missing: String) -> Error {
        Error::checkpoint(self.path, Fault::Truncated { found: self.length, missing: missing.into() })
    }
}
