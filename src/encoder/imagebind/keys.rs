//! ImageBind's published names, and which parameter of which tower each is.

use super::{text::SentenceTowerConfig, vision::VisionTowerConfig};

/// Kinds of input that the checkpoint knows besides images and text; nothing here uses them.
const OTHERS: [&str; 4] = ["audio", "depth", "thermal", "imu"];

/// A tensor of the checkpoint, and the parameter that it becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its published name.
    pub(super) source: String,
    /// Its published shape.
    pub(super) shape: Vec<usize>,
    /// The parameter's path in its tower.
    pub(super) target: String,
    /// What is done to it on the way.
    pub(super) change: Change,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    None,
    /// A kernel over frames, rows and columns, summed over frames, is a matrix over patches.
    SumFrames,
    /// A number becomes a vector of one.
    Vector,
}

/// Whether a tensor is not needed for images and text.
pub(super) fn is_spare(name: &str) -> bool {
    let mut parts = name.split('.');
    let known = parts.next().is_some_and(|part| part.starts_with("modality_")) && parts.next().is_some_and(|kind| OTHERS.contains(&kind));
    known || name == "modality_preprocessors.text.mask"
}

/// All tensors of the image tower; `frames` is how many frames its stem's kernel spans.
pub(super) fn vision(config: &VisionTowerConfig, frames: usize) -> Vec<Entry> {
    let VisionTowerConfig { width, blocks, feed_forward, patch, grid, output, .. } = *config;
    let mut table = vec![
        entry("modality_preprocessors.vision.cls_token", "cls_token", &[1, 1, width]),
        entry("modality_preprocessors.vision.pos_embedding_helper.pos_embed", "positions", &[1, grid * grid + 1, width]),
        Entry {
            change: Change::SumFrames,
            ..entry("modality_preprocessors.vision.rgbt_stem.proj.1.weight", "stem.weight", &[width, 3, frames, patch, patch])
        },
    ];
    table.extend(norm("modality_trunks.vision.pre_transformer_layer.0", "pre_norm", width));
    table.extend((0..blocks).flat_map(|index| block("vision", index, width, feed_forward)));
    table.extend(norm("modality_heads.vision.0", "norm", width));
    table.push(entry("modality_heads.vision.2.weight", "head.weight", &[output, width]));
    table
}

/// All tensors of the text tower.
pub(super) fn text(config: &SentenceTowerConfig) -> Vec<Entry> {
    let SentenceTowerConfig { vocabulary, context, width, blocks, feed_forward, output, .. } = *config;
    let mut table = vec![
        entry("modality_preprocessors.text.token_embedding.weight", "token_embedding.weight", &[vocabulary, width]),
        entry("modality_preprocessors.text.pos_embed", "positions", &[1, context, width]),
        Entry { change: Change::Vector, ..entry("modality_postprocessors.text.1.log_logit_scale", "log_logit_scale", &[]) },
    ];
    table.extend((0..blocks).flat_map(|index| block("text", index, width, feed_forward)));
    table.extend(norm("modality_heads.text.proj.0", "norm", width));
    table.push(entry("modality_heads.text.proj.1.weight", "head.weight", &[output, width]));
    table
}

fn entry(source: &str, target: &str, shape: &[usize]) -> Entry {
    Entry { source: source.into(), shape: shape.to_vec(), target: target.into(), change: Change::None }
}

fn norm(source: &str, target: &str, width: usize) -> [Entry; 2] {
    ["weight", "bias"].map(|part| entry(&format!("{source}.{part}"), &format!("{target}.{part}"), &[width]))
}

fn block(kind: &str, index: usize, width: usize, feed_forward: usize) -> Vec<Entry> {
    let from = |name: &str| format!("modality_trunks.{kind}.blocks.{index}.{name}");
    let to = |name: &str| format!("blocks.{index}.{name}");
    let linear = |source: [&str; 2], target: &str, outputs: usize, inputs: usize| {
        let [weight, bias] = source.map(&from);
        [entry(&weight, &to(&format!("{target}.weight")), &[outputs, inputs]), entry(&bias, &to(&format!("{target}.bias")), &[outputs])]
    };
    let mut table = vec![];
    table.extend(norm(&from("norm_1"), &to("norm_1"), width));
    table.extend(linear(["attn.in_proj_weight", "attn.in_proj_bias"], "in_proj", 3 * width, width));
    table.extend(linear(["attn.out_proj.weight", "attn.out_proj.bias"], "out_proj", width, width));
    table.extend(norm(&from("norm_2"), &to("norm_2"), width));
    table.extend(linear(["mlp.fc1.weight", "mlp.fc1.bias"], "fc1", feed_forward, width));
    table.extend(linear(["mlp.fc2.weight", "mlp.fc2.bias"], "fc2", width, feed_forward));
    table
}
