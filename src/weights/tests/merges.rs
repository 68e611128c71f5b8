//! Kinds, pairings, adapters and differences of small checkpoints.

use burn::tensor::DType;

use super::{Folder, writers::safetensors_of};
use crate::{
    error::Error,
    weights::{
        Checkpoint, CheckpointKind, Dimension, ExportOptions, Part, Selection, Size, TensorSource, check_pairing, export,
        merge::{WithAdapters, WithDifference},
    },
};

type Tensors = Vec<(String, Vec<usize>, f32)>;

/// A checkpoint whose tensors are filled with one value each.
fn checkpoint(folder: &Folder, name: &str, tensors: &[(String, Vec<usize>, f32)]) -> Checkpoint {
    let tensors: Vec<(&str, &[usize], Vec<f32>)> =
        tensors.iter().map(|(name, shape, value)| (name.as_str(), shape.as_slice(), vec![*value; shape.iter().product()])).collect();
    Checkpoint::open(folder.write(name, safetensors_of(&tensors))).unwrap()
}

/// LLaMA's tensors that matter here.
fn llama(width: usize, vocabulary: usize, layers: usize, norm: f32) -> Tensors {
    let mut tensors = vec![
        ("model.embed_tokens.weight".into(), vec![vocabulary, width], 1.0),
        ("lm_head.weight".into(), vec![vocabulary, width], 2.0),
        ("model.norm.weight".into(), vec![width], norm),
    ];
    for layer in 0..layers {
        tensors.push((format!("model.layers.{layer}.self_attn.q_proj.weight"), vec![width, width], 3.0));
        tensors.push((format!("model.layers.{layer}.self_attn.rotary_emb.inv_freq"), vec![4], 1.0));
    }
    tensors
}

fn panda(width: usize, rank: usize, layers: usize) -> Tensors {
    let mut tensors = vec![("llama_proj.weight".into(), vec![width, 6], 1.0), ("llama_proj.bias".into(), vec![width], 1.0)];
    for layer in 0..layers {
        let name = format!("llama_model.base_model.model.model.layers.{layer}.self_attn.q_proj");
        tensors.push((format!("{name}.lora_A.default.weight"), vec![rank, width], 0.5));
        tensors.push((format!("{name}.lora_B.default.weight"), vec![width, rank], 0.25));
    }
    tensors
}

fn anomaly(width: usize) -> Tensors {
    vec![
        ("image_decoder.fc.0.weight".into(), vec![6, 10], 1.0),
        ("image_decoder.fc.0.bias".into(), vec![6], 1.0),
        ("prompt_learner.base_prompts".into(), vec![9, width], 1.0),
    ]
}

#[test]
fn kinds_are_told_by_tensors() {
    let folder = Folder::new();
    let kind = |name: &str, tensors: &[(String, Vec<usize>, f32)]| CheckpointKind::of(&checkpoint(&folder, name, tensors)).unwrap();
    assert_eq!(kind("imagebind", &llama(8, 20, 2, 1.0)), CheckpointKind::LanguageModel);
    assert_eq!(kind("vicuna", &llama(8, 20, 2, 0.01)), CheckpointKind::VicunaDelta);
    assert_eq!(kind("llama", &panda(8, 2, 2)), CheckpointKind::PandaDelta);
    assert_eq!(kind("panda", &anomaly(8)), CheckpointKind::AnomalyDelta);
    let mut image_bind = vec![("modality_preprocessors.vision.cls_token".into(), vec![1, 1, 10], 1.0)];
    image_bind.push(("modality_preprocessors.audio.cls_token".into(), vec![1, 1, 10], 1.0));
    assert_eq!(kind("a", &image_bind), CheckpointKind::ImageBind);
    let whole = [image_bind, llama(8, 20, 2, 1.0), panda(8, 2, 0), anomaly(8)].concat();
    assert_eq!(kind("b", &whole), CheckpointKind::Whole);
    assert_eq!(kind("c", &[panda(8, 2, 2), anomaly(8)].concat()), CheckpointKind::Unknown);
    assert_eq!(kind("d", &[("bert.weight".into(), vec![1], 1.0)]), CheckpointKind::Unknown);
}

