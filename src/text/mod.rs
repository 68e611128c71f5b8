//! The strings that are sent to the encoder and to the language model.
//!
//! The learned vectors that the paper calls "prompt" too are in [`prompt_learner`](crate::prompt_learner).

pub(crate) mod byte_level;
pub mod descriptions;
pub mod dialogue;
pub mod ensemble;
pub(crate) mod sentence_piece;
pub mod tokenizer;

pub use tokenizer::Tokenizer;

use crate::error::{Error, Result};

/// The longest description or question that is taken, in bytes.
pub const LONGEST: usize = 4096;

/// A text from the user without white space around it, or `None` where nothing is left of it; `what` names it in the error.
///
/// # Errors
/// [`Error::TextTooLong`] above [`LONGEST`] bytes.
pub fn checked<'a>(what: &'static str, text: &'a str) -> Result<Option<&'a str>> {
    if text.len() > LONGEST {
        return Err(Error::TextTooLong { what, found: text.len(), limit: LONGEST });
    }
    Ok(Some(text.trim()).filter(|text| !text.is_empty()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_trimmed_and_may_be_missing() {
        assert_eq!(checked("description", " a bottle\n").unwrap(), Some("a bottle"));
        assert_eq!(checked("description", " \t\n").unwrap(), None);
        assert_eq!(checked("description", "").unwrap(), None);
    }

    #[test]
    fn a_text_has_a_limit() {
        assert!(checked("description", &"x".repeat(LONGEST)).unwrap().is_some());
        let error = checked("description", &"x".repeat(100_000)).unwrap_err();
        assert!(matches!(error, Error::TextTooLong { what: "description", found: 100_000, limit: LONGEST }));
    }
}
