//! What the tables of all formats hold.

use super::{MethodResults, RunResults};
use crate::eval::{Metric, Protocol, ProtocolResults, Scores};

/// Protocols in order of their first appearance.
pub(super) fn protocols(results: &RunResults) -> Vec<&Protocol> {
    let mut found: Vec<&Protocol> = Vec::new();
    for results in results.methods.iter().flat_map(|method| &method.rounds).flat_map(|round| &round.protocols) {
        if found.iter().all(|protocol| protocol.name != results.protocol.name) {
            found.push(&results.protocol);
        }
    }
    found
}

/// A method's mean and deviation over rounds.
pub(super) struct Row<'a> {
    pub(super) method: &'a MethodResults,
    pub(super) mean: Scores,
    pub(super) deviation: Scores,
}

impl Row<'_> {
    /// A percentage with one decimal, and the deviation where there are rounds.
    pub(super) fn cell(&self, metric: Metric) -> String {
        let deviation = self.deviation.get(metric).filter(|_| self.method.rounds.len() > 1);
        let deviation = deviation.map(|deviation| format!(" ± {:.1}", 100.0 * deviation)).unwrap_or_default();
        percent(self.mean.get(metric)) + &deviation
    }
}

pub(super) fn rows<'a>(results: &'a RunResults, protocol: &Protocol) -> Vec<Row<'a>> {
    let row = |method: &'a MethodResults| method.summary(&protocol.name).map(|(mean, deviation)| Row { method, mean, deviation });
    results.methods.iter().filter_map(row).collect()
}

/// The protocol's metrics that at least one row has.
pub(super) fn columns<'a>(protocol: &Protocol, rows: impl Iterator<Item = &'a Scores>) -> Vec<Metric> {
    let rows: Vec<&Scores> = rows.collect();
    protocol.metrics.iter().copied().filter(|&metric| rows.iter().any(|scores| scores.get(metric).is_some())).collect()
}

/// Whether a row's value is the best among rows with as many normal images, and not all are alike.
pub(super) fn is_best(rows: &[Row<'_>], row: &Row<'_>, metric: Metric) -> bool {
    let sign = if metric.is_error_rate() { -1.0 } else { 1.0 };
    let value = |row: &Row<'_>| row.mean.get(metric).map(|value| sign * value);
    let rivals: Vec<f64> = rows.iter().filter(|other| other.method.shots == row.method.shots).filter_map(value).collect();
    value(row).is_some_and(|value| rivals.iter().all(|&rival| value >= rival) && rivals.iter().any(|&rival| value > rival))
}

/// One class of a method: counts of the first round, scores as the mean over rounds.
pub(super) struct ClassRow<'a> {
    pub(super) class: &'a str,
    pub(super) normal: u64,
    pub(super) anomalous: u64,
    pub(super) without_pixels: u64,
    pub(super) scores: Scores,
}

pub(super) fn class_rows<'a>(method: &'a MethodResults, protocol: &Protocol) -> Vec<ClassRow<'a>> {
    let rounds: Vec<&ProtocolResults> = method.protocol(&protocol.name).collect();
    let Some(first) = rounds.first() else { return Vec::new() };
    let same = |class: &str| rounds.iter().flat_map(|round| &round.classes).filter(move |other| other.class == class).collect::<Vec<_>>();
    let row = first.classes.iter().map(|class| {
        let scores: Vec<Scores> = same(&class.class).iter().map(|class| class.scores).collect();
        ClassRow {
            class: &class.class,
            normal: class.normal,
            anomalous: class.anomalous,
            without_pixels: class.without_pixels,
            scores: Scores::mean(&scores),
        }
    });
    row.collect()
}

/// "12.3", or a dash for what is undefined.
pub(super) fn percent(value: Option<f64>) -> String {
    value.map_or_else(|| "–".into(), |value| format!("{:.1}", 100.0 * value))
}

/// "method, 4 normal images".
pub(super) fn title(method: &MethodResults) -> String {
    let images = if method.shots == 1 { "image" } else { "images" };
    format!("{}, {} normal {images}", method.method, method.shots)
}
