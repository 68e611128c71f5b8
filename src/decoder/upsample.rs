//! Resampling of maps as two products with fixed matrices.
//!
//! Burn's own interpolation has no gradient on GPU backends; matrix products have one everywhere. The matrices hold a
//! few thousand numbers, and making them costs less than a lookup would save.

use burn::tensor::{Tensor, TensorData};

/// Bilinear resampling of `[batch, channels, rows, columns]` to `size` (rows, columns), where the corners' centres stay
/// in place (`align_corners` in PyTorch).
pub(crate) fn align_corners(maps: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
    resample(maps, size, align_corners_weights)
}

/// Bilinear resampling of `[batch, channels, rows, columns]` to `size` (rows, columns) over pixels' areas; when it
/// shrinks, each new pixel is an average of all that it covers, so that nothing small gets lost.
pub(crate) fn antialiased(maps: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
    resample(maps, size, antialiased_weights)
}

/// Squares `[batch, channels, rows, columns]` over an image, `scale` pixels each way a square, upsampled over areas; what the last ones
/// have beyond `size` (rows, columns) is cut off.
pub(crate) fn squares_over(squares: Tensor<4>, scale: usize, size: [usize; 2]) -> Tensor<4> {
    let [_, _, rows, columns] = squares.dims();
    antialiased(squares, [rows * scale, columns * scale]).narrow(2, 0, size[0]).narrow(3, 0, size[1])
}

/// Average of each cell of `[batch, rows * columns, width]` with its neighbours in a square of `side` cells; cells
/// outside of the grid don't count.
#[cfg(feature = "eval")]
pub(crate) fn average_neighbours(tokens: Tensor<3>, grid: [usize; 2], side: usize) -> Tensor<3> {
    average_squares(tokens, grid, 1, side)
}

/// Averages of squares of `side` cells of `[batch, rows * columns, width]`, without overlap, where each cell is the average of its
/// `neighbourhood`, an odd side, before; squares at the bottom and at the right may cover fewer cells.
pub(crate) fn average_squares(tokens: Tensor<3>, grid: [usize; 2], side: usize, neighbourhood: usize) -> Tensor<3> {
    if (side, neighbourhood) == (1, 1) {
        return tokens;
    }
    let near = |cell: usize, count: usize| cell.saturating_sub(neighbourhood / 2)..(cell + neighbourhood / 2 + 1).min(count);
    let share = |from: usize, to: usize, count: usize| {
        let cells = (to * side..(to + 1) * side).take_while(|&cell| cell < count);
        cells.map(|cell| near(cell, count)).filter(|near| near.contains(&from)).map(|near| 1.0 / near.len() as f32).sum()
    };
    mixed(tokens, grid, grid.map(|cells| cells.div_ceil(side)), share)
}

/// Highest value of squares of `side` cells of `[batch, channels, rows, columns]`, without overlap; squares at the bottom and at the
/// right may cover fewer cells.
pub(crate) fn highest_of_squares(maps: Tensor<4>, side: usize) -> Tensor<4> {
    let along = |maps: Tensor<4>, axis: usize| {
        let cells = maps.dims()[axis];
        let nth = |nth: usize| {
            let chosen: Vec<i32> =
                (0..cells.div_ceil(side)).map(|square| (square * side + nth).min(cells.saturating_sub(1)) as i32).collect();
            maps.clone().select(axis, Tensor::from_data(TensorData::new(chosen, [cells.div_ceil(side)]), &maps.device()))
        };
        (1..side).fold(nth(0), |highest, other| highest.max_pair(nth(other)))
    };
    along(along(maps, 2), 3)
}

/// Gaussian blur of `[batch, rows * columns, width]`, `sigma` in cells; cells outside of the grid don't count.
pub(crate) fn blur(tokens: Tensor<3>, grid: [usize; 2], sigma: f32) -> Tensor<3> {
    mixed(tokens, grid, grid, |from, to, _| (-0.5 * (from.abs_diff(to) as f32 / sigma).powi(2)).exp())
}

/// Means of all windows of `side` cells, one cell apart, of `[batch, rows * columns, width]`, which is no smaller than a window.
#[cfg(feature = "eval")]
pub(crate) fn window_means(tokens: Tensor<3>, grid: [usize; 2], side: usize) -> Tensor<3> {
    mixed(tokens, grid, grid.map(|cells| cells + 1 - side), |from, to, _| f32::from(u8::from((to..to + side).contains(&from))))
}

/// The way back: for each cell of `grid` the mean of all windows of `side` cells that hold it.
#[cfg(feature = "eval")]
pub(crate) fn cells_of_windows(windows: Tensor<3>, grid: [usize; 2], side: usize) -> Tensor<3> {
    mixed(windows, grid.map(|cells| cells + 1 - side), grid, |from, to, _| f32::from(u8::from((from..from + side).contains(&to))))
}

