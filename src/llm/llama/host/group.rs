//! 32 weights of a row in each form in which they are held.
//!
//! Blocks are those of GGUF (`Q8_0`, `Q4_0`). Values that come from such a block make the same block again.

use half::{bf16, f16, slice::HalfFloatSliceExt};
use pulp::Simd;

/// Weights that share a scale in the quantized forms; rows are padded with zeros to a multiple of it.
pub(super) const GROUP: usize = 32;

/// 32 weights as they are held.
pub(super) trait Group: Copy + Default + Send + Sync + 'static {
    /// Rounds weights to this form; `None` for values that are too large for it.
    fn pack<S: Simd>(simd: S, values: &[f32; GROUP]) -> Option<Self>;

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
    #[inline(always)]
    fn pack<S: Simd>(_: S, values: &[f32; GROUP]) -> Option<Self> {
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
    #[inline(always)]
    fn pack<S: Simd>(_: S, values: &[f32; GROUP]) -> Option<Self> {
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

impl Group for [bf16; GROUP] {
    #[inline(always)]
    fn pack<S: Simd>(_: S, values: &[f32; GROUP]) -> Option<Self> {
        let packed = values.map(bf16::from_f32);
        packed.iter().all(|value| value.is_finite()).then_some(packed)
    }

    #[inline(always)]
    fn unscaled(&self) -> [f32; GROUP] {
        let mut values = [0.0; GROUP];
        for (value, brain) in values.iter_mut().zip(self) {
            *value = f32::from_bits(u32::from(brain.to_bits()) << 16);
        }
        values
    }

    #[inline(always)]
    fn scale(&self) -> f32 {
        1.0
    }
}

/// 32 weights as bytes with a scale.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Q8 {
    scale: f16,
    bytes: [i8; GROUP],
}

impl Group for Q8 {
    #[inline(always)]
    fn pack<S: Simd>(simd: S, values: &[f32; GROUP]) -> Option<Self> {
        let (lowest, highest) = range(simd, values);
        let scale = highest.max(-lowest) / 127.0;
        let inverse = inverse(scale);
        let mut block = Self { scale: f16::from_f32(scale), ..Self::default() };
        for (byte, value) in block.bytes.iter_mut().zip(values) {
            *byte = whole(value * inverse) as i8;
        }
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

/// The weight farthest from 0 is brought to one of these levels: to -8 unless another one makes the squares of the errors less.
/// Against -8 alone, that is a fifth less on SmolLM2's weights.
const FARTHEST: [f32; 9] = [-8.0, -7.75, -7.5, -7.25, -7.0, -8.25, -8.5, -8.75, -9.0];

impl Group for Q4 {
    #[inline(always)]
    fn pack<S: Simd>(simd: S, values: &[f32; GROUP]) -> Option<Self> {
        let (lowest, highest) = range(simd, values);
        let farthest = if highest > -lowest { highest } else { lowest };
        let mut best = (f32::INFINITY, 0.0, f16::ZERO);
        for level in FARTHEST {
            let (scale, inverse) = (f16::from_f32(farthest / level), inverse(farthest / level));
            let error = error_of_levels(simd, values, inverse, small(scale) * OF_SMALL);
            if scale.is_finite() && error < best.0 {
                best = (error, inverse, scale);
            }
        }
        let (error, inverse, scale) = best;
        let mut block = Self { scale, ..Self::default() };
        let (lower, upper) = values.split_at(GROUP / 2);
        for ((pair, lower), upper) in block.pairs.iter_mut().zip(lower).zip(upper) {
            let level = |value: f32| (whole((value * inverse).clamp(-8.0, 7.0)) + 8.0) as u8;
            *pair = level(*lower) | level(*upper) << 4;
        }
        error.is_finite().then_some(block)
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

/// The sum of the squared errors of values in whole steps from -8 to 7.
#[inline(always)]
fn error_of_levels<S: Simd>(simd: S, values: &[f32; GROUP], inverse: f32, scale: f32) -> f32 {
    let [inverse, scale, lowest, highest, shift] = [inverse, scale, -8.0, 7.0, SHIFT].map(|value| simd.splat_f32s(value));
    let mut errors = simd.splat_f32s(0.0);
    for value in S::as_simd_f32s(values).0 {
        let level = simd.min_f32s(simd.max_f32s(simd.mul_f32s(*value, inverse), lowest), highest);
        let level = simd.sub_f32s(simd.add_f32s(level, shift), shift);
        let difference = simd.sub_f32s(simd.mul_f32s(level, scale), *value);
        errors = simd.mul_add_e_f32s(difference, difference, errors);
    }
    simd.reduce_sum_f32s(errors)
}

/// The least and the greatest value, and 0 between them.
#[inline(always)]
fn range<S: Simd>(simd: S, values: &[f32; GROUP]) -> (f32, f32) {
    let (mut lowest, mut highest) = (simd.splat_f32s(0.0), simd.splat_f32s(0.0));
    for value in S::as_simd_f32s(values).0 {
        (lowest, highest) = (simd.min_f32s(lowest, *value), simd.max_f32s(highest, *value));
    }
    (simd.reduce_min_f32s(lowest), simd.reduce_max_f32s(highest))
}

/// Added to a small value and taken away again, it leaves the nearest whole number.
const SHIFT: f32 = 1.5 * (1 << 23) as f32;

/// The nearest whole number of a small value; unlike [`f32::round`] it is no call, and spreads over vectors.
#[inline(always)]
fn whole(value: f32) -> f32 {
    value + SHIFT - SHIFT
}

#[inline(always)]
fn inverse(scale: f32) -> f32 {
    if scale == 0.0 { 0.0 } else { 1.0 / scale }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::array;

    use proptest::prelude::*;

    use super::*;

    fn pack<G: Group>(values: &[f32; GROUP]) -> Option<G> {
        G::pack(pulp::Scalar::new(), values)
    }

    fn round_trip<G: Group>(values: &[f32; GROUP]) -> [f32; GROUP] {
        pack::<G>(values).unwrap().unpack()
    }

    fn largest(values: &[f32; GROUP]) -> f32 {
        values.iter().fold(0.0, |most, value| most.max(value.abs()))
    }

    fn assert_within(found: &[f32; GROUP], expected: &[f32; GROUP], tolerance: f32) {
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() <= tolerance, "{found} {expected} {tolerance}");
        }
    }

    fn squares(found: &[f32; GROUP], expected: &[f32; GROUP]) -> f32 {
        found.iter().zip(expected).map(|(found, expected)| (found - expected).powi(2)).sum()
    }

    /// As llama.cpp does it: the value farthest from 0 is -8 steps.
    fn rounded_to_eighths(values: &[f32; GROUP]) -> [f32; GROUP] {
        let farthest = values.iter().fold(0.0f32, |most, value| if value.abs() > most.abs() { *value } else { most });
        let step = farthest / -8.0;
        values.map(|value| ((value * inverse(step) + 8.5).clamp(0.0, 15.0).floor() - 8.0) * f16::from_f32(step).to_f32())
    }

    proptest! {
        #[test]
        fn rounding_is_within_a_step(values in prop::array::uniform32(-3.0f32..3.0)) {
            let most = largest(&values);
            prop_assert_eq!(round_trip::<[f32; GROUP]>(&values), values);
            assert_within(&round_trip::<[f16; GROUP]>(&values), &values, most / 2048.0);
            assert_within(&round_trip::<[bf16; GROUP]>(&values), &values, most / 256.0);
            // Half a step, and what rounding of the scale moves the largest value.
            assert_within(&round_trip::<Q8>(&values), &values, most * (0.5 / 127.0 + 1.0 / 2048.0));
            // A whole step of the smallest that is tried, where the largest value has the other sign, and two of the largest.
            assert_within(&round_trip::<Q4>(&values), &values, most * (2.0 / 7.0 + 1.0 / 2048.0));
            prop_assert!(squares(&round_trip::<Q4>(&values), &values) <= squares(&rounded_to_eighths(&values), &values) * 1.001);
        }

        #[test]
        fn rounding_twice_is_rounding_once(values in prop::array::uniform32(-3.0f32..3.0)) {
            let (bytes, pairs) = (round_trip::<Q8>(&values), round_trip::<Q4>(&values));
            prop_assert_eq!(round_trip::<Q8>(&bytes), bytes);
            prop_assert_eq!(round_trip::<Q4>(&pairs), pairs);
            let eighths = rounded_to_eighths(&values);
            prop_assert_eq!(round_trip::<Q4>(&eighths), eighths);
        }
    }

    #[test]
    fn every_half_is_itself() {
        for bits in 0..=u16::MAX {
            let half = f16::from_bits(bits);
            if half.is_finite() {
                assert_eq!([half; GROUP].unpack(), [half.to_f32(); GROUP], "{bits:#06x}");
            }
            let brain = bf16::from_bits(bits);
            if brain.is_finite() {
                assert_eq!([brain; GROUP].unpack(), [brain.to_f32(); GROUP], "{bits:#06x}");
            }
        }
    }

    #[test]
    fn blocks_are_gguf_s() {
        // -8 * 0.5 is the value farthest from 0, and the scale's sign is chosen by it.
        let mut values: [f32; GROUP] = array::from_fn(|i| ((i / 2) as f32 / 2.0).min(5.5) - 2.0);
        values[17] = -4.0;
        let Q4 { scale, pairs } = pack::<Q4>(&values).unwrap();
        assert_eq!(scale.to_f32(), 0.5);
        assert_eq!((pairs[0], pairs[1]), (4 | 12 << 4, 4));
        let Q8 { scale, bytes } = pack::<Q8>(&array::from_fn(|i| if i == 3 { -254.0 } else { i as f32 })).unwrap();
        assert_eq!((scale.to_f32(), bytes[3], bytes[4], bytes[31]), (2.0, -127, 2, 16));
    }

    #[test]
    fn values_that_are_too_large_are_told() {
        let mut values = [0.0; GROUP];
        assert_eq!((round_trip::<Q8>(&values), round_trip::<Q4>(&values)), (values, values));
        values[5] = 70_000.0;
        assert!(pack::<[f16; GROUP]>(&values).is_none() && pack::<[bf16; GROUP]>(&values).is_some() && pack::<Q8>(&values).is_some());
        values[5] = 1e8;
        assert!(pack::<Q8>(&values).is_none() && pack::<Q4>(&values).is_none() && pack::<[f32; GROUP]>(&values).is_some());
        values[5] = f32::MAX;
        assert!(pack::<[bf16; GROUP]>(&values).is_none());
    }
}
