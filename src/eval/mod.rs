//! How well a model does: exact metrics, named protocols, and a report people can look at.
//!
//! An [`Evaluator`] takes one [`Observation`] an image and a [`Protocol`], keeps no map, and ends in [`ProtocolResults`]: a
//! [`Scores`] a class, and their mean. [`report`] writes them as HTML, JSON and Markdown.
//!
//! # Rules
//!
//! - Labels are two: normal and anomalous. Equal scores are one threshold, so ties count half in AUROC and never depend on the order.
//! - A metric that the labels leave undefined is `None`, and is left out of means: AUROC without images (pixels) of both labels,
//!   AP and F1-max without an anomalous one, AUPRO without a region or without background.
//! - A normal image without a mask is background everywhere. An anomalous image without a mask has no truth about its pixels: it
//!   counts for image metrics alone, and so does an image without a map; [`ClassResults::without_pixels`] says how many there were.
//!   A mask that marks no pixel is background everywhere, whatever the image's label.
//! - Places and boxes are judged on anomalous images whose mask has a region. A place is right if it is that of the centroid of any
//!   true region. Each true box is matched with at most one found box, the best pairs first; found boxes without a pair cost nothing.
//! - Values that are not finite are an error, never a score.
//!
//! # Memory
//!
//! Pixel metrics use every pixel's score as a threshold, of any number of maps. Maps are not kept: their pixels become blocks of
//! sorted scores, stored as differences (one to two bytes a pixel), and blocks beyond [`Evaluator::memory_limit`] go to a
//! temporary file. In the end all blocks are read once, side by side, from the highest score to the lowest. A score is the `f32` it
//! was, so ties are exact, and results don't depend on the limit or on the order of images.

mod evaluator;
mod location;
mod mask;
mod metric;
mod order;
mod pixels;
mod protocol;
mod ranking;
pub mod report;
mod spool;
mod sweep;
mod verdicts;

use image::GrayImage;

use crate::{
    inspection::{AnomalyMap, Region, Verdict},
    place::Place,
};

pub use evaluator::{ClassResults, Curves, Evaluator, ProtocolResults};
pub use location::box_iou;
pub use metric::{Metric, Scores};
pub use pixels::{PixelMetrics, PixelRanking};
pub use protocol::{Averaging, ImageScore, MapSize, MaskResize, MaskRule, ProRule, Protocol};
pub use ranking::{Ranking, rank};
pub use verdicts::{Share, VerdictCounts};

/// What a model said of one image, and what is true of it.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    /// Class of the product; results are by class.
    pub class: &'a str,
    /// The true label.
    pub anomalous: bool,
    /// How anomalous the model finds the image.
    pub score: f32,
    /// How anomalous it finds each pixel, of the whole image.
    pub map: Option<&'a AnomalyMap>,
    /// What is anomalous in truth, as in the data set's file: black is normal. At the image's size.
    pub mask: Option<&'a GrayImage>,
    /// Whether the language model finds an anomaly.
    pub verdict: Option<Verdict>,
    /// The anomalous parts that the model found, in the image's pixels, the strongest first.
    pub regions: Option<&'a [Region]>,
    /// Where the model says the anomaly is; without it, the place of the strongest region.
    pub place: Option<Place>,
}

impl<'a> Observation<'a> {
    /// An image of a class with its true label and the model's score, and nothing else.
    pub fn new(class: &'a str, anomalous: bool, score: f32) -> Self {
        Self { class, anomalous, score, map: None, mask: None, verdict: None, regions: None, place: None }
    }
}
