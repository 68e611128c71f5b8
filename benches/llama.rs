//! One block and the head of LLaMA-7B in every precision: a token after 128 others, and a prompt of 128 positions.
#![allow(missing_docs, clippy::unwrap_used)]

use std::{collections::BTreeMap, path::Path};

use anomalygpt::{
    Result, default_device,
    llm::llama::{KeyValueCache, LlamaConfig, LlamaNetwork, Precision},
    weights::{TensorInfo, TensorSource},
};
use burn::tensor::{DType, Device, Distribution, Tensor, TensorData};
use criterion::{Criterion, criterion_group, criterion_main};
use half::f16;

const POSITIONS: usize = 128;

/// Weights that are made up when they are read.
#[derive(Debug)]
struct Made {
    tensors: BTreeMap<String, TensorInfo>,
}

impl Made {
    fn new(config: &LlamaConfig) -> Self {
        let (hidden, inner) = (config.hidden, config.feed_forward);
        let names = [
            ("model.embed_tokens", vec![config.vocabulary, hidden]),
            ("model.norm", vec![hidden]),
            ("lm_head", vec![config.vocabulary, hidden]),
            ("model.layers.0.input_layernorm", vec![hidden]),
            ("model.layers.0.self_attn.q_proj", vec![hidden, hidden]),
            ("model.layers.0.self_attn.k_proj", vec![hidden, hidden]),
            ("model.layers.0.self_attn.v_proj", vec![hidden, hidden]),
            ("model.layers.0.self_attn.o_proj", vec![hidden, hidden]),
            ("model.layers.0.post_attention_layernorm", vec![hidden]),
            ("model.layers.0.mlp.gate_proj", vec![inner, hidden]),
            ("model.layers.0.mlp.up_proj", vec![inner, hidden]),
            ("model.layers.0.mlp.down_proj", vec![hidden, inner]),
        ];
        let info = |shape| TensorInfo { shape, dtype: DType::F16, file: "made".into() };
        Self { tensors: names.into_iter().map(|(name, shape)| (format!("{name}.weight"), info(shape))).collect() }
    }
}

impl TensorSource for Made {
    fn origin(&self) -> &Path {
        Path::new("made")
    }
    fn tensors(&self) -> &BTreeMap<String, TensorInfo> {
        &self.tensors
    }
    fn read(&self, name: &str) -> Result<TensorData> {
        let shape = self.info(name)?.shape.clone();
        let value = |index: usize| f16::from_f32((index * 2_654_435_761 % 4093) as f32 / 40_930.0 - 0.05);
        Ok(TensorData::new((0..shape.iter().product()).map(value).collect(), shape))
    }
}

fn random(positions: usize, device: &Device) -> Tensor<3> {
    Tensor::random([1, positions, 4096], Distribution::Normal(0.0, 1.0), device)
}

fn block(criterion: &mut Criterion) {
    let device = default_device().unwrap();
    let config = LlamaConfig::new(32_000, 4096, 1, 32, 32, 11_008);
    let mut group = criterion.benchmark_group("one block of LLaMA-7B");
    group.sample_size(10);
    for precision in Precision::ALL {
        let network = LlamaNetwork::read(&config, &Made::new(&config), precision, &device).unwrap();
        let mut cache = KeyValueCache::default();
        let prompt = random(POSITIONS, &device);
        let _ = network.last(prompt.clone(), Some(&mut cache)).unwrap().into_data();
        let token = random(1, &device);
        group.bench_function(format!("{precision}, a token"), |bencher| {
            bencher.iter(|| network.last(token.clone(), Some(&mut cache.clone())).unwrap().into_data());
        });
        group.bench_function(format!("{precision}, {POSITIONS} positions"), |bencher| {
            bencher.iter(|| network.last(prompt.clone(), None).unwrap().into_data());
        });
    }
}

criterion_group!(benches, block);
criterion_main!(benches);