#[test]
fn a_delta_of_another_model_is_named() {
    let folder = Folder::new();
    let llama = checkpoint(&folder, "llama-7b", &llama(8, 20, 2, 1.0));
    let good = checkpoint(&folder, "panda-7b", &panda(8, 2, 2));
    check_pairing(&[&llama, &good, &checkpoint(&folder, "anomaly", &anomaly(8))], &[]).unwrap();
    let pairing = |other: &Checkpoint| match check_pairing(&[&llama, other], &[]) {
        Err(Error::Pairing(pairing)) => pairing,
        other => panic!("{other:?}"),
    };
    let wide = pairing(&checkpoint(&folder, "panda-13b", &panda(10, 2, 2)));
    assert_eq!((wide.first.dimension, wide.first.value, wide.second.value), (Dimension::LanguageWidth, 8, 10));
    assert!(wide.first.file.ends_with("llama-7b") && wide.second.file.ends_with("panda-13b"));
    assert_eq!(wide.second.tensor, "llama_proj.weight");
    assert!(wide.to_string().contains("8 of ") && wide.to_string().contains("llama_proj.weight"));
    let deep = pairing(&checkpoint(&folder, "panda-deep", &panda(8, 2, 3)));
    assert_eq!((deep.first.dimension, deep.first.value, deep.second.value), (Dimension::LanguageLayers, 2, 3));
    let anomaly = pairing(&checkpoint(&folder, "anomaly-13b", &anomaly(10)));
    assert_eq!((anomaly.second.dimension, anomaly.second.tensor.as_str()), (Dimension::LanguageWidth, "prompt_learner.base_prompts"));
}

#[test]
fn a_vocabulary_of_another_size_is_named() {
    let folder = Folder::new();
    let padded = checkpoint(&folder, "vicuna", &llama(8, 21, 2, 1.0));
    let setting = Size::setting(Dimension::Vocabulary, 20, "vocab_size", &folder.path().join("config.json"));
    let Err(Error::Pairing(pairing)) = check_pairing(&[&padded], &[setting]) else { panic!() };
    assert_eq!((pairing.first.value, pairing.second.value), (21, 20));
    assert!(pairing.second.file.ends_with("config.json"));
}

#[test]
fn adapters_are_merged_on_reading() {
    let folder = Folder::new();
    let base = checkpoint(&folder, "llama", &llama(8, 20, 2, 1.0));
    let merged = WithAdapters::new(&base, checkpoint(&folder, "panda", &panda(8, 2, 2)), 4.0).unwrap();
    // 3 + 4 / 2 * (2 * 0.5 * 0.25).
    assert_eq!(merged.read("model.layers.1.self_attn.q_proj.weight").unwrap().as_slice::<f32>().unwrap(), [3.5; 64]);
    assert_eq!(merged.read("model.norm.weight").unwrap(), base.read("model.norm.weight").unwrap());
    assert_eq!(merged.tensors(), base.tensors());
    let boxed: Box<dyn TensorSource> = Box::new(merged);
    assert_eq!(boxed.read_f32("model.layers.0.self_attn.q_proj.weight").unwrap().as_slice::<f32>().unwrap(), [3.5; 64]);
}

#[test]
fn sums_are_rounded_to_the_type_of_the_model_unless_asked_not_to() {
    let (folder, halves) = (Folder::new(), Folder::new());
    let wide = checkpoint(&folder, "llama", &llama(8, 20, 2, 1.0));
    export(&[(&wide, Some(DType::F16))], halves.path(), &ExportOptions::default(), &mut |_, _| {}).unwrap();
    let merged = WithAdapters::new(Checkpoint::open(halves.path()).unwrap(), checkpoint(&folder, "panda", &panda(8, 2, 2)), 4.001).unwrap();
    let merged = Selection::new(&merged, &[Part::LanguageModel]);
    let (adapted, plain) = ("model.layers.1.self_attn.q_proj.weight", "model.norm.weight");
    assert_eq!(merged.read(adapted).unwrap().convert::<f32>().as_slice::<f32>().unwrap(), [3.5; 64]);
    assert!(merged.read_unrounded(adapted).unwrap().as_slice::<f32>().unwrap().iter().all(|value| (value - 3.500_125).abs() < 1e-6));
    assert_eq!(merged.read_unrounded(plain).unwrap(), merged.read(plain).unwrap());
    assert_eq!(merged.read_unrounded(plain).unwrap().dtype(), DType::F16);
}

