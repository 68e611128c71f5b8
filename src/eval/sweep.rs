//! All metrics in one pass from the highest score to the lowest.

use super::{ProRule, order};

/// A drawn curve takes a point where it has gone on by so much, as a share of an axis.
const CURVE_STEP: f64 = 1.0 / 512.0;
/// Nobody sees more digits, and files stay small.
const CURVE_ROUNDING: f64 = 1e5;

/// What there is, before the pass.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Totals {
    /// Normal images, or pixels outside the masks.
    pub(super) background: u64,
    /// Anomalous images, or pixels in the masks.
    pub(super) anomalous: u64,
    /// Connected regions of the masks.
    pub(super) regions: u64,
    /// Lowest and highest score.
    pub(super) range: Option<(f32, f32)>,
}

/// What the pass ends in.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Summary {
    pub(super) auroc: Option<f64>,
    pub(super) ap: Option<f64>,
    pub(super) f1_max: Option<f64>,
    pub(super) f1_threshold: Option<f32>,
    pub(super) aupro: Option<f64>,
    pub(super) roc: Vec<[f64; 2]>,
    pub(super) pro: Vec<[f64; 2]>,
}

/// Counts above the present threshold, and the integrals so far.
#[derive(Debug)]
pub(super) struct Sweep {
    totals: Totals,
    background: u64,
    anomalous: u64,
    /// Sum over regions of the share that is above the threshold.
    overlap: f64,
    /// Twice the number of pairs in order.
    pairs: u128,
    precision: f64,
    /// Twice the true positives, divided by the sum of all anomalous and all above the threshold.
    f1: (f64, u32),
    pro: Option<Pro>,
    roc_points: Points,
    pro_points: Points,
}

impl Sweep {
    pub(super) fn new(totals: Totals, rule: Option<ProRule>) -> Self {
        let pro = rule.filter(|_| totals.regions > 0 && totals.background > 0).map(|rule| Pro::new(rule, &totals));
        let points = Points::new(totals.background > 0);
        Self {
            totals,
            background: 0,
            anomalous: 0,
            overlap: 0.0,
            pairs: 0,
            precision: 0.0,
            f1: (0.0, 0),
            pro,
            roc_points: points.clone(),
            pro_points: points,
        }
    }

    /// Everything of one score; scores come from the highest on, each once.
    ///
    /// `overlap` is the sum of `1 / area of its region` over the anomalous pixels.
    pub(super) fn add(&mut self, key: u32, background: u64, anomalous: u64, overlap: f64) {
        let below = self.rates();
        if let Some(pro) = &mut self.pro {
            pro.reach(key, below);
        }
        self.pairs += u128::from(background) * u128::from(2 * self.anomalous + anomalous);
        self.background += background;
        self.anomalous += anomalous;
        self.overlap += overlap;
        if anomalous > 0 {
            let above = (self.background + self.anomalous) as f64;
            self.precision += anomalous as f64 * (self.anomalous as f64 / above);
            let f1 = 2.0 * self.anomalous as f64 / (self.totals.anomalous as f64 + above);
            if f1 > self.f1.0 {
                self.f1 = (f1, key);
            }
        }
        let rates = self.rates();
        if let Some(Pro::Exact(integral)) = &mut self.pro {
            integral.add(below, rates);
        }
        let recall = self.anomalous as f64 / self.totals.anomalous.max(1) as f64;
        self.roc_points.add([rates[0], recall]);
        self.pro_points.add(rates);
    }

    pub(super) fn finish(mut self) -> Summary {
        let Totals { background, anomalous, regions, .. } = self.totals;
        let both = background > 0 && anomalous > 0;
        let rates = self.rates();
        let pairs = 2.0 * background as f64 * anomalous as f64;
        Summary {
            auroc: both.then(|| self.pairs as f64 / pairs),
            ap: (anomalous > 0).then(|| self.precision / anomalous as f64),
            f1_max: (anomalous > 0).then_some(self.f1.0),
            f1_threshold: (anomalous > 0).then(|| order::score(self.f1.1)),
            aupro: self.pro.take().and_then(|pro| pro.finish(rates)),
            roc: if both { self.roc_points.finish() } else { Vec::new() },
            pro: if background > 0 && regions > 0 { self.pro_points.finish() } else { Vec::new() },
        }
    }

    /// False positive rate, and mean over regions of the share above the threshold.
    fn rates(&self) -> [f64; 2] {
        [self.background as f64 / self.totals.background.max(1) as f64, self.overlap / self.totals.regions.max(1) as f64]
    }
}

/// Per-region overlap on the way.
#[derive(Debug)]
enum Pro {
    Exact(Integral),
    Thresholds { keys: Vec<u32>, limit: f64, points: Vec<[f64; 2]> },
}

impl Pro {
    fn new(rule: ProRule, totals: &Totals) -> Self {
        match rule {
            ProRule::Exact { limit } => Self::Exact(Integral { limit, area: 0.0 }),
            ProRule::Thresholds { steps, limit } => {
                let keys = totals.range.map(|range| thresholds(range, steps)).unwrap_or_default().into_iter().map(order::key).collect();
                Self::Thresholds { keys, limit, points: Vec::new() }
            }
        }
    }

