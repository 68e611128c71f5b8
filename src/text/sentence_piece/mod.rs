//! SentencePiece models of the BPE kind, as LLaMA's `tokenizer.model`: pieces and scores, read from the protobuf itself.
//!
//! The tokenizer is the one that transformers' `LlamaConverter` makes: merges in the order of their pieces' scores, a dummy prefix
//! before every text, bytes for unknown characters. Deviation: as in SentencePiece itself, nothing merges into a control piece.

mod wire;

use std::collections::HashMap;

use tokenizers::{
    decoders::{byte_fallback::ByteFallback, fuse::Fuse, sequence::Sequence as Decoders, strip::Strip},
    models::bpe::{BPE, Merges, Vocab},
    normalizers::{Prepend, Replace, Sequence as Normalizers},
};

use super::{Tokenizer, byte_level::added};
use crate::error::{Error, Result};
use wire::{Fields, Wire};

/// What stands for a space in pieces.
const SPACE: &str = "▁";

/// No piece is longer, in bytes; SentencePiece trains with at most 16 characters.
const LONGEST_PIECE: usize = 1024;

/// What a piece is, as SentencePiece and GGUF number it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    #[default]
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

impl Kind {
    pub(crate) fn new(number: u64) -> Result<Self> {
        Ok(match number {
            1 => Self::Normal,
            2 => Self::Unknown,
            3 => Self::Control,
            4 => Self::UserDefined,
            5 => Self::Unused,
            6 => Self::Byte,
            other => return Err(invalid(format!("a piece has the unknown type {other}"))),
        })
    }
}

/// One entry of the vocabulary; its place is its id.
#[derive(Clone, Debug, Default)]
pub(crate) struct Piece {
    pub(crate) text: String,
    pub(crate) score: f32,
    pub(crate) kind: Kind,
}

/// A vocabulary and how text is brought into it.
#[derive(Clone, Debug)]
pub(crate) struct Pieces {
    pub(crate) pieces: Vec<Piece>,
    /// Whether a text gets a space before it.
    pub(crate) dummy_prefix: bool,
}

