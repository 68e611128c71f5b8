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

use crate::chain::chain;

/// Where results go.
#[derive(Debug)]
pub(crate) struct Output {
    json: bool,
    heatmaps: Option<PathBuf>,
    maps: Option<PathBuf>,
    written: BTreeSet<PathBuf>,
}

impl Output {
    /// Prepares the folders.
    pub(crate) fn new(json: bool, heatmaps: Option<&Path>, maps: Option<&Path>) -> io::Result<Self> {
        for folder in [heatmaps, maps].into_iter().flatten() {
            fs::create_dir_all(folder).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", folder.display())))?;
        }
        Ok(Self { json, heatmaps: heatmaps.map(PathBuf::from), maps: maps.map(PathBuf::from), written: BTreeSet::new() })
    }

    /// Prints an inspection, and writes the pictures that were asked for.
    pub(crate) fn write(&mut self, input: &crate::Input, image: &DynamicImage, inspection: &Inspection) -> Result<(), Box<dyn Error>> {
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
    pub(crate) fn write_error(&self, input: &crate::Input, error: &(dyn Error + 'static)) -> io::Result<()> {
        let file = input.path.display().to_string();
        if self.json {
            writeln!(io::stdout().lock(), "{}", json!({ "file": file, "error": chain(error) }))?;
        }
        writeln!(io::stderr().lock(), "error: {file}: {}", chain(error))
    }

    /// A path in `folder` called after `name`, which no other image of this run has.
    fn free_path(&mut self, folder: &Path, name: &Path, ending: &str) -> io::Result<PathBuf> {
        let mut path = folder.join(name).with_extension(ending);
        let mut number = 2;
        while !self.written.insert(path.clone()) {
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

fn write_text(out: &mut impl Write, input: &crate::Input, inspection: &Inspection) -> io::Result<()> {
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

fn as_json(input: &crate::Input, inspection: &Inspection) -> Value {
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
