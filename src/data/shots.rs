//! Which normal photographs a round compares with.

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
    /// At random: the same seed and round give the same photographs, and fewer shots give the first of more.
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
            Self::Seeded(seed) => Ok(drawn(normals, shots, round, *seed)),
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

/// The first `shots` of a shuffle (Fisher-Yates); written out, so that it stays the same whatever becomes of a library's.
fn drawn<'a>(normals: &[&'a Sample], shots: usize, round: usize, seed: u64) -> Vec<&'a Sample> {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    generator.set_stream(round as u64);
    let mut shuffled = normals.to_vec();
    for index in 0..shots {
        let left = (shuffled.len() - index) as u64;
        shuffled.swap(index, index + (generator.next_u64() % left) as usize);
    }
    shuffled.truncate(shots);
    shuffled
}

fn file_of(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}
