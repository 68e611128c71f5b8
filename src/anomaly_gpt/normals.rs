//! A memory bank from a few photographs of normal parts.

use std::{borrow::Borrow, sync::Arc};

use image::{DynamicImage, RgbImage, imageops};
use imageproc::geometric_transformations::{Border, Interpolation, rotate_about_center};

use super::AnomalyGpt;
use crate::{
    compat::Views,
    decoder::{
        Decoder, MemoryBankOptions, Reference,
        memory_bank::{Normals, TextMap},
    },
    encoder::{Encoder, ImageFeatures},
    error::Result,
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
    /// [`Error::NoNormals`](crate::Error::NoNormals) for none; an image too small to inspect; what the encoder reports.
    pub fn with_normals(self, normals: &[DynamicImage]) -> Result<Self> {
        let options = self.behaviour.normals.clone();
        self.with_normals_and(normals, options)
    }

    /// As [`with_normals`](Self::with_normals), with another bank than [`Behaviour::normals`](crate::Behaviour::normals).
    ///
    /// # Errors
    /// As [`with_normals`](Self::with_normals).
    pub fn with_normals_and(self, normals: &[DynamicImage], options: MemoryBankOptions) -> Result<Self> {
        self.with_each_normal(normals.iter().map(Ok), options)
    }

    /// As [`with_normals`](Self::with_normals), with photographs that are read one by one, so that hundreds fit the memory.
    ///
    /// # Errors
    /// As [`with_normals`](Self::with_normals), and the first error among `normals`.
    pub fn with_normals_from(self, normals: impl IntoIterator<Item = Result<DynamicImage>>) -> Result<Self> {
        let options = self.behaviour.normals.clone();
        self.with_each_normal(normals, options)
    }

    fn with_each_normal<I: Borrow<DynamicImage>>(
        mut self,
        normals: impl IntoIterator<Item = Result<I>>,
        options: MemoryBankOptions,
    ) -> Result<Self> {
        let text = if options.may_hear_text() { Some(self.text_pair(descriptions::UNKNOWN)?) } else { None };
        let hear = text.as_ref().map(|text| |features: &ImageFeatures| Ok(self.decoder.localize(features, Reference::Text(text))?.map));
        let calibrated = options.calibration.is_some();
        let mut bank = Normals::new(options, hear.as_ref().map(|hear| hear as TextMap<'_>))?;
        let mut latest = None;
        for image in normals {
            let image = self.comparison().resize(&preprocess::to_rgb(image?.borrow()))?;
            bank.add(&self.encode_each(&views(&image, self.behaviour.views))?)?;
            latest = Some(image);
        }
        let probes = match latest {
            Some(image) if bank.images() == 1 && calibrated => self.encode_each(&turned(&image))?,
            _ => Vec::new(),
        };
        self.normals = Some(Arc::new(bank.bank(&probes)?));
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
