//! Metrics of pixels, of any number of maps.

use std::ops::Range;

use super::{
    ProRule, Ranking, order,
    spool::{Cursor, Spool},
    sweep::{Sweep, Totals},
};
use crate::{
    error::{Error, Result},
    inspection::{AnomalyMap, Components},
};

/// Keys that are counted at a time: 2 MB of counters, which a processor's cache holds.
const WINDOW: u64 = 1 << 18;
/// An anomalous pixel is its key, then the area of its region, below 2^31.
const AREA_BITS: u32 = 31;
/// As in the evaluator.
const MEMORY_LIMIT: usize = 512 << 20;

/// Takes maps and what is true of their pixels, one after another; keeps sorted scores.
#[derive(Debug)]
pub struct PixelMetrics {
    rule: ProRule,
    background: Spool<u32>,
    anomalous: Spool<u64>,
    totals: Totals,
    memory_limit: usize,
}

/// How well the scores of pixels part anomalous from normal.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct PixelRanking {
    /// AUROC, AP and F1-max of all pixels.
    pub ranking: Ranking,
    /// Area under the curve of per-region overlap, in `[0, 1]`; `None` without a region or without background.
    pub aupro: Option<f64>,
    /// Points of that curve (false positive rate, mean overlap), thinned out for drawing, up to a rate of 1.
    pub pro: Vec<[f64; 2]>,
}

impl PixelMetrics {
    /// No pixels yet.
    pub fn new(rule: ProRule) -> Self {
        Self { rule, background: Spool::new(), anomalous: Spool::new(), totals: Totals::default(), memory_limit: MEMORY_LIMIT }
    }

    /// Keeps at most about so many bytes in memory (512 MiB without this), and the rest in a temporary file.
    pub fn memory_limit(mut self, bytes: usize) -> Self {
        self.memory_limit = bytes;
        self
    }

    /// Adds a map and whether each of its pixels is anomalous, row by row.
    ///
    /// # Errors
    /// [`Error::Incompatible`] where their numbers of pixels differ, [`Error::Io`] where the temporary file can't be written.
    pub fn add(&mut self, map: &AnomalyMap, anomalous: &[bool]) -> Result<()> {
        self.take(map, anomalous)?;
        if self.bytes() > self.memory_limit { self.spill() } else { Ok(()) }
    }

    /// As [`add`](Self::add), without a look at the memory.
    pub(super) fn take(&mut self, map: &AnomalyMap, anomalous: &[bool]) -> Result<()> {
        let (values, width) = (map.values(), map.width() as usize);
        if values.len() != anomalous.len() {
            return Err(Error::Incompatible { left: "mask", right: "anomaly map", expected: values.len(), found: anomalous.len() });
        }
        let mut components = Components::new(map.width(), anomalous, |&anomalous| anomalous);
        let roots = components.roots();
        let mut areas = vec![0u64; roots.len()];
        let mut normal_from = 0;
        for (run, &root) in components.runs().iter().zip(&roots) {
            let row = run.row as usize * width;
            let (start, end) = (row + run.start as usize, row + run.end as usize);
            areas[root] += (end - start) as u64;
            self.background.extend(values[normal_from..start].iter().map(|&value| order::key(value)));
            normal_from = end;
        }
        self.background.extend(values[normal_from..].iter().map(|&value| order::key(value)));
        for (run, root) in components.runs().iter().zip(roots) {
            let row = &values[run.row as usize * width..][run.start as usize..run.end as usize];
            self.anomalous.extend(row.iter().map(|&value| (u64::from(order::key(value)) << AREA_BITS) | areas[root]));
        }
        let marked = areas.iter().sum::<u64>();
        self.totals.anomalous += marked;
        self.totals.background += values.len() as u64 - marked;
        self.totals.regions += areas.iter().filter(|&&area| area > 0).count() as u64;
        let range = self.totals.range.unwrap_or((f32::INFINITY, f32::NEG_INFINITY));
        self.totals.range = Some(values.iter().fold(range, |(low, high), &value| (low.min(value), high.max(value))));
        Ok(())
    }

    /// Bytes in memory, of scores and what sorting takes.
    pub(super) fn bytes(&self) -> usize {
        self.background.bytes() + self.anomalous.bytes()
    }

    pub(super) fn spill(&mut self) -> Result<()> {
        self.background.spill()?;
        self.anomalous.spill()
    }

