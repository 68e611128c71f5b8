//! The command line of `examples/train_mini`, run as a program: `cargo test -- --ignored a_smoke_run`.
#![cfg(all(feature = "flex", feature = "mini", feature = "train"))]
#![allow(missing_docs, clippy::unwrap_used)]

mod program;

use std::fs;

use program::{run, stderr, stdout};

#[test]
#[ignore = "takes minutes"]
fn a_smoke_run_measures_its_model_and_can_be_gone_on_with_from_any_part() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let whole = run("train_mini", ["--smoke", "--out", out]);
    assert!(whole.status.success(), "{}", stderr(&whole));
    assert_eq!(stdout(&whole).matches("verdicts right").count(), 8, "{}", stdout(&whole));
    let files = ["stages.safetensors", "tokenizer.json", "decoder.safetensors"].map(|name| folder.path().join(name));
    let made = files.each_ref().map(|file| fs::read(file).unwrap());

    // As if it had been broken off after the decoder's layers.
    fs::remove_dir_all(folder.path().join("context")).unwrap();
    fs::remove_dir_all(folder.path().join("language_model")).unwrap();
    let other = run("train_mini", ["--smoke", "--resume", "--seed", "8", "--out", out]);
    assert!(!other.status.success() && stderr(&other).contains("seed"), "{}", stderr(&other));
    let resumed = run("train_mini", ["--smoke", "--resume", "--out", out]);
    assert!(resumed.status.success(), "{}", stderr(&resumed));
    assert!(files.iter().zip(&made).all(|(file, made)| fs::read(file).unwrap() == *made));

    let [parts, decoder] = [folder.path().join("parts"), folder.path().join("decoder.safetensors")];
    let rest = run("train_mini", ["--smoke", "--out", parts.to_str().unwrap(), "--decoder", decoder.to_str().unwrap()]);
    assert!(rest.status.success(), "{}", stderr(&rest));
    assert!(fs::read(parts.join("stages.safetensors")).unwrap() == made[0], "a decoder that is given makes the same of the rest");
}
