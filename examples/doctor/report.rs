//! A survey and its diagnosis, for people and for programs.

use std::fmt::Write as _;

use anomalygpt::weights::{CheckpointKind, TensorSource};
use serde_json::{Value, json};

use crate::{
    diagnosis::Diagnosis,
    survey::{Found, Survey},
};

/// Parts in the order in which they are reported.
const KINDS: [(CheckpointKind, &str); 7] = [
    (CheckpointKind::Whole, "whole"),
    (CheckpointKind::ImageBind, "imagebind"),
    (CheckpointKind::LanguageModel, "language_model"),
    (CheckpointKind::VicunaDelta, "vicuna_delta"),
    (CheckpointKind::PandaDelta, "pandagpt"),
    (CheckpointKind::AnomalyDelta, "anomalygpt"),
    (CheckpointKind::Unknown, "unknown"),
];

pub(crate) fn json(survey: &Survey, diagnosis: &Diagnosis<'_>) -> Value {
    let parts: serde_json::Map<String, Value> =
        KINDS.iter().map(|(kind, name)| ((*name).to_owned(), survey.of_kind(*kind).map(found_json).collect::<Vec<_>>().into())).collect();
    let memory: serde_json::Map<String, Value> =
        diagnosis.memory.iter().map(|(precision, bytes)| (precision.to_string(), (*bytes).into())).collect();
    let flags = diagnosis
        .choice
        .map(|choice| choice.flags().iter().flat_map(|(flag, path)| [(*flag).to_owned(), path.display().to_string()]).collect::<Vec<_>>());
    json!({
        "parts": parts,
        "missing": diagnosis.missing,
        "problems": diagnosis.problems,
        "warnings": diagnosis.warnings,
        "memory_bytes": memory,
        "flags": flags,
    })
}

fn found_json(found: &Found) -> Value {
    let sizes: serde_json::Map<String, Value> = found.sizes.iter().map(|size| (size.dimension.to_string(), size.value.into())).collect();
    json!({
        "path": found.path.display().to_string(),
        "tensors": found.checkpoint.tensors().len(),
        "bytes": found.bytes(),
        "sizes": sizes,
        "tokenizer_pieces": found.pieces,
    })
}

pub(crate) fn text(survey: &Survey, diagnosis: &Diagnosis<'_>) -> String {
    let mut text = String::new();
    for (kind, _) in KINDS {
        for found in survey.of_kind(kind) {
            text += &found_text(found);
        }
    }
    for (title, lines) in
        [("Missing", lines(&diagnosis.missing)), ("Wrong", diagnosis.problems.clone()), ("Note", diagnosis.warnings.clone())]
    {
        for line in lines {
            text += &format!("{title}: {line}\n");
        }
    }
    let Some(choice) = diagnosis.choice else {
        return text + "There is no whole model here.\n";
    };
    text += "\nMemory for the weights, by the language model's precision (all else is in 32 bits):\n";
    for (precision, bytes) in &diagnosis.memory {
        let _ = writeln!(text, "  {precision:4} {}", size(*bytes));
    }
    text += "\nA whole model is there:\n  cargo run --release --example published --";
    for (flag, path) in choice.flags() {
        let _ = write!(text, " \\\n    {flag} '{}'", path.display());
    }
    text + "\n"
}

fn lines(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn found_text(found: &Found) -> String {
    let mut text = format!("{}: {}\n", found.path.display(), found.kind);
    let mut sizes: Vec<String> = vec![];
    for size in &found.sizes {
        let line = format!("{} {}", size.dimension, size.value);
        if !sizes.contains(&line) {
            sizes.push(line);
        }
    }
    let tensors = found.checkpoint.tensors().len();
    let facts = [vec![format!("{tensors} tensors"), size(found.bytes())], sizes].concat();
    let _ = writeln!(text, "    {}", facts.join(", "));
    if let Some(pieces) = found.pieces {
        let _ = writeln!(text, "    tokenizer of {pieces} pieces");
    }
    text
}

/// Bytes as people read them.
fn size(bytes: u64) -> String {
    match bytes {
        0..10_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        10_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}
