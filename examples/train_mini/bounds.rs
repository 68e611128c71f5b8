//! Where an anomaly lies, and where it lies once the map is moved.

use anomalygpt::Place;

/// Least length of a window, and how much longer it is at the least than what it holds.
const SHORTEST: f32 = 1.0 / 3.0;
const ROOM: f32 = 1.1;

/// The smallest box around an anomaly and its centroid, in shares of an image's side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// Left and top.
    pub low: [f32; 2],
    /// Right and bottom.
    pub high: [f32; 2],
    /// Across and down.
    pub center: [f32; 2],
}

impl Bounds {
    /// Those of a box `[x, y, width, height]` about a centroid `[x, y]` in a square image of `side` pixels.
    pub fn of([x, y, width, height]: [u32; 4], center: [f32; 2], side: u32) -> Self {
        let share = |pixels: u32| pixels as f32 / side as f32;
        Self { low: [share(x), share(y)], high: [share(x + width), share(y + height)], center: center.map(|at| at / side as f32) }
    }

    /// The cell of the centroid, as for the [regions](anomalygpt::Region) of a map.
    pub fn place(self) -> Place {
        let [x, y] = self.center;
        Place::of(x, y, 1, 1)
    }

    /// Whether a box `[x, y, width, height]` in a square image of `side` pixels has a part of the anomaly's.
    pub fn meets(self, [x, y, width, height]: [u32; 4], side: u32) -> bool {
        let pixels = |share: f32| share * side as f32;
        let meet = |axis: usize, start: u32, length: u32| {
            pixels(self.low[axis]) < (start + length) as f32 && (start as f32) < pixels(self.high[axis])
        };
        meet(0, x, width) && meet(1, y, height)
    }

    /// Moved by `offset`, across and down.
    pub fn slid(self, offset: [f32; 2]) -> Self {
        self.each(|at, axis| at + offset[axis])
    }

    /// Where it lies in a window, across and down.
    pub fn zoomed(self, windows: [Window; 2]) -> Self {
        self.each(|at, axis| (at - windows[axis].start) / windows[axis].length)
    }

    fn each(self, moved: impl Fn(f32, usize) -> f32) -> Self {
        let [low, high, center] = [self.low, self.high, self.center].map(|[x, y]| [moved(x, 0), moved(y, 1)]);
        Self { low, high, center }
    }
}

/// A part of an axis, in shares of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    start: f32,
    length: f32,
}

impl Window {
    /// A window that holds all bounds, with some room. Of `narrowness` 0 it is the whole axis, of 1 the smallest; `share` tells which of
    /// those that are as long.
    pub fn around(all: &[Bounds], axis: usize, narrowness: f32, share: f32) -> Self {
        // Any window holds all there is of nothing.
        let [low, high] = extent(all, axis).unwrap_or([1.0, 0.0]);
        let length = ((high - low) * ROOM).clamp(SHORTEST, 1.0).powf(narrowness);
        let (first, last) = ((high - length).max(0.0), low.min(1.0 - length));
        Self { start: first + (last - first) * share, length }
    }

    /// The two cells of an axis of `side` nearest to the middle of a cell of the window, and how near to the second.
    fn cells(self, cell: usize, side: usize) -> [(usize, f32); 2] {
        let last = side.saturating_sub(1);
        let at = ((self.start + self.length * (cell as f32 + 0.5) / side as f32) * side as f32 - 0.5).clamp(0.0, last as f32);
        let near = at.fract();
        [(at as usize, 1.0 - near), ((at as usize + 1).min(last), near)]
    }
}

/// From where to where bounds reach along an axis.
fn extent(all: &[Bounds], axis: usize) -> Option<[f32; 2]> {
    all.iter()
        .map(|bounds| [bounds.low[axis], bounds.high[axis]])
        .reduce(|[low, high], [other_low, other_high]| [low.min(other_low), high.max(other_high)])
}

/// The least and the largest offset along an axis that leaves all bounds inside the image.
pub fn room(all: &[Bounds], axis: usize) -> [f32; 2] {
    extent(all, axis).map_or([-0.5, 0.5], |[low, high]| [-low, 1.0 - high])
}

/// Cells of a square, row by row, moved by so many cells across and down; what leaves at one side comes back at the other.
pub fn slid<T: Copy>(cells: &[T], offset: [isize; 2]) -> Vec<T> {
    let side = cells.len().isqrt();
    let from = |at: usize, by: isize| (at as isize - by).rem_euclid(side.max(1) as isize) as usize;
    (0..side * side).map(|index| cells[from(index / side, offset[1]) * side + from(index % side, offset[0])]).collect()
}

