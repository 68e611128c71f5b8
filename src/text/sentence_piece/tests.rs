use proptest::prelude::*;

use super::*;
use crate::text::tokenizer::tests::tokenizer;

const MODEL: &[u8] = include_bytes!("../../../tests/golden/data/llama_tokenizer.model");

fn json(tokenizer: &str) -> serde_json::Value {
    serde_json::from_str(tokenizer).unwrap()
}

/// A message's field: a number, or bytes.
fn number(field: u8, value: u8) -> Vec<u8> {
    vec![field << 3, value]
}
fn bytes(field: u8, value: &[u8]) -> Vec<u8> {
    [&[field << 3 | 2, value.len() as u8], value].concat()
}
fn piece_of(text: &str, score: f32, kind: u8) -> Vec<u8> {
    bytes(1, &[bytes(1, text.as_bytes()), [&[0x15], &score.to_le_bytes()[..]].concat(), number(3, kind)].concat())
}

/// A model with pieces (after `<unk>`), extra fields of its trainer and of its normalizer.
fn model(pieces: &[Vec<u8>], trainer: &[Vec<u8>], normalizer: &[Vec<u8>]) -> Vec<u8> {
    let trainer = bytes(2, &[number(3, 2), trainer.concat()].concat());
    let normalizer = bytes(3, &[number(4, 0), normalizer.concat()].concat());
    [piece_of("<unk>", 0.0, 2), pieces.concat(), trainer, normalizer].concat()
}

fn refusal(bytes: &[u8]) -> String {
    match Tokenizer::from_sentence_piece(bytes) {
        Err(Error::Tokenizer(reason)) => reason.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_model_is_the_one_of_the_converted_file() {
    let found = json(&Pieces::parse(MODEL).unwrap().into_tokenizer().unwrap().to_json().unwrap());
    let expected = json(include_str!("../../../tests/golden/data/llama_tokenizer.json"));
    for part in ["added_tokens", "normalizer", "pre_tokenizer", "decoder"] {
        assert_eq!(found[part], expected[part], "{part}");
    }
    let plain = |merge: &serde_json::Value| match merge.as_array() {
        Some(pair) => format!("{} {}", pair[0].as_str().unwrap(), pair[1].as_str().unwrap()),
        None => merge.as_str().unwrap().to_owned(),
    };
    let merges = |json: &serde_json::Value| json["model"]["merges"].as_array().unwrap().iter().map(plain).collect::<Vec<_>>();
    assert_eq!(merges(&found), merges(&expected));
    for part in ["vocab", "unk_token", "fuse_unk", "byte_fallback"] {
        assert_eq!(found["model"][part], expected["model"][part], "{part}");
    }
}

#[test]
fn unknown_control_and_defined_pieces_are_told_apart() {
    let pieces = [
        piece_of("<s>", 0.0, 3),
        piece_of("<x>", 0.0, 4),
        piece_of("<", -1.0, 1),
        piece_of("s>", -2.0, 1),
        piece_of("x", -3.0, 1),
        piece_of(">", -4.0, 1),
        piece_of("s", -5.0, 1),
    ];
    let tokenizer = Tokenizer::from_sentence_piece(&model(&pieces, &[], &[number(3, 0)])).unwrap();
    // A control piece is never read from text, nor merged from its parts; a defined one is.
    assert_eq!(tokenizer.encode("<s>").unwrap(), [3, 4]);
    assert_eq!(tokenizer.encode("s<x>x").unwrap(), [7, 2, 5]);
    // Without bytes to fall back to, there is no token.
    assert!(matches!(tokenizer.encode("y"), Err(Error::Tokenizer(_))));
}

#[test]
fn other_models_are_refused_with_the_reason() {
    let a = [piece_of("a", 0.0, 1)];
    assert!(Tokenizer::from_sentence_piece(&model(&a, &[], &[])).is_ok());
    for (bytes, reason) in [
        (model(&a, &[number(3, 1)], &[]), "kind BPE"),
        (model(&a, &[], &[number(4, 1)]), "white space"),
        (model(&a, &[], &[bytes(2, b"x")]), "normalizes"),
        (model(&[piece_of("a", 0.0, 1), piece_of("a", 0.0, 1)], &[], &[]), "both"),
        (model(&[piece_of("a", f32::NAN, 1)], &[], &[]), "score"),
        (model(&[piece_of("", 0.0, 1)], &[], &[]), "0 bytes"),
        (model(&[piece_of("a", 0.0, 9)], &[], &[]), "type 9"),
        (vec![], "no pieces"),
        (b"version https://git-lfs.github.com/spec/v1\n".to_vec(), "cut off"),
        (MODEL[..MODEL.len() / 2].to_vec(), "cut off"),
    ] {
        let found = refusal(&bytes);
        assert!(found.contains(reason), "{found}");
    }
}

proptest! {
    #[test]
    fn any_text_has_the_converted_file_s_ids(text in "[<>/su#▁ \\PC\n]{0,24}") {
        static READ: std::sync::LazyLock<Tokenizer> = std::sync::LazyLock::new(|| Tokenizer::from_sentence_piece(MODEL).unwrap());
        let ids = READ.encode(&text).unwrap();
        prop_assert_eq!(&ids, &tokenizer().encode(&text).unwrap());
        prop_assert_eq!(READ.decode(&ids).unwrap(), tokenizer().decode(&ids).unwrap());
    }

    #[test]
    fn damage_is_no_panic(at in 0..MODEL.len(), byte in any::<u8>(), length in 0..MODEL.len()) {
        let mut damaged = MODEL.to_vec();
        damaged[at] = byte;
        damaged.truncate(length);
        let _ = Pieces::parse(&damaged);
    }
}
