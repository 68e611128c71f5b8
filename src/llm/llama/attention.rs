//! Causal self-attention with rotary positions and grouped keys and values.

use burn::{
    module::Module,
    tensor::{Bool, Int, Tensor, module::attention, ops::AttentionModuleOptions},
};

use super::{cache::KeyValueCache, config::LlamaConfig, linear::Linear, rotary::Rotation};

/// Queries, keys and values from one product, and the output's projection.
#[derive(Module, Debug)]
pub(super) struct Attention {
    /// `[hidden, (heads + 2 * key_value_heads) * width]`: queries, then keys, then values.
    projection: Linear,
    /// `[hidden, hidden]`
    output: Linear,
    heads: usize,
    key_value_heads: usize,
}

/// What all blocks of one pass share.
#[derive(Debug)]
pub(super) struct Pass {
    rotation: Rotation,
    positions: usize,
    /// `[batch, heads, positions, past + positions]`, true where nothing is seen; without it, all of the past is seen.
    hidden: Option<Tensor<4, Bool>>,
}

impl Pass {
    /// `keep`, `[batch, past + positions]`, is true at real positions and false at padding.
    pub(super) fn new(rotation: Rotation, keep: Option<Tensor<2, Bool>>, heads: usize, positions: usize) -> Self {
        let hidden = keep.map(|keep| {
            let [batch, all] = keep.dims();
            let device = keep.device();
            let shape = [batch, heads, positions, all];
            let past = (all - positions) as i64;
            let rows = Tensor::<1, Int>::arange(past..all as i64, &device).reshape([1, 1, positions, 1]).expand(shape);
            let columns = Tensor::<1, Int>::arange(0..all as i64, &device).reshape([1, 1, 1, all]).expand(shape);
            columns.greater(rows).bool_or(keep.bool_not().reshape([batch, 1, 1, all]).expand(shape))
        });
        Self { rotation, positions, hidden }
    }
}

impl Attention {
    pub(super) fn new(projection: Linear, output: Linear, config: &LlamaConfig) -> Self {
        Self { projection, output, heads: config.heads, key_value_heads: config.key_value_heads }
    }

    /// `[batch * positions, hidden]` to the same shape; `cache` is the whole network's, and `layer` its part of it.
    pub(super) fn forward(&self, x: Tensor<2>, pass: &Pass, cache: Option<&mut KeyValueCache>, layer: usize) -> Tensor<2> {
        let [rows, hidden] = x.dims();
        let (positions, batch) = (pass.positions, rows / pass.positions.max(1));
        let (heads, groups) = (self.heads, self.key_value_heads);
        let all = self.projection.forward(x).reshape([batch, positions, heads + 2 * groups, hidden / heads]);
        let turned = pass.rotation.apply(all.clone().narrow(2, 0, heads + groups)).swap_dims(1, 2);
        let values = all.narrow(2, heads + groups, groups).swap_dims(1, 2);
        let keys = turned.clone().narrow(1, heads, groups);
        let queries = turned.narrow(1, 0, heads);
        let [keys, values] = match cache {
            Some(cache) => cache.extend(layer, keys, values),
            None => [keys, values],
        };
        let seen = self.attend(queries, keys, values, pass);
        self.output.forward(seen.swap_dims(1, 2).reshape([rows, hidden]))
    }

    /// Queries `[batch, heads, positions, width]`, keys and values `[batch, groups, all, width]`.
    fn attend(&self, queries: Tensor<4>, keys: Tensor<4>, values: Tensor<4>, pass: &Pass) -> Tensor<4> {
        let [batch, heads, positions, width] = queries.dims();
        let groups = self.key_value_heads;
        let options = |is_causal| AttentionModuleOptions { scale: None, softcap: None, is_causal };
        if positions == 1 && pass.hidden.is_none() {
            // One position sees all keys: the heads of a group are as good as positions, and nothing is repeated.
            let queries = queries.reshape([batch, groups, heads / groups, width]);
            return attention(queries, keys, values, None, None, options(false)).reshape([batch, heads, 1, width]);
        }
        let (keys, values) = (repeat(keys, heads / groups), repeat(values, heads / groups));
        attention(queries, keys, values, pass.hidden.clone(), None, options(pass.hidden.is_none()))
    }
}

/// Repeats each head so many times in a row.
fn repeat(heads: Tensor<4>, times: usize) -> Tensor<4> {
    if times == 1 {
        return heads;
    }
    let [batch, groups, positions, width] = heads.dims();
    heads.reshape([batch, groups, 1, positions, width]).expand([batch, groups, times, positions, width]).reshape([
        batch,
        groups * times,
        positions,
        width,
    ])
}
