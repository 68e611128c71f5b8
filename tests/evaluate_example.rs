//! The command line of `examples/evaluate`, run as a program.
#![cfg(all(feature = "flex", feature = "mini", feature = "eval"))]
#![allow(missing_docs, clippy::unwrap_used)]

mod program;

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use image::{GrayImage, Luma, Rgb, RgbImage};
use serde_json::Value;
use tempfile::TempDir;
use tiff::decoder::{Decoder, DecodingResult};

use program::stderr;

/// Width and height of the drawn photographs.
const SIZE: (u32, u32) = (48, 40);

/// A plate whose grain depends on `seed`, with a dark spot where it is `damaged`.
fn photograph(path: &Path, seed: u32, damaged: bool) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let spot = |x: u32, y: u32| damaged && x.abs_diff(15) < 5 && y.abs_diff(28) < 5;
    let level = |x: u32, y: u32| if spot(x, y) { 20 } else { ((x * 7 + y * 5 + seed * x * y) % 31) as u8 + 120 };
    RgbImage::from_fn(SIZE.0, SIZE.1, |x, y| Rgb([level(x, y); 3])).save(path).unwrap();
}

/// A class with three normal images to learn from, two good ones and two damaged ones, of which one has a mask.
fn plates() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("plate");
    (0..3).for_each(|index| photograph(&root.join(format!("train/good/{index}.png")), index, false));
    (0..2).for_each(|index| photograph(&root.join(format!("test/good/{index}.png")), index + 3, false));
    (0..2).for_each(|index| photograph(&root.join(format!("test/spot/{index}.png")), index, true));
    fs::create_dir_all(root.join("ground_truth/spot")).unwrap();
    let mask = GrayImage::from_fn(SIZE.0, SIZE.1, |x, y| Luma([if x.abs_diff(15) < 5 && y.abs_diff(28) < 5 { 255 } else { 0 }]));
    mask.save(root.join("ground_truth/spot/0_mask.png")).unwrap();
    folder
}

fn run(folder: &TempDir, arguments: &[&str]) -> Output {
    let report = folder.path().join("out/report.html");
    let always = [OsStr::new("--data"), folder.path().as_ref(), OsStr::new("--report"), report.as_ref(), OsStr::new("--protocol")];
    let named = ["mvtec-official"].iter().chain(arguments).map(OsStr::new);
    program::run("evaluate", always.into_iter().chain(named))
}

fn results(folder: &TempDir) -> Value {
    serde_json::from_slice(&fs::read(folder.path().join("out/report.json")).unwrap()).unwrap()
}

/// Everything but how much time and memory it took.
fn numbers(folder: &TempDir) -> Value {
    let mut methods = results(folder)["methods"].take();
    for method in methods.as_array_mut().unwrap() {
        for round in method["rounds"].as_array_mut().unwrap() {
            round["seconds"] = Value::Null;
            round["cost"] = Value::Null;
        }
    }
    methods
}

fn journal(folder: &TempDir) -> PathBuf {
    folder.path().join("out/report.jsonl")
}

#[test]
fn an_interrupted_run_goes_on_and_gives_the_same_numbers() {
    let folder = plates();
    let arguments = ["--shots", "0", "1", "--method", "all", "--seed", "3"];
    let output = run(&folder, &arguments);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("spot/1.png is anomalous and has no mask"));
    let whole = numbers(&folder);
    let names: Vec<_> =
        whole.as_array().unwrap().iter().map(|method| (method["method"].as_str().unwrap(), method["shots"].as_u64().unwrap())).collect();
    let own = "AnomalyGPT (mini)";
    assert_eq!(names, [(own, 0), ("WinCLIP", 0), (own, 1), ("SPADE", 1), ("PaDiM", 1), ("PatchCore", 1), ("WinCLIP", 1)]);
    let images = whole[2]["rounds"][0]["images"].as_array().unwrap();
    assert_eq!(images.len(), 4);
    assert_eq!((images[3]["file"].as_str(), images[3]["label"].as_str()), (Some("plate/test/spot/1.png"), Some("anomalous")));
    assert!(images[0]["score"].is_number() && images[0]["answer"].is_string() && images[0]["verdict"].is_string());
    assert_eq!(images[2]["mask"].as_str(), Some("plate/ground_truth/spot/0_mask.png"));
    assert_eq!(whole[2]["rounds"][0]["protocols"][0]["classes"][0]["without_pixels"], 1);
    let html = fs::read_to_string(folder.path().join("out/report.html")).unwrap();
    assert!(html.contains("PatchCore") && html.contains("data:image/jpeg"));
    let all = results(&folder);
    assert!(all["published"].as_array().unwrap().iter().any(|row| row["method"] == "UniAD" && row["scores"]["pixel_auroc"] == 0.968));
    for method in all["methods"].as_array().unwrap() {
        let cost = &method["rounds"][0]["cost"];
        assert!(cost["seconds_an_image"].as_f64().unwrap() > cost["encoder_seconds_an_image"].as_f64().unwrap(), "{cost}");
        assert!(cost["memory_bytes"].as_u64().unwrap() > 10_000, "{cost}");
        assert_eq!(cost["peak_resident_bytes"].is_u64(), cfg!(target_os = "linux"), "{cost}");
    }

    // Killed within the last cell, in the middle of a line.
    let text = fs::read_to_string(journal(&folder)).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let kept = lines[..lines.len() - 3].join("\n") + "\n" + &lines[lines.len() - 3][..20];
    fs::write(journal(&folder), kept).unwrap();
    fs::remove_file(folder.path().join("out/report.json")).unwrap();
    assert!(run(&folder, &arguments).status.success());
    assert_eq!(numbers(&folder), whole);

    let other = run(&folder, &["--shots", "0", "1", "--method", "all", "--seed", "4"]);
    assert_eq!(other.status.code(), Some(2));
    assert!(stderr(&other).contains("seed was 3 and is 4"), "{}", stderr(&other));
    assert_eq!(numbers(&folder), whole);
}

