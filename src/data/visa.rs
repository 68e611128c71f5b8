//! VisA (Zou et al. 2022) as published: `split_csv/{1cls,2cls_fewshot,2cls_highshot}.csv` under the data set's folder, with
//! the columns `object,split,label,image,mask`; paths are relative to that folder, and masks hold numbers of defects.
//!
//! VisA prepared for one-class use has MVTec-AD's layout.

use std::path::Path;

use serde::Deserialize;

use super::{Dataset, Label, MaskValues, Problem, Sample, Split};
use crate::error::{Error, Result};

/// The list with normal photographs only for training.
pub(super) const ONE_CLASS: &str = "1cls";

/// A row of a list.
#[derive(Debug, Deserialize)]
struct Row {
    object: String,
    split: String,
    label: String,
    image: String,
    #[serde(default)]
    mask: String,
}

/// Lists what `split_csv/LIST.csv` names.
pub(super) fn open(root: &Path, list: &str) -> Result<Dataset> {
    let path = root.join("split_csv").join(format!("{list}.csv"));
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(&path).map_err(|error| unreadable(&path, error))?;
    let (mut samples, mut problems) = (Vec::new(), Vec::new());
    for row in reader.deserialize() {
        let row: Row = row.map_err(|error| unreadable(&path, error))?;
        samples.push(sample(root, &path, row, &mut problems)?);
    }
    Dataset::new(root, samples, problems)
}

fn sample(root: &Path, list: &Path, row: Row, problems: &mut Vec<Problem>) -> Result<Sample> {
    let unknown = |column: &str, value: &str| Error::dataset(list, format!("the {column} of {} is {value:?}", row.image));
    let split = match row.split.as_str() {
        "train" => Split::Train,
        "test" => Split::Test,
        other => return Err(unknown("split", other)),
    };
    let label = match row.label.as_str() {
        "normal" => Label::Normal,
        "anomaly" => Label::Anomalous,
        other => return Err(unknown("label", other)),
    };
    let image = root.join(&row.image);
    if !image.is_file() {
        problems.push(Problem::MissingImage { image: image.clone(), list: list.into() });
    }
    let mut masks = Vec::new();
    if label == Label::Anomalous {
        let mask = root.join(&row.mask);
        match mask.is_file() {
            true => masks.push(mask),
            false => problems.push(Problem::MissingMask { image: image.clone() }),
        }
    }
    let kind = row.label;
    Ok(Sample { name: row.image, class: row.object, kind, label, split, image, masks, mask_values: MaskValues::Ids })
}

fn unreadable(path: &Path, error: csv::Error) -> Error {
    let text = error.to_string();
    match error.into_kind() {
        csv::ErrorKind::Io(source) => Error::io(path, source),
        _ => Error::dataset(path, text),
    }
}
