//! What becomes of results while the model looks at the next image: numbers, maps and rows.

use std::{
    path::{Path, PathBuf},
    sync::mpsc::Receiver,
};

use anomalygpt::{
    Result as LibraryResult,
    data::{Label, Photograph, Sample},
    eval::{ClassResults, Evaluator, ImageScore, Observation, Protocol, report::ImageResult},
};
use indicatif::ProgressBar;
use rayon::prelude::*;

use crate::{
    Failure,
    arguments::Arguments,
    chain::chain,
    journal::{Journal, Row},
    maps,
    methods::{Method, Outcome},
    plan::Planned,
};

/// An image, and what each method says of it.
#[derive(Debug)]
pub(crate) struct Looked {
    pub(crate) sample: Sample,
    pub(crate) found: LibraryResult<(Photograph, Vec<Outcome>)>,
}

/// What a cell comes to.
#[derive(Debug)]
pub(crate) struct Seen {
    /// By method and protocol.
    pub(crate) protocols: Vec<Vec<ClassResults>>,
    pub(crate) failed: usize,
    pub(crate) masks_resized: usize,
}

/// Measures and writes down the images of a cell.
#[derive(Debug)]
pub(crate) struct Observer<'a> {
    arguments: &'a Arguments,
    planned: &'a Planned<'a>,
    journal: &'a mut Journal,
    bar: &'a ProgressBar,
    /// With one evaluator a protocol.
    methods: Vec<(Method, Vec<Evaluator>)>,
}

impl<'a> Observer<'a> {
    pub(crate) fn new(
        arguments: &'a Arguments,
        planned: &'a Planned<'a>,
        methods: &[Method],
        journal: &'a mut Journal,
        bar: &'a ProgressBar,
    ) -> Result<Self, Failure> {
        let protocols = arguments.protocols()?;
        let evaluators = |method: Method| protocols.iter().map(|protocol| Evaluator::new(&for_method(protocol, method))).collect();
        let methods = methods.iter().map(|&method| (method, evaluators(method))).collect();
        Ok(Self { arguments, planned, journal, bar, methods })
    }

    /// Takes images until there are no more.
    pub(crate) fn observe(mut self, images: Receiver<Looked>) -> Result<Seen, Failure> {
        let (mut failed, mut masks_resized) = (0, 0);
        for Looked { sample, found } in images {
            let rows = match found {
                Ok((photograph, outcomes)) => {
                    masks_resized += usize::from(photograph.mask_resized);
                    self.measure(&sample, &photograph, &outcomes)?;
                    self.rows(&sample, outcomes)?
                }
                Err(error) if self.arguments.strict => {
                    return Err(Failure::Other(format!("{}: {}", sample.name, chain(&error))));
                }
                Err(error) => {
                    failed += 1;
                    let error = chain(&error);
                    self.bar.suspend(|| eprintln!("warning: {}: {error}", sample.name));
                    vec![Row { error: Some(error), ..self.row(&sample) }]
                }
            };
            self.journal.rows(&rows)?;
            self.bar.inc(1);
        }
        let class = self.planned.class;
        let protocols = self.methods.into_iter().map(|(method, evaluators)| finish(method, evaluators, class)).collect::<Result<_, _>>()?;
        Ok(Seen { protocols, failed, masks_resized })
    }

    fn measure(&mut self, sample: &Sample, photograph: &Photograph, outcomes: &[Outcome]) -> Result<(), Failure> {
        let of_method = self.methods.iter_mut().zip(outcomes);
        let pairs = of_method.flat_map(|((_, evaluators), outcome)| evaluators.iter_mut().map(move |evaluator| (evaluator, outcome)));
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

    fn rows(&self, sample: &Sample, outcomes: Vec<Outcome>) -> Result<Vec<Row>, Failure> {
        let each = |(&(method, _), outcome): (&(Method, Vec<Evaluator>), Outcome)| {
            let map = match (&self.arguments.maps, &outcome.map) {
                (Some(folder), Some(map)) => {
                    let place = format!("{}/{}-{}", method.slug(), self.planned.shots, self.planned.round);
                    Some(maps::write(&folder.join(place), &sample.name, map)?)
                }
                _ => None,
            };
            let row = self.row(sample);
            let Outcome { score, verdict, probability, answer, .. } = outcome;
            let image = ImageResult { score, verdict, probability, answer, ..row.image };
            Ok(Row { method: method.name().into(), map, image, ..row })
        };
        self.methods.iter().zip(outcomes).map(each).collect()
    }

    /// What is true of an image.
    fn row(&self, sample: &Sample) -> Row {
        let root: &Path = &self.arguments.data;
        let relative = |path: &PathBuf| path.strip_prefix(root).unwrap_or(path).display().to_string();
        let image = ImageResult {
            file: sample.name.clone(),
            class: sample.class.clone(),
            anomalous: sample.label == Label::Anomalous,
            mask: sample.masks.first().map(relative),
            ..ImageResult::default()
        };
        Row { kind: sample.kind.clone(), shots: self.planned.shots, round: self.planned.round, image, ..Row::default() }
    }
}

/// The protocol, but for methods without a map, whose score is their own.
fn for_method(protocol: &Protocol, method: Method) -> Protocol {
    let mut protocol = protocol.clone();
    if !method.has_map() {
        protocol.image_score = ImageScore::Model;
    }
    protocol
}

fn finish(method: Method, evaluators: Vec<Evaluator>, class: &str) -> Result<Vec<ClassResults>, Failure> {
    let each = |evaluator: Evaluator| {
        let of_class = evaluator.finish()?.classes.into_iter().next();
        of_class.ok_or_else(|| Failure::Other(format!("no image of class {class} could be evaluated by {}", method.name())))
    };
    evaluators.into_iter().map(each).collect()
}
