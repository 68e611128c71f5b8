//! Any number of keys, sorted within bounded memory.
//!
//! Keys gather until there are [`PENDING`]; then they are sorted in blocks, one a thread, and each block is stored as bytes: per
//! distinct key the difference to the one before, times two, plus one where a count above 1 follows; numbers take 7 bits a byte.
//! Blocks beyond the memory limit are appended to a temporary file. [`Cursor`]s read the blocks side by side.

use std::{
    env,
    fs::File,
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    ops::Range,
};

use rayon::prelude::*;

use super::order::{Key, radix_sort};
use crate::error::{Error, Result};

/// Keys that wait to be sorted.
const PENDING: usize = 1 << 23;
/// Keys of a block: enough of them that differences take one byte or two.
const BLOCK: usize = 1 << 22;
/// Bytes that a cursor reads from the file at a time.
const READ: usize = 1 << 16;
/// Longest entry: two numbers of 64 bits.
const LONGEST_ENTRY: usize = 20;

/// Keys below 2^63 on their way to be sorted.
#[derive(Debug)]
pub(super) struct Spool<K> {
    pending: Vec<K>,
    pending_limit: usize,
    blocks: Vec<Block>,
    file: Option<File>,
    file_bytes: u64,
}

#[derive(Debug)]
enum Block {
    Memory(Vec<u8>),
    Disk(Range<u64>),
}

impl<K: Key> Spool<K> {
    pub(super) fn new() -> Self {
        Self { pending: Vec::new(), pending_limit: PENDING, blocks: Vec::new(), file: None, file_bytes: 0 }
    }

    /// Takes keys in any order.
    pub(super) fn extend(&mut self, keys: impl Iterator<Item = K>) {
        self.pending.extend(keys);
        if self.pending.len() >= self.pending_limit {
            self.seal();
        }
    }

    /// Bytes in memory.
    pub(super) fn bytes(&self) -> usize {
        let blocks: usize = self.blocks.iter().map(|block| if let Block::Memory(bytes) = block { bytes.len() } else { 0 }).sum();
        // Sorting takes as much again.
        blocks + 2 * self.pending.len() * size_of::<K>()
    }

    /// Sorts what waits.
    pub(super) fn seal(&mut self) {
        let share = self.pending.len().div_ceil(rayon::current_num_threads()).clamp(1, BLOCK);
        let sealed = self.pending.par_chunks_mut(share).map(|keys| {
            radix_sort(keys);
            Block::Memory(encode(keys))
        });
        self.blocks.extend(sealed.collect::<Vec<_>>());
        self.pending.clear();
    }

    /// Moves everything to the temporary file.
    pub(super) fn spill(&mut self) -> Result<()> {
        self.seal();
        self.pending = Vec::new();
        let mut file = match self.file.take() {
            Some(file) => file,
            None => tempfile::tempfile().map_err(temporary)?,
        };
        for block in &mut self.blocks {
            if let Block::Memory(bytes) = block {
                file.write_all(bytes).map_err(temporary)?;
                let start = self.file_bytes;
                self.file_bytes += bytes.len() as u64;
                *block = Block::Disk(start..self.file_bytes);
            }
        }
        self.file = Some(file);
        Ok(())
    }

    /// Readers of all blocks.
    pub(super) fn cursors(&mut self) -> Result<Vec<Cursor<'_>>> {
        self.seal();
        self.pending = Vec::new();
        let file = self.file.as_ref();
        let blocks = self.blocks.iter();
        let cursors = blocks.map(|block| match block {
            Block::Disk(range) => Cursor::new(&[], file.map(|file| (file, range.clone()))),
            Block::Memory(bytes) => Cursor::new(bytes, None),
        });
        cursors.collect()
    }
}

fn temporary(source: std::io::Error) -> Error {
    Error::io(env::temp_dir(), source)
}

fn encode<K: Key>(sorted: &[K]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(sorted.len() + sorted.len() / 2);
    let mut before = 0;
    for equal in sorted.chunk_by(|left, right| left.to_u64() == right.to_u64()) {
        let Some(key) = equal.first().map(|key| key.to_u64()) else { continue };
        let many = equal.len() > 1;
        push_number(&mut bytes, ((key - before) << 1) | u64::from(many));
        if many {
            push_number(&mut bytes, equal.len() as u64);
        }
        before = key;
    }
    bytes
}

