//! The command lines of `examples/doctor` and `examples/convert`, run as programs.
#![cfg(all(feature = "flex", feature = "mini"))]
#![allow(missing_docs, clippy::unwrap_used)]

mod program;

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use safetensors::{Dtype, tensor::TensorView};
use serde_json::Value;
use tempfile::TempDir;

use program::run;

/// Widths of tiny-a: of the image tower, the shared space and the language model.
const VISION: usize = 64;
const JOINT: usize = 32;
const LANGUAGE: usize = 64;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/data").join(name)
}

fn write(path: &Path, tensors: &[(&str, &[usize])]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let bytes: Vec<Vec<u8>> = tensors.iter().map(|(_, shape)| vec![0; shape.iter().product::<usize>() * 4]).collect();
    let views: HashMap<&str, TensorView<'_>> = tensors
        .iter()
        .zip(&bytes)
        .map(|((name, shape), bytes)| (*name, TensorView::new(Dtype::F32, shape.to_vec(), bytes).unwrap()))
        .collect();
    fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// The authors' layout, with names that say nothing: the golden set's Vicuna and PandaGPT, and shapes of ImageBind and AnomalyGPT.
struct Layout(TempDir);

impl Layout {
    fn new() -> Self {
        let root = TempDir::new().unwrap();
        let vicuna = root.path().join("pretrained_ckpt/vicuna_ckpt/7b_v0");
        fs::create_dir_all(&vicuna).unwrap();
        for entry in fs::read_dir(data("vicuna")).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, vicuna.join(path.file_name().unwrap())).unwrap();
        }
        fs::copy(data("llama_config.json"), vicuna.join("config.json")).unwrap();
        fs::copy(data("llama_tokenizer.json"), vicuna.join("tokenizer.json")).unwrap();
        fs::copy(data("panda.pt"), root.path().join("pretrained_ckpt/a.bin")).unwrap();
        let layout = Self(root);
        let image_bind: [(&str, &[usize]); 3] = [
            ("modality_preprocessors.vision.cls_token", &[1, 1, VISION]),
            ("modality_heads.vision.2.weight", &[JOINT, VISION]),
            ("modality_preprocessors.audio.cls_token", &[1, 1, 7]),
        ];
        write(&layout.path("pretrained_ckpt/imagebind_ckpt/b.pth"), &image_bind);
        layout.anomaly("ckpt/train_supervised/c.pt", LANGUAGE);
        fs::write(layout.path("ckpt/readme.md"), "some text").unwrap();
        layout
    }

    fn anomaly(&self, path: &str, width: usize) {
        let tensors: [(&str, &[usize]); 2] =
            [("image_decoder.fc.0.weight", &[JOINT, VISION]), ("prompt_learner.base_prompts", &[9, width])];
        write(&self.path(path), &tensors);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// What the doctor says, and whether a whole model is there.
    fn diagnosis(&self) -> (Value, bool) {
        let output = run("doctor", ["--json", self.0.path().to_str().unwrap()]);
        (serde_json::from_slice(&output.stdout).unwrap(), output.status.success())
    }
}

fn strings(value: &Value) -> Vec<String> {
    serde_json::from_value(value.clone()).unwrap()
}

