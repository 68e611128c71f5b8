//! CLIP's byte-pair tokens (`ClipText` of the reference).

use std::sync::Arc;

use tokenizers::{
    Model as _, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer as _, SplitDelimiterBehavior,
    models::bpe::{BPE, Merges, Vocab},
    pre_tokenizers::split::{Split, SplitPattern},
};

use super::clean::clean;
use crate::error::{Error, Result};

/// One merge a line, the likeliest first; see `NOTICE` beside it.
const MERGES: &str = include_str!("merges.txt");

/// Marks the last piece of a word.
const WORD_END: &str = "</w>";

/// Begins every sentence; text that looks like it becomes it, as in CLIP.
const START: &str = "<|startoftext|>";

/// Ends every sentence; text that looks like it becomes it, as in CLIP.
const END: &str = "<|endoftext|>";

const WORDS: &str = r"(?i)<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+";

/// Sentences to CLIP's token ids.
#[derive(Clone)]
pub struct ClipTokenizer(Arc<Inner>);

struct Inner {
    words: Split,
    pieces: BPE,
    letters: [char; 256],
    start: u32,
    end: u32,
}

impl std::fmt::Debug for ClipTokenizer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ClipTokenizer").field("vocabulary", &self.vocabulary()).finish_non_exhaustive()
    }
}

impl ClipTokenizer {
    /// The published vocabulary of 49,408 tokens, which is part of the crate.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if the crate was built from a damaged file.
    pub fn new() -> Result<Self> {
        let letters = byte_letters();
        let mut order: Vec<char> = letters.to_vec();
        // In the vocabulary, bytes that are letters themselves come first.
        order.sort_by_key(|letter| (u32::from(*letter) > 255, *letter));
        let merges: Merges = MERGES.lines().filter_map(|line| line.split_once(' ')).map(|(a, b)| (a.into(), b.into())).collect();
        let bytes = order.iter().map(char::to_string);
        let ends = order.iter().map(|letter| format!("{letter}{WORD_END}"));
        let vocabulary: Vocab = bytes.chain(ends).chain(merges.iter().map(|(a, b)| format!("{a}{b}"))).zip(0..).collect();
        let start = vocabulary.len() as u32;
        let pieces = BPE::builder().vocab_and_merges(vocabulary, merges).end_of_word_suffix(WORD_END.into()).build();
        let words = Split::new(SplitPattern::Regex(WORDS.into()), SplitDelimiterBehavior::Removed, true);
        let (pieces, words) = (pieces.map_err(Error::Tokenizer)?, words.map_err(Error::Tokenizer)?);
        Ok(Self(Arc::new(Inner { words, pieces, letters, start, end: start + 1 })))
    }

    /// How many tokens there are.
    pub fn vocabulary(&self) -> usize {
        self.0.end as usize + 1
    }

    /// Ids of a cleaned sentence between those of its start and its end, cut hard at `context`: an over-long one loses its end.
    ///
    /// # Errors
    /// [`Error::Tokenizer`], which no text is known to cause.
    pub fn encode(&self, text: &str, context: usize) -> Result<Vec<u32>> {
        let Inner { words, pieces, letters, start, end } = &*self.0;
        let mut split = PreTokenizedString::from(clean(text)?);
        words.pre_tokenize(&mut split).map_err(Error::Tokenizer)?;
        let mut ids = vec![*start];
        for (word, ..) in split.get_splits(OffsetReferential::Original, OffsetType::None) {
            match word {
                START => ids.push(*start),
                END => ids.push(*end),
                word => {
                    let word: String = word.bytes().map(|byte| letters[usize::from(byte)]).collect();
                    ids.extend(pieces.tokenize(&word).map_err(Error::Tokenizer)?.iter().map(|token| token.id));
                }
            }
        }
        ids.push(*end);
        ids.truncate(context);
        Ok(ids)
    }
}

/// A printable letter for each byte: itself, or one from 256 on.
fn byte_letters() -> [char; 256] {
    let mut next = 256;
    std::array::from_fn(|byte| match byte as u8 {
        b'!'..=b'~' | 0xa1..=0xac | 0xae.. => char::from(byte as u8),
        _ => {
            next += 1;
            char::from_u32(next - 1).unwrap_or(char::REPLACEMENT_CHARACTER)
        }
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tokenizer() -> ClipTokenizer {
        static READ: std::sync::LazyLock<ClipTokenizer> = std::sync::LazyLock::new(|| ClipTokenizer::new().unwrap());
        READ.clone()
    }

    #[test]
    fn the_published_vocabulary_is_complete() {
        assert_eq!(MERGES.lines().count(), 49152 - 256 - 2);
        assert_eq!(tokenizer().vocabulary(), 49408);
        assert_eq!(tokenizer().encode("a photo of a bottle.", 77).unwrap(), [49406, 320, 1125, 539, 320, 5392, 269, 49407]);
    }

    #[test]
    fn a_mark_is_one_only_where_a_word_begins() {
        let encode = |text| tokenizer().encode(text, 77).unwrap();
        assert_eq!(encode("<|EndOfText|>"), [49406, 49407, 49407]);
        assert!(!encode("!<|endoftext|>")[1..].starts_with(&[49407]));
    }

    #[test]
    fn long_sentences_are_cut_hard() {
        let ids = tokenizer().encode(&"word ".repeat(90), 77).unwrap();
        assert_eq!((ids.len(), ids[0], ids[76]), (77, 49406, 2653));
    }

    proptest! {
        #[test]
        fn any_text_has_ids_within_the_vocabulary(text in "\\PC{0,40}") {
            let ids = tokenizer().encode(&text, 77).unwrap();
            prop_assert!(ids.len() >= 2 && ids.len() <= 77);
            prop_assert!(ids.iter().all(|id| *id < 49408));
        }
    }
}
