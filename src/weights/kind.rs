//! What a checkpoint is, by its tensors; their sizes; and whether several are of one model.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
};

use super::{Part, TensorSource, part};
use crate::error::{Error, Result};

/// What a checkpoint is, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CheckpointKind {
    /// ImageBind.
    ImageBind,
    /// LLaMA, or Vicuna after its delta was added.
    LanguageModel,
    /// The difference of Vicuna from LLaMA.
    VicunaDelta,
    /// PandaGPT's projection and adapters.
    PandaDelta,
    /// AnomalyGPT's decoder and prompt learner.
    AnomalyDelta,
    /// All parts in one, as `examples/convert` writes them.
    Whole,
    /// Something else.
    Unknown,
}

/// Every weight of a delta's final norm is below this; LLaMA's are about 1 or greater.
const GREATEST_NORM_OF_A_DELTA: f32 = 0.25;

impl CheckpointKind {
    /// Tells what a source is. Reads one norm's weights of a language model: a delta has the same names and shapes.
    ///
    /// # Errors
    /// Those of [`TensorSource::read`].
    pub fn of(source: &dyn TensorSource) -> Result<Self> {
        let (mut parts, unknown) = Part::all(source);
        parts.remove(&Part::Spare);
        let parts: Vec<Part> = parts.into_iter().collect();
        Ok(match parts.as_slice() {
            _ if !unknown.is_empty() => Self::Unknown,
            [Part::ImageBind] => Self::ImageBind,
            [Part::LanguageModel] if is_delta(source)? => Self::VicunaDelta,
            [Part::LanguageModel] => Self::LanguageModel,
            [Part::Projection, Part::Adapter] => Self::PandaDelta,
            [Part::Decoder, Part::PromptLearner] => Self::AnomalyDelta,
            [Part::ImageBind, Part::LanguageModel, Part::Projection, Part::Decoder, Part::PromptLearner] => Self::Whole,
            _ => Self::Unknown,
        })
    }
}

fn is_delta(source: &dyn TensorSource) -> Result<bool> {
    const NORM: &str = "model.norm.weight";
    if !source.tensors().contains_key(NORM) {
        return Ok(false);
    }
    let norm = source.read_f32(NORM)?;
    Ok(norm.as_slice::<f32>().is_ok_and(|values| values.iter().all(|value| value.abs() < GREATEST_NORM_OF_A_DELTA)))
}

impl fmt::Display for CheckpointKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::ImageBind => "ImageBind",
            Self::LanguageModel => "LLaMA or Vicuna",
            Self::VicunaDelta => "a Vicuna delta",
            Self::PandaDelta => "PandaGPT's delta",
            Self::AnomalyDelta => "AnomalyGPT's delta",
            Self::Whole => "the whole model, merged",
            Self::Unknown => "something else",
        })
    }
}

/// A size that more than one part of the model has, and must have alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Dimension {
    /// Width of ImageBind's image tower: 1280.
    VisionWidth,
    /// Blocks of the image tower: 32.
    VisionBlocks,
    /// Width of ImageBind's text tower: 1024.
    TextWidth,
    /// Blocks of the text tower: 24.
    TextBlocks,
    /// Width of the space that images and text share: 1024.
    JointWidth,
    /// Width of the language model: 4096, or 5120 of the 13B one.
    LanguageWidth,
    /// Layers of the language model: 32, or 40 of the 13B one.
    LanguageLayers,
    /// Width between the language model's feed-forward matrices: 11008, or 13824 of the 13B one.
    FeedForward,
    /// Pieces of the language model's vocabulary: 32000, or 32001 with a padding piece.
    Vocabulary,
    /// Rank of the adapters: 32.
    AdapterRank,
    /// Layers of the image tower that the decoder takes: 4.
    Taps,
}

impl fmt::Display for Dimension {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::VisionWidth => "width of the image tower",
            Self::VisionBlocks => "number of image blocks",
            Self::TextWidth => "width of the text tower",
            Self::TextBlocks => "number of text blocks",
            Self::JointWidth => "width of the shared space",
            Self::LanguageWidth => "width of the language model",
            Self::LanguageLayers => "number of language layers",
            Self::FeedForward => "feed-forward width",
            Self::Vocabulary => "vocabulary size",
            Self::AdapterRank => "rank of the adapters",
            Self::Taps => "number of taps",
        })
    }
}

/// A size, and the tensor or setting that has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Size {
    /// Which size.
    pub dimension: Dimension,
    /// How great it is.
    pub value: usize,
    /// The tensor (for a number of layers the last one's), or the setting's name.
    pub tensor: String,
    /// The file that it is in.
    pub file: PathBuf,
}

/// Two sizes that should be alike and are not: their files are not of one model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pairing {
    /// The one.
    pub first: Size,
    /// The other.
    pub second: Size,
}

impl fmt::Display for Pairing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, second } = self;
        let [left, right] = [first, second].map(|size| format!("{} of {} ({})", size.value, size.file.display(), size.tensor));
        write!(formatter, "the {} is {left}, and {right}: they are not of one model", first.dimension)
    }
}

