//! Photographs with labels and masks: public data sets as they lie on disk, and one's own folders.
//!
//! A [`Dataset`] is a sorted list of [`Sample`]s; nothing is decoded until [`Sample::read`], or a [`Loader`] that decodes on
//! threads of its own, a few photographs ahead. Layouts look at the names of whole folders and files only, never at parts of a
//! path, so any class works. What is odd but not fatal is listed in [`Dataset::problems`].
//!
//! Rules: masks are joined where there are several, and pixels under any of them are anomalous. A mask of another size than
//! its photograph is brought to that size by picking the nearest pixel, where its aspect ratio is the same within 2 %, and is
//! refused otherwise. An anomalous photograph without a mask counts for images and not for pixels. Photographs are read as
//! they are stored, without the camera's orientation, since masks were drawn so.

mod btad;
mod folders;
mod loader;
mod meta_json;
mod mvtec_ad;
mod mvtec_ad_2;
mod mvtec_loco;
mod problem;
mod shots;
mod table;
#[cfg(test)]
mod tests;
mod tree;
mod visa;

use std::{
    collections::BTreeSet,
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use crate::error::{Error, Result};

pub use folders::Folders;
pub use loader::{Loader, Photograph};
pub use problem::Problem;
pub use shots::Draw;

/// What a photograph shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
pub enum Label {
    /// A good part.
    Normal,
    /// A part with an anomaly.
    Anomalous,
}

impl fmt::Display for Label {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Normal => "normal",
            Self::Anomalous => "anomalous",
        })
    }
}

/// What a photograph is meant for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Split {
    /// To learn from, or to take reference photographs from.
    Train,
    /// To set thresholds on.
    Validation,
    /// To measure on.
    Test,
}

/// What a mask's values say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MaskValues {
    /// From 0, normal, to 255, anomalous; grey between, and a protocol says from where on it counts.
    #[default]
    Grey,
    /// Numbers of defects: everything but 0 is anomalous.
    Ids,
}

/// One photograph of a data set, not yet read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sample {
    /// Path under the data set's folder with `/` between its parts; no other sample has it.
    pub name: String,
    /// The product.
    pub class: String,
    /// The kind of defect by the name of its folder; "good" or the like for normal photographs.
    pub kind: String,
    /// What it shows.
    pub label: Label,
    /// What it is meant for.
    pub split: Split,
    /// The photograph.
    pub image: PathBuf,
    /// Its masks; none where it is normal or nobody drew one.
    pub masks: Vec<PathBuf>,
    /// What the masks' values say.
    pub mask_values: MaskValues,
}

/// Photographs in the order of split, class and name.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Dataset {
    /// The folder that samples are named under.
    pub root: PathBuf,
    /// All samples, by class, split and name.
    pub samples: Vec<Sample>,
    /// What is odd about it.
    pub problems: Vec<Problem>,
}

impl Dataset {
    /// A data set of samples in any order. Repeated samples are left out; these and classes with one label only are listed
    /// among the problems.
    ///
    /// # Errors
    /// [`Error::Dataset`] for no samples.
    pub fn new(root: impl Into<PathBuf>, mut samples: Vec<Sample>, mut problems: Vec<Problem>) -> Result<Self> {
        let root = root.into();
        if samples.is_empty() {
            return Err(Error::dataset(root, "it holds no images"));
        }
        samples.sort_by(|left, right| (&left.class, left.split, &left.name).cmp(&(&right.class, right.split, &right.name)));
        samples.dedup_by(|second, first| {
            let same = (&second.class, second.split, &second.name) == (&first.class, first.split, &first.name);
            if same {
                problems.push(Problem::Repeated { image: first.image.clone() });
            }
            same
        });
        let mut dataset = Self { root, samples, problems };
        dataset.check_labels();
        Ok(dataset)
    }

