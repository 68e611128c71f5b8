//! The command line, and what follows from it.

use std::{collections::BTreeSet, fs, path::PathBuf};

use anomalygpt::{
    data::{Dataset, Draw, Folders, Layout},
    eval::Protocol,
};
use clap::{ArgAction, Parser, ValueEnum, builder::PossibleValuesParser};
use serde_json::{Value, json};

use crate::{Failure, methods::Method};

/// The list of VisA that is used if none is named.
const VISA_LIST: &str = "1cls";

/// Evaluate the embedded model, and the methods that the paper compares with, on a data set.
///
/// All methods see the same images through the same encoder, and each image is encoded once a round. Results go to the report and
/// beside it: REPORT.jsonl holds one row an image as it comes, and from it an interrupted run goes on when it is started again with
/// the same options; REPORT.json holds all results, REPORT.md the tables.
#[derive(Debug, Parser)]
#[command(name = "evaluate", after_help = "Exit codes: 0 done; 1 failed; 2 bad options; 3 done, but some images could not be evaluated.")]
pub(crate) struct Arguments {
    /// Folder of the data set, or of one of its classes.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// How the data set lies on disk.
    #[arg(long, value_name = "NAME", default_value = "mvtec", value_parser = PossibleValuesParser::new(Layout::NAMES))]
    pub(crate) format: String,
    /// Only these classes.
    #[arg(long, value_name = "NAME", num_args = 1..)]
    pub(crate) class: Vec<String>,
    /// VisA's list under split_csv, without ".csv".
    #[arg(long, value_name = "NAME", default_value = VISA_LIST)]
    pub(crate) visa_list: String,
    /// With --format folder: normal images to learn from [default: good].
    #[arg(long, value_name = "DIR", num_args = 1..)]
    pub(crate) normal_dir: Vec<PathBuf>,
    /// With --format folder: normal images to measure on [default: good_test].
    #[arg(long, value_name = "DIR", num_args = 1..)]
    pub(crate) normal_test_dir: Vec<PathBuf>,
    /// With --format folder: anomalous images [default: bad].
    #[arg(long, value_name = "DIR", num_args = 1..)]
    pub(crate) abnormal_dir: Vec<PathBuf>,
    /// With --format folder: their masks [default: masks].
    #[arg(long, value_name = "DIR", num_args = 1..)]
    pub(crate) mask_dir: Vec<PathBuf>,
    /// Numbers of normal images to compare with; 0 compares with text alone.
    #[arg(long, value_name = "K", num_args = 1.., default_values_t = [0, 1, 4])]
    pub(crate) shots: Vec<usize>,
    /// Rounds with other normal images each; with 0 of them there is one round.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,
    /// How normal images are drawn: at random by --seed, in each round others as long as there are any, or in the order of their names from ROUND * K on, as the paper does.
    #[arg(long, value_name = "HOW", default_value = "seeded")]
    pub(crate) draw: DrawKind,
    /// Draw normal images from this list instead: one round a line, names of files separated by tabs.
    #[arg(long, value_name = "FILE", conflicts_with = "draw")]
    pub(crate) normals: Option<PathBuf>,
    /// Seed of draws, and of what PaDiM and PatchCore choose at random.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Methods, or "all"; SPADE, PaDiM and PatchCore need normal images and have no row for 0.
    #[arg(long, value_name = "NAME", num_args = 1.., default_values = ["anomalygpt"])]
    pub(crate) method: Vec<MethodName>,
    /// Also the paper's ablation (Table 4): the decoder without the language model, the language model without the decoder.
    #[arg(long, action = ArgAction::SetTrue)]
    pub(crate) ablation: bool,
    /// How numbers are computed, one table each.
    #[arg(long, value_name = "NAME", num_args = 1.., default_values = ["mvtec-official", "anomalygpt-orig"], value_parser = PossibleValuesParser::new(Protocol::NAMES))]
    pub(crate) protocol: Vec<String>,
    /// What the images show, in words, for the language model and for text; {} is the class.
    #[arg(long, value_name = "TEXT")]
    pub(crate) describe: Option<String>,
    /// Where the report goes.
    #[arg(long, value_name = "FILE.html", default_value = "report.html")]
    pub(crate) report: PathBuf,
    /// Write each map into this folder, as a 32-bit float TIFF of the image's size.
    #[arg(long, value_name = "DIR")]
    pub(crate) maps: Option<PathBuf>,
    /// Only so many test images a class, evenly picked, for a quick look.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: Option<u32>,
    /// Stop at the first image that can't be evaluated, and at anything odd about the data set.
    #[arg(long)]
    pub(crate) strict: bool,
    /// Start anew, even if an interrupted run could be continued.
    #[arg(long)]
    pub(crate) restart: bool,
}

/// Names of methods, and the name of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum MethodName {
    Anomalygpt,
    Spade,
    Padim,
    Patchcore,
    Winclip,
    All,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DrawKind {
    Seeded,
    Fixed,
}

