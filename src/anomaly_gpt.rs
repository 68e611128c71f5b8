//! The four stages wired together.

mod builder;
mod normals;

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    sync::{Arc, RwLock},
};

use burn::tensor::{Device, Tensor};
use image::{DynamicImage, RgbImage};

use crate::{
    decoder::{Decoder, Localization, MemoryBank, PatchTextDecoder, Reference, TextPair, mean_direction},
    encoder::{EfficientNetEncoder, Encoder, ImageFeatures},
    error::{Error, Result},
    inspection::{AnomalyMap, Detection, Inspection, regions},
    llm::{GenerateOptions, Llama, Llm, Segment},
    preprocess::{self, Covered},
    prompt_learner::{ConvPromptLearner, PromptLearner},
    text::{self, descriptions, dialogue, ensemble::Ensemble},
};

pub use builder::AnomalyGptBuilder;

/// The map that users get is made so that this parts normal from anomalous.
const BORDER: f32 = 0.5;

/// Text pairs that are kept; more objects than these in one program is rare, and encoding again is cheap.
const CACHED_TEXT_PAIRS: usize = 256;

/// An inspector of photographs: the paper's four stages, and perhaps a memory bank of normal images.
///
/// All methods take `&self`; one model serves many threads.
#[derive(Clone, Debug)]
pub struct AnomalyGpt<E = EfficientNetEncoder, D = PatchTextDecoder, P = ConvPromptLearner, L = Llama> {
    encoder: E,
    decoder: D,
    prompt_learner: P,
    llm: L,
    device: Device,
    normals: Option<Arc<MemoryBank>>,
    text_pairs: Arc<RwLock<BTreeMap<String, TextPair>>>,
    templates: &'static [&'static str],
    generate: GenerateOptions,
}

impl<E: Encoder, D: Decoder, P: PromptLearner, L: Llm> AnomalyGpt<E, D, P, L> {
    /// Inspects a photograph: score, map, regions, verdict, and the answer to "Is there any anomaly in the image?".
    ///
    /// `description` says what is seen ("a metal nut"), or how it should be; an unknown object works, and so does none.
    ///
    /// # Errors
    /// An image too small to inspect, a description that is too long, or what a stage reports.
    pub fn inspect(&self, image: &DynamicImage, description: Option<&str>) -> Result<Inspection> {
        self.ask(image, description, dialogue::QUESTION)
    }

    /// Inspects a photograph, and answers a question of one's own instead of the standard one.
    ///
    /// The verdict is still that on the standard question.
    ///
    /// # Errors
    /// As [`inspect`](Self::inspect); a question that is too long.
    pub fn ask(&self, image: &DynamicImage, description: Option<&str>, question: &str) -> Result<Inspection> {
        self.ask_streaming(image, description, question, &mut |_| ControlFlow::Continue(()))
    }

    /// As [`ask`](Self::ask); `on_text` gets the answer piece by piece and can break it off.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub fn ask_streaming(
        &self,
        image: &DynamicImage,
        description: Option<&str>,
        question: &str,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Inspection> {
        self.answer(&self.see(image)?, description, question, on_text)
    }

    /// [`inspect`](Self::inspect) for an image that was encoded before.
    ///
    /// # Errors
    /// As [`inspect`](Self::inspect).
    pub fn inspect_seen(&self, seen: &Seen, description: Option<&str>) -> Result<Inspection> {
        self.answer(seen, description, dialogue::QUESTION, &mut |_| ControlFlow::Continue(()))
    }

