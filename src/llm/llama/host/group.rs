//! 32 weights of a row in each form in which they are held.
//!
//! Blocks are those of GGUF (`Q8_0`, `Q4_0`) with their way of rounding: values that come from such a block make the same block again.

use std::array;

use half::{f16, slice::HalfFloatSliceExt};

/// Weights that share a scale in the quantized forms; rows are padded with zeros to a multiple of it.
pub(super) const GROUP: usize = 32;

/// 32 weights as they are held.
pub(super) trait Group: Copy + Default + Send + Sync + 'static {
    /// Rounds weights to this form; `None` for values that are too large for it.
    fn pack(values: &[f32; GROUP]) -> Option<Self>;

    /// The weights, divided by their scale.
    fn unscaled(&self) -> [f32; GROUP];

    /// What the weights are multiples of.
    fn scale(&self) -> f32;

    /// The weights, up to rounding.
    fn unpack(&self) -> [f32; GROUP] {
        self.unscaled().map(|value| value * self.scale())
    }
}

impl Group for [f32; GROUP] {
    fn pack(values: &[f32; GROUP]) -> Option<Self> {
        Some(*values)
    }

    #[inline(always)]
    fn unscaled(&self) -> [f32; GROUP] {
        *self
    }

    #[inline(always)]
    fn scale(&self) -> f32 {
        1.0
    }
}

impl Group for [f16; GROUP] {
    fn pack(values: &[f32; GROUP]) -> Option<Self> {
        let mut packed = [f16::ZERO; GROUP];
        packed.convert_from_f32_slice(values);
        packed.iter().all(|value| value.is_finite()).then_some(packed)
    }

    #[inline(always)]
    fn unscaled(&self) -> [f32; GROUP] {
        let mut values = [0.0; GROUP];
        for (value, half) in values.iter_mut().zip(self) {
            *value = small(*half);
        }
        values
    }

    #[inline(always)]
    fn scale(&self) -> f32 {
        OF_SMALL
    }
}

/// 32 weights as bytes with a scale.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Q8 {
    scale: f16,
    bytes: [i8; GROUP],
}

impl Group for Q8 {
    fn pack(values: &[f32; GROUP]) -> Option<Self> {
        let largest = values.iter().fold(0.0f32, |most, value| most.max(value.abs()));
        let scale = largest / 127.0;
        let inverse = inverse(scale);
        let block = Self { scale: f16::from_f32(scale), bytes: array::from_fn(|i| (values[i] * inverse).round() as i8) };
        block.scale.is_finite().then_some(block)
    }

    #[inline(always)]
    fn unscaled(&self) -> [f32; GROUP] {
        let mut values = [0.0; GROUP];
        for (value, byte) in values.iter_mut().zip(&self.bytes) {
            *value = f32::from(*byte);
        }
        values
    }

    #[inline(always)]
    fn scale(&self) -> f32 {
        small(self.scale) * OF_SMALL
    }
}

/// 32 weights as half-bytes, 0 to 15 for -8 to 7, with a scale.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Q4 {
    scale: f16,
    /// Weight i in the lower half of byte i, weight i + 16 in the upper half.
    pairs: [u8; GROUP / 2],
}

impl Group for Q4 {
    fn pack(values: &[f32; GROUP]) -> Option<Self> {
        let farthest = values.iter().fold(0.0f32, |most, value| if value.abs() > most.abs() { *value } else { most });
        let scale = farthest / -8.0;
        let inverse = inverse(scale);
        let level = |value: f32| (value * inverse + 8.5).clamp(0.0, 15.0) as u8;
        let pairs = array::from_fn(|i| level(values[i]) | level(values[i + GROUP / 2]) << 4);
        let block = Self { scale: f16::from_f32(scale), pairs };
        block.scale.is_finite().then_some(block)
    }

    #[inline(always)]
    fn unscaled(&self) -> [f32; GROUP] {
        let mut values = [0.0; GROUP];
        let (lower, upper) = values.split_at_mut(GROUP / 2);
        for ((lower, upper), pair) in lower.iter_mut().zip(upper).zip(&self.pairs) {
            *lower = (i32::from(pair & 15) - 8) as f32;
            *upper = (i32::from(pair >> 4) - 8) as f32;
        }
        values
    }

