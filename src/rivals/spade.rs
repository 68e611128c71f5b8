//! SPADE: Cohen & Hoshen, "Sub-Image Anomaly Detection with Deep Pyramid Correspondences", 2020.
//!
//! Its section on the method, in three steps. Feature extraction: an image's feature is the trunk's last layer, averaged over
//! positions. K nearest neighbour normal image retrieval: its score is the mean squared distance to its K nearest normal images.
//! Sub-image anomaly detection: a pixel's anomaly is the mean squared distance of its feature pyramid to the κ nearest in the
//! gallery of all pixels of these K images; κ is 1 here.
//!
//! Deviations: the encoder's taps take the place of a WideResNet-50's layers, on the encoder's grid; its embedding takes the
//! place of the averaged last layer; the Gaussian blur (4 pixels of 224 in the paper) is applied on the grid.

use burn::tensor::Tensor;

use super::{MapOptions, fitting_widths, invalid, numbers, pyramid, rows::Rows};
use crate::{
    decoder::{Decoder, Localization, Reference},
    encoder::ImageFeatures,
    error::{Error, Result},
};

/// Settings of [`Spade`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SpadeOptions {
    /// K, the nearest images that are looked at, at least 1; where there are fewer, all are.
    pub images: usize,
    /// How the map is made.
    pub map: MapOptions,
}

impl Default for SpadeOptions {
    fn default() -> Self {
        Self { images: 50, map: MapOptions::default() }
    }
}

/// Nearest images, then nearest pixels in them.
#[derive(Clone, Debug)]
pub struct Spade {
    widths: Vec<usize>,
    /// Embeddings of all images, `[images, embedding width]`.
    embeddings: Rows,
    embedding_width: usize,
    /// Pixels of each image.
    galleries: Vec<Rows>,
    options: SpadeOptions,
}

impl Spade {
    /// Takes in normal images, of any grids.
    ///
    /// # Errors
    /// [`Error::NoNormals`] for none; [`Error::Incompatible`] for features of different widths; [`Error::InvalidConfig`] for
    /// options out of their range.
    pub fn fit(normals: &[ImageFeatures], options: SpadeOptions) -> Result<Self> {
        options.map.check()?;
        if options.images == 0 {
            return Err(invalid("images", "it must be at least 1"));
        }
        let widths = fitting_widths(normals)?;
        let mut galleries = Vec::new();
        for image in normals {
            let tokens = pyramid(image, &widths)?;
            galleries.extend(tokens.iter_dim(0).map(|tokens| Rows::new(tokens.squeeze_dim(0))));
        }
        let embeddings = Tensor::cat(normals.iter().map(|image| image.embedding.clone()).collect(), 0);
        let embedding_width = embeddings.dims()[1];
        Ok(Self { widths, embeddings: Rows::new(embeddings), embedding_width, galleries, options })
    }

    /// Score and pixels of one image: its embedding `[1, width]` and pyramid `[patches, width]` to the score (of the
    /// retrieval) and `[1, patches]` (of the gallery).
    fn compare(&self, embedding: Tensor<2>, tokens: Tensor<2>) -> Result<(f32, Tensor<2>)> {
        let distances = numbers(self.embeddings.squared_distances(embedding))?;
        let mut nearest: Vec<usize> = (0..distances.len()).collect();
        nearest.sort_by(|&left, &right| distances[left].total_cmp(&distances[right]));
        nearest.truncate(self.options.images);
        let score = nearest.iter().map(|&image| distances[image]).sum::<f32>() / nearest.len() as f32;
        let found = nearest.iter().map(|&image| self.galleries[image].nearest(tokens.clone()).0).collect();
        Ok((score, Tensor::cat(found, 1).min_dim(1).transpose()))
    }
}

impl Decoder for Spade {
    /// Compares with the images that it was fitted to, whatever `reference` is.
    fn localize(&self, image: &ImageFeatures, _reference: Reference<'_>) -> Result<Localization> {
        let tokens = pyramid(image, &self.widths)?;
        let [batch, found] = image.embedding.dims();
        if found != self.embedding_width {
            return Err(Error::Incompatible { left: "the image encoder", right: "SPADE", expected: self.embedding_width, found });
        }
        let (mut scores, mut pixels) = (Vec::new(), Vec::new());
        for index in 0..batch {
            let embedding = image.embedding.clone().narrow(0, index, 1);
            let (score, values) = self.compare(embedding, tokens.clone().narrow(0, index, 1).squeeze_dim(0))?;
            scores.push(score);
            pixels.push(values);
        }
        let score = Tensor::from_data(scores.as_slice(), &tokens.device());
        let pixels = self.options.map.smoothed(Tensor::cat(pixels, 0), image.grid);
        Ok(self.options.map.localization(pixels, image.grid, image.grid, score))
    }
}
