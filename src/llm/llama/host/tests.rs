use burn::tensor::TensorData;
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

/// Rounding of `f32` sums, against the sum of the products' sizes.
const TOLERANCE: f64 = 1e-6;

fn random(count: usize, seed: u64) -> Vec<f32> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|_| random.random_range(-1.0..1.0)).collect()
}

fn matrix(precision: Precision, rows: usize, columns: usize) -> Matrix {
    let mut matrix = Matrix::with_capacity(precision, rows, columns);
    matrix.append(&TensorData::new(random(rows * columns, 1), [rows, columns])).unwrap();
    matrix
}

fn check(precision: Precision, rows: usize, columns: usize, vectors: usize) {
    let (matrix, x) = (matrix(precision, rows, columns), random(vectors * columns, 2));
    assert_eq!((matrix.rows(), matrix.columns(), matrix.precision()), (rows, columns, precision));
    let found = matrix.product(&x);
    assert_eq!(found.len(), vectors * rows);
    for (index, found) in found.into_iter().enumerate() {
        let (row, x) = (matrix.row(index % rows), &x[index / rows * columns..][..columns]);
        let products = || row.iter().zip(x).map(|(a, b)| f64::from(*a) * f64::from(*b));
        let (expected, size): (f64, f64) = (products().sum(), products().map(f64::abs).sum());
        assert!((f64::from(found) - expected).abs() <= TOLERANCE * size, "{precision} {index}: {found} {expected}");
    }
}

#[test]
fn products_are_the_rows_products() {
    for precision in Precision::ALL {
        // More columns than are unpacked at a time; a remainder of every tile, several panels.
        check(precision, 20, 4200, 7);
        check(precision, 115, 1100, 7);
        check(precision, 115, 1100, 1);
        check(precision, 1, 1, 1);
        check(precision, 2, 33, 2);
    }
}

#[test]
fn a_product_does_not_depend_on_the_vectors_beside_it_nor_on_threads() {
    let matrix = matrix(Precision::Q4, 100, 192);
    let x = random(9 * 192, 3);
    let all = matrix.product(&x);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    assert_eq!(pool.install(|| matrix.product(&x)), all);
    assert_eq!(matrix.product(&x[..2 * 192]), all[..200]);
}

#[test]
fn rows_come_from_every_type_of_floats() {
    // Values that all types hold.
    let values: Vec<f32> = (0..80).map(|index| (index - 40) as f32 / 8.0).collect();
    let data = TensorData::new(values.clone(), [2, 40]);
    for dtype in [DType::F32, DType::F16, DType::BF16] {
        let mut matrix = Matrix::with_capacity(Precision::F16, 4, 40);
        matrix.append(&data.clone().convert_dtype(dtype)).unwrap();
        matrix.append(&data).unwrap();
        assert_eq!((0..4).flat_map(|row| matrix.row(row)).collect::<Vec<_>>(), [&values[..], &values].concat());
    }
}

#[test]
fn what_does_not_fit_is_told() {
    let mut matrix = Matrix::with_capacity(Precision::F16, 1, 40);
    assert!(matrix.append(&TensorData::new(vec![0i64; 40], [1, 40])).is_none());
    assert!(matrix.append(&TensorData::new(vec![0f32; 41], [1, 41])).is_none());
    assert!(matrix.append(&TensorData::new(vec![1e6f32; 40], [1, 40])).is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn products_of_any_size_are_right(form in 0..Precision::ALL.len(), rows in 1usize..70, columns in 1usize..140, vectors in 1usize..9) {
        check(Precision::ALL[form], rows, columns, vectors);
    }
}
