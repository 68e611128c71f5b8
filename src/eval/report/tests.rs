//! The report of a small run.
#![allow(clippy::unwrap_used)]

use std::fs;

use image::{GrayImage, Rgb, RgbImage};

use super::*;
use crate::{
    AnomalyMap, Place, Region,
    eval::{Evaluator, Metric, Observation, Protocol},
};

const HOSTILE: &str = "<script>alert(\"x\")</script>|'&";

fn map(index: u32) -> AnomalyMap {
    AnomalyMap::new(8, 8, (0..64).map(|pixel| if pixel % 8 < 2 { 0.1 + index as f32 / 20.0 } else { 0.02 * (pixel / 8) as f32 }).collect())
        .unwrap()
}

fn image(index: u32) -> ImageResult {
    let anomalous = index % 2 == 1;
    ImageResult {
        file: format!("{HOSTILE}/{index}.png"),
        class: HOSTILE.into(),
        anomalous,
        score: if index == 3 { 0.0 } else { index as f32 / 10.0 },
        verdict: Some(Verdict::from_probability(if anomalous && index != 3 { 0.9 } else { 0.2 })),
        probability: Some(0.25),
        answer: Some(format!("Yes, {HOSTILE}")),
        mask: anomalous.then(|| "mask.png".into()),
    }
}

fn round(number: u32, images: u32) -> RoundResults {
    let mask = GrayImage::from_fn(8, 8, |x, _| image::Luma([if x < 2 { 255 } else { 0 }]));
    let images: Vec<ImageResult> = (0..images).map(image).collect();
    let protocols = [Protocol::mvtec_official(), Protocol::anomalygpt_orig()].map(|protocol| {
        let mut evaluator = Evaluator::new(&protocol);
        for (image, index) in images.iter().zip(0..) {
            let (map, class) = (map(index + number), image.class.as_str());
            let mask = image.anomalous.then_some(&mask);
            let observation = Observation::new(class, image.anomalous, image.score);
            evaluator.add(&Observation { map: Some(&map), mask, verdict: image.verdict, regions: Some(&[]), ..observation }).unwrap();
        }
        evaluator.finish().unwrap()
    });
    let failures = vec![Failure { file: HOSTILE.into(), reason: "broken".into() }];
    let cost = Some(Cost { seconds_an_image: 0.0125, memory_bytes: Some(7_500_000), ..Cost::default() });
    let normals = vec![format!("train/good/{HOSTILE}.png")];
    RoundResults { round: number, seed: number.into(), normals, seconds: 2.0, cost, protocols: protocols.into(), images, failures }
}

fn results() -> RunResults {
    let methods = [("ours", 0), ("ours", 1), (HOSTILE, 1)].map(|(method, shots)| MethodResults {
        method: method.into(),
        shots,
        rounds: (0..=shots).map(|number| round(number, 8 - 2 * shots)).collect(),
    });
    let about = About {
        dataset: HOSTILE.into(),
        model: "mini".into(),
        command: "evaluate --data 'a b'".into(),
        seed: 7,
        problems: vec![HOSTILE.into()],
        ..About::default()
    };
    RunResults { about, methods: methods.into(), published: published(&[1]) }
}

fn gallery(results: &RunResults) -> Gallery {
    let images = &results.methods[0].rounds[0].images;
    let photograph = RgbImage::from_fn(800, 400, |x, y| Rgb([x as u8, y as u8, 90]));
    let mask = GrayImage::from_pixel(800, 400, image::Luma([1]));
    let card = |ranked: Ranked| {
        let region = Region::new([10, 10, 50, 50], 9, 0.5, Place::Top);
        let map = map(ranked.index as u32).resize(800, 400).unwrap();
        Card::new((images[ranked.index].clone(), ranked.wrongness), &photograph, Some(&mask), Some((&map, &[region]))).unwrap()
    };
    let misses = worst_misses(images, 3).into_iter().map(card).collect();
    Gallery { caption: "ours".into(), misses, hits: best_hits(images, 2).into_iter().map(card).collect() }
}

