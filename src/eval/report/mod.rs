//! Results of a run as data, and as files: HTML for people, JSON for programs, Markdown for a README.
//!
//! [`RunResults`] is all numbers and a row an image; it is saved and loaded as `results.json`. [`write_html`] makes one page of it and a
//! [`Gallery`], that needs no network and no script. Every file is written beside its place first, and then moved there: after a full
//! disk or an interruption the file is the old one or the whole new one.

mod cost;
mod curve;
mod gallery;
mod html;
mod markdown;
mod published;
mod table;
mod write;

use std::{fs::File, io::BufReader, path::Path};

use serde::{Deserialize, Serialize};

use super::{ProtocolResults, Scores};
use crate::{
    error::{Error, Result},
    inspection::Verdict,
};

pub use cost::Cost;
pub use gallery::{Card, Gallery, Ranked, best_hits, worst_misses};
pub use markdown::markdown;
pub use published::{PublishedResults, published};

/// A whole run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunResults {
    /// What was run, and with what.
    pub about: About,
    /// What was measured, in order of tables.
    pub methods: Vec<MethodResults>,
    /// Numbers from papers; nothing of them was run.
    pub published: Vec<PublishedResults>,
}

/// What was run, and with what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct About {
    /// Version of this crate.
    pub crate_version: String,
    /// The data set.
    pub dataset: String,
    /// The model.
    pub model: String,
    /// Where its tensors live.
    pub device: String,
    /// The command line.
    pub command: String,
    /// The seed that rounds start from.
    pub seed: u64,
    /// Anything else, as names and values.
    pub notes: Vec<(String, String)>,
    /// What is odd about the data set.
    pub problems: Vec<String>,
}

impl Default for About {
    fn default() -> Self {
        let text = String::new;
        Self {
            crate_version: env!("CARGO_PKG_VERSION").to_owned(),
            dataset: text(),
            model: text(),
            device: text(),
            command: text(),
            seed: 0,
            notes: Vec::new(),
            problems: Vec::new(),
        }
    }
}

/// A method with a number of normal images, over some rounds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MethodResults {
    /// The method's name.
    pub method: String,
    /// Normal images that it was given, of each class.
    pub shots: u32,
    /// Round by round, with other normal images in each.
    pub rounds: Vec<RoundResults>,
}

/// One round of a method.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RoundResults {
    /// Its number, from 0.
    pub round: u32,
    /// The seed that its normal images were drawn with.
    pub seed: u64,
    /// The normal images that it was given, of all classes, relative to the data set's folder.
    pub normals: Vec<String>,
    /// Seconds that it took.
    pub seconds: f64,
    /// Time an image and memory, where they were measured.
    pub cost: Option<Cost>,
    /// Its numbers, protocol by protocol.
    pub protocols: Vec<ProtocolResults>,
    /// A row an image.
    pub images: Vec<ImageResult>,
    /// What could not be evaluated.
    pub failures: Vec<Failure>,
}

/// What a method said of one image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageResult {
    /// The image, relative to the data set's folder.
    pub file: String,
    /// Its class.
    pub class: String,
    /// The true label: "normal" or "anomalous".
    #[serde(rename = "label", with = "label")]
    pub anomalous: bool,
    /// How anomalous the method finds it; finite.
    pub score: f32,
    /// Whether the language model finds an anomaly.
    pub verdict: Option<Verdict>,
    /// Its probability of "Yes" against "No", in `[0, 1]`.
    pub probability: Option<f32>,
    /// Its answer.
    pub answer: Option<String>,
    /// The mask's file, relative to the data set's folder.
    pub mask: Option<String>,
}

/// An image that could not be evaluated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Failure {
    /// The image, relative to the data set's folder.
    pub file: String,
    /// Why.
    pub reason: String,
}

impl MethodResults {
    /// Mean and standard deviation over rounds of a protocol's row, if a round has it.
    pub fn summary(&self, protocol: &str) -> Option<(Scores, Scores)> {
        let rows: Vec<Scores> = self.protocol(protocol).map(|results| results.mean).collect();
        (!rows.is_empty()).then(|| (Scores::mean(&rows), Scores::deviation(&rows)))
    }

    /// A protocol's numbers in each round that has them.
    fn protocol(&self, name: &str) -> impl Iterator<Item = &ProtocolResults> {
        self.rounds.iter().flat_map(|round| &round.protocols).filter(move |results| results.protocol.name == name)
    }
}

impl RunResults {
    /// Reads what [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// [`Error::Io`] where the file can't be read, [`Error::Results`] where it holds something else.
    pub fn load(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|source| Error::io(path, source))?;
        serde_json::from_reader(BufReader::new(file)).map_err(|source| Error::Results { path: path.into(), source: source.into() })
    }

    /// Writes all as JSON.
    ///
    /// # Errors
    /// [`Error::Io`] where the file can't be written; it is then as it was.
    pub fn save(&self, path: &Path) -> Result<()> {
        write::whole(path, |file| {
            serde_json::to_writer(&mut *file, self)?;
            file.write_all(b"\n")
        })
    }
}

/// Writes the page.
///
/// # Errors
/// [`Error::Io`] where the file can't be written; it is then as it was.
pub fn write_html(path: &Path, results: &RunResults, gallery: &Gallery) -> Result<()> {
    write::whole(path, |file| file.write_all(html::page(results, gallery).as_bytes()))
}

/// Writes the tables as Markdown.
///
/// # Errors
/// [`Error::Io`] where the file can't be written; it is then as it was.
pub fn write_markdown(path: &Path, results: &RunResults) -> Result<()> {
    write::whole(path, |file| file.write_all(markdown(results).as_bytes()))
}

/// A true label as in `results.json`.
mod label {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    const NAMES: [&str; 2] = ["normal", "anomalous"];

    // The signature is serde's.
    #[allow(clippy::trivially_copy_pass_by_ref)]
    pub(super) fn serialize<S: Serializer>(anomalous: &bool, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(NAMES[usize::from(*anomalous)])
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
        let name = String::deserialize(deserializer)?;
        NAMES.iter().position(|known| *known == name).map(|index| index == 1).ok_or_else(|| D::Error::unknown_variant(&name, &NAMES))
    }
}

#[cfg(test)]
mod tests;
