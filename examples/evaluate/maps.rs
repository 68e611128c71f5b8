//! Maps as pictures of numbers.

use std::{
    fs::{self, File},
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
};

use anomalygpt::{AnomalyMap, Error};
use tiff::{
    TiffError,
    encoder::{TiffEncoder, colortype::Gray32Float},
};

use crate::Failure;

/// Writes a map as a float TIFF into `folder`, under the image's name with all of its ending (so that `a.png` and `a.jpg` differ).
pub(crate) fn write(folder: &Path, name: &str, map: &AnomalyMap) -> Result<PathBuf, Failure> {
    let path = folder.join(format!("{}.tiff", name.trim_start_matches('/')));
    let io = |source| Error::Io { path: path.clone(), source };
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(io)?;
    }
    let mut file = BufWriter::new(File::create(&path).map_err(io)?);
    let written =
        TiffEncoder::new(&mut file).and_then(|mut encoder| encoder.write_image::<Gray32Float>(map.width(), map.height(), map.values()));
    written.map_err(|error| match error {
        TiffError::IoError(source) => Failure::from(io(source)),
        other => Failure::Other(format!("{}: {other}", path.display())),
    })?;
    // Dropped without this, a full disk would go unnoticed.
    file.flush().map_err(io)?;
    Ok(path)
}
