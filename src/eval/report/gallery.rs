//! Photographs to look at: the worst mistakes and the clearest finds.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use image::{DynamicImage, GrayImage, RgbImage, codecs::jpeg::JpegEncoder, imageops::thumbnail};

use super::ImageResult;
use crate::{
    error::{Error, Result},
    inspection::{AnomalyMap, Region, Verdict},
};

/// Longest side of a picture in pixels.
const SIDE: u32 = 360;
const JPEG_QUALITY: u8 = 82;

/// Photographs with what was said of them.
#[derive(Clone, Debug, Default)]
pub struct Gallery {
    /// Which method and round the cards are of.
    pub caption: String,
    /// The worst mistake first.
    pub misses: Vec<Card>,
    /// The clearest find first.
    pub hits: Vec<Card>,
}

/// A photograph, what is true of it, and what was said of it; pictures are scaled down and encoded.
#[derive(Clone, Debug)]
pub struct Card {
    /// What was said.
    pub result: ImageResult,
    /// The share of the other label's images that it is on the wrong side of, in `[0, 1]`.
    pub wrongness: f64,
    photograph: String,
    mask: Option<String>,
    heat: Option<String>,
}

impl Card {
    /// A card with pictures. `mask`, `map` and `regions` are of the photograph's size.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for an image without pixels, [`Error::Component`] where a picture can't be encoded.
    pub fn new(
        (result, wrongness): (ImageResult, f64),
        photograph: &RgbImage,
        mask: Option<&GrayImage>,
        found: Option<(&AnomalyMap, &[Region])>,
    ) -> Result<Self> {
        let heat = found.map(|(map, regions)| map.overlay(photograph, regions)).transpose()?;
        Ok(Self {
            result,
            wrongness,
            photograph: picture(&DynamicImage::ImageRgb8(photograph.clone()))?,
            mask: mask.map(|mask| picture(&DynamicImage::ImageLuma8(visible(mask)))).transpose()?,
            heat: heat.map(|heat| picture(&DynamicImage::ImageRgb8(heat))).transpose()?,
        })
    }

    /// Pictures with their names, as data URIs.
    pub(super) fn pictures(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let others = [("mask", &self.mask), ("heat map", &self.heat)];
        let others = others.into_iter().filter_map(|(name, picture)| picture.as_deref().map(|picture| (name, picture)));
        [("photograph", self.photograph.as_str())].into_iter().chain(others)
    }
}

/// Masks that hold numbers of defects would look black.
fn visible(mask: &GrayImage) -> GrayImage {
    let highest = mask.iter().copied().max().unwrap_or(0).max(1);
    let mut visible = mask.clone();
    visible.iter_mut().for_each(|level| *level = (u16::from(*level) * 255 / u16::from(highest)) as u8);
    visible
}

fn picture(image: &DynamicImage) -> Result<String> {
    let (width, height) = (image.width(), image.height());
    if width == 0 || height == 0 {
        return Err(Error::InvalidConfig { what: "picture", reason: format!("{width}x{height} pixels are none").into() });
    }
    let scale = f64::from(SIDE) / f64::from(width.max(height));
    let side = |side: u32| ((f64::from(side) * scale).round() as u32).max(1);
    let small = if scale < 1.0 { thumbnail(&image.to_rgb8(), side(width), side(height)) } else { image.to_rgb8() };
    let mut jpeg = Vec::new();
    let encoded = JpegEncoder::new_with_quality(&mut jpeg, JPEG_QUALITY).encode_image(&small);
    encoded.map_err(|source| Error::component("JPEG encoder", source))?;
    Ok(format!("data:image/jpeg;base64,{}", STANDARD.encode(jpeg)))
}

/// An image of a list, and how wrong its score is.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Ranked {
    /// Where it stands in the list.
    pub index: usize,
    /// The share of the other label's images of its class that it is on the wrong side of, in `[0, 1]`, ties half.
    pub wrongness: f64,
}

/// The images that a method gets most wrong, the worst first: scores on the wrong side of the most images of the other label; among
/// equals, wrong verdicts first, the surest first. Images that nothing is wrong with are left out.
pub fn worst_misses(images: &[ImageResult], count: usize) -> Vec<Ranked> {
    let mut ranked = ranked(images);
    ranked.retain(|rank| rank.wrongness > 0.0 || verdict_error(&images[rank.index]) > 0.0);
    let key = |rank: &Ranked| (rank.wrongness, verdict_error(&images[rank.index]));
    ranked.sort_by(|left, right| key(right).partial_cmp(&key(left)).unwrap_or(std::cmp::Ordering::Equal));
    ranked.truncate(count);
    ranked
}

/// The anomalous images that a method finds most clearly, the clearest first: verdict right (if there is one), on the wrong side of the
/// fewest normal images; among equals, the highest score.
pub fn best_hits(images: &[ImageResult], count: usize) -> Vec<Ranked> {
    let mut ranked = ranked(images);
    ranked.retain(|rank| images[rank.index].anomalous && verdict_error(&images[rank.index]) == 0.0);
    ranked.sort_by(|left, right| {
        let by_score = images[right.index].score.total_cmp(&images[left.index].score);
        left.wrongness.total_cmp(&right.wrongness).then(by_score)
    });
    ranked.truncate(count);
    ranked
}

/// How sure a wrong verdict is, above 0; 0 for a right one or none.
fn verdict_error(image: &ImageResult) -> f64 {
    let right = if image.anomalous { Verdict::Anomalous } else { Verdict::Normal };
    let sureness = 1.0 + image.probability.map_or(0.0, |probability| f64::from((probability - 0.5).abs()));
    image.verdict.filter(|&verdict| verdict != right).map_or(0.0, |_| sureness)
}

fn ranked(images: &[ImageResult]) -> Vec<Ranked> {
    let wrongness = |image: &ImageResult| {
        let others = images.iter().filter(|other| other.class == image.class && other.anomalous != image.anomalous);
        let (mut count, mut wrong) = (0.0, 0.0);
        for other in others {
            let (low, high) = if image.anomalous { (other.score, image.score) } else { (image.score, other.score) };
            count += 1.0;
            wrong += if low > high {
                1.0
            } else if low == high {
                0.5
            } else {
                0.0
            };
        }
        if count > 0.0 { wrong / count } else { 0.0 }
    };
    images.iter().enumerate().map(|(index, image)| Ranked { index, wrongness: wrongness(image) }).collect()
}
