//! The paper's prompt learner: learned base vectors, and a small convolution net over the anomaly map.
//!
//! Names and sizes of the authors' model: channels 4, 16, 64, 256, 1024 over a map of 224x224, width 4096.
//!
//! Deviations from the paper: a map of another size is resampled first. If asked to, the net also sees where each value lies, as
//! two more channels (CoordConv, Liu et al. 2018): convolutions and pooling by themselves are made to forget it, and where the nine
//! cells end is all that answers tell of a place.

use burn::{
    config::Config,
    module::{Module, Param},
    nn::{
        Initializer, Linear, LinearConfig,
        conv::{Conv2d, Conv2dConfig},
    },
    tensor::{Device, Distribution, Int, Tensor, activation::relu, module::max_pool2d, ops::MaxPoolOptions},
};

use super::{PromptEmbeddings, PromptLearner};
use crate::{
    convolution::convolved,
    decoder::upsample::antialiased,
    encoder::ImageFeatures,
    error::{Error, Result},
};

/// Side of the last convolution's kernel.
const LAST_KERNEL: usize = 5;

/// Channels of a map and its two coordinates.
const POSITIONED: usize = 3;

/// Rows and columns of vectors that come of the map.
const OUTPUT_SIDE: usize = 3;

/// Shape of a [`ConvPromptLearner`].
#[derive(Config, Debug)]
pub struct ConvPromptLearnerConfig {
    /// Width of the language model's embeddings.
    pub width: usize,
    /// Width of [`ImageFeatures::embedding`].
    pub embedding_width: usize,
    /// Side of the map that the net takes; halved once a channel step, it must end at 7.
    #[config(default = 224)]
    pub map_side: usize,
    /// Channels after each convolution but the last.
    #[config(default = "vec![4, 16, 64, 256, 1024]")]
    pub channels: Vec<usize>,
    /// Number of learned vectors that don't depend on the map.
    #[config(default = 9)]
    pub base_prompts: usize,
    /// Whether the net sees where each value of the map lies.
    #[config(default = false)]
    pub coordinates: bool,
}

impl ConvPromptLearnerConfig {
    /// A prompt learner with random weights.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] where the map's side, halved once a channel step, does not end at 7.
    pub fn init(&self, device: &Device) -> Result<ConvPromptLearner> {
        let end = OUTPUT_SIDE + LAST_KERNEL - 1;
        let needed = end.checked_shl(self.channels.len() as u32).filter(|_| self.channels.len() < 32);
        if needed != Some(self.map_side) {
            let reason = format!("{} halved {} times must be {end}", self.map_side, self.channels.len());
            return Err(Error::InvalidConfig { what: "side of the map", reason: reason.into() });
        }
        let input = if self.coordinates { POSITIONED } else { 1 };
        let into = std::iter::once(input).chain(self.channels.iter().copied());
        let step = |(from, &to)| unbiased(Conv2dConfig::new([from, to], [3, 3]), device);
        let mut meta_net: Vec<Conv2d> = into.zip(&self.channels).map(step).collect();
        let last = self.channels.last().copied().unwrap_or(input);
        meta_net.push(unbiased(Conv2dConfig::new([last, self.width], [LAST_KERNEL; 2]), device));
        Ok(ConvPromptLearner {
            base_prompts: Param::from_tensor(Tensor::random([self.base_prompts, self.width], Distribution::Normal(0.0, 1.0), device)),
            meta_net,
            llama_proj: LinearConfig::new(self.embedding_width, self.width).init(device),
            map_side: self.map_side,
        })
    }
}

/// A convolution before a ReLU with He's initial weights and no bias yet, so that what comes of the map is not drowned.
fn unbiased(config: Conv2dConfig, device: &Device) -> Conv2d {
    let mut convolution =
        config.with_initializer(Initializer::KaimingUniform { gain: std::f64::consts::SQRT_2, fan_out_only: false }).init(device);
    convolution.bias = convolution.bias.map(|bias| Param::from_tensor(bias.val().zeros_like()));
    convolution
}

/// Base vectors, then nine vectors of a convolution net over the map, row by row; and the image token.
#[derive(Module, Debug)]
pub struct ConvPromptLearner {
    base_prompts: Param<Tensor<2>>,
    meta_net: Vec<Conv2d>,
    llama_proj: Linear,
    map_side: usize,
}

impl ConvPromptLearner {
    /// Vectors for a map `[batch, 1, height, width]`: `[batch, base prompts + 9, width]` (`prompt_learner` of the
    /// reference). Gradients pass to the weights and to the map.
    pub fn prompts(&self, map: Tensor<4>) -> Tensor<3> {
        let batch = map.dims()[0];
        let map = self.input(map);
        let spatial = match self.meta_net.split_last() {
            Some((last, steps)) => convolved(last, steps.iter().fold(map, |map, step| pooled(convolved(step, map, 1))), 0),
            None => map,
        };
        let spatial = spatial.flatten::<3>(2, 3).swap_dims(1, 2);
        let base = self.base_prompts.val();
        let [rows, width] = base.dims();
        Tensor::cat(vec![base.unsqueeze::<3>().expand([batch, rows, width]), spatial], 1)
    }

    /// What the net takes of a map.
    fn input(&self, map: Tensor<4>) -> Tensor<4> {
        let map = antialiased(map, [self.map_side; 2]);
        match self.meta_net.first().map(|step| step.weight.dims()[1]) {
            Some(POSITIONED) => positioned(map),
            _ => map,
        }
    }

    /// The image token for embeddings `[batch, embedding width]`: `[batch, 1, width]`.
    pub fn image_token(&self, embedding: Tensor<2>) -> Tensor<3> {
        self.llama_proj.forward(embedding).unsqueeze_dim(1)
    }
}

