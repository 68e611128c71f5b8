//! Features as another product, camera or light might have given them.

use anomalygpt::encoder::ImageFeatures;
use burn::tensor::{Tensor, TensorData};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Most that a channel is stretched by, as a share of its values.
const STRETCH: f32 = 0.35;
/// Most that a channel is moved by, in the standard deviations of a position's channels.
const SHIFT: f32 = 0.5;
/// Keeps the scale of an even position finite.
const EPSILON: f32 = 1e-5;

/// Brings each position to mean 0 and deviation 1, and stretches and moves each channel, for all positions of an image alike: what is
/// odd about an anomaly is how it differs from its surroundings, and channels by themselves tell only which products were drawn.
pub fn disturbed(features: ImageFeatures, rng: &mut ChaCha8Rng) -> ImageFeatures {
    let mut map = |map: Tensor<4>| {
        let [images, .., width] = map.dims();
        let device = map.device();
        let mut noise = |most: f32| {
            let values: Vec<f32> = (0..images * width).map(|_| rng.random_range(-most..most)).collect();
            Tensor::<4>::from_data(TensorData::new(values, [images, 1, 1, width]), &device)
        };
        let (variance, mean) = map.clone().var_mean_bias(3);
        (map - mean) / (variance + EPSILON).sqrt() * (noise(STRETCH) + 1.0) + noise(SHIFT)
    };
    let patch_tokens = features.patch_tokens.into_iter().map(|tokens| map(tokens.unsqueeze_dim(1)).squeeze_dim(1)).collect();
    let fine = features.fine.into_iter().map(&mut map).collect();
    ImageFeatures { patch_tokens, fine, ..features }
}
