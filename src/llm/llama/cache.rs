//! Keys and values of the positions that were read.

use burn::tensor::Tensor;

/// Keys and values of earlier positions, one pair a block; empty before the first pass.
///
/// A clone shares what it holds, so that several continuations can start from one prompt.
#[derive(Clone, Debug, Default)]
pub struct KeyValueCache {
    layers: Vec<[Tensor<4>; 2]>,
}

impl KeyValueCache {
    /// How many positions it holds.
    pub fn len(&self) -> usize {
        self.layers.first().map_or(0, |[keys, _]| keys.dims()[2])
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds keys and values `[batch, heads, positions, width]` of a block, and returns all of them. It grows by `cat`: a
    /// slice of a larger buffer would be copied at each use.
    pub(super) fn extend(&mut self, layer: usize, keys: Tensor<4>, values: Tensor<4>) -> [Tensor<4>; 2] {
        match self.layers.get_mut(layer) {
            Some(all) => {
                *all = [Tensor::cat(vec![all[0].clone(), keys], 2), Tensor::cat(vec![all[1].clone(), values], 2)];
                all.clone()
            }
            None => {
                self.layers.push([keys.clone(), values.clone()]);
                [keys, values]
            }
        }
    }
}
