//! The published model from files in the published formats: all cases of the golden set, from its tensors and from image files.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use anomalygpt::{
    AnomalyGpt, Compat, Error, Trace,
    decoder::PatchTextDecoder,
    encoder::ImageBind,
    llm::llama::Precision,
    preprocess::{ReadOptions, read_image_with},
    published::{ConvertOptions, PublishedConfig, PublishedFiles},
    weights::{Checkpoint, CheckpointKind},
};
use burn::tensor::{DType, Device, Tensor, TensorData};
use serde_json::Value;
use tempfile::{NamedTempFile, TempDir};

use crate::{
    head::head,
    imagebind,
    support::{assert_close, described, tolerance},
};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/data").join(name)
}

/// The published files, as far as they are made for the tests.
struct Files {
    imagebind: NamedTempFile,
    llama: TempDir,
    anomalygpt: NamedTempFile,
}

impl Files {
    fn new() -> Self {
        let llama = TempDir::new().unwrap();
        for entry in fs::read_dir(data("vicuna")).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, llama.path().join(path.file_name().unwrap())).unwrap();
        }
        fs::copy(data("llama_config.json"), llama.path().join("config.json")).unwrap();
        fs::copy(data("llama_tokenizer.model"), llama.path().join("tokenizer.model")).unwrap();
        let mut anomalygpt = NamedTempFile::new().unwrap();
        anomalygpt.write_all(&delta()).unwrap();
        Self { imagebind: imagebind::file(), llama, anomalygpt }
    }

    fn files(&self, compat: Compat) -> PublishedFiles {
        let config = r#"{"vision_heads": 4, "text_heads": 3, "taps": [0, 1, 2, 3], "lora_alpha": 8}"#;
        PublishedFiles {
            imagebind: self.imagebind.path().into(),
            llama: self.llama.path().into(),
            pandagpt: data("panda.pt"),
            anomalygpt: self.anomalygpt.path().into(),
            config: PublishedConfig::from_json(config).unwrap(),
            precision: Precision::F32,
            compat,
            ..PublishedFiles::default()
        }
    }
}

/// AnomalyGPT's delta: the head's weights besides PandaGPT's projection.
fn delta() -> Vec<u8> {
    let delta = head().renamed(|name| (!name.starts_with("llama_proj")).then(|| name.to_owned()));
    delta.to_safetensors_f16().unwrap()
}

fn model(compat: Compat) -> AnomalyGpt<ImageBind, PatchTextDecoder> {
    static LOADED: LazyLock<AnomalyGpt<ImageBind, PatchTextDecoder>> =
        LazyLock::new(|| AnomalyGpt::published(Files::new().files(Compat::default()), &Device::default()).unwrap());
    LOADED.clone().with_compat(compat)
}

fn trace(case: &Value) -> Trace {
    let read = |name: &Value| read_image_with(data("images").join(name.as_str().unwrap()), ReadOptions::original()).unwrap();
    let mut compat = if case["squash"] == true { Compat::demo() } else { Compat::original() };
    compat.behaviour.generate = compat.behaviour.generate.with_max_new_tokens(case["max_new_tokens"].as_u64().unwrap() as usize);
    let normals: Vec<_> = case["normals"].as_array().unwrap().iter().map(read).collect();
    model(compat).trace(&read(&case["image"]), &normals, case["prompt"].as_str().unwrap()).unwrap()
}

fn every7(map: Tensor<4>) -> TensorData {
    let kept = Tensor::arange(0..32, &map.device()) * 7;
    map.select(2, kept.clone()).select(3, kept).into_data()
}

#[test]
fn all_cases_are_the_reference_s_from_the_image_files_on() {
    let published = imagebind::published();
    for case in described()["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let found = trace(case);
        let wanted = |stage: &str| published.get(&format!("case.{name}.{stage}")).unwrap();
        assert_close(&found.text.clone().into_data(), wanted("text"), tolerance("text_features"));
        assert_close(&every7(found.map.clone()), wanted("map.every7"), tolerance("map"));
        assert_close(&found.prompts.clone().into_data(), wanted("prompts"), tolerance("prompts"));
        assert_close(&found.inputs.clone().into_data(), wanted("inputs"), tolerance("inputs"));
        assert_close(&found.logits.clone().into_data(), wanted("logits"), tolerance("logits"));
        let ids: Vec<u32> = serde_json::from_value(case["greedy_ids"].clone()).unwrap();
        assert_eq!(found.greedy_ids, ids, "{name}");
        assert_eq!(found.answer, case["greedy_text"].as_str().unwrap(), "{name}");
        if name == "zero_shot" {
            for (tap, decoded) in found.decoded.into_iter().enumerate() {
                let wanted = published.get(&format!("decoded.defect.png.{tap}")).unwrap();
                assert_close(&decoded.into_data(), wanted, tolerance("decoded"));
            }
        }
    }
}