    fn answer(
        &self,
        seen: &Seen,
        description: Option<&str>,
        question: &str,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Inspection> {
        let description = checked_description(description)?;
        let question = text::checked("question", question)?.unwrap_or(dialogue::QUESTION);
        let localization = self.localize(seen, description)?;
        let prompt = self.prompt_learner.prompt(&seen.features, localization.map.clone())?;
        let detection = self.detection(seen, localization)?;
        let probability = self.probability(&dialogue::segments(&prompt, description, dialogue::QUESTION, &[]))?;
        let answer = self.llm.generate(&dialogue::segments(&prompt, description, question, &[]), &self.generate, on_text)?;
        Ok(Inspection::new(detection, answer, probability))
    }

    /// Score, map and regions without the language model.
    ///
    /// # Errors
    /// As [`inspect`](Self::inspect).
    pub fn detect(&self, image: &DynamicImage, description: Option<&str>) -> Result<Detection> {
        self.detect_seen(&self.see(image)?, description)
    }

    /// [`detect`](Self::detect) for an image that was encoded before.
    ///
    /// # Errors
    /// As [`inspect`](Self::inspect).
    pub fn detect_seen(&self, seen: &Seen, description: Option<&str>) -> Result<Detection> {
        self.detection(seen, self.localize(seen, description)?)
    }

    /// The second stage alone: where the decoder sees an anomaly in what the encoder was shown.
    ///
    /// # Errors
    /// As [`inspect`](Self::inspect).
    pub fn localize(&self, seen: &Seen, description: Option<&str>) -> Result<Localization> {
        let description = checked_description(description)?;
        match &self.normals {
            Some(bank) => self.decoder.localize(&seen.features, Reference::NormalsAndText(bank, &self.text_pair(descriptions::UNKNOWN)?)),
            None => self.decoder.localize(&seen.features, Reference::Text(&self.text_pair(&descriptions::object_of(description))?)),
        }
    }

    /// The memory bank, where the model compares with normal images.
    pub fn normals(&self) -> Option<&MemoryBank> {
        self.normals.as_deref()
    }

    /// Where the tensors live.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The first stage alone: encodes an image, to look at it several times, or by other means too.
    ///
    /// # Errors
    /// An image too small to inspect, or what the encoder reports.
    pub fn see(&self, image: &DynamicImage) -> Result<Seen> {
        let rgb = preprocess::to_rgb(image);
        let (width, height) = rgb.dimensions();
        let preprocess = self.encoder.preprocess();
        let covered = preprocess.fit.covered(preprocess.size, width, height);
        let features = self.encode(&[preprocess.resize(&rgb)?])?;
        Ok(Seen { features, covered, width, height })
    }

    fn encode(&self, resized: &[RgbImage]) -> Result<ImageFeatures> {
        let images = self.encoder.preprocess().to_tensor(resized, &self.device)?;
        self.encoder.encode_images(images)
    }

    fn text_pair(&self, object: &str) -> Result<TextPair> {
        let poisoned = |_| Error::component("text pair cache", "a thread that held it panicked");
        if let Some(pair) = self.text_pairs.read().map_err(poisoned)?.get(object) {
            return Ok(pair.clone());
        }
        let Ensemble { normal, abnormal } = Ensemble::with_templates(object, self.templates);
        let pair = TextPair { normal: self.direction(&normal)?, abnormal: self.direction(&abnormal)? };
        let mut cache = self.text_pairs.write().map_err(|_| Error::component("text pair cache", "a thread that held it panicked"))?;
        if cache.len() >= CACHED_TEXT_PAIRS {
            cache.clear();
        }
        cache.insert(object.to_owned(), pair.clone());
        Ok(pair)
    }

    fn direction(&self, sentences: &[String]) -> Result<Tensor<2>> {
        let sentences: Vec<&str> = sentences.iter().map(String::as_str).collect();
        Ok(mean_direction(self.encoder.encode_texts(&sentences)?))
    }

    fn probability(&self, prompt: &[Segment<'_>]) -> Result<f32> {
        let scores = self.llm.log_likelihood(prompt, &[dialogue::YES, dialogue::NO])?;
        match scores[..] {
            [yes, no] => Ok(1.0 / (1.0 + (no - yes).exp())),
            _ => Err(Error::component("language model", format!("{} log-likelihoods for 2 continuations", scores.len()))),
        }
    }

    fn detection(&self, seen: &Seen, localization: Localization) -> Result<Detection> {
        let raw = host_map(localization.raw)?;
        let map = bordered(host_map(localization.map)?, localization.threshold)?.place_into(seen.covered, seen.width, seen.height)?;
        let score = localization
            .score
            .into_data()
            .convert::<f32>()
            .try_to_vec::<f32>()
            .map_err(|error| Error::component("decoder", error.to_string()))?;
        let score = score.first().copied().ok_or_else(|| Error::component("decoder", "gave no score"))?;
        let regions = regions(&map, BORDER);
        Ok(Detection::new(score, map, raw, regions))
    }
}

/// An image after the first stage.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Seen {
    /// What the encoder sees in it, a batch of one.
    pub features: ImageFeatures,
    /// The part of the image that the encoder sees.
    pub covered: Covered,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
}

fn checked_description(description: Option<&str>) -> Result<Option<&str>> {
    description.map_or(Ok(None), |description| text::checked("description", description))
}

/// A map in `[0, 1]` by the power that brings `threshold` to the border.
fn bordered(map: AnomalyMap, threshold: f32) -> Result<AnomalyMap> {
    if threshold == BORDER {
        return Ok(map);
    }
    if !(threshold > 0.0 && threshold < 1.0) {
        return Err(Error::component("decoder", format!("gave a threshold of {threshold}, which is not between 0 and 1")));
    }
    let power = BORDER.ln() / threshold.ln();
    let (width, height) = (map.width(), map.height());
    AnomalyMap::new(width, height, map.into_values().into_iter().map(|value| value.clamp(0.0, 1.0).powf(power)).collect())
}

fn host_map(map: Tensor<4>) -> Result<AnomalyMap> {
    let [_, _, height, width] = map.dims();
    let values = map.into_data().convert::<f32>().try_to_vec::<f32>().map_err(|error| Error::component("decoder", error.to_string()))?;
    AnomalyMap::new(width as u32, height as u32, values)
}
