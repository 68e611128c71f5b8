//! The command line of `examples/inspect`, run as a program.
#![cfg(all(feature = "flex", feature = "mini"))]
#![allow(missing_docs, clippy::unwrap_used)]

mod program;

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use image::{ColorType, Rgb, RgbImage};
use serde_json::Value;
use tempfile::TempDir;
use tiff::{
    ColorType as TiffColor,
    decoder::{Decoder, DecodingResult},
};

use program::{stderr, stdout};

/// Width and height of the drawn photographs.
const SIZE: (u32, u32) = (60, 40);

fn run<I: AsRef<OsStr>>(arguments: impl IntoIterator<Item = I>) -> Output {
    program::run("inspect", arguments)
}

/// Every line of the standard output, each a JSON object.
fn lines(output: &Output) -> Vec<Value> {
    let lines: Vec<Value> = stdout(output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().all(Value::is_object), "{}", stdout(output));
    lines
}

/// A plate with a dark spot, as a PNG at `path`.
fn photograph(path: &Path) -> PathBuf {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let spot = |x: u32, y: u32| x.abs_diff(15) < 5 && y.abs_diff(28) < 5;
    let level = |x: u32, y: u32| if spot(x, y) { 20 } else { ((x * 7 + y * 5) % 31) as u8 + 120 };
    RgbImage::from_fn(SIZE.0, SIZE.1, |x, y| Rgb([level(x, y); 3])).save(path).unwrap();
    path.to_path_buf()
}

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

#[test]
fn json_is_one_object_a_line_with_all_keys() {
    let folder = TempDir::new().unwrap();
    let images = ["one.png", "two.png"].map(|name| photograph(&folder.path().join(name)));
    let output = run([OsStr::new("--json"), images[0].as_ref(), images[1].as_ref()]);
    assert!(output.status.success(), "{}", stderr(&output));
    let lines = lines(&output);
    assert_eq!(lines.len(), 2);
    for (line, path) in lines.iter().zip(&images) {
        assert_eq!(keys(line), ["answer", "file", "probability", "regions", "score", "verdict"]);
        assert_eq!(line["file"].as_str().unwrap(), path.to_str().unwrap());
        assert!(["normal", "anomalous", "undecided"].contains(&line["verdict"].as_str().unwrap()), "{line}");
        assert!(["probability", "score"].iter().all(|key| (0.0..=1.0).contains(&line[key].as_f64().unwrap())), "{line}");
        assert!(!line["answer"].as_str().unwrap().is_empty());
        for region in line["regions"].as_array().unwrap() {
            assert_eq!(keys(region), ["area", "bbox", "peak", "place"]);
            let bbox: Vec<u64> = region["bbox"].as_array().unwrap().iter().map(|side| side.as_u64().unwrap()).collect();
            assert!(bbox[0] + bbox[2] <= SIZE.0.into() && bbox[1] + bbox[3] <= SIZE.1.into(), "{bbox:?}");
        }
    }
}

#[test]
fn a_wrong_flag_exits_with_2_and_the_usage() {
    let output = run(["--heatmaps", "out"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--heatmaps") && stderr(&output).contains("Usage: inspect"), "{}", stderr(&output));
    assert!(output.stdout.is_empty());
}

#[test]
fn bad_files_are_reported_and_the_others_inspected() {
    let folder = TempDir::new().unwrap();
    let [first, missing, empty, text, last] =
        ["first.png", "missing.png", "empty.png", "text.png", "last.png"].map(|name| folder.path().join(name));
    fs::write(&empty, []).unwrap();
    fs::write(&text, "a shopping list").unwrap();
    photograph(&first);
    photograph(&last);
    let files = [&first, &missing, &empty, &text, &last];

    let output = run(files);
    assert_eq!(output.status.code(), Some(1));
    for path in [&missing, &empty, &text] {
        assert!(stderr(&output).contains(path.to_str().unwrap()), "{}", stderr(&output));
    }
    assert_eq!(stderr(&output).lines().count(), 3, "{}", stderr(&output));
    assert_eq!(stdout(&output).matches("verdict").count(), 2, "{}", stdout(&output));

    let output = run([OsStr::new("--json")].into_iter().chain(files.map(|path| path.as_os_str())));
    assert_eq!(output.status.code(), Some(1));
    let lines = lines(&output);
    for (line, path) in lines.iter().zip(files) {
        assert_eq!(line["file"].as_str().unwrap(), path.to_str().unwrap());
        assert_eq!(line["error"].is_string(), ![&first, &last].contains(&path), "{line}");
    }
    assert_eq!(lines.len(), files.len());
}

#[test]
fn heatmaps_and_maps_have_the_size_of_the_image() {
    let folder = TempDir::new().unwrap();
    let image = photograph(&folder.path().join("part.png"));
    let [heatmaps, maps] = ["new/heatmaps", "new/maps"].map(|name| folder.path().join(name));
    let output =
        run([OsStr::new("--heatmap"), heatmaps.as_ref(), OsStr::new("--map"), maps.as_ref(), OsStr::new("--json"), image.as_ref()]);
    assert!(output.status.success(), "{}", stderr(&output));

    let overlay = image::open(heatmaps.join("part.png")).unwrap();
    assert_eq!(((overlay.width(), overlay.height()), overlay.color()), (SIZE, ColorType::Rgb8));

    let mut tiff = Decoder::new(fs::File::open(maps.join("part.tiff")).unwrap()).unwrap();
    assert_eq!((tiff.dimensions().unwrap(), tiff.colortype().unwrap()), (SIZE, TiffColor::Gray(32)));
    let DecodingResult::F32(values) = tiff.read_image().unwrap() else { panic!("the map's values are not 32-bit floats") };
    assert_eq!(values.len(), (SIZE.0 * SIZE.1) as usize);
    assert!(values.iter().all(|value| (0.0..=1.0).contains(value)));
    for region in lines(&output)[0]["regions"].as_array().unwrap() {
        let peak = region["peak"].as_f64().unwrap() as f32;
        assert!(values.contains(&peak), "no pixel of the map has the region's peak {peak}");
    }
}

#[test]
fn a_folder_without_images_is_an_error() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("notes.txt"), "no photograph").unwrap();
    for arguments in [vec![folder.path().as_os_str()], vec![OsStr::new("--normal"), folder.path().as_os_str()]] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(1));
        assert!(
            stderr(&output).contains("no images in") && stderr(&output).contains(folder.path().to_str().unwrap()),
            "{}",
            stderr(&output)
        );
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn two_inputs_of_one_name_do_not_overwrite_each_other() {
    let folder = TempDir::new().unwrap();
    let [left, right] = ["left/part.png", "right/part.png"].map(|name| photograph(&folder.path().join(name)));
    let [heatmaps, maps] = ["heatmaps", "maps"].map(|name| folder.path().join(name));
    let output = run([OsStr::new("--heatmap"), heatmaps.as_ref(), OsStr::new("--map"), maps.as_ref(), left.as_ref(), right.as_ref()]);
    assert!(output.status.success(), "{}", stderr(&output));
    for (folder, ending) in [(heatmaps, "png"), (maps, "tiff")] {
        let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, [format!("part-2.{ending}"), format!("part.{ending}")]);
    }
}

