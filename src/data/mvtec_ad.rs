//! MVTec-AD (Bergmann et al. 2019) and what follows its layout:
//! `CLASS/{train/good/000.png, test/{good,KIND}/000.png, ground_truth/KIND/000_mask.png}`.

use std::path::Path;

use super::{
    Dataset, Split,
    tree::{Masks, Tree},
};
use crate::error::Result;

const TREE: Tree =
    Tree { splits: &[("train", Split::Train), ("test", Split::Test)], normal: "good", truth: "ground_truth", masks: Masks::File };

/// Lists all classes, or the one that `root` is.
pub(super) fn open(root: &Path) -> Result<Dataset> {
    TREE.open(root)
}