    /// The metrics of all pixels.
    ///
    /// # Errors
    /// [`Error::Io`] where the temporary file can't be read.
    pub fn finish(mut self) -> Result<PixelRanking> {
        let mut sweep = Sweep::new(self.totals, Some(self.rule));
        let mut background = self.background.cursors()?;
        let mut anomalous = self.anomalous.cursors()?;
        let mut window = Window { base: 0, touched: 0..0, background: vec![0; WINDOW as usize], anomalous: Vec::new() };
        while let Some(first) = first_key(&background, &anomalous) {
            window.base = first & !(WINDOW - 1);
            window.fill(&mut background, &mut anomalous)?;
            window.drain(&mut sweep);
        }
        let summary = sweep.finish();
        Ok(PixelRanking { aupro: summary.aupro, pro: summary.pro.clone(), ranking: Ranking::new(summary) })
    }
}

/// The lowest key that no cursor has passed.
fn first_key(background: &[Cursor<'_>], anomalous: &[Cursor<'_>]) -> Option<u64> {
    let first_background = background.iter().filter_map(Cursor::peek).min();
    let first_anomalous = anomalous.iter().filter_map(Cursor::peek).min().map(|key| key >> AREA_BITS);
    first_background.into_iter().chain(first_anomalous).min()
}

/// All pixels with one of [`WINDOW`] neighbouring keys.
struct Window {
    base: u64,
    /// From the first to behind the last key that is there.
    touched: Range<u64>,
    /// Background pixels of each key.
    background: Vec<u64>,
    /// Keys with areas, and how many pixels have both.
    anomalous: Vec<(u64, u64)>,
}

impl Window {
    fn fill(&mut self, background: &mut [Cursor<'_>], anomalous: &mut [Cursor<'_>]) -> Result<()> {
        let (start, end) = (self.base, self.base + WINDOW);
        self.touched = end..start;
        for cursor in background {
            let first = cursor.peek().unwrap_or(end);
            let mut last = start;
            cursor.take_below(end, |key, count| {
                self.background[(key - start) as usize] += count;
                last = key + 1;
            })?;
            self.touched = self.touched.start.min(first)..self.touched.end.max(last);
        }
        for cursor in anomalous {
            cursor.take_below(end << AREA_BITS, |key, count| self.anomalous.push((key, count)))?;
        }
        // So overlaps sum to the same, whatever order the maps came in.
        self.anomalous.sort_unstable();
        self.anomalous.dedup_by(|(pixel, pixels), (kept, sum)| {
            let same = pixel == kept;
            *sum += if same { *pixels } else { 0 };
            same
        });
        if let (Some((first, _)), Some((last, _))) = (self.anomalous.first(), self.anomalous.last()) {
            let (first, last) = (first >> AREA_BITS, (last >> AREA_BITS) + 1);
            self.touched = self.touched.start.min(first)..self.touched.end.max(last);
        }
        Ok(())
    }

    fn drain(&mut self, sweep: &mut Sweep) {
        let mut anomalous = self.anomalous.iter().peekable();
        let touched = self.touched.clone();
        let counters = &mut self.background[(touched.start - self.base) as usize..(touched.end - self.base) as usize];
        for (key, background) in touched.zip(counters) {
            let (mut count, mut overlap) = (0, 0.0);
            while let Some((pixel, pixels)) = anomalous.next_if(|(pixel, _)| pixel >> AREA_BITS == key) {
                let area = pixel & ((1 << AREA_BITS) - 1);
                count += pixels;
                overlap += *pixels as f64 / area as f64;
            }
            if *background > 0 || count > 0 {
                sweep.add(key as u32, *background, count, overlap);
                *background = 0;
            }
        }
        self.anomalous.clear();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Sums in another order differ in the last places.
    const ROUNDING: f64 = 1e-12;
    const EXACT: ProRule = ProRule::Exact { limit: 0.3 };
    const THRESHOLDS: ProRule = ProRule::Thresholds { steps: 200, limit: 0.3 };

    type Case = (AnomalyMap, Vec<bool>);

    /// Maps with many ties, and masks of single pixels and regions.
    fn cases() -> impl Strategy<Value = Vec<Case>> {
        let case = (1..9u32, 1..9u32).prop_flat_map(|(width, height)| {
            let pixels = (width * height) as usize;
            (prop::collection::vec(-6..6i8, pixels), prop::collection::vec(any::<bool>(), pixels), any::<bool>()).prop_map(
                move |(levels, anomalous, good)| {
                    let values = levels.into_iter().map(|level| f32::from(level) / 4.0).collect();
                    (AnomalyMap::new(width, height, values).unwrap(), anomalous.into_iter().map(|marked| marked && !good).collect())
                },
            )
        });
        prop::collection::vec(case, 0..6)
    }

    fn measure<'a>(rule: ProRule, limit: usize, cases: impl IntoIterator<Item = &'a Case>) -> PixelRanking {
        let mut metrics = PixelMetrics::new(rule).memory_limit(limit);
        cases.into_iter().for_each(|(map, anomalous)| metrics.add(map, anomalous).unwrap());
        metrics.finish().unwrap()
    }

