//! MVTec-AD 2 (Heckler-Kram et al. 2025):
//! `CLASS/{train/good, validation/good, test_public/{good,bad,ground_truth/bad/NAME_mask.png}}`.
//!
//! `test_private` and `test_private_mixed` have no labels (their authors' server scores them), and are left out.

use std::path::Path;

use super::{
    Dataset, Split,
    tree::{Masks, Tree},
};
use crate::error::Result;

const TREE: Tree = Tree {
    splits: &[("train", Split::Train), ("validation", Split::Validation), ("test_public", Split::Test)],
    normal: "good",
    truth: "test_public/ground_truth",
    masks: Masks::File,
};

/// Lists all classes, or the one that `root` is.
pub(super) fn open(root: &Path) -> Result<Dataset> {
    TREE.open(root)
}
