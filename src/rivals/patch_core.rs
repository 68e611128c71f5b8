//! PatchCore: Roth, Pemula, Zepeda, Schölkopf, Brox & Gehler, "Towards Total Recall in Industrial Anomaly Detection", CVPR 2022.
//!
//! Section "Locally aware patch features": each patch of the feature pyramid is averaged with its neighbourhood. Section
//! "Coreset-reduced patch-feature memory bank": the bank is a coreset of all normal patches, chosen greedily: always the patch
//! that is furthest from those already chosen, measured after a random projection (Algorithm 1). Eq. 6: a patch's anomaly is its
//! distance to the nearest of the bank. Eq. 7: the image's score is the largest of these, weighted by how the nearest row's own
//! neighbours lie to that patch.
//!
//! Deviations: the encoder's taps take the place of a WideResNet-50's second and third block, and stand side by side, without
//! a further pooling of channels; the neighbourhood is of the common grid, where 3x3 positions of the embedded model's taps are 6x6 and 12x12
//! patches, so it is 9x9; of a few images, [`PatchCoreOptions::least_rows`] are kept instead of
//! the share; the projection's entries are random signs (Achlioptas 2003); the neighbours of Eq. 7 include the row itself, as
//! in later implementations; the Gaussian blur (4 pixels of 224 in the paper) is applied on the grid.

use burn::tensor::{Device, Int, Tensor, TensorData};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::{MapOptions, fitting_widths, invalid, numbers, pyramid, rows::Rows};
use crate::{
    decoder::{Decoder, Localization, Reference, upsample::average_neighbours},
    encoder::ImageFeatures,
    error::Result,
};

/// Patches whose distances one task of the coreset's search updates.
const POINTS_A_TASK: usize = 2048;

/// Settings of [`PatchCore`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PatchCoreOptions {
    /// Side of the neighbourhood that is averaged, in patches; odd.
    pub neighbourhood: usize,
    /// Share of all patches that the coreset keeps, above 0, at most 1.
    pub ratio: f64,
    /// Fewer patches than this are not kept, if there are so many.
    pub least_rows: usize,
    /// Width of the random projection, at least 1.
    pub projection: usize,
    /// b, the neighbours that weigh the score, at least 1; 1 leaves the score as it is.
    pub neighbours: usize,
    /// Seed of the projection and of the first patch.
    pub seed: u64,
    /// How the map is made.
    pub map: MapOptions,
}

impl Default for PatchCoreOptions {
    /// A tenth of the patches, 9x9 neighbourhoods, 128 projected dimensions, 9 neighbours.
    fn default() -> Self {
        Self { neighbourhood: 9, ratio: 0.1, least_rows: 1000, projection: 128, neighbours: 9, seed: 0, map: MapOptions::default() }
    }
}

impl PatchCoreOptions {
    fn check(&self) -> Result<()> {
        self.map.check()?;
        if self.neighbourhood.is_multiple_of(2) {
            return Err(invalid("neighbourhood", "it must be odd"));
        }
        if !(self.ratio > 0.0 && self.ratio <= 1.0) {
            return Err(invalid("ratio", "it must be above 0 and at most 1"));
        }
        if self.projection == 0 || self.neighbours == 0 {
            return Err(invalid("projection or neighbours", "they must be at least 1"));
        }
        Ok(())
    }
}

/// A coreset of normal patches.
#[derive(Clone, Debug)]
pub struct PatchCore {
    widths: Vec<usize>,
    bank: Rows,
    options: PatchCoreOptions,
}

impl PatchCore {
    /// Builds the bank from normal images, of any grids.
    ///
    /// # Errors
    /// [`Error::NoNormals`](crate::Error::NoNormals) for none; [`Error::Incompatible`](crate::Error::Incompatible) for features
    /// of different widths; [`Error::InvalidConfig`](crate::Error::InvalidConfig) for options out of their range.
    pub fn fit(normals: &[ImageFeatures], options: PatchCoreOptions) -> Result<Self> {
        options.check()?;
        let widths = fitting_widths(normals)?;
        let patches =
            |image: &ImageFeatures| Ok(average_neighbours(pyramid(image, &widths)?, image.grid, options.neighbourhood).flatten(0, 1));
        let all: Tensor<2> = Tensor::cat(normals.iter().map(patches).collect::<Result<Vec<_>>>()?, 0);
        let ([rows, _], device) = (all.dims(), all.device());
        let wanted = ((rows as f64 * options.ratio) as usize).max(options.least_rows).clamp(1, rows);
        let bank = if wanted == rows {
            all
        } else {
            let kept = coreset(&all, wanted, &options, &device)?;
            all.select(0, Tensor::<1, Int>::from_data(TensorData::new(kept, [wanted]), &device))
        };
        Ok(Self { widths, bank: Rows::new(bank), options })
    }

    /// Patches that the bank keeps.
    pub fn rows(&self) -> usize {
        self.bank.count()
    }

    /// Eq. 7 for the patch `[1, width]` at `distance` from the bank's row `nearest`.
    fn weighted(&self, patch: Tensor<2>, distance: f32, nearest: usize) -> Result<f32> {
        let distances = numbers(self.bank.squared_distances(self.bank.row(nearest)))?;
        let mut neighbours: Vec<usize> = (0..distances.len()).collect();
        neighbours.sort_by(|&left, &right| distances[left].total_cmp(&distances[right]));
        neighbours.truncate(self.options.neighbours);
        if neighbours.len() < 2 {
            return Ok(distance);
        }
        let to_patch = numbers(self.bank.squared_distances(patch))?;
        // Each exponent less the distance itself: the quotient is the same, and nothing overflows where neighbours are near.
        let sum: f64 = neighbours.iter().map(|&row| (f64::from(to_patch[row].sqrt()) - f64::from(distance)).exp()).sum();
        Ok(((1.0 - 1.0 / sum) * f64::from(distance)) as f32)
    }
}

