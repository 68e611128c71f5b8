//! What a method costs: time and memory.

use serde::{Deserialize, Serialize};

use super::{MethodResults, RunResults};

/// Time and memory of a method in one round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cost {
    /// Seconds from a decoded image to its result, the encoder included.
    pub seconds_an_image: f64,
    /// Seconds of these in the encoder, which all methods share.
    pub encoder_seconds_an_image: f64,
    /// Seconds to take in the normal images once they are encoded, all classes together.
    pub fit_seconds: f64,
    /// Most bytes that the method took for itself, on top of the encoder and of what else was there: while it took in the normal
    /// images of a class, and then looked at an image.
    pub memory_bytes: Option<u64>,
    /// Most bytes that the process had in memory (resident) in this round, with everything: encoder, other methods, metrics. `None`
    /// where the system doesn't say it.
    pub peak_resident_bytes: Option<u64>,
}

/// Headings of [`cells`].
pub(super) const COLUMNS: [&str; 5] =
    ["ms an image", "of these in the encoder", "s to take in normals", "MB of its own", "MB of the process"];
/// What the table shows.
pub(super) const NOTE: &str = "Means over rounds of the times; highest of the memory. \"Of its own\" is what a method takes on top of the \
                               encoder; the process holds everything that runs in it, all methods and metrics.";

impl Cost {
    /// Means of times, and the highest of each memory.
    fn over(costs: &[Self]) -> Option<Self> {
        let count = costs.len() as f64;
        let mean = |of: fn(&Self) -> f64| costs.iter().map(of).sum::<f64>() / count;
        let cost = Self {
            seconds_an_image: mean(|cost| cost.seconds_an_image),
            encoder_seconds_an_image: mean(|cost| cost.encoder_seconds_an_image),
            fit_seconds: mean(|cost| cost.fit_seconds),
            memory_bytes: costs.iter().filter_map(|cost| cost.memory_bytes).max(),
            peak_resident_bytes: costs.iter().filter_map(|cost| cost.peak_resident_bytes).max(),
        };
        (!costs.is_empty()).then_some(cost)
    }

    fn cells(&self) -> [String; 5] {
        let milliseconds = |seconds: f64| format!("{:.1}", 1000.0 * seconds);
        let megabytes = |bytes: Option<u64>| bytes.map_or_else(|| "–".into(), |bytes| format!("{:.1}", bytes as f64 / 1e6));
        [
            milliseconds(self.seconds_an_image),
            milliseconds(self.encoder_seconds_an_image),
            format!("{:.2}", self.fit_seconds),
            megabytes(self.memory_bytes),
            megabytes(self.peak_resident_bytes),
        ]
    }
}

impl MethodResults {
    /// The cost over all rounds, if it was measured: means of times, and the highest of each memory.
    pub fn cost(&self) -> Option<Cost> {
        Cost::over(&self.rounds.iter().filter_map(|round| round.cost).collect::<Vec<_>>())
    }
}

/// The table's rows, of the methods that were measured.
pub(super) fn rows(results: &RunResults) -> Vec<(&MethodResults, [String; 5])> {
    results.methods.iter().filter_map(|method| Some((method, method.cost()?.cells()))).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{super::RoundResults, *};

    #[test]
    fn times_are_means_and_memory_the_highest() {
        let round = |seconds_an_image, memory_bytes| RoundResults {
            cost: Some(Cost { seconds_an_image, memory_bytes, ..Cost::default() }),
            ..RoundResults::default()
        };
        let rounds = vec![round(0.01, Some(3_000_000)), round(0.03, Some(5_000_000)), RoundResults::default()];
        let method = MethodResults { rounds, ..MethodResults::default() };
        assert_eq!(method.cost().unwrap().cells(), ["20.0", "0.0", "0.00", "5.0", "–"]);
        assert!(MethodResults::default().cost().is_none());
    }
}
