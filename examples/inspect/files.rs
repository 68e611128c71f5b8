//! Which files are meant by the paths on the command line.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Folders are searched for files with these endings.
const ENDINGS: [&str; 11] = ["bmp", "jpeg", "jpg", "pbm", "pgm", "png", "pnm", "ppm", "tif", "tiff", "webp"];

/// An image file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Input {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Its path under the folder that was named, or its file name: what outputs are called after.
    pub(crate) name: PathBuf,
}

/// Every file that is named, and every image under every folder that is named, in the order of their names.
pub(crate) fn inputs(paths: &[PathBuf]) -> io::Result<Vec<Input>> {
    let mut inputs = Vec::new();
    for path in paths {
        if !path.is_dir() {
            inputs.push(Input { path: path.clone(), name: path.file_name().map(PathBuf::from).unwrap_or_else(|| path.clone()) });
            continue;
        }
        let before = inputs.len();
        collect(path, path, &mut inputs)?;
        if inputs.len() == before {
            return Err(io::Error::new(io::ErrorKind::NotFound, format!("no images in {}", path.display())));
        }
    }
    Ok(inputs)
}

fn collect(root: &Path, folder: &Path, inputs: &mut Vec<Input>) -> io::Result<()> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", folder.display()));
    let mut entries = fs::read_dir(folder).map_err(named)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>().map_err(named)?;
    entries.sort();
    for path in entries {
        let ending = path.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
        if path.is_dir() {
            collect(root, &path, inputs)?;
        } else if ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str())) {
            let name = path.strip_prefix(root).unwrap_or(&path).to_path_buf();
            inputs.push(Input { path, name });
        }
    }
    Ok(())
}
