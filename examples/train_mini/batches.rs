//! Batches: which images, which names, which questions. A batch is a function of the seed and its index.

use std::error::Error;

use anomalygpt::{
    text::{
        Tokenizer,
        dialogue::{self, Role, Supervised, Turn},
    },
    train::{
        Batch,
        dialogue_data::{self, Facts, Kind},
    },
};
use burn::tensor::Device;
use rand::{RngExt, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;

use crate::{
    pool::{self, Item, Pool},
    vocabulary,
};

/// Images a batch, and product lines among them.
const IMAGES: usize = 16;
const LINES: usize = 4;
/// How often an image is called by another name in the text pair, so that "damaged" matters more than what is damaged.
const OTHER_NAME: f64 = 0.3;
/// How often the presence of an anomaly is asked for in the words that `inspect` uses.
const STANDARD: f64 = 0.6;
/// How often the question is whether there is an anomaly.
const PRESENCE: f64 = 0.6;
/// Marks generators that draw batches.
const PURPOSE: u64 = 2;

/// The batch of a number; odd ones give the prompt learner the memory bank's map, even ones the decoder's own.
pub fn batch(
    pool: &Pool,
    images_per_line: usize,
    number: usize,
    tokenizer: &Tokenizer,
    device: &Device,
    seed: u64,
) -> Result<Batch, Box<dyn Error>> {
    let mut rng = pool::rng(seed, PURPOSE, number as u64);
    let lines = pool.items.len() / images_per_line;
    let (mut indices, mut objects, mut object_of) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..LINES {
        let line = rng.random_range(0..lines) * images_per_line;
        objects.push(name(pool, line, &mut rng));
        for _ in 0..IMAGES / LINES {
            indices.push(line + rng.random_range(0..images_per_line));
            object_of.push(objects.len() - 1);
        }
    }
    let dialogues = indices.iter().map(|&index| talk(&pool.items[index], tokenizer, &mut rng)).collect::<Result<_, _>>()?;
    let map = (number % 2 == 1).then(|| pool.maps(&indices, device));
    Ok(Batch {
        features: pool.features(&indices, device),
        masks: pool.masks(&indices, device),
        objects,
        object_of,
        map,
        places: pool.places(&indices, device),
        dialogues,
    })
}

fn name(pool: &Pool, item: usize, rng: &mut ChaCha8Rng) -> String {
    if rng.random_bool(OTHER_NAME) {
        return if rng.random_bool(0.5) { "object" } else { pool.items.choose(rng).map_or("object", |item| item.object) }.to_owned();
    }
    pool.items[item].object.to_owned()
}

/// One question and its answer about an image.
fn talk(item: &Item, tokenizer: &Tokenizer, rng: &mut ChaCha8Rng) -> anomalygpt::Result<Supervised> {
    let facts = Facts { object: item.object, places: &item.places };
    let (question, answer) = said(&facts, rng);
    let turns = [(Role::Human, question), (Role::Assistant, answer)].map(|(role, text)| Turn { role, text });
    dialogue::supervised(&turns, tokenizer)
}

/// What is asked and answered about an image.
pub fn said(facts: &Facts<'_>, rng: &mut ChaCha8Rng) -> (String, String) {
    let kind = if rng.random_bool(PRESENCE) {
        Kind::Presence
    } else {
        *[Kind::Where, Kind::Count, Kind::What].choose(rng).unwrap_or(&Kind::Where)
    };
    if kind != Kind::Presence || !rng.random_bool(STANDARD) {
        return dialogue_data::pair(rng, kind, facts);
    }
    let description = match rng.random_range(0..4) {
        0 => format!("{} ", facts.description()),
        1 => format!("{} ", dialogue_data::with_article(facts.object)),
        2 => vocabulary::PLAIN_ENGLISH[1].lines().collect::<Vec<_>>().choose(rng).map_or(String::new(), |line| format!("{line} ")),
        _ => String::new(),
    };
    (format!("{description}{}", dialogue::QUESTION), facts.answer(kind))
}
