//! One error type for the whole crate: it says who is at fault and where.

use std::{
    borrow::Cow,
    error::Error as StdError,
    io,
    path::{Path, PathBuf},
};

use crate::{
    inspection::Detection,
    weights::{Fault, Pairing},
};

/// What can go wrong anywhere in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type BoxError = Box<dyn StdError + Send + Sync + 'static>;

/// An error with the file, tensor, expected and found values it concerns.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder can't be read or written.
    #[error("cannot access {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file is not an image that can be decoded.
    #[error("cannot decode {} as an image: {source}", path.display())]
    Image {
        /// The file.
        path: PathBuf,
        /// What the decoder said.
        #[source]
        source: image::ImageError,
    },
    /// An image has a size that can't be inspected.
    #[error("{}an image of {width}x{height} pixels {reason}", file_prefix(path.as_deref()))]
    ImageSize {
        /// The file, where the image comes from one.
        path: Option<PathBuf>,
        /// Pixels across.
        width: u32,
        /// Pixels down.
        height: u32,
        /// Which limit it breaks.
        reason: Cow<'static, str>,
    },
    /// A dataset's folders or lists are not as its layout says.
    #[error("the dataset at {}: {reason}", path.display())]
    Dataset {
        /// The folder or the list.
        path: PathBuf,
        /// What is wrong with it, and where.
        reason: Cow<'static, str>,
    },
    /// A weight file can't be read at all.
    #[error("cannot read weights from {origin}: {source}")]
    Weights {
        /// The file, or the name of the embedded model.
        origin: String,
        /// What the reader said.
        #[source]
        source: BoxError,
    },
    /// A checkpoint file, or a tensor of it, is not what it should be.
    #[error("{}{}: {fault}", file.display(), tensor.as_ref().map(|name| format!(", tensor {name}")).unwrap_or_default())]
    Checkpoint {
        /// The file or folder.
        file: PathBuf,
        /// The tensor, where one is to blame.
        tensor: Option<String>,
        /// What is wrong.
        fault: Fault,
    },
    /// A weight file was read, and does not fit the model.
    #[error("weights in {origin} do not match the model: missing {missing:?}, unused {unused:?}, misfits {misfits:?}")]
    WeightsMismatch {
        /// The file, or the name of the embedded model.
        origin: String,
        /// Tensors of the model that the file lacks.
        missing: Vec<String>,
        /// Tensors of the file that the model lacks.
        unused: Vec<String>,
        /// Tensors whose shape or type differs, with both.
        misfits: Vec<String>,
    },
    /// A file does not hold the results of an evaluation.
    #[error("cannot read results from {}: {source}", path.display())]
    Results {
        /// The file.
        path: PathBuf,
        /// What the reader said.
        #[source]
        source: BoxError,
    },
    /// Files of different models were given for one.
    #[error("{0}")]
    Pairing(Box<Pairing>),
    /// A setting is out of its range.
    #[error("invalid {what}: {reason}")]
    InvalidConfig {
        /// The setting.
        what: &'static str,
        /// The range that it leaves.
        reason: Cow<'static, str>,
    },
    /// Two stages don't fit each other.
    #[error("{left} gives {found} but {right} needs {expected}")]
    Incompatible {
        /// The stage that gives.
        left: &'static str,
        /// The stage that takes.
        right: &'static str,
        /// What is needed.
        expected: usize,
        /// What is given.
        found: usize,
    },
    /// The crate was built without a compute backend.
    #[error("no compute backend is enabled; enable one of the features `flex`, `ndarray`, `wgpu`, `vulkan`, `metal`, `cuda`")]
    NoBackend,
    /// A memory bank was asked for without a single normal image.
    #[error("no normal images were given; a memory bank needs at least one")]
    NoNormals,
    /// The tokenizer can't be read, or fails on a text.
    #[error("tokenization failed: {0}")]
    Tokenizer(#[source] BoxError),
    /// A text from the user is longer than is taken.
    #[error("{what} of {found} bytes exceeds the limit of {limit} bytes")]
    TextTooLong {
        /// Which text.
        what: &'static str,
        /// Its length in bytes.
        found: usize,
        /// The longest that is taken.
        limit: usize,
    },
    /// A prompt does not fit the language model's context.
    #[error("a prompt of {needed} positions exceeds the context of {capacity}")]
    ContextOverflow {
        /// Positions of the prompt and the answer's room.
        needed: usize,
        /// Positions that the model has.
        capacity: usize,
    },
    /// A stage gave values that are not numbers.
    #[error("{component} gave {count} values that are not finite, the first at index {first}")]
    NotFinite {
        /// The stage.
        component: &'static str,
        /// How many values.
        count: usize,
        /// Flat index of the first.
        first: usize,
    },
    /// An image was localized, but prompt learner or language model failed; what the first two stages found is kept.
    #[error("no answer about an image that was localized: {source}")]
    Unanswered {
        /// Where the image deviates from normal.
        detection: Box<Detection>,
        /// What went wrong.
        #[source]
        source: Box<Error>,
    },
    /// A stage, perhaps somebody else's, failed.
    #[error("{component} failed: {source}")]
    Component {
        /// The stage.
        component: &'static str,
        /// What it said.
        #[source]
        source: BoxError,
    },
}

impl Error {
    /// Wraps what a stage from outside reports.
    pub fn component(component: &'static str, source: impl Into<BoxError>) -> Self {
        Self::Component { component, source: source.into() }
    }

    pub(crate) fn io(path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io { path: path.into(), source }
    }

    #[cfg(feature = "eval")]
    pub(crate) fn dataset(path: impl Into<PathBuf>, reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Dataset { path: path.into(), reason: reason.into() }
    }

    /// An image in memory whose size can't be inspected.
    pub(crate) fn image_size(size: (u32, u32), reason: impl Into<Cow<'static, str>>) -> Self {
        Self::ImageSize { path: None, width: size.0, height: size.1, reason: reason.into() }
    }

    /// The same error, naming the file that the image comes from.
    pub(crate) fn in_file(self, file: &Path) -> Self {
        match self {
            Self::ImageSize { width, height, reason, .. } => Self::ImageSize { path: Some(file.into()), width, height, reason },
            other => other,
        }
    }

    pub(crate) fn checkpoint(file: impl Into<PathBuf>, fault: Fault) -> Self {
        Self::Checkpoint { file: file.into(), tensor: None, fault }
    }

    pub(crate) fn tensor(file: impl Into<PathBuf>, tensor: impl Into<String>, fault: Fault) -> Self {
        Self::Checkpoint { file: file.into(), tensor: Some(tensor.into()), fault }
    }

    pub(crate) fn weights(origin: impl Into<String>, source: impl Into<BoxError>) -> Self {
        Self::Weights { origin: origin.into(), source: source.into() }
    }
}

/// Whether all that `component` gives are finite numbers.
pub(crate) fn check_finite(component: &'static str, values: &[f32]) -> Result<()> {
    match values.iter().position(|value| !value.is_finite()) {
        Some(first) => Err(Error::NotFinite { component, count: values.iter().filter(|value| !value.is_finite()).count(), first }),
        None => Ok(()),
    }
}

fn file_prefix(path: Option<&Path>) -> String {
    path.map(|path| format!("{}: ", path.display())).unwrap_or_default()
}
