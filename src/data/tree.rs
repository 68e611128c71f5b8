//! Folders by class and kind, which several layouts have in common.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use super::{Dataset, Label, MaskValues, Problem, Sample, Split};
use crate::error::{Error, Result};

/// Files with these endings, in small or capital letters, are images.
const ENDINGS: [&str; 11] = ["bmp", "jpeg", "jpg", "pbm", "pgm", "png", "pnm", "ppm", "tif", "tiff", "webp"];

/// What a mask's name may have behind its photograph's.
const MASK_SUFFIX: &str = "_mask";

/// A layout of the form `CLASS/{SPLIT/KIND/IMAGE, TRUTH/KIND/MASK}`.
#[derive(Debug)]
pub(super) struct Tree {
    /// Folders of splits, the first of which a class must have.
    pub(super) splits: &'static [(&'static str, Split)],
    /// The kind that is normal.
    pub(super) normal: &'static str,
    /// Folder of the masks under a class.
    pub(super) truth: &'static str,
    /// Where masks lie and what they say.
    pub(super) masks: Masks,
}

/// Where a photograph's masks lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Masks {
    /// In a file of its name, or of its name and "_mask".
    File,
    /// In a folder of its name, one a defect, with numbers of defects as values.
    Folder,
}

impl Tree {
    /// Lists all classes under `root`, or `root` itself where it is a class.
    pub(super) fn open(&self, root: &Path) -> Result<Dataset> {
        let is_class = |folder: &Path| self.splits.iter().any(|(name, _)| folder.join(name).is_dir());
        let (classes, root) = match is_class(root) {
            true => (vec![root.to_path_buf()], root),
            false => (subfolders(root)?.into_iter().filter(|folder| is_class(folder)).collect(), root),
        };
        if classes.is_empty() {
            let wanted: Vec<_> = self.splits.iter().map(|(name, _)| *name).collect();
            return Err(Error::dataset(root, format!("no folder in it has a folder {}", wanted.join(" or "))));
        }
        let (mut samples, mut problems) = (Vec::new(), Vec::new());
        for class in &classes {
            self.list_class(root, class, &mut samples, &mut problems)?;
        }
        Dataset::new(root, samples, problems)
    }

    fn list_class(&self, root: &Path, class: &Path, samples: &mut Vec<Sample>, problems: &mut Vec<Problem>) -> Result<()> {
        for &(split_name, split) in self.splits {
            let folder = class.join(split_name);
            if !folder.is_dir() {
                continue;
            }
            for kind in subfolders(&folder)? {
                if kind == class.join(self.truth) {
                    continue;
                }
                let kind_name = file_name(&kind);
                let label = if kind_name == self.normal { Label::Normal } else { Label::Anomalous };
                let images = images(&kind)?;
                let masks = match label {
                    Label::Normal => vec![Vec::new(); images.len()],
                    Label::Anomalous => self.masks_of(&class.join(self.truth).join(&kind_name), &images, problems)?,
                };
                samples.extend(images.into_iter().zip(masks).map(|(image, masks)| Sample {
                    name: name_under(root, &image),
                    class: class_name(class),
                    kind: kind_name.clone(),
                    label,
                    split,
                    image,
                    masks,
                    mask_values: if self.masks == Masks::Folder { MaskValues::Ids } else { MaskValues::Grey },
                }));
            }
        }
        Ok(())
    }

    /// The masks of each image.
    fn masks_of(&self, folder: &Path, images: &[PathBuf], problems: &mut Vec<Problem>) -> Result<Vec<Vec<PathBuf>>> {
        if !folder.is_dir() {
            problems.extend(images.iter().map(|image| Problem::MissingMask { image: image.clone() }));
            return Ok(vec![Vec::new(); images.len()]);
        }
        match self.masks {
            Masks::File => Ok(mask_files(&self::images(folder)?, images, problems)),
            Masks::Folder => images
                .iter()
                .map(|image| {
                    let masks = folder.join(stem(image));
                    let masks = if masks.is_dir() { self::images(&masks)? } else { Vec::new() };
                    if masks.is_empty() {
                        problems.push(Problem::MissingMask { image: image.clone() });
                    }
                    Ok(masks)
                })
                .collect(),
        }
    }
}

/// The mask of each image among `files`, by name.
pub(super) fn mask_files(files: &[PathBuf], images: &[PathBuf], problems: &mut Vec<Problem>) -> Vec<Vec<PathBuf>> {
    let mut wanted: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, image) in images.iter().enumerate() {
        wanted.entry(stem(image)).or_default().push(index);
    }
    let mut found: BTreeMap<&str, Vec<PathBuf>> = BTreeMap::new();
    for file in files {
        let name = stem(file);
        let bare = name.strip_suffix(MASK_SUFFIX).unwrap_or(&name);
        match wanted.get_key_value(&name).or_else(|| wanted.get_key_value(bare)) {
            Some((key, _)) => found.entry(key).or_default().push(file.clone()),
            None => problems.push(Problem::StrayMask { mask: file.clone() }),
        }
    }
    let mut masks = vec![Vec::new(); images.len()];
    for (name, indices) in &wanted {
        let files = found.remove(name.as_str()).unwrap_or_default();
        match (&indices[..], &files[..]) {
            (&[index], [_]) => masks[index] = files,
            (indices, []) => problems.extend(indices.iter().map(|&index| Problem::MissingMask { image: images[index].clone() })),
            (indices, _) => {
                let others = indices.iter().skip(1).map(|&index| images[index].clone()).chain(files).collect();
                problems.push(Problem::AmbiguousMask { image: images[indices[0]].clone(), others });
            }
        }
    }
    masks
}

/// The images that lie in a folder, by name.
pub(super) fn images(folder: &Path) -> Result<Vec<PathBuf>> {
    let is_image = |path: &PathBuf| {
        let ending = path.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
        ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str())) && !path.is_dir()
    };
    Ok(entries(folder)?.into_iter().filter(is_image).collect())
}

/// The folders that lie in a folder, by name.
pub(super) fn subfolders(folder: &Path) -> Result<Vec<PathBuf>> {
    Ok(entries(folder)?.into_iter().filter(|path| path.is_dir()).collect())
}

/// All that lies in a folder, by name; hidden files are not seen.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let io_error = |source| Error::io(folder, source);
    let mut paths =
        fs::read_dir(folder).map_err(io_error)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, _>>().map_err(io_error)?;
    paths.retain(|path| !file_name(path).starts_with('.'));
    paths.sort();
    Ok(paths)
}

/// Path under `root` with `/` between its parts, the whole path where it lies elsewhere.
pub(super) fn name_under(root: &Path, path: &Path) -> String {
    let parts = path.strip_prefix(root).unwrap_or(path);
    parts.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
}

/// A folder's name, its real one where the path ends in `.` or `..`.
pub(super) fn class_name(folder: &Path) -> String {
    let name = file_name(folder);
    match name.is_empty() {
        true => fs::canonicalize(folder).map(|path| file_name(&path)).unwrap_or_default(),
        false => name,
    }
}

pub(super) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}
