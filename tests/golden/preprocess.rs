//! Pixels against Pillow 10.0.0, on the data that `make_preprocess.py` and `make_jpeg.py` write.

use std::{fs::File, io::Read};

use anomalygpt::preprocess::{Fit, Preprocess, ReadOptions, read_image_with, resize_bicubic, to_rgb};
use flate2::read::GzDecoder;
use image::RgbImage;
use safetensors::SafeTensors;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/data");
/// The reference's cropped side in `cropped.*`.
const SMALL_SIDE: u32 = 28;
const SIDE: u32 = 224;
/// `u8.*` tensors hold every so many rows.
const ROW_STEP: usize = 14;

/// Calls `check` with what follows `prefix` in the name, the tensor's size and its values; fails where there is none.
fn for_each(prefix: &str, check: impl FnMut(&str, (u32, u32), &[u8])) {
    for_each_of("preprocess", prefix, check);
}

fn for_each_of(data: &str, prefix: &str, mut check: impl FnMut(&str, (u32, u32), &[u8])) {
    let mut bytes = Vec::new();
    GzDecoder::new(File::open(format!("{DATA}/{data}.safetensors.gz")).unwrap()).read_to_end(&mut bytes).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let mut count = 0;
    for (name, tensor) in tensors.iter() {
        if let Some(rest) = name.strip_prefix(prefix) {
            check(rest, (tensor.shape()[1] as u32, tensor.shape()[0] as u32), tensor.data());
            count += 1;
        }
    }
    assert!(count > 0, "no tensor {prefix}*");
}

fn source(index: &str) -> RgbImage {
    let mut image = None;
    for_each(&format!("source.{index}"), |rest, (width, height), values| {
        if rest.is_empty() {
            image = RgbImage::from_raw(width, height, values.to_vec());
        }
    });
    image.unwrap()
}

fn assert_equal(name: &str, found: &[u8], expected: &[u8]) {
    assert_eq!(found.len(), expected.len(), "{name}");
    let differences: Vec<u8> = found.iter().zip(expected).map(|(found, expected)| found.abs_diff(*expected)).collect();
    let (count, max) = (differences.iter().filter(|&&difference| difference > 0).count(), differences.iter().copied().max().unwrap());
    assert_eq!(count, 0, "{name}: {count} of {} bytes differ by up to {max}", found.len());
}

fn read_as_reference(path: &str) -> RgbImage {
    to_rgb(&read_image_with(path, ReadOptions::original()).unwrap())
}

fn fitted(size: u32, fit: Fit, image: &RgbImage) -> RgbImage {
    Preprocess::new(size, fit, [0.0; 3], [1.0; 3]).resize(image).unwrap()
}

#[test]
fn resizes_equal_pillow() {
    for_each("resized.", |index, (width, height), expected| {
        assert_equal(index, resize_bicubic(&source(index), width, height).as_raw(), expected);
    });
}

#[test]
fn crops_equal_the_reference() {
    for_each("cropped.", |index, size, expected| {
        assert_eq!(size, (SMALL_SIDE, SMALL_SIDE));
        assert_equal(index, fitted(SMALL_SIDE, Fit::Crop, &source(index)).as_raw(), expected);
    });
}

#[test]
fn files_of_many_kinds_equal_pillow() {
    for_each("rgb.", |name, size, expected| {
        let image = read_as_reference(&format!("{DATA}/preprocess/{name}"));
        assert_eq!(image.dimensions(), size, "{name}");
        assert_equal(name, image.as_raw(), expected);
    });
}

#[test]
fn jpeg_files_equal_pillow() {
    for_each_of("jpeg", "", |name, size, expected| {
        let image = read_as_reference(&format!("{DATA}/jpeg/{name}"));
        assert_eq!(image.dimensions(), size, "{name}");
        assert_equal(name, image.as_raw(), expected);
    });
}

#[test]
fn files_of_the_golden_set_become_the_reference_pixels() {
    for (prefix, fit) in [("u8.crop.", Fit::Crop), ("u8.squash.", Fit::Squash)] {
        for_each(prefix, |name, _, expected| {
            let image = fitted(SIDE, fit, &read_as_reference(&format!("{DATA}/images/{name}")));
            let rows: Vec<u8> = image.as_raw().chunks_exact(3 * SIDE as usize).step_by(ROW_STEP).flatten().copied().collect();
            assert_equal(name, &rows, expected);
        });
    }
}
