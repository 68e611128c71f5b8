//! Models of full size, told from the headers of files that are otherwise holes.

use std::{
    fs::File,
    path::Path,
    time::{Duration, Instant},
};

use super::Folder;
use crate::{
    error::Error,
    llm::llama::LlamaConfig,
    weights::{Checkpoint, Dimension, Size, TensorSource, check_pairing, keys},
};

/// What may be wrong is to be told within this.
const A_SECOND: Duration = Duration::from_secs(1);

/// Names and shapes.
type Shapes = Vec<(String, Vec<usize>)>;

/// The sizes of a published language model.
#[derive(Clone, Copy)]
struct Sizes {
    width: usize,
    layers: usize,
    heads: usize,
    feed_forward: usize,
    vocabulary: usize,
}

const SEVEN: Sizes = Sizes { width: 4096, layers: 32, heads: 32, feed_forward: 11008, vocabulary: 32001 };
const THIRTEEN: Sizes = Sizes { width: 5120, layers: 40, heads: 40, feed_forward: 13824, vocabulary: 32001 };

impl Sizes {
    fn config(self) -> String {
        let Self { width, layers, heads, feed_forward, vocabulary } = self;
        format!(
            r#"{{"model_type": "llama", "hidden_size": {width}, "num_hidden_layers": {layers}, "num_attention_heads": {heads},
            "intermediate_size": {feed_forward}, "vocab_size": {vocabulary}, "rms_norm_eps": 1e-6, "max_position_embeddings": 2048}}"#
        )
    }

    fn llama(self) -> Shapes {
        let Self { width, layers, feed_forward, vocabulary, .. } = self;
        let mut shapes: Shapes = ["model.embed_tokens", "lm_head"].map(|name| (format!("{name}.weight"), vec![vocabulary, width])).into();
        shapes.push(("model.norm.weight".into(), vec![width]));
        for layer in 0..layers {
            let mut add = |name: &str, shape: &[usize]| shapes.push((format!("model.layers.{layer}.{name}.weight"), shape.to_vec()));
            ["q", "k", "v", "o"].iter().for_each(|part| add(&format!("self_attn.{part}_proj"), &[width, width]));
            ["gate", "up"].iter().for_each(|part| add(&format!("mlp.{part}_proj"), &[feed_forward, width]));
            add("mlp.down_proj", &[width, feed_forward]);
            ["input_layernorm", "post_attention_layernorm"].iter().for_each(|name| add(name, &[width]));
        }
        shapes
    }

    fn panda(self) -> Shapes {
        const RANK: usize = 32;
        let mut shapes = vec![("llama_proj.weight".into(), vec![self.width, 1024]), ("llama_proj.bias".into(), vec![self.width])];
        for layer in 0..self.layers {
            for part in ["q", "k", "v", "o"] {
                let name = format!("base_model.model.model.layers.{layer}.self_attn.{part}_proj");
                shapes.push((format!("llama_model.{name}.lora_A.default.weight"), vec![RANK, self.width]));
                shapes.push((format!("llama_model.{name}.lora_B.default.weight"), vec![self.width, RANK]));
            }
        }
        shapes
    }
}

/// A safetensors file of halves that has a header, and no block of the disk for its tensors.
fn write_hollow(path: &Path, shapes: &Shapes) {
    let mut end = 0;
    let header: serde_json::Map<_, _> = shapes
        .iter()
        .map(|(name, shape)| {
            let start = end;
            end += 2 * shape.iter().product::<usize>();
            (name.clone(), serde_json::json!({"dtype": "F16", "shape": shape, "data_offsets": [start, end]}))
        })
        .collect();
    let header = serde_json::to_vec(&header).unwrap();
    std::fs::write(path, [&(header.len() as u64).to_le_bytes(), header.as_slice()].concat()).unwrap();
    File::options().write(true).open(path).unwrap().set_len((8 + header.len() + end) as u64).unwrap();
}

/// A language model's folder, listed and checked against its configuration.
fn opened(sizes: Sizes, folder: &Folder) -> Checkpoint {
    folder.write("config.json", sizes.config());
    write_hollow(&folder.path().join("model.safetensors"), &sizes.llama());
    let (config, checkpoint) = (LlamaConfig::open(folder.path()).unwrap(), Checkpoint::open(folder.path()).unwrap());
    keys::llama_entries(&checkpoint, &config).unwrap();
    checkpoint
}

fn panda(sizes: Sizes, folder: &Folder) -> Checkpoint {
    write_hollow(&folder.path().join("panda.pt"), &sizes.panda());
    Checkpoint::open(folder.path().join("panda.pt")).unwrap()
}

#[test]
fn both_published_sizes_are_taken_as_their_configurations_say() {
    for sizes in [SEVEN, THIRTEEN] {
        let folder = Folder::new();
        let (llama, panda) = (opened(sizes, &folder), panda(sizes, &folder));
        assert_eq!(llama.tensors().len(), 3 + 9 * sizes.layers);
        let vocabulary = Size::setting(Dimension::Vocabulary, sizes.vocabulary, "vocab_size", folder.path());
        check_pairing(&[&llama, &panda], &[vocabulary]).unwrap();
    }
}

#[test]
fn a_delta_of_the_other_size_is_refused_within_a_second() {
    for (sizes, other) in [(SEVEN, THIRTEEN), (THIRTEEN, SEVEN)] {
        let folder = Folder::new();
        let start = Instant::now();
        let (llama, panda) = (opened(sizes, &folder), panda(other, &folder));
        let Err(Error::Pairing(pairing)) = check_pairing(&[&llama, &panda], &[]) else { panic!() };
        assert!(start.elapsed() < A_SECOND, "{:?}", start.elapsed());
        assert_eq!((pairing.first.value, pairing.second.value), (sizes.width, other.width));
        assert!(pairing.first.file.ends_with("model.safetensors") && pairing.second.file.ends_with("panda.pt"));
        assert_eq!((pairing.first.dimension, pairing.second.tensor.as_str()), (Dimension::LanguageWidth, "llama_proj.weight"));
    }
}

#[test]
fn weights_of_the_other_size_than_the_configuration_are_listed() {
    let folder = Folder::new();
    let llama = opened(SEVEN, &folder);
    folder.write("config.json", THIRTEEN.config());
    let Err(Error::WeightsMismatch { missing, misfits, .. }) = keys::llama_entries(&llama, &LlamaConfig::open(folder.path()).unwrap())
    else {
        panic!()
    };
    assert_eq!((missing.len(), misfits.len()), (9 * 8, 3 + 9 * 32));
    assert!(misfits.iter().any(|misfit| misfit.contains("lm_head.weight: expected floats [32001, 5120]")), "{}", misfits[0]);
}