#[test]
fn a_trace_names_its_tensors_as_the_golden_set_does() {
    let case = described()["cases"][0].clone();
    let tensors = trace(&case).tensors();
    let names: Vec<&str> = tensors.iter().map(|(name, _)| name.as_str()).collect();
    let mut expected = vec!["embedding", "text", "map", "prompts", "inputs", "logits"];
    let layers: Vec<String> = ["features", "decoded"].iter().flat_map(|kind| (0..4).map(move |tap| format!("{kind}.{tap}"))).collect();
    expected.extend(layers.iter().map(String::as_str));
    expected.push("greedy_ids");
    assert_eq!(names, expected);
    let shape = |name: &str| tensors.iter().find(|(found, _)| found == name).unwrap().1.shape().to_vec();
    assert_eq!(shape("map"), [1, 1, 224, 224]);
    assert_eq!((shape("text"), shape("logits"), shape("features.0")), (vec![2, 32], vec![2400], vec![1, 256, 64]));
}

#[test]
fn an_inspection_says_what_the_trace_does() {
    let case = described()["cases"][1].clone();
    let read = |name: &str| read_image_with(data("images").join(name), ReadOptions::original()).unwrap();
    let model = model(Compat::original()).with_normals(&[read("normal_1.png")]).unwrap();
    let prompt = case["prompt"].as_str().unwrap();
    let (description, question) = prompt.split_at(prompt.rfind(" Is there").unwrap());
    let found = model.ask(&read("defect.png"), Some(description), question).unwrap();
    // The standard stop string is three characters, and this vocabulary's piece `##` is two: the answer goes on where no third follows.
    assert!(found.answer.starts_with(case["greedy_text"].as_str().unwrap()), "{}", found.answer);
    let highest = case["map_max"].as_f64().unwrap();
    assert!((f64::from(found.detection.score) - highest).abs() <= tolerance("map"), "{} is not {highest}", found.detection.score);
}

#[test]
fn files_in_each_other_s_place_are_refused_by_name() {
    let files = Files::new();
    let refused = |change: &dyn Fn(&mut PublishedFiles)| {
        let mut files = files.files(Compat::default());
        change(&mut files);
        AnomalyGpt::published(files, &Device::default()).unwrap_err()
    };
    let swapped = refused(&|files| std::mem::swap(&mut files.pandagpt, &mut files.anomalygpt));
    assert!(
        matches!(&swapped, Error::WeightsMismatch { unused, .. } if unused.iter().any(|name| name.contains("image_decoder"))),
        "{swapped}"
    );
    let other = refused(&|files| files.imagebind = files.anomalygpt.clone());
    assert!(other.to_string().contains("modality_preprocessors"), "{other}");
    let gone = refused(&|files| files.pandagpt = "nowhere.pt".into());
    assert!(matches!(&gone, Error::Io { path, .. } if path.ends_with("nowhere.pt")), "{gone}");
    let heads = refused(&|files| files.config = PublishedConfig::default());
    assert!(matches!(heads, Error::InvalidConfig { what: "vision tower", .. }), "{heads}");
}

#[test]
fn a_converted_folder_is_the_same_model() {
    let (files, out) = (Files::new(), TempDir::new().unwrap());
    let files = PublishedFiles { precision: Precision::F32, ..files.files(Compat::original()) };
    let mut options = ConvertOptions::default();
    (options.dtype, options.shard_bytes) = (DType::F32, 6_000_000);
    files.convert(out.path(), &options, &mut |_, _| {}).unwrap();

    let whole = Checkpoint::open(out.path()).unwrap();
    assert_eq!(CheckpointKind::of(&whole).unwrap(), CheckpointKind::Whole);
    assert!(whole.files().len() > 1 && whole.files().iter().all(|file| file.extension().unwrap() == "safetensors"));
    assert!(fs::read_to_string(out.path().join("LICENSE-NOTES.txt")).unwrap().contains("CC BY-NC-SA 4.0"));

    let converted = PublishedFiles::converted(out.path()).unwrap();
    assert_eq!((converted.config.vision_heads, converted.config.lora_alpha), (4, 8.0));
    // The adapters are in it; others may not be added.
    let again = PublishedFiles { pandagpt: files.pandagpt.clone(), ..converted.clone() };
    assert!(matches!(AnomalyGpt::published(again, &Device::default()), Err(Error::InvalidConfig { .. })));

    let case = &described()["cases"][0];
    let image = read_image_with(data("images").join(case["image"].as_str().unwrap()), ReadOptions::original()).unwrap();
    let trace = |files: PublishedFiles| {
        let model = AnomalyGpt::published(files, &Device::default()).unwrap();
        model.trace(&image, &[], case["prompt"].as_str().unwrap()).unwrap()
    };
    let converted = PublishedFiles { precision: Precision::F32, compat: Compat::original(), ..converted };
    let (found, wanted) = (trace(converted), trace(files.clone()));
    assert_eq!(found.logits.into_data(), wanted.logits.into_data());
    assert_eq!(found.map.into_data(), wanted.map.into_data());

    let full = files.convert(out.path(), &options, &mut |_, _| {}).unwrap_err();
    assert!(full.to_string().contains("not empty"), "{full}");
}
