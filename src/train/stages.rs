//! The parts that are trained together, and their loss on a batch.

use burn::{
    module::Module,
    nn::Linear,
    tensor::{
        Bool, Int, Tensor, TensorData,
        activation::{log_sigmoid, sigmoid},
    },
};

use super::{
    LossParts, Losses,
    loss::{self, IGNORED, LossWeights, PixelLoss},
};
use crate::{
    decoder::{ContextDecoder, TextPair, mean_direction},
    encoder::{ImageFeatures, text_tower::TextTower},
    error::{Error, Result},
    llm::llama::LlamaNetwork,
    place::Place,
    prompt_learner::{ConvPromptLearner, PromptEmbeddings, PromptLearner},
    text::{
        Tokenizer,
        dialogue::{self, Supervised},
        ensemble::Ensemble,
    },
};

const PLACES: usize = Place::ALL.len();
/// Factor of the images' highest values beside the pixels of the context.
const PEAKS: f32 = 0.2;

/// A part that can be frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The encoder's text side.
    TextTower,
    /// The projections of patches into the text space.
    Decoder,
    /// Base embeddings, the net over the map, and the image token's projection.
    PromptLearner,
    /// The language model.
    Llm,
}

/// All that is trained: everything but the encoder's trunk.
#[derive(Module, Debug)]
pub struct Stages {
    /// The encoder's text side.
    pub text_tower: TextTower,
    /// Patches against texts.
    pub decoder: ContextDecoder,
    /// Map and image to embeddings.
    pub prompt_learner: ConvPromptLearner,
    /// The language model's network.
    pub llm: LlamaNetwork,
    /// Reads a place's anomaly off the vector that the prompt learner makes for it; of use in training alone.
    pub place_head: Linear,
}

/// Images whose trunk features are known, and what is wanted of them.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Features of the images; the patch tokens are of use to the pixels alone.
    pub features: ImageFeatures,
    /// What the decoder learns from them, if anything.
    pub pixels: Option<Pixels>,
    /// The map that the prompt learner sees instead of the decoder's own, `[batch, 1, height, width]`.
    pub map: Option<Tensor<4>>,
    /// What the prompt learner and the language model learn, if anything.
    pub answers: Option<Answers>,
}

/// What of the decoder learns from pixels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layer {
    /// The paper's layers, one a tap.
    Taps(Objects),
    /// The one that sees all taps and the patches around each, without a text.
    Context,
}

/// What the images of a batch show, for the texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objects {
    /// The objects in the batch, each once.
    pub names: Vec<String>,
    /// Index into [`names`](Self::names) of each image.
    pub of: Vec<usize>,
}

/// Where the images are anomalous, and what learns from it.
#[derive(Clone, Debug)]
pub struct Pixels {
    /// 1 where an image is anomalous, else 0, `[batch, 1, height, width]` at the size of the decoder's map.
    pub masks: Tensor<4>,
    /// What learns from them.
    pub layer: Layer,
}

/// What is said about the images.
#[derive(Clone, Debug)]
pub struct Answers {
    /// 1 where an anomaly's centroid is in a place, else 0, `[batch, 9]` row by row.
    pub places: Tensor<2>,
    /// What is asked and answered about each image.
    pub dialogues: Vec<Supervised>,
}

impl Stages {
    /// Excludes a part from training.
    #[must_use]
    pub fn freeze_part(mut self, part: Part) -> Self {
        match part {
            Part::TextTower => self.text_tower = self.text_tower.freeze(),
            Part::Decoder => self.decoder = self.decoder.freeze(),
            Part::PromptLearner => self.prompt_learner = self.prompt_learner.freeze(),
            Part::Llm => self.llm = self.llm.freeze(),
        }
        self
    }

