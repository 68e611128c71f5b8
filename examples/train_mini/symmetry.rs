//! The eight symmetries of a square: an anomaly mirrored or turned is another one.

use rand::RngExt;

use crate::bounds::Bounds;

/// A symmetry of a square.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Symmetry {
    transposed: bool,
    mirrored: bool,
    flipped: bool,
}

impl Symmetry {
    /// Any of the eight.
    pub fn any(rng: &mut impl RngExt) -> Self {
        Self { transposed: rng.random(), mirrored: rng.random(), flipped: rng.random() }
    }

    /// Cells of `width` values, row by row, that fill a square.
    pub fn moved<T: Copy>(self, cells: &[T], width: usize) -> Vec<T> {
        let side = (cells.len() / width.max(1)).isqrt();
        let turned = |at: usize, back: bool| if back { side - 1 - at } else { at };
        let from = |index: usize| {
            let (row, column) = (turned(index / side, self.flipped), turned(index % side, self.mirrored));
            let source = if self.transposed { column * side + row } else { row * side + column };
            source * width..(source + 1) * width
        };
        (0..side * side).flat_map(|index| cells[from(index)].iter().copied()).collect()
    }

    /// Bounds after the move.
    pub fn bounds(self, Bounds { low, high, center }: Bounds) -> Bounds {
        let axis = |of: usize, back: bool| match back {
            true => [1.0 - high[of], 1.0 - low[of], 1.0 - center[of]],
            false => [low[of], high[of], center[of]],
        };
        let (across, down) = if self.transposed { (1, 0) } else { (0, 1) };
        let ([left, right, x], [top, bottom, y]) = (axis(across, self.mirrored), axis(down, self.flipped));
        Bounds { low: [left, top], high: [right, bottom], center: [x, y] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_and_bounds_move_together() {
        let cell = |index: usize| {
            let low = [index % 4, index / 4].map(|at| at as f32 / 4.0);
            Bounds { low, high: low.map(|at| at + 0.25), center: low.map(|at| at + 0.125) }
        };
        let identity = Symmetry { transposed: false, mirrored: false, flipped: false };
        let mirrored = Symmetry { mirrored: true, ..identity };
        let transposed = Symmetry { transposed: true, ..identity };
        let turned = Symmetry { transposed: true, mirrored: true, flipped: false };
        assert_eq!(mirrored.moved(&[1, 2, 3, 4], 1), [2, 1, 4, 3]);
        assert_eq!(mirrored.moved(&[1, 1, 2, 2, 3, 3, 4, 4], 2), [2, 2, 1, 1, 4, 4, 3, 3]);
        assert_eq!(transposed.moved(&[1, 2, 3, 4], 1), [1, 3, 2, 4]);
        for symmetry in [identity, mirrored, transposed, turned] {
            for index in 0..16 {
                let mut cells = [0; 16];
                cells[index] = 1;
                let moved = symmetry.moved(&cells, 1).iter().position(|&cell| cell == 1);
                assert_eq!(moved.map(cell), Some(symmetry.bounds(cell(index))), "{symmetry:?} {index}");
            }
        }
    }
}