impl Arguments {
    /// The data set, of the classes that were asked for.
    pub(crate) fn dataset(&self) -> Result<Dataset, Failure> {
        let mut dataset = self.layout()?.open(&self.data)?;
        if !self.class.is_empty() {
            let classes = dataset.classes();
            if let Some(unknown) = self.class.iter().find(|class| !classes.contains(&class.as_str())) {
                return Err(Failure::Usage(format!("--class {unknown}: the data set has {}", classes.join(", "))));
            }
            dataset.samples.retain(|sample| self.class.contains(&sample.class));
        }
        Ok(dataset)
    }

    /// The report must be a file, and not one of those that are written beside it.
    pub(crate) fn check_report(&self) -> Result<(), Failure> {
        let ending = self.report.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
        let reason = match ending.as_str() {
            "json" | "jsonl" | "md" => "results, rows and tables are written beside the report under this ending; name it .html",
            _ if self.report.is_dir() || self.report.file_name().is_none() => "it is a folder",
            _ => return Ok(()),
        };
        Err(Failure::Usage(format!("--report {}: {reason}", self.report.display())))
    }

    fn layout(&self) -> Result<Layout, Failure> {
        let folders = [&self.normal_dir, &self.normal_test_dir, &self.abnormal_dir, &self.mask_dir];
        if self.format != "folder" && folders.iter().any(|folders| !folders.is_empty()) {
            return Err(Failure::Usage(format!("folders are named for --format folder only, not for {}", self.format)));
        }
        if self.format != "visa" && self.visa_list != VISA_LIST {
            return Err(Failure::Usage(format!("--visa-list is for --format visa only, not for {}", self.format)));
        }
        Ok(match self.format.as_str() {
            "visa" => Layout::Visa(self.visa_list.clone()),
            "folder" => {
                let Folders { normal, normal_test, abnormal, masks, .. } = Folders::default();
                let or = |named: &Vec<PathBuf>, default| if named.is_empty() { default } else { named.clone() };
                let [first, second, third, fourth] = folders;
                Layout::Folders(Folders::new(or(first, normal), or(second, normal_test), or(third, abnormal), or(fourth, masks)))
            }
            other => other.parse()?,
        })
    }

    /// How normal images are drawn.
    pub(crate) fn draw(&self) -> Result<Draw, Failure> {
        if let Some(path) = &self.normals {
            let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
            let names = |line: &str| line.split('\t').filter(|name| !name.is_empty()).map(str::to_owned).collect();
            return Ok(Draw::Listed(text.lines().map(names).collect()));
        }
        Ok(match self.draw {
            DrawKind::Fixed => Draw::Fixed,
            DrawKind::Seeded => Draw::Seeded(self.seed),
        })
    }

    /// All methods, each once.
    pub(crate) fn methods(&self) -> Vec<Method> {
        let mut methods = Vec::new();
        for name in &self.method {
            match name {
                MethodName::All => methods.extend(Method::COMPARED),
                MethodName::Anomalygpt => methods.push(Method::AnomalyGpt),
                MethodName::Spade => methods.push(Method::Spade),
                MethodName::Padim => methods.push(Method::Padim),
                MethodName::Patchcore => methods.push(Method::PatchCore),
                MethodName::Winclip => methods.push(Method::WinClip),
            }
        }
        if self.ablation {
            methods.extend(Method::ABLATION);
        }
        let mut seen = Vec::new();
        methods.retain(|method| {
            !seen.contains(method) && {
                seen.push(*method);
                true
            }
        });
        methods
    }

    /// All protocols, each once.
    pub(crate) fn protocols(&self) -> Result<Vec<Protocol>, Failure> {
        let mut seen = BTreeSet::new();
        let once = self.protocol.iter().filter(|name| seen.insert(name.as_str()));
        Ok(once.map(|name| name.parse()).collect::<Result<_, _>>()?)
    }

    /// What the images of a class show.
    pub(crate) fn description(&self, class: &str) -> Option<String> {
        self.describe.as_ref().map(|text| text.replace("{}", &class.replace('_', " ")))
    }

    /// All that the numbers depend on.
    pub(crate) fn fingerprint(&self, dataset: &Dataset) -> Value {
        let names = dataset.samples.iter().map(|sample| sample.name.as_str());
        let methods: Vec<&str> = self.methods().into_iter().map(Method::name).collect();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "data": self.data.display().to_string(),
            "format": self.format,
            "classes": dataset.classes(),
            "images": dataset.samples.len(),
            "names": format!("{:016x}", checksum(names)),
            "shots": self.shots,
            "rounds": self.rounds,
            "draw": self.normals.as_ref().map_or_else(|| format!("{:?}", self.draw).to_lowercase(), |path| path.display().to_string()),
            "seed": self.seed,
            "method": methods,
            "protocol": self.protocol,
            "describe": self.describe,
            "limit": self.limit,
            "maps": self.maps.as_ref().map(|path| path.display().to_string()),
        })
    }
}

/// FNV-1a, to see whether names are the same as before.
fn checksum<'a>(names: impl Iterator<Item = &'a str>) -> u64 {
    let bytes = names.flat_map(|name| name.bytes().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
