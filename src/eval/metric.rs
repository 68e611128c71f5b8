//! The metrics by name, and a value for each.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Defines [`Metric`] and [`Scores`] together, so that each metric has a field of its own.
macro_rules! metrics {
    ($($(#[$doc:meta])* $metric:ident, $field:ident, $name:literal;)*) => {
        /// A number that says how well a model does; higher is better, but for the two error rates.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum Metric {
            $($(#[$doc])* $metric,)*
        }

        impl Metric {
            /// All metrics, in the order of a table's columns.
            pub const ALL: &[Self] = &[$(Self::$metric,)*];

            /// The name as a table's heading.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$metric => $name,)*
                }
            }
        }

        /// A value for each metric, in `[0, 1]`; `None` where the data leaves it undefined.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default)]
        #[non_exhaustive]
        pub struct Scores {
            $($(#[$doc])* pub $field: Option<f64>,)*
        }

        impl Scores {
            /// The value of a metric.
            pub fn get(&self, metric: Metric) -> Option<f64> {
                match metric {
                    $(Metric::$metric => self.$field,)*
                }
            }

            /// The same scores with another value for a metric.
            pub fn with(mut self, metric: Metric, value: Option<f64>) -> Self {
                match metric {
                    $(Metric::$metric => self.$field = value,)*
                }
                self
            }
        }
    };
}

metrics! {
    /// Area under the ROC curve of image scores: the share of pairs in which the anomalous image scores higher, ties half.
    ImageAuroc, image_auroc, "image AUROC";
    /// Average precision of image scores: precision at every threshold, weighted by the rise of recall (no interpolation).
    ImageAp, image_ap, "image AP";
    /// Highest F1 of image labels over all thresholds, the best one being chosen on the test set.
    ImageF1Max, image_f1_max, "image F1-max";
    /// Area under the ROC curve of pixels, of all images of a class together.
    PixelAuroc, pixel_auroc, "pixel AUROC";
    /// Average precision of pixels.
    PixelAp, pixel_ap, "pixel AP";
    /// Highest F1 of pixels over all thresholds.
    PixelF1Max, pixel_f1_max, "pixel F1-max";
    /// Area under the curve of per-region overlap, by the protocol's [`ProRule`](super::ProRule).
    PixelAupro, pixel_aupro, "AUPRO";
    /// Share of images whose verdict in words is right; "undecided" is wrong.
    Accuracy, accuracy, "accuracy";
    /// Share of normal images whose verdict is not "normal": good parts rejected.
    GoodRejected, good_rejected, "good rejected";
    /// Share of anomalous images whose verdict is not "anomalous": bad parts passed.
    BadPassed, bad_passed, "bad passed";
    /// Share of anomalous images with a mask whose place in the 3x3 grid is that of a true region.
    PlaceAccuracy, place_accuracy, "place accuracy";
    /// Mean over the true regions of the intersection over union of their box with the found box matched to it.
    BoxIou, box_iou, "box IoU";
}

impl Metric {
    /// Whether lower values are better.
    pub fn is_error_rate(self) -> bool {
        matches!(self, Self::GoodRejected | Self::BadPassed)
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl Scores {
    /// Metric by metric, the mean of the defined values among `scores`; `None` where none is defined.
    pub fn mean(scores: &[Self]) -> Self {
        Metric::ALL.iter().fold(Self::default(), |mean, &metric| mean.with(metric, moments(scores, metric).map(|(mean, _)| mean)))
    }

    /// Metric by metric, the standard deviation of the defined values among `scores` (dividing by their number, as NumPy does).
    pub fn deviation(scores: &[Self]) -> Self {
        Metric::ALL.iter().fold(Self::default(), |all, &metric| all.with(metric, moments(scores, metric).map(|(_, deviation)| deviation)))
    }
}

/// Mean and standard deviation of the defined values of a metric.
fn moments(scores: &[Scores], metric: Metric) -> Option<(f64, f64)> {
    let values: Vec<f64> = scores.iter().filter_map(|scores| scores.get(metric)).collect();
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    (!values.is_empty()).then(|| (mean, variance.sqrt()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn means_leave_out_what_is_undefined() {
        let scores = [Some(0.5), None, Some(1.0)].map(|value| Scores { image_auroc: value, ..Scores::default() });
        assert_eq!(Scores::mean(&scores).image_auroc, Some(0.75));
        assert_eq!(Scores::deviation(&scores).image_auroc, Some(0.25));
        assert_eq!((Scores::mean(&scores).pixel_ap, Scores::deviation(&[]).image_auroc), (None, None));
    }

    #[test]
    fn every_metric_has_its_own_value_and_name() {
        for (index, &metric) in Metric::ALL.iter().enumerate() {
            let scores = Scores::default().with(metric, Some(index as f64));
            assert_eq!(Metric::ALL.iter().filter(|&&other| scores.get(other).is_some()).collect::<Vec<_>>(), [&metric]);
        }
        let json = serde_json::to_value(Scores { box_iou: Some(0.5), ..Scores::default() }).unwrap();
        assert_eq!((json["box_iou"].as_f64(), json["accuracy"].is_null()), (Some(0.5), true));
        assert_eq!(serde_json::to_value(Metric::ImageF1Max).unwrap(), "image_f1_max");
    }
}
