//! MVTec-LOCO (Bergmann et al. 2022): as MVTec-AD, with a validation split and a folder of masks an image:
//! `CLASS/{train/good, validation/good, test/{good,logical_anomalies,structural_anomalies}/000.png, ground_truth/KIND/000/000.png}`.
//!
//! Each mask is one defect, and its value names the kind of it. They are joined here, and AUPRO is of the joined masks; the sPRO of
//! LOCO's authors, which caps each defect's overlap by a threshold of its own (`defects_config.json`), is not computed.

use std::path::Path;

use super::{
    Dataset, Split,
    tree::{Masks, Tree},
};
use crate::error::Result;

const TREE: Tree = Tree {
    splits: &[("train", Split::Train), ("validation", Split::Validation), ("test", Split::Test)],
    normal: "good",
    truth: "ground_truth",
    masks: Masks::Folder,
};

/// Lists all classes, or the one that `root` is.
pub(super) fn open(root: &Path) -> Result<Dataset> {
    TREE.open(root)
}