/// Means of rows, then of columns, where cell `from` of `count` counts for cell `to` as `weight(from, to, count)` says.
fn mixed(tokens: Tensor<3>, [rows, columns]: [usize; 2], to: [usize; 2], weight: impl Fn(usize, usize, usize) -> f32) -> Tensor<3> {
    let [batch, _, width] = tokens.dims();
    let (device, dtype) = (tokens.device(), tokens.dtype());
    let matrix = |count: usize, to: usize| {
        let means = (0..to).flat_map(|to| {
            let sum: f32 = (0..count).map(|from| weight(from, to, count)).sum();
            (0..count).map(|from| weight(from, to, count) / sum).collect::<Vec<_>>()
        });
        Tensor::<3>::from_data(TensorData::new(means.collect::<Vec<_>>(), [1, to, count]), (&device, dtype))
    };
    let tokens = matrix(rows, to[0]).matmul(tokens.reshape([batch, rows, columns * width]));
    matrix(columns, to[1]).matmul(tokens.reshape([batch * to[0], columns, width])).reshape([batch, to[0] * to[1], width])
}

/// `weights` makes the matrix `[from, to]` of one axis.
fn resample(maps: Tensor<4>, size: [usize; 2], weights: fn(usize, usize) -> Vec<f32>) -> Tensor<4> {
    let [batch, channels, rows, columns] = maps.dims();
    if [rows, columns] == size {
        return maps;
    }
    let (device, dtype) = (maps.device(), maps.dtype());
    let across = Tensor::<2>::from_data(TensorData::new(weights(columns, size[1]), [columns, size[1]]), (&device, dtype));
    let down = Tensor::<2>::from_data(TensorData::new(weights(rows, size[0]), [rows, size[0]]), (&device, dtype));
    let wide = maps.reshape([batch * channels * rows, columns]).matmul(across);
    let tall = down.transpose().unsqueeze::<3>().matmul(wide.reshape([batch * channels, rows, size[1]]));
    tall.reshape([batch, channels, size[0], size[1]])
}

fn align_corners_weights(from: usize, to: usize) -> Vec<f32> {
    let mut weights = vec![0.0; from * to];
    let scale = if to > 1 { (from - 1) as f32 / (to - 1) as f32 } else { 0.0 };
    for target in 0..to {
        let position = target as f32 * scale;
        let below = (position as usize).min(from - 1);
        let above = (below + 1).min(from - 1);
        let share = position - below as f32;
        weights[below * to + target] += 1.0 - share;
        weights[above * to + target] += share;
    }
    weights
}

