//! What can be wrong with a checkpoint file.

use std::{borrow::Cow, path::PathBuf};

/// What is wrong with a checkpoint file, or with a tensor of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The large file behind a Git-LFS pointer was never fetched.
    #[error("it is a Git-LFS pointer and not the file itself; fetch that with `git lfs pull`")]
    LfsPointer,
    /// The file is something else altogether.
    #[error("it is {0} and not a checkpoint")]
    WrongKind(&'static str),
    /// The file ends too early.
    #[error("it ends after {found} bytes, and {missing} is missing; was its download cut short?")]
    Truncated {
        /// Length of the file.
        found: u64,
        /// What should follow.
        missing: Cow<'static, str>,
    },
    /// A pickle asks for a function or class that no tensor needs.
    #[error("its pickle asks for `{0}`, which is no part of a file of tensors; nothing was executed")]
    PickleGlobal(String),
    /// A pickle has an instruction that no tensor needs.
    #[error("its pickle has the opcode {0:#04x}, which is no part of a file of tensors")]
    PickleOpcode(u8),
    /// The file breaks its format's rules.
    #[error("it is malformed: {0}")]
    Malformed(Cow<'static, str>),
    /// An archive's or index's path leads out of it.
    #[error("its entry `{0}` leads outside")]
    PathOutside(String),
    /// A folder holds no weights under a known name.
    #[error("the folder holds no checkpoint under a name that Hugging Face uses")]
    EmptyFolder,
    /// A shard that the index names, or that the names of the others promise, is not there.
    #[error("the shard {0} is not there")]
    MissingShard(String),
    /// A tensor is in another file than an index says: two shards are swapped, or the index is another checkpoint's.
    #[error("the index says that it is in {expected}, and it is in {}; are two shards swapped?", found.display())]
    OtherShard {
        /// The file that the index names.
        expected: String,
        /// The file that has it.
        found: PathBuf,
    },
    /// There is no tensor of that name.
    #[error("there is no such tensor")]
    MissingTensor,
    /// Two tensors have one name.
    #[error("the name occurs twice")]
    DuplicateName,
    /// A tensor's bytes overlap another's, leave a gap, or don't fit its shape.
    #[error("its bytes are {0}")]
    Offsets(String),
    /// Elements of a type that is not read.
    #[error("its elements are {0}")]
    DType(String),
    /// An element that is infinite or not a number.
    #[error("the value at index {index} is infinite or not a number")]
    NotFinite {
        /// Flat index of the first.
        index: usize,
    },
}
