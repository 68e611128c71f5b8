//! The trunk on the processor: all of a block's work on a band of rows while it is in the cache.
//!
//! A block runs in two passes. The first expands a band of rows for one panel of channels into scratch memory that holds
//! the padding already, and convolves it depthwise; the second projects. Both spread over threads, and neither sums in an
//! order that depends on how. The vector width is chosen at run time.

mod block;
mod depthwise;
mod expand;
mod panel;
mod product;
mod project;
mod stem;

use std::{
    cell::RefCell,
    mem,
    sync::{Mutex, PoisonError},
};

use pulp::Simd;

pub(super) use block::Block;
use panel::Panels;
pub(super) use stem::Stem;

/// Bytes of scratch memory that a band aims at, within the second-level cache.
const BAND_BYTES: usize = 256 * 1024;

thread_local! {
    static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Lends `length` numbers of unknown value; `work` must not wait for other tasks.
fn with_scratch<R>(length: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    SCRATCH.with_borrow_mut(|scratch| {
        if scratch.len() < length {
            scratch.resize(length, 0.0);
        }
        work(&mut scratch[..length])
    })
}

#[inline(always)]
fn clamp<S: Simd>(simd: S, value: S::f32s) -> S::f32s {
    simd.min_f32s(simd.max_f32s(value, simd.splat_f32s(0.0)), simd.splat_f32s(6.0))
}

/// Memory of one pass, kept for the next.
#[derive(Debug, Default)]
struct Buffers {
    input: Vec<f32>,
    middle: Vec<f32>,
    output: Vec<f32>,
}

/// The stem and the blocks, packed.
#[derive(Debug)]
pub(super) struct Trunk {
    stem: Stem,
    blocks: Vec<Block>,
    buffers: Mutex<Vec<Buffers>>,
}

impl Trunk {
    pub(super) fn new(stem: Stem, blocks: Vec<Block>) -> Self {
        Self { stem, blocks, buffers: Mutex::default() }
    }

    /// Outputs of the blocks `taps` (ascending) for one image, `[3, height, width]`, each as `[height, width, channels]`, with its
    /// height and width.
    pub(super) fn forward(&self, image: &[f32], size: [usize; 2], taps: &[usize]) -> Vec<(Vec<f32>, [usize; 2])> {
        let mut buffers = self.buffers.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        let outputs = self.run(image, size, taps, &mut buffers);
        self.buffers.lock().unwrap_or_else(PoisonError::into_inner).push(buffers);
        outputs
    }

    fn run(&self, image: &[f32], size: [usize; 2], taps: &[usize], buffers: &mut Buffers) -> Vec<(Vec<f32>, [usize; 2])> {
        let mut size = self.stem.forward(image, size, &mut buffers.input);
        let mut outputs = Vec::with_capacity(taps.len());
        for (index, block) in self.blocks.iter().enumerate() {
            size = block.forward(&buffers.input, size, &mut buffers.middle, &mut buffers.output);
            if taps.contains(&index) {
                let map = Panels { data: &buffers.output, pixels: size[0] * size[1], channels: block.outputs() };
                outputs.push((map.to_rows(), size));
            }
            mem::swap(&mut buffers.input, &mut buffers.output);
        }
        outputs
    }
}
