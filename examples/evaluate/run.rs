//! All cells of a run: one class, number of normal images and round at a time.

use std::{
    collections::BTreeSet,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Instant,
};

use anomalygpt::{
    AnomalyGpt, Error, Seen,
    data::{Dataset, Label, Loader, Photograph, Sample, Split},
    eval::{ClassResults, Evaluator, ImageScore, Observation, Protocol, report::ImageResult},
};
use indicatif::{ProgressBar, ProgressStyle};
use rayon::prelude::*;

use crate::{
    Failure,
    arguments::Arguments,
    journal::{Cell, Journal, MethodResults, Row, Times},
    maps, memory,
    methods::{Inspect, Method, Models, Others, Outcome, Round},
};

/// Threads that decode, and photographs that each holds ready.
const DECODERS: NonZeroUsize = NonZeroUsize::new(2).unwrap();
const AHEAD: usize = 2;

/// Evaluates whatever the journal does not hold yet.
pub(crate) fn run(arguments: &Arguments, dataset: &Dataset, models: &Models, journal: &mut Journal) -> Result<(), Failure> {
    let plan = plan(arguments, dataset)?;
    let bar = ProgressBar::new(plan.iter().map(|cell| cell.test.len() as u64).sum());
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} images, {eta} left  {msg}").map_err(|error| error.to_string())?;
    bar.set_style(style);
    for planned in plan {
        if journal.has(planned.class, planned.shots, planned.round) {
            bar.inc(planned.test.len() as u64);
            bar.reset_eta();
            continue;
        }
        bar.set_message(format!("{}, {} normal images, round {}", planned.class, planned.shots, planned.round));
        let cell = evaluate(arguments, &planned, models, journal, &bar)?;
        journal.cell(cell)?;
    }
    bar.finish_and_clear();
    Ok(())
}

/// What one cell needs.
#[derive(Debug)]
struct Planned<'a> {
    class: &'a str,
    shots: usize,
    round: usize,
    normals: Vec<&'a Sample>,
    /// Normal images to learn from that were not drawn.
    others: Vec<&'a Sample>,
    test: Vec<&'a Sample>,
}

/// All cells, with their draws: what can't be drawn is found before the first image.
fn plan<'a>(arguments: &Arguments, dataset: &'a Dataset) -> Result<Vec<Planned<'a>>, Failure> {
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

/// A method at work.
struct Running {
    method: Method,
    inspector: Box<dyn Inspect>,
    /// One a protocol.
    evaluators: Vec<Evaluator>,
    results: MethodResults,
}

fn evaluate(
    arguments: &Arguments,
    planned: &Planned<'_>,
    models: &Models,
    journal: &mut Journal,
    bar: &ProgressBar,
) -> Result<Cell, Failure> {
    let start = Instant::now();
    let mut times = Times::default();
    let description = arguments.description(planned.class);
    let others = Unseen { model: &models.whole, samples: &planned.others };
    let round = round(planned, models, description.as_deref(), arguments.seed, &others)?;
    let mut running = fit(arguments, planned, models, &round)?;
    times.methods += running.iter().map(|running| running.results.fit_seconds).sum::<f64>();
    let (mut failed, mut masks_resized) = (0, 0);
    let test: Vec<Sample> = planned.test.iter().map(|&sample| sample.clone()).collect();
    for (index, (sample, read)) in Loader::new(test, DECODERS, AHEAD).enumerate() {
        let looked = read.and_then(|photograph| {
            let seen = timed(&mut times.encoder, || models.whole.see(&photograph.image))?;
            let outcomes = inspect(&mut running, &seen, index == 0, &mut times)?;
            Ok((photograph, outcomes))
        });
        let rows = match looked {
            Ok((photograph, outcomes)) => {
                masks_resized += usize::from(photograph.mask_resized);
                observe(&mut running, &sample, &photograph, &outcomes)?;
                rows(arguments.maps.as_deref(), &arguments.data, planned, &running, &sample, outcomes)?
            }
            Err(error) if arguments.strict => return Err(Failure::Other(format!("{}: {}", sample.name, crate::chain(&error)))),
            Err(error) => {
                failed += 1;
                let error = crate::chain(&error);
                bar.suspend(|| eprintln!("warning: {}: {error}", sample.name));
                vec![Row { error: Some(error), ..row(planned, &sample, &arguments.data) }]
            }
        };
        journal.rows(&rows)?;
        bar.inc(1);
    }
    let methods = running.into_iter().map(|running| finish(running, planned.class)).collect::<Result<Vec<_>, Failure>>()?;
    times.total = start.elapsed().as_secs_f64();
    Ok(Cell {
        class: planned.class.into(),
        shots: planned.shots,
        round: planned.round,
        normals: planned.normals.iter().map(|sample| sample.name.clone()).collect(),
        images: planned.test.len() - failed,
        failed,
        masks_resized,
        times,
        methods,
    })
}

