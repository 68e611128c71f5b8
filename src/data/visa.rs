//! VisA (Zou et al. 2022) as published: `split_csv/{1cls,2cls_fewshot,2cls_highshot}.csv` under the data set's folder, with
//! the columns `object,split,label,image,mask`; paths are relative to that folder, and masks hold numbers of defects.
//!
//! VisA prepared for one-class use has MVTec-AD's layout.

use std::path::Path;

use super::{Dataset, Label, MaskValues, Problem, Sample, Split, table::columns};
use crate::error::{Error, Result};

/// The list with normal photographs only for training.
pub(super) const ONE_CLASS: &str = "1cls";

/// Lists what `split_csv/LIST.csv` names.
pub(super) fn open(root: &Path, list: &str) -> Result<Dataset> {
    let path = root.join("split_csv").join(format!("{list}.csv"));
    let mut problems = Vec::new();
    let rows = columns(&path, ["object", "split", "label", "image", "mask"])?.into_iter();
    let samples = rows.map(|row| sample(root, &path, row, &mut problems)).collect::<Result<Vec<_>>>()?;
    Dataset::new(root, samples, problems)
}

fn sample(root: &Path, list: &Path, row: [String; 5], problems: &mut Vec<Problem>) -> Result<Sample> {
    let [class, split, label, name, mask] = row;
    let unknown = |column: &str, value: &str| Error::dataset(list, format!("the {column} of {} is {value:?}", name));
    let split = match split.as_str() {
        "train" => Split::Train,
        "test" => Split::Test,
        other => return Err(unknown("split", other)),
    };
    let kind = label;
    let label = match kind.as_str() {
        "normal" => Label::Normal,
        "anomaly" => Label::Anomalous,
        other => return Err(unknown("label", other)),
    };
    let image = root.join(&name);
    if !image.is_file() {
        problems.push(Problem::MissingImage { image: image.clone(), list: list.into() });
    }
    let mut masks = Vec::new();
    if label == Label::Anomalous {
        let mask = root.join(&mask);
        match mask.is_file() {
            true => masks.push(mask),
            false => problems.push(Problem::MissingMask { image: image.clone() }),
        }
    }
    Ok(Sample { name, class, kind, label, split, image, masks, mask_values: MaskValues::Ids })
}
