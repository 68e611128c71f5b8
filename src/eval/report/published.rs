//! Numbers that the paper of AnomalyGPT (Gu et al., AAAI 2024) prints: its own, and those that it compares with.

use serde::{Deserialize, Serialize};

use crate::eval::{Metric, Scores, report::table::percent};

/// A row from a paper; nothing of it was run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PublishedResults {
    /// The method's name.
    pub method: String,
    /// The data set, by its name.
    pub dataset: String,
    /// Normal images that it was given, of each class; `None` for all of the training set.
    pub shots: Option<u32>,
    /// Where the numbers stand.
    pub source: String,
    /// The numbers.
    pub scores: Scores,
    /// Their deviations, where they are printed.
    pub deviation: Scores,
}

/// A value, and its deviation.
type Printed = (f64, Option<f64>);

const MVTEC_AD: &str = "MVTec-AD";
const VISA: &str = "VisA";
const FEW_SHOT: &str = "Gu et al. 2024, Table 2";
const FEW_SHOT_OF_OTHERS: &str = "Gu et al. 2024, Table 2, from Jeong et al. 2023";
const UNSUPERVISED: &str = "Gu et al. 2024, Table 3";
const UNSUPERVISED_OF_OTHERS: &str = "Gu et al. 2024, Table 3, from Zhao 2023";

/// Means and deviations of five runs, in percent: image AUROC and pixel AUROC on MVTec-AD, then both on VisA.
const TABLE_2: [(&str, u32, [[f64; 2]; 4]); 15] = [
    ("SPADE", 1, [[81.0, 2.0], [91.2, 0.4], [79.5, 4.0], [95.6, 0.4]]),
    ("PaDiM", 1, [[76.6, 3.1], [89.3, 0.9], [62.8, 5.4], [89.9, 0.8]]),
    ("PatchCore", 1, [[83.4, 3.0], [92.0, 1.0], [79.9, 2.9], [95.4, 0.6]]),
    ("WinCLIP", 1, [[93.1, 2.0], [95.2, 0.5], [83.8, 4.0], [96.4, 0.4]]),
    (OWN, 1, [[94.1, 1.1], [95.3, 0.1], [87.4, 0.8], [96.2, 0.1]]),
    ("SPADE", 2, [[82.9, 2.6], [92.0, 0.3], [80.7, 5.0], [96.2, 0.4]]),
    ("PaDiM", 2, [[78.9, 3.1], [91.3, 0.7], [67.4, 5.1], [92.0, 0.7]]),
    ("PatchCore", 2, [[86.3, 3.3], [93.3, 0.6], [81.6, 4.0], [96.1, 0.5]]),
    ("WinCLIP", 2, [[94.4, 1.3], [96.0, 0.3], [84.6, 2.4], [96.8, 0.3]]),
    (OWN, 2, [[95.5, 0.8], [95.6, 0.2], [88.6, 0.7], [96.4, 0.1]]),
    ("SPADE", 4, [[84.8, 2.5], [92.7, 0.3], [81.7, 3.4], [96.6, 0.3]]),
    ("PaDiM", 4, [[80.4, 2.5], [92.6, 0.7], [72.8, 2.9], [93.2, 0.5]]),
    ("PatchCore", 4, [[88.8, 2.6], [94.3, 0.5], [85.3, 2.1], [96.8, 0.3]]),
    ("WinCLIP", 4, [[95.2, 1.3], [96.2, 0.3], [87.3, 1.8], [97.2, 0.2]]),
    (OWN, 4, [[96.3, 0.3], [96.2, 0.1], [90.6, 0.7], [96.7, 0.1]]),
];
/// AnomalyGPT's accuracy in Table 2 by number of normal images, on MVTec-AD and on VisA.
const TABLE_2_ACCURACY: [(u32, [[f64; 2]; 2]); 3] =
    [(1, [[86.1, 1.1], [77.4, 1.0]]), (2, [[84.8, 0.8], [77.5, 0.3]]), (4, [[85.0, 0.3], [77.7, 0.4]])];
/// Image AUROC, pixel AUROC and accuracy on MVTec-AD, one model for all classes.
const TABLE_3: [(&str, &str, f64, f64, Option<f64>); 4] = [
    ("PaDiM (unified)", UNSUPERVISED_OF_OTHERS, 84.2, 89.5, None),
    ("JNLD (unified)", UNSUPERVISED_OF_OTHERS, 91.3, 88.6, None),
    ("UniAD", UNSUPERVISED, 96.5, 96.8, None),
    (OWN, UNSUPERVISED, 97.4, 93.1, Some(93.3)),
];
const OWN: &str = "AnomalyGPT";

