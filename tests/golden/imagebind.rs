//! ImageBind's towers and CLIP's tokens, from the golden set's tensors.

use std::{io::Write, sync::LazyLock};

use anomalygpt::{
    decoder::mean_direction,
    encoder::{
        Encoder, ImageBind,
        imagebind::{ClipTokenizer, ImageBindConfig},
    },
    preprocess::Fit,
    text::ensemble::Ensemble,
    weights::{Checkpoint, StateDict},
};
use burn::tensor::{Device, Tensor, TensorData};
use flate2::read::GzDecoder;
use image::RgbImage;
use tempfile::NamedTempFile;

use crate::support::{assert_tensor_close, bytes, expected, json, tolerance, unpacked};

/// What `manifest.json` says of the golden set, and no tensor does.
pub(crate) fn config() -> ImageBindConfig {
    ImageBindConfig::new().with_vision_heads(4).with_text_heads(3).with_taps(vec![0, 1, 2, 3])
}

/// The checkpoint as a file.
pub(crate) fn file() -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    std::io::copy(&mut GzDecoder::new(&bytes("imagebind.safetensors.gz")[..]), &mut file).unwrap();
    file.flush().unwrap();
    file
}

pub(crate) fn imagebind() -> ImageBind {
    static LOADED: LazyLock<ImageBind> =
        LazyLock::new(|| ImageBind::load(&config(), &Checkpoint::open(file().path()).unwrap(), &Device::default()).unwrap());
    LOADED.clone()
}

pub(crate) fn published() -> StateDict {
    unpacked("published.safetensors.gz")
}

fn image(name: &str, fit: Fit) -> Tensor<4> {
    let encoder = imagebind().with_fit(fit);
    let path = format!("{}/tests/golden/data/images/{name}", env!("CARGO_MANIFEST_DIR"));
    let rgb: RgbImage = image::open(path).unwrap().to_rgb8();
    let preprocess = encoder.preprocess();
    preprocess.to_tensor(&[preprocess.resize(&rgb).unwrap()], &Device::default()).unwrap()
}

fn numbers(data: &TensorData) -> Vec<u32> {
    data.iter::<i64>().map(|id| u32::try_from(id).unwrap()).collect()
}

#[test]
fn token_ids_are_the_reference_s() {
    let (tokenizer, published) = (ClipTokenizer::new().unwrap(), published());
    for class in ["bottle", "metal_nut", "object"] {
        let Ensemble { normal, abnormal, .. } = Ensemble::new(class);
        let wanted = json("clip.json")["ensemble"][class].clone();
        assert_eq!(serde_json::json!([normal, abnormal]), wanted);
        let padded = |text: &String| {
            let mut ids = tokenizer.encode(text, 77).unwrap();
            ids.resize(77, 0);
            ids
        };
        let found: Vec<u32> = normal.iter().chain(&abnormal).flat_map(padded).collect();
        assert_eq!(found, numbers(published.get(&format!("text_ids.{class}")).unwrap()), "{class}");
    }
}

#[test]
fn awkward_sentences_have_the_reference_s_ids() {
    let tokenizer = ClipTokenizer::new().unwrap();
    for case in json("clip.json")["clip"].as_array().unwrap() {
        let text = case["text"].as_str().unwrap();
        let wanted: Vec<u32> = serde_json::from_value(case["ids"].clone()).unwrap();
        assert_eq!(tokenizer.encode(text, 77).unwrap(), wanted, "{text:?}");
    }
}

#[test]
fn image_embeddings_and_taps_are_the_reference_s() {
    let (imagebind, published, expected) = (imagebind(), published(), expected());
    for (file, name, fit) in [
        ("defect.png", "defect.png", Fit::Crop),
        ("normal_1.png", "normal_1.png", Fit::Crop),
        ("defect.png", "squash.defect.png", Fit::Squash),
    ] {
        let found = imagebind.encode_images(image(file, fit)).unwrap();
        assert_eq!(found.grid, [16, 16]);
        assert_tensor_close(found.embedding, published.get(&format!("embedding.{name}")).unwrap(), tolerance("embedding"));
        for (tap, tokens) in found.patch_tokens.into_iter().enumerate().filter(|_| fit == Fit::Crop) {
            assert_tensor_close(tokens, expected.get(&format!("features.{name}.{tap}")).unwrap(), tolerance("features"));
        }
    }
}

#[test]
fn sentence_vectors_are_the_reference_s() {
    let (imagebind, published) = (imagebind(), published());
    let ids = published.get("text_ids.bottle").unwrap();
    let rows: Vec<Vec<u32>> = numbers(ids).chunks(77).map(<[u32]>::to_vec).collect();
    let found = imagebind.text().forward(&rows).unwrap();
    let wanted = published.get("text_sentence_embeddings.bottle").unwrap();
    assert_tensor_close(found, wanted, tolerance("text_sentence_embeddings"));
}

#[test]
fn text_pairs_are_the_reference_s() {
    let (imagebind, published) = (imagebind(), published());
    for class in ["bottle", "metal_nut", "object"] {
        let Ensemble { normal, abnormal, .. } = Ensemble::new(class);
        let rows = [normal, abnormal].map(|sentences| {
            let sentences: Vec<&str> = sentences.iter().map(String::as_str).collect();
            mean_direction(imagebind.encode_texts(&sentences).unwrap())
        });
        let wanted = published.get(&format!("text_features.{class}")).unwrap();
        assert_tensor_close(Tensor::cat(rows.into(), 0), wanted, tolerance("text_features"));
    }
}
