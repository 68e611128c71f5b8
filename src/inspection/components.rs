//! Connected parts (8 neighbours) of the pixels that are picked, as runs of neighbouring pixels joined by union-find.

/// Neighbouring picked pixels of one row, from `start` to before `end`; `parent` is the index of another run of the same part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) row: u32,
    pub(crate) start: u32,
    pub(crate) end: u32,
    parent: usize,
}

/// Runs in order of rows, then columns, those of one part joined.
#[derive(Clone, Debug)]
pub(crate) struct Components {
    runs: Vec<Run>,
}

impl Components {
    /// The parts of rows of `width` values that are picked.
    pub(crate) fn new<T>(width: u32, values: &[T], picked: impl Fn(&T) -> bool) -> Self {
        let mut components = Self { runs: runs(width, values, picked) };
        components.connect();
        components
    }

    pub(crate) fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// For each run, the index of the first run of its part.
    pub(crate) fn roots(&mut self) -> Vec<usize> {
        (0..self.runs.len()).map(|index| self.root(index)).collect()
    }

    /// Joins the runs of neighbouring rows that touch, corners included.
    fn connect(&mut self) {
        let mut above = 0;
        for current in 0..self.runs.len() {
            let Run { row, start, end, .. } = self.runs[current];
            while self.runs[above].row + 1 < row || (self.runs[above].row + 1 == row && self.runs[above].end < start) {
                above += 1;
            }
            let mut touching = above;
            while self.runs[touching].row + 1 == row && self.runs[touching].start <= end {
                let (left, right) = (self.root(touching), self.root(current));
                self.runs[left.max(right)].parent = left.min(right);
                touching += 1;
            }
        }
    }

    /// The first run of a run's part, shortening the way there.
    fn root(&mut self, mut index: usize) -> usize {
        while self.runs[index].parent != index {
            let parent = self.runs[index].parent;
            self.runs[index].parent = self.runs[parent].parent;
            index = parent;
        }
        index
    }
}

fn runs<T>(width: u32, values: &[T], picked: impl Fn(&T) -> bool) -> Vec<Run> {
    let mut runs = Vec::new();
    for (row, values) in (0..).zip(values.chunks_exact((width as usize).max(1))) {
        let mut at = 0;
        while let Some(skipped) = values[at..].iter().position(&picked) {
            let start = at + skipped;
            let length = values[start..].iter().position(|value| !picked(value)).unwrap_or(values.len() - start);
            at = start + length;
            runs.push(Run { row, start: start as u32, end: at as u32, parent: runs.len() });
        }
    }
    runs
}