/// The rows of the paper's Table 2 with one of these numbers of normal images, of all methods on MVTec-AD and on VisA, and those of its
/// Table 3 (all of MVTec-AD's training set). They are of other encoders than the embedded model's.
pub fn published(shots: &[u32]) -> Vec<PublishedResults> {
    let few = [(MVTEC_AD, 0), (VISA, 1)].into_iter().flat_map(|(dataset, index)| {
        let rows = TABLE_2.iter().filter(|(_, row_shots, _)| shots.contains(row_shots));
        rows.map(move |&(method, shots, values)| {
            let printed = |[value, deviation]: [f64; 2]| (value, Some(deviation));
            let accuracy = TABLE_2_ACCURACY.iter().find(|(row_shots, _)| method == OWN && *row_shots == shots);
            let source = if method == OWN { FEW_SHOT } else { FEW_SHOT_OF_OTHERS };
            let both = [printed(values[2 * index]), printed(values[2 * index + 1])];
            row(method, dataset, Some(shots), source, both, accuracy.map(|(_, values)| printed(values[index])))
        })
    });
    let all = TABLE_3.iter().map(|&(method, source, image, pixel, accuracy)| {
        row(method, MVTEC_AD, None, source, [(image, None), (pixel, None)], accuracy.map(|value| (value, None)))
    });
    few.chain(all).collect()
}

fn row(
    method: &str,
    dataset: &str,
    shots: Option<u32>,
    source: &str,
    [image, pixel]: [Printed; 2],
    accuracy: Option<Printed>,
) -> PublishedResults {
    let values = [(Metric::ImageAuroc, Some(image)), (Metric::PixelAuroc, Some(pixel)), (Metric::Accuracy, accuracy)];
    let share = |percent: f64| percent / 100.0;
    let scores = values.iter().fold(Scores::default(), |all, (metric, value)| all.with(*metric, value.map(|(value, _)| share(value))));
    let deviations = values.iter().map(|(metric, value)| (*metric, value.and_then(|(_, deviation)| deviation)));
    let deviation = deviations.fold(Scores::default(), |all, (metric, deviation)| all.with(metric, deviation.map(share)));
    PublishedResults { method: method.into(), dataset: dataset.into(), shots, source: source.into(), scores, deviation }
}

/// The table's heading and note.
pub(super) const TITLE: &str = "Published figures, not run here";
pub(super) const NOTE: &str = "As papers print them: measured with other encoders than the rows above, by other code, on the images of the \
                               data set that is named.";
/// Headings before the metrics.
pub(super) const COLUMNS: [&str; 4] = ["method", "data", "normals", "source"];

impl PublishedResults {
    /// What stands under [`COLUMNS`].
    pub(super) fn cells(&self) -> [String; 4] {
        let shots = self.shots.map_or_else(|| "all".to_owned(), |shots| shots.to_string());
        [self.method.clone(), self.dataset.clone(), shots, self.source.clone()]
    }

    /// A percentage with one decimal, and its deviation where there is one.
    pub(super) fn cell(&self, metric: Metric) -> String {
        let deviation = self.deviation.get(metric).map(|deviation| format!(" ± {:.1}", 100.0 * deviation)).unwrap_or_default();
        percent(self.scores.get(metric)) + &deviation
    }
}

/// The metrics that at least one row has.
pub(super) fn metrics(rows: &[PublishedResults]) -> Vec<Metric> {
    let has = |metric: &&Metric| rows.iter().any(|row| row.scores.get(**metric).is_some());
    Metric::ALL.iter().filter(has).copied().collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn line(rows: &[PublishedResults], method: &str, dataset: &str) -> String {
        let row = rows.iter().find(|row| row.method == method && row.dataset == dataset).unwrap();
        [Metric::ImageAuroc, Metric::PixelAuroc, Metric::Accuracy].map(|metric| row.cell(metric)).join(" | ")
    }

    #[test]
    fn rows_are_those_of_the_numbers_of_images() {
        let rows = published(&[0, 4]);
        assert_eq!(rows.len(), 5 * 2 + 4);
        assert_eq!(line(&rows, "AnomalyGPT", "VisA"), "90.6 ± 0.7 | 96.7 ± 0.1 | 77.7 ± 0.4");
        assert_eq!(line(&rows, "WinCLIP", "MVTec-AD"), "95.2 ± 1.3 | 96.2 ± 0.3 | –");
        let all = published(&[]);
        assert_eq!(
            all.iter().map(|row| row.method.as_str()).collect::<Vec<_>>(),
            ["PaDiM (unified)", "JNLD (unified)", "UniAD", "AnomalyGPT"]
        );
        assert_eq!(line(&all, "UniAD", "MVTec-AD"), "96.5 | 96.8 | –");
        assert_eq!(line(&all, "JNLD (unified)", "MVTec-AD"), "91.3 | 88.6 | –");
        assert_eq!(all[3].cells(), ["AnomalyGPT", "MVTec-AD", "all", "Gu et al. 2024, Table 3"]);
        assert_eq!(published(&[1, 2, 4]).len(), 34);
    }
}