fn push_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Reads one block: distinct keys in ascending order, and how many there are of each.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    memory: &'a [u8],
    disk: Option<(&'a File, Range<u64>)>,
    /// What was read from the disk, and not yet taken.
    read: Vec<u8>,
    at: usize,
    before: u64,
    next: Option<(u64, u64)>,
}

impl<'a> Cursor<'a> {
    fn new(memory: &'a [u8], disk: Option<(&'a File, Range<u64>)>) -> Result<Self> {
        let mut cursor = Self { memory, disk, read: Vec::new(), at: 0, before: 0, next: None };
        cursor.advance()?;
        Ok(cursor)
    }

    /// The next key.
    pub(super) fn peek(&self) -> Option<u64> {
        self.next.map(|(key, _)| key)
    }

    /// Takes all keys below `end`, with their counts.
    pub(super) fn take_below(&mut self, end: u64, mut take: impl FnMut(u64, u64)) -> Result<()> {
        while let Some((key, count)) = self.next.filter(|(key, _)| *key < end) {
            take(key, count);
            self.advance()?;
        }
        Ok(())
    }

    #[inline]
    fn advance(&mut self) -> Result<()> {
        if self.disk.is_some() && self.read.len() - self.at < LONGEST_ENTRY {
            self.refill()?;
        }
        let bytes = if self.disk.is_some() { &self.read } else { self.memory };
        self.next = bytes.get(self.at..).filter(|rest| !rest.is_empty()).map(|rest| {
            let mut rest = rest.iter();
            let difference = number(&mut rest);
            let count = if difference & 1 == 1 { number(&mut rest) } else { 1 };
            self.at = bytes.len() - rest.len();
            self.before += difference >> 1;
            (self.before, count)
        });
        Ok(())
    }

    fn refill(&mut self) -> Result<()> {
        let Some((file, range)) = &mut self.disk else { return Ok(()) };
        self.read.drain(..self.at);
        self.at = 0;
        let kept = self.read.len();
        let more = (range.end - range.start).min(READ as u64);
        self.read.resize(kept + more as usize, 0);
        file.seek(SeekFrom::Start(range.start)).map_err(temporary)?;
        file.read_exact(&mut self.read[kept..]).map_err(temporary)?;
        range.start += more;
        Ok(())
    }
}

/// The number that [`push_number`] wrote.
#[inline]
fn number(bytes: &mut std::slice::Iter<'_, u8>) -> u64 {
    let mut number = 0;
    for (&byte, group) in bytes.zip(0..) {
        number |= u64::from(byte & 0x7F) << (7 * group);
        if byte < 0x80 {
            break;
        }
    }
    number
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn counted(spool: &mut Spool<u64>) -> BTreeMap<u64, u64> {
        let mut counts = BTreeMap::new();
        for mut cursor in spool.cursors().unwrap() {
            let mut before = None;
            cursor
                .take_below(u64::MAX, |key, count| {
                    assert!(before.replace(key) < Some(key), "ascending");
                    *counts.entry(key).or_default() += count;
                })
                .unwrap();
        }
        counts
    }

    proptest! {
        #[test]
        fn all_keys_come_back_from_memory_and_disk(keys in prop::collection::vec((0..1u64 << 63, 0..64u32), 0..300), every in 1..50usize, limit in 1..100usize) {
            // Repeated keys, and differences of all lengths.
            let keys: Vec<u64> = keys.into_iter().flat_map(|(key, shift)| vec![key >> shift; 1 + shift as usize / 20]).collect();
            let mut wanted = BTreeMap::new();
            keys.iter().for_each(|&key| *wanted.entry(key).or_default() += 1);
            let (mut memory, mut disk) = (Spool::new(), Spool::new());
            disk.pending_limit = limit;
            memory.extend(keys.iter().copied());
            for part in keys.chunks(every) {
                disk.extend(part.iter().copied());
                disk.spill().unwrap();
            }
            prop_assert_eq!(&counted(&mut memory), &wanted);
            prop_assert_eq!(&counted(&mut disk), &wanted);
            prop_assert_eq!(disk.bytes(), 0);
        }
    }

    #[test]
    fn a_block_on_disk_is_read_in_parts() {
        let keys = || (0..200_000u64).map(|index| index * 1_000);
        let mut spool = Spool::new();
        spool.extend(keys());
        spool.spill().unwrap();
        assert!(spool.file_bytes > 2 * READ as u64);
        let counts = counted(&mut spool);
        assert!(counts.len() == 200_000 && keys().all(|key| counts.get(&key) == Some(&1)));
    }
}
