//! Examples that are run as programs. Plain `cargo test` builds them before the tests.
#![allow(dead_code)] // Not every test has a use for all of it.

use std::{
    ffi::OsStr,
    path::PathBuf,
    process::{Command, Output},
};

/// The example `name`, which is built beside the folder of this test's executable: `target/PROFILE/{deps,examples}`.
pub(crate) fn path(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.ancestors().nth(2).unwrap().join("examples").join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(path.is_file(), "{} is missing: `cargo test` without `--test` builds it", path.display());
    path
}

/// Runs an example.
pub(crate) fn run<I: AsRef<OsStr>>(name: &str, arguments: impl IntoIterator<Item = I>) -> Output {
    Command::new(path(name)).args(arguments).output().unwrap()
}

/// What a program printed.
pub(crate) fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

/// What a program printed of errors and progress.
pub(crate) fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}