#[test]
fn the_doctor_knows_every_part_by_its_tensors() {
    let layout = Layout::new();
    let (found, whole) = layout.diagnosis();
    assert!(whole, "{found:#}");
    assert_eq!((strings(&found["missing"]).len(), strings(&found["problems"]).len()), (0, 0), "{found:#}");
    for (part, path) in [
        ("imagebind", "pretrained_ckpt/imagebind_ckpt/b.pth"),
        ("language_model", "pretrained_ckpt/vicuna_ckpt/7b_v0"),
        ("pandagpt", "pretrained_ckpt/a.bin"),
        ("anomalygpt", "ckpt/train_supervised/c.pt"),
    ] {
        assert_eq!(found["parts"][part][0]["path"], layout.path(path).to_str().unwrap(), "{part}");
    }
    let model = &found["parts"]["language_model"][0];
    assert_eq!((&model["sizes"]["vocabulary size"], &model["tokenizer_pieces"]), (&Value::from(2400), &Value::from(2400)));
    let memory = |precision: &str| found["memory_bytes"][precision].as_u64().unwrap();
    assert!(memory("f32") > memory("f16") && memory("f16") > memory("q8") && memory("q8") > memory("q4"));
    assert_eq!(
        strings(&found["flags"])[..2],
        ["--imagebind".to_owned(), layout.path("pretrained_ckpt/imagebind_ckpt/b.pth").display().to_string()]
    );
    let text = run("doctor", [layout.0.path()]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("PandaGPT's delta") && text.contains("--anomalygpt") && text.contains("q4"), "{text}");
}

#[test]
fn the_doctor_names_what_is_missing_broken_and_mismatched() {
    let layout = Layout::new();
    fs::write(layout.path("pretrained_ckpt/imagebind_ckpt/b.pth"), "version https://git-lfs.github.com/spec/v1\n").unwrap();
    fs::remove_file(layout.path("pretrained_ckpt/a.bin")).unwrap();
    fs::remove_file(layout.path("pretrained_ckpt/vicuna_ckpt/7b_v0/pytorch_model-00002-of-00002.bin")).unwrap();
    let (found, whole) = layout.diagnosis();
    assert!(!whole && found["flags"].is_null());
    let (missing, problems) = (strings(&found["missing"]).join("\n"), strings(&found["problems"]).join("\n"));
    assert!(
        ["ImageBind", "language model", "PandaGPT"].iter().all(|part| missing.contains(part)) && !missing.contains("AnomalyGPT"),
        "{missing}"
    );
    assert!(problems.contains("Git-LFS") && problems.contains("pytorch_model-00002-of-00002.bin"), "{problems}");

    let layout = Layout::new();
    fs::remove_file(layout.path("ckpt/train_supervised/c.pt")).unwrap();
    layout.anomaly("ckpt/13b.pt", LANGUAGE + 16);
    let config = layout.path("pretrained_ckpt/vicuna_ckpt/7b_v0/config.json");
    let json = fs::read_to_string(&config).unwrap().replace("2400", "2401");
    fs::write(config, json).unwrap();
    let (found, whole) = layout.diagnosis();
    let problems = strings(&found["problems"]).join("\n");
    assert!(!whole);
    assert!(problems.contains("prompt_learner.base_prompts") && problems.contains("80 of"), "{problems}");
    assert!(problems.contains("vocab_size") && problems.contains("2401 of"), "{problems}");
}

#[test]
fn the_doctor_notices_one_delta_under_two_names() {
    let layout = Layout::new();
    layout.anomaly("ckpt/train_visa/c.pt", LANGUAGE);
    let (found, whole) = layout.diagnosis();
    assert!(whole && strings(&found["warnings"]).iter().any(|warning| warning.contains("train_visa") && warning.contains("same weights")));
}

#[test]
fn conversion_merges_all_into_one_folder() {
    let layout = Layout::new();
    let (found, _) = layout.diagnosis();
    let mut arguments = strings(&found["flags"]);
    let out = layout.path("converted");
    arguments.extend(["--config", r#"{"lora_alpha": 8}"#, "--shard-gb", "0.0005", "--out", out.to_str().unwrap()].map(str::to_owned));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let output = run("convert", &arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for name in ["config.json", "tokenizer.json", "published.json", "LICENSE-NOTES.txt", "model.safetensors.index.json"] {
        assert!(out.join(name).is_file(), "{name}");
    }
    let output = run("doctor", ["--json", out.to_str().unwrap()]);
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success(), "{found:#}");
    assert_eq!(strings(&found["flags"]), ["--converted", out.to_str().unwrap()]);
    // A second time there is something there already.
    let output = run("convert", &arguments);
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("not empty"));
}
