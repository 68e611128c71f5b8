//! The first convolution: patches of the image as rows, then a product.

use std::ops::Range;

use pulp::Arch;
use rayon::prelude::*;

use super::{
    panel::{GROUP, Panels, Weights, pack},
    project::Project,
    with_scratch,
};
use crate::encoder::efficientnet::geometry::Window;

/// Rows of the output a task takes.
const ROWS: usize = 7;

/// A full convolution of three channels, clamped to `[0, 6]`.
#[derive(Debug)]
pub(in super::super) struct Stem {
    window: Window,
    panels: Vec<Weights>,
    outputs: usize,
}

impl Stem {
    /// From `weight`, `[outputs, 3, kernel, kernel]`, and `bias`, `[outputs]`.
    pub(in super::super) fn new(window: Window, weight: &[f32], bias: &[f32]) -> Self {
        Self { window, panels: pack(weight, bias), outputs: bias.len() }
    }

    /// Convolves `image`, `[3, height, width]`; gives the size of the result.
    pub(super) fn forward(&self, image: &[f32], [height, width]: [usize; 2], out: &mut Vec<f32>) -> [usize; 2] {
        let [rows, columns] = [self.window.positions(height), self.window.positions(width)];
        out.resize(Panels::len(rows * columns, self.outputs), 0.0);
        let mut rest = &mut out[..];
        for panel in &self.panels {
            let (chunk, others) = rest.split_at_mut(panel.width * rows * columns);
            rest = others;
            chunk.par_chunks_mut(ROWS * columns * panel.width).enumerate().for_each(|(task, out)| {
                let rows = task * ROWS..(task * ROWS + ROWS).min(rows);
                let inputs = 3 * self.window.kernel * self.window.kernel;
                let pixels = rows.len() * columns;
                with_scratch(Panels::len(pixels, inputs), |scratch| {
                    self.gather(image, [height, width], rows, columns, scratch);
                    let map = Panels { data: scratch, pixels, channels: inputs };
                    Arch::new().dispatch(Project { map, range: 0..pixels, panel, residual: None, clamp: true, out });
                });
            });
        }
        [rows, columns]
    }

    /// Patches as rows, `[pixels][3 * kernel * kernel]` in panels.
    fn gather(&self, image: &[f32], [height, width]: [usize; 2], rows: Range<usize>, columns: usize, out: &mut [f32]) {
        let Window { kernel, stride } = self.window;
        let [[top, _], [left, _]] = [self.window.padding(height), self.window.padding(width)];
        let inputs = 3 * kernel * kernel;
        let stretch = inputs.next_multiple_of(GROUP);
        for (row, line) in rows.zip(out.chunks_exact_mut(columns * stretch)) {
            for (channel, plane) in image.chunks_exact(height * width).enumerate() {
                for y in 0..kernel {
                    let source = (row * stride + y).checked_sub(top).filter(|y| *y < height).map(|y| &plane[y * width..][..width]);
                    let offset = (channel * kernel + y) * kernel;
                    for (column, patch) in line.chunks_exact_mut(stretch).enumerate() {
                        for x in 0..kernel {
                            let value = source.and_then(|source| source.get((column * stride + x).wrapping_sub(left)));
                            patch[offset + x] = value.copied().unwrap_or(0.0);
                        }
                    }
                }
            }
        }
    }
}
