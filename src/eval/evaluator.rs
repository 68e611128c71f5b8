//! One image at a time to a table of classes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Averaging, ImageScore, MapSize, Metric, Observation, PixelMetrics, Protocol, Scores, VerdictCounts,
    location::Location,
    mask::{TrueRegion, true_regions},
    ranking::rank,
};
use crate::{
    error::{Error, Result},
    inspection::AnomalyMap,
};

const MEMORY_LIMIT: usize = 512 << 20;

/// Takes observations, image by image and class by class in any order; ends in a protocol's numbers.
///
/// ```
/// use anomalygpt::{AnomalyMap, eval::{Evaluator, Observation, Protocol}};
///
/// let mut evaluator = Evaluator::new(&Protocol::mvtec_official());
/// let map = AnomalyMap::new(2, 1, vec![0.1, 0.9])?;
/// let mask = image::GrayImage::from_raw(2, 1, vec![0, 255]);
/// evaluator.add(&Observation { map: Some(&map), mask: mask.as_ref(), ..Observation::new("nut", true, 0.9) })?;
/// evaluator.add(&Observation::new("nut", false, 0.2))?;
/// let results = evaluator.finish()?;
/// assert_eq!((results.mean.image_auroc, results.mean.pixel_aupro), (Some(1.0), Some(1.0)));
/// # Ok::<(), anomalygpt::Error>(())
/// ```
#[derive(Debug)]
pub struct Evaluator {
    protocol: Protocol,
    memory_limit: usize,
    classes: BTreeMap<String, Class>,
}

/// What is kept of a class.
#[derive(Debug)]
struct Class {
    scored: Vec<(f32, bool)>,
    pixels: PixelMetrics,
    without_pixels: u64,
    verdicts: VerdictCounts,
    location: Location,
}

/// The numbers of one protocol.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ProtocolResults {
    /// The protocol.
    pub protocol: Protocol,
    /// Class by class, in order of names.
    pub classes: Vec<ClassResults>,
    /// The mean over classes, by the protocol's [`Averaging`].
    pub mean: Scores,
    /// All classes' verdicts together.
    pub verdicts: VerdictCounts,
}

impl ProtocolResults {
    /// The numbers of classes, which may come of several evaluations, and their mean.
    pub fn new(protocol: Protocol, mut classes: Vec<ClassResults>) -> Self {
        classes.sort_by(|left, right| left.class.cmp(&right.class));
        let mean = protocol.averaging.mean(&classes.iter().map(|class| class.scores).collect::<Vec<_>>());
        let verdicts = classes.iter().fold(VerdictCounts::default(), |sum, class| sum.plus(class.verdicts));
        Self { protocol, classes, mean, verdicts }
    }
}

/// The numbers of one class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ClassResults {
    /// The class.
    pub class: String,
    /// Normal images.
    pub normal: u64,
    /// Anomalous images.
    pub anomalous: u64,
    /// Images that pixel metrics leave out: they have no map, or are anomalous and have no mask.
    pub without_pixels: u64,
    /// A value for each metric.
    pub scores: Scores,
    /// Verdicts in words.
    pub verdicts: VerdictCounts,
    /// The image score from which on F1 is highest.
    pub image_threshold: Option<f32>,
    /// The pixel score from which on F1 is highest.
    pub pixel_threshold: Option<f32>,
    /// Curves for drawing.
    pub curves: Curves,
}

/// Points (false positive rate, and what is named), both in `[0, 1]`, thinned out for drawing; empty where undefined.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Curves {
    /// True positive rate of images.
    pub image_roc: Vec<[f64; 2]>,
    /// True positive rate of pixels.
    pub pixel_roc: Vec<[f64; 2]>,
    /// Mean overlap of regions.
    pub pro: Vec<[f64; 2]>,
}

impl Evaluator {
    /// Nothing seen yet.
    pub fn new(protocol: &Protocol) -> Self {
        Self { protocol: protocol.clone(), memory_limit: MEMORY_LIMIT, classes: BTreeMap::new() }
    }

    /// Keeps at most about so many bytes of pixels in memory (512 MiB without this), and the rest in temporary files.
    pub fn memory_limit(mut self, bytes: usize) -> Self {
        self.memory_limit = bytes;
        self
    }

    /// Adds an image. After an error nothing of it is kept.
    ///
    /// # Errors
    /// [`Error::NotFinite`] for a score that is not a number; [`Error::InvalidConfig`] where the protocol takes the image's score from
    /// its map and there is none, or its size has no pixels; [`Error::Io`] where the temporary file can't be written.
    pub fn add(&mut self, observation: &Observation<'_>) -> Result<()> {
        let map = observation.map.map(|map| self.resized(map, observation)).transpose()?;
        let score = self.image_score(observation, map.as_ref())?;
        let truth = observation.mask.map(|mask| {
            let (width, height) = mask.dimensions();
            true_regions(width, &self.protocol.mask.apply(mask, width, height))
        });
        let class = self.classes.entry(observation.class.to_owned()).or_insert_with(|| Class::new(&self.protocol));
        match map {
            Some(map) if observation.mask.is_some() || !observation.anomalous => {
                let anomalous = match observation.mask {
                    Some(mask) => self.protocol.mask.apply(mask, map.width(), map.height()),
                    None => vec![false; map.values().len()],
                };
                class.pixels.take(&map, &anomalous)?;
            }
            _ => class.without_pixels += 1,
        }
        class.scored.push((score, observation.anomalous));
        if let Some(verdict) = observation.verdict {
            class.verdicts.add(observation.anomalous, verdict);
        }
        if let Some(truth) = truth.filter(|truth| observation.anomalous && !truth.is_empty()) {
            class.locate(observation, &truth);
        }
        self.keep_within_limit()
    }

