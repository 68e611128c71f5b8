//! Tables for a README.

use super::{
    RunResults, cost, published,
    table::{Row, columns, is_best, protocols, rows},
};
use crate::eval::Metric;

/// A table a protocol, the best of equal numbers of normal images in bold; then time and memory, and published numbers.
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
        text += &header(["method", "normals"].into_iter().chain(columns.iter().map(|metric| metric.name())));
        for row in &rows {
            let values = columns.iter().map(|&metric| emphasized(&rows, row, metric));
            text += &line([cell(&row.method.method), row.method.shots.to_string()].into_iter().chain(values));
        }
    }
    let costs = cost::rows(results);
    if !costs.is_empty() {
        text += &format!("\n### Time and memory\n\n{}\n\n{}", cost::NOTE, header(["method", "normals"].into_iter().chain(cost::COLUMNS)));
        for (method, cells) in costs {
            text += &line([cell(&method.method), method.shots.to_string()].into_iter().chain(cells));
        }
    }
    if !results.published.is_empty() {
        let metrics = published::metrics(&results.published);
        let names = published::COLUMNS.into_iter().chain(metrics.iter().map(|metric| metric.name()));
        text += &format!("\n### {}\n\n{}\n\n{}", published::TITLE, published::NOTE, header(names));
        for row in &results.published {
            text += &line(row.cells().iter().map(|text| cell(text)).chain(metrics.iter().map(|&metric| row.cell(metric))));
        }
    }
    text
}

fn emphasized(rows: &[Row<'_>], row: &Row<'_>, metric: Metric) -> String {
    if is_best(rows, row, metric) { format!("**{}**", row.cell(metric)) } else { row.cell(metric) }
}

fn header<'a>(names: impl Iterator<Item = &'a str> + Clone) -> String {
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
