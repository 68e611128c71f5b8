//! Batches: which images, which names, which questions. A batch is a function of the seed and its index.

use std::ops::Range;

use anomalygpt::{
    Place,
    encoder::ImageFeatures,
    text::{
        Tokenizer, descriptions,
        dialogue::{self, Role, Supervised, Turn},
    },
    train::{
        Answers, Batch, Layer, Objects, Pixels,
        dialogue_data::{self, Facts, Kind},
    },
};
use burn::tensor::{Device, Tensor, TensorData};
use rand::{RngExt, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;

use crate::{
    disturb,
    maps::{Maps, Slide, View, Zoom},
    pool::{self, Pool},
    symmetry::Symmetry,
    vocabulary,
};

/// Images a batch of the decoder's.
const IMAGES: usize = 16;
/// Images a batch of the language model's.
const TALKS: usize = 16;
/// How often the text pair has a name that no line has, so that it is of use with products that users bring. A wrong line's name
/// instead would teach that names mean nothing.
const OTHER_NAME: f64 = 0.35;
/// How often the presence of an anomaly is asked for in the words that `inspect` uses.
const STANDARD: f64 = 0.6;
/// How often the question is whether there is an anomaly.
const PRESENCE: f64 = 0.6;
/// Most that is added to an embedding's values, in their standard deviations: the map, not the product, tells what is wrong.
const EMBEDDING_NOISE: f32 = 1.0;
/// How often a map is seen larger along an axis.
const ZOOMED: f64 = 0.35;
/// How often a map is moved along an axis until an anomaly lies where two rows or columns of places meet, and how near to that: few lie
/// there by themselves, and it is where a place is hard to tell.
const AT_BORDERS: f64 = 0.4;
const NEAR_BORDERS: Range<f32> = -0.03..0.03;
/// How often a map is shifted, and by how much: what a map means must hold for any product, not only for those that are drawn.
const SHIFTED: f64 = 0.5;
const SHIFTS: Range<f32> = -4.0..4.0;
/// How often a normal view gives its place to the anomalous one drawn after it: three anomalous to one normal. Among real defects
/// more are faint than among those that are drawn, and a model taught on halves passes them.
const TURNED: f64 = 0.5;
/// Mark generators that draw batches.
const PIXELS: u64 = 2;
const ANSWERS: u64 = 5;

/// The batch of a number for the decoder's layers.
pub fn layers(pool: &Pool, number: usize, device: &Device, seed: u64) -> Batch {
    let mut rng = pool::rng(seed, PIXELS, number as u64);
    let indices = any_of(pool, &mut rng);
    let mut objects = Objects { names: Vec::new(), of: Vec::new() };
    for &index in &indices {
        let name = if rng.random_bool(OTHER_NAME) { other_name(pool, &mut rng) } else { pool.items[index].object.to_owned() };
        let known = objects.names.iter().position(|object| *object == name);
        objects.of.push(known.unwrap_or(objects.names.len()));
        if known.is_none() {
            objects.names.push(name);
        }
    }
    pixels(pool, &indices, Layer::Taps(objects), &mut rng, device)
}

/// The batch of a number for the decoder's context.
pub fn context(pool: &Pool, number: usize, device: &Device, seed: u64) -> Batch {
    let mut rng = pool::rng(seed, PIXELS, number as u64);
    let batch = pixels(pool, &any_of(pool, &mut rng), Layer::Context, &mut rng, device);
    Batch { features: disturb::disturbed(batch.features, &mut rng), ..batch }
}

/// Indices of a batch's images.
fn any_of(pool: &Pool, rng: &mut ChaCha8Rng) -> Vec<usize> {
    (0..IMAGES).map(|_| rng.random_range(0..pool.items.len())).collect()
}

fn pixels(pool: &Pool, indices: &[usize], layer: Layer, rng: &mut ChaCha8Rng, device: &Device) -> Batch {
    let symmetries: Vec<Symmetry> = indices.iter().map(|_| Symmetry::any(rng)).collect();
    Batch {
        features: pool.features(indices, &symmetries, device),
        pixels: Some(Pixels { masks: pool.masks(indices, &symmetries, device), layer }),
        map: None,
        answers: None,
    }
}

/// The language model's batch of a number.
pub fn answers(maps: &Maps, number: usize, tokenizer: &Tokenizer, device: &Device, seed: u64) -> anomalygpt::Result<Batch> {
    let mut rng = pool::rng(seed, ANSWERS, number as u64);
    let view = |_| View {
        index: rng.random_range(0..maps.items.len()) | usize::from(rng.random_bool(TURNED)),
        normals: rng.random(),
        symmetry: Symmetry::any(&mut rng),
        zoom: [(); 2].map(|()| zoom(&mut rng)),
        slide: [(); 2].map(|()| slide(&mut rng)),
        shift: if rng.random_bool(SHIFTED) { rng.random_range(SHIFTS) } else { 0.0 },
    };
    let views: Vec<View> = (0..TALKS).map(view).collect();
    let (mut dialogues, mut holds, mut seen) = (Vec::new(), Vec::new(), Vec::new());
    for view in &views {
        let (map, places) = maps.seen(view)?;
        seen.extend(map);
        holds.extend(Place::ALL.map(|place| f32::from(u8::from(places.contains(&place)))));
        dialogues.push(talk(&Facts { object: maps.items[view.index].object, places: &places }, tokenizer, &mut rng)?);
    }
    let embedding = maps.embeddings(&views, device);
    let noise = (0..embedding.shape().num_elements()).map(|_| rng.random_range(-EMBEDDING_NOISE..EMBEDDING_NOISE)).collect::<Vec<f32>>();
    let noise = Tensor::from_data(TensorData::new(noise, embedding.shape()), device) * embedding.clone().var(1).sqrt();
    Ok(Batch {
        features: ImageFeatures { patch_tokens: Vec::new(), grid: [0; 2], fine: vec![], embedding: embedding + noise },
        pixels: None,
        map: Some(maps.tensor(seen, device)),
        answers: Some(Answers { places: Tensor::from_data(TensorData::new(holds, [TALKS, Place::ALL.len()]), device), dialogues }),
    })
}

/// What part of a map is seen along one axis.
fn zoom(rng: &mut ChaCha8Rng) -> Zoom {
    let narrowness = if rng.random_bool(ZOOMED) { rng.random() } else { 0.0 };
    Zoom { narrowness, share: rng.random() }
}

/// How far a map is moved along one axis.
fn slide(rng: &mut ChaCha8Rng) -> Slide {
    if rng.random_bool(AT_BORDERS) {
        Slide::To(f32::from(rng.random_range(1..=2u8)) / 3.0 + rng.random_range(NEAR_BORDERS))
    } else {
        Slide::Share(rng.random())
    }
}

/// A name that no line has: that of an unknown object, a word, or two words, of which one or both may be lines' names.
fn other_name(pool: &Pool, rng: &mut ChaCha8Rng) -> String {
    let words: Vec<&str> = vocabulary::objects().collect();
    loop {
        let name = match rng.random_range(0..=2) {
            0 => descriptions::UNKNOWN.to_owned(),
            count => words.sample(rng, count).copied().collect::<Vec<_>>().join(" "),
        };
        if pool.items.iter().all(|item| item.object != name) {
            return name;
        }
    }
}

/// One question and its answer about an image.
fn talk(facts: &Facts<'_>, tokenizer: &Tokenizer, rng: &mut ChaCha8Rng) -> anomalygpt::Result<Supervised> {
    let (question, answer) = said(facts, rng);
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
        2 => vocabulary::OBJECTS.lines().collect::<Vec<_>>().choose(rng).map_or(String::new(), |line| format!("{line} ")),
        _ => String::new(),
    };
    (format!("{description}{}", dialogue::QUESTION), facts.answer(kind))
}
