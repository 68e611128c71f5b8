//! Tables of what the journal holds.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    path::Path,
};

use anomalygpt::{
    data::Dataset,
    eval::{Metric, Protocol, ProtocolResults, Scores},
};
use serde_json::json;

use crate::{Failure, arguments::Arguments, beside, journal::Journal, methods::Method};

/// One method with one number of normal images, under one protocol.
#[derive(Debug)]
struct Entry {
    method: Method,
    shots: usize,
    /// One a round.
    rounds: Vec<ProtocolResults>,
}

/// Writes results and tables beside the report, and prints the tables.
pub(crate) fn write(arguments: &Arguments, dataset: &Dataset, journal: &Journal) -> Result<(), Failure> {
    let tables = arguments.protocols()?.into_iter().enumerate().map(|(index, protocol)| {
        let entries = entries(arguments, journal, index, &protocol);
        (protocol, entries)
    });
    let tables: Vec<_> = tables.collect();
    let markdown = markdown(arguments, journal, &tables);
    // Whoever reads may have seen enough; the files matter.
    let _ = io::stdout().write_all(markdown.as_bytes());
    save(&beside(&arguments.report, "md"), markdown.as_bytes())?;
    let results: Vec<_> = tables
        .iter()
        .flat_map(|(_, entries)| entries)
        .map(|entry| json!({ "method": entry.method.name(), "shots": entry.shots, "rounds": entry.rounds }))
        .collect();
    let all = json!({
        "run": arguments.fingerprint(dataset),
        "command": std::env::args().collect::<Vec<_>>(),
        "problems": dataset.problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "results": results,
        "cells": journal.cells,
        "rows": journal.all_rows()?,
    });
    let text = serde_json::to_string(&all).map_err(|error| error.to_string())?;
    save(&beside(&arguments.report, "json"), text.as_bytes())
}

fn save(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    fs::write(path, bytes).map_err(|error| Failure::Other(format!("{}: {error}", path.display())))
}

fn entries(arguments: &Arguments, journal: &Journal, index: usize, protocol: &Protocol) -> Vec<Entry> {
    let shots: BTreeSet<usize> = arguments.shots.iter().copied().collect();
    let mut entries = Vec::new();
    for &shots in &shots {
        for method in arguments.methods() {
            let rounds: BTreeSet<usize> = journal.cells.iter().filter(|cell| cell.shots == shots).map(|cell| cell.round).collect();
            let rounds = rounds.into_iter().filter_map(|round| {
                let cells = journal.cells.iter().filter(|cell| cell.shots == shots && cell.round == round);
                let classes: Vec<_> = cells
                    .filter_map(|cell| cell.methods.iter().find(|results| results.method == method.name())?.protocols.get(index).cloned())
                    .collect();
                (!classes.is_empty()).then(|| ProtocolResults::new(protocol.clone(), classes))
            });
            let rounds: Vec<_> = rounds.collect();
            if !rounds.is_empty() {
                entries.push(Entry { method, shots, rounds });
            }
        }
    }
    entries
}

fn markdown(arguments: &Arguments, journal: &Journal, tables: &[(Protocol, Vec<Entry>)]) -> String {
    let mut text = String::new();
    for (protocol, entries) in tables {
        let metrics: Vec<Metric> =
            protocol.metrics.iter().copied().filter(|&metric| entries.iter().any(|entry| mean(entry).get(metric).is_some())).collect();
        let _ = write!(text, "\n{protocol:#}\n\n| normal images | method |");
        metrics.iter().for_each(|metric| text += &format!(" {metric} |"));
        text += "\n|---|---|";
        metrics.iter().for_each(|_| text += "---|");
        for entry in entries {
            let _ = write!(text, "\n| {} | {} |", entry.shots, entry.method.name());
            let all: Vec<Scores> = entry.rounds.iter().map(|round| round.mean).collect();
            let deviation = Scores::deviation(&all);
            for &metric in &metrics {
                text += &match (mean(entry).get(metric), deviation.get(metric)) {
                    (Some(value), Some(deviation)) if all.len() > 1 => format!(" {:.1} ± {:.1} |", 100.0 * value, 100.0 * deviation),
                    (Some(value), _) => format!(" {:.1} |", 100.0 * value),
                    _ => " - |".into(),
                };
            }
        }
        text += "\n";
    }
    text + &costs(arguments, journal)
}

fn mean(entry: &Entry) -> Scores {
    Scores::mean(&entry.rounds.iter().map(|round| round.mean).collect::<Vec<_>>())
}

/// Time and memory by method, and where the time went.
fn costs(arguments: &Arguments, journal: &Journal) -> String {
    let mut text =
        String::from("\n| normal images | method | ms an image | s to take in normal images | peak memory, MB |\n|---|---|---|---|---|\n");
    for &shots in &arguments.shots.iter().copied().collect::<BTreeSet<_>>() {
        let cells: Vec<_> = journal.cells.iter().filter(|cell| cell.shots == shots).collect();
        let images = cells.iter().map(|cell| cell.images).sum::<usize>().max(1) as f64;
        let encoder = cells.iter().map(|cell| cell.times.encoder).sum::<f64>();
        for method in arguments.methods() {
            let found: Vec<_> =
                cells.iter().filter_map(|cell| cell.methods.iter().find(|results| results.method == method.name())).collect();
            if found.is_empty() {
                continue;
            }
            let seconds = encoder + found.iter().map(|results| results.seconds).sum::<f64>();
            let fit = found.iter().map(|results| results.fit_seconds).sum::<f64>() / found.len() as f64;
            let peak = found.iter().filter_map(|results| results.peak_bytes).max();
            let peak = peak.map_or_else(|| "-".into(), |bytes| format!("{}", bytes / 1_000_000));
            let _ = writeln!(text, "| {shots} | {} | {:.1} | {fit:.2} | {peak} |", method.name(), 1000.0 * seconds / images);
        }
    }
    let sum = |of: fn(&crate::journal::Times) -> f64| journal.cells.iter().map(|cell| of(&cell.times)).sum::<f64>();
    let (total, inside) = (sum(|times| times.total), sum(|times| times.encoder + times.methods));
    let images: usize = journal.cells.iter().map(|cell| cell.images).sum();
    let failed: usize = journal.cells.iter().map(|cell| cell.failed).sum();
    let resized: usize = journal.cells.iter().map(|cell| cell.masks_resized).sum();
    let _ = writeln!(
        text,
        "\n{images} images in {total:.1} s, {:.1} a second; {:.1} % of the time outside of the model. {failed} images failed, {resized} masks were resized.",
        images as f64 / total.max(f64::MIN_POSITIVE),
        100.0 * (1.0 - inside / total.max(f64::MIN_POSITIVE)),
    );
    text
}
