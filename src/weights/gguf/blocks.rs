//! Blocks of 32 weights with a scale, as llama.cpp lays them out.

use half::f16;
use rayon::prelude::*;

/// Weights of a block.
pub(super) const WEIGHTS: usize = 32;

/// Blocks a task.
const TASK: usize = 1024;

/// Kinds of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Block {
    /// A scale, and half-bytes 0 to 15 for -8 to 7 times it.
    Q4_0,
    /// A scale and a least value, and half-bytes of how many scales are added to it.
    Q4_1,
    /// A scale, and bytes of how many of it.
    Q8_0,
}

impl Block {
    /// Bytes of a block.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::Q4_0 => 2 + WEIGHTS / 2,
            Self::Q4_1 => 4 + WEIGHTS / 2,
            Self::Q8_0 => 2 + WEIGHTS,
        }
    }

    /// The weights of whole blocks.
    pub(super) fn values(self, bytes: &[u8]) -> Vec<f32> {
        let mut values = vec![0.0; bytes.len() / self.bytes() * WEIGHTS];
        values.par_chunks_mut(TASK * WEIGHTS).zip(bytes.par_chunks(TASK * self.bytes())).for_each(|(values, bytes)| {
            for (values, block) in values.as_chunks_mut().0.iter_mut().zip(bytes.chunks_exact(self.bytes())) {
                self.unpack(block, values);
            }
        });
        values
    }

    fn unpack(self, block: &[u8], values: &mut [f32; WEIGHTS]) {
        let half = |at: usize| block.get(at..at + 2).map_or(0.0, |bytes| f16::from_le_bytes([bytes[0], bytes[1]]).to_f32());
        let scale = half(0);
        match self {
            Self::Q4_0 => pairs(&block[2..], values, |level| (f32::from(level) - 8.0) * scale),
            Self::Q4_1 => {
                let least = half(2);
                pairs(&block[4..], values, |level| f32::from(level) * scale + least);
            }
            Self::Q8_0 => {
                for (value, byte) in values.iter_mut().zip(&block[2..]) {
                    *value = f32::from(byte.cast_signed()) * scale;
                }
            }
        }
    }
}

/// Lower halves of the bytes, then upper halves.
fn pairs(bytes: &[u8], values: &mut [f32; WEIGHTS], value: impl Fn(u8) -> f32) {
    let (lower, upper) = values.split_at_mut(WEIGHTS / 2);
    for ((lower, upper), pair) in lower.iter_mut().zip(upper).zip(bytes) {
        *lower = value(pair & 15);
        *upper = value(pair >> 4);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_scaled() {
        let scale = f16::from_f32(0.5).to_le_bytes();
        let least = f16::from_f32(-3.0).to_le_bytes();
        let pairs: Vec<u8> = (0..16).map(|index| index | (15 - index) << 4).collect();
        let found = Block::Q4_0.values(&[&scale, &pairs[..]].concat());
        assert_eq!((found[0], found[15], found[16], found[31]), (-4.0, 3.5, 3.5, -4.0));
        let found = Block::Q4_1.values(&[&scale, &least, &pairs[..]].concat());
        assert_eq!((found[0], found[15], found[16], found[31]), (-3.0, 4.5, 4.5, -3.0));
        let bytes: Vec<u8> = (0..32).map(|index: i16| ((index * 8 - 128) as i8).cast_unsigned()).collect();
        let found = Block::Q8_0.values(&[&scale, &bytes[..]].concat());
        assert_eq!((found[0], found[16], found[31]), (-64.0, 0.0, 60.0));
    }
}
