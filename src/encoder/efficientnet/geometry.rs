//! TensorFlow's SAME convolution geometry: the output is the input over the stride, rounded up, and the odd pixel of padding goes to the bottom and the right.

/// Side and stride of a square window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) kernel: usize,
    pub(super) stride: usize,
}

impl Window {
    /// Positions of the output along a side of `length`.
    pub(super) fn positions(self, length: usize) -> usize {
        length.div_ceil(self.stride)
    }

    /// Zeros before and after a side of `length`.
    pub(super) fn padding(self, length: usize) -> [usize; 2] {
        let total = ((self.positions(length) - 1) * self.stride + self.kernel).saturating_sub(length);
        [total / 2, total - total / 2]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_asymmetric_at_stride_two() {
        assert_eq!(Window { kernel: 3, stride: 2 }.padding(224), [0, 1]);
        assert_eq!(Window { kernel: 5, stride: 2 }.padding(56), [1, 2]);
        assert_eq!(Window { kernel: 3, stride: 2 }.padding(7), [1, 1]);
        assert_eq!(Window { kernel: 5, stride: 1 }.padding(1), [2, 2]);
        assert_eq!(Window { kernel: 3, stride: 2 }.positions(7), 4);
    }
}
