//! SwiGLU: SiLU of one half of a product times its other half, and a projection back.

use burn::{
    module::Module,
    nn::{Initializer, Linear, LinearConfig},
    tensor::{Device, Tensor, activation::silu},
};

use super::config::LlamaConfig;

/// Gate and value from one product, and the projection back.
#[derive(Module, Debug)]
pub(super) struct FeedForward {
    /// `[hidden, 2 * feed_forward]`: the gate, then the value.
    gate_up: Linear,
    /// `[feed_forward, hidden]`
    down: Linear,
}

impl FeedForward {
    pub(super) fn new(config: &LlamaConfig, initializer: &Initializer, device: &Device) -> Self {
        let linear = |input, output| LinearConfig::new(input, output).with_bias(false).with_initializer(initializer.clone()).init(device);
        Self { gate_up: linear(config.hidden, 2 * config.feed_forward), down: linear(config.feed_forward, config.hidden) }
    }

    /// `[rows, hidden]` to the same shape.
    pub(super) fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let both = self.gate_up.forward(x);
        let width = both.dims()[1] / 2;
        self.down.forward(silu(both.clone().narrow(1, 0, width)) * both.narrow(1, width, width))
    }
}
