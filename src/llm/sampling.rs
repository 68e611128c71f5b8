//! The next token from logits: the likeliest, or a seeded draw (temperature first, then top-p, as the authors' code orders them).

use std::borrow::Cow;

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

use super::GenerateOptions;
use crate::error::{Error, Result, check_finite};

/// Draws one token after the other.
#[derive(Debug)]
pub(super) struct Sampler {
    temperature: f64,
    top_p: f64,
    random: ChaCha8Rng,
}

impl GenerateOptions {
    /// Whether all values are in their ranges.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] that names the value and its range.
    pub fn check(&self) -> Result<()> {
        let invalid = |what, reason: &'static str| Err(Error::InvalidConfig { what, reason: Cow::Borrowed(reason) });
        match () {
            () if self.max_new_tokens == 0 => invalid("max_new_tokens", "it must be at least 1"),
            () if !self.temperature.is_finite() || self.temperature < 0.0 => invalid("temperature", "it must be finite and at least 0"),
            () if !(0.0..=1.0).contains(&self.top_p) => invalid("top_p", "it must be in 0..=1"),
            () if self.stop.iter().any(|stop| stop.is_empty()) => invalid("stop", "a stop string must not be empty"),
            () => Ok(()),
        }
    }
}

impl Sampler {
    pub(super) fn new(options: &GenerateOptions) -> Self {
        let random = ChaCha8Rng::seed_from_u64(options.seed);
        Self { temperature: f64::from(options.temperature), top_p: f64::from(options.top_p), random }
    }

    /// The id of the next token.
    pub(super) fn next(&mut self, logits: &[f32]) -> Result<u32> {
        check_finite("the language model", logits)?;
        let best = likeliest(logits);
        if self.temperature == 0.0 {
            return Ok(best as u32);
        }
        let top = f64::from(logits[best]);
        // The maximum comes off first, so that a tiny temperature overflows to 0 and never to infinity.
        let weights: Vec<f64> = logits.iter().map(|logit| ((f64::from(*logit) - top) / self.temperature).exp()).collect();
        Ok(self.draw(&nucleus(&weights, self.top_p), &weights) as u32)
    }

    fn draw(&mut self, from: &[usize], weights: &[f64]) -> usize {
        let sum: f64 = from.iter().map(|index| weights[*index]).sum();
        // 53 random bits, the precision of a f64, in [0, 1).
        let mut rest = (self.random.next_u64() >> 11) as f64 / (1u64 << 53) as f64 * sum;
        let drawn = from.iter().find(|index| {
            rest -= weights[**index];
            rest < 0.0
        });
        drawn.or(from.first()).copied().unwrap_or_default()
    }
}

/// The likeliest tokens that together have the probability `top_p`, the likeliest first; always at least one.
fn nucleus(weights: &[f64], top_p: f64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by(|a, b| weights[*b].total_cmp(&weights[*a]));
    let enough = weights.iter().sum::<f64>() * top_p;
    let mut sum = 0.0;
    let kept = order.iter().take_while(|index| {
        let before = sum;
        sum += weights[**index];
        before < enough
    });
    let count = kept.count().max(1);
    order.truncate(count);
    order
}

fn likeliest(logits: &[f32]) -> usize {
    let better = |best: usize, (index, logit): (usize, &f32)| if *logit > logits[best] { index } else { best };
    logits.iter().enumerate().fold(0, better)
}

