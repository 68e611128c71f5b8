//! EfficientNet-Lite (Tan & Le 2019): an image trunk fast enough for a processor.
//!
//! The `lite` variants have no squeeze-and-excitation and clamp at 6. Batch normalisation is folded into the convolutions, and
//! padding is TensorFlow's SAME. On a processor the trunk runs in kernels of its own, on other devices in Burn's operations;
//! both give the same numbers within rounding.

mod config;
mod encoder;
mod geometry;
mod host;
mod layers;
mod resample;
#[cfg(test)]
mod tests;

use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;

use config::BlockShape;
pub use config::{EfficientNetConfig, Stage};
pub use encoder::{EfficientNetEncoder, PATCH, SIZE};
use layers::{Layers, host_numbers};

use crate::{
    device::runs_on_host,
    error::{Error, Result},
    weights::{Layout, StateDict},
};

/// The trunk, up to its last tap.
#[derive(Debug)]
pub struct EfficientNet {
    config: EfficientNetConfig,
    widths: Vec<usize>,
    device: Device,
    path: Path,
}

#[derive(Debug)]
enum Path {
    Host(host::Trunk),
    Device(Layers, Vec<BlockShape>),
}

impl EfficientNet {
    /// Builds the trunk from the tensors `stem.*` and `blocks.N.{expand,depthwise,project}.*`, each with `weight` and
    /// `bias`. Tensors of blocks after the last tap are passed over.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for a shape that can't be built; [`Error::WeightsMismatch`] where the tensors don't fit it.
    pub fn from_state(config: &EfficientNetConfig, state: &StateDict, device: &Device) -> Result<Self> {
        Self::build(config, state, device, runs_on_host(device))
    }

    /// The trunk in Burn's operations on every device, processors included, to compare with.
    ///
    /// # Errors
    /// As [`from_state`](Self::from_state).
    pub fn portable(config: &EfficientNetConfig, state: &StateDict, device: &Device) -> Result<Self> {
        Self::build(config, state, device, false)
    }

    fn build(config: &EfficientNetConfig, state: &StateDict, device: &Device, on_host: bool) -> Result<Self> {
        let device = device.clone().without_autodiff();
        let shapes = config.blocks()?;
        let layers = up_to(state, shapes.len()).load_into(Layers::zeros(config.stem, &shapes, &device), Layout::Burn)?;
        let path = if on_host { Path::Host(layers.to_host(&shapes)?) } else { Path::Device(layers, shapes) };
        Ok(Self { config: config.clone(), widths: config.tap_widths()?, device, path })
    }

    /// The shape that it was built with.
    pub fn config(&self) -> &EfficientNetConfig {
        &self.config
    }

    /// Channels of each tap, the fine ones first.
    pub fn tap_widths(&self) -> &[usize] {
        &self.widths
    }

    /// Features of images of any size, `[batch, 3, height, width]`: one tensor a tap, `[batch, channels, rows, columns]`, where
    /// rows and columns are the image's over the tap's stride, rounded up. No gradients flow through the trunk.
    ///
    /// # Errors
    /// [`Error::Incompatible`] for other than three channels, [`Error::InvalidConfig`] for images without pixels.
    pub fn forward(&self, images: Tensor<4>) -> Result<Vec<Tensor<4>>> {
        Ok(self.channels_last(images)?.into_iter().map(|tap| tap.permute([0, 3, 1, 2])).collect())
    }

    /// [`forward`](Self::forward) in the order `[batch, rows, columns, channels]`, which costs no transposition on a processor.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn channels_last(&self, images: Tensor<4>) -> Result<Vec<Tensor<4>>> {
        let [batch, channels, height, width] = images.dims();
        if channels != 3 {
            return Err(Error::Incompatible { left: "the preprocessing", right: "the image trunk", expected: 3, found: channels });
        }
        if batch * height * width == 0 || height.max(width) > MAX_SIDE {
            let reason = format!("{batch} images of {height} x {width} can't be encoded; sides are from 1 to {MAX_SIDE}");
            return Err(Error::InvalidConfig { what: "image batch", reason: reason.into() });
        }
        let images = images.without_autodiff();
        match &self.path {
            Path::Host(trunk) => self.on_host(trunk, images),
            Path::Device(layers, shapes) => {
                let taps = layers.forward(images, shapes, &self.config.taps);
                Ok(taps.into_iter().map(|tap| tap.permute([0, 2, 3, 1])).collect())
            }
        }
    }

    fn on_host(&self, trunk: &host::Trunk, images: Tensor<4>) -> Result<Vec<Tensor<4>>> {
        let [batch, _, height, width] = images.dims();
        let pixels = host_numbers(images.into_data())?;
        let mut taps: Vec<_> = self.widths.iter().map(|_| (Vec::new(), [0; 2])).collect();
        // A thread that waits for one image's rows would otherwise start on another, and memory would grow with the batch.
        for images in pixels.chunks(3 * height * width * rayon::current_num_threads()) {
            let encode = |image| trunk.forward(image, [height, width], &self.config.taps);
            let encoded: Vec<_> = images.par_chunks_exact(3 * height * width).map(encode).collect();
            for outputs in encoded {
                for (tap, (numbers, size)) in taps.iter_mut().zip(outputs) {
                    tap.0.extend(numbers);
                    tap.1 = size;
                }
            }
        }
        let tensor = |((numbers, [rows, columns]), channels): ((Vec<f32>, [usize; 2]), &usize)| {
            Tensor::from_data(TensorData::new(numbers, [batch, rows, columns, *channels]), &self.device)
        };
        Ok(taps.into_iter().zip(&self.widths).map(tensor).collect())
    }
}

/// The longest side of an image; positions are counted in 32 bits.
const MAX_SIDE: usize = 1 << 15;

/// Without the blocks from `count` on.
fn up_to(state: &StateDict, count: usize) -> StateDict {
    let cut = |name: &str| {
        name.strip_prefix("blocks.").and_then(|rest| rest.split('.').next()?.parse::<usize>().ok()).is_some_and(|n| n >= count)
    };
    state.renamed(|name| (!cut(name)).then(|| name.to_owned()))
}
