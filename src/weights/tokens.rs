//! Whether an embedding has a row for each token of the files beside it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{Dimension, Pairing, Size, TensorSource};
use crate::{
    error::{Error, Result},
    text::{Tokenizer, tokenizer},
};

/// Tokens and their ids, as `added_tokens.json` has them.
type Ids = BTreeMap<String, usize>;

/// The part of a `tokenizer_config.json` that has ids.
#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    added_tokens_decoder: BTreeMap<usize, Token>,
}

#[derive(Deserialize)]
struct Token {
    content: String,
}

/// Checks that the embedding of a language model has a row for each token of its folder: those of the tokenizer, and those that
/// `added_tokens.json` and `tokenizer_config.json` add. Vicuna v0's files add one for padding, which the weights of later versions lack.
///
/// More rows than tokens are no contradiction: Vicuna v0 was published with 32,001 rows beside LLaMA's own tokenizer of 32,000, which
/// is that of the later versions too (FastChat's issues 153 and 363).
///
/// # Errors
/// [`Error::Pairing`] with the tensor, the token and both files; [`Error::Io`] and [`Error::Tokenizer`] for files that can't be read.
pub fn check_tokens(source: &dyn TensorSource, folder: &Path, tokenizer: &Tokenizer) -> Result<()> {
    let sizes = Size::all(source);
    let Some(rows) = sizes.into_iter().find(|size| size.dimension == Dimension::Vocabulary) else { return Ok(()) };
    let needed = |value, token: &str, file: &Path| Size::setting(Dimension::Vocabulary, value, token, file);
    let mut sizes = vec![needed(tokenizer.vocabulary(), "its pieces", &tokenizer::file_in(folder))];
    for (token, id, file) in added_tokens(folder)? {
        sizes.push(needed(id.saturating_add(1), &token, &file));
    }
    match sizes.into_iter().find(|needed| needed.value > rows.value) {
        Some(second) => Err(Error::Pairing(Box::new(Pairing { first: rows, second }))),
        None => Ok(()),
    }
}

fn added_tokens(folder: &Path) -> Result<Vec<(String, usize, PathBuf)>> {
    let [added, config] = ["added_tokens.json", "tokenizer_config.json"].map(|name| folder.join(name));
    let ids: Ids = parsed(&added)?.unwrap_or_default();
    let decoder = parsed(&config)?.map_or_else(BTreeMap::new, |config: Config| config.added_tokens_decoder);
    let ids = ids.into_iter().map(|(token, id)| (token, id, added.clone()));
    Ok(ids.chain(decoder.into_iter().map(|(id, token)| (token.content, id, config.clone()))).collect())
}

/// A JSON file, if there is one.
fn parsed<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<Option<T>> {
    if !path.exists() {
        return Ok(None);
    }
    let parsed = tokenizer::contents(path).and_then(|bytes| serde_json::from_slice(&bytes).map_err(|error| Error::Tokenizer(error.into())));
    parsed.map(Some).map_err(|error| tokenizer::in_file(error, path))
}