    fn mapped(cases: &[Case], change: impl Fn(f32) -> f32) -> Vec<Case> {
        let change = |map: &AnomalyMap| map.values().iter().map(|&value| change(value)).collect();
        cases.iter().map(|(map, truth)| (AnomalyMap::new(map.width(), map.height(), change(map)).unwrap(), truth.clone())).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn disk_and_memory_and_any_order_agree(cases in cases()) {
            for rule in [EXACT, THRESHOLDS] {
                let memory = measure(rule, usize::MAX, &cases);
                prop_assert_eq!(&measure(rule, 0, &cases), &memory);
                prop_assert_eq!(&measure(rule, 0, cases.iter().rev()), &memory);
            }
        }

        #[test]
        fn a_monotone_transform_changes_nothing(cases in cases()) {
            prop_assert_eq!(measure(EXACT, usize::MAX, &mapped(&cases, |value| value.exp())).aupro, measure(EXACT, usize::MAX, &cases).aupro);
            let (plain, changed) = (measure(EXACT, 0, &cases).ranking, measure(EXACT, 0, &mapped(&cases, |value| value * 3.0 - 7.0)).ranking);
            prop_assert_eq!((plain.auroc, plain.ap, plain.f1_max, plain.roc), (changed.auroc, changed.ap, changed.f1_max, changed.roc));
        }

        #[test]
        fn negative_maps_turn_auroc_around(cases in cases()) {
            let negative = measure(EXACT, 0, &mapped(&cases, |value| -value)).ranking.auroc;
            match (measure(EXACT, 0, &cases).ranking.auroc, negative) {
                (Some(plain), Some(negative)) => prop_assert!((plain + negative - 1.0).abs() < ROUNDING),
                (plain, negative) => prop_assert_eq!(plain, negative),
            }
        }

        #[test]
        fn pixels_rank_as_images_do(cases in cases()) {
            let pixels = cases.iter().flat_map(|(map, truth)| map.values().iter().copied().zip(truth.iter().copied()));
            prop_assert_eq!(measure(EXACT, 0, &cases).ranking, super::super::rank(pixels).unwrap());
        }
    }

    #[test]
    fn a_mask_of_another_size_is_refused() {
        let map = AnomalyMap::new(2, 1, vec![0.0; 2]).unwrap();
        assert!(matches!(PixelMetrics::new(EXACT).add(&map, &[true]), Err(Error::Incompatible { expected: 2, found: 1, .. })));
    }

    #[test]
    fn undefined_is_none() {
        let map = AnomalyMap::new(2, 1, vec![0.25, 0.5]).unwrap();
        for rule in [EXACT, THRESHOLDS] {
            assert_eq!(measure(rule, 0, &[]), PixelRanking::default());
            let normal = measure(rule, 0, &[(map.clone(), vec![false; 2])]);
            assert_eq!((normal.aupro, normal.ranking.auroc, normal.ranking.ap), (None, None, None));
            let anomalous = measure(rule, 0, &[(map.clone(), vec![true; 2])]);
            assert_eq!((anomalous.aupro, anomalous.ranking.auroc, anomalous.ranking.ap), (None, None, Some(1.0)));
        }
        let flat = AnomalyMap::new(2, 1, vec![0.25; 2]).unwrap();
        assert_eq!(measure(THRESHOLDS, 0, &[(flat, vec![false, true])]).aupro, None, "no step from the lowest to the highest");
    }
}
