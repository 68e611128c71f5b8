//! Byte-level byte-pair vocabularies, as GPT-2's and SmolLM2's, from tokens and merges.

use tokenizers::{
    AddedToken, PreTokenizerWrapper,
    models::bpe::{BPE, Vocab},
    pre_tokenizers::{byte_level::ByteLevel, digits::Digits, sequence::Sequence},
};

use super::{
    Tokenizer,
    sentence_piece::{Kind, Piece},
};
use crate::error::{Error, Result};

/// A vocabulary over characters that stand for bytes.
#[derive(Clone, Debug)]
pub(crate) struct BytePairs<'a> {
    /// Their scores don't count.
    pub(crate) tokens: Vec<Piece>,
    /// Two tokens each, with a space between; the best first.
    pub(crate) merges: Vec<&'a str>,
    /// Whether digits stand alone.
    pub(crate) single_digits: bool,
    /// The token of what no other one fits.
    pub(crate) unknown: Option<usize>,
}

impl BytePairs<'_> {
    pub(crate) fn into_tokenizer(self) -> Result<Tokenizer> {
        let vocabulary: Vocab = self.tokens.iter().map(|token| token.text.clone()).zip(0..).collect();
        if vocabulary.len() != self.tokens.len() {
            return Err(invalid("a token is there twice"));
        }
        let merges = self.merges.iter().map(|merge| {
            let (left, right) = merge.split_once(' ').ok_or_else(|| invalid(format!("{merge:?} is no pair of tokens")))?;
            Ok((left.to_owned(), right.to_owned()))
        });
        let mut model = BPE::builder().vocab_and_merges(vocabulary.clone(), merges.collect::<Result<Vec<_>>>()?);
        match self.unknown.map(|id| self.tokens.get(id)) {
            Some(Some(unknown)) => model = model.unk_token(unknown.text.clone()),
            Some(None) => return Err(invalid("the unknown token is not there")),
            None => {
                if let Some(missing) = ByteLevel::alphabet().iter().find(|byte| !vocabulary.contains_key(&byte.to_string())) {
                    return Err(invalid(format!("there is no token for the byte {missing:?}, nor for what is unknown")));
                }
            }
        }
        let mut inner = tokenizers::Tokenizer::new(model.build().map_err(Error::Tokenizer)?);
        let bytes = ByteLevel::new(false, true, true);
        let mut steps: Vec<PreTokenizerWrapper> = vec![bytes.into()];
        if self.single_digits {
            steps.insert(0, Digits::new(true).into());
        }
        inner.with_pre_tokenizer(Some(Sequence::new(steps))).with_decoder(Some(bytes));
        inner.add_tokens(added(&self.tokens)).map_err(Error::Tokenizer)?;
        Tokenizer::new(inner)
    }
}

/// Tokens that stand for no text, and those that are never split.
pub(super) fn added(tokens: &[Piece]) -> Vec<AddedToken> {
    let added = |token: &Piece| match token.kind {
        Kind::Unknown | Kind::Control => Some(AddedToken::from(token.text.clone(), true).normalized(false)),
        Kind::UserDefined => Some(AddedToken::from(token.text.clone(), false).normalized(false)),
        _ => None,
    };
    tokens.iter().filter_map(added).collect()
}

fn invalid(reason: impl std::fmt::Display) -> Error {
    Error::Tokenizer(format!("not a byte-pair vocabulary that is understood: {reason}").into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn pairs(with_bytes: bool) -> BytePairs<'static> {
        let piece = |text: String, kind| Piece { text, score: 0.0, kind };
        let mut tokens = vec![piece("<|end|>".into(), Kind::Control)];
        let mut bytes: Vec<char> = ByteLevel::alphabet().into_iter().collect();
        bytes.sort_unstable();
        bytes.retain(|byte| with_bytes || "abĠ<|end>12".contains(*byte));
        tokens.extend(bytes.into_iter().map(|byte| piece(byte.to_string(), Kind::Normal)));
        tokens.extend(["ab", "Ġab", "12"].map(|text| piece(text.into(), Kind::Normal)));
        BytePairs { tokens, merges: vec!["a b", "Ġ ab", "1 2"], single_digits: false, unknown: None }
    }

    #[test]
    fn bytes_merge_and_text_never_ends_anything() {
        let tokenizer = pairs(true).into_tokenizer().unwrap();
        let pieces =
            |text: &str| tokenizer.encode(text).unwrap().into_iter().map(|id| tokenizer.decode(&[id]).unwrap()).collect::<Vec<_>>();
        assert_eq!(pieces("ab ab12"), ["ab", " ab", "12"]);
        assert_eq!(tokenizer.encode("<|end|>").unwrap().len(), 7);
        assert_eq!(tokenizer.decode(&[0]).unwrap(), "");
        for text in ["日本 é 🙂", "  \n\t", "<|end|>"] {
            assert_eq!(tokenizer.decode(&tokenizer.encode(text).unwrap()).unwrap(), text);
        }
    }

    #[test]
    fn digits_can_stand_alone() {
        let tokenizer = BytePairs { single_digits: true, ..pairs(true) }.into_tokenizer().unwrap();
        assert_eq!(tokenizer.encode("ab12").unwrap().len(), 3);
    }

    #[test]
    fn what_has_no_token_is_an_error() {
        assert!(matches!(pairs(false).into_tokenizer(), Err(Error::Tokenizer(_))));
        let tokenizer = BytePairs { unknown: Some(0), ..pairs(false) }.into_tokenizer().unwrap();
        assert_eq!(tokenizer.encode("ab").unwrap().len(), 1);
        assert!(matches!(tokenizer.encode("x"), Err(Error::Tokenizer(_))));
        let broken = BytePairs { merges: vec!["ab"], ..pairs(true) };
        assert!(matches!(broken.into_tokenizer(), Err(Error::Tokenizer(_))));
    }
}
