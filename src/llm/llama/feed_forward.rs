//! SwiGLU: SiLU of one half of a product times its other half, and a projection back.

use burn::{
    module::Module,
    tensor::{Tensor, activation::silu},
};

use super::linear::Linear;

/// Gate and value from one product, and the projection back.
#[derive(Module, Debug)]
pub(super) struct FeedForward {
    /// `[hidden, 2 * feed_forward]`: the gate, then the value.
    gate_up: Linear,
    /// `[feed_forward, hidden]`
    down: Linear,
}

impl FeedForward {
    pub(super) fn new(gate_up: Linear, down: Linear) -> Self {
        Self { gate_up, down }
    }

    /// `[rows, hidden]` to the same shape.
    pub(super) fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let both = self.gate_up.forward(x);
        let width = both.dims()[1] / 2;
        self.down.forward(silu(both.clone().narrow(1, 0, width)) * both.narrow(1, width, width))
    }
}
