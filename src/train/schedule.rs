//! Learning rate over the steps: a linear rise, then a half cosine down to a twentieth.

use super::TrainerConfig;

/// Share of the highest learning rate that is left at the end.
const FLOOR: f64 = 0.05;

pub(super) fn learning_rate(config: &TrainerConfig, step: usize) -> f64 {
    if step < config.warmup {
        return config.learning_rate * (step + 1) as f64 / config.warmup as f64;
    }
    let done = (step - config.warmup) as f64 / (config.steps - config.warmup).max(1) as f64;
    let height = 0.5 * (1.0 + (std::f64::consts::PI * done.min(1.0)).cos());
    config.learning_rate * (FLOOR + (1.0 - FLOOR) * height)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_then_falls() {
        let config = TrainerConfig::new(100, 10).with_learning_rate(2.0);
        let rates: Vec<f64> = (0..101).map(|step| learning_rate(&config, step)).collect();
        assert!((rates[0] - 0.2).abs() < 1e-12);
        assert_eq!(rates[10], 2.0);
        assert!((rates[100] - 0.1).abs() < 1e-12);
        assert!(rates[..10].windows(2).all(|pair| pair[0] < pair[1]));
        assert!(rates[10..].windows(2).all(|pair| pair[0] > pair[1]));
    }
}
