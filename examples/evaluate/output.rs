//! The report, the tables and the results of what the journal holds.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write as _},
};

use anomalygpt::{
    data::Dataset,
    eval::{
        ProtocolResults,
        report::{self, About, Card, Failure as ImageFailure, Gallery, MethodResults, Ranked, RoundResults, RunResults},
    },
    preprocess::to_rgb,
};

use crate::{
    Failure,
    arguments::Arguments,
    beside,
    journal::{Cell, Journal, Row, Times},
    methods::{Method, Models},
    run,
};

/// Photographs in each half of the gallery.
const CARDS: usize = 12;

/// Writes report, results and tables, and prints the tables.
pub(crate) fn write(arguments: &Arguments, dataset: &Dataset, models: &Models, journal: &Journal) -> Result<(), Failure> {
    let results = results(arguments, dataset, models, journal)?;
    let gallery = gallery(arguments, dataset, models, &results)?;
    report::write_html(&arguments.report, &results, &gallery)?;
    results.save(&beside(&arguments.report, "json"))?;
    report::write_markdown(&beside(&arguments.report, "md"), &results)?;
    // Whoever reads may have seen enough; the files matter.
    let _ = writeln!(
        io::stdout(),
        "{}\n{}",
        report::markdown(&results),
        costs(arguments, journal).into_iter().map(|(name, value)| format!("{name}: {value}\n")).collect::<String>()
    );
    Ok(())
}

fn results(arguments: &Arguments, dataset: &Dataset, models: &Models, journal: &Journal) -> Result<RunResults, Failure> {
    let rows = journal.all_rows()?;
    let shots: BTreeSet<usize> = arguments.shots.iter().copied().collect();
    let mut methods = Vec::new();
    for &shots in &shots {
        for method in arguments.methods().into_iter().filter(|method| method.takes(shots)) {
            let numbers: BTreeSet<usize> = journal.cells.iter().filter(|cell| cell.shots == shots).map(|cell| cell.round).collect();
            let rounds = numbers.into_iter().map(|round| round_results(arguments, journal, &rows, method, shots, round));
            let rounds = rounds.collect::<Result<Vec<_>, _>>()?;
            methods.push(MethodResults { method: method.name().into(), shots: shots as u32, rounds });
        }
    }
    let mut notes = costs(arguments, journal);
    notes.extend(dataset.problems.iter().map(|problem| ("data set".to_owned(), problem.to_string())));
    notes.extend(
        journal
            .cells
            .iter()
            .filter(|cell| cell.shots > 0)
            .map(|cell| (format!("normal images of {}, {} in round {}", cell.class, cell.shots, cell.round), cell.normals.join(", "))),
    );
    let about = About {
        dataset: format!("{} ({})", arguments.data.display(), arguments.format),
        model: "mini".into(),
        device: format!("{:?}", models.whole.device()),
        command: std::env::args().collect::<Vec<_>>().join(" "),
        seed: arguments.seed,
        notes,
        ..About::default()
    };
    Ok(RunResults { about, methods, published: Vec::new() })
}

fn round_results(
    arguments: &Arguments,
    journal: &Journal,
    rows: &[Row],
    method: Method,
    shots: usize,
    round: usize,
) -> Result<RoundResults, Failure> {
    let cells: Vec<&Cell> = journal.cells.iter().filter(|cell| cell.shots == shots && cell.round == round).collect();
    let of_method: Vec<_> = cells.iter().filter_map(|cell| cell.methods.iter().find(|results| results.method == method.name())).collect();
    let protocols = arguments.protocols()?.into_iter().enumerate().map(|(index, protocol)| {
        let classes = of_method.iter().filter_map(|results| results.protocols.get(index).cloned()).collect();
        ProtocolResults::new(protocol, classes)
    });
    let protocols = protocols.collect();
    let rows: Vec<&Row> = rows.iter().filter(|row| row.shots == shots && row.round == round).collect();
    let failure = |row: &&Row| Some(ImageFailure { file: row.image.file.clone(), reason: row.error.clone()? });
    Ok(RoundResults {
        round: round as u32,
        seed: arguments.seed,
        seconds: of_method.iter().map(|results| results.seconds + results.fit_seconds).sum::<f64>()
            + cells.iter().map(|cell| cell.times.encoder).sum::<f64>(),
        protocols,
        images: rows.iter().filter(|row| row.error.is_none() && row.method == method.name()).map(|row| row.image.clone()).collect(),
        failures: rows.iter().filter_map(failure).collect(),
    })
}

