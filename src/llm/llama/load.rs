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
        let precision = held(precision, host, device)?;
        config.check()?;
        let entries = keys::llama_entries(source, config)?;
        Reader { config, source, entries, precision, device, host }.network()
    }
}

/// How the device holds what is wanted.
fn held(precision: Precision, host: bool, device: &Device) -> Result<Precision> {
    let halves = device.supports_dtype(DType::F16);
    let reason = match precision {
        Precision::Q8 | Precision::Q4 if !host => "blocks of 8 and 4 bits need a processor, and no autodiff",
        Precision::F16 if !host && !halves => "the device does not have it",
        Precision::Bf16 if !host => return Ok(if halves { Precision::F16 } else { Precision::F32 }),
        _ => return Ok(precision),
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

    /// A tensor's values in `f32`, `f16` or `bf16`; what a source computes is rounded once, when it is packed.
    fn floats(&self, name: &str) -> Result<TensorData> {
        match self.source.info(name)?.dtype {
            DType::F32 | DType::F16 | DType::BF16 => self.source.read_unrounded(name),
            _ => self.source.read_f32(name),
        }
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use burn::tensor::Distribution;

    use super::*;
    use crate::{
        llm::llama::{KeyValueCache, Llama},
        text::tokenizer::tests::tokenizer,
        weights::{Checkpoint, StateDict},
    };

    fn config() -> LlamaConfig {
        LlamaConfig::new(2400, 64, 2, 4, 2, 80).with_context(32)
    }

    /// A network in the operations of the device, and its weights (which `f16` holds) in a file.
    fn saved(config: &LlamaConfig) -> (LlamaNetwork, tempfile::NamedTempFile) {
        let device = Device::default();
        let random = keys::llama_checkpoint(&config.init(&device).unwrap(), "a test").unwrap();
        let bytes = random.to_safetensors_f16().unwrap();
        let network = LlamaNetwork::load(config, &StateDict::from_safetensors("a test", &bytes).unwrap(), &device).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        (network, file)
    }

    fn read(config: &LlamaConfig, file: &tempfile::NamedTempFile, precision: Precision, device: &Device) -> Result<LlamaNetwork> {
        LlamaNetwork::read(config, &Checkpoint::open(file.path()).unwrap(), precision, device)
    }

    fn difference(a: Tensor<3>, b: &Tensor<3>) -> f32 {
        ((a - b.clone()).square().mean() / b.clone().square().mean()).sqrt().into_scalar()
    }

    #[test]
    fn every_precision_gives_the_same_within_its_rounding() {
        let device = Device::default();
        for config in [config(), config().with_tied(true)] {
            let (network, file) = saved(&config);
            let x = Tensor::random([2, 6, 64], Distribution::Normal(0.0, 1.0), &device);
            let expected = network.forward(x.clone(), None, None).unwrap();
            let ids = Tensor::<2, burn::tensor::Int>::from_data([[3, 0, 2399]], &device);
            // Sums in another order; the file's weights are exact in both of the first.
            for (precision, tolerance) in Precision::ALL.into_iter().zip([1e-5, 1e-5, 0.02, 0.02, 0.2]) {
                let found = read(&config, &file, precision, &device).unwrap();
                assert_eq!(found.precision(), precision);
                let rows = network.embed(ids.clone()).into_data();
                let rows = if precision == Precision::Bf16 { rows.convert::<half::bf16>().convert::<f32>() } else { rows };
                assert_eq!(found.embed(ids.clone()).into_data(), rows, "{precision}");
                let whole = difference(found.forward(x.clone(), None, None).unwrap(), &expected);
                assert!(whole < tolerance, "{precision}: {whole}");
                assert!(precision <= Precision::F16 || whole > 1e-4, "no rounding at all in {precision}: {whole}");
                let mut cache = KeyValueCache::default();
                let step = |at, count, cache: &mut _| found.forward(x.clone().narrow(1, at, count), Some(cache), None).unwrap();
                let steps = Tensor::cat(vec![step(0, 5, &mut cache), step(5, 1, &mut cache)], 1);
                assert!(difference(steps, &expected) < tolerance, "{precision}");
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_told_before_anything_is_read() {
        let (device, (_, file)) = (Device::default(), saved(&config()));
        let wrong = LlamaConfig { vocabulary: 2401, layers: 3, ..config() };
        let Err(Error::WeightsMismatch { missing, misfits, .. }) = read(&wrong, &file, Precision::Q4, &device) else { panic!() };
        assert_eq!((missing.len(), misfits.len()), (9, 2));
        assert!(misfits[0].contains("lm_head.weight: expected floats [2401, 64], found F16 [2400, 64]"), "{misfits:?}");
        let fewer = LlamaConfig { layers: 1, ..config() };
        let Err(Error::WeightsMismatch { unused, .. }) = read(&fewer, &file, Precision::Q4, &device) else { panic!() };
        assert_eq!(unused.len(), 9);
    }

    #[test]
    fn values_that_are_too_large_are_named() {
        let device = Device::default();
        let mut state = keys::llama_checkpoint(&config().init(&device).unwrap(), "a test").unwrap();
        let name = "model.layers.1.mlp.up_proj.weight";
        state.insert(name, TensorData::new(vec![1e9f32; 80 * 64], [80, 64]));
        let views = state.names().map(|name| {
            let data = state.get(name).unwrap();
            (name, safetensors::tensor::TensorView::new(safetensors::Dtype::F32, data.shape().to_vec(), data.as_bytes()).unwrap())
        });
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), safetensors::serialize(views, None).unwrap()).unwrap();
        for precision in [Precision::F32, Precision::Bf16] {
            assert!(read(&config(), &file, precision, &device).is_ok());
        }
        for precision in [Precision::F16, Precision::Q8, Precision::Q4] {
            let Err(Error::WeightsMismatch { misfits, .. }) = read(&config(), &file, precision, &device) else { panic!() };
            assert!(misfits.len() == 1 && misfits[0].starts_with(name), "{misfits:?}");
        }
    }

    #[test]
    fn a_folder_has_configuration_tokenizer_and_weights() {
        let (_, file) = saved(&config());
        let folder = tempfile::tempdir().unwrap();
        let open = || Llama::open(folder.path(), Precision::Q8, &Device::default());
        assert!(matches!(open(), Err(Error::Io { path, .. }) if path.ends_with("config.json")));
        let json = r#"{"model_type":"llama","vocab_size":2400,"hidden_size":64,"num_hidden_layers":2,"num_attention_heads":4,
            "num_key_value_heads":2,"intermediate_size":80,"max_position_embeddings":32}"#;
        std::fs::write(folder.path().join("config.json"), json).unwrap();
        std::fs::copy(file.path(), folder.path().join("model.safetensors")).unwrap();
        std::fs::write(folder.path().join("tokenizer.model"), include_bytes!("../../../tests/golden/data/llama_tokenizer.model")).unwrap();
        let llama = open().unwrap();
        assert_eq!((llama.network().config(), llama.network().precision()), (&config(), Precision::Q8));
        assert_eq!(llama.tokenizer().encode("a bottle").unwrap(), tokenizer().encode("a bottle").unwrap());
        std::fs::write(folder.path().join("config.json"), json.replace("llama", "mistral")).unwrap();
        let refused = open().unwrap_err().to_string();
        assert!(refused.contains("config.json") && refused.contains("model_type"), "{refused}");
    }

    #[cfg(feature = "train")]
    #[test]
    fn with_autodiff_weights_are_parameters() {
        let (device, (network, file)) = (Device::default().autodiff(), saved(&config()));
        for precision in [Precision::Q8, Precision::Q4] {
            assert!(matches!(read(&config(), &file, precision, &device), Err(Error::InvalidConfig { .. })));
        }
        let halves = if device.supports_dtype(DType::F16) { Precision::F16 } else { Precision::F32 };
        assert_eq!(read(&config(), &file, Precision::Bf16, &device).unwrap().precision(), halves);
        let x = Tensor::<3>::random([1, 4, 64], Distribution::Normal(0.0, 1.0), &Device::default());
        let expected = network.forward(x.clone(), None, None).unwrap();
        // Products in `f16` there, and not only weights.
        for (precision, tolerance) in [(Precision::F32, 1e-5), (Precision::F16, 5e-3)] {
            if precision == Precision::F16 && !device.supports_dtype(DType::F16) {
                assert!(matches!(read(&config(), &file, precision, &device), Err(Error::InvalidConfig { .. })));
                continue;
            }
            let network = read(&config(), &file, precision, &device).unwrap();
            let inputs = Tensor::from_inner(x.clone()).require_grad();
            let found = network.forward(inputs.clone(), None, None).unwrap();
            let gradients = found.clone().square().mean().backward();
            assert!(inputs.grad(&gradients).is_some_and(|gradient| gradient.abs().max().into_scalar::<f32>() > 0.0));
            let difference = difference(found.inner(), &expected);
            assert!(difference < tolerance, "{precision}: {difference}");
        }
    }
}
