//! Good and bad checkpoints, built byte by byte.
#![allow(clippy::unwrap_used)]

mod bad_files;
mod folders;
mod mapped_files;
mod merges;
mod pickles;
mod safetensors_files;
mod sizes;
mod tokens;
mod writers;

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{Checkpoint, Fault};
use crate::error::Error;

/// A folder of files that is removed in the end.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

/// The file's name, the tensor, and what is wrong.
fn fault<T: std::fmt::Debug>(result: Result<T, Error>) -> (String, Option<String>, Fault) {
    match result {
        Err(Error::Checkpoint { file, tensor, fault }) => (file.file_name().unwrap().to_str().unwrap().to_owned(), tensor, fault),
        other => panic!("{other:?}"),
    }
}

/// What is wrong with a file of these bytes.
fn fault_of(bytes: impl AsRef<[u8]>) -> (Option<String>, Fault) {
    let folder = Folder::new();
    let (file, tensor, fault) = fault(Checkpoint::open(folder.write("weights.bin", bytes)));
    assert_eq!(file, "weights.bin");
    (tensor, fault)
}
