//! A memory bank from a few photographs of normal parts.

use std::sync::Arc;

use image::{DynamicImage, RgbImage, imageops};
use imageproc::geometric_transformations::{Border, Interpolation, rotate_about_center};

use super::AnomalyGpt;
use crate::{
    compat::Views,
    decoder::{Decoder, MemoryBank, MemoryBankOptions, Reference},
    encoder::{Encoder, ImageFeatures},
    error::{Error, Result},
    llm::Llm,
    preprocess,
    prompt_learner::PromptLearner,
    text::descriptions,
};

impl<E: Encoder, D: Decoder, P: PromptLearner, L: Llm> AnomalyGpt<E, D, P, L> {
    /// Compares with photographs of normal parts from now on, and, as the options say, with text, the more the less it finds in them
    /// (of any object: what is described matters to the language model alone).
    ///
    /// They may be of any size, and one is enough; the bank is encoded and calibrated once, here.
    ///
    /// # Errors
    /// [`Error::NoNormals`] for none; an image too small to inspect; what the encoder reports.
    pub fn with_normals(self, normals: &[DynamicImage]) -> Result<Self> {
        let options = self.behaviour.normals.clone();
        self.with_normals_and(normals, options)
    }

    /// As [`with_normals`](Self::with_normals), with another bank than [`Behaviour::normals`](crate::Behaviour::normals).
    ///
    /// # Errors
    /// As [`with_normals`](Self::with_normals).
    pub fn with_normals_and(mut self, normals: &[DynamicImage], options: MemoryBankOptions) -> Result<Self> {
        if normals.is_empty() {
            return Err(Error::NoNormals);
        }
        let resize = |image: &DynamicImage| self.comparison().resize(&preprocess::to_rgb(image));
        let resized = normals.iter().map(resize).collect::<Result<Vec<_>>>()?;
        let views = resized.iter().map(|image| self.encode_each(&views(image, self.behaviour.views)));
        let views = views.collect::<Result<Vec<_>>>()?;
        let probes = match &resized[..] {
            [image] if options.calibration.is_some() => self.encode_each(&turned(image))?,
            _ => Vec::new(),
        };
        let text = self.text_pair(descriptions::UNKNOWN)?;
        let text_map = |features: &ImageFeatures| Ok(self.decoder.localize(features, Reference::Text(&text))?.map);
        self.normals = Some(Arc::new(MemoryBank::with_text(&views, &probes, &text_map, options)?));
        Ok(self)
    }

    fn encode_each(&self, images: &[RgbImage]) -> Result<Vec<ImageFeatures>> {
        let preprocess = self.comparison();
        let encode = |image| self.encoder.encode_images(preprocess.to_tensor(std::slice::from_ref(image), &self.device)?);
        images.iter().map(encode).collect()
    }
}

/// The views of a normal image that are compared with, the image itself first.
fn views(image: &RgbImage, views: Views) -> Vec<RgbImage> {
    match views {
        Views::AsItIs => vec![image.clone()],
        Views::Flips => {
            let (across, down) = (imageops::flip_horizontal(image), imageops::flip_vertical(image));
            let both = imageops::flip_vertical(&across);
            vec![image.clone(), across, down, both]
        }
        Views::QuarterTurns => {
            vec![image.clone(), imageops::rotate270(image), imageops::rotate180(image), imageops::rotate90(image)]
        }
    }
}

/// How far a single normal image is turned to see how much an image of it may differ, in degrees.
const TURN: f32 = 5.0;

/// An image turned a little to both sides.
fn turned(image: &RgbImage) -> [RgbImage; 2] {
    [-TURN, TURN].map(|degrees| rotate_about_center(image, degrees.to_radians(), Interpolation::Bilinear, Border::Replicate))
}
