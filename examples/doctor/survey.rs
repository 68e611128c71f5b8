//! What is there: every checkpoint under the paths, listed and not read.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anomalygpt::{
    Error,
    llm::llama::LlamaConfig,
    text::Tokenizer,
    weights::{Checkpoint, CheckpointKind, Dimension, Fault, Size, TensorSource, check_tokens, mismatches},
};

use crate::chain::chain;

/// Folders within folders that are searched.
const DEPTH: usize = 8;

/// A folder with one of these is a checkpoint of its own, and its files are not looked at one by one.
const MARKS: [&str; 5] =
    ["model.safetensors.index.json", "pytorch_model.bin.index.json", "model.safetensors", "pytorch_model.bin", "config.json"];

/// Endings of files that are meant to be weights, so that it is worth saying what is wrong with them.
const ENDINGS: [&str; 6] = ["pt", "pth", "bin", "safetensors", "ckpt", "gguf"];

/// A checkpoint whose tensors could be listed.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) kind: CheckpointKind,
    pub(crate) sizes: Vec<Size>,
    /// Pieces of the tokenizer beside a language model.
    pub(crate) pieces: Option<usize>,
    /// What does not fit within the folder itself.
    pub(crate) problems: Vec<String>,
    /// What may be meant so.
    pub(crate) warnings: Vec<String>,
}

/// All that was found.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    pub(crate) found: Vec<Found>,
    /// Files and folders that can't be read as checkpoints, and why.
    pub(crate) broken: Vec<String>,
}

impl Survey {
    pub(crate) fn of(paths: &[PathBuf]) -> Self {
        let mut survey = Self::default();
        for path in paths {
            survey.visit(path, DEPTH, true);
        }
        survey
    }

    pub(crate) fn of_kind(&self, kind: CheckpointKind) -> impl Iterator<Item = &Found> + Clone {
        self.found.iter().filter(move |found| found.kind == kind)
    }

    fn visit(&mut self, path: &Path, depth: usize, named: bool) {
        if !path.is_dir() {
            return self.look_at(path, named);
        }
        let whole = MARKS.iter().any(|mark| path.join(mark).is_file());
        if whole {
            self.look_at(path, true);
        }
        let mut entries: Vec<PathBuf> = match fs::read_dir(path) {
            Ok(entries) => entries.filter_map(|entry| Some(entry.ok()?.path())).collect(),
            Err(error) => return self.broken.push(format!("{}: {error}", path.display())),
        };
        entries.sort();
        for entry in entries {
            let hidden = entry.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
            match entry.is_dir() {
                true if depth > 0 && !hidden && !entry.is_symlink() => self.visit(&entry, depth - 1, false),
                false if !whole => self.look_at(&entry, false),
                _ => {}
            }
        }
    }

    /// A file that is something else is passed over, unless it was named or pretends to be a checkpoint.
    fn look_at(&mut self, path: &Path, named: bool) {
        let pretends = path.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known)));
        let found = Checkpoint::open(path).and_then(|checkpoint| {
            let kind = CheckpointKind::of(&checkpoint)?;
            Ok((checkpoint, kind))
        });
        match found {
            Ok((checkpoint, kind)) => self.found.push(Found::new(path, checkpoint, kind)),
            Err(Error::Checkpoint { fault: Fault::WrongKind(_), .. }) if !named && !pretends => {}
            Err(error) => self.broken.push(chain(&error)),
        }
    }
}

impl Found {
    fn new(path: &Path, checkpoint: Checkpoint, kind: CheckpointKind) -> Self {
        let sizes = Size::all(&checkpoint);
        let mut found = Self { path: path.into(), checkpoint, kind, sizes, pieces: None, problems: vec![], warnings: vec![] };
        if matches!(kind, CheckpointKind::LanguageModel | CheckpointKind::VicunaDelta | CheckpointKind::Whole) {
            found.compare_with_config();
            found.compare_with_tokenizer();
        }
        let sizes = [found.sizes.clone(), found.settings()].concat();
        found.problems.extend(mismatches(&sizes).iter().map(ToString::to_string));
        found
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.checkpoint.tensors().values().map(|info| info.bytes() as u64).sum()
    }

    fn size(&self, dimension: Dimension) -> Option<usize> {
        self.sizes.iter().find(|size| size.dimension == dimension).map(|size| size.value)
    }

    /// Sizes that `config.json` gives.
    pub(crate) fn settings(&self) -> Vec<Size> {
        let file = self.path.join("config.json");
        let Ok(config) = LlamaConfig::open(&self.path) else { return vec![] };
        [
            (Dimension::Vocabulary, config.vocabulary, "vocab_size"),
            (Dimension::LanguageWidth, config.hidden, "hidden_size"),
            (Dimension::LanguageLayers, config.layers, "num_hidden_layers"),
            (Dimension::FeedForward, config.feed_forward, "intermediate_size"),
        ]
        .map(|(dimension, value, name)| Size::setting(dimension, value, name, &file))
        .to_vec()
    }

    fn compare_with_config(&mut self) {
        if let Err(error) = LlamaConfig::open(&self.path) {
            self.problems.push(chain(&error));
        }
    }

    fn compare_with_tokenizer(&mut self) {
        let folder = self.path.display();
        let checked =
            Tokenizer::read(&self.path).and_then(|tokenizer| check_tokens(&self.checkpoint, &self.path, &tokenizer).map(|()| tokenizer));
        match checked {
            Err(error) => self.problems.push(chain(&error)),
            Ok(tokenizer) => {
                let pieces = tokenizer.vocabulary();
                if let Some(rows) = self.size(Dimension::Vocabulary).filter(|rows| *rows > pieces) {
                    self.warnings.push(format!(
                        "{folder}: the tokenizer has {pieces} pieces and the embedding {rows} rows; weights of Vicuna v0 have a piece for padding more than the tokenizer of v1"
                    ));
                }
                self.pieces = Some(pieces);
            }
        }
    }
}