#[test]
fn photographs_are_not_written_over() {
    let folder = TempDir::new().unwrap();
    let [part, normal] = ["part.png", "part-2.png"].map(|name| photograph(&folder.path().join(name)));
    let before = [&part, &normal].map(|path| fs::read(path).unwrap());
    // The same folder by another name.
    let heatmaps = folder.path().join("new/..");
    fs::create_dir(folder.path().join("new")).unwrap();
    let output = run([part.as_ref(), OsStr::new("--normal"), normal.as_ref(), OsStr::new("--heatmap"), heatmaps.as_ref()]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!([&part, &normal].map(|path| fs::read(path).unwrap()), before);
    assert!(folder.path().join("part-3.png").is_file());
}

#[test]
fn images_that_only_follow_normal_are_not_taken_for_the_sample() {
    let folder = TempDir::new().unwrap();
    let image = photograph(&folder.path().join("part.png"));
    let output = run([OsStr::new("--normal"), image.as_ref(), image.as_ref()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("--normal") && output.stdout.is_empty(), "{}", stderr(&output));
}

#[test]
fn a_broken_normal_image_and_an_endless_description_are_errors() {
    let folder = TempDir::new().unwrap();
    let image = photograph(&folder.path().join("part.png"));
    let broken = folder.path().join("broken.png");
    fs::write(&broken, "no image").unwrap();
    let endless = "a".repeat(100_000);
    for (arguments, told) in
        [([OsStr::new("--normal"), broken.as_ref()], "broken.png"), ([OsStr::new("--describe"), endless.as_ref()], "limit")]
    {
        let output = run([image.as_os_str()].into_iter().chain(arguments));
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(told) && output.stdout.is_empty(), "{}", stderr(&output));
    }
}

#[test]
fn without_arguments_the_sample_is_inspected() {
    let output = run::<&str>([]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("the sample that ships with the crate"), "{}", stderr(&output));
    assert!(stdout(&output).starts_with("sample.png\n  answer "), "{}", stdout(&output));
}

#[test]
fn folders_normal_images_and_a_description_are_taken() {
    let folder = TempDir::new().unwrap();
    let normal = photograph(&folder.path().join("good/a.png"));
    photograph(&folder.path().join("parts/deep/b.png"));
    fs::write(folder.path().join("parts/notes.txt"), "no photograph").unwrap();
    let parts = folder.path().join("parts");
    let output = run([
        OsStr::new("--json"),
        OsStr::new("--describe"),
        OsStr::new("a metal plate"),
        OsStr::new("--question"),
        OsStr::new("How many anomalies are there in the image?"),
        parts.as_ref(),
        OsStr::new("--normal"),
        normal.as_ref(),
    ]);
    assert!(output.status.success(), "{}", stderr(&output));
    let lines = lines(&output);
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["file"].as_str().unwrap(), parts.join("deep").join("b.png").to_str().unwrap());
    assert_eq!(lines[0]["regions"].as_array().unwrap().len(), 0, "the image is its own normal: {}", lines[0]);
}
