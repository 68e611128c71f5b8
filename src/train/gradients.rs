//! Clipping by the norm of all gradients together, as `torch.nn.utils.clip_grad_norm_`; Burn's own clips each tensor by itself.

use burn::{
    module::{Module, ModuleVisitor, Param},
    optim::GradientsParams,
    tensor::Tensor,
};

use crate::error::{Error, Result};

/// Added to the norm before dividing, as torch does.
const NORM_EPSILON: f64 = 1e-6;

/// The gradients scaled so that their joint norm is at most `limit`, and the norm that they had.
pub(super) fn clip<M: Module>(module: &M, gradients: GradientsParams, limit: f64) -> Result<(GradientsParams, f64)> {
    let mut squares = Squares { gradients: &gradients, sum: 0.0 };
    module.visit(&mut squares);
    let norm = squares.sum.sqrt();
    if !norm.is_finite() {
        return Err(Error::NotFinite { component: "the gradients' norm", count: 1, first: 0 });
    }
    let scale = limit / (norm + NORM_EPSILON);
    if scale >= 1.0 {
        return Ok((gradients, norm));
    }
    let mut scaling = Scaling { gradients, scale };
    module.visit(&mut scaling);
    Ok((scaling.gradients, norm))
}

struct Squares<'a> {
    gradients: &'a GradientsParams,
    sum: f64,
}

impl ModuleVisitor for Squares<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            self.sum += f64::from((gradient.clone() * gradient).sum().into_scalar::<f32>());
        }
    }
}

struct Scaling {
    gradients: GradientsParams,
    scale: f64,
}

impl ModuleVisitor for Scaling {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.remove::<D>(param.id) {
            self.gradients.register(param.id, gradient.mul_scalar(self.scale));
        }
    }
}
