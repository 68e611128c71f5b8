//! Maps of any size onto one grid: averages where there are more positions than wanted, bilinear between where there are fewer.
//! What they show may lie beside their positions; on the grid it lies where it is.

use burn::tensor::{Tensor, TensorData};

/// Resamples `[batch, rows, columns, channels]`, which shows what lies `displacement` of the grid's cells further down and right, to
/// `grid` rows and columns.
pub(super) fn resample(map: Tensor<4>, grid: [usize; 2], displacement: f64) -> Tensor<4> {
    let [batch, rows, columns, channels] = map.dims();
    let device = map.device();
    let matrix = |from: usize, to: usize| {
        Tensor::<2>::from_data(TensorData::new(weights(from, to, displacement), [to, from]), &device).unsqueeze::<3>()
    };
    let mut x = map.reshape([batch, rows, columns * channels]);
    x = matrix(rows, grid[0]).matmul(x);
    let mut x = x.reshape([batch * grid[0], columns, channels]);
    x = matrix(columns, grid[1]).matmul(x);
    x.reshape([batch, grid[0], grid[1], channels])
}

/// The weight of each of `from` positions for each of `to`, row-major; rows sum to one.
fn weights(from: usize, to: usize, displacement: f64) -> Vec<f32> {
    let scale = from as f64 / to as f64;
    let mut weights = vec![0.0; from * to];
    for (index, row) in weights.chunks_exact_mut(from).enumerate() {
        let start = (index as f64 - displacement) * scale;
        if from > to {
            let start = start.clamp(0.0, from as f64 - scale);
            let end = start + scale;
            for (position, weight) in row.iter_mut().enumerate() {
                let shared = end.min(position as f64 + 1.0) - start.max(position as f64);
                *weight = (shared.max(0.0) / scale) as f32;
            }
        } else {
            let centre = (start + (scale - 1.0) / 2.0).clamp(0.0, (from - 1) as f64);
            let below = centre.floor();
            let above = (below as usize + 1).min(from - 1);
            row[below as usize] += (1.0 - (centre - below)) as f32;
            row[above] += (centre - below) as f32;
        }
    }
    weights
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn averages_and_interpolates() {
        assert_eq!(weights(4, 2, 0.0), [0.5, 0.5, 0.0, 0.0, 0.0, 0.0, 0.5, 0.5]);
        assert_eq!(weights(2, 4, 0.0), [1.0, 0.0, 0.75, 0.25, 0.25, 0.75, 0.0, 1.0]);
        assert_eq!(weights(1, 2, 0.0), [1.0, 1.0]);
        assert!(weights(7, 5, 0.0).chunks_exact(7).all(|row| (row.iter().sum::<f32>() - 1.0).abs() < 1e-6));
    }

    #[test]
    fn what_lies_further_right_is_taken_from_further_left() {
        assert_eq!(weights(2, 4, 0.5), [1.0, 0.0, 1.0, 0.0, 0.5, 0.5, 0.0, 1.0]);
        assert_eq!(weights(3, 3, 0.25), [1.0, 0.0, 0.0, 0.25, 0.75, 0.0, 0.0, 0.25, 0.75]);
        assert_eq!(weights(4, 2, 0.25), [0.5, 0.5, 0.0, 0.0, 0.0, 0.25, 0.5, 0.25]);
        assert_eq!(weights(4, 2, -9.0), [0.0, 0.0, 0.5, 0.5, 0.0, 0.0, 0.5, 0.5]);
    }

    #[test]
    fn each_axis_has_its_own_weights() {
        let map = Tensor::<4>::from_data([[[[1.0, 10.0], [3.0, 30.0], [5.0, 50.0]]]], &Device::default());
        let data = resample(map, [2, 1], 0.0).into_data();
        assert_eq!(data.shape().to_vec(), [1, 2, 1, 2]);
        let expected = [3.0, 30.0, 3.0, 30.0];
        assert!(data.try_to_vec::<f32>().unwrap().iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-5));
    }
}