/// Log-probability of one token.
pub(super) fn log_probability(logits: &[f32], id: u32) -> Result<f64> {
    check_finite("the language model", logits)?;
    let top = f64::from(logits[likeliest(logits)]);
    let sum: f64 = logits.iter().map(|logit| (f64::from(*logit) - top).exp()).sum();
    match logits.get(id as usize) {
        Some(logit) => Ok(f64::from(*logit) - top - sum.ln()),
        None => Err(Error::Incompatible { left: "the tokenizer", right: "the language model", expected: logits.len(), found: id as usize }),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn drawn(temperature: f32, top_p: f32, seed: u64, logits: &[f32], count: usize) -> Vec<u32> {
        let mut sampler = Sampler::new(&GenerateOptions::default().sampled(temperature, top_p, seed));
        (0..count).map(|_| sampler.next(logits).unwrap()).collect()
    }

    #[test]
    fn a_seed_repeats_its_draws() {
        let logits: Vec<f32> = (0..50).map(|index| (index % 7) as f32).collect();
        assert_eq!(drawn(1.0, 1.0, 3, &logits, 40), drawn(1.0, 1.0, 3, &logits, 40));
        assert_ne!(drawn(1.0, 1.0, 3, &logits, 40), drawn(1.0, 1.0, 4, &logits, 40));
    }

    #[test]
    fn draws_follow_the_probabilities() {
        let logits = [0.2f32.ln(), 0.7f32.ln(), 0.1f32.ln()];
        let draws = drawn(1.0, 1.0, 1, &logits, 4000);
        for (id, expected) in [(0, 0.2), (1, 0.7), (2, 0.1)] {
            let share = draws.iter().filter(|drawn| **drawn == id).count() as f64 / 4000.0;
            // Three standard deviations of a share of 4,000 draws are at most 0.024.
            assert!((share - expected).abs() < 0.024, "{id}: {share}");
        }
        assert!(drawn(1.0, 0.75, 1, &logits, 500).iter().all(|id| *id != 2));
        assert!(drawn(1.0, 0.7, 1, &logits, 500).iter().all(|id| *id == 1));
    }

    #[test]
    fn the_edges_keep_at_least_one_token() {
        for top_p in [0.0, 1e-7, 1.0] {
            for temperature in [0.0, 1e-40, 1e-3] {
                assert_eq!(drawn(temperature, top_p, 0, &[-3.0, 5.0, 4.0], 3), [1; 3], "{top_p} {temperature}");
            }
        }
        assert_eq!(drawn(f32::MAX, 0.0, 0, &[-1e38, 1e38, 1e38], 3), [1; 3]);
    }

    #[test]
    fn what_is_out_of_range_is_refused() {
        let ok = GenerateOptions::default();
        assert!(ok.check().is_ok());
        let bad = [
            ok.clone().with_max_new_tokens(0),
            ok.clone().sampled(-1.0, 1.0, 0),
            ok.clone().sampled(f32::NAN, 1.0, 0),
            ok.clone().sampled(f32::INFINITY, 1.0, 0),
            ok.clone().sampled(1.0, 1.1, 0),
            ok.clone().sampled(1.0, -0.1, 0),
            ok.clone().sampled(1.0, f32::NAN, 0),
            GenerateOptions { stop: vec!["".into()], ..ok },
        ];
        assert!(bad.iter().all(|options| matches!(options.check(), Err(Error::InvalidConfig { .. }))));
    }

    #[test]
    fn logits_must_be_numbers() {
        let mut sampler = Sampler::new(&GenerateOptions::default());
        let error = sampler.next(&[0.0, f32::NAN, f32::INFINITY]).unwrap_err();
        assert!(matches!(error, Error::NotFinite { count: 2, first: 1, .. }));
        assert!(matches!(log_probability(&[f32::NAN], 0), Err(Error::NotFinite { .. })));
        assert!(matches!(log_probability(&[0.0], 1), Err(Error::Incompatible { .. })));
    }

    proptest! {
        #[test]
        fn a_token_always_comes_out(logits in prop::collection::vec(-1e30f32..1e30, 1..40), temperature in 0.0f32..2.0, top_p in 0.0f32..=1.0, seed: u64) {
            let id = drawn(temperature, top_p, seed, &logits, 1)[0];
            prop_assert!((id as usize) < logits.len());
            let total: f64 = (0..logits.len()).map(|id| log_probability(&logits, id as u32).unwrap().exp()).sum();
            prop_assert!((total - 1.0).abs() < 1e-9);
        }
    }
}