/// Reads and encodes the normal images.
fn round<'a>(
    planned: &Planned<'_>,
    models: &Models,
    description: Option<&'a str>,
    seed: u64,
    others: &'a Unseen<'_>,
) -> Result<Round<'a>, Failure> {
    let normals = planned.normals.iter().map(|sample| Ok(sample.read()?.image)).collect::<Result<Vec<_>, Failure>>()?;
    let features = normals.iter().map(|image| Ok(models.whole.see(image)?.features)).collect::<Result<Vec<_>, Failure>>()?;
    Ok(Round { description, seed, normals, features, others })
}

fn fit(arguments: &Arguments, planned: &Planned<'_>, models: &Models, round: &Round<'_>) -> Result<Vec<Running>, Failure> {
    let protocols = arguments.protocols()?;
    let each = |method: Method| {
        memory::reset_peak();
        let start = Instant::now();
        let inspector = models.fit(method, round)?;
        let fit_seconds = start.elapsed().as_secs_f64();
        let evaluators = protocols.iter().map(|protocol| Evaluator::new(&for_method(protocol, method))).collect();
        let results =
            MethodResults { method: method.name().into(), protocols: Vec::new(), fit_seconds, seconds: 0.0, peak_bytes: memory::peak() };
        Ok(Running { method, inspector, evaluators, results })
    };
    arguments.methods().into_iter().filter(|method| method.takes(planned.shots)).map(each).collect()
}

/// The protocol, but for methods without a map, whose score is their own.
fn for_method(protocol: &Protocol, method: Method) -> Protocol {
    let mut protocol = protocol.clone();
    if !method.has_map() {
        protocol.image_score = ImageScore::Model;
    }
    protocol
}

fn inspect(running: &mut [Running], seen: &Seen, first: bool, times: &mut Times) -> anomalygpt::Result<Vec<Outcome>> {
    let each = |running: &mut Running| {
        if first {
            memory::reset_peak();
        }
        let mut seconds = 0.0;
        let outcome = timed(&mut seconds, || running.inspector.inspect(seen));
        running.results.seconds += seconds;
        times.methods += seconds;
        if first {
            running.results.peak_bytes = running.results.peak_bytes.max(memory::peak());
        }
        let outcome = outcome?;
        if !outcome.score.is_finite() {
            return Err(Error::component(running.method.name(), format!("gave a score of {}", outcome.score)));
        }
        Ok(outcome)
    };
    running.iter_mut().map(each).collect()
}

fn observe(running: &mut [Running], sample: &Sample, photograph: &Photograph, outcomes: &[Outcome]) -> Result<(), Failure> {
    let pairs =
        running.iter_mut().zip(outcomes).flat_map(|(running, outcome)| running.evaluators.iter_mut().map(move |each| (each, outcome)));
    let pairs: Vec<_> = pairs.collect();
    pairs.into_par_iter().try_for_each(|(evaluator, outcome)| {
        let mut observation = Observation::new(&sample.class, sample.label == Label::Anomalous, outcome.score);
        observation.map = outcome.map.as_ref();
        observation.mask = photograph.mask.as_ref();
        observation.verdict = outcome.verdict;
        observation.regions = outcome.regions.as_deref();
        evaluator.add(&observation)
    })?;
    Ok(())
}

