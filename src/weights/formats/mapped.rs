//! Parts of files in place, for backends that compute on host memory.
//!
//! A tensor that stays as it is in the file takes no memory of its own then, as its pages can be had again from there; where memory is
//! short they are, which makes the next use slower. Each tensor is mapped alone, so that one that is converted takes no more than when it
//! is read.
//!
//! A file that is overwritten while a model made of it lives changes that model's weights, which were checked to be finite before; one
//! that is cut off ends the process when a lost page is touched. Files are therefore to be replaced, as `mv` does, and not overwritten;
//! [`export`](crate::weights::export) writes only files that are not there.

use std::fs::File;

use burn::tensor::{AllocationProperty, Bytes};
use memmap2::MmapOptions;

/// Smaller parts are read: a mapping takes whole pages, and systems limit how many there are.
pub(super) const SMALLEST: u64 = 1 << 20;

/// A part of a file; `None` where the file system can't map it.
#[allow(unsafe_code)]
pub(super) fn map(file: &File, start: u64, length: usize) -> Option<Bytes> {
    // SAFETY: the map is private and never written to, and lies within the file as the caller has checked. It is sound as long as nobody
    // overwrites the file, which no program can rule out: what happens then is said above, and any bytes are valid numbers.
    let map = unsafe { MmapOptions::new().offset(start).len(length).map(file) }.ok()?;
    Some(Bytes::from_shared(bytes::Bytes::from_owner(map), AllocationProperty::File))
}
