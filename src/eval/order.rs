//! Scores as integers in descending order, and their sorting.

/// The digits that one pass of the sort looks at.
const DIGIT_BITS: u32 = 11;
const DIGITS: usize = 1 << DIGIT_BITS;

/// An integer that is the smaller, the higher a finite score is; `0.0` and `-0.0` are the same.
pub(super) fn key(score: f32) -> u32 {
    let bits = (score + 0.0).to_bits();
    if bits >> 31 == 1 { bits } else { bits ^ 0x7FFF_FFFF }
}

/// The score of a key.
pub(super) fn score(key: u32) -> f32 {
    f32::from_bits(if key >> 31 == 1 { key } else { key ^ 0x7FFF_FFFF })
}

/// An unsigned integer that [`radix_sort`] sorts.
pub(super) trait Key: Copy + Default + Send + Sync {
    const BITS: u32;

    fn to_u64(self) -> u64;
}

impl Key for u32 {
    const BITS: u32 = 32;

    fn to_u64(self) -> u64 {
        self.into()
    }
}

impl Key for u64 {
    const BITS: u32 = 64;

    fn to_u64(self) -> u64 {
        self
    }
}

fn digit<K: Key>(key: K, pass: u32) -> usize {
    (key.to_u64() >> (pass * DIGIT_BITS)) as usize & (DIGITS - 1)
}

/// Sorts in ascending order, digit by digit from the lowest; digits that all keys share cost nothing.
pub(super) fn radix_sort<K: Key>(keys: &mut [K]) {
    let passes = K::BITS.div_ceil(DIGIT_BITS);
    let mut counts = vec![[0usize; DIGITS]; passes as usize];
    for &key in keys.iter() {
        counts.iter_mut().zip(0..).for_each(|(counts, pass)| counts[digit(key, pass)] += 1);
    }
    let mut scratch = vec![K::default(); keys.len()];
    let mut sorted_in_keys = true;
    for (counts, pass) in counts.iter_mut().zip(0..) {
        if counts.iter().filter(|&&count| count > 0).count() <= 1 {
            continue;
        }
        let mut place = 0;
        counts.iter_mut().for_each(|count| place += std::mem::replace(count, place));
        let (from, to) = if sorted_in_keys { (&*keys, &mut *scratch) } else { (&*scratch, &mut *keys) };
        for &key in from {
            let place = &mut counts[digit(key, pass)];
            to[*place] = key;
            *place += 1;
        }
        sorted_in_keys = !sorted_in_keys;
    }
    if !sorted_in_keys {
        keys.copy_from_slice(&scratch);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keys_are_in_descending_order_of_scores(left in any::<f32>(), right in any::<f32>()) {
            prop_assume!(left.is_finite() && right.is_finite());
            prop_assert_eq!(key(left).cmp(&key(right)), right.partial_cmp(&left).unwrap_or(std::cmp::Ordering::Equal));
            prop_assert_eq!(score(key(left)), left);
        }

        #[test]
        fn sorting_sorts(mut keys: Vec<u32>, mut wide in prop::collection::vec(0..5000u64, 0..40)) {
            wide.iter_mut().for_each(|key| *key = *key << 40 | *key);
            let (mut sorted, mut sorted_wide) = (keys.clone(), wide.clone());
            sorted.sort_unstable();
            sorted_wide.sort_unstable();
            radix_sort(&mut keys);
            radix_sort(&mut wide);
            prop_assert_eq!((keys, wide), (sorted, sorted_wide));
        }
    }

    #[test]
    fn zeros_are_equal() {
        assert_eq!(key(0.0), key(-0.0));
        assert!(key(0.0) < key(-f32::MIN_POSITIVE) && key(f32::MIN_POSITIVE) < key(0.0));
    }
}
