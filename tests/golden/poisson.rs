//! Seamless cloning against OpenCV's, on the images that `make_poisson.py` writes.

use anomalygpt::simulate::{Cloning, seamless_clone};
use image::RgbImage;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/data/poisson");
/// OpenCV cuts fractions off where we round, so a value is the same or one level brighter; nothing else may differ.
const BRIGHTEST: i16 = 1;
/// Rounding lifts about half of the changed values by one level.
const MEAN: f64 = 0.55;

fn read(name: &str) -> RgbImage {
    image::open(format!("{FOLDER}/{name}.png")).unwrap().to_rgb8()
}

#[test]
fn clones_are_those_of_opencv() {
    let (source, target) = (read("source"), read("target"));
    for line in std::fs::read_to_string(format!("{FOLDER}/cases.txt")).unwrap().lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let [name, mask, flag, x, y] = fields[..] else { panic!("a case has five fields: {line}") };
        let mask = image::open(format!("{FOLDER}/mask_{mask}.png")).unwrap().to_luma8();
        let cloning = if flag == "mixed" { Cloning::Mixed } else { Cloning::Normal };
        let found = seamless_clone(&source, &mask, &target, (x.parse().unwrap(), y.parse().unwrap()), cloning).unwrap();
        let expected = read(&format!("expected_{name}"));
        let differences: Vec<i16> =
            found.iter().zip(expected.iter()).map(|(found, expected)| i16::from(*found) - i16::from(*expected)).collect();
        let changed = expected.iter().zip(target.iter()).filter(|(expected, target)| expected != target).count();
        let mean = differences.iter().map(|value| f64::from(value.abs())).sum::<f64>() / changed as f64;
        let (darkest, brightest) = (differences.iter().min().unwrap(), differences.iter().max().unwrap());
        assert!(changed > 1000, "{name}: the case tests nothing");
        assert!(*darkest >= 0 && *brightest <= BRIGHTEST, "{name}: {darkest} to {brightest}");
        assert!(mean < MEAN, "{name}: mean {mean}");
    }
}