/// Files larger than so many blocks of 512 bytes can't be written, as on a full disk.
#[cfg(unix)]
#[test]
fn a_full_disk_keeps_what_was_written_and_the_run_goes_on() {
    const BLOCK: usize = 512;
    let folder = plates();
    let arguments = ["--shots", "0", "1", "--seed", "3"];
    assert!(run(&folder, &arguments).status.success());
    let whole = numbers(&folder);
    let text = fs::read_to_string(journal(&folder)).unwrap();
    let first_cell = text.find("{\"cell\"").unwrap();
    let kept = first_cell + text[first_cell..].find('\n').unwrap() + 1;
    // Numbers of seconds differ in length from run to run.
    let blocks = kept / BLOCK + 2;
    assert!(blocks * BLOCK < text.len(), "the second cell must not fit");
    fs::remove_dir_all(folder.path().join("out")).unwrap();

    let mut limited = Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; ulimit -f \"$1\"; shift; exec \"$@\"", "sh", &blocks.to_string()]).arg(program::path("evaluate"));
    limited.arg("--data").arg(folder.path()).arg("--report").arg(folder.path().join("out/report.html"));
    let output = limited.args(["--protocol", "mvtec-official"]).args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("report.jsonl: "), "{}", stderr(&output));
    let left = fs::read_to_string(journal(&folder)).unwrap();
    assert!(left.matches("{\"cell\"").count() == 1 && left.ends_with('\n'), "the first cell stays, and no line is cut");
    let first: Vec<&str> = left.lines().take_while(|line| !line.starts_with("{\"cell\"")).collect();

    assert!(run(&folder, &arguments).status.success());
    assert_eq!(numbers(&folder), whole);
    let resumed = fs::read_to_string(journal(&folder)).unwrap();
    assert!(resumed.starts_with(&first.join("\n")), "the first cell was not evaluated again");
}

#[test]
fn an_unreadable_image_costs_its_row_or_with_strict_the_run() {
    let folder = plates();
    fs::write(folder.path().join("plate/test/good/1.png"), "no image").unwrap();
    let maps = folder.path().join("maps");
    let output = run(&folder, &["--shots", "0", "--maps", maps.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let round = &results(&folder)["methods"][0]["rounds"][0];
    assert_eq!(round["images"].as_array().unwrap().len(), 3);
    let failures = round["failures"].as_array().unwrap();
    assert_eq!((failures.len(), failures[0]["file"].as_str()), (1, Some("plate/test/good/1.png")));
    let map = fs::File::open(maps.join("anomalygpt/0-0/plate/test/spot/0.png.tiff")).unwrap();
    let mut map = Decoder::new(map).unwrap();
    assert_eq!(map.dimensions().unwrap(), SIZE);
    assert!(matches!(map.read_image().unwrap(), DecodingResult::F32(values) if values.len() == (SIZE.0 * SIZE.1) as usize));

    fs::remove_file(folder.path().join("plate/test/spot/1.png")).unwrap();
    let strict = run(&folder, &["--shots", "0", "--strict", "--restart"]);
    assert_eq!(strict.status.code(), Some(1));
    assert!(stderr(&strict).contains("plate/test/good/1.png"), "{}", stderr(&strict));
}

#[test]
fn bad_options_and_data_are_named() {
    let folder = plates();
    let refused = |arguments: &[&str], code: i32, reason: &str| {
        let output = run(&folder, arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?} {}", stderr(&output));
        assert!(stderr(&output).contains(reason), "{arguments:?} {}", stderr(&output));
    };
    refused(&["--format", "mvtecad"], 2, "visa-1cls");
    refused(&["--method", "unet"], 2, "patchcore");
    refused(&["--rounds", "0"], 2, "--rounds");
    refused(&["--class", "cup"], 2, "the data set has plate");
    refused(&["--normal-dir", "good"], 2, "--format folder");
    refused(&["--format", "visa"], 1, "1cls.csv");
    refused(&["--shots", "9"], 1, "more than the 3");
    assert!(!journal(&folder).exists(), "nothing is left that a run with right options would stumble over");
    refused(&["--visa-list", "2cls_fewshot"], 2, "--format visa only");
    refused(&["--normals", "list", "--draw", "fixed"], 2, "--draw");
    refused(&["--strict"], 1, "no mask");
    fs::create_dir_all(journal(&folder).parent().unwrap()).unwrap();
    for report in ["plate", "report.json", "REPORT.JSONL", "report.md"] {
        let report = folder.path().join(report);
        let output = program::run("evaluate", [OsStr::new("--data"), folder.path().as_ref(), OsStr::new("--report"), report.as_ref()]);
        assert!(output.status.code() == Some(2) && stderr(&output).contains("--report"), "{report:?} {}", stderr(&output));
    }
    fs::write(journal(&folder), "{\"a\": 1}\n").unwrap();
    refused(&["--shots", "0"], 1, "no run of this program");
}