/// Of the first method with maps: its largest number of normal images, the first round.
fn gallery(arguments: &Arguments, dataset: &Dataset, models: &Models, results: &RunResults) -> Result<Gallery, Failure> {
    let method = arguments.methods().into_iter().find(|method| method.has_map());
    let found = method.and_then(|method| {
        let of_method = results.methods.iter().rev().find(|results| results.method == method.name())?;
        Some((method, of_method, of_method.rounds.first()?))
    });
    let Some((method, of_method, round)) = found else { return Ok(Gallery::default()) };
    let misses = report::worst_misses(&round.images, CARDS);
    let hits = report::best_hits(&round.images, CARDS);
    let wanted: BTreeMap<&str, Ranked> =
        misses.iter().chain(&hits).filter_map(|rank| Some((round.images.get(rank.index)?.file.as_str(), *rank))).collect();
    let mut cards = BTreeMap::new();
    let cell = (of_method.shots as usize, round.round as usize);
    run::look_again(
        arguments,
        dataset,
        models,
        (method, cell),
        &|sample| wanted.contains_key(sample.name.as_str()),
        &mut |sample, photograph, outcome| {
            let Some((rank, result)) = wanted.get(sample.name.as_str()).and_then(|rank| Some((rank, round.images.get(rank.index)?))) else {
                return Ok(());
            };
            let found = outcome.map.as_ref().map(|map| (map, outcome.regions.as_deref().unwrap_or_default()));
            let card = Card::new((result.clone(), rank.wrongness), &to_rgb(&photograph.image), photograph.mask.as_ref(), found)?;
            cards.insert(rank.index, card);
            Ok(())
        },
    )?;
    let chosen = |ranks: Vec<Ranked>| ranks.iter().filter_map(|rank| cards.get(&rank.index).cloned()).collect();
    let caption = format!("{}, {} normal images, round {}", method.name(), of_method.shots, round.round);
    Ok(Gallery { caption, misses: chosen(misses), hits: chosen(hits) })
}

/// Time and memory by method, and where the time went.
fn costs(arguments: &Arguments, journal: &Journal) -> Vec<(String, String)> {
    let mut notes = Vec::new();
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
            let peak = peak.map(|bytes| format!(", peak memory {} MB", bytes / 1_000_000)).unwrap_or_default();
            let cost = format!("{:.1} ms an image with the encoder, {fit:.2} s to take in normal images{peak}", 1000.0 * seconds / images);
            notes.push((format!("{}, {shots} normal images", method.name()), cost));
        }
    }
    let sum = |of: fn(&Times) -> f64| journal.cells.iter().map(|cell| of(&cell.times)).sum::<f64>();
    let (total, inside) = (sum(|times| times.total), sum(|times| times.encoder + times.methods));
    let count = |of: fn(&Cell) -> usize| journal.cells.iter().map(of).sum::<usize>();
    let images = count(|cell| cell.images);
    let total = total.max(f64::MIN_POSITIVE);
    let speed = format!(
        "{images} images in {total:.1} s, {:.1} a second; {:.1} % of the time outside of the model",
        images as f64 / total,
        100.0 * (1.0 - inside / total)
    );
    notes.push(("throughput".into(), speed));
    notes.push(("failed images".into(), count(|cell| cell.failed).to_string()));
    notes.push(("masks of another size".into(), count(|cell| cell.masks_resized).to_string()));
    notes
}
