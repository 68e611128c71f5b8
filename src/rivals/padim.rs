//! PaDiM: Defard, Setkov, Loesch & Audigier, "PaDiM: a Patch Distribution Modeling Framework for Anomaly Detection and
//! Localization", 2020.
//!
//! Some channels of the feature pyramid are chosen at random. Its section on learning the normality: each position has a
//! Gaussian, the mean of the normal images there and their covariance plus εI. Section III-C, Eq. 2: a position's anomaly is its
//! Mahalanobis distance from that Gaussian; an image's score is the largest of its blurred map.
//!
//! Deviations: the encoder's taps take the place of a ResNet's layers; images whose grid is not that of the first normal one
//! (the encoder may keep aspect ratios) are resampled to it; with a single normal image, whose covariance is 0 of 0, the
//! Gaussian is a ball of εI; the Gaussian blur (4 pixels of 224 in the paper) is applied on the grid.

use burn::tensor::{Int, Tensor, TensorData};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::{MapOptions, fitting_widths, invalid, numbers, pyramid};
use crate::{
    decoder::{Decoder, Localization, Reference, upsample::antialiased},
    encoder::ImageFeatures,
    error::Result,
};

/// Settings of [`Padim`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PadimOptions {
    /// Channels that are kept, at least 1; where there are fewer, all are.
    pub channels: usize,
    /// Seed of their choice.
    pub seed: u64,
    /// ε, what is added to each variance, above 0.
    pub regularization: f64,
    /// How the map is made.
    pub map: MapOptions,
}

impl Default for PadimOptions {
    /// The paper's 100 channels and ε of 0.01.
    fn default() -> Self {
        Self { channels: 100, seed: 0, regularization: 0.01, map: MapOptions::default() }
    }
}

/// A Gaussian at each position.
#[derive(Clone, Debug)]
pub struct Padim {
    widths: Vec<usize>,
    grid: [usize; 2],
    channels: Tensor<1, Int>,
    /// `[positions, channels, 1]`.
    means: Tensor<3>,
    /// Inverses of the covariances' Cholesky factors, `[positions, channels, channels]`.
    whitening: Tensor<3>,
    options: PadimOptions,
}

impl Padim {
    /// Fits the Gaussians to normal images.
    ///
    /// # Errors
    /// [`Error::NoNormals`](crate::Error::NoNormals) for none; [`Error::Incompatible`](crate::Error::Incompatible) for features
    /// of different widths; [`Error::InvalidConfig`](crate::Error::InvalidConfig) for options out of their range.
    pub fn fit(normals: &[ImageFeatures], options: PadimOptions) -> Result<Self> {
        options.map.check()?;
        if options.channels == 0 {
            return Err(invalid("channels", "it must be at least 1"));
        }
        if !(options.regularization > 0.0 && options.regularization.is_finite()) {
            return Err(invalid("regularization", "it must be above 0"));
        }
        let widths = fitting_widths(normals)?;
        let Some(first) = normals.first() else { return Err(crate::Error::NoNormals) };
        let (grid, device) = (first.grid, first.embedding.device());
        let chosen = chosen_channels(widths.iter().sum(), options.channels, options.seed);
        let width = chosen.len();
        let channels = Tensor::from_data(TensorData::new(chosen, [width]), &device);
        let tokens = normals.iter().map(|image| at_positions(image, &widths, grid, &channels)).collect::<Result<Vec<_>>>()?;
        let tokens = Tensor::cat(tokens, 0);
        let [images, positions, _] = tokens.dims();
        let means = tokens.clone().mean_dim(0);
        let centred = numbers((tokens - means.clone()).swap_dims(0, 1))?;
        let each = |values: &[f32]| whitening(values, width, images, options.regularization);
        let whitening: Vec<f32> = centred.par_chunks_exact(images * width).flat_map_iter(each).collect();
        let whitening = Tensor::from_data(TensorData::new(whitening, [positions, width, width]), &device);
        Ok(Self { widths, grid, channels, means: means.reshape([positions, width, 1]), whitening, options })
    }
}

impl Decoder for Padim {
    /// Compares with the images that it was fitted to, whatever `reference` is.
    fn localize(&self, image: &ImageFeatures, _reference: Reference<'_>) -> Result<Localization> {
        let tokens = at_positions(image, &self.widths, self.grid, &self.channels)?;
        // [positions, channels, batch]
        let centred = tokens.permute([1, 2, 0]) - self.means.clone();
        let distances = self.whitening.clone().matmul(centred).square().sum_dim(1).sqrt();
        let values = self.options.map.smoothed(distances.squeeze_dim::<2>(1).transpose(), self.grid);
        let score = values.clone().max_dim(1).squeeze_dim(1);
        Ok(self.options.map.localization(values, self.grid, image.grid, score))
    }
}

