//! Metrics of image scores.

use super::{
    order,
    sweep::{Summary, Sweep, Totals},
};
use crate::error::{Error, Result};

/// How well scores part anomalous from normal.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Ranking {
    /// Area under the ROC curve, in `[0, 1]`; `None` unless both labels are there. As scikit-learn's `roc_auc_score`.
    pub auroc: Option<f64>,
    /// Average precision, in `[0, 1]`; `None` without an anomalous one. As scikit-learn's `average_precision_score`.
    pub ap: Option<f64>,
    /// Highest F1 over all thresholds, in `[0, 1]`; `None` without an anomalous one.
    pub f1_max: Option<f64>,
    /// The score from which on all are called anomalous for that F1: the highest such score.
    pub f1_threshold: Option<f32>,
    /// Points of the ROC curve (false positive rate, true positive rate), thinned out for drawing; empty where AUROC is `None`.
    pub roc: Vec<[f64; 2]>,
}

impl Ranking {
    pub(super) fn new(summary: Summary) -> Self {
        let Summary { auroc, ap, f1_max, f1_threshold, roc, .. } = summary;
        Self { auroc, ap, f1_max, f1_threshold, roc }
    }
}

/// Ranks images (or anything else) by score: each item is a score and whether it is anomalous in truth.
///
/// ```
/// let ranking = anomalygpt::eval::rank([(0.1, false), (0.4, true), (0.4, false), (0.8, true)])?;
/// assert_eq!(ranking.auroc, Some(0.875));
/// # Ok::<(), anomalygpt::Error>(())
/// ```
///
/// # Errors
/// [`Error::NotFinite`] where a score is not a finite number.
pub fn rank(scored: impl IntoIterator<Item = (f32, bool)>) -> Result<Ranking> {
    let scored: Vec<(f32, bool)> = scored.into_iter().collect();
    let bad = |score: f32| !score.is_finite();
    if let Some(first) = scored.iter().position(|&(score, _)| bad(score)) {
        let count = scored.iter().filter(|&&(score, _)| bad(score)).count();
        return Err(Error::NotFinite { component: "image score", count, first });
    }
    let mut keys: Vec<(u32, bool)> = scored.into_iter().map(|(score, anomalous)| (order::key(score), anomalous)).collect();
    keys.sort_unstable();
    let anomalous = keys.iter().filter(|(_, anomalous)| *anomalous).count() as u64;
    let mut sweep = Sweep::new(Totals { background: keys.len() as u64 - anomalous, anomalous, regions: 0, range: None }, None);
    for ties in keys.chunk_by(|(left, _), (right, _)| left == right) {
        let anomalous = ties.iter().filter(|(_, anomalous)| *anomalous).count() as u64;
        sweep.add(ties[0].0, ties.len() as u64 - anomalous, anomalous, 0.0);
    }
    Ok(Ranking::new(sweep.finish()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Sums in another order differ in the last places.
    const ROUNDING: f64 = 1e-12;

    fn scored() -> impl Strategy<Value = Vec<(f32, bool)>> {
        prop::collection::vec(((-8..8i8).prop_map(|level| f32::from(level) / 4.0), any::<bool>()), 0..40)
    }

    #[test]
    fn one_label_leaves_auroc_undefined() {
        let normal = rank([(0.1, false), (0.2, false)]).unwrap();
        assert_eq!(normal, Ranking::default());
        let anomalous = rank([(0.1, true), (0.2, true)]).unwrap();
        assert_eq!((anomalous.auroc, anomalous.ap, anomalous.f1_max, anomalous.f1_threshold), (None, Some(1.0), Some(1.0), Some(0.1)));
        assert_eq!(rank([]).unwrap(), Ranking::default());
    }

    #[test]
    fn scores_that_are_no_numbers_are_refused() {
        let error = rank([(0.1, false), (f32::NAN, true), (f32::INFINITY, true)]).unwrap_err();
        assert!(matches!(error, Error::NotFinite { count: 2, first: 1, .. }), "{error:?}");
    }

    proptest! {
        #[test]
        fn a_monotone_transform_changes_nothing(scored in scored()) {
            let transformed: Vec<_> = scored.iter().map(|&(score, anomalous)| (score.exp() * 3.0 - 1.0, anomalous)).collect();
            let (plain, transformed) = (rank(scored).unwrap(), rank(transformed).unwrap());
            prop_assert_eq!((plain.auroc, plain.ap, plain.f1_max, plain.roc), (transformed.auroc, transformed.ap, transformed.f1_max, transformed.roc));
        }

        #[test]
        fn the_order_changes_nothing(scored in scored(), by in 0..40usize) {
            let mut turned = scored.clone();
            turned.rotate_left(by.min(scored.len()));
            prop_assert_eq!(rank(scored).unwrap(), rank(turned).unwrap());
        }

        #[test]
        fn negative_scores_turn_auroc_around(scored in scored()) {
            let negative = rank(scored.iter().map(|&(score, anomalous)| (-score, anomalous))).unwrap();
            match (rank(scored).unwrap().auroc, negative.auroc) {
                (Some(plain), Some(negative)) => prop_assert!((plain + negative - 1.0).abs() < ROUNDING),
                (plain, negative) => prop_assert_eq!(plain, negative),
            }
        }

        #[test]
        fn auroc_is_the_share_of_pairs_in_order(scored in scored()) {
            let pairs: Vec<f64> = scored.iter().filter(|item| item.1).flat_map(|high| scored.iter().filter(|item| !item.1).map(move |low| {
                if high.0 > low.0 { 1.0 } else if high.0 == low.0 { 0.5 } else { 0.0 }
            })).collect();
            let auroc = rank(scored.clone()).unwrap().auroc;
            prop_assert_eq!(auroc.is_none(), pairs.is_empty());
            if let Some(auroc) = auroc {
                prop_assert!((auroc - pairs.iter().sum::<f64>() / pairs.len() as f64).abs() < ROUNDING);
            }
        }
    }
}
