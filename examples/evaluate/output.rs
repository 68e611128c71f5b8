//! The report, the tables and the results of what the journal holds.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write as _},
};

use anomalygpt::{
    data::Dataset,
    eval::{
        ProtocolResults,
        report::{self, About, Card, Cost, Failure as ImageFailure, Gallery, MethodResults, Ranked, RoundResults, RunResults},
    },
    preprocess::to_rgb,
};

use crate::{
    Failure,
    arguments::Arguments,
    beside,
    journal::{Cell, Journal, MethodResults as CellResults, Row, Times},
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
    let notes = notes(journal).into_iter().map(|(name, value)| format!("{name}: {value}\n")).collect::<String>();
    let _ = writeln!(io::stdout(), "{}\n{notes}", report::markdown(&results));
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
    let about = About {
        dataset: format!("{} ({})", arguments.data.display(), arguments.format),
        model: "mini".into(),
        device: format!("{:?}", models.whole.device()),
        command: std::env::args().collect::<Vec<_>>().join(" "),
        seed: arguments.seed,
        notes: notes(journal),
        problems: dataset.problems.iter().map(ToString::to_string).collect(),
        ..About::default()
    };
    let shots: Vec<u32> = shots.into_iter().map(|shots| shots as u32).collect();
    Ok(RunResults { about, methods, published: report::published(&shots) })
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
    let of_method: Vec<&CellResults> =
        cells.iter().filter_map(|cell| cell.methods.iter().find(|results| results.method == method.name())).collect();
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
        normals: cells.iter().flat_map(|cell| cell.normals.iter().cloned()).collect(),
        cost: Some(cost(&cells, &of_method)),
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

/// Of a method in the cells of a round.
fn cost(cells: &[&Cell], of_method: &[&CellResults]) -> Cost {
    let images = cells.iter().map(|cell| cell.images).sum::<usize>().max(1) as f64;
    let encoder = cells.iter().map(|cell| cell.times.encoder).sum::<f64>() / images;
    Cost {
        seconds_an_image: encoder + of_method.iter().map(|results| results.seconds).sum::<f64>() / images,
        encoder_seconds_an_image: encoder,
        fit_seconds: of_method.iter().map(|results| results.fit_seconds).sum(),
        memory_bytes: of_method.iter().map(|results| results.memory_bytes).max(),
        peak_resident_bytes: cells.iter().filter_map(|cell| cell.peak_resident_bytes).max(),
    }
}

/// Where the time went, and what did not go well.
fn notes(journal: &Journal) -> Vec<(String, String)> {
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
    vec![
        ("Throughput".into(), speed),
        ("Images that failed".into(), count(|cell| cell.failed).to_string()),
        ("Masks of another size".into(), count(|cell| cell.masks_resized).to_string()),
    ]
}
