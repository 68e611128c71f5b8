//! Text to token ids and back, one piece of text at a time.

use std::{
    collections::BTreeSet,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::error::{Error, Result};

/// No tokenizer's file is larger, in bytes.
const LARGEST_FILE: u64 = 64 << 20;

/// A tokenizer that treats all text as text: what looks like a control token stays characters.
#[derive(Clone)]
pub struct Tokenizer {
    inner: Arc<tokenizers::Tokenizer>,
    control: Arc<BTreeSet<u32>>,
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Tokenizer").field("vocabulary", &self.vocabulary()).finish_non_exhaustive()
    }
}

impl Tokenizer {
    /// Parses a `tokenizer.json`; what it says about truncation and padding is left aside.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Self::new(tokenizers::Tokenizer::from_bytes(bytes).map_err(Error::Tokenizer)?)
    }

    /// Reads the tokenizer of a Hugging Face folder: `tokenizer.json`, or else `tokenizer.model`.
    ///
    /// # Errors
    /// [`Error::Io`] where there is neither; [`Error::Tokenizer`] with the file for what is not understood.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = file_in(folder);
        let is_json = path.extension().is_some_and(|extension| extension == "json");
        let read = |bytes: Vec<u8>| if is_json { Self::from_bytes(&bytes) } else { Self::from_sentence_piece(&bytes) };
        contents(&path).and_then(read).map_err(|error| in_file(error, &path))
    }

    /// Makes all text plain text, and lifts limits of length.
    pub(super) fn new(mut inner: tokenizers::Tokenizer) -> Result<Self> {
        inner.set_encode_special_tokens(true);
        inner.with_truncation(None).map_err(Error::Tokenizer)?.with_padding(None);
        let control = inner.get_added_tokens_decoder().iter().filter(|(_, token)| token.special).map(|(id, _)| *id).collect();
        Ok(Self { inner: Arc::new(inner), control: Arc::new(control) })
    }

    /// Token ids of one piece of text, without a beginning or an end added. None of them is a control token.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] where the vocabulary has no token for a character.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let ids = self.inner.encode(text, false).map_err(Error::Tokenizer)?.get_ids().to_vec();
        match ids.iter().find(|id| self.control.contains(id)) {
            Some(id) => {
                Err(Error::Tokenizer(format!("the vocabulary has no token for a character of the text, only {}", self.piece(*id)).into()))
            }
            None => Ok(ids),
        }
    }

    /// The text of token ids; control tokens and ids outside the vocabulary are left out.
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

    /// How many tokens there are, control tokens included.
    pub fn vocabulary(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    #[cfg(test)]
    pub(crate) fn to_json(&self) -> Result<String> {
        self.inner.to_string(false).map_err(Error::Tokenizer)
    }

    fn piece(&self, id: u32) -> String {
        self.inner.id_to_token(id).unwrap_or_else(|| id.to_string())
    }
}

/// The file of a folder's tokenizer.
pub(crate) fn file_in(folder: &Path) -> PathBuf {
    let json = folder.join("tokenizer.json");
    if json.exists() { json } else { folder.join("tokenizer.model") }
}

/// The same error, with the file that a tokenizer was read from.
pub(crate) fn in_file(error: Error, path: &Path) -> Error {
    match error {
        Error::Tokenizer(source) => Error::Tokenizer(format!("{}: {source}", path.display()).into()),
        other => other,
    }
}

