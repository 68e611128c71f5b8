//! How often verdicts in words are right, and how sure that is.

use serde::{Deserialize, Serialize};

use crate::inspection::Verdict;

/// The 97.5th percentile of the normal distribution: intervals hold the truth in 95 of 100 cases.
const Z: f64 = 1.959_963_984_540_054;

/// A share that was seen, and the interval in which the true one lies with a confidence of 95 %.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// The share seen, in `[0, 1]`.
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

impl Share {
    /// `count` of `total`, with Wilson's score interval (no continuity correction); `None` of nothing.
    ///
    /// ```
    /// let share = anomalygpt::eval::Share::wilson(9, 10).unwrap();
    /// assert_eq!((share.value, (share.low * 1000.0).round(), (share.high * 1000.0).round()), (0.9, 596.0, 982.0));
    /// ```
    pub fn wilson(count: u64, total: u64) -> Option<Self> {
        let (share, total_) = (count as f64 / total as f64, total as f64);
        let center = share + Z * Z / (2.0 * total_);
        let half = Z * (share * (1.0 - share) / total_ + Z * Z / (4.0 * total_ * total_)).sqrt();
        let scale = 1.0 + Z * Z / total_;
        let (low, high) = ((center - half) / scale, (center + half) / scale);
        (total > 0).then(|| Self { value: share, low: low.clamp(0.0, share), high: high.clamp(share, 1.0) })
    }
}

/// Verdicts against true labels. "Undecided" is wrong on either.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct VerdictCounts {
    /// Normal images with a verdict.
    pub good: u64,
    /// Those among them that were not called normal.
    pub good_rejected: u64,
    /// Anomalous images with a verdict.
    pub bad: u64,
    /// Those among them that were not called anomalous.
    pub bad_passed: u64,
}

impl VerdictCounts {
    /// Counts a verdict on an image.
    pub fn add(&mut self, anomalous: bool, verdict: Verdict) {
        if anomalous {
            self.bad += 1;
            self.bad_passed += u64::from(verdict != Verdict::Anomalous);
        } else {
            self.good += 1;
            self.good_rejected += u64::from(verdict != Verdict::Normal);
        }
    }

    /// Both together.
    pub fn plus(self, other: Self) -> Self {
        Self {
            good: self.good + other.good,
            good_rejected: self.good_rejected + other.good_rejected,
            bad: self.bad + other.bad,
            bad_passed: self.bad_passed + other.bad_passed,
        }
    }

    /// Share of right verdicts; `None` without a verdict.
    pub fn accuracy(self) -> Option<Share> {
        let total = self.good + self.bad;
        Share::wilson(total - self.good_rejected - self.bad_passed, total)
    }

    /// Share of good parts rejected; `None` without a good part.
    pub fn rejection_rate(self) -> Option<Share> {
        Share::wilson(self.good_rejected, self.good)
    }

    /// Share of bad parts passed; `None` without a bad part.
    pub fn miss_rate(self) -> Option<Share> {
        Share::wilson(self.bad_passed, self.bad)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_verdict_counts_once() {
        let mut counts = VerdictCounts::default();
        for (anomalous, verdict) in [
            (false, Verdict::Normal),
            (false, Verdict::Undecided),
            (true, Verdict::Anomalous),
            (true, Verdict::Normal),
            (true, Verdict::Undecided),
        ] {
            counts.add(anomalous, verdict);
        }
        assert_eq!(counts, VerdictCounts { good: 2, good_rejected: 1, bad: 3, bad_passed: 2 });
        let shares = [counts.accuracy(), counts.rejection_rate(), counts.miss_rate()].map(|share| share.unwrap().value);
        assert_eq!(shares, [2.0 / 5.0, 1.0 / 2.0, 2.0 / 3.0]);
        assert_eq!(VerdictCounts::default().accuracy(), None);
        assert_eq!(counts.plus(counts).accuracy().unwrap().value, 0.4);
    }

    #[test]
    fn intervals_stay_in_range_and_shrink() {
        for count in [0, 1, 5, 10] {
            let (few, many) = (Share::wilson(count, 10).unwrap(), Share::wilson(100 * count, 1000).unwrap());
            assert!(0.0 <= few.low && few.low <= few.value && few.value <= few.high && few.high <= 1.0);
            assert!(many.high - many.low < few.high - few.low);
        }
    }
}