/// The chosen channels on the fitted grid, `[batch, positions, channels]`.
fn at_positions(image: &ImageFeatures, widths: &[usize], grid: [usize; 2], channels: &Tensor<1, Int>) -> Result<Tensor<3>> {
    let tokens = pyramid(image, widths)?.select(2, channels.clone());
    let [batch, _, width] = tokens.dims();
    let maps = tokens.swap_dims(1, 2).reshape([batch, width, image.grid[0], image.grid[1]]);
    Ok(antialiased(maps, grid).reshape([batch as i32, width as i32, -1]).swap_dims(1, 2))
}

/// `wanted` of `total` channels, ascending.
fn chosen_channels(total: usize, wanted: usize, seed: u64) -> Vec<i32> {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    let mut channels: Vec<i32> = (0..total as i32).collect();
    for index in 0..wanted.min(total) {
        channels.swap(index, index + (generator.next_u64() % (total - index) as u64) as usize);
    }
    channels.truncate(wanted);
    channels.sort_unstable();
    channels
}

/// Inverse of the Cholesky factor of the covariance of `images` centred vectors of `width`, plus `regularization`: row-major,
/// zero above the diagonal. The length of its product with a vector is that vector's Mahalanobis distance.
fn whitening(centred: &[f32], width: usize, images: usize, regularization: f64) -> Vec<f32> {
    let mut factor = vec![0.0f64; width * width];
    let divisor = images.saturating_sub(1).max(1) as f64;
    for vector in centred.chunks_exact(width) {
        for (row, &left) in factor.chunks_exact_mut(width).zip(vector) {
            row.iter_mut().zip(vector).for_each(|(sum, &right)| *sum += f64::from(left) * f64::from(right) / divisor);
        }
    }
    (0..width).for_each(|index| factor[index * width + index] += regularization);
    factorize(&mut factor, width);
    invert(&factor, width).into_iter().map(|value| value as f32).collect()
}

/// The lower Cholesky factor in place of a positive definite matrix (Cholesky-Banachiewicz).
fn factorize(matrix: &mut [f64], width: usize) {
    for row in 0..width {
        let (above, current) = matrix.split_at_mut(row * width);
        for column in 0..row {
            let upper = &above[column * width..][..=column];
            let known: f64 = upper[..column].iter().zip(&current[..column]).map(|(left, right)| left * right).sum();
            current[column] = (current[column] - known) / upper[column];
        }
        let known: f64 = current[..row].iter().map(|value| value * value).sum();
        current[row] = (current[row] - known).sqrt();
    }
}

/// Inverse of a lower triangular matrix; what is above the diagonal is not looked at.
fn invert(lower: &[f64], width: usize) -> Vec<f64> {
    let mut inverse = vec![0.0; width * width];
    for row in 0..width {
        let (above, current) = inverse.split_at_mut(row * width);
        let factors = &lower[row * width..][..=row];
        for (known, &factor) in above.chunks_exact(width).zip(factors) {
            current[..row].iter_mut().zip(known).for_each(|(sum, value)| *sum -= factor * value);
        }
        current[row] = 1.0;
        current[..=row].iter_mut().for_each(|value| *value /= factors[row]);
    }
    inverse
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whitened_length_is_the_mahalanobis_distance() {
        // Two images, centred: +-(1, 2, 0); covariance [[2, 4, 0], [4, 8, 0], [0, 0, 0]] + 0.5 I.
        let whitening = whitening(&[1.0, 2.0, 0.0, -1.0, -2.0, 0.0], 3, 2, 0.5);
        let vector = [1.0f32, -1.0, 3.0];
        let length: f32 =
            whitening.chunks_exact(3).map(|row| row.iter().zip(vector).map(|(left, right)| left * right).sum::<f32>().powi(2)).sum();
        // Inverse of [[2.5, 4], [4, 8.5]] is [[8.5, -4], [-4, 2.5]] / 5.25; of 0.5 is 2.
        let expected = (8.5 + 2.0 * 4.0 + 2.5) / 5.25 + 9.0 * 2.0;
        assert!((length - expected).abs() < 1e-4, "{length} {expected}");
    }

    #[test]
    fn channels_are_chosen_by_the_seed() {
        let chosen = chosen_channels(30, 10, 1);
        assert!(chosen.len() == 10 && chosen.windows(2).all(|pair| pair[0] < pair[1]) && chosen[9] < 30);
        assert_eq!(chosen, chosen_channels(30, 10, 1));
        assert_ne!(chosen, chosen_channels(30, 10, 2));
        assert_eq!(chosen_channels(3, 10, 1), [0, 1, 2]);
    }
}
