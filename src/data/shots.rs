//! Which normal photographs a round compares with.

use std::collections::BTreeSet;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::Sample;
use crate::error::{Error, Result};

/// How normal photographs are chosen among those to learn from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Draw {
    /// In the order of their names, from `round * shots` on (`--round` of the paper's code).
    Fixed,
    /// At random: the same seed, shots and round give the same photographs. No round has the same photographs as one before, in
    /// whatever order, while there are other choices: it is drawn again. Where none was, fewer shots give the first of more.
    Seeded(u64),
    /// By name, one list a round; of each the first `shots`. A name is a sample's or its file's.
    Listed(Vec<Vec<String>>),
}

impl Draw {
    /// The photographs of a round, which counts from 0, out of all `normals`, sorted by name.
    ///
    /// # Errors
    /// [`Error::Dataset`] where there are too few, or a listed one is missing.
    pub fn choose<'a>(&self, normals: &[&'a Sample], shots: usize, round: usize) -> Result<Vec<&'a Sample>> {
        let refused = |reason: String| {
            let class = normals.first().map_or("", |sample| sample.class.as_str());
            Error::dataset(class, format!("round {round} with {shots} normal images {reason}"))
        };
        let too_few = || refused(format!("needs more than the {} that there are", normals.len()));
        match self {
            Self::Fixed => {
                let start = round.saturating_mul(shots);
                normals.get(start..start.saturating_add(shots)).map(<[_]>::to_vec).ok_or_else(too_few)
            }
            Self::Seeded(_) if shots > normals.len() => Err(too_few()),
            Self::Seeded(seed) => {
                let drawn = distinct(normals.len(), shots, round, *seed);
                Ok(drawn.into_iter().filter_map(|index| normals.get(index).copied()).collect())
            }
            Self::Listed(rounds) => {
                let names = rounds.get(round).ok_or_else(|| refused(format!("is not listed; {} rounds are", rounds.len())))?;
                let names = names.get(..shots).ok_or_else(|| refused(format!("lists {} only", names.len())))?;
                let find = |name: &String| {
                    let found = normals.iter().find(|sample| sample.name == *name || file_of(&sample.name) == name);
                    found.copied().ok_or_else(|| refused(format!("lists {name:?}, which is not there")))
                };
                names.iter().map(find).collect()
            }
        }
    }
}

/// Indices of a round's choice among `count`. Each round takes the next stream of the seed whose choice was not made before.
fn distinct(count: usize, shots: usize, round: usize, seed: u64) -> Vec<usize> {
    let choices = combinations(count, shots);
    let (mut before, mut chosen) = (BTreeSet::new(), Vec::new());
    let mut streams = 0..;
    for _ in 0..=round {
        for stream in &mut streams {
            chosen = drawn(count, shots, stream, seed);
            let mut sorted = chosen.clone();
            sorted.sort_unstable();
            if before.insert(sorted) || before.len() as u128 >= choices {
                break;
            }
        }
    }
    chosen
}

/// In how many ways `shots` of `count` can be chosen, or more than anybody has rounds.
fn combinations(count: usize, shots: usize) -> u128 {
    let smaller = shots.min(count.saturating_sub(shots)) as u128;
    (0..smaller).try_fold(1u128, |ways, taken| Some(ways.checked_mul(count as u128 - taken)? / (taken + 1))).unwrap_or(u128::MAX)
}

/// The first `shots` of a shuffle (Fisher-Yates); written out, so that it stays the same whatever becomes of a library's.
fn drawn(count: usize, shots: usize, stream: u64, seed: u64) -> Vec<usize> {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    generator.set_stream(stream);
    let mut shuffled: Vec<usize> = (0..count).collect();
    for index in 0..shots {
        let left = (count - index) as u64;
        shuffled.swap(index, index + (generator.next_u64() % left) as usize);
    }
    shuffled.truncate(shots);
    shuffled
}

fn file_of(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}
