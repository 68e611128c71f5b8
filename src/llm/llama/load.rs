//! Weights from a [`TensorSource`], one tensor after the other, into the form that is asked for.

use std::collections::BTreeMap;

use burn::{
    module::Param,
    nn::{RmsNorm, RmsNormConfig},
    tensor::{DType, Device, Tensor, TensorData},
};

use super::{
    attention::Attention,
    config::LlamaConfig,
    feed_forward::FeedForward,
    host::Matrix,
    linear::{Embedding, Linear},
    network::{Block, LlamaNetwork},
    precision::Precision,
};
use crate::{
    device::runs_on_host,
    error::{Error, Result},
    weights::{
        TensorSource,
        keys::{self, Entry},
    },
};

impl LlamaNetwork {
    /// A network with the weights of a checkpoint under Hugging Face's names (`model.layers.0.self_attn.q_proj.weight`, ...), read one
    /// by one: it takes the network's memory and that of one tensor.
    ///
    /// On a processor without autodiff, weights are packed in host memory and multiplied by kernels of this crate. On other devices,
    /// and with autodiff, they are tensors of the device, in `f32` or `f16`.
    ///
    /// # Errors
    /// [`Error::WeightsMismatch`] with all that is missing, unused or of another shape, before anything is read; the source's own;
    /// [`Error::InvalidConfig`], also for a precision that the device does not have.
    pub fn read(config: &LlamaConfig, source: &dyn TensorSource, precision: Precision, device: &Device) -> Result<Self> {
        let host = runs_on_host(device) && !device.is_autodiff();
        check(precision, host, device)?;
        config.check()?;
        let entries = keys::llama_entries(source, config)?;
        Reader { config, source, entries, precision, device, host }.network()
    }
}

fn check(precision: Precision, host: bool, device: &Device) -> Result<()> {
    let reason = match precision {
        Precision::Q8 | Precision::Q4 if !host => "blocks of 8 and 4 bits need a processor, and no autodiff",
        Precision::F16 if !host && !device.supports_dtype(DType::F16) => "the device does not have it",
        _ => return Ok(()),
    };
    Err(Error::InvalidConfig { what: "precision", reason: format!("{precision}: {reason}").into() })
}

struct Reader<'a> {
    config: &'a LlamaConfig,
    source: &'a dyn TensorSource,
    /// By the names of this crate's parameters.
    entries: BTreeMap<String, Entry>,
    precision: Precision,
    device: &'a Device,
    host: bool,
}

impl Reader<'_> {
    fn network(&self) -> Result<LlamaNetwork> {
        let blocks = (0..self.config.layers).map(|layer| self.block(layer)).collect::<Result<_>>()?;
        let head = if self.config.tied { None } else { Some(self.linear("head")?) };
        Ok(LlamaNetwork::from_parts(self.config, self.embedding()?, blocks, self.norm("norm")?, head, self.precision, self.device))
    }

    fn block(&self, layer: usize) -> Result<Block> {
        let name = |part: &str| format!("blocks.{layer}.{part}");
        Ok(Block {
            attention_norm: self.norm(&name("attention_norm"))?,
            attention: Attention::new(self.linear(&name("attention.projection"))?, self.linear(&name("attention.output"))?, self.config),
            feed_forward_norm: self.norm(&name("feed_forward_norm"))?,
            feed_forward: FeedForward::new(self.linear(&name("feed_forward.gate_up"))?, self.linear(&name("feed_forward.down"))?),
        })
    }

    fn norm(&self, name: &str) -> Result<RmsNorm> {
        let mut norm = RmsNormConfig::new(self.config.hidden).with_epsilon(self.config.epsilon).init(self.device);
        for (source, _) in &self.entry(name)?.sources {
            norm.gamma = Param::from_tensor(Tensor::from_data(self.source.read_f32(source)?, self.device));
        }
        Ok(norm)
    }

    fn linear(&self, name: &str) -> Result<Linear> {
        let entry = self.entry(name)?;
        Ok(if self.host { Linear::packed(self.matrix(entry, self.precision)?) } else { Linear::from_rows(self.rows(entry)?) })
    }

    fn embedding(&self) -> Result<Embedding> {
        let entry = self.entry("embedding")?;
        Ok(if self.host {
            Embedding::packed(self.matrix(entry, self.precision.of_embedding())?)
        } else {
            Embedding::from_rows(self.rows(entry)?)
        })
    }

    /// The rows of all of an entry's tensors, packed.
    fn matrix(&self, entry: &Entry, precision: Precision) -> Result<Matrix> {
        let columns = entry.sources.first().and_then(|(_, shape)| shape.last()).copied().unwrap_or_default();
        let mut matrix = Matrix::with_capacity(precision, entry.rows(), columns);
        for (name, _) in &entry.sources {
            matrix.append(&self.floats(name)?).ok_or_else(|| self.misfit(name, precision))?;
        }
        Ok(matrix)
    }

    /// The same as a tensor of the device.
    fn rows(&self, entry: &Entry) -> Result<Tensor<2>> {
        let dtype = if self.precision == Precision::F32 { DType::F32 } else { DType::F16 };
        let mut parts = vec![];
        for (name, _) in &entry.sources {
            let data = self.floats(name)?.convert_dtype(dtype);
            if data.as_slice::<half::f16>().is_ok_and(|values| values.iter().any(|value| !value.is_finite())) {
                return Err(self.misfit(name, self.precision));
            }
            parts.push(Tensor::from_data(data, (self.device, dtype)));
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Tensor::cat(parts, 0) })
    }

    /// A tensor's values; of 16 bits only where they stay so, as a merged source rounds to them.
    fn floats(&self, name: &str) -> Result<TensorData> {
        let stays = self.precision == Precision::F16 && matches!(self.source.info(name)?.dtype, DType::F16 | DType::BF16);
        if stays { self.source.read(name) } else { self.source.read_f32(name) }
    }

    fn entry(&self, name: &str) -> Result<&Entry> {
        let name = format!("{name}.weight");
        self.entries.get(&name).ok_or_else(|| mismatch(self.source, vec![name], vec![]))
    }

    fn misfit(&self, name: &str, precision: Precision) -> Error {
        mismatch(self.source, vec![], vec![format!("{name}: it has values that are too large for {precision}")])
    }
}

fn mismatch(source: &dyn TensorSource, missing: Vec<String>, misfits: Vec<String>) -> Error {
    Error::WeightsMismatch { origin: source.origin().display().to_string(), missing, unused: vec![], misfits }
}