    /// Names of the classes, sorted.
    pub fn classes(&self) -> Vec<&str> {
        self.samples.iter().map(|sample| sample.class.as_str()).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The samples of a class and split, by name.
    pub fn of(&self, class: &str, split: Split) -> Vec<&Sample> {
        self.samples.iter().filter(|sample| sample.class == class && sample.split == split).collect()
    }

    /// The normal photographs of a class to learn from, by name.
    pub fn normals(&self, class: &str) -> Vec<&Sample> {
        self.of(class, Split::Train).into_iter().filter(|sample| sample.label == Label::Normal).collect()
    }

    fn check_labels(&mut self) {
        let mut found = Vec::new();
        for class in self.classes() {
            let labels: BTreeSet<Label> = self.of(class, Split::Test).iter().map(|sample| sample.label).collect();
            if let (Some(&label), 1) = (labels.first(), labels.len()) {
                found.push(Problem::OneLabel { class: class.into(), label });
            }
            if labels.is_empty() {
                found.push(Problem::NoTest { class: class.into() });
            }
            if self.normals(class).is_empty() {
                found.push(Problem::NoNormals { class: class.into() });
            }
        }
        self.problems.extend(found);
    }
}

/// How a data set lies on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Layout {
    /// `CLASS/{train/good, test/{good,KIND}, ground_truth/KIND/NAME_mask.png}`: MVTec-AD, MPDD, VisA prepared for one-class use.
    MvtecAd,
    /// [`MvtecAd`](Self::MvtecAd) with a folder of masks an image: MVTec-LOCO.
    MvtecLoco,
    /// `CLASS/{train,validation,test_public}`: MVTec-AD 2. Its private tests have no labels and are left out.
    MvtecAd2,
    /// VisA as published, by one of its lists, `split_csv/NAME.csv`: "1cls", "2cls_fewshot" or "2cls_highshot".
    Visa(String),
    /// `CLASS/{train/ok, test/{ok,ko}, ground_truth/ko/NAME.png}`: BTAD.
    Btad,
    /// A `meta.json` beside the images, as CLIP-based methods use it.
    MetaJson,
    /// Folders of one's own.
    Folders(Folders),
}

impl Layout {
    /// The names that [`Layout::from_str`] knows.
    pub const NAMES: [&str; 8] = ["mvtec", "visa", "visa-1cls", "mvtec-loco", "mvtec-ad-2", "btad", "meta-json", "folder"];

    /// Lists a data set; `root` is its folder, or for layouts with folders by class one class's folder.
    ///
    /// # Errors
    /// [`Error::Io`] for a folder that can't be read, [`Error::Dataset`] where nothing is as the layout says.
    pub fn open(&self, root: impl AsRef<Path>) -> Result<Dataset> {
        let root = root.as_ref();
        match self {
            Self::MvtecAd => mvtec_ad::open(root),
            Self::MvtecLoco => mvtec_loco::open(root),
            Self::MvtecAd2 => mvtec_ad_2::open(root),
            Self::Visa(list) => visa::open(root, list),
            Self::Btad => btad::open(root),
            Self::MetaJson => meta_json::open(root),
            Self::Folders(folders) => folders.open(root),
        }
    }
}

/// A layout by its name in [`Layout::NAMES`]; `visa` takes the list `1cls`, `folder` the folders of [`Folders::default`].
impl FromStr for Layout {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Ok(match name {
            "mvtec" | "visa-1cls" => Self::MvtecAd,
            "visa" => Self::Visa(visa::ONE_CLASS.into()),
            "mvtec-loco" => Self::MvtecLoco,
            "mvtec-ad-2" => Self::MvtecAd2,
            "btad" => Self::Btad,
            "meta-json" => Self::MetaJson,
            "folder" => Self::Folders(Folders::default()),
            other => {
                let reason = format!("{other:?} is none of {}", Self::NAMES.join(", "));
                return Err(Error::InvalidConfig { what: "data set layout", reason: reason.into() });
            }
        })
    }
}
