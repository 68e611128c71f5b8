//! Maps as pictures of numbers.

use std::{
    fs::{self, File},
    io::BufWriter,
    path::{Path, PathBuf},
};

use anomalygpt::AnomalyMap;
use tiff::encoder::{TiffEncoder, colortype::Gray32Float};

use crate::Failure;

/// Writes a map as a float TIFF into `folder`, under the image's name with all of its ending (so that `a.png` and `a.jpg` differ).
pub(crate) fn write(folder: &Path, name: &str, map: &AnomalyMap) -> Result<PathBuf, Failure> {
    let path = folder.join(format!("{}.tiff", name.trim_start_matches('/')));
    let fail = |error: String| Failure::Other(format!("{}: {error}", path.display()));
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(|error| fail(error.to_string()))?;
    }
    let file = BufWriter::new(File::create(&path).map_err(|error| fail(error.to_string()))?);
    let mut encoder = TiffEncoder::new(file).map_err(|error| fail(error.to_string()))?;
    encoder.write_image::<Gray32Float>(map.width(), map.height(), map.values()).map_err(|error| fail(error.to_string()))?;
    Ok(path)
}
