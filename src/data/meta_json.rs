//! A `meta.json` beside the images, as APRIL-GAN, AnomalyCLIP and others prepare their data sets:
//! `{"train": {CLASS: [{img_path, mask_path, cls_name, specie_name, anomaly}]}, "test": {...}}`, paths relative to its folder.

use std::{
    collections::BTreeMap,
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{Dataset, Label, MaskValues, Problem, Sample, Split};
use crate::error::{Error, Result};

const FILE: &str = "meta.json";

#[derive(Debug, Deserialize)]
struct Meta {
    #[serde(default)]
    train: BTreeMap<String, Vec<Entry>>,
    #[serde(default)]
    test: BTreeMap<String, Vec<Entry>>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    img_path: String,
    #[serde(default)]
    mask_path: Option<String>,
    #[serde(default)]
    specie_name: Option<String>,
    anomaly: u8,
}

/// Lists what `meta.json` names.
pub(super) fn open(root: &Path) -> Result<Dataset> {
    let path = root.join(FILE);
    let file = File::open(&path).map_err(|source| Error::io(&path, source))?;
    let meta: Meta = serde_json::from_reader(BufReader::new(file)).map_err(|error| Error::dataset(&path, error.to_string()))?;
    let mut list = List { root, path, samples: Vec::new(), problems: Vec::new() };
    for (split, classes) in [(Split::Train, meta.train), (Split::Test, meta.test)] {
        for (class, entries) in classes {
            entries.into_iter().try_for_each(|entry| list.push(split, &class, entry))?;
        }
    }
    Dataset::new(root, list.samples, list.problems)
}

struct List<'a> {
    root: &'a Path,
    path: PathBuf,
    samples: Vec<Sample>,
    problems: Vec<Problem>,
}

impl List<'_> {
    fn push(&mut self, split: Split, class: &str, entry: Entry) -> Result<()> {
        let label = match entry.anomaly {
            0 => Label::Normal,
            1 => Label::Anomalous,
            other => return Err(Error::dataset(&self.path, format!("the anomaly of {} is {other}, not 0 or 1", entry.img_path))),
        };
        let image = self.root.join(&entry.img_path);
        if !image.is_file() {
            self.problems.push(Problem::MissingImage { image: image.clone(), list: self.path.clone() });
        }
        let mut masks = Vec::new();
        if label == Label::Anomalous {
            let mask = entry.mask_path.filter(|path| !path.is_empty()).map(|path| self.root.join(path)).filter(|path| path.is_file());
            match mask {
                Some(mask) => masks.push(mask),
                None => self.problems.push(Problem::MissingMask { image: image.clone() }),
            }
        }
        let kind = entry.specie_name.unwrap_or_else(|| label.to_string());
        let (name, class) = (entry.img_path, class.to_owned());
        self.samples.push(Sample { name, class, kind, label, split, image, masks, mask_values: MaskValues::Grey });
        Ok(())
    }
}
