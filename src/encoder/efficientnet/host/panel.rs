//! The layout of the host path: channels in panels that fit the registers.
//!
//! A map is stored panel by panel, and within a panel pixel by pixel: `[panels][pixels][width]`. All panels have
//! [`PANEL`] channels but the last, which is rounded up to a multiple of [`GROUP`]; channels beyond the map's are zero or unused.

/// Channels of a panel: three registers of AVX-512, and a divisor of nearly all widths of the family.
pub(super) const PANEL: usize = 48;

/// Panels are a multiple of it: one register of AVX-512.
pub(super) const GROUP: usize = 16;

/// Channels that the panel which starts at channel `start` has room for.
pub(super) fn panel_width(channels: usize, start: usize) -> usize {
    (channels.next_multiple_of(GROUP) - start).min(PANEL)
}

/// First channel and width of each panel.
pub(super) fn panels(channels: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..channels).step_by(PANEL).map(move |start| (start, panel_width(channels, start)))
}

/// A read-only map in panels.
#[derive(Clone, Copy)]
pub(super) struct Panels<'a> {
    pub(super) data: &'a [f32],
    pub(super) pixels: usize,
    pub(super) channels: usize,
}

impl Panels<'_> {
    /// How many numbers a map takes.
    pub(super) fn len(pixels: usize, channels: usize) -> usize {
        pixels * channels.next_multiple_of(GROUP)
    }

    /// The map as `[pixels, channels]`.
    pub(super) fn to_rows(self) -> Vec<f32> {
        let mut rows = vec![0.0; self.pixels * self.channels];
        for (start, width) in panels(self.channels) {
            let panel = &self.data[start * self.pixels..][..width * self.pixels];
            let used = width.min(self.channels - start);
            for (row, pixel) in rows.chunks_exact_mut(self.channels).zip(panel.chunks_exact(width)) {
                row[start..start + used].copy_from_slice(&pixel[..used]);
            }
        }
        rows
    }
}

/// Weights that give the channels of one panel.
#[derive(Clone, Debug)]
pub(in super::super) struct Weights {
    /// First channel.
    pub(super) start: usize,
    /// Channels with padding.
    pub(super) width: usize,
    /// `[inputs, width]`.
    pub(super) weights: Vec<f32>,
    /// `[width]`.
    pub(super) bias: Vec<f32>,
}

/// Packs `weight`, `[channels, inputs]`, and `bias`, `[channels]`.
pub(super) fn pack(weight: &[f32], bias: &[f32]) -> Vec<Weights> {
    let channels = bias.len();
    let inputs = weight.len() / channels;
    let panel = |(start, width): (usize, usize)| {
        let used = width.min(channels - start);
        let mut packed = Weights { start, width, weights: vec![0.0; inputs * width], bias: vec![0.0; width] };
        packed.bias[..used].copy_from_slice(&bias[start..start + used]);
        for (column, row) in weight[start * inputs..].chunks_exact(inputs).take(used).enumerate() {
            for (input, value) in row.iter().enumerate() {
                packed.weights[input * width + column] = *value;
            }
        }
        packed
    };
    panels(channels).map(panel).collect()
}
