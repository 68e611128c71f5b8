//! Where an anomaly lies, and where it lies once the map is moved.

use anomalygpt::Place;

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
        let moved = |point: [f32; 2]| [point[0] + offset[0], point[1] + offset[1]];
        Self { low: moved(self.low), high: moved(self.high), center: moved(self.center) }
    }
}

/// The least and the largest offset along an axis that leaves all bounds inside the image.
pub fn room(all: &[Bounds], axis: usize) -> [f32; 2] {
    let least = all.iter().map(|bounds| bounds.low[axis]).reduce(f32::min).unwrap_or(0.5);
    let most = all.iter().map(|bounds| bounds.high[axis]).reduce(f32::max).unwrap_or(0.5);
    [-least, 1.0 - most]
}

/// Cells of a square, row by row, moved by so many cells across and down; what leaves at one side comes back at the other.
pub fn slid<T: Copy>(cells: &[T], offset: [isize; 2]) -> Vec<T> {
    let side = cells.len().isqrt();
    let from = |at: usize, by: isize| (at as isize - by).rem_euclid(side.max(1) as isize) as usize;
    (0..side * side).map(|index| cells[from(index / side, offset[1]) * side + from(index % side, offset[0])]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
