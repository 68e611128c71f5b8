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
    /// 1 where an anomaly's centre is in a place, else 0, `[batch, 9]` row by row.
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
            let probabilities = match &wanted.layer {
                Layer::Taps(objects) => {
                    self.decoder.layers().layer_probabilities(&batch.features, &self.text_pairs(objects, tokenizer)?)?
                }
                Layer::Context => {
                    let logits = self.decoder.context_logits(&batch.features)?;
                    peaks = loss::peaks(logits.clone(), wanted.masks.clone()) * PEAKS;
                    sigmoid(logits)
                }
            };
            pixels = Some(PixelLoss::new(probabilities.clone(), wanted.masks.clone()));
            map = map.or_else(|| Some(probabilities.mean_dim(1)));
        }
        if let Some(answers) = &batch.answers {
            let needed = || Error::InvalidConfig { what: "batch", reason: "answers need a map, or pixels that give one".into() };
            let prompt = self.prompt_learner.prompt(&batch.features, map.ok_or_else(needed)?)?;
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
        let logits = self.llm.forward(Tensor::cat(vec![lead, turns], 1), None, Some(keep))?;
        let targets = Tensor::<2, Int>::from_data(padded.targets, &device);
        Ok((loss::token_cross_entropy(logits.clone(), targets.clone()), loss::token_accuracy(logits, targets)))
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

#[cfg(all(test, feature = "mini"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use burn::{
        nn::LinearConfig,
        tensor::{Device, Distribution},
    };

    use super::*;
    use crate::{
        decoder::{ContextDecoderConfig, PatchTextDecoderConfig},
        encoder::text_tower::TextTowerConfig,
        llm::llama::LlamaConfig,
        pretrained::MINI_TOKENIZER,
        prompt_learner::ConvPromptLearnerConfig,
        text::dialogue::{Role, Turn},
        train::{Trainer, TrainerConfig},
        weights::StateDict,
    };

    /// Sums of three numbers about 1.
    const ROUNDING: f32 = 1e-5;

    fn stages(vocabulary: usize, device: &Device) -> Stages {
        Stages {
            text_tower: TextTowerConfig::new(vocabulary, 8).with_output(6).init(device).unwrap(),
            decoder: ContextDecoderConfig::new(PatchTextDecoderConfig::new(vec![5, 4], 6, 2)).with_width(4).init(device),
            prompt_learner: ConvPromptLearnerConfig::new(8, 4).with_map_side(14).with_channels(vec![2]).init(device).unwrap(),
            llm: LlamaConfig::new(vocabulary, 8, 1, 2, 2, 12).with_context(256).with_tied(true).init(device).unwrap(),
            place_head: LinearConfig::new(8, 1).init(device),
        }
    }

    fn batch(tokenizer: &Tokenizer, device: &Device) -> Batch {
        let tokens = |width| Tensor::<3>::random([2, 9, width], Distribution::Normal(0.0, 1.0), device);
        let features =
            ImageFeatures { patch_tokens: vec![tokens(5), tokens(4)], grid: [3, 3], fine: vec![], embedding: Tensor::ones([2, 4], device) };
        let talk = |answer: &str| {
            let turn = |role, text: &str| Turn { role, text: text.into() };
            dialogue::supervised(&[turn(Role::Human, dialogue::QUESTION), turn(Role::Assistant, answer)], tokenizer).unwrap()
        };
        Batch {
            features,
            pixels: Some(Pixels {
                masks: Tensor::zeros([2, 1, 6, 6], device),
                layer: Layer::Taps(Objects { names: vec!["nut".into()], of: vec![0, 0] }),
            }),
            map: None,
            answers: Some(Answers { places: Tensor::zeros([2, PLACES], device), dialogues: vec![talk("No."), talk("Yes, there is one.")] }),
        }
    }

    #[test]
    fn a_frozen_part_stays_and_all_others_learn() {
        let device = Device::default().autodiff();
        let tokenizer = Tokenizer::from_bytes(MINI_TOKENIZER).unwrap();
        let batch = batch(&tokenizer, &device);
        let start = stages(tokenizer.vocabulary(), &device).freeze_part(Part::Llm);
        let before = StateDict::of(&start, "before");
        let mut trainer = Trainer::new(start, TrainerConfig::new(12, 0).with_learning_rate(0.02)).unwrap();
        let reports: Vec<_> = (0..12).map(|_| trainer.step(|stages, _| stages.losses(&batch, &tokenizer)).unwrap()).collect();
        assert!(reports[11].losses.total() < reports[0].losses.total(), "{reports:?}");
        let after = StateDict::of(trainer.module(), "after");
        let changed = |part: &str| {
            before.names().filter(|name| name.starts_with(part)).any(|name| before.get(name).unwrap() != after.get(name).unwrap())
        };
        assert!(!changed("llm."));
        for part in ["text_tower.", "decoder.", "prompt_learner.", "place_head."] {
            assert!(changed(part), "{part}");
        }
    }

    #[test]
    fn an_image_of_an_object_that_is_not_in_the_batch_is_refused() {
        let device = Device::default().autodiff();
        let tokenizer = Tokenizer::from_bytes(MINI_TOKENIZER).unwrap();
        let mut batch = batch(&tokenizer, &device);
        batch.pixels.as_mut().unwrap().layer = Layer::Taps(Objects { names: vec!["nut".into()], of: vec![0, 3] });
        let found = stages(tokenizer.vocabulary(), &device).losses(&batch, &tokenizer);
        assert!(matches!(found, Err(Error::Incompatible { expected: 1, found: 4, .. })));
    }

    #[test]
    fn a_batch_has_the_losses_that_it_gives_reason_for() {
        let device = Device::default().autodiff();
        let tokenizer = Tokenizer::from_bytes(MINI_TOKENIZER).unwrap();
        let stages = stages(tokenizer.vocabulary(), &device);
        let whole = batch(&tokenizer, &device);
        let all = stages.losses(&whole, &tokenizer).unwrap().parts;
        let pixels = stages.losses(&Batch { answers: None, ..whole.clone() }, &tokenizer).unwrap().parts;
        assert_eq!(pixels, LossParts { focal: all.focal, dice: all.dice, ..LossParts::default() });
        let masks = Tensor::ones([2, 1, 6, 6], &device);
        let context = Batch { pixels: Some(Pixels { masks, layer: Layer::Context }), answers: None, ..whole.clone() };
        let context = stages.losses(&context, &tokenizer).unwrap();
        let LossParts { focal, dice, peaks, .. } = context.parts;
        assert!(peaks > 0.0 && (context.total.into_scalar::<f32>() - focal - dice - peaks).abs() < ROUNDING, "{:?}", context.parts);
        let map = Some(Tensor::zeros([2, 1, 6, 6], &device));
        let answers = stages.losses(&Batch { pixels: None, map, ..whole.clone() }, &tokenizer).unwrap().parts;
        assert!(answers.cross_entropy > 0.0 && answers.place > 0.0 && answers.focal == 0.0 && answers.dice == 0.0, "{answers:?}");
        let neither = stages.losses(&Batch { pixels: None, ..whole }, &tokenizer);
        assert!(matches!(neither, Err(Error::InvalidConfig { what: "batch", .. })));
    }
}
