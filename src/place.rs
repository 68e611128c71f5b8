//! The nine places of an image that answers speak of.

use std::fmt;

/// A cell of the 3x3 grid over an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Place {
    TopLeft,
    Top,
    TopRight,
    Left,
    Center,
    Right,
    BottomLeft,
    Bottom,
    BottomRight,
}

impl Place {
    /// All nine, row by row.
    pub const ALL: [Self; 9] = [
        Self::TopLeft,
        Self::Top,
        Self::TopRight,
        Self::Left,
        Self::Center,
        Self::Right,
        Self::BottomLeft,
        Self::Bottom,
        Self::BottomRight,
    ];

    /// The cell that a point lies in; points outside count to the nearest cell.
    ///
    /// `x` and `y` are in pixels of an image of `width` x `height`.
    pub fn of(x: f32, y: f32, width: u32, height: u32) -> Self {
        let third = |at: f32, side: u32| if at * 3.0 < side as f32 { 0 } else { 1 + usize::from(at * 3.0 >= 2.0 * side as f32) };
        Self::ALL[third(y, height) * 3 + third(x, width)]
    }

    /// The name in answers: "top left" ... "bottom right".
    pub fn name(self) -> &'static str {
        match self {
            Self::TopLeft => "top left",
            Self::Top => "top",
            Self::TopRight => "top right",
            Self::Left => "left",
            Self::Center => "center",
            Self::Right => "right",
            Self::BottomLeft => "bottom left",
            Self::Bottom => "bottom",
            Self::BottomRight => "bottom right",
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Place {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_is_found_from_its_middle_and_from_outside() {
        for (index, place) in Place::ALL.into_iter().enumerate() {
            let (x, y) = ((index % 3) as f32 * 100.0 + 50.0, (index / 3) as f32 * 20.0 + 10.0);
            assert_eq!(Place::of(x, y, 300, 60), place);
        }
        assert_eq!(Place::of(-5.0, 900.0, 300, 60), Place::BottomLeft);
        assert_eq!(Place::of(f32::NAN, f32::NAN, 3, 3), Place::Center);
    }
}