#[test]
fn the_page_holds_all_and_needs_nothing() {
    let results = results();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.html");
    write_html(&path, &results, &gallery(&results)).unwrap();
    let page = fs::read_to_string(path).unwrap();
    assert!(!page.contains("<script") && !page.contains("http"), "no program, nothing from a network");
    for part in [
        "<svg",
        "mvtec-official",
        "anomalygpt-orig",
        "UniAD",
        "94.1 <small>± 1.1</small>",
        "data:image/jpeg;base64,",
        "id=\"failures\"",
        "<td>7.5</td>",
        "train/good/&lt;script",
    ] {
        assert!(page.contains(part), "{part} is missing");
    }
    for target in page.split("href=\"#").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert_eq!(page.matches(&format!("id=\"{target}\"")).count(), 1, "{target}");
    }
    let worst = page.find("id=\"miss-1\"").unwrap();
    assert!(page[worst..].starts_with("id=\"miss-1\"><h3>1. &lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;|&#39;&amp;/3.png"));
}

#[test]
fn results_come_back_as_they_were_saved() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("results.json");
    let results = results();
    results.save(&path).unwrap();
    let loaded = RunResults::load(&path).unwrap();
    assert_eq!(loaded.methods[2].rounds[1].images, results.methods[2].rounds[1].images);
    // serde_json reads numbers to the last place but one.
    let printed = |results: &RunResults| -> Vec<_> {
        let row = |row: &PublishedResults| {
            (row.cells(), [Metric::ImageAuroc, Metric::PixelAuroc, Metric::Accuracy].map(|metric| row.cell(metric)))
        };
        results.published.iter().map(row).collect()
    };
    assert_eq!((loaded.about.clone(), printed(&loaded)), (results.about.clone(), printed(&results)));
    let json: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let cost = &json["methods"][0]["rounds"][0]["cost"];
    assert_eq!((cost["seconds_an_image"].as_f64(), cost["memory_bytes"].as_u64()), (Some(0.0125), Some(7_500_000)));
    assert!(cost["peak_resident_bytes"].is_null() && json["published"][0]["method"] == "SPADE" && json["published"][0]["shots"] == 1);
    let row = &json["methods"][0]["rounds"][0]["images"][1];
    assert_eq!((&row["label"], &row["verdict"], &row["mask"]), (&"anomalous".into(), &"anomalous".into(), &"mask.png".into()));
    fs::write(&path, "{\"methods\": [{\"rounds\": 3}]}").unwrap();
    let error = RunResults::load(&path).unwrap_err();
    assert!(matches!(&error, Error::Results { path: named, .. } if *named == path), "{error:?}");
    assert!(matches!(RunResults::load(folder.path().join("none").as_path()), Err(Error::Io { .. })));
}

#[test]
fn markdown_is_tables() {
    let text = markdown(&results());
    let tables: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
    assert!(
        text.contains("### mvtec-official")
            && text.contains("### Published")
            && text.contains("| UniAD | MVTec-AD | all | Gu et al. 2024, Table 3 | 96.5 | 96.8 | – |")
            && text.contains("| ours | 1 | 12.5 | 0.0 | 0.00 | 7.5 | – |"),
        "{text}"
    );
    assert!(tables.iter().any(|line| line.starts_with("| &lt;script>alert(\"x\")&lt;/script>\\|'& | 1 |")), "{text}");
    let cells = |line: &str| line.replace("\\|", "").matches('|').count();
    assert_eq!(cells(tables[0]), cells(tables[2]));
    assert_eq!(markdown(&RunResults::default()).lines().count(), 1);
}

#[test]
fn images_are_ranked_by_how_wrong_they_are() {
    let images: Vec<ImageResult> = (0..8).map(image).collect();
    let worst = worst_misses(&images, 10);
    assert_eq!((worst[0].index, worst[0].wrongness), (3, 0.875), "below three of four normal images, tied with one");
    assert!(worst.windows(2).all(|pair| pair[0].wrongness >= pair[1].wrongness));
    assert!(best_hits(&images, 10).iter().map(|rank| rank.index).eq([7, 5, 1]), "without the one that was called normal");
    assert!(worst_misses(&images, 0).is_empty() && worst_misses(&[], 3).is_empty());
    let alone = [ImageResult { score: 0.5, ..ImageResult::default() }];
    assert!(worst_misses(&alone, 3).is_empty(), "nothing to compare with");
}
