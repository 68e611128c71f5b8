//! ImageBind's published checkpoint: sizes from its tensors, and every tensor accounted for.

use burn::tensor::{DataError, Device, TensorData};

use super::{
    ImageBind, ImageBindConfig,
    keys::{self, Change, Entry},
    text::SentenceTowerConfig,
    vision::VisionTowerConfig,
};
use crate::{
    error::{Error, Result},
    weights::{Fault, Layout, StateDict, TensorSource},
};

impl ImageBind {
    /// Loads the published checkpoint; sizes are read from its tensors. Tensors of other kinds of input are left aside.
    ///
    /// # Errors
    /// [`Error::WeightsMismatch`] with all that is missing, unused or of another shape, under the published names;
    /// [`Error::Checkpoint`] for a file that is not ImageBind's or can't be read;
    /// [`Error::InvalidConfig`] for heads or taps that do not fit the sizes.
    pub fn load(config: &ImageBindConfig, weights: &dyn TensorSource, device: &Device) -> Result<Self> {
        let (vision, frames) = vision_config(config, weights)?;
        let text = text_config(config, weights)?;
        let (vision_table, text_table) = (keys::vision(&vision, frames), keys::text(&text));
        check(weights, &[&vision_table, &text_table])?;
        // Settings that don't fit are found before anything is read.
        let (vision, text) = (vision.init(device)?, text.init(device)?);
        let vision = fill(weights, &vision_table)?.load_into(vision, Layout::PyTorch)?;
        Self::new(vision, fill(weights, &text_table)?.load_into(text, Layout::PyTorch)?)
    }
}

fn vision_config(config: &ImageBindConfig, weights: &dyn TensorSource) -> Result<(VisionTowerConfig, usize)> {
    let [width, _, frames, patch, _] = shape(weights, "modality_preprocessors.vision.rgbt_stem.proj.1.weight")?;
    let [_, positions, _] = shape(weights, "modality_preprocessors.vision.pos_embedding_helper.pos_embed")?;
    let [feed_forward, _] = shape(weights, "modality_trunks.vision.blocks.0.mlp.fc1.weight")?;
    let [output, _] = shape(weights, "modality_heads.vision.2.weight")?;
    let (blocks, grid) = (blocks(weights, "vision"), positions.saturating_sub(1).isqrt());
    let (heads, taps) = (config.vision_heads, config.taps.clone());
    Ok((VisionTowerConfig { width, blocks, heads, feed_forward, patch, grid, output, taps }, frames))
}

fn text_config(config: &ImageBindConfig, weights: &dyn TensorSource) -> Result<SentenceTowerConfig> {
    let [vocabulary, width] = shape(weights, "modality_preprocessors.text.token_embedding.weight")?;
    let [_, context, _] = shape(weights, "modality_preprocessors.text.pos_embed")?;
    let [feed_forward, _] = shape(weights, "modality_trunks.text.blocks.0.mlp.fc1.weight")?;
    let [output, _] = shape(weights, "modality_heads.text.proj.1.weight")?;
    let (blocks, heads) = (blocks(weights, "text"), config.text_heads);
    Ok(SentenceTowerConfig { vocabulary, context, width, blocks, heads, feed_forward, output })
}

/// The shape of a tensor that sizes are read from.
fn shape<const D: usize>(weights: &dyn TensorSource, name: &str) -> Result<[usize; D]> {
    let found = &weights.info(name)?.shape;
    let misfit = || format!("{name}: expected {D} axes, found {found:?}");
    <[usize; D]>::try_from(found.as_slice()).map_err(|_| mismatch(weights, vec![], vec![], vec![misfit()]))
}

/// How many blocks a tower has: one more than the highest index, so that a gap is seen as missing.
fn blocks(weights: &dyn TensorSource, kind: &str) -> usize {
    let prefix = format!("modality_trunks.{kind}.blocks.");
    let index = |name: &str| name.strip_prefix(&prefix)?.split('.').next()?.parse::<usize>().ok();
    let present = weights.tensors().keys().filter_map(|name| index(name));
    present.max().map_or(0, |last| last.saturating_add(1))
}

fn check(weights: &dyn TensorSource, tables: &[&[Entry]]) -> Result<()> {
    let entries = || tables.iter().copied().flatten();
    let (mut missing, mut misfits) = (vec![], vec![]);
    for Entry { source, shape, .. } in entries() {
        match weights.tensors().get(source) {
            None => missing.push(source.clone()),
            Some(info) if info.shape != *shape || !info.dtype.is_float() => {
                misfits.push(format!("{source}: expected floats {shape:?}, found {:?} {:?}", info.dtype, info.shape));
            }
            Some(_) => {}
        }
    }
    let known: std::collections::BTreeSet<&str> = entries().map(|entry| entry.source.as_str()).collect();
    let spare = |name: &str| known.contains(name) || keys::is_spare(name);
    let unused: Vec<String> = weights.tensors().keys().filter(|name| !spare(name)).cloned().collect();
    if missing.is_empty() && misfits.is_empty() && unused.is_empty() { Ok(()) } else { Err(mismatch(weights, missing, unused, misfits)) }
}

fn mismatch(weights: &dyn TensorSource, missing: Vec<String>, unused: Vec<String>, misfits: Vec<String>) -> Error {
    Error::WeightsMismatch { origin: weights.origin().display().to_string(), missing, unused, misfits }
}

/// A tower's parameters under their paths.
fn fill(weights: &dyn TensorSource, table: &[Entry]) -> Result<StateDict> {
    let mut filled = StateDict::new(weights.origin().display().to_string());
    for Entry { source, target, change, .. } in table {
        let wrong = |_| Error::tensor(weights.origin(), source, Fault::DType("not floats".into()));
        filled.insert(target, changed(weights.read_f32(source)?, *change).map_err(wrong)?);
    }
    Ok(filled)
}

fn changed(data: TensorData, change: Change) -> Result<TensorData, DataError> {
    match (change, &data.shape().to_vec()[..]) {
        (Change::Vector, []) => Ok(TensorData::new(data.try_to_vec::<f32>()?, [1])),
        (Change::SumFrames, &[width, channels, frames, rows, columns]) => {
            let cells = rows * columns;
            let sum = |kernel: &[f32]| (0..cells).map(|cell| kernel.iter().skip(cell).step_by(cells).sum()).collect::<Vec<f32>>();
            let summed: Vec<f32> = data.as_slice::<f32>()?.chunks_exact((frames * cells).max(1)).flat_map(sum).collect();
            Ok(TensorData::new(summed, [width, channels * cells]))
        }
        _ => Ok(data),
    }
}
