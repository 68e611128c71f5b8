//! Metrics and masks against scikit-learn, anomalib and the VAND repositories; `make_metrics.py` made the cases.
#![cfg(feature = "eval")]

use anomalygpt::{
    AnomalyMap,
    eval::{PixelMetrics, ProRule, Protocol, Ranking, rank},
};
use image::GrayImage;
use serde_json::Value;

use crate::support::json;

/// What is asked of the metrics; sums of 64 bits agree far better.
const TOLERANCE: f64 = 1e-6;

fn numbers(value: &Value) -> Vec<i64> {
    value.as_array().unwrap().iter().map(|number| number.as_i64().unwrap()).collect()
}

fn scores(cases: &Value, case: &Value) -> Vec<f32> {
    let scale = cases["scale"].as_i64().unwrap() as f32;
    numbers(&case["levels"]).into_iter().map(|level| level as f32 / scale).collect()
}

fn marked(indices: &Value, length: usize) -> Vec<bool> {
    let mut marked = vec![false; length];
    numbers(indices).into_iter().for_each(|index| marked[index as usize] = true);
    marked
}

fn assert_metric(case: &Value, metric: &str, found: Option<f64>) {
    match (found, case[metric].as_f64()) {
        (Some(found), Some(wanted)) => assert!((found - wanted).abs() <= TOLERANCE, "{}: {metric} {found} is not {wanted}", case["name"]),
        (found, wanted) => assert_eq!(found, wanted, "{}: {metric}", case["name"]),
    }
}

fn assert_ranking(case: &Value, found: &Ranking) {
    assert_metric(case, "auroc", found.auroc);
    assert_metric(case, "ap", found.ap);
    assert_metric(case, "f1_max", found.f1_max);
}

#[test]
fn image_metrics_are_scikit_learn_s() {
    let cases = json("metrics.json");
    for case in cases["images"].as_array().unwrap() {
        let labels = numbers(&case["labels"]).into_iter().map(|label| label > 0);
        assert_ranking(case, &rank(scores(&cases, case).into_iter().zip(labels)).unwrap());
    }
}

#[test]
fn pixel_metrics_are_theirs_in_memory_and_on_disk() {
    let cases = json("metrics.json");
    for case in cases["pixels"].as_array().unwrap() {
        let shape: Vec<u32> = numbers(&case["shape"]).into_iter().map(|side| side as u32).collect();
        let (values, area) = (scores(&cases, case), (shape[1] * shape[2]) as usize);
        let anomalous = marked(&case["anomalous"], values.len());
        for (name, rule) in [("aupro", ProRule::Exact { limit: 0.3 }), ("vand", ProRule::Thresholds { steps: 200, limit: 0.3 })] {
            for limit in [0, usize::MAX] {
                let mut metrics = PixelMetrics::new(rule).memory_limit(limit);
                for (values, anomalous) in values.chunks(area).zip(anomalous.chunks(area)) {
                    metrics.add(&AnomalyMap::new(shape[2], shape[1], values.to_vec()).unwrap(), anomalous).unwrap();
                }
                let found = metrics.finish().unwrap();
                assert_ranking(case, &found.ranking);
                assert_metric(case, name, found.aupro);
            }
        }
    }
}

#[test]
fn masks_are_theirs() {
    for case in json("metrics.json")["masks"].as_array().unwrap() {
        let (size, side) = (numbers(&case["size"]), case["side"].as_u64().unwrap() as u32);
        let levels = numbers(&case["levels"]).into_iter().map(|level| level as u8).collect();
        let mask = GrayImage::from_raw(size[0] as u32, size[1] as u32, levels).unwrap();
        for name in ["anomalygpt-orig", "vand-200", "anomalib"] {
            let found = name.parse::<Protocol>().unwrap().mask.apply(&mask, side, side);
            assert!(found == marked(&case[name], found.len()), "{name} of {size:?} at {side}");
        }
    }
}
