//! Checkpoints as published, against the same weights in another format.

use std::path::{Path, PathBuf};

use anomalygpt::weights::{Checkpoint, StateDict, TensorSource};
use burn::tensor::DType;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/data").join(name)
}

#[test]
fn sharded_pickles_hold_what_safetensors_do() {
    let shards = Checkpoint::open(data("vicuna")).unwrap();
    assert_eq!(shards.files().len(), 2);
    let expected = StateDict::read_safetensors(&data("llama.safetensors")).unwrap();
    // Those hold the projections with the adapters merged in.
    for name in expected.names().filter(|name| !name.contains("self_attn")) {
        let expected = expected.get(name).unwrap();
        assert_eq!(shards.info(name).unwrap().dtype, DType::F16, "{name}");
        assert_eq!(&shards.read_f32(name).unwrap(), expected, "{name}");
    }
    let rest: Vec<&str> = shards.tensors().keys().map(String::as_str).filter(|name| expected.get(name).is_err()).collect();
    assert_eq!(rest, ["model.layers.0.self_attn.rotary_emb.inv_freq", "model.layers.1.self_attn.rotary_emb.inv_freq"]);
}
