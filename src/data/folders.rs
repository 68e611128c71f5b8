//! One's own photographs in folders: normal ones to learn from, normal and anomalous ones to measure on, and masks.
//!
//! Only images directly in a folder are seen. A mask has its photograph's name, or that and "_mask"; where two anomalous
//! photographs go by one name, neither is given a mask.

use std::path::{Path, PathBuf};

use super::{
    Dataset, Label, MaskValues, Sample, Split,
    tree::{class_name, file_name, images, mask_files, name_under},
};
use crate::error::Result;

/// Which folders hold what; each is under the data set's folder, or absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Folders {
    /// Normal photographs to learn from.
    pub normal: Vec<PathBuf>,
    /// Normal photographs to measure on.
    pub normal_test: Vec<PathBuf>,
    /// Anomalous photographs to measure on.
    pub abnormal: Vec<PathBuf>,
    /// Masks of the anomalous ones.
    pub masks: Vec<PathBuf>,
}

impl Default for Folders {
    /// `good`, `good_test`, `bad` and `masks`.
    fn default() -> Self {
        let folder = |name: &str| vec![PathBuf::from(name)];
        Self { normal: folder("good"), normal_test: folder("good_test"), abnormal: folder("bad"), masks: folder("masks") }
    }
}

impl Folders {
    /// Folders of each sort.
    pub fn new(normal: Vec<PathBuf>, normal_test: Vec<PathBuf>, abnormal: Vec<PathBuf>, masks: Vec<PathBuf>) -> Self {
        Self { normal, normal_test, abnormal, masks }
    }

    /// Lists one class, which is called after the folder.
    pub(super) fn open(&self, root: &Path) -> Result<Dataset> {
        let (mut samples, mut problems) = (Vec::new(), Vec::new());
        let class = class_name(root);
        let mut push = |image: PathBuf, masks: Vec<PathBuf>, label: Label, split: Split| {
            let (name, kind) = (name_under(root, &image), image.parent().map(file_name).unwrap_or_default());
            samples.push(Sample { name, class: class.clone(), kind, label, split, image, masks, mask_values: MaskValues::Grey });
        };
        listed(root, &self.normal)?.into_iter().for_each(|image| push(image, vec![], Label::Normal, Split::Train));
        listed(root, &self.normal_test)?.into_iter().for_each(|image| push(image, vec![], Label::Normal, Split::Test));
        let abnormal = listed(root, &self.abnormal)?;
        let masks = mask_files(&listed(root, &self.masks)?, &abnormal, &mut problems);
        abnormal.into_iter().zip(masks).for_each(|(image, masks)| push(image, masks, Label::Anomalous, Split::Test));
        Dataset::new(root, samples, problems)
    }
}

fn listed(root: &Path, folders: &[PathBuf]) -> Result<Vec<PathBuf>> {
    folders.iter().try_fold(Vec::new(), |mut all, folder| {
        all.extend(images(&root.join(folder))?);
        Ok(all)
    })
}
