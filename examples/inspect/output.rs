//! Results for people, for programs, and as pictures.

use std::{
    collections::BTreeSet,
    error::Error,
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use anomalygpt::{AnomalyMap, Inspection, Region, preprocess::to_rgb};
use image::DynamicImage;
use serde_json::{Value, json};
use tiff::encoder::{TiffEncoder, colortype::Gray32Float};

use crate::{chain::chain, files::Input, run::Inspect};

/// Where results go.
#[derive(Debug)]
pub(crate) struct Output {
    json: bool,
    heatmaps: Option<PathBuf>,
    maps: Option<PathBuf>,
    /// Files that are not to be written: photographs, and what was written before.
    taken: BTreeSet<PathBuf>,
}

impl Output {
    /// Prepares the folders; none of the `photographs` is written over.
    pub(crate) fn new(inspect: &Inspect, photographs: &[Input]) -> io::Result<Self> {
        let prepared = |folder: &PathBuf| {
            let made = fs::create_dir_all(folder).and_then(|()| fs::canonicalize(folder));
            made.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", folder.display())))
        };
        let [heatmaps, maps] = [&inspect.heatmap, &inspect.map].map(|folder| folder.as_ref().map(prepared).transpose());
        // What can't be found is told when it is read.
        let taken = photographs.iter().filter_map(|photograph| fs::canonicalize(&photograph.path).ok()).collect();
        Ok(Self { json: inspect.json, heatmaps: heatmaps?, maps: maps?, taken })
    }

    /// Prints an inspection, and writes the pictures that were asked for.
    pub(crate) fn write(&mut self, input: &Input, image: &DynamicImage, inspection: &Inspection) -> Result<(), Box<dyn Error>> {
        let detection = &inspection.detection;
        if let Some(folder) = self.heatmaps.clone() {
            let path = self.free_path(&folder, &input.name, "png")?;
            let overlay = detection.map.overlay(&to_rgb(image), &detection.regions)?;
            overlay.save(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        if let Some(folder) = self.maps.clone() {
            let path = self.free_path(&folder, &input.name, "tiff")?;
            write_tiff(&path, &detection.map).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        let mut out = io::stdout().lock();
        if self.json {
            writeln!(out, "{}", as_json(input, inspection))?;
        } else {
            write_text(&mut out, input, inspection)?;
        }
        Ok(())
    }

    /// Reports an image that could not be inspected.
    pub(crate) fn write_error(&self, input: &Input, error: &(dyn Error + 'static)) -> io::Result<()> {
        let file = input.path.display().to_string();
        if self.json {
            writeln!(io::stdout().lock(), "{}", json!({ "file": file, "error": chain(error) }))?;
        }
        writeln!(io::stderr().lock(), "error: {file}: {}", chain(error))
    }

    /// A path in `folder` called after `name`, which is neither a photograph's nor another image's of this run.
    fn free_path(&mut self, folder: &Path, name: &Path, ending: &str) -> io::Result<PathBuf> {
        let mut path = folder.join(name).with_extension(ending);
        let mut number = 2;
        while !self.taken.insert(target(&path)) {
            let stem = name.file_stem().unwrap_or(name.as_os_str()).to_string_lossy().into_owned();
            path = folder.join(name.with_file_name(format!("{stem}-{number}.{ending}")));
            number += 1;
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        Ok(path)
    }
}

/// What is written where `path` is written to: a link's own file.
fn target(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf())
}

fn write_text(out: &mut impl Write, input: &Input, inspection: &Inspection) -> io::Result<()> {
    let detection = &inspection.detection;
    writeln!(out, "{}", input.path.display())?;
    writeln!(out, "  answer       {}", inspection.answer)?;
    writeln!(out, "  verdict      {} (probability of an anomaly {:.3})", inspection.verdict, inspection.probability)?;
    writeln!(out, "  score        {:.4}", detection.score)?;
    for (index, region) in detection.regions.iter().enumerate() {
        let [x, y, width, height] = region.bbox;
        let place = region.place;
        writeln!(out, "  region {:<5} {place}: {width}x{height} pixels at ({x}, {y}), peak {:.3}", index + 1, region.peak)?;
    }
    Ok(())
}

fn as_json(input: &Input, inspection: &Inspection) -> Value {
    let region = |region: &Region| json!({ "bbox": region.bbox, "area": region.area, "peak": region.peak, "place": region.place.name() });
    json!({
        "file": input.path.display().to_string(),
        "verdict": inspection.verdict.name(),
        "probability": inspection.probability,
        "score": inspection.detection.score,
        "answer": inspection.answer,
        "regions": inspection.detection.regions.iter().map(region).collect::<Vec<_>>(),
    })
}

fn write_tiff(path: &Path, map: &AnomalyMap) -> Result<(), Box<dyn Error>> {
    let mut encoder = TiffEncoder::new(BufWriter::new(File::create(path)?))?;
    encoder.write_image::<Gray32Float>(map.width(), map.height(), map.values())?;
    Ok(())
}
