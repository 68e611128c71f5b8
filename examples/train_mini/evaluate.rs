//! How often the trained model is right about images that it has not seen.

use std::{
    collections::BTreeSet,
    fmt,
    ops::{Add, ControlFlow},
};

use anomalygpt::{
    AnomalyGpt, Place, Verdict,
    simulate::SimulateOptions,
    train::dialogue_data::{Facts, Kind},
};
use image::DynamicImage;
use indicatif::ProgressBar;
use rayon::prelude::*;

use crate::{images, lines::Line, pool};

/// Marks generators that draw held-back images.
const PURPOSE: u64 = 3;

/// Counts of right answers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Score {
    normal: [usize; 2],
    anomalous: [usize; 2],
    places: [usize; 2],
    /// Of the images that were called anomalous.
    found_places: [usize; 2],
    sentences: [usize; 2],
    /// Of [`OTHERS`].
    others: [[usize; 2]; 3],
}

/// What else is asked.
const OTHERS: [(Kind, &str); 3] = [(Kind::Where, "where"), (Kind::Count, "how many"), (Kind::What, "what is seen")];

/// Counts an answer that is right or not.
fn count(counts: &mut [usize; 2], right: bool) {
    counts[0] += usize::from(right);
    counts[1] += 1;
}

impl Score {
    fn count(&mut self, places: &[Place], verdict: Verdict, answer: &str) {
        let anomalous = !places.is_empty();
        let right = verdict == if anomalous { Verdict::Anomalous } else { Verdict::Normal };
        count(if anomalous { &mut self.anomalous } else { &mut self.normal }, right);
        if let [place] = places {
            let placed = said(answer) == BTreeSet::from([*place]);
            count(&mut self.places, placed);
            if right {
                count(&mut self.found_places, placed);
            }
        }
        count(&mut self.sentences, answer == Facts { object: "", places }.answer_presence());
    }
}

/// The places that an answer names.
fn said(answer: &str) -> BTreeSet<Place> {
    let mut rest = answer.to_owned();
    let mut names = Place::ALL;
    names.sort_by_key(|place| std::cmp::Reverse(place.name().len()));
    let mut found = BTreeSet::new();
    for place in names {
        if rest.contains(place.name()) {
            rest = rest.replace(place.name(), "");
            found.insert(place);
        }
    }
    found
}

impl Add for Score {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let sum = |left: [usize; 2], right: [usize; 2]| [left[0] + right[0], left[1] + right[1]];
        Self {
            normal: sum(self.normal, other.normal),
            anomalous: sum(self.anomalous, other.anomalous),
            places: sum(self.places, other.places),
            found_places: sum(self.found_places, other.found_places),
            sentences: sum(self.sentences, other.sentences),
            others: [0, 1, 2].map(|kind| sum(self.others[kind], other.others[kind])),
        }
    }
}

impl fmt::Display for Score {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = |[right, all]: [usize; 2]| format!("{:.1} % of {all}", 100.0 * right as f64 / all.max(1) as f64);
        let verdicts = [self.normal[0] + self.anomalous[0], self.normal[1] + self.anomalous[1]];
        write!(formatter, "verdicts right {} (normal {}, anomalous {}); ", share(verdicts), share(self.normal), share(self.anomalous))?;
        write!(formatter, "place right {} with one anomaly, {} of these found; ", share(self.places), share(self.found_places))?;
        write!(formatter, "whole sentence right {}", share(self.sentences))?;
        OTHERS.iter().zip(self.others).try_for_each(|((_, asked), counts)| write!(formatter, ", {asked} {}", share(counts)))
    }
}

/// Inspects held-back images of the lines, against text and against normal images.
pub fn evaluate(model: &AnomalyGpt, lines: &[Line], images: usize, options: &SimulateOptions, seed: u64) -> anomalygpt::Result<[Score; 2]> {
    let bar = ProgressBar::new((lines.len() * images) as u64);
    let of_line = |(number, line): (usize, &Line)| {
        let mut scores = [Score::default(); 2];
        let mut rng = pool::rng(seed, PURPOSE, number as u64);
        let normals: Vec<DynamicImage> = images::draw_normals(line, &mut rng).into_iter().map(DynamicImage::ImageRgb8).collect();
        let with_normals = model.clone().with_normals(&normals)?;
        for index in 0..images {
            let drawn = images::draw(line, lines, index % 2 == 1, options, &mut rng)?;
            let places: Vec<Place> = drawn.anomalies.iter().map(|anomaly| anomaly.place()).collect();
            let seen = model.see(&DynamicImage::ImageRgb8(drawn.image))?;
            for (model, score) in [model, &with_normals].into_iter().zip(&mut scores) {
                let inspection = model.inspect_seen(&seen, Some(line.name()))?;
                score.count(&places, inspection.verdict, &inspection.answer);
                let facts = Facts { object: line.name(), places: &places };
                for ((kind, _), counts) in OTHERS.into_iter().zip(&mut score.others) {
                    // The name would tell what is seen.
                    let description = (kind != Kind::What).then_some(line.name());
                    let question = kind.questions().first().copied().unwrap_or_default();
                    let asked = model.converse_seen(&seen, description, &[], question, &mut |_| ControlFlow::Continue(()))?;
                    count(counts, asked.answer == facts.answer(kind));
                }
            }
            bar.inc(1);
        }
        Ok(scores)
    };
    let add = |[text, normals]: [Score; 2], other: [Score; 2]| Ok([text + other[0], normals + other[1]]);
    let scores = lines.par_iter().enumerate().map(of_line).try_reduce(Default::default, add);
    bar.finish_and_clear();
    scores
}
