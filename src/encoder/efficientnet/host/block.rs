//! A block: its packed weights, and how its two passes spread over threads.

use pulp::Arch;
use rayon::prelude::*;

use super::{
    BAND_BYTES,
    expand::Expand,
    panel::{PANEL, Panels, Weights, pack},
    project::Project,
};
use crate::encoder::efficientnet::geometry::Window;

/// Pixels that a task projects: whole tiles of 8 and of 12.
const PIXELS: usize = 72;

/// An inverted bottleneck.
#[derive(Debug)]
pub(in super::super) struct Block {
    pub(super) window: Window,
    pub(super) expand: Option<Vec<Weights>>,
    pub(super) depthwise: Vec<Weights>,
    project: Vec<Weights>,
    inputs: usize,
    middle: usize,
    outputs: usize,
}

impl Block {
    /// From pairs of weight and bias: `expand` `[middle, inputs]`, `depthwise` `[middle, 1, kernel, kernel]`, `project`
    /// `[outputs, middle]`.
    pub(in super::super) fn new(window: Window, expand: Option<[&[f32]; 2]>, depthwise: [&[f32]; 2], project: [&[f32]; 2]) -> Self {
        let [middle, outputs] = [depthwise[1].len(), project[1].len()];
        Self {
            window,
            expand: expand.map(|[weight, bias]| pack(weight, bias)),
            depthwise: pack(depthwise[0], depthwise[1]),
            project: pack(project[0], project[1]),
            inputs: expand.map_or(middle, |[weight, _]| weight.len() / middle),
            middle,
            outputs,
        }
    }

    /// Channels that come out.
    pub(super) fn outputs(&self) -> usize {
        self.outputs
    }

    /// Runs the block over a map in panels; gives the size of the result.
    pub(super) fn forward(&self, input: &[f32], size: [usize; 2], middle: &mut Vec<f32>, out: &mut Vec<f32>) -> [usize; 2] {
        let result = size.map(|side| self.window.positions(side));
        let input = Panels { data: input, pixels: size[0] * size[1], channels: self.inputs };
        middle.resize(Panels::len(result[0] * result[1], self.middle), 0.0);
        out.resize(Panels::len(result[0] * result[1], self.outputs), 0.0);
        self.expand(input, size, result, middle);
        self.project(input, Panels { data: middle, pixels: result[0] * result[1], channels: self.middle }, out);
        result
    }

    fn expand(&self, input: Panels<'_>, size: [usize; 2], [rows, columns]: [usize; 2], mut out: &mut [f32]) {
        let band = (BAND_BYTES / ((size[1] + self.window.kernel) * PANEL * size_of::<f32>() * self.window.stride)).clamp(1, rows);
        let mut tasks = Vec::new();
        for (panel, weights) in self.depthwise.iter().enumerate() {
            let (chunk, rest) = out.split_at_mut(weights.width * rows * columns);
            out = rest;
            for (part, out) in chunk.chunks_mut(band * columns * weights.width).enumerate() {
                let rows = part * band..(part * band + band).min(rows);
                tasks.push(Expand { block: self, input, size, panel, rows, columns, out });
            }
        }
        tasks.into_par_iter().for_each(Expand::run);
    }

    fn project(&self, input: Panels<'_>, map: Panels<'_>, mut out: &mut [f32]) {
        let added = self.window.stride == 1 && self.inputs == self.outputs;
        let mut tasks = Vec::new();
        for panel in &self.project {
            let (chunk, rest) = out.split_at_mut(panel.width * map.pixels);
            out = rest;
            for (part, out) in chunk.chunks_mut(PIXELS * panel.width).enumerate() {
                let first = part * PIXELS;
                let residual = added.then(|| &input.data[panel.start * input.pixels + first * panel.width..][..out.len()]);
                let range = first..(first + PIXELS).min(map.pixels);
                tasks.push(Project { map, range, panel, residual, clamp: false, out });
            }
        }
        tasks.into_par_iter().for_each(|task| Arch::new().dispatch(task));
    }
}