    /// The loss of a batch: focal and dice of each layer, and the dialogue's cross-entropy (Eq. 3-6; the reference's `loss`), and beside
    /// them the peaks of the context's map and the places, each where the batch has what it needs.
    ///
    /// # Errors
    /// [`Error::Incompatible`] where batch and parts do not fit, [`Error::InvalidConfig`] for answers with neither pixels nor a
    /// map, and what the tokenizer reports.
    pub fn losses(&self, batch: &Batch, tokenizer: &Tokenizer) -> Result<Losses> {
        let nothing = Tensor::<1>::zeros([1], &batch.features.embedding.device());
        let [mut tokens, mut token_accuracy, mut place, mut peaks] = [(); 4].map(|()| nothing.clone());
        let (mut map, mut pixels) = (batch.map.clone(), None);
        if let Some(wanted) = &batch.pixels {
            let (probabilities, logits) = match &wanted.layer {
                Layer::Taps(objects) => {
                    let pair = self.text_pairs(objects, tokenizer)?;
                    (self.decoder.layer_probabilities(&batch.features, &pair)?, None)
                }
                Layer::Context => {
                    let logits = self.decoder.context_logits(&batch.features)?;
                    (sigmoid(logits.clone()), Some(logits))
                }
            };
            let [images, _, rows, columns] = probabilities.dims();
            fits("the masks of a batch", "its maps", [images, 1, rows, columns], wanted.masks.dims())?;
            if let Some(logits) = logits {
                peaks = loss::peaks(logits, wanted.masks.clone()) * PEAKS;
            }
            pixels = Some(PixelLoss::new(probabilities.clone(), wanted.masks.clone()));
            map = map.or_else(|| Some(probabilities.mean_dim(1)));
        }
        if let Some(answers) = &batch.answers {
            let needed = || Error::InvalidConfig { what: "batch", reason: "answers need a map, or pixels that give one".into() };
            let prompt = self.prompt_learner.prompt(&batch.features, map.ok_or_else(needed)?)?;
            let images = prompt.prompt.dims()[0];
            fits("the dialogues of a batch", "its images", [images], [answers.dialogues.len()])?;
            fits("the places of a batch", "its images", [images, PLACES], answers.places.dims())?;
            place = self.place_loss(&prompt, answers);
            (tokens, token_accuracy) = self.answer_loss(answers, prompt, tokenizer)?;
        }
        let number = |tensor: &Tensor<1>| tensor.clone().into_scalar::<f32>();
        let sum = |of: fn(&PixelLoss) -> &Tensor<1>| pixels.as_ref().map_or(0.0, |pixels| number(&of(pixels).clone().sum()));
        let parts = LossParts {
            cross_entropy: number(&tokens),
            focal: sum(|pixels| &pixels.focal),
            dice: sum(|pixels| &pixels.dice),
            peaks: number(&peaks),
            place: number(&place),
            token_accuracy: number(&token_accuracy),
        };
        Ok(Losses { total: loss::total(tokens, pixels, LossWeights::default()) + peaks + place, parts })
    }

    /// Unit vectors of each image's normal and abnormal object, `[batch, width]` each.
    fn text_pairs(&self, objects: &Objects, tokenizer: &Tokenizer) -> Result<TextPair> {
        let (mut normals, mut abnormals) = (Vec::new(), Vec::new());
        for object in &objects.names {
            let Ensemble { normal, abnormal } = Ensemble::new(object);
            for (sentences, directions) in [(normal, &mut normals), (abnormal, &mut abnormals)] {
                let sentences: Vec<&str> = sentences.iter().map(String::as_str).collect();
                directions.push(mean_direction(self.text_tower.encode(tokenizer, &sentences)?));
            }
        }
        let each = |directions: &[Tensor<2>]| {
            let chosen = objects.of.iter().map(|&object| directions.get(object).cloned()).collect::<Option<Vec<_>>>();
            let found = objects.of.iter().max().map_or(0, |last| last + 1);
            chosen.map(|chosen| Tensor::cat(chosen, 0)).ok_or(Error::Incompatible {
                left: "the objects of images",
                right: "the objects of their batch",
                expected: objects.names.len(),
                found,
            })
        };
        Ok(TextPair { normal: each(&normals)?, abnormal: each(&abnormals)? })
    }