/// A map `[batch, 1, side, side]` and, from -1 to 1, how far to the right and how far down each of its values lies.
fn positioned(map: Tensor<4>) -> Tensor<4> {
    let [batch, _, side, _] = map.dims();
    let cells = Tensor::<1, Int>::arange(0..side as i64, &map.device()).float();
    let shares = cells * (2.0 / side.saturating_sub(1).max(1) as f32) - 1.0;
    let across = shares.reshape([1, 1, 1, side]).expand([batch, 1, side, side]);
    Tensor::cat(vec![map, across.clone(), across.swap_dims(2, 3)], 1)
}

fn pooled(map: Tensor<4>) -> Tensor<4> {
    max_pool2d(relu(map), MaxPoolOptions::new([2, 2]).with_stride([2, 2]))
}

impl PromptLearner for ConvPromptLearner {
    fn width(&self) -> usize {
        self.base_prompts.dims()[1]
    }

    fn embedding_width(&self) -> Option<usize> {
        Some(self.llama_proj.weight.dims()[0])
    }

    fn prompt(&self, image: &ImageFeatures, map: Tensor<4>) -> Result<PromptEmbeddings> {
        let ([batch, found], [maps, channels, ..]) = (image.embedding.dims(), map.dims());
        let fits = |left, expected, found| match expected == found {
            true => Ok(()),
            false => Err(Error::Incompatible { left, right: "the prompt learner", expected, found }),
        };
        fits("the image encoder", self.llama_proj.weight.dims()[0], found)?;
        fits("the decoder", batch, maps)?;
        fits("the decoder", 1, channels)?;
        Ok(PromptEmbeddings { image: self.image_token(image.embedding.clone()), prompt: self.prompts(map) })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use burn::tensor::TensorData;

    use super::*;
    use crate::weights::{Layout, StateDict};

    fn learner(device: &Device) -> ConvPromptLearner {
        let config = ConvPromptLearnerConfig::new(6, 5).with_map_side(28).with_channels(vec![2, 3]).with_base_prompts(4);
        config.init(device).unwrap()
    }

    fn image(batch: usize, width: usize, device: &Device) -> ImageFeatures {
        ImageFeatures { patch_tokens: vec![], grid: [0, 0], fine: vec![], embedding: Tensor::ones([batch, width], device) }
    }

    #[test]
    fn a_map_of_any_size_gives_the_same_number_of_vectors() {
        let device = Device::default();
        let learner = learner(&device);
        for size in [[28, 28], [1, 1], [50, 20], [200, 300]] {
            let map = Tensor::ones([2, 1, size[0], size[1]], &device);
            let found = learner.prompt(&image(2, 5, &device), map).unwrap();
            assert_eq!((found.image.dims(), found.prompt.dims()), ([2, 1, 6], [2, 13, 6]));
        }
        assert_eq!(learner.width(), 6);
    }

    #[test]
    fn only_the_last_vectors_see_the_map_and_each_sees_its_place() {
        let device = Device::default();
        // Weights above zero, so that no ReLU hides a change.
        let mut state = StateDict::new("a test");
        let random = StateDict::of(&learner(&device), "a test");
        for name in random.names() {
            state.insert(name, TensorData::full(random.get(name).unwrap().shape().clone(), 0.1f32));
        }
        let learner = state.load_into(learner(&device), Layout::Burn).unwrap();
        let dark = Tensor::<4>::zeros([1, 1, 28, 28], &device);
        let corner = dark.clone().slice_fill([0..1, 0..1, 24..28, 24..28], 1.0);
        let change = (learner.prompts(dark) - learner.prompts(corner)).abs().max_dim(2).into_data().try_to_vec::<f32>().unwrap();
        assert!(change[..4].iter().all(|&value| value == 0.0));
        assert!(change[12] > 0.0, "bottom right is the last");
        assert_eq!(change[4], 0.0, "top left is the first");
    }

    #[test]
    fn a_map_is_followed_by_its_coordinates_if_they_are_asked_for() {
        let device = Device::default();
        let found = positioned(Tensor::full([2, 1, 3, 3], 7.0, &device)).into_data().try_to_vec::<f32>().unwrap();
        let (across, down) = ([-1.0, 0.0, 1.0, -1.0, 0.0, 1.0, -1.0, 0.0, 1.0], [-1.0, -1.0, -1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
        assert_eq!(found, [[7.0; 9], across, down, [7.0; 9], across, down].concat());

        for (side, steps) in [(28, vec![2, 3]), (7, vec![])] {
            let config = ConvPromptLearnerConfig::new(6, 5).with_map_side(side).with_channels(steps);
            for (coordinates, channels) in [(false, 1), (true, POSITIONED)] {
                let learner = config.clone().with_coordinates(coordinates).init(&device).unwrap();
                let map = Tensor::full([1, 1, 40, 30], 0.5, &device);
                assert_eq!(learner.input(map.clone()).dims(), [1, channels, side, side]);
                assert_eq!(learner.prompts(map).dims(), [1, 18, 6]);
            }
        }
    }

    #[test]
    fn other_widths_and_sides_are_refused() {
        let device = Device::default();
        let learner = learner(&device);
        let found = learner.prompt(&image(2, 4, &device), Tensor::ones([2, 1, 28, 28], &device));
        assert!(matches!(found, Err(Error::Incompatible { expected: 5, found: 4, .. })));
        let found = learner.prompt(&image(2, 5, &device), Tensor::ones([1, 1, 28, 28], &device));
        assert!(matches!(found, Err(Error::Incompatible { expected: 2, found: 1, .. })));
        for side in [0, 7, 223, 448] {
            assert!(matches!(ConvPromptLearnerConfig::new(6, 5).with_map_side(side).init(&device), Err(Error::InvalidConfig { .. })));
        }
    }
}
