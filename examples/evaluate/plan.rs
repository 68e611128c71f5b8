//! What a run consists of: every class with every number of normal images in every round.

use std::collections::BTreeSet;

use anomalygpt::data::{Dataset, Sample, Split};

use crate::{Failure, arguments::Arguments};

/// What one cell needs.
#[derive(Debug)]
pub(crate) struct Planned<'a> {
    pub(crate) class: &'a str,
    pub(crate) shots: usize,
    pub(crate) round: usize,
    pub(crate) normals: Vec<&'a Sample>,
    /// Normal images to learn from that were not drawn.
    pub(crate) others: Vec<&'a Sample>,
    pub(crate) test: Vec<&'a Sample>,
}

/// All cells, with their draws: what can't be drawn is found before the first image.
pub(crate) fn plan<'a>(arguments: &Arguments, dataset: &'a Dataset) -> Result<Vec<Planned<'a>>, Failure> {
    let draw = arguments.draw()?;
    let mut plan = Vec::new();
    for class in dataset.classes() {
        let (normals, test) = (dataset.normals(class), limited(dataset.of(class, Split::Test), arguments.limit));
        if test.is_empty() {
            continue;
        }
        for &shots in &arguments.shots.iter().copied().collect::<BTreeSet<_>>() {
            for round in 0..if shots == 0 { 1 } else { arguments.rounds as usize } {
                let chosen = if shots == 0 { Vec::new() } else { draw.choose(&normals, shots, round)? };
                let others = normals.iter().copied().filter(|sample| !chosen.iter().any(|other| other.name == sample.name)).collect();
                plan.push(Planned { class, shots, round, normals: chosen, others, test: test.clone() });
            }
        }
    }
    if plan.is_empty() {
        return Err(Failure::Other("the data set has no test images".into()));
    }
    Ok(plan)
}

/// At most `limit` of the samples, spread evenly over them.
fn limited(samples: Vec<&Sample>, limit: Option<u32>) -> Vec<&Sample> {
    match limit.map(|limit| limit as usize) {
        Some(limit) if limit < samples.len() => {
            (0..limit).filter_map(|index| samples.get(index * samples.len() / limit).copied()).collect()
        }
        _ => samples,
    }
}
