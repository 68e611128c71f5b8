//! Drawn photographs, simulated defects, and what trunk and memory bank see in them.

use anomalygpt::{
    AnomalyMap, Place,
    decoder::{Decoder, MemoryBank, MemoryBankOptions, PatchTextDecoder, Reference},
    encoder::{EfficientNetEncoder, Encoder, ImageFeatures, efficientnet::PATCH},
    preprocess::Preprocess,
};
use burn::tensor::{Device, Tensor, TensorData};
use half::f16;
use image::{GrayImage, RgbImage, imageops};
use indicatif::ProgressBar;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::{
    images::{self, Drawn},
    lines::Line,
};

/// Patches that are averaged to one in training, each way: the taps are no finer than that.
const COARSENESS: usize = 2;
/// Pixels of a training map for each averaged patch, each way.
pub(crate) const UPSCALE: usize = 4;
/// Share of a map's cell that must be anomalous for the cell to count so, as in the reference.
const MASK_THRESHOLD: f32 = 0.3;

/// Marks generators that draw the training's images.
const PURPOSE: u64 = 1;

/// One image, as all later stages see it.
#[derive(Debug)]
pub struct Item {
    /// What it shows.
    pub object: &'static str,
    /// Where its anomalies are, none for a normal image.
    pub places: Vec<Place>,
    /// `[patches, width]` of each tap, row-major.
    tokens: Vec<Vec<f16>>,
    embedding: Vec<f32>,
    mask: Vec<f32>,
    map: Vec<f32>,
}

/// Images, and the sizes of what is known of them.
#[derive(Debug)]
pub struct Pool {
    /// All images; those of one line follow each other.
    pub items: Vec<Item>,
    grid: [usize; 2],
    widths: Vec<usize>,
}

impl Pool {
    /// Draws and encodes all lines; memory banks are read by `decoder`.
    pub fn fill(
        lines: &[Line],
        images: usize,
        encoder: &EfficientNetEncoder,
        decoder: &PatchTextDecoder,
        device: &Device,
        seed: u64,
    ) -> anomalygpt::Result<Self> {
        let side = encoder.preprocess().size as usize / (PATCH * COARSENESS);
        let bar = ProgressBar::new((lines.len() * images) as u64);
        let fill = |(number, line): (usize, &Line)| {
            let mut rng = rng(seed, PURPOSE, number as u64);
            let bank = bank(encoder, &images::draw_normals(line, &mut rng), device)?;
            let mut items = Vec::new();
            for index in 0..images {
                let drawn = images::draw(line, lines, index % 2 == 1, &mut rng)?;
                let features = encode(encoder, std::slice::from_ref(&drawn.image), device)?;
                let map = decoder.localize(&features, Reference::Normals(&bank))?.map;
                items.push(item(line.name(), drawn, features, map, side * UPSCALE)?);
                bar.inc(1);
            }
            Ok(items)
        };
        let items = lines.par_iter().enumerate().map(fill).collect::<anomalygpt::Result<Vec<_>>>()?.into_iter().flatten().collect();
        bar.finish_and_clear();
        Ok(Self { items, grid: [side; 2], widths: encoder.tap_widths().to_vec() })
    }

    /// The features of the images at `indices`, as one batch.
    pub fn features(&self, indices: &[usize], device: &Device) -> ImageFeatures {
        let patches = self.grid[0] * self.grid[1];
        let tap = |(tap, &width): (usize, &usize)| {
            let values: Vec<f32> = indices.iter().flat_map(|&index| &self.items[index].tokens[tap]).map(|value| value.to_f32()).collect();
            Tensor::from_data(TensorData::new(values, [indices.len(), patches, width]), device)
        };
        let patch_tokens = self.widths.iter().enumerate().map(tap).collect();
        let embeddings: Vec<f32> = indices.iter().flat_map(|&index| self.items[index].embedding.clone()).collect();
        let width = embeddings.len() / indices.len().max(1);
        ImageFeatures {
            patch_tokens,
            grid: self.grid,
            embedding: Tensor::from_data(TensorData::new(embeddings, [indices.len(), width]), device),
        }
    }

    /// The masks of the images at `indices`, `[images, 1, height, width]`.
    pub fn masks(&self, indices: &[usize], device: &Device) -> Tensor<4> {
        self.stack(indices, device, |item| &item.mask)
    }

