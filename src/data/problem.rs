//! What is odd about a data set without making it useless.

use std::{fmt, path::PathBuf};

use super::Label;

/// Something odd about a data set.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// An anomalous photograph has no mask; it counts for images, not for pixels.
    MissingMask {
        /// The photograph.
        image: PathBuf,
    },
    /// A mask belongs to no photograph.
    StrayMask {
        /// The mask.
        mask: PathBuf,
    },
    /// Several masks or photographs go by one name, and none of these masks is used.
    AmbiguousMask {
        /// One of the photographs.
        image: PathBuf,
        /// What goes by its name.
        others: Vec<PathBuf>,
    },
    /// A list names a photograph that is not there; reading it will fail.
    MissingImage {
        /// The photograph.
        image: PathBuf,
        /// The list.
        list: PathBuf,
    },
    /// A list names a photograph twice; the second is left out.
    Repeated {
        /// The photograph.
        image: PathBuf,
    },
    /// A class has test photographs of one label only; what ranks them against others can't be measured.
    OneLabel {
        /// The class.
        class: String,
        /// Its only label.
        label: Label,
    },
    /// A class has no test photographs.
    NoTest {
        /// The class.
        class: String,
    },
    /// A class has no normal photographs to learn from.
    NoNormals {
        /// The class.
        class: String,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingMask { image } => write!(formatter, "{} is anomalous and has no mask", image.display()),
            Self::StrayMask { mask } => write!(formatter, "{} is a mask of no image", mask.display()),
            Self::AmbiguousMask { image, others } => {
                let others: Vec<_> = others.iter().map(|path| path.display().to_string()).collect();
                write!(formatter, "{} shares its name with {}; no mask is used", image.display(), others.join(", "))
            }
            Self::MissingImage { image, list } => write!(formatter, "{} is listed in {} and is not there", image.display(), list.display()),
            Self::Repeated { image } => write!(formatter, "{} is listed twice", image.display()),
            Self::OneLabel { class, label } => write!(formatter, "all test images of class {class:?} are {label}"),
            Self::NoTest { class } => write!(formatter, "class {class:?} has no test images"),
            Self::NoNormals { class } => write!(formatter, "class {class:?} has no normal images to learn from"),
        }
    }
}
