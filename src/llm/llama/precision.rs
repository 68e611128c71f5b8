//! How a language model's weights are held.

use std::{fmt, str::FromStr};

use crate::error::{Error, Result};

/// How the weights of a language model's matrices are held; chosen at load, whatever the file has. Sums are in `f32` on a
/// processor, and activations always are.
///
/// Norms stay in `f32`; the token embedding of the 8- and 4-bit forms is in `f16`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Precision {
    /// 32 bits a weight.
    F32,
    /// 16 bits a weight, up to 65,504.
    F16,
    /// 16 bits a weight, of the range of `f32` and three bits less of a value than `f16`: a `bf16` file as it is. On other devices than a
    /// processor it becomes `f16`, or `f32` where they don't have that: many compute in `bf16` wrongly or not at all.
    Bf16,
    /// 8.5 bits a weight: blocks of 32 bytes with a scale (GGUF's `Q8_0`).
    Q8,
    /// 4.5 bits a weight: blocks of 32 half-bytes with a scale (GGUF's `Q4_0`).
    Q4,
}

impl Precision {
    /// All of them, the largest first.
    pub const ALL: [Self; 5] = [Self::F32, Self::F16, Self::Bf16, Self::Q8, Self::Q4];

    /// Short name: `f32`, `f16`, `bf16`, `q8`, `q4`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Q8 => "q8",
            Self::Q4 => "q4",
        }
    }

    /// Bytes of so many weights.
    pub fn bytes(self, weights: u64) -> u64 {
        match self {
            Self::F32 => weights * 4,
            Self::F16 | Self::Bf16 => weights * 2,
            Self::Q8 => weights.div_ceil(32) * 34,
            Self::Q4 => weights.div_ceil(32) * 18,
        }
    }

    /// How the token embedding is held.
    pub(super) fn of_embedding(self) -> Self {
        match self {
            Self::F32 | Self::Bf16 => self,
            Self::F16 | Self::Q8 | Self::Q4 => Self::F16,
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Precision {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let named = Self::ALL.into_iter().find(|precision| precision.name() == text);
        let refused = || format!("{text:?} is none of {}", Self::ALL.map(Self::name).join(", "));
        named.ok_or_else(|| Error::InvalidConfig { what: "precision", reason: refused().into() })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for precision in Precision::ALL {
            assert_eq!(precision.to_string().parse::<Precision>().unwrap(), precision);
        }
        assert!(matches!("q5".parse::<Precision>(), Err(Error::InvalidConfig { .. })));
    }

    #[test]
    fn sizes_fall() {
        assert_eq!(Precision::ALL.map(|precision| precision.bytes(64)), [256, 128, 128, 68, 36]);
    }
}
