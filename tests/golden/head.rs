//! Weights of the decoder, the prompt learner and the image token's projection.
//!
//! The two largest are 8 MB of pure draws of PyTorch's generator, and are drawn here again: `make_subset.py` wrote down where the
//! generator stood, and where PyTorch's arithmetic in single precision rounded the other way.

use std::{f64::consts::TAU, sync::LazyLock};

use anomalygpt::weights::StateDict;
use burn::tensor::TensorData;
use flate2::Crc;
use half::f16;
use rand_mt::Mt;
use serde::Deserialize;

use crate::support::{json, unpacked};

/// The bits of a draw that PyTorch makes a number in [0, 1) of.
const BITS: u32 = 24;
/// Normal numbers that come of as many others, half of them cosines.
const BLOCK: usize = 16;

#[derive(Deserialize)]
struct Generator {
    seed: u32,
    tensors: Vec<Drawn>,
}

/// One tensor of normal numbers.
#[derive(Deserialize)]
struct Drawn {
    name: String,
    shape: Vec<usize>,
    /// Draws before its own.
    skipped: usize,
    std: f64,
    /// Where PyTorch's number is the next one up in size, and where the next one down.
    up: Vec<usize>,
    down: Vec<usize>,
    /// Checksum of the whole.
    crc: u32,
}

impl Drawn {
    fn values(&self, seed: u32) -> Vec<f16> {
        let mut generator = Mt::new(seed);
        let mut uniform = (0..).map(|_| f64::from(generator.next_u32() % (1 << BITS)) / f64::from(1 << BITS)).skip(self.skipped);
        let blocks = self.shape.iter().product::<usize>() / BLOCK;
        let draws = (0..blocks).flat_map(|_| normal(std::array::from_fn(|_| uniform.next().unwrap())));
        let mut values: Vec<f16> = draws.map(|value| f16::from_f32((value * self.std) as f32)).collect();
        self.up.iter().for_each(|&at| values[at] = f16::from_bits(values[at].to_bits() + 1));
        self.down.iter().for_each(|&at| values[at] = f16::from_bits(values[at].to_bits() - 1));
        assert_eq!(checksum(&values), self.crc, "{} is not what PyTorch drew", self.name);
        values
    }
}

/// Box and Muller's normal numbers.
fn normal(uniform: [f64; BLOCK]) -> [f64; BLOCK] {
    let (first, second) = uniform.split_at(BLOCK / 2);
    let polar = |at: usize| ((-2.0 * (-first[at]).ln_1p()).sqrt(), TAU * second[at]);
    std::array::from_fn(|at| {
        let (radius, angle) = polar(at % (BLOCK / 2));
        radius * if at < BLOCK / 2 { angle.cos() } else { angle.sin() }
    })
}

fn checksum(values: &[f16]) -> u32 {
    let mut crc = Crc::new();
    values.iter().for_each(|value| crc.update(&value.to_le_bytes()));
    crc.sum()
}

/// All of them, under the published names.
pub(crate) fn head() -> StateDict {
    static HEAD: LazyLock<StateDict> = LazyLock::new(|| {
        let mut head = unpacked("head.safetensors.gz");
        let Generator { seed, tensors } = serde_json::from_value(json("drawn.json")).unwrap();
        for drawn in tensors {
            let data = TensorData::new(drawn.values(seed), drawn.shape.clone()).convert::<f32>();
            head.insert(drawn.name, data);
        }
        head
    });
    HEAD.clone()
}