    /// The numbers of all classes.
    ///
    /// # Errors
    /// [`Error::Io`] where a temporary file can't be read.
    pub fn finish(self) -> Result<ProtocolResults> {
        let classes = self.classes.into_iter().map(|(name, class)| class.finish(name)).collect::<Result<Vec<_>>>()?;
        Ok(ProtocolResults::new(self.protocol, classes))
    }

    fn resized(&self, map: &AnomalyMap, observation: &Observation<'_>) -> Result<AnomalyMap> {
        let size = match (self.protocol.size, observation.mask) {
            (MapSize::Square(side), _) => (side, side),
            (MapSize::Image, Some(mask)) => mask.dimensions(),
            (MapSize::Image, None) => (map.width(), map.height()),
        };
        if size == (map.width(), map.height()) { Ok(map.clone()) } else { map.resize(size.0, size.1) }
    }

    fn image_score(&self, observation: &Observation<'_>, map: Option<&AnomalyMap>) -> Result<f32> {
        let score = match (self.protocol.image_score, map) {
            (ImageScore::Model, _) => observation.score,
            (ImageScore::MapMax, Some(map)) => map.max(),
            (ImageScore::MapMax, None) => {
                let reason = format!("{} takes an image's score from its map, and there is none", self.protocol.name);
                return Err(Error::InvalidConfig { what: "observation", reason: reason.into() });
            }
        };
        if score.is_finite() { Ok(score) } else { Err(Error::NotFinite { component: "image score", count: 1, first: 0 }) }
    }

    fn keep_within_limit(&mut self) -> Result<()> {
        let bytes = |class: &Class| class.pixels.bytes();
        while self.classes.values().map(bytes).sum::<usize>() > self.memory_limit {
            match self.classes.values_mut().max_by_key(|class| bytes(class)) {
                Some(largest) => largest.pixels.spill()?,
                None => break,
            }
        }
        Ok(())
    }
}

impl Class {
    fn new(protocol: &Protocol) -> Self {
        Self {
            scored: Vec::new(),
            pixels: PixelMetrics::new(protocol.pro),
            without_pixels: 0,
            verdicts: VerdictCounts::default(),
            location: Location::default(),
        }
    }

    fn locate(&mut self, observation: &Observation<'_>, truth: &[TrueRegion]) {
        let strongest = observation.regions.and_then(|regions| regions.first()).map(|region| region.place);
        if observation.place.is_some() || observation.regions.is_some() {
            self.location.add_place(truth, observation.place.or(strongest));
        }
        if let Some(regions) = observation.regions {
            self.location.add_boxes(truth, regions);
        }
    }

    fn finish(self, class: String) -> Result<ClassResults> {
        let anomalous = self.scored.iter().filter(|(_, anomalous)| *anomalous).count() as u64;
        let normal = self.scored.len() as u64 - anomalous;
        let image = rank(self.scored)?;
        let pixel = self.pixels.finish()?;
        let verdicts = self.verdicts;
        let scores = Scores {
            image_auroc: image.auroc,
            image_ap: image.ap,
            image_f1_max: image.f1_max,
            pixel_auroc: pixel.ranking.auroc,
            pixel_ap: pixel.ranking.ap,
            pixel_f1_max: pixel.ranking.f1_max,
            pixel_aupro: pixel.aupro,
            accuracy: verdicts.accuracy().map(|share| share.value),
            good_rejected: verdicts.rejection_rate().map(|share| share.value),
            bad_passed: verdicts.miss_rate().map(|share| share.value),
            place_accuracy: self.location.place_accuracy(),
            box_iou: self.location.box_iou(),
        };
        Ok(ClassResults {
            class,
            normal,
            anomalous,
            without_pixels: self.without_pixels,
            scores,
            verdicts,
            image_threshold: image.f1_threshold,
            pixel_threshold: pixel.ranking.f1_threshold,
            curves: Curves { image_roc: image.roc, pixel_roc: pixel.ranking.roc, pro: pixel.pro },
        })
    }
}

impl Averaging {
    /// The mean over classes, each metric over those classes that define it.
    pub fn mean(self, classes: &[Scores]) -> Scores {
        match self {
            Self::Macro => Scores::mean(classes),
            Self::MacroRounded { decimals } => {
                let rounded: Vec<Scores> = classes.iter().map(|scores| rounded(scores, decimals.into())).collect();
                Scores::mean(&rounded)
            }
        }
    }
}

/// Every value as a percentage with so many decimals, ties to even as Python rounds.
fn rounded(scores: &Scores, decimals: usize) -> Scores {
    let round = |value: f64| format!("{:.decimals$}", 100.0 * value).parse().map_or(value, |percent: f64| percent / 100.0);
    Metric::ALL.iter().fold(*scores, |all, &metric| all.with(metric, scores.get(metric).map(round)))
}
