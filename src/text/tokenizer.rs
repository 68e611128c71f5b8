//! Text to token ids and back, one piece of text at a time.

use std::sync::Arc;

use crate::error::{Error, Result};

/// A tokenizer that treats all text as text: what looks like a control token stays characters.
#[derive(Clone)]
pub struct Tokenizer {
    inner: Arc<tokenizers::Tokenizer>,
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Tokenizer").field("vocabulary", &self.vocabulary()).finish()
    }
}

impl Tokenizer {
    /// Parses a `tokenizer.json`.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let mut inner = tokenizers::Tokenizer::from_bytes(bytes).map_err(Error::Tokenizer)?;
        inner.set_encode_special_tokens(true);
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Token ids of one piece of text, without a beginning or an end added.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] where the model has no token for a character.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        Ok(self.inner.encode(text, false).map_err(Error::Tokenizer)?.get_ids().to_vec())
    }

    /// The text of token ids; control tokens are left out.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] where the decoder fails.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.inner.decode(ids, true).map_err(Error::Tokenizer)
    }

    /// The id of a token by its exact piece, control tokens included.
    pub fn id(&self, piece: &str) -> Option<u32> {
        self.inner.token_to_id(piece)
    }

    /// How many tokens there are.
    pub fn vocabulary(&self) -> usize {
        self.inner.get_vocab_size(true)
    }
}
