//! BTAD (Mishra et al. 2021): `CLASS/{train/ok, test/{ok,ko}, ground_truth/ko/NAME.png}`, with classes 01, 02 and 03; images
//! and masks are PNG or BMP.

use std::path::Path;

use super::{
    Dataset, Split,
    tree::{Masks, Tree},
};
use crate::error::Result;

const TREE: Tree =
    Tree { splits: &[("train", Split::Train), ("test", Split::Test)], normal: "ok", truth: "ground_truth", masks: Masks::File };

/// Lists all classes, or the one that `root` is.
pub(super) fn open(root: &Path) -> Result<Dataset> {
    TREE.open(root)
}
