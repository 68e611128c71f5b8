//! The eight symmetries of a square: an anomaly mirrored or turned is another one.

use anomalygpt::Place;
use rand::RngExt;

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

    /// Places after the move, row by row.
    pub fn places(self, places: &[Place]) -> Vec<Place> {
        let from = self.moved(&Place::ALL, 1);
        let mut moved: Vec<Place> =
            places.iter().filter_map(|place| from.iter().position(|source| source == place)).map(|index| Place::ALL[index]).collect();
        moved.sort_unstable();
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_and_places_move_together() {
        let identity = Symmetry { transposed: false, mirrored: false, flipped: false };
        let mirrored = Symmetry { mirrored: true, ..identity };
        let transposed = Symmetry { transposed: true, ..identity };
        let turned = Symmetry { transposed: true, mirrored: true, flipped: false };
        assert_eq!(mirrored.moved(&[1, 2, 3, 4], 1), [2, 1, 4, 3]);
        assert_eq!(mirrored.moved(&[1, 1, 2, 2, 3, 3, 4, 4], 2), [2, 2, 1, 1, 4, 4, 3, 3]);
        assert_eq!(transposed.moved(&[1, 2, 3, 4], 1), [1, 3, 2, 4]);
        for symmetry in [identity, mirrored, transposed, turned] {
            for (index, place) in Place::ALL.into_iter().enumerate() {
                let mut cells = [0; 9];
                cells[index] = 1;
                let moved = symmetry.moved(&cells, 1).iter().position(|&cell| cell == 1).map(|index| Place::ALL[index]);
                assert_eq!(symmetry.places(&[place]), moved.into_iter().collect::<Vec<_>>(), "{symmetry:?} {place}");
            }
        }
    }
}
