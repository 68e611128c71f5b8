//! The parts that are trained together, and their loss on a batch.

use burn::{
    module::Module,
    tensor::{Bool, Int, Tensor, TensorData},
};

use super::{LossParts, Losses, loss};
use crate::{
    decoder::PatchTextDecoder,
    encoder::{ImageFeatures, text_tower::TextTower},
    error::{Error, Result},
    llm::llama::LlamaNetwork,
    prompt_learner::{ConvPromptLearner, PromptLearner},
    text::{Tokenizer, dialogue, ensemble},
};

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
    pub decoder: PatchTextDecoder,
    /// Map and image to embeddings.
    pub prompt_learner: ConvPromptLearner,
    /// The language model's network.
    pub llm: LlamaNetwork,
}

/// A dialogue as token ids, the frame around the image left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dialogue {
    /// All turns, one after the other.
    pub ids: Vec<u32>,
    /// The id to predict at each position, [`dialogue::UNSUPERVISED`] where none is.
    pub targets: Vec<i64>,
}

/// Images whose trunk features are known, and what is said about them.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Features of the images.
    pub features: ImageFeatures,
    /// 1 where an image is anomalous, else 0, `[batch, height, width]` at the size of the decoder's map.
    pub masks: Tensor<3>,
    /// The objects in the batch, each once.
    pub objects: Vec<String>,
    /// Index into [`objects`](Self::objects) of each image.
    pub object_of: Vec<usize>,
    /// The map that the prompt learner sees instead of the decoder's own, `[batch, 1, height, width]`.
    pub map: Option<Tensor<4>>,
    /// What is asked and answered about each image.
    pub dialogues: Vec<Dialogue>,
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

    /// The loss of a batch: focal and dice of each layer, and the dialogue's cross-entropy (Eq. 3-6; the reference's `loss`).
    ///
    /// # Errors
    /// [`Error::Incompatible`] where batch and parts do not fit, and what the tokenizer reports.
    pub fn losses(&self, batch: &Batch, tokenizer: &Tokenizer) -> Result<Losses> {
        let probabilities = self.decoder.layer_probabilities(&batch.features, self.text_directions(batch, tokenizer)?)?;
        let mut focal = Tensor::zeros([1], &batch.masks.device());
        let mut dice = focal.clone();
        for layer in &probabilities {
            focal = focal + loss::focal(layer.clone(), batch.masks.clone());
            dice = dice + loss::dice(layer.clone().narrow(1, 1, 1).squeeze_dim::<3>(1), batch.masks.clone());
        }
        let map = match &batch.map {
            Some(map) => map.clone(),
            None => Tensor::stack::<5>(probabilities.into_iter().map(|layer| layer.narrow(1, 1, 1)).collect(), 0).mean_dim(0).squeeze_dim(0),
        };
        let (cross_entropy, token_accuracy) = self.answer_loss(batch, map, tokenizer)?;
        let number = |tensor: &Tensor<1>| tensor.clone().into_scalar::<f32>();
        let parts = LossParts { cross_entropy: number(&cross_entropy), focal: number(&focal), dice: number(&dice), token_accuracy };
        Ok(Losses { total: cross_entropy + focal + dice, parts })
    }

    /// Unit vectors of each image's normal and abnormal object, `[batch, 2, width]`.
    fn text_directions(&self, batch: &Batch, tokenizer: &Tokenizer) -> Result<Tensor<3>> {
        let mut pairs = Vec::with_capacity(batch.objects.len());
        for object in &batch.objects {
            let sides = [ensemble::normal(object, ensemble::TEMPLATES), ensemble::abnormal(object, ensemble::TEMPLATES)];
            let [normal, abnormal] = sides.map(|sentences| {
                let sentences: Vec<&str> = sentences.iter().map(String::as_str).collect();
                self.text_tower.encode(tokenizer, &sentences).map(ensemble::direction)
            });
            pairs.push(Tensor::cat(vec![normal?, abnormal?], 0));
        }
        let chosen = batch.object_of.iter().map(|&object| pairs.get(object).cloned()).collect::<Option<Vec<_>>>();
        let expected = batch.objects.len();
        let found = batch.object_of.iter().max().map_or(0, |last| last + 1);
        Ok(Tensor::stack(chosen.ok_or(Error::Incompatible { left: "object_of", right: "objects", expected, found })?, 0))
    }

    /// Cross-entropy and accuracy of the dialogue's supervised tokens.
    fn answer_loss(&self, batch: &Batch, map: Tensor<4>, tokenizer: &Tokenizer) -> Result<(Tensor<1>, f32)> {
        let images = batch.dialogues.len();
        let prompt = self.prompt_learner.prompt(&batch.features, map)?;
        let device = batch.masks.device();
        let embed = |ids: &[u32]| {
            let ids: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
            let length = ids.len();
            self.llm.embed(Tensor::<2, Int>::from_data(TensorData::new(ids, [1, length]), &device)).repeat_dim(0, images)
        };
        let before = [vec![dialogue::beginning(tokenizer)?], tokenizer.encode(dialogue::BEFORE)?].concat();
        let lead = vec![embed(&before), prompt.image, embed(&tokenizer.encode(dialogue::MIDDLE)?), prompt.prompt];
        let lead = Tensor::cat(lead, 1);
        let [_, lead_length, _] = lead.dims();
        let padded = Padded::of(&batch.dialogues, lead_length);
        let turns = self.llm.embed(Tensor::<2, Int>::from_data(padded.ids, &device));
        let keep = Tensor::<2, Bool>::from_data(padded.keep, &device);
        let logits = self.llm.forward(Tensor::cat(vec![lead, turns], 1), None, Some(keep));
        let targets = Tensor::<2, Int>::from_data(padded.targets, &device);
        Ok((loss::token_cross_entropy(logits.clone(), targets.clone()), loss::token_accuracy(logits, targets)))
    }
}

/// Dialogues of one length, as tensors' data.
struct Padded {
    ids: TensorData,
    keep: TensorData,
    targets: TensorData,
}

impl Padded {
    /// Pads on the right; `keep` and `targets` also cover the `lead` positions before the dialogue.
    fn of(dialogues: &[Dialogue], lead: usize) -> Self {
        let images = dialogues.len();
        let length = dialogues.iter().map(|dialogue| dialogue.ids.len()).max().unwrap_or(0);
        let (mut ids, mut keep, mut targets) = (Vec::new(), Vec::new(), Vec::new());
        for dialogue in dialogues {
            let padding = length - dialogue.ids.len();
            ids.extend(dialogue.ids.iter().map(|&id| i64::from(id)).chain(std::iter::repeat_n(0, padding)));
            keep.extend(std::iter::repeat_n(true, lead + dialogue.ids.len()).chain(std::iter::repeat_n(false, padding)));
            targets.extend(std::iter::repeat_n(dialogue::UNSUPERVISED, lead));
            targets.extend(dialogue.targets.iter().copied().chain(std::iter::repeat_n(dialogue::UNSUPERVISED, padding)));
        }
        Self {
            ids: TensorData::new(ids, [images, length]),
            keep: TensorData::new(keep, [images, lead + length]),
            targets: TensorData::new(targets, [images, lead + length]),
        }
    }
}
