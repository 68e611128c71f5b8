//! What the decoder learns from: drawn photographs, simulated defects, and what the trunk sees in them.

use anomalygpt::encoder::{EfficientNetEncoder, Encoder, ImageFeatures, efficientnet::PATCH};
use burn::tensor::{Device, Tensor, TensorData};
use half::f16;
use image::{GrayImage, imageops};
use indicatif::ProgressBar;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::{
    images::{self, Drawn},
    lines::Line,
    symmetry::Symmetry,
};

/// Patches that are averaged to one in training, each way: the taps are no finer than that.
const COARSENESS: usize = 2;
/// Pixels of a training map for each averaged patch, each way.
pub(crate) const UPSCALE: usize = 4;
/// Share of a map's cell that must be anomalous for the cell to count so, as in the reference.
const MASK_THRESHOLD: f32 = 0.3;

/// Marks generators that draw the training's images.
const PURPOSE: u64 = 1;

/// One image, as the decoder sees it.
#[derive(Debug)]
pub struct Item {
    /// What it shows.
    pub object: &'static str,
    /// `[patches, width]` of each tap, row-major.
    tokens: Vec<Vec<f16>>,
    /// `[rows, columns, width]` of each fine map, with a position for each patch that is encoded.
    fine: Vec<Vec<f16>>,
    mask: Vec<f32>,
}

/// Images, and the sizes of what is known of them.
#[derive(Debug)]
pub struct Pool {
    /// All images; those of one line follow each other.
    pub items: Vec<Item>,
    grid: [usize; 2],
    widths: Vec<usize>,
    fine_widths: Vec<usize>,
}

impl Pool {
    /// Draws and encodes `images` of each line, half of them anomalous.
    pub fn fill(lines: &[Line], images: usize, encoder: &EfficientNetEncoder, device: &Device, seed: u64) -> anomalygpt::Result<Self> {
        let side = encoder.preprocess().size as usize / (PATCH * COARSENESS);
        let bar = ProgressBar::new((lines.len() * images) as u64);
        let fill = |(number, line): (usize, &Line)| {
            let mut rng = rng(seed, PURPOSE, number as u64);
            let mut items = Vec::new();
            for index in 0..images {
                let drawn = images::draw(line, lines, index % 2 == 1, &images::any_defects(), &mut rng)?;
                items.push(item(line.name(), drawn, encoder, device, side * UPSCALE)?);
                bar.inc(1);
            }
            Ok(items)
        };
        let items = lines.par_iter().enumerate().map(fill).collect::<anomalygpt::Result<Vec<_>>>()?.into_iter().flatten().collect();
        bar.finish_and_clear();
        Ok(Self { items, grid: [side; 2], widths: encoder.tap_widths().to_vec(), fine_widths: encoder.fine_widths().to_vec() })
    }

    /// The features of the images at `indices`, each moved, as one batch; there is no embedding in them.
    pub fn features(&self, indices: &[usize], symmetries: &[Symmetry], device: &Device) -> ImageFeatures {
        let gathered = |width: usize, map: &dyn Fn(&Item) -> &[f16]| {
            let moved = |(&index, symmetry): (&usize, &Symmetry)| symmetry.moved(map(&self.items[index]), width);
            let values: Vec<f32> = indices.iter().zip(symmetries).flat_map(moved).map(f16::to_f32).collect();
            Tensor::<1>::from_data(values.as_slice(), device)
        };
        let tokens = |(tap, &width): (usize, &usize)| {
            gathered(width, &|item| &item.tokens[tap]).reshape([indices.len() as isize, -1, width as isize])
        };
        let [rows, columns] = self.grid.map(|cells| cells * COARSENESS);
        let fine = |(map, &width): (usize, &usize)| gathered(width, &|item| &item.fine[map]).reshape([indices.len(), rows, columns, width]);
        ImageFeatures {
            patch_tokens: self.widths.iter().enumerate().map(tokens).collect(),
            grid: self.grid,
            fine: self.fine_widths.iter().enumerate().map(fine).collect(),
            embedding: Tensor::zeros([indices.len(), 1], device),
        }
    }

    /// The masks of the images at `indices`, each moved, `[images, 1, height, width]`.
    pub fn masks(&self, indices: &[usize], symmetries: &[Symmetry], device: &Device) -> Tensor<4> {
        let [rows, columns] = self.grid.map(|cells| cells * UPSCALE);
        let values = indices.iter().zip(symmetries).flat_map(|(&index, symmetry)| symmetry.moved(&self.items[index].mask, 1));
        Tensor::from_data(TensorData::new(values.collect::<Vec<_>>(), [indices.len(), 1, rows, columns]), device)
    }
}

/// What is kept of an image; its mask gets `side` rows and columns.
fn item(object: &'static str, drawn: Drawn, encoder: &EfficientNetEncoder, device: &Device, side: usize) -> anomalygpt::Result<Item> {
    let preprocess = encoder.preprocess();
    let features = encoder.encode_images(preprocess.to_tensor(&[preprocess.resize(&drawn.image)?], device)?)?;
    let [rows, columns] = features.grid.map(|cells| cells / COARSENESS);
    let coarse = |tokens: Tensor<3>| {
        let width = tokens.dims()[2];
        let squares: Tensor<6> = tokens.reshape([1, rows, COARSENESS, columns, COARSENESS, width]);
        kept(squares.mean_dims(&[2, 4]))
    };
    Ok(Item {
        object,
        tokens: features.patch_tokens.into_iter().map(coarse).collect::<anomalygpt::Result<_>>()?,
        fine: features.fine.into_iter().map(kept).collect::<anomalygpt::Result<_>>()?,
        mask: drawn.mask.map_or_else(|| vec![0.0; side * side], |mask| shrink(&mask, side as u32)),
    })
}

/// A tensor's values, rounded.
fn kept<const D: usize>(tensor: Tensor<D>) -> anomalygpt::Result<Vec<f16>> {
    Ok(host(tensor)?.into_iter().map(f16::from_f32).collect())
}

/// A tensor's values.
pub fn host<const D: usize>(tensor: Tensor<D>) -> anomalygpt::Result<Vec<f32>> {
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
