//! Checkpoints as published and as PyTorch writes them, against the same weights in another format.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anomalygpt::weights::{Checkpoint, CheckpointKind, Part, Size, StateDict, TensorSource, check_pairing, merge::WithAdapters};
use burn::tensor::DType;
use serde_json::Value;

/// Alpha of tiny-a's adapters, which stands in no file.
const ALPHA: f64 = 8.0;

/// The reference multiplies in another order; the greatest entries are about 2.
const MERGED: f32 = 1e-6;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/data").join(name)
}

fn adapted(name: &str) -> bool {
    name.contains("self_attn")
}

#[test]
fn sharded_pickles_hold_what_safetensors_do() {
    let shards = Checkpoint::open(data("vicuna")).unwrap();
    assert_eq!(shards.files().len(), 2);
    assert_eq!(CheckpointKind::of(&shards).unwrap(), CheckpointKind::LanguageModel);
    let expected = StateDict::read(&data("llama.safetensors")).unwrap();
    assert!(expected.names().eq(shards.tensors().keys().filter(|name| Part::of(name) != Some(Part::Spare))));
    for name in expected.names().filter(|name| !adapted(name)) {
        assert_eq!(shards.info(name).unwrap().dtype, DType::F16, "{name}");
        assert_eq!(&shards.read_f32(name).unwrap(), expected.get(name).unwrap(), "{name}");
    }
}

#[test]
fn adapters_are_merged_as_the_reference_does() {
    let panda = Checkpoint::open(data("panda.pt")).unwrap();
    assert_eq!(CheckpointKind::of(&panda).unwrap(), CheckpointKind::PandaDelta);
    let vicuna = Checkpoint::open(data("vicuna")).unwrap();
    check_pairing(&[&vicuna, &panda], &[]).unwrap();
    let merged = WithAdapters::new(vicuna, panda, ALPHA).unwrap();
    let expected = StateDict::read(&data("llama.safetensors")).unwrap();
    for name in expected.names().filter(|name| adapted(name)) {
        let expected = expected.get(name).unwrap().as_slice::<f32>().unwrap().to_vec();
        let found = merged.read_f32(name).unwrap();
        let difference = found.as_slice::<f32>().unwrap().iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(difference < MERGED, "{name}: {difference}");
        let rounded = merged.read(name).unwrap();
        assert_eq!(rounded.dtype(), DType::F16);
        assert_eq!(rounded, found.convert::<half::f16>(), "{name}");
    }
}

#[test]
fn sizes_are_read_from_shapes() {
    let sizes = |name: &str| -> BTreeMap<String, usize> {
        Size::all(&Checkpoint::open(data(name)).unwrap()).into_iter().map(|size| (size.dimension.to_string(), size.value)).collect()
    };
    let vicuna = sizes("vicuna");
    assert_eq!((vicuna["width of the language model"], vicuna["number of language layers"], vicuna["vocabulary size"]), (64, 2, 2400));
    let panda = sizes("panda.pt");
    assert_eq!((panda["width of the shared space"], panda["number of language layers"], panda["rank of the adapters"]), (32, 2, 8));
}

#[test]
fn what_pytorch_writes_is_read() {
    let values: BTreeMap<String, Value> = serde_json::from_slice(&std::fs::read(data("checkpoints/values.json")).unwrap()).unwrap();
    for file in ["zip.pt", "legacy.pt", "nested.pt", "protocol4.pt"] {
        let checkpoint = Checkpoint::open(data("checkpoints").join(file)).unwrap();
        assert!(checkpoint.tensors().keys().eq(values.keys()), "{file}");
        for (name, expected) in &values {
            let info = checkpoint.info(name).unwrap();
            let floats =
                if info.dtype.is_float() { checkpoint.read_f32(name) } else { checkpoint.read(name).map(|data| data.convert::<f32>()) };
            let shape: Vec<usize> = serde_json::from_value(expected["shape"].clone()).unwrap();
            let expected: Vec<f32> = serde_json::from_value(expected["values"].clone()).unwrap();
            assert_eq!(info.shape, shape, "{file} {name}");
            assert_eq!(floats.unwrap().as_slice::<f32>().unwrap(), expected, "{file} {name}");
        }
        let dtypes = ["half", "brain", "count"].map(|name| checkpoint.info(name).unwrap().dtype);
        assert_eq!(dtypes, [DType::F16, DType::BF16, DType::I64], "{file}");
    }
    let module = Checkpoint::open(data("checkpoints/module.pt")).unwrap();
    assert_eq!(module.read("weight").unwrap().as_slice::<f32>().unwrap(), [1.0, 2.0]);
    assert_eq!(module.read("bias").unwrap().as_slice::<f32>().unwrap(), [3.0]);
}