fn rows(
    folder: Option<&Path>,
    root: &Path,
    planned: &Planned<'_>,
    running: &[Running],
    sample: &Sample,
    outcomes: Vec<Outcome>,
) -> Result<Vec<Row>, Failure> {
    let each = |(running, outcome): (&Running, Outcome)| {
        let map = match (folder, &outcome.map) {
            (Some(folder), Some(map)) => {
                let place = format!("{}/{}-{}", running.method.slug(), planned.shots, planned.round);
                Some(maps::write(&folder.join(place), &sample.name, map)?)
            }
            _ => None,
        };
        Ok(Row {
            method: running.method.name().into(),
            map,
            image: ImageResult {
                score: outcome.score,
                verdict: outcome.verdict,
                probability: outcome.probability,
                answer: outcome.answer,
                ..image(sample, root)
            },
            ..row(planned, sample, root)
        })
    };
    running.iter().zip(outcomes).map(each).collect()
}

fn row(planned: &Planned<'_>, sample: &Sample, root: &Path) -> Row {
    Row { kind: sample.kind.clone(), shots: planned.shots, round: planned.round, image: image(sample, root), ..Row::default() }
}

/// What is true of an image.
fn image(sample: &Sample, root: &Path) -> ImageResult {
    let relative = |path: &PathBuf| path.strip_prefix(root).unwrap_or(path).display().to_string();
    ImageResult {
        file: sample.name.clone(),
        class: sample.class.clone(),
        anomalous: sample.label == Label::Anomalous,
        mask: sample.masks.first().map(relative),
        ..ImageResult::default()
    }
}

fn finish(running: Running, class: &str) -> Result<MethodResults, Failure> {
    let Running { method, evaluators, mut results, .. } = running;
    for evaluator in evaluators {
        let of_class: Option<ClassResults> = evaluator.finish()?.classes.into_iter().next();
        let nothing = || Failure::Other(format!("no image of class {class} could be evaluated by {}", method.name()));
        results.protocols.push(of_class.ok_or_else(nothing)?);
    }
    Ok(results)
}

fn timed<T>(seconds: &mut f64, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let done = work();
    *seconds += start.elapsed().as_secs_f64();
    done
}

/// What is done with an image that is looked at again.
pub(crate) type Look<'a> = &'a mut dyn FnMut(&Sample, &Photograph, &Outcome) -> Result<(), Failure>;

/// Inspects some of the images that `(shots, round)` had once more; those that can't be read are left out.
pub(crate) fn look_again(
    arguments: &Arguments,
    dataset: &Dataset,
    models: &Models,
    (method, (shots, round_number)): (Method, (usize, usize)),
    wanted: &dyn Fn(&Sample) -> bool,
    look: Look<'_>,
) -> Result<(), Failure> {
    for planned in plan(arguments, dataset)?.into_iter().filter(|planned| (planned.shots, planned.round) == (shots, round_number)) {
        let again: Vec<_> = planned.test.iter().filter(|sample| wanted(sample)).collect();
        if again.is_empty() {
            continue;
        }
        let description = arguments.description(planned.class);
        let others = Unseen { model: &models.whole, samples: &planned.others };
        let inspector = models.fit(method, &round(&planned, models, description.as_deref(), arguments.seed, &others)?)?;
        for sample in again {
            if let Ok(photograph) = sample.read() {
                look(sample, &photograph, &inspector.inspect(&models.whole.see(&photograph.image)?)?)?;
            }
        }
    }
    Ok(())
}

/// Normal images that were not drawn.
#[derive(Debug)]
struct Unseen<'a> {
    model: &'a AnomalyGpt,
    samples: &'a [&'a Sample],
}

impl Others for Unseen<'_> {
    fn each(&self, look: &mut dyn FnMut(&Seen) -> anomalygpt::Result<()>) -> anomalygpt::Result<()> {
        self.samples.iter().try_for_each(|sample| look(&self.model.see(&sample.read()?.image)?))
    }
}