/// A triangle over the source, as wide as one source pixel or one target pixel, whichever is larger.
fn antialiased_weights(from: usize, to: usize) -> Vec<f32> {
    let mut weights = vec![0.0; from * to];
    let scale = from as f32 / to as f32;
    let support = scale.max(1.0);
    for target in 0..to {
        let centre = (target as f32 + 0.5) * scale;
        let covered = ((centre - support).max(0.0) as usize)..((centre + support).ceil() as usize).min(from);
        let triangle = |source: usize| (1.0 - ((source as f32 + 0.5 - centre) / support).abs()).max(0.0);
        let sum: f32 = covered.clone().map(triangle).sum();
        for source in covered {
            weights[source * to + target] = triangle(source) / sum;
        }
    }
    weights
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use burn::tensor::{
        Device, Distribution,
        module::interpolate,
        ops::{InterpolateMode, InterpolateOptions},
    };
    use proptest::prelude::*;

    use super::*;

    /// Sums of a few products of numbers near 1 in another order.
    const ROUNDING: f32 = 2e-6;

    fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().try_to_vec().unwrap()
    }

    fn furthest<const D: usize>(left: Tensor<D>, right: Tensor<D>) -> f32 {
        (left - right).abs().max().into_scalar()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn align_corners_is_what_burn_interpolates(from in [2usize..9, 2usize..9], to in [1usize..40, 1usize..40]) {
            let maps = Tensor::<4>::random([2, 3, from[0], from[1]], Distribution::Uniform(0.0, 1.0), &Device::default());
            let options = InterpolateOptions::new(InterpolateMode::Bilinear).with_align_corners(true).with_output_size(to);
            prop_assert!(furthest(align_corners(maps.clone(), to), interpolate(maps, options)) < ROUNDING);
        }

        #[test]
        fn a_flat_map_stays_flat(from in [1usize..9, 1usize..9], to in [1usize..40, 1usize..40]) {
            let flat = |size: [usize; 2]| Tensor::<4>::ones([1, 1, size[0], size[1]], &Device::default());
            prop_assert!(furthest(align_corners(flat(from), to), flat(to)) < ROUNDING);
            prop_assert!(furthest(antialiased(flat(from), to), flat(to)) < ROUNDING);
        }

        #[test]
        fn shrinking_keeps_the_mean(factor in 1usize..6, size in 1usize..8) {
            let maps = Tensor::<4>::random([1, 1, size * factor, size * factor], Distribution::Uniform(0.0, 1.0), &Device::default());
            let mirrored = Tensor::cat(vec![maps.clone(), maps.flip([2])], 2);
            let shrunk = antialiased(mirrored.clone(), [2 * size, size]);
            // The border's triangles are cut, so the mean is kept up to the border's share.
            prop_assert!(furthest(shrunk.mean(), mirrored.mean()) < 0.5 / size as f32 + ROUNDING);
        }
    }

    #[test]
    fn enlarging_over_areas_is_half_pixel_bilinear() {
        let maps = Tensor::<4>::from_data([[[[0.0f32, 4.0]]]], &Device::default());
        assert_eq!(values(antialiased(maps, [1, 4])), [0.0, 1.0, 3.0, 4.0]);
    }

    #[test]
    fn what_squares_have_beyond_the_image_is_cut_off() {
        let squares = Tensor::<4>::from_data([[[[0.0f32, 4.0, 8.0]]]], &Device::default());
        assert_eq!(values(squares_over(squares.clone(), 4, [1, 10])), values(antialiased(squares, [1, 12]))[..10]);
    }

    #[test]
    fn a_point_survives_shrinking() {
        let mut point = vec![0.0f32; 900 * 900];
        point[450 * 900 + 451] = 1.0;
        let maps = Tensor::<4>::from_data(TensorData::new(point, [1, 1, 900, 900]), &Device::default());
        assert!(values(antialiased(maps, [224, 224])).into_iter().fold(0.0, f32::max) > 0.02);
    }

    #[test]
    fn neighbours_are_averaged_inside_of_the_grid() {
        let tokens = Tensor::<3>::from_data([[[9.0f32], [0.0], [0.0], [0.0], [0.0], [18.0]]], &Device::default());
        let averaged = values(average_squares(tokens, [2, 3], 1, 3));
        for (found, expected) in averaged.into_iter().zip([2.25, 4.5, 4.5, 2.25, 4.5, 4.5]) {
            assert!((found - expected).abs() < ROUNDING, "{found} {expected}");
        }
    }

    #[test]
    fn squares_are_averaged_and_may_be_cut() {
        let tokens = Tensor::<3>::from_data([[[1.0f32], [3.0], [8.0], [5.0], [7.0], [2.0]]], &Device::default());
        assert_eq!(values(average_squares(tokens, [2, 3], 2, 1)), [4.0, 5.0]);
    }

    #[test]
    fn the_highest_cell_of_a_square_stands_for_it() {
        let maps = Tensor::<4>::from_data([[[[1.0f32, 3.0, 8.0], [5.0, -7.0, 2.0], [-4.0, -6.0, -5.0]]]], &Device::default());
        assert_eq!(values(highest_of_squares(maps.clone(), 2)), [5.0, 8.0, -4.0, -5.0]);
        assert_eq!(values(highest_of_squares(maps.clone(), 1)), values(maps.clone()));
        assert_eq!(values(highest_of_squares(maps, 3)), [8.0]);
    }

    #[test]
    fn squares_of_averaged_cells_take_both_steps_at_once() {
        let grid = [7, 9];
        let tokens = Tensor::<3>::random([2, 63, 3], Distribution::Default, &Device::default());
        for (side, neighbourhood) in [(2, 5), (3, 3), (4, 9)] {
            let steps = average_squares(average_squares(tokens.clone(), grid, 1, neighbourhood), grid, side, 1);
            let distance: f32 = (average_squares(tokens.clone(), grid, side, neighbourhood) - steps).abs().max().into_scalar();
            assert!(distance < ROUNDING, "{distance}");
        }
    }

    #[test]
    fn a_blur_spreads_a_point_and_keeps_a_flat_grid() {
        let mut point = vec![0.0f32; 25];
        point[12] = 1.0;
        let tokens = |cells| Tensor::<3>::from_data(TensorData::new(cells, [1, 25, 1]), &Device::default());
        let blurred = values(blur(tokens(point), [5, 5], 0.5));
        let beside = (-2.0f32).exp();
        assert!((blurred[13] / blurred[12] - beside).abs() < 1e-4 && (blurred[7] / blurred[12] - beside).abs() < 1e-4, "{blurred:?}");
        assert!(values(blur(tokens(vec![1.0; 25]), [5, 5], 0.5)).into_iter().all(|value| (value - 1.0).abs() < ROUNDING));
    }

    #[cfg(feature = "train")]
    #[test]
    fn gradients_pass() {
        let maps = Tensor::<4>::ones([1, 1, 4, 5], &Device::default().autodiff()).require_grad();
        let gradients = align_corners(maps.clone(), [8, 9]).sum().backward();
        let gradient: f32 = maps.grad(&gradients).unwrap().sum().into_scalar();
        assert!((gradient - 72.0).abs() < 1e-3, "{gradient}");
    }
}