    /// Their memory-bank maps, `[images, 1, height, width]`.
    pub fn maps(&self, indices: &[usize], device: &Device) -> Tensor<4> {
        self.stack(indices, device, |item| &item.map)
    }

    /// In which places their anomalies are, `[images, 9]`.
    pub fn places(&self, indices: &[usize], device: &Device) -> Tensor<2> {
        let holds = |index: &usize| Place::ALL.map(|place| f32::from(u8::from(self.items[*index].places.contains(&place))));
        let values: Vec<f32> = indices.iter().flat_map(holds).collect();
        Tensor::from_data(TensorData::new(values, [indices.len(), Place::ALL.len()]), device)
    }

    fn stack(&self, indices: &[usize], device: &Device, of: impl Fn(&Item) -> &Vec<f32>) -> Tensor<4> {
        let [rows, columns] = self.grid.map(|cells| cells * UPSCALE);
        let values: Vec<f32> = indices.iter().flat_map(|&index| of(&self.items[index]).clone()).collect();
        Tensor::from_data(TensorData::new(values, [indices.len(), 1, rows, columns]), device)
    }
}

/// The features of images of one size.
pub fn encode(encoder: &EfficientNetEncoder, images: &[RgbImage], device: &Device) -> anomalygpt::Result<ImageFeatures> {
    let preprocess: Preprocess = encoder.preprocess();
    let resized = images.iter().map(|image| preprocess.resize(image)).collect::<anomalygpt::Result<Vec<_>>>()?;
    encoder.encode_images(preprocess.to_tensor(&resized, device)?)
}

fn bank(encoder: &EfficientNetEncoder, normals: &[RgbImage], device: &Device) -> anomalygpt::Result<MemoryBank> {
    let views = |image: &RgbImage| {
        let across = imageops::flip_horizontal(image);
        let views = [image.clone(), imageops::flip_vertical(image), imageops::flip_vertical(&across), across];
        views.iter().map(|view| encode(encoder, std::slice::from_ref(view), device)).collect::<anomalygpt::Result<Vec<_>>>()
    };
    MemoryBank::new(&normals.iter().map(views).collect::<anomalygpt::Result<Vec<_>>>()?, &[], MemoryBankOptions::default())
}

/// What is kept of an image; maps get `side` rows and columns.
fn item(object: &'static str, drawn: Drawn, features: ImageFeatures, map: Tensor<4>, side: usize) -> anomalygpt::Result<Item> {
    let [rows, columns] = features.grid.map(|cells| cells / COARSENESS);
    let coarse = |tokens: Tensor<3>| {
        let width = tokens.dims()[2];
        let squares: Tensor<6> = tokens.reshape([1, rows, COARSENESS, columns, COARSENESS, width]);
        Ok(host(squares.mean_dims(&[2, 4]))?.into_iter().map(f16::from_f32).collect())
    };
    let [_, _, height, width] = map.dims();
    let map = AnomalyMap::new(width as u32, height as u32, host(map)?)?.resize(side as u32, side as u32)?;
    Ok(Item {
        object,
        places: drawn.places,
        tokens: features.patch_tokens.into_iter().map(coarse).collect::<anomalygpt::Result<_>>()?,
        embedding: host(features.embedding)?,
        mask: drawn.mask.map_or_else(|| vec![0.0; side * side], |mask| shrink(&mask, side as u32)),
        map: map.into_values(),
    })
}

fn host<const D: usize>(tensor: Tensor<D>) -> anomalygpt::Result<Vec<f32>> {
    tensor.into_data().try_to_vec::<f32>().map_err(|error| anomalygpt::Error::component("pool", error.to_string()))
}

/// A mask at the size of a map, 1 where enough of the cell is covered.
fn shrink(mask: &GrayImage, side: u32) -> Vec<f32> {
    let small = imageops::resize(mask, side, side, imageops::FilterType::Triangle);
    small.pixels().map(|pixel| f32::from(u8::from(f32::from(pixel[0]) / 255.0 > MASK_THRESHOLD))).collect()
}

/// A generator of its own for each purpose and number.
pub fn rng(seed: u64, purpose: u64, number: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ purpose.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    rng.set_stream(number);
    rng
}
