//! Drawn photographs, simulated defects, and what trunk and memory bank see in them.

use std::error::Error;

use anomalygpt::{
    Place,
    decoder::{Decoder, MemoryBank, MemoryBankOptions, PatchTextDecoder, Reference},
    encoder::{EfficientNetEncoder, Encoder, ImageFeatures},
    preprocess::Preprocess,
    simulate::{SimulateOptions, Simulated, simulate},
};
use burn::tensor::{Device, Tensor, TensorData};
use half::f16;
use image::{GrayImage, RgbImage, imageops};
use indicatif::ProgressBar;
use rand::{RngExt, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;

use crate::lines::Line;

/// Rows and columns of the maps that are trained on.
pub const MAP_SIDE: usize = 72;
/// Share of a map's cell that must be anomalous for the cell to count so, as in the reference.
const MASK_THRESHOLD: f32 = 0.3;
/// Normal images in a memory bank, each as likely as the others.
const SHOTS: [usize; 4] = [1, 2, 4, 8];

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

/// Images and the sizes of their features.
#[derive(Debug)]
pub struct Pool {
    /// All images; those of one line follow each other.
    pub items: Vec<Item>,
    grid: [usize; 2],
    widths: Vec<usize>,
}

/// An image that a product line gives, before the trunk.
pub struct Drawn {
    /// The photograph.
    pub image: RgbImage,
    /// Where it was changed.
    pub mask: Option<GrayImage>,
    /// Centres' cells.
    pub places: Vec<Place>,
}

/// Draws one image of a line, with simulated defects if asked for.
pub fn draw(line: &Line, others: &[Line], anomalous: bool, rng: &mut ChaCha8Rng) -> anomalygpt::Result<Drawn> {
    let side = *[256, 288, 320, 400].choose(rng).unwrap_or(&256);
    let image = line.draw(rng, side, side);
    if !anomalous {
        return Ok(Drawn { image, mask: None, places: Vec::new() });
    }
    // The paper cuts from another normal image; half of the time that is one of another product.
    let source = if rng.random_bool(0.5) { line } else { others.choose(rng).unwrap_or(line) }.draw(rng, side, side);
    let Simulated { image, mask, patches, .. } = simulate(rng, &image, &source, &SimulateOptions::default())?;
    let places = patches.iter().map(|patch| Place::of(patch.center[0], patch.center[1], side, side)).collect();
    Ok(Drawn { image, mask: Some(mask), places })
}

/// Normal images of a line, for a memory bank.
pub fn draw_normals(line: &Line, rng: &mut ChaCha8Rng) -> Vec<RgbImage> {
    let shots = *SHOTS.choose(rng).unwrap_or(&1);
    let side = 256;
    (0..shots).map(|_| line.draw(rng, side, side)).collect()
}

impl Pool {
    /// Draws and encodes all lines.
    pub fn fill(
        lines: &[Line],
        images: usize,
        encoder: &EfficientNetEncoder,
        decoder: &PatchTextDecoder,
        device: &Device,
        seed: u64,
    ) -> Result<Self, Box<dyn Error>> {
        let mut pool = Self { items: Vec::new(), grid: [0, 0], widths: Vec::new() };
        let bar = ProgressBar::new((lines.len() * images) as u64);
        for (line, number) in lines.iter().zip(0..) {
            let mut rng = rng(seed, PURPOSE, number);
            let bank = bank(encoder, &draw_normals(line, &mut rng), device)?;
            for index in 0..images {
                let drawn = draw(line, lines, index % 2 == 1, &mut rng)?;
                let features = encode(encoder, &[drawn.image.clone()], device)?;
                let map = host(decoder.localize(&features, Reference::Normals(&bank))?.map)?;
                pool.push(line.name(), drawn, features, map)?;
                bar.inc(1);
            }
        }
        bar.finish_and_clear();
        Ok(pool)
    }

    fn push(&mut self, object: &'static str, drawn: Drawn, features: ImageFeatures, map: Vec<f32>) -> Result<(), Box<dyn Error>> {
        self.grid = features.grid;
        self.widths = features.patch_tokens.iter().map(|tokens| tokens.dims()[2]).collect();
        let halves = |tokens: Tensor<3>| Ok::<_, Box<dyn Error>>(host(tokens)?.into_iter().map(f16::from_f32).collect());
        let tokens = features.patch_tokens.into_iter().map(halves).collect::<Result<_, _>>()?;
        let mask = drawn.mask.map_or_else(|| vec![0.0; MAP_SIDE * MAP_SIDE], |mask| shrink(&mask));
        self.items.push(Item { object, places: drawn.places, tokens, embedding: host(features.embedding)?, mask, map });
        Ok(())
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

    /// The masks of the images at `indices`, `[images, 1, MAP_SIDE, MAP_SIDE]`.
    pub fn masks(&self, indices: &[usize], device: &Device) -> Tensor<4> {
        self.stack(indices, device, |item| &item.mask)
    }

    /// Their memory-bank maps, `[images, 1, MAP_SIDE, MAP_SIDE]`.
    pub fn maps(&self, indices: &[usize], device: &Device) -> Tensor<4> {
        self.stack(indices, device, |item| &item.map)
    }

    fn stack(&self, indices: &[usize], device: &Device, of: impl Fn(&Item) -> &Vec<f32>) -> Tensor<4> {
        let values: Vec<f32> = indices.iter().flat_map(|&index| of(&self.items[index]).clone()).collect();
        Tensor::from_data(TensorData::new(values, [indices.len(), 1, MAP_SIDE, MAP_SIDE]), device)
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

fn host<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, Box<dyn Error>> {
    tensor.into_data().try_to_vec::<f32>().map_err(|error| error.to_string().into())
}

/// A mask at the size of a map, 1 where enough of the cell is covered.
fn shrink(mask: &GrayImage) -> Vec<f32> {
    let small = imageops::resize(mask, MAP_SIDE as u32, MAP_SIDE as u32, imageops::FilterType::Triangle);
    small.pixels().map(|pixel| f32::from(u8::from(f32::from(pixel[0]) / 255.0 > MASK_THRESHOLD))).collect()
}

/// A generator of its own for each purpose and number.
pub fn rng(seed: u64, purpose: u64, number: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ purpose.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    rng.set_stream(number);
    rng
}
