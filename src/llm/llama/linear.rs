//! A matrix of weights in one of the forms of [`Precision`](super::Precision), and the token embedding.
//!
//! In packed form, weights are host memory: they are not parameters of the module, and nothing is differentiated through them.

use std::sync::Arc;

use burn::{
    module::{Initializer, Module, Param},
    tensor::{DType, Device, Int, Tensor, TensorData, module},
};

use super::host::Matrix;

/// A product without bias. One of the two forms is there.
#[derive(Module, Debug)]
pub(super) struct Linear {
    /// `[in, out]` on a device, in `f32` or `f16`.
    weight: Option<Param<Tensor<2>>>,
    /// `[out, in]` in host memory.
    #[module(skip)]
    packed: Option<Arc<Matrix>>,
}

impl Linear {
    pub(super) fn new(input: usize, output: usize, initializer: &Initializer, device: &Device) -> Self {
        Self { weight: Some(initializer.init_with([input, output], Some(input), Some(output), device)), packed: None }
    }

    /// With weights `[out, in]`.
    pub(super) fn from_rows(rows: Tensor<2>) -> Self {
        Self { weight: Some(Param::from_tensor(rows.transpose())), packed: None }
    }

    pub(super) fn packed(matrix: Matrix) -> Self {
        Self { weight: None, packed: Some(Arc::new(matrix)) }
    }

    /// `[rows, in]` to `[rows, out]`.
    pub(super) fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        match (&self.weight, &self.packed) {
            (Some(weight), _) => in_type_of(weight.val(), x, |weight, x| module::linear(x, weight, None)),
            (None, Some(matrix)) => packed_product(matrix, x),
            (None, None) => x,
        }
    }
}

/// Vectors of tokens. One of the two forms is there.
#[derive(Module, Debug)]
pub(super) struct Embedding {
    /// `[vocabulary, hidden]` on a device, in `f32` or `f16`.
    weight: Option<Param<Tensor<2>>>,
    /// The same in host memory.
    #[module(skip)]
    packed: Option<Arc<Matrix>>,
}

impl Embedding {
    pub(super) fn new(vocabulary: usize, hidden: usize, initializer: &Initializer, device: &Device) -> Self {
        Self { weight: Some(initializer.init_with([vocabulary, hidden], Some(vocabulary), Some(hidden), device)), packed: None }
    }

    pub(super) fn from_rows(rows: Tensor<2>) -> Self {
        Self { weight: Some(Param::from_tensor(rows)), packed: None }
    }

    pub(super) fn packed(matrix: Matrix) -> Self {
        Self { weight: None, packed: Some(Arc::new(matrix)) }
    }

    /// `[batch, positions]` to `[batch, positions, hidden]`, in `f32`.
    pub(super) fn forward(&self, ids: Tensor<2, Int>) -> Tensor<3> {
        match (&self.weight, &self.packed) {
            (Some(weight), _) => {
                let found = module::embedding(weight.val(), ids);
                if found.dtype() == DType::F32 { found } else { found.cast(DType::F32) }
            }
            (None, Some(matrix)) => {
                let ([batch, positions], device) = (ids.dims(), ids.device());
                let values: Vec<f32> = ids.into_data().iter::<i64>().flat_map(|id| matrix.row(id as usize)).collect();
                Tensor::from_data(TensorData::new(values, [batch, positions, matrix.columns()]), &device)
            }
            (None, None) => Tensor::zeros([ids.dims()[0], ids.dims()[1], 0], &ids.device()),
        }
    }

    /// The head of a model that has none of its own: `[rows, hidden]` to `[rows, vocabulary]`.
    pub(super) fn logits(&self, x: Tensor<2>) -> Tensor<2> {
        match (&self.weight, &self.packed) {
            (Some(weight), _) => in_type_of(weight.val(), x, |weight, x| x.matmul(weight.transpose())),
            (None, Some(matrix)) => packed_product(matrix, x),
            (None, None) => x,
        }
    }
}

/// A product in the weights' type, with activations in `f32` around it.
fn in_type_of(weight: Tensor<2>, x: Tensor<2>, product: impl FnOnce(Tensor<2>, Tensor<2>) -> Tensor<2>) -> Tensor<2> {
    let (inner, outer) = (weight.dtype(), x.dtype());
    if inner == outer {
        return product(weight, x);
    }
    product(weight, x.cast(inner)).cast(outer)
}

fn packed_product(matrix: &Matrix, x: Tensor<2>) -> Tensor<2> {
    let ([rows, _], device) = (x.dims(), x.device());
    let x = x.into_data();
    let products = match x.as_slice::<f32>() {
        Ok(x) => matrix.product(x),
        Err(_) => matrix.product(&x.iter::<f32>().collect::<Vec<_>>()),
    };
    Tensor::from_data(TensorData::new(products, [rows, matrix.rows()]), &device)
}