/// Cells of a square, row by row, as a window of it shows them at the same size, bilinearly.
pub fn zoomed(cells: &[f32], windows: [Window; 2]) -> Vec<f32> {
    let side = cells.len().isqrt();
    let [columns, rows] = windows.map(|window| (0..side).map(|cell| window.cells(cell, side)).collect::<Vec<_>>());
    let value = |row: &[(usize, f32); 2], column: &[(usize, f32); 2]| {
        let on_row = |start: usize| column.iter().map(|&(at, weight)| cells[start + at] * weight).sum::<f32>();
        row.iter().map(|&(at, weight)| on_row(at * side) * weight).sum()
    };
    rows.iter().flat_map(|row| columns.iter().map(move |column| value(row, column))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_holds_all_bounds_and_shows_them_as_large_as_it_is_small() {
        let bounds = [Bounds::of([1, 2, 2, 2], [2.0, 3.0], 8), Bounds::of([2, 4, 2, 1], [3.0, 4.5], 8)];
        assert_eq!(Window::around(&bounds, 0, 0.0, 0.7), Window { start: 0.0, length: 1.0 });
        for (narrowness, share) in [(1.0, 0.0), (1.0, 1.0), (0.5, 0.3), (0.0, 0.5)] {
            let windows = [0, 1].map(|axis| Window::around(&bounds, axis, narrowness, share));
            for bounds in bounds.map(|bounds| bounds.zoomed(windows)) {
                assert!(bounds.low.into_iter().chain(bounds.high).all(|at| (-1e-6..=1.0 + 1e-6).contains(&at)), "{bounds:?}");
            }
        }
        let nothing = Window::around(&[], 1, 1.0, 1.0);
        assert!((nothing.start - 2.0 / 3.0).abs() < 1e-6 && nothing.length == SHORTEST);
    }

    #[test]
    fn cells_and_bounds_zoom_together() {
        let mut cells = [0.0; 64];
        cells[3 * 8 + 1] = 1.0;
        let windows = [Window { start: 0.0, length: 0.5 }, Window { start: 0.25, length: 0.5 }];
        let zoomed = zoomed(&cells, windows);
        let weigh = |axis: usize| {
            let at = |index: usize| ([index % 8, index / 8][axis] as f32 + 0.5) / 8.0;
            zoomed.iter().enumerate().map(|(index, value)| at(index) * value).sum::<f32>() / zoomed.iter().sum::<f32>()
        };
        let expected = Bounds::of([1, 3, 1, 1], [1.5, 3.5], 8).zoomed(windows);
        assert_eq!(expected.center, [0.375, 0.375]);
        assert!((weigh(0) - 0.375).abs() < 1e-6 && (weigh(1) - 0.375).abs() < 1e-6, "{zoomed:?}");
        assert_eq!(super::zoomed(&cells, [Window { start: 0.0, length: 1.0 }; 2]), cells);
    }

    #[test]
    fn a_box_meets_bounds_where_both_axes_do() {
        let bounds = Bounds::of([2, 2, 2, 2], [3.0; 2], 8);
        assert!(bounds.meets([3, 0, 4, 3], 8) && bounds.meets([0, 0, 8, 8], 8));
        assert!(!bounds.meets([4, 2, 2, 2], 8) && !bounds.meets([2, 5, 2, 2], 8));
    }

    #[test]
    fn the_place_is_the_centroid_s() {
        let bounds = Bounds::of([0, 0, 9, 9], [2.5, 6.5], 9);
        assert_eq!(bounds.place(), Place::BottomLeft);
    }

    #[test]
    fn cells_and_bounds_slide_together() {
        let bounds = Bounds { low: [0.0, 0.25], high: [0.25, 0.5], center: [0.125, 0.375] };
        let mut cells = [0; 16];
        cells[4] = 1;
        assert_eq!(room(&[bounds], 0), [0.0, 0.75]);
        assert_eq!(room(&[bounds], 1), [-0.25, 0.5]);
        assert_eq!(room(&[], 0), [-0.5, 0.5]);
        let moved = slid(&cells, [3, -1]);
        assert_eq!(moved.iter().position(|&cell| cell == 1), Some(3));
        assert_eq!(bounds.slid([0.75, -0.25]), Bounds { low: [0.75, 0.0], high: [1.0, 0.25], center: [0.875, 0.125] });
        assert_eq!((bounds.place(), bounds.slid([0.75, -0.25]).place()), (Place::Left, Place::TopRight));
        assert_eq!(slid(&moved, [-3, 1]), cells);
    }
}
