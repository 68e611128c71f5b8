//! Tables for a README.

use super::{
    RunResults,
    table::{Row, columns, is_best, percent, protocols, rows},
};
use crate::eval::Metric;

/// A table a protocol, the best of equal numbers of normal images in bold, and one of published numbers.
pub fn markdown(results: &RunResults) -> String {
    let about = &results.about;
    let mut text = format!("anomalygpt {}", cell(&about.crate_version));
    for (name, value) in [("data", &about.dataset), ("model", &about.model), ("device", &about.device)] {
        text += &format!(", {name}: {}", cell(value));
    }
    text += &format!(", seed: {}. Percentages; mean ± deviation over rounds.\n", about.seed);
    for protocol in protocols(results) {
        let rows = rows(results, protocol);
        let columns = columns(protocol, rows.iter().map(|row| &row.mean));
        text += &format!("\n### {}\n\n{}.\n\n", cell(&protocol.name), cell(&protocol.description()));
        text += &header(&["method", "normals"], &columns);
        for row in &rows {
            let values = columns.iter().map(|&metric| emphasized(&rows, row, metric));
            text += &line([cell(&row.method.method), row.method.shots.to_string()].into_iter().chain(values));
        }
    }
    if !results.published.is_empty() {
        let has = |metric: &&Metric| results.published.iter().any(|row| row.scores.get(**metric).is_some());
        let columns: Vec<Metric> = Metric::ALL.iter().filter(has).copied().collect();
        text += "\n### Published, not run here\n\n";
        text += &header(&["method", "source", "normals"], &columns);
        for row in &results.published {
            let values = columns.iter().map(|&metric| percent(row.scores.get(metric)));
            text += &line([cell(&row.method), cell(&row.source), row.shots.to_string()].into_iter().chain(values));
        }
    }
    text
}

fn emphasized(rows: &[Row<'_>], row: &Row<'_>, metric: Metric) -> String {
    if is_best(rows, row, metric) { format!("**{}**", row.cell(metric)) } else { row.cell(metric) }
}

fn header(first: &[&str], columns: &[Metric]) -> String {
    let names = first.iter().copied().chain(columns.iter().map(|metric| metric.name()));
    let rule = names.clone().enumerate().map(|(index, _)| if index == 0 { "---" } else { "---:" }.to_owned());
    line(names.map(str::to_owned)) + &line(rule)
}

fn line(cells: impl Iterator<Item = String>) -> String {
    format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
}

/// A name inside a table.
fn cell(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('|', "\\|").replace('<', "&lt;");
    escaped.split_whitespace().collect::<Vec<_>>().join(" ")
}
