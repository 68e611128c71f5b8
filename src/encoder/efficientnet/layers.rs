//! The trunk's parameters, and the trunk in Burn's own operations, for devices other than the processor.

use burn::{
    module::{Module, Param},
    nn::Initializer,
    tensor::{Device, Tensor, TensorData, module::conv2d, ops::ConvOptions},
};

use super::{
    config::{BlockShape, STEM},
    geometry::Window,
    host,
};
use crate::error::{Error, Result};

/// A pointwise convolution.
#[derive(Module, Debug)]
struct Pointwise {
    weight: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
}

impl Pointwise {
    fn zeros(outputs: usize, inputs: usize, device: &Device) -> Self {
        Self { weight: Initializer::Zeros.init([outputs, inputs], device), bias: Initializer::Zeros.init([outputs], device) }
    }

    fn numbers(&self) -> Result<[Vec<f32>; 2]> {
        Ok([numbers(self.weight.val())?, numbers(self.bias.val())?])
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        conv2d(x, self.weight.val().unsqueeze_dims(&[2, 3]), Some(self.bias.val()), ConvOptions::new([1, 1], [0, 0], [1, 1], 1))
    }
}

/// A convolution over space.
#[derive(Module, Debug)]
struct Spatial {
    weight: Param<Tensor<4>>,
    bias: Param<Tensor<1>>,
}

impl Spatial {
    fn zeros(shape: [usize; 4], device: &Device) -> Self {
        Self { weight: Initializer::Zeros.init(shape, device), bias: Initializer::Zeros.init([shape[0]], device) }
    }

    fn forward(&self, x: Tensor<4>, window: Window) -> Tensor<4> {
        let [_, channels, height, width] = x.dims();
        let padding = [height, width].map(|side| window.padding(side).into());
        let weight = self.weight.val();
        let groups = channels / weight.dims()[1];
        conv2d(x, weight, Some(self.bias.val()), ConvOptions::new_with_padding([window.stride; 2], padding, [1, 1], groups))
    }
}

/// An inverted bottleneck.
#[derive(Module, Debug)]
struct Block {
    expand: Option<Pointwise>,
    depthwise: Spatial,
    project: Pointwise,
}

impl Block {
    fn zeros(shape: &BlockShape, device: &Device) -> Self {
        let BlockShape { window, inputs, middle, outputs, expands } = *shape;
        Self {
            expand: expands.then(|| Pointwise::zeros(middle, inputs, device)),
            depthwise: Spatial::zeros([middle, 1, window.kernel, window.kernel], device),
            project: Pointwise::zeros(outputs, middle, device),
        }
    }

    fn forward(&self, x: Tensor<4>, shape: &BlockShape) -> Tensor<4> {
        let input = shape.residual().then(|| x.clone());
        let x = match &self.expand {
            Some(expand) => expand.forward(x).clamp(0.0, 6.0),
            None => x,
        };
        let x = self.project.forward(self.depthwise.forward(x, shape.window).clamp(0.0, 6.0));
        match input {
            Some(input) => x + input,
            None => x,
        }
    }
}

/// All parameters under the names of the weight file.
#[derive(Module, Debug)]
pub(super) struct Layers {
    stem: Spatial,
    blocks: Vec<Block>,
}

impl Layers {
    /// Parameters to load into.
    pub(super) fn zeros(stem: usize, blocks: &[BlockShape], device: &Device) -> Self {
        Self {
            stem: Spatial::zeros([stem, 3, STEM.kernel, STEM.kernel], device),
            blocks: blocks.iter().map(|shape| Block::zeros(shape, device)).collect(),
        }
    }

    /// Outputs of the blocks `taps`, each `[batch, channels, height, width]`.
    pub(super) fn forward(&self, images: Tensor<4>, shapes: &[BlockShape], taps: &[usize]) -> Vec<Tensor<4>> {
        let mut x = self.stem.forward(images, STEM).clamp(0.0, 6.0);
        let mut outputs = Vec::with_capacity(taps.len());
        for (index, (block, shape)) in self.blocks.iter().zip(shapes).enumerate() {
            x = block.forward(x, shape);
            if taps.contains(&index) {
                outputs.push(x.clone());
            }
        }
        outputs
    }

    /// The same parameters packed for the processor.
    pub(super) fn to_host(&self, shapes: &[BlockShape]) -> Result<host::Trunk> {
        let [weight, bias] = [numbers(self.stem.weight.val())?, numbers(self.stem.bias.val())?];
        let stem = host::Stem::new(STEM, &weight, &bias);
        let mut blocks = Vec::with_capacity(self.blocks.len());
        for (block, shape) in self.blocks.iter().zip(shapes) {
            let expand = block.expand.as_ref().map(Pointwise::numbers).transpose()?;
            let depthwise = [numbers(block.depthwise.weight.val())?, numbers(block.depthwise.bias.val())?];
            let project = block.project.numbers()?;
            let expand = expand.as_ref().map(|[weight, bias]| [weight.as_slice(), bias.as_slice()]);
            let [depthwise, project] = [&depthwise, &project].map(|[weight, bias]| [weight.as_slice(), bias.as_slice()]);
            blocks.push(host::Block::new(shape.window, expand, depthwise, project));
        }
        Ok(host::Trunk::new(stem, blocks))
    }
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>> {
    host_numbers(tensor.into_data())
}

/// A tensor's numbers as `f32`.
pub(super) fn host_numbers(data: TensorData) -> Result<Vec<f32>> {
    data.convert::<f32>().try_into_vec().map_err(|error| Error::component("the image trunk", error.to_string()))
}