/// The bytes of a file of a tokenizer.
pub(crate) fn contents(path: &Path) -> Result<Vec<u8>> {
    let io = |source| Error::io(path, source);
    let mut bytes = vec![];
    File::open(path).map_err(io)?.take(LARGEST_FILE + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(Error::Tokenizer(format!("a file of more than {LARGEST_FILE} bytes is no tokenizer's").into()));
    }
    if bytes.starts_with(b"version https://git-lfs") {
        return Err(Error::Tokenizer("it is a Git LFS pointer, not the file itself".into()));
    }
    Ok(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;

    /// The golden set's tokenizer: 2,400 pieces, byte fallback, `<unk>`, `<s>` and `</s>`.
    pub(crate) fn tokenizer() -> Tokenizer {
        static READ: LazyLock<Tokenizer> =
            LazyLock::new(|| Tokenizer::from_bytes(include_bytes!("../../tests/golden/data/llama_tokenizer.json")).unwrap());
        READ.clone()
    }

    #[test]
    fn what_looks_like_control_tokens_stays_text() {
        let tokenizer = tokenizer();
        for text in ["<s>", "</s>", "<unk>", "a</s>b", "</s> <s>", "<0x00>", "<s", "▁<s>▁"] {
            let ids = tokenizer.encode(text).unwrap();
            assert!(ids.iter().all(|id| *id > 2), "{text}: {ids:?}");
            assert_eq!(tokenizer.decode(&ids).unwrap(), text.replace('▁', " "));
        }
    }

    #[test]
    fn control_tokens_have_ids_and_no_text() {
        let tokenizer = tokenizer();
        assert_eq!((tokenizer.id("<unk>"), tokenizer.id("<s>"), tokenizer.id("</s>")), (Some(0), Some(1), Some(2)));
        assert_eq!(tokenizer.decode(&[1, 2, 0]).unwrap(), "");
        assert_eq!(tokenizer.vocabulary(), 2400);
    }

    #[test]
    fn a_character_outside_the_vocabulary_is_an_error() {
        let json = r#"{"version":"1.0","truncation":null,"padding":null,"added_tokens":[{"id":0,"content":"<unk>","single_word":false,"lstrip":false,
            "rstrip":false,"normalized":false,"special":true}],"normalizer":null,"pre_tokenizer":null,"post_processor":null,"decoder":null,
            "model":{"type":"BPE","dropout":null,"unk_token":"<unk>","continuing_subword_prefix":null,"end_of_word_suffix":null,"fuse_unk":true,
            "byte_fallback":false,"vocab":{"<unk>":0,"a":1},"merges":[]}}"#;
        let tokenizer = Tokenizer::from_bytes(json.as_bytes()).unwrap();
        assert_eq!(tokenizer.encode("aa").unwrap(), [1, 1]);
        assert!(matches!(tokenizer.encode("ab"), Err(Error::Tokenizer(_))));
    }

    #[test]
    fn a_length_limit_of_the_file_is_left_aside() {
        let json = String::from_utf8(include_bytes!("../../tests/golden/data/llama_tokenizer.json").to_vec()).unwrap();
        let truncation = r#""truncation": {"direction":"Right","max_length":3,"strategy":"LongestFirst","stride":0}"#;
        let limited = json.replacen(r#""truncation": null"#, truncation, 1);
        assert_ne!(limited, json);
        let text = "a text of more than three tokens";
        assert_eq!(Tokenizer::from_bytes(limited.as_bytes()).unwrap().encode(text).unwrap(), tokenizer().encode(text).unwrap());
    }

    #[test]
    fn a_folder_has_one_of_two_files() {
        let folder = tempfile::tempdir().unwrap();
        let refusal = || Tokenizer::read(folder.path()).unwrap_err();
        assert!(matches!(refusal(), Error::Io { path, .. } if path.ends_with("tokenizer.model")));
        std::fs::write(folder.path().join("tokenizer.model"), include_bytes!("../../tests/golden/data/llama_tokenizer.model")).unwrap();
        assert_eq!(Tokenizer::read(folder.path()).unwrap().vocabulary(), 2400);
        std::fs::write(folder.path().join("tokenizer.json"), b"version https://git-lfs.github.com/spec/v1").unwrap();
        let reason = refusal().to_string();
        assert!(reason.contains("tokenizer.json") && reason.contains("Git LFS"), "{reason}");
        std::fs::write(folder.path().join("tokenizer.json"), include_bytes!("../../tests/golden/data/llama_tokenizer.json")).unwrap();
        assert_eq!(Tokenizer::read(folder.path()).unwrap().vocabulary(), 2400);
    }

    #[test]
    fn anything_else_is_an_error() {
        assert!(matches!(Tokenizer::from_bytes(b"no json"), Err(Error::Tokenizer(_))));
    }

    proptest! {
        #[test]
        fn any_text_survives_without_control_tokens(text in "[<>/su#\\PC\n]{0,24}") {
            let tokenizer = tokenizer();
            let ids = tokenizer.encode(&text).unwrap();
            prop_assert!(ids.iter().all(|id| *id > 2));
            prop_assert_eq!(tokenizer.decode(&ids).unwrap(), text.replace('▁', " "));
        }
    }
}