    /// Notes the rates of all thresholds that the next score does not exceed.
    fn reach(&mut self, key: u32, rates: [f64; 2]) {
        if let Self::Thresholds { keys, points, .. } = self {
            while keys.pop_if(|threshold| *threshold <= key).is_some() {
                points.push(rates);
            }
        }
    }

    fn finish(mut self, rates: [f64; 2]) -> Option<f64> {
        self.reach(u32::MAX, rates);
        match self {
            Self::Exact(integral) => Some(integral.area / integral.limit),
            Self::Thresholds { points, limit, .. } => rescaled_area(points, limit),
        }
    }
}

/// Area under the curve up to a false positive rate, interpolated linearly there.
#[derive(Debug)]
struct Integral {
    limit: f64,
    area: f64,
}

impl Integral {
    fn add(&mut self, [from, low]: [f64; 2], [to, high]: [f64; 2]) {
        if to <= self.limit {
            self.area += (to - from) * (low + high) / 2.0;
        } else if from < self.limit {
            let at_limit = low + (high - low) * (self.limit - from) / (to - from);
            self.area += (self.limit - from) * (low + at_limit) / 2.0;
        }
    }
}

/// Equal steps from the lowest to below the highest score, the highest last, each rounded down to a 32-bit float: no score lies
/// between. The steps are those of `numpy.arange` on 32-bit scalars, which steps in 64 bits from the first two values.
fn thresholds((low, high): (f32, f32), steps: u32) -> Vec<f32> {
    let step = (high - low) / steps as f32;
    if step <= 0.0 {
        return Vec::new();
    }
    let count = f64::from((high - low) / step).ceil() as u64;
    let step = f64::from(low + step) - f64::from(low);
    let round_down = |threshold: f64| {
        let rounded = threshold as f32;
        if f64::from(rounded) > threshold { rounded.next_down() } else { rounded }
    };
    (0..count).map(|index| round_down(f64::from(low) + index as f64 * step)).collect()
}

/// Trapezoids under the points with a false positive rate below the limit, those rates being stretched to `[0, 1]`.
fn rescaled_area(points: Vec<[f64; 2]>, limit: f64) -> Option<f64> {
    let points: Vec<[f64; 2]> = points.into_iter().filter(|[rate, _]| *rate < limit).collect();
    let (first, last) = (points.first()?[0], points.last()?[0]);
    let area: f64 = points.windows(2).map(|pair| (pair[1][0] - pair[0][0]) * (pair[0][1] + pair[1][1]) / 2.0).sum();
    (last > first).then(|| area / (last - first))
}

/// A curve for drawing: few points of many.
#[derive(Clone, Debug)]
struct Points {
    kept: Vec<[f64; 2]>,
    last: [f64; 2],
    wanted: bool,
}

impl Points {
    fn new(wanted: bool) -> Self {
        Self { kept: vec![[0.0; 2]], last: [0.0; 2], wanted }
    }

    fn add(&mut self, point: [f64; 2]) {
        let Some(kept) = self.kept.last().filter(|_| self.wanted) else { return };
        let far = |from: &[f64; 2]| (point[0] - from[0]).abs() >= CURVE_STEP || (point[1] - from[1]).abs() >= CURVE_STEP;
        if far(kept) {
            // A jump starts where the curve was, not where its last drawn point is.
            if self.last != *kept && far(&self.last) {
                self.kept.push(self.last);
            }
            self.kept.push(point);
        }
        self.last = point;
    }

    fn finish(mut self) -> Vec<[f64; 2]> {
        if self.kept.last() != Some(&self.last) {
            self.kept.push(self.last);
        }
        self.kept.into_iter().map(|point| point.map(|value| (value * CURVE_ROUNDING).round() / CURVE_ROUNDING)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_numpy_s() {
        // numpy.arange(low, high, (high - low) / 3) on numpy.float32(0.1) and numpy.float32(0.7).
        for (found, wanted) in
            thresholds((0.1, 0.7), 3).into_iter().zip([f64::from(0.1f32), 0.299_999_982_118_607_2, 0.499_999_962_747_097])
        {
            assert!(f64::from(found) <= wanted && f64::from(found.next_up()) > wanted, "{found} is not {wanted}");
        }
        assert_eq!(thresholds((-1.3, 2.9), 200).len(), 200);
        assert!(thresholds((0.5, 0.5), 200).is_empty());
    }

    #[test]
    fn a_curve_keeps_few_points_and_its_corners() {
        let mut points = Points::new(true);
        (1..=100_000).for_each(|index| points.add([f64::from(index) / 100_000.0, 0.0]));
        points.add([1.0, 1.0]);
        let kept = points.finish();
        assert!(kept.len() < 600, "{}", kept.len());
        assert_eq!(kept[kept.len() - 2..], [[1.0, 0.0], [1.0, 1.0]]);
    }
}