#[test]
fn adapters_that_do_not_fit_are_named() {
    let folder = Folder::new();
    let base = checkpoint(&folder, "llama", &llama(8, 20, 2, 1.0));
    let error = |tensors: &[(String, Vec<usize>, f32)]| match WithAdapters::new(&base, checkpoint(&folder, "panda", tensors), 4.0) {
        Err(Error::WeightsMismatch { origin, missing, unused, misfits }) => {
            assert!(origin.ends_with("panda"));
            (missing, unused, misfits)
        }
        other => panic!("{other:?}"),
    };
    let (missing, unused, misfits) = error(&panda(10, 2, 2));
    assert!(missing.is_empty() && unused.is_empty() && misfits.len() == 2 && misfits[0].contains("[2, 10]"), "{misfits:?}");
    let (missing, ..) = error(&panda(8, 2, 1));
    assert_eq!(missing, ["the adapter of model.layers.1.self_attn.q_proj.weight"]);
    let (.., misfits) = error(&panda(8, 2, 3));
    assert!(misfits.len() == 1 && misfits[0].contains("layers.2"), "{misfits:?}");
    let half: Tensors = panda(8, 2, 2).into_iter().filter(|(name, ..)| !name.contains("layers.1.self_attn.q_proj.lora_B")).collect();
    assert_eq!(error(&half).0, ["the factor B of model.layers.1.self_attn.q_proj.weight"]);
    assert_eq!(error(&panda(8, 2, 0)).0, ["adapters (lora_A and lora_B)"]);
    let (_, unused, _) = error(&[panda(8, 2, 2), anomaly(8)].concat());
    assert_eq!(unused.len(), 3);
}

#[test]
fn a_difference_is_added_and_its_longer_vocabulary_filled_with_the_mean() {
    let folder = Folder::new();
    let base = Checkpoint::open(folder.write(
        "llama",
        safetensors_of(&[("model.embed_tokens.weight", &[2, 2], vec![1.0, 2.0, 3.0, 6.0]), ("model.norm.weight", &[2], vec![1.0, 1.0])]),
    ))
    .unwrap();
    let delta = |rows: usize| {
        let values: Vec<f32> = (0..rows * 2).map(|value| value as f32 / 10.0).collect();
        let tensors: [(&str, &[usize], Vec<f32>); 2] =
            [("model.embed_tokens.weight", &[rows, 2], values), ("model.norm.weight", &[2], vec![0.5, -0.5])];
        Checkpoint::open(folder.write(&format!("delta-{rows}"), safetensors_of(&tensors))).unwrap()
    };
    let equal = WithDifference::new(&base, delta(2)).unwrap();
    assert_eq!(equal.read("model.norm.weight").unwrap().as_slice::<f32>().unwrap(), [1.5, 0.5]);
    assert_eq!(equal.read("model.embed_tokens.weight").unwrap().as_slice::<f32>().unwrap(), [1.0, 2.1, 3.2, 6.3]);
    let longer = WithDifference::new(&base, delta(3)).unwrap();
    assert_eq!(longer.info("model.embed_tokens.weight").unwrap().shape, [3, 2]);
    assert_eq!(longer.read_f32("model.embed_tokens.weight").unwrap().as_slice::<f32>().unwrap(), [1.0, 2.1, 3.2, 6.3, 2.4, 4.5]);
    assert!(matches!(WithDifference::new(&base, delta(1)), Err(Error::WeightsMismatch { misfits, .. }) if misfits.len() == 1));
}

#[test]
fn differences_that_do_not_fit_are_named() {
    let folder = Folder::new();
    let base = checkpoint(&folder, "llama", &llama(8, 20, 2, 1.0));
    let padded = WithDifference::new(&base, checkpoint(&folder, "delta", &llama(8, 21, 2, 0.0))).unwrap();
    assert!(!padded.tensors().keys().any(|name| name.ends_with("inv_freq")));
    let Err(Error::WeightsMismatch { missing, unused, misfits, .. }) =
        WithDifference::new(&base, checkpoint(&folder, "short", &llama(8, 20, 1, 0.0)))
    else {
        panic!()
    };
    assert_eq!((missing.len(), unused.len(), misfits.len()), (1, 0, 0));
    assert!(matches!(
        WithDifference::new(&base, checkpoint(&folder, "wide", &llama(10, 20, 3, 0.0))),
        Err(Error::WeightsMismatch { missing, unused, misfits, .. }) if missing.is_empty() && unused.len() == 1 && misfits.len() == 5
    ));
}

#[test]
fn a_selection_hides_other_parts() {
    let folder = Folder::new();
    let whole = checkpoint(&folder, "whole", &[llama(8, 20, 1, 1.0), anomaly(8), vec![("other".into(), vec![1], 1.0)]].concat());
    let selection = Selection::new(&whole, &[Part::Decoder]);
    let names: Vec<&str> = selection.tensors().keys().map(String::as_str).collect();
    assert_eq!(names, ["image_decoder.fc.0.bias", "image_decoder.fc.0.weight", "other"]);
    assert!(selection.read("model.norm.weight").is_err());
    assert_eq!(selection.read("other").unwrap(), whole.read("other").unwrap());
}
