//! All cells of a run: one class, number of normal images and round at a time.

use std::{
    num::NonZeroUsize,
    sync::mpsc::{SyncSender, sync_channel},
    thread,
    time::Instant,
};

use anomalygpt::{
    AnomalyGpt, Error, Seen,
    data::{Dataset, Loader, Photograph, Sample},
};
use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    Failure,
    arguments::Arguments,
    journal::{Cell, Journal, MethodResults, Times},
    memory,
    methods::{Inspect, Method, Models, Others, Outcome, Round},
    observer::{Looked, Observer},
    plan::{Planned, plan},
};

/// Threads that decode, and photographs that each holds ready, before the model and behind it.
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

/// A method at work.
struct Running {
    method: Method,
    inspector: Box<dyn Inspect>,
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
    memory::reset_peak_resident();
    let round = round(planned, models, description.as_deref(), arguments.seed, &others)?;
    let mut running = fit(arguments, planned, models, &round)?;
    times.methods += running.iter().map(|running| running.results.fit_seconds).sum::<f64>();
    let methods: Vec<Method> = running.iter().map(|running| running.method).collect();
    let observer = Observer::new(arguments, planned, &methods, journal, bar)?;
    let seen = thread::scope(|scope| {
        let (sender, receiver) = sync_channel(AHEAD);
        let observing = scope.spawn(move || observer.observe(receiver));
        look(planned, models, &mut running, &mut times, sender);
        observing.join().map_err(|_| Failure::Other("the thread that measures panicked".into()))?
    })?;
    let methods =
        running.into_iter().zip(seen.protocols).map(|(running, protocols)| MethodResults { protocols, ..running.results }).collect();
    times.total = start.elapsed().as_secs_f64();
    Ok(Cell {
        class: planned.class.into(),
        shots: planned.shots,
        round: planned.round,
        normals: planned.normals.iter().map(|sample| sample.name.clone()).collect(),
        images: planned.test.len() - seen.failed,
        failed: seen.failed,
        masks_resized: seen.masks_resized,
        times,
        methods,
        peak_resident_bytes: memory::peak_resident(),
    })
}

/// Looks at all images; what was found goes to the observer, until it listens no more.
fn look(planned: &Planned<'_>, models: &Models, running: &mut [Running], times: &mut Times, observer: SyncSender<Looked>) {
    let test: Vec<Sample> = planned.test.iter().map(|&sample| sample.clone()).collect();
    for (sample, read) in Loader::new(test, DECODERS, AHEAD) {
        let found = read.and_then(|photograph| {
            let seen = timed(&mut times.encoder, || models.whole.see(&photograph.image))?;
            Ok((photograph, inspect(running, &seen, times)?))
        });
        if observer.send(Looked { sample, found }).is_err() {
            return;
        }
    }
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

/// Makes the methods ready, one after another with nothing beside, and lets each look at an image to see how much memory it takes;
/// of this, making them ready counts as the methods' time.
fn fit(arguments: &Arguments, planned: &Planned<'_>, models: &Models, round: &Round<'_>) -> Result<Vec<Running>, Failure> {
    let rehearsal = planned.test.iter().find_map(|sample| models.whole.see(&sample.read().ok()?.image).ok());
    let each = |method: Method| {
        let mut fit_seconds = 0.0;
        let (inspector, memory_bytes) = memory::measured(|| {
            let inspector = timed(&mut fit_seconds, || models.fit(method, round))?;
            if let Some(seen) = &rehearsal {
                // What goes wrong here goes wrong again when it is the image's turn.
                drop(inspector.inspect(seen));
            }
            Ok::<_, Error>(inspector)
        });
        let results = MethodResults { method: method.name().into(), protocols: Vec::new(), fit_seconds, seconds: 0.0, memory_bytes };
        Ok(Running { method, inspector: inspector?, results })
    };
    arguments.methods().into_iter().filter(|method| method.takes(planned.shots)).map(each).collect()
}

fn inspect(running: &mut [Running], seen: &Seen, times: &mut Times) -> anomalygpt::Result<Vec<Outcome>> {
    let each = |running: &mut Running| {
        let mut seconds = 0.0;
        let outcome = timed(&mut seconds, || running.inspector.inspect(seen));
        running.results.seconds += seconds;
        times.methods += seconds;
        let outcome = outcome?;
        if !outcome.score.is_finite() {
            return Err(Error::component(running.method.name(), format!("gave a score of {}", outcome.score)));
        }
        Ok(outcome)
    };
    running.iter_mut().map(each).collect()
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