    #[inline(always)]
    fn scale(&self) -> f32 {
        small(self.scale) * OF_SMALL
    }
}

/// A finite half, divided by [`OF_SMALL`]: the 5 bits of its exponent go where `f32` has 8. Unlike [`f16::to_f32`] it has no
/// branch, and spreads over vectors.
#[inline(always)]
fn small(half: f16) -> f32 {
    f32::from_bits((i32::from(half.to_bits().cast_signed()) << 13).cast_unsigned() & 0x8fff_e000)
}

/// By how much the exponent's bias differs.
const OF_SMALL: f32 = f32::from_bits((127 + 112) << 23);

fn inverse(scale: f32) -> f32 {
    if scale == 0.0 { 0.0 } else { 1.0 / scale }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip<G: Group>(values: &[f32; GROUP]) -> [f32; GROUP] {
        G::pack(values).unwrap().unpack()
    }

    fn largest(values: &[f32; GROUP]) -> f32 {
        values.iter().fold(0.0, |most, value| most.max(value.abs()))
    }

    fn assert_within(found: &[f32; GROUP], expected: &[f32; GROUP], tolerance: f32) {
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() <= tolerance, "{found} {expected} {tolerance}");
        }
    }

    proptest! {
        #[test]
        fn rounding_is_within_a_step(values in prop::array::uniform32(-3.0f32..3.0)) {
            let most = largest(&values);
            prop_assert_eq!(round_trip::<[f32; GROUP]>(&values), values);
            assert_within(&round_trip::<[f16; GROUP]>(&values), &values, most / 2048.0);
            // Half a step, and what rounding of the scale moves the largest value.
            assert_within(&round_trip::<Q8>(&values), &values, most * (0.5 / 127.0 + 1.0 / 2048.0));
            // A whole step, where the largest value has the other sign.
            assert_within(&round_trip::<Q4>(&values), &values, most * (1.0 / 8.0 + 1.0 / 2048.0));
        }

        #[test]
        fn rounding_twice_is_rounding_once(values in prop::array::uniform32(-3.0f32..3.0)) {
            let (bytes, pairs) = (Q8::pack(&values).unwrap(), Q4::pack(&values).unwrap());
            prop_assert_eq!(Q8::pack(&round_trip::<Q8>(&values)).unwrap(), bytes);
            prop_assert_eq!(Q4::pack(&round_trip::<Q4>(&values)).unwrap(), pairs);
        }
    }

    #[test]
    fn every_half_is_itself() {
        for bits in 0..=u16::MAX {
            let half = f16::from_bits(bits);
            if half.is_finite() {
                assert_eq!([half; GROUP].unpack(), [half.to_f32(); GROUP], "{bits:#06x}");
            }
        }
    }

    #[test]
    fn blocks_are_gguf_s() {
        // -8 * 0.5 is the value farthest from 0, and the scale's sign is chosen by it.
        let mut values: [f32; GROUP] = array::from_fn(|i| (i as f32 / 4.0).min(3.5) - 2.0);
        values[17] = -4.0;
        let Q4 { scale, pairs } = Q4::pack(&values).unwrap();
        assert_eq!(scale.to_f32(), 0.5);
        assert_eq!((pairs[0], pairs[1]), (4 | 11 << 4, 5));
        let Q8 { scale, bytes } = Q8::pack(&array::from_fn(|i| if i == 3 { -254.0 } else { i as f32 })).unwrap();
        assert_eq!((scale.to_f32(), bytes[3], bytes[4], bytes[31]), (2.0, -127, 2, 16));
    }

    #[test]
    fn values_that_are_too_large_are_told() {
        let mut values = [0.0; GROUP];
        assert_eq!((round_trip::<Q8>(&values), round_trip::<Q4>(&values)), (values, values));
        values[5] = 70_000.0;
        assert!(<[f16; GROUP]>::pack(&values).is_none() && Q8::pack(&values).is_some());
        values[5] = 1e8;
        assert!(Q8::pack(&values).is_none() && Q4::pack(&values).is_none() && <[f32; GROUP]>::pack(&values).is_some());
    }
}
