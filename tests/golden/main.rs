//! Parity with the PyTorch reference, on the part of the golden set `tiny-a` that `make_subset.py` cuts out.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[cfg(feature = "train")]
mod poisson;
