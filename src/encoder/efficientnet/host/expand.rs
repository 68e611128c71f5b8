//! The first pass of a block: a band of rows for one panel of channels, expanded and convolved depthwise.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use super::{
    block::Block,
    clamp,
    depthwise::{Band, Depthwise},
    panel::{GROUP, PANEL, Panels, Weights, panel_width},
    product::{Sink, product},
    with_scratch,
};

/// Writes the rows `rows` of the block's middle map, one panel of it, to `out`.
pub(super) struct Expand<'a> {
    pub(super) block: &'a Block,
    pub(super) input: Panels<'a>,
    pub(super) size: [usize; 2],
    pub(super) panel: usize,
    pub(super) rows: Range<usize>,
    pub(super) columns: usize,
    pub(super) out: &'a mut [f32],
}

/// Where a band's pixels lie in scratch memory, `[groups][rows][stride][16]`.
#[derive(Clone, Copy)]
struct Frame {
    /// Rows of the band, padding included.
    rows: usize,
    /// Columns with padding.
    stride: usize,
    /// Columns of padding at the left.
    left: usize,
    /// Row of the band that holds the image's row `first`.
    offset: usize,
    /// First row of the image.
    first: usize,
    /// Rows of the image.
    height: usize,
    /// Columns of the image.
    width: usize,
}

impl Frame {
    fn new(task: &Expand<'_>) -> Self {
        let window = task.block.window;
        let [height, width] = task.size;
        let [[top, _], [left, right]] = [window.padding(height), window.padding(width)];
        let rows = (task.rows.len() - 1) * window.stride + window.kernel;
        let start = task.rows.start * window.stride;
        let first = start.saturating_sub(top);
        let end = (start + rows).saturating_sub(top).min(height);
        Self { rows, stride: width + left + right, left, offset: first + top - start, first, height: end.saturating_sub(first), width }
    }

    fn pixels(&self) -> Range<usize> {
        self.first * self.width..(self.first + self.height) * self.width
    }

    /// Index in a plane of the image's pixel `pixel`.
    #[inline(always)]
    fn place(&self, pixel: usize) -> usize {
        let row = pixel as u32 / self.width as u32;
        let column = pixel as u32 - row * self.width as u32;
        (row as usize - self.first + self.offset) * self.stride + self.left + column as usize
    }

    /// Zeroes what is not of the image.
    fn clear(&self, scratch: &mut [f32]) {
        for plane in scratch.chunks_exact_mut(self.rows * self.stride * GROUP) {
            for (row, line) in plane.chunks_exact_mut(self.stride * GROUP).enumerate() {
                if (self.offset..self.offset + self.height).contains(&row) {
                    line[..self.left * GROUP].fill(0.0);
                    line[(self.left + self.width) * GROUP..].fill(0.0);
                } else {
                    line.fill(0.0);
                }
            }
        }
    }
}

impl Expand<'_> {
    pub(super) fn run(self) {
        let frame = Frame::new(&self);
        let width = self.block.depthwise[self.panel].width;
        with_scratch(frame.rows * frame.stride * width, |scratch| {
            frame.clear(scratch);
            match &self.block.expand {
                Some(expand) => Arch::new().dispatch(Widen { input: self.input, panel: &expand[self.panel], frame, scratch }),
                None => copy(self.input, self.panel, frame, scratch),
            }
            let band = Band { data: scratch, rows: frame.rows, columns: frame.stride };
            let panel = &self.block.depthwise[self.panel];
            Arch::new().dispatch(Depthwise { window: self.block.window, band, panel, columns: self.columns, out: self.out });
        });
    }
}

/// The expansion. It is dispatched alone: in one function with the depthwise convolution its tiles would not stay in registers.
struct Widen<'a, 'b> {
    input: Panels<'a>,
    panel: &'a Weights,
    frame: Frame,
    scratch: &'b mut [f32],
}

impl WithSimd for Widen<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let mut sink = Planes { out: S::as_mut_simd_f32s(self.scratch).0, frame: self.frame };
        product(simd, self.input, self.frame.pixels(), self.panel, &mut sink);
    }
}

/// Without an expansion: brings a panel's pixels into planes.
fn copy(input: Panels<'_>, panel: usize, frame: Frame, scratch: &mut [f32]) {
    let start = panel * PANEL;
    let width = panel_width(input.channels, start);
    let pixels = &input.data[start * input.pixels..][..width * input.pixels];
    for (group, plane) in scratch.chunks_exact_mut(frame.rows * frame.stride * GROUP).enumerate() {
        for pixel in frame.pixels() {
            plane[frame.place(pixel) * GROUP..][..GROUP].copy_from_slice(&pixels[pixel * width + group * GROUP..][..GROUP]);
        }
    }
}

struct Planes<'a, V> {
    out: &'a mut [V],
    frame: Frame,
}

impl<S: Simd> Sink<S> for Planes<'_, S::f32s> {
    #[inline(always)]
    fn put<const V: usize>(&mut self, simd: S, pixel: usize, vector: usize, values: [S::f32s; V]) {
        let vectors = GROUP / S::F32_LANES;
        let place = self.frame.place(pixel);
        let plane = self.frame.rows * self.frame.stride;
        for (v, value) in values.into_iter().enumerate() {
            let [group, part] = [(vector + v) / vectors, (vector + v) % vectors];
            self.out[(group * plane + place) * vectors + part] = clamp(simd, value);
        }
    }
}