impl Pieces {
    /// Parses a `tokenizer.model`.
    fn parse(bytes: &[u8]) -> Result<Self> {
        let mut model = Self { pieces: vec![], dummy_prefix: true };
        let (mut byte_pair, mut squeezed, mut normalizer) = (false, true, false);
        for field in Fields::new(bytes) {
            match field? {
                (1, Wire::Bytes(piece)) => model.pieces.push(self::piece(piece)?),
                (2, Wire::Bytes(trainer)) => {
                    for field in Fields::new(trainer) {
                        match field? {
                            (3, Wire::Number(kind)) => byte_pair = kind == 2,
                            (24, Wire::Number(1)) => return Err(invalid("it treats white space as a suffix")),
                            _ => {}
                        }
                    }
                }
                (3, Wire::Bytes(spec)) => {
                    for field in Fields::new(spec) {
                        match field? {
                            (2, Wire::Bytes(map)) => normalizer = !map.is_empty(),
                            (3, Wire::Number(on)) => model.dummy_prefix = on != 0,
                            (4, Wire::Number(on)) => squeezed = on != 0,
                            (5, Wire::Number(0)) => return Err(invalid("it does not escape white space")),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        match () {
            () if model.pieces.is_empty() => Err(invalid("there are no pieces")),
            () if !byte_pair => Err(invalid("it is not of the kind BPE")),
            () if squeezed => Err(invalid("it removes white space, which is not supported")),
            () if normalizer => Err(invalid("it normalizes characters, which is not supported")),
            () => Ok(model),
        }
    }

    /// A tokenizer with these pieces.
    pub(crate) fn into_tokenizer(self) -> Result<Tokenizer> {
        let vocabulary = self.vocabulary()?;
        let merges = self.merges(&vocabulary);
        let vocabulary: Vocab = vocabulary.into_iter().map(|(piece, id)| (piece.to_owned(), id)).collect();
        let mut model = BPE::builder().vocab_and_merges(vocabulary, merges).fuse_unk(true).byte_fallback(self.falls_back());
        if let Some(unknown) = self.pieces.iter().find(|piece| piece.kind == Kind::Unknown) {
            model = model.unk_token(unknown.text.clone());
        }
        let mut inner = tokenizers::Tokenizer::new(model.build().map_err(Error::Tokenizer)?);
        let mut normalizers = vec![Replace::new(" ", SPACE).map_err(Error::Tokenizer)?.into()];
        let mut decoders =
            vec![Replace::new(SPACE, " ").map_err(Error::Tokenizer)?.into(), ByteFallback::default().into(), Fuse::default().into()];
        if self.dummy_prefix {
            normalizers.insert(0, Prepend::new(SPACE.into()).into());
            decoders.push(Strip::new(' ', 1, 0).into());
        }
        inner.with_normalizer(Some(Normalizers::new(normalizers))).map_err(Error::Tokenizer)?.with_decoder(Some(Decoders::new(decoders)));
        inner.add_tokens(added(&self.pieces)).map_err(Error::Tokenizer)?;
        Tokenizer::new(inner)
    }

    fn vocabulary(&self) -> Result<HashMap<&str, u32>> {
        let mut vocabulary = HashMap::with_capacity(self.pieces.len());
        for (id, Piece { text, score, .. }) in (0u32..).zip(&self.pieces) {
            if text.is_empty() || text.len() > LONGEST_PIECE {
                return Err(invalid(format!("piece {id} has {} bytes", text.len())));
            }
            if !score.is_finite() {
                return Err(invalid(format!("piece {id}, {text:?}, has the score {score}")));
            }
            if let Some(other) = vocabulary.insert(text.as_str(), id) {
                return Err(invalid(format!("pieces {other} and {id} are both {text:?}")));
            }
        }
        Ok(vocabulary)
    }

    /// Pairs of pieces that make another one, the best first (`generate_merges` of transformers).
    fn merges(&self, vocabulary: &HashMap<&str, u32>) -> Merges {
        let mergeable = |kind| matches!(kind, Kind::Normal | Kind::UserDefined);
        let part = |text: &str| {
            let found = vocabulary.get(text).and_then(|id| self.pieces.get(*id as usize));
            found.is_some_and(|piece| mergeable(piece.kind))
        };
        let mut merges = vec![];
        for Piece { text, score, .. } in self.pieces.iter().filter(|piece| mergeable(piece.kind)) {
            let length = text.chars().count();
            for (before, (at, _)) in text.char_indices().enumerate().skip(1) {
                let (left, right) = text.split_at(at);
                if part(left) && part(right) {
                    merges.push((score, before, length - before, left, right));
                }
            }
        }
        merges.sort_by(|a, b| b.0.total_cmp(a.0).then_with(|| (b.1, b.2).cmp(&(a.1, a.2))));
        merges.into_iter().map(|(_, _, _, left, right)| (left.to_owned(), right.to_owned())).collect()
    }

    fn falls_back(&self) -> bool {
        self.pieces.iter().any(|piece| piece.kind == Kind::Byte)
    }
}

fn piece(bytes: &[u8]) -> Result<Piece> {
    let mut piece = Piece::default();
    for field in Fields::new(bytes) {
        match field? {
            (1, Wire::Bytes(text)) => piece.text = std::str::from_utf8(text).map_err(|error| Error::Tokenizer(error.into()))?.to_owned(),
            (2, Wire::Fixed32(bits)) => piece.score = f32::from_bits(bits),
            (3, Wire::Number(kind)) => piece.kind = Kind::new(kind)?,
            _ => {}
        }
    }
    Ok(piece)
}

impl Tokenizer {
    /// Parses a SentencePiece model of the kind BPE, LLaMA's `tokenizer.model`.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] for anything else, and for what LLaMA's do not have: normalized characters, removed white space.
    pub fn from_sentence_piece(bytes: &[u8]) -> Result<Self> {
        Pieces::parse(bytes)?.into_tokenizer()
    }
}

fn invalid(reason: impl std::fmt::Display) -> Error {
    Error::Tokenizer(format!("not a SentencePiece model that is understood: {reason}").into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
