//! Tokens of a folder's files against the rows of an embedding.

use super::{Folder, writers::safetensors_of};
use crate::{
    error::{Error, Result},
    text::Tokenizer,
    weights::{Checkpoint, check_tokens},
};

/// Tokens of the golden set's tokenizer.
const PIECES: usize = 2400;
const EMBEDDING: &str = "model.embed_tokens.weight";

/// A folder as Hugging Face lays it out, whose embedding has so many rows, with more files.
fn checked(rows: usize, files: &[(&str, &str)]) -> Result<()> {
    let folder = Folder::new();
    folder.write("model.safetensors", safetensors_of(&[(EMBEDDING, &[rows, 1], vec![0.5; rows])]));
    folder.write("tokenizer.model", include_bytes!("../../../tests/golden/data/llama_tokenizer.model"));
    for (name, json) in files {
        folder.write(name, json);
    }
    check_tokens(&Checkpoint::open(folder.path())?, folder.path(), &Tokenizer::read(folder.path())?)
}

#[test]
fn folders_as_they_were_published_pass() {
    let version_1 = r#"{"bos_token": "<s>", "pad_token": null, "tokenizer_class": "LlamaTokenizer"}"#;
    let later = r#"{"added_tokens_decoder": {"0": {"content": "<unk>"}, "2": {"content": "</s>", "special": true}}}"#;
    let padding = r#"{"[PAD]": 2400}"#;
    for (rows, files) in [
        (PIECES, vec![]),
        (PIECES, vec![("tokenizer_config.json", version_1)]),
        (PIECES, vec![("tokenizer_config.json", later), ("added_tokens.json", "{}")]),
        (PIECES + 1, vec![("added_tokens.json", padding)]),
        (PIECES + 1, vec![("tokenizer_config.json", version_1)]),
        (PIECES + 64, vec![]),
    ] {
        checked(rows, &files).unwrap();
    }
}

#[test]
fn a_token_without_a_row_is_named_with_its_file() {
    let added = ("added_tokens.json", r#"{"[PAD]": 2400}"#);
    let decoder = ("tokenizer_config.json", r#"{"added_tokens_decoder": {"2400": {"content": "[PAD]"}}}"#);
    for (rows, files, value, token, file) in [
        (PIECES, vec![added], PIECES + 1, "[PAD]", added.0),
        (PIECES, vec![decoder], PIECES + 1, "[PAD]", decoder.0),
        (PIECES - 1, vec![], PIECES, "its pieces", "tokenizer.model"),
    ] {
        let Err(Error::Pairing(pairing)) = checked(rows, &files) else { panic!("{files:?}") };
        assert_eq!((pairing.first.value, pairing.first.tensor.as_str()), (rows, EMBEDDING));
        assert!(pairing.first.file.ends_with("model.safetensors"));
        assert_eq!((pairing.second.value, pairing.second.tensor.as_str()), (value, token));
        assert!(pairing.second.file.ends_with(file));
    }
}

#[test]
fn what_is_no_such_file_is_named() {
    for (name, text) in [("added_tokens.json", "[]"), ("tokenizer_config.json", "version https://git-lfs.github.com/spec/v1")] {
        let reason = checked(PIECES, &[(name, text)]).unwrap_err().to_string();
        assert!(reason.contains(name), "{reason}");
    }
    let greatest = checked(PIECES, &[("added_tokens.json", r#"{"far": 18446744073709551615}"#)]);
    assert!(matches!(greatest, Err(Error::Pairing(_))), "{greatest:?}");
}
