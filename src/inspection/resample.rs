//! Bilinear resampling of one plane of values, rows in parallel.

use rayon::prelude::*;

/// Fewer rows than this are not worth another thread.
const ROWS_A_TASK: usize = 32;

/// Two neighbours of a source axis, and the share of the second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tap {
    first: usize,
    second: usize,
    share: f32,
}

/// How `source` pixels lie on an output axis: from `start` on, over `length` output pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    pub(super) source: usize,
    pub(super) start: f64,
    pub(super) length: f64,
}

impl Axis {
    /// What each of `count` output pixels sees: nothing where its centre lies outside.
    pub(super) fn taps(self, count: u32) -> Vec<Option<Tap>> {
        (0..count)
            .map(|index| {
                let along = f64::from(index) + 0.5 - self.start;
                let last = self.source - 1;
                let at = (along * self.source as f64 / self.length - 0.5).clamp(0.0, last as f64);
                let first = at as usize;
                let inside = (0.0..=self.length).contains(&along);
                inside.then(|| Tap { first, second: (first + 1).min(last), share: (at - first as f64) as f32 })
            })
            .collect()
    }
}

/// Source rows of `width` values to `rows.len()` rows of `columns.len()` values; 0 where there is no tap.
pub(super) fn resample(source: &[f32], width: usize, columns: &[Option<Tap>], rows: &[Option<Tap>]) -> Vec<f32> {
    let across = columns.len();
    let mut middle = vec![0.0; source.len() / width * across];
    middle.par_chunks_exact_mut(across).zip(source.par_chunks_exact(width)).with_min_len(ROWS_A_TASK).for_each(|(output, row)| {
        for (value, column) in output.iter_mut().zip(columns) {
            if let Some(Tap { first, second, share }) = *column {
                *value = row[first] + (row[second] - row[first]) * share;
            }
        }
    });
    let mut output = vec![0.0; rows.len() * across];
    output.par_chunks_exact_mut(across).zip(rows).with_min_len(ROWS_A_TASK).for_each(|(output, row)| {
        let Some(Tap { first, second, share }) = *row else { return };
        let [upper, lower] = [first, second].map(|row| &middle[row * across..][..across]);
        for ((value, &upper), &lower) in output.iter_mut().zip(upper).zip(lower) {
            *value = upper + (lower - upper) * share;
        }
    });
    output
}