impl Decoder for PatchCore {
    /// Compares with the images that it was fitted to, whatever `reference` is.
    fn localize(&self, image: &ImageFeatures, _reference: Reference<'_>) -> Result<Localization> {
        let tokens = average_neighbours(pyramid(image, &self.widths)?, image.grid, self.options.neighbourhood);
        let [batch, patches, _] = tokens.dims();
        let tokens = tokens.flatten::<2>(0, 1);
        let (squared, rows) = self.bank.nearest(tokens.clone());
        let distances = squared.sqrt().reshape([batch, patches]);
        let (values, furthest) = distances.clone().max_dim_with_indices(1);
        let (values, furthest) = (numbers(values)?, indices(furthest)?);
        let rows = indices(rows)?;
        let mut scores = Vec::with_capacity(batch);
        for (index, (distance, patch)) in values.into_iter().zip(furthest).enumerate() {
            let at = index * patches + patch;
            scores.push(self.weighted(tokens.clone().narrow(0, at, 1), distance, rows[at])?);
        }
        let score = Tensor::from_data(scores.as_slice(), &tokens.device());
        let values = self.options.map.smoothed(distances, image.grid);
        Ok(self.options.map.localization(values, image.grid, image.grid, score))
    }
}

fn indices(tensor: Tensor<2, Int>) -> Result<Vec<usize>> {
    let indices = tensor.into_data().convert::<i64>().try_to_vec::<i64>();
    let indices = indices.map_err(|error| crate::Error::component("the tensor backend", error.to_string()))?;
    Ok(indices.into_iter().map(|index| index as usize).collect())
}

/// Indices of `wanted` rows of `[rows, width]` (Algorithm 1).
fn coreset(all: &Tensor<2>, wanted: usize, options: &PatchCoreOptions, device: &Device) -> Result<Vec<i32>> {
    let mut generator = ChaCha8Rng::seed_from_u64(options.seed);
    let [rows, width] = all.dims();
    let scale = (options.projection as f32).sqrt().recip();
    let signs = (0..width * options.projection).map(|_| if generator.next_u32() & 1 == 0 { scale } else { -scale }).collect::<Vec<_>>();
    let projection = Tensor::<2>::from_data(TensorData::new(signs, [width, options.projection]), device);
    let points = numbers(all.clone().matmul(projection))?;
    Ok(furthest_points(&points, options.projection, wanted, (generator.next_u64() % rows as u64) as usize))
}

/// `wanted` of the points, from `first` on always the one furthest from all before; of equally far ones the first.
fn furthest_points(points: &[f32], width: usize, wanted: usize, first: usize) -> Vec<i32> {
    let mut distances = vec![f32::INFINITY; points.len() / width];
    let mut chosen = vec![first];
    while chosen.len() < wanted {
        let last = chosen.last().map_or(&points[..width], |&last| &points[last * width..][..width]);
        let update = |(task, (distances, points)): (usize, (&mut [f32], &[f32]))| {
            let mut furthest = (f32::NEG_INFINITY, 0);
            for (index, (distance, point)) in distances.iter_mut().zip(points.chunks_exact(width)).enumerate() {
                *distance = distance.min(squared_distance(point, last));
                if *distance > furthest.0 {
                    furthest = (*distance, task * POINTS_A_TASK + index);
                }
            }
            furthest
        };
        let tasks = distances.par_chunks_mut(POINTS_A_TASK).zip(points.par_chunks(POINTS_A_TASK * width)).enumerate().map(update);
        let nearer = |left: (f32, usize), right: (f32, usize)| if right.0 > left.0 { right } else { left };
        let tasks: Vec<_> = tasks.collect();
        chosen.push(tasks.into_iter().reduce(nearer).map_or(first, |(_, index)| index));
    }
    chosen.into_iter().map(|index| index as i32).collect()
}

/// In eight sums, so that it takes vector instructions.
fn squared_distance(left: &[f32], right: &[f32]) -> f32 {
    let (left, left_rest) = left.as_chunks::<8>();
    let (right, right_rest) = right.as_chunks::<8>();
    let mut sums = [0.0f32; 8];
    for (left, right) in left.iter().zip(right) {
        for (sum, (left, right)) in sums.iter_mut().zip(left.iter().zip(right)) {
            *sum += (left - right) * (left - right);
        }
    }
    sums.iter().sum::<f32>() + left_rest.iter().zip(right_rest).map(|(left, right)| (left - right) * (left - right)).sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_furthest_points_are_chosen() {
        let points = [0.0, 1.0, 10.0, 10.5, 4.0, 0.0];
        assert_eq!(furthest_points(&points, 1, 4, 0), [0, 3, 4, 1]);
        assert_eq!(furthest_points(&points, 2, 3, 1), [1, 0, 2]);
        assert_eq!(furthest_points(&[1.0; 6], 1, 3, 2), [2, 0, 0]);
    }

    #[test]
    fn distances_have_a_rest() {
        let left: Vec<f32> = (0..19).map(|index| index as f32).collect();
        assert_eq!(squared_distance(&left, &[0.0; 19]), left.iter().map(|value| value * value).sum::<f32>());
    }
}