    /// Binary cross-entropy of the places, read off the last nine vectors of the prompt.
    fn place_loss(&self, prompt: &PromptEmbeddings, answers: &Answers) -> Tensor<1> {
        let [_, rows, _] = prompt.prompt.dims();
        let vectors = prompt.prompt.clone().narrow(1, rows.saturating_sub(PLACES), PLACES.min(rows));
        let logits = self.place_head.forward(vectors).squeeze_dim::<2>(2);
        let right = answers.places.clone() * 2.0 - 1.0;
        -log_sigmoid(logits * right).mean()
    }

    /// Cross-entropy and accuracy of the dialogue's supervised tokens.
    fn answer_loss(&self, answers: &Answers, prompt: PromptEmbeddings, tokenizer: &Tokenizer) -> Result<(Tensor<1>, Tensor<1>)> {
        let images = answers.dialogues.len();
        let device = answers.places.device();
        let embed = |ids: &[u32]| {
            let ids: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
            let length = ids.len();
            self.llm.embed(Tensor::<2, Int>::from_data(TensorData::new(ids, [1, length]), &device)).repeat_dim(0, images)
        };
        let before = [vec![beginning(tokenizer)?], tokenizer.encode(dialogue::BEFORE)?].concat();
        let lead = vec![embed(&before), prompt.image, embed(&tokenizer.encode(dialogue::MIDDLE)?), prompt.prompt];
        let lead = Tensor::cat(lead, 1);
        let [_, lead_length, _] = lead.dims();
        let padded = Padded::of(&answers.dialogues, lead_length);
        let turns = self.llm.embed(Tensor::<2, Int>::from_data(padded.ids, &device));
        let keep = Tensor::<2, Bool>::from_data(padded.keep, &device);
        let states = self.llm.states(Tensor::cat(vec![lead, turns], 1), None, Some(keep))?;
        let Some((states, targets)) = loss::supervised(states, Tensor::from_data(padded.targets, &device)) else {
            let nothing = Tensor::zeros([1], &device);
            return Ok((nothing.clone(), nothing));
        };
        let logits = self.llm.head(states);
        Ok((loss::cross_entropy(logits.clone(), targets.clone()), loss::accuracy(logits, targets)))
    }
}

/// The id that prompts begin with.
fn beginning(tokenizer: &Tokenizer) -> Result<u32> {
    tokenizer.id("<s>").ok_or_else(|| Error::InvalidConfig { what: "tokenizer", reason: "it has no token <s>".into() })
}

/// Dialogues of one length, as tensors' data.
struct Padded {
    ids: TensorData,
    keep: TensorData,
    targets: TensorData,
}

impl Padded {
    /// Pads on the right; `keep` and `targets` also cover the `lead` positions before the dialogue.
    fn of(dialogues: &[Supervised], lead: usize) -> Self {
        let images = dialogues.len();
        let length = dialogues.iter().map(|dialogue| dialogue.ids.len()).max().unwrap_or(0);
        let (mut ids, mut keep, mut targets) = (Vec::new(), Vec::new(), Vec::new());
        for dialogue in dialogues {
            let padding = length - dialogue.ids.len();
            ids.extend(dialogue.ids.iter().map(|&id| i64::from(id)).chain(std::iter::repeat_n(0, padding)));
            keep.extend(std::iter::repeat_n(true, lead + dialogue.ids.len()).chain(std::iter::repeat_n(false, padding)));
            targets.extend(std::iter::repeat_n(IGNORED, lead));
            targets.extend(
                dialogue.targets.iter().map(|target| target.map_or(IGNORED, i64::from)).chain(std::iter::repeat_n(IGNORED, padding)),
            );
        }
        Self {
            ids: TensorData::new(ids, [images, length]),
            keep: TensorData::new(keep, [images, lead + length]),
            targets: TensorData::new(targets, [images, lead + length]),
        }
    }
}

/// Whether what a batch gives has the sides that are needed.
fn fits<const D: usize>(left: &'static str, right: &'static str, expected: [usize; D], found: [usize; D]) -> Result<()> {
    match expected.into_iter().zip(found).find(|(expected, found)| expected != found) {
        Some((expected, found)) => Err(Error::Incompatible { left, right, expected, found }),
        None => Ok(()),
    }
}

#[cfg(all(test, feature = "mini"))]
mod tests;