/// A tensor and its axis that tell a size.
const AXES: [(Dimension, &str, usize); 17] = [
    (Dimension::VisionWidth, "modality_preprocessors.vision.cls_token", 2),
    (Dimension::VisionWidth, "modality_heads.vision.2.weight", 1),
    (Dimension::VisionWidth, "image_decoder.fc.0.weight", 1),
    (Dimension::TextWidth, "modality_preprocessors.text.token_embedding.weight", 1),
    (Dimension::TextWidth, "modality_heads.text.proj.1.weight", 1),
    (Dimension::JointWidth, "modality_heads.vision.2.weight", 0),
    (Dimension::JointWidth, "modality_heads.text.proj.1.weight", 0),
    (Dimension::JointWidth, "llama_proj.weight", 1),
    (Dimension::JointWidth, "image_decoder.fc.0.weight", 0),
    (Dimension::LanguageWidth, "model.embed_tokens.weight", 1),
    (Dimension::LanguageWidth, "llama_proj.weight", 0),
    (Dimension::LanguageWidth, "prompt_learner.base_prompts", 1),
    (Dimension::LanguageWidth, "prompt_learner.meta_net.15.weight", 0),
    (Dimension::LanguageWidth, "lm_head.weight", 1),
    (Dimension::FeedForward, "model.layers.0.mlp.up_proj.weight", 0),
    (Dimension::Vocabulary, "model.embed_tokens.weight", 0),
    (Dimension::Vocabulary, "lm_head.weight", 0),
];

/// Numbered tensors that tell how many there are.
const COUNTS: [(Dimension, &str, &str); 4] = [
    (Dimension::VisionBlocks, "modality_trunks.vision.blocks.", ".norm_1.weight"),
    (Dimension::TextBlocks, "modality_trunks.text.blocks.", ".norm_1.weight"),
    (Dimension::LanguageLayers, "model.layers.", ".self_attn.q_proj.weight"),
    (Dimension::Taps, "image_decoder.fc.", ".weight"),
];

impl Size {
    /// All sizes that a source's shapes tell; of a number that the tensors can't tell (heads) there is none.
    pub fn all(source: &dyn TensorSource) -> Vec<Self> {
        let mut sizes = vec![];
        let mut add =
            |dimension, value, tensor: &str, file: &Path| sizes.push(Self { dimension, value, tensor: tensor.into(), file: file.into() });
        for (dimension, tensor, axis) in AXES {
            if let Some((info, value)) = source.tensors().get(tensor).and_then(|info| Some((info, *info.shape.get(axis)?))) {
                add(dimension, value, tensor, &info.file);
            }
        }
        for (dimension, prefix, suffix) in COUNTS {
            let count = (0..).take_while(|index| source.tensors().contains_key(&format!("{prefix}{index}{suffix}"))).count();
            let last = format!("{prefix}{}{suffix}", count.saturating_sub(1));
            if let Some(info) = source.tensors().get(&last) {
                add(dimension, count, &last, &info.file);
            }
        }
        let mut adapted = BTreeMap::new();
        for (name, info) in source.tensors() {
            if let Some((matrix, part::Factor::A)) = part::adapter(name) {
                if let [rank, width] = info.shape[..] {
                    adapted.entry(Dimension::AdapterRank).or_insert((rank, name, info));
                    adapted.entry(Dimension::LanguageWidth).or_insert((width, name, info));
                }
                let layer = matrix.strip_prefix("model.layers.").and_then(|rest| rest.split('.').next()?.parse::<usize>().ok());
                let layers = layer.map_or(0, |layer| layer.saturating_add(1));
                let known = adapted.entry(Dimension::LanguageLayers).or_insert((layers, name, info));
                *known = if layers > known.0 { (layers, name, info) } else { *known };
            }
        }
        for (dimension, (value, tensor, info)) in adapted {
            add(dimension, value, tensor, &info.file);
        }
        sizes
    }

    /// A setting, to be compared with the tensors: `vocab_size` of a language model's `config.json`.
    pub fn setting(dimension: Dimension, value: usize, name: &str, file: &Path) -> Self {
        Self { dimension, value, tensor: name.into(), file: file.into() }
    }
}

/// All pairs of sizes that should be alike and are not, one a dimension and file.
pub fn mismatches(sizes: &[Size]) -> Vec<Pairing> {
    let mut first: BTreeMap<Dimension, &Size> = BTreeMap::new();
    let (mut seen, mut pairs) = (BTreeSet::new(), vec![]);
    for size in sizes {
        let known = *first.entry(size.dimension).or_insert(size);
        if known.value != size.value && seen.insert((size.dimension, &size.file)) {
            pairs.push(Pairing { first: known.clone(), second: size.clone() });
        }
    }
    pairs
}

/// Checks that sources, and settings beside them, are of one model.
///
/// # Errors
/// [`Error::Pairing`] with both files, tensors and sizes: adapters of a 13B model on a 7B one, an embedding of 32,001 rows with a
/// vocabulary of 32,000, and the like.
pub fn check_pairing(sources: &[&dyn TensorSource], settings: &[Size]) -> Result<()> {
    let mut sizes: Vec<Size> = sources.iter().flat_map(|source| Size::all(*source)).collect();
    sizes.extend_from_slice(settings);
    match mismatches(&sizes).into_iter().next() {
        Some(pairing) => Err(Error::Pairing(Box::new(pairing))),
        None => Ok(()),
    }
}
