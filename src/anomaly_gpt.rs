//! The four stages wired together.

mod builder;
mod normals;
mod seen;
mod trace;

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    sync::{Arc, RwLock},
};

use burn::tensor::{Device, Tensor};
use image::{DynamicImage, RgbImage};

use crate::{
    compat::{Behaviour, PromptMap},
    decoder::{ContextDecoder, Decoder, Localization, MemoryBank, Reference, TextPair, mean_direction},
    encoder::{EfficientNetEncoder, Encoder, ImageFeatures},
    error::{Error, Result, check_finite},
    inspection::{Detection, Inspection},
    llm::{Llama, Llm},
    preprocess::{self, Covered, Preprocess},
    prompt_learner::{ConvPromptLearner, PromptLearner},
    text::{
        self, descriptions,
        dialogue::{self, Exchange},
        ensemble::Ensemble,
    },
};

pub use builder::AnomalyGptBuilder;
pub use seen::Seen;
pub use trace::Trace;

/// Text pairs that are kept; more objects than these in one program is rare, and encoding again is cheap.
const CACHED_TEXT_PAIRS: usize = 256;

/// How the answer on the standard question begins.
const VERDICTS: [&str; 2] = [dialogue::YES, dialogue::NO];

/// An inspector of photographs: the paper's four stages, and perhaps a memory bank of normal images.
///
/// All methods take `&self`; one model serves many threads.
#[derive(Clone, Debug)]
pub struct AnomalyGpt<E = EfficientNetEncoder, D = ContextDecoder, P = ConvPromptLearner, L = Llama> {
    encoder: E,
    decoder: D,
    prompt_learner: P,
    llm: L,
    device: Device,
    normals: Option<Arc<MemoryBank>>,
    text_pairs: Arc<RwLock<BTreeMap<String, TextPair>>>,
    behaviour: Behaviour,
}

impl<E: Encoder, D: Decoder, P: PromptLearner, L: Llm> AnomalyGpt<E, D, P, L> {
    /// Inspects a photograph: score, map, regions, verdict, and the answer to "Is there any anomaly in the image?".
    ///
    /// `description` says what is seen ("a metal nut"), or how it should be; an unknown object works, and so does none.
    ///
    /// # Errors
    /// An image too small to inspect, a description that is too long, or what encoder or decoder report; [`Error::Unanswered`], with the
    /// detection, for what prompt learner or language model report.
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
        self.converse(image, description, &[], question, on_text)
    }

    /// As [`ask_streaming`](Self::ask_streaming), after earlier questions about the same image and their answers.
    ///
    /// # Errors
    /// As [`ask`](Self::ask); among them [`Error::Unanswered`] for a prompt that exceeds the language model's context.
    pub fn converse(
        &self,
        image: &DynamicImage,
        description: Option<&str>,
        history: &[Exchange],
        question: &str,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Inspection> {
        self.converse_seen(&self.see(image)?, description, history, question, on_text)
    }

    /// [`inspect`](Self::inspect) for an image that was encoded before.
    ///
    /// # Errors
    /// As [`inspect`](Self::inspect).
    pub fn inspect_seen(&self, seen: &Seen, description: Option<&str>) -> Result<Inspection> {
        self.converse_seen(seen, description, &[], dialogue::QUESTION, &mut |_| ControlFlow::Continue(()))
    }

    /// [`converse`](Self::converse) about an image that was encoded before: several questions cost one vision pass.
    ///
    /// # Errors
    /// As [`converse`](Self::converse).
    pub fn converse_seen(
        &self,
        seen: &Seen,
        description: Option<&str>,
        history: &[Exchange],
        question: &str,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Inspection> {
        let description = checked_description(description)?;
        let question = text::checked("question", question)?.unwrap_or(dialogue::QUESTION);
        let localization = self.locate(seen, description, question)?;
        let map = self.prompt_map(&localization)?;
        let detection = seen.detection(localization, self.normals.is_some())?;
        match self.said(&seen.features, map, description, history, question, on_text) {
            Ok((answer, probability)) => Ok(Inspection::new(detection, answer, probability)),
            Err(source) => Err(Error::Unanswered { detection: Box::new(detection), source: Box::new(source) }),
        }
    }

    /// What the last two stages make of an image's features and its map: the answer, and the probability of an anomaly.
    fn said(
        &self,
        features: &ImageFeatures,
        map: Tensor<4>,
        description: Option<&str>,
        history: &[Exchange],
        question: &str,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<(String, f32)> {
        let prompt = self.prompt_learner.prompt(features, map)?;
        let asked = dialogue::segments(&prompt, description, dialogue::QUESTION, &[]);
        let options = &self.behaviour.generate;
        if history.is_empty() && question == dialogue::QUESTION {
            let (scores, answer) = self.llm.score_and_generate(&asked, &VERDICTS, options, on_text)?;
            return Ok((answer, probability(&scores)?));
        }
        let probability = probability(&self.llm.log_likelihood(&asked, &VERDICTS)?)?;
        let answer = self.llm.generate(&dialogue::segments(&prompt, description, question, history), options, on_text)?;
        Ok((answer, probability))
    }

    /// Score, map and regions without the language model.
    ///
    /// # Errors
    /// An image too small to inspect, a description that is too long, or what encoder or decoder report.
    pub fn detect(&self, image: &DynamicImage, description: Option<&str>) -> Result<Detection> {
        self.detect_seen(&self.see(image)?, description)
    }

    /// [`detect`](Self::detect) for an image that was encoded before.
    ///
    /// # Errors
    /// As [`detect`](Self::detect).
    pub fn detect_seen(&self, seen: &Seen, description: Option<&str>) -> Result<Detection> {
        seen.detection(self.localize(seen, description)?, self.normals.is_some())
    }

    /// The memory bank, where the model compares with normal images.
    pub fn normals(&self) -> Option<&MemoryBank> {
        self.normals.as_deref()
    }

    /// Where the tensors live.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The same inspector, comparing and answering in another way. A memory bank stays as it was made.
    #[must_use]
    pub fn with_behaviour(mut self, behaviour: Behaviour) -> Self {
        self.behaviour = behaviour;
        self.text_pairs = Arc::default();
        self
    }

    pub(crate) fn map_encoder(mut self, change: impl FnOnce(E) -> E) -> Self {
        self.encoder = change(self.encoder);
        self
    }

    /// How it compares and answers.
    pub fn behaviour(&self) -> &Behaviour {
        &self.behaviour
    }

    /// The first stage alone: encodes an image, to look at it several times, or by other means too.
    ///
    /// # Errors
    /// An image too small to inspect, or what the encoder reports.
    pub fn see(&self, image: &DynamicImage) -> Result<Seen> {
        let rgb = preprocess::to_rgb(image);
        let (width, height) = rgb.dimensions();
        let (preprocess, comparison) = (self.encoder.preprocess(), self.comparison());
        let (features, covered) = self.fitted(&rgb, &preprocess)?;
        let compared = (comparison != preprocess).then(|| self.fitted(&rgb, &comparison)).transpose()?;
        Ok(Seen { features, covered, width, height, compared })
    }

    /// An image's features, and the part of it that they are about.
    fn fitted(&self, image: &RgbImage, preprocess: &Preprocess) -> Result<(ImageFeatures, Covered)> {
        let (width, height) = image.dimensions();
        let pixels = preprocess.to_tensor(&[preprocess.resize(image)?], &self.device)?;
        Ok((self.encoder.encode_images(pixels)?, preprocess.fit.covered(preprocess.size, width, height)))
    }

    /// How photographs are fitted where they are compared with normal ones.
    fn comparison(&self) -> Preprocess {
        let preprocess = self.encoder.preprocess();
        Preprocess { fit: self.behaviour.comparison_fit.unwrap_or(preprocess.fit), ..preprocess }
    }

    /// The second stage alone: where the decoder sees an anomaly in what the encoder was shown.
    ///
    /// # Errors
    /// An image too small to inspect, a description that is too long, or what encoder or decoder report.
    pub fn localize(&self, seen: &Seen, description: Option<&str>) -> Result<Localization> {
        self.locate(seen, checked_description(description)?, dialogue::QUESTION)
    }

    fn locate(&self, seen: &Seen, description: Option<&str>, question: &str) -> Result<Localization> {
        match &self.normals {
            Some(bank) => {
                let pair = self.text_pair(descriptions::UNKNOWN)?;
                self.decoder.localize(seen.compared().0, Reference::NormalsAndText(bank, &pair))
            }
            None => {
                let pair = self.text_pair(&self.behaviour.class.object(description, question))?;
                self.decoder.localize(&seen.features, Reference::Text(&pair))
            }
        }
    }

    fn prompt_map(&self, localization: &Localization) -> Result<Tensor<4>> {
        match self.behaviour.prompt_map {
            PromptMap::Calibrated => localization.bordered(),
            PromptMap::Raw => Ok(localization.raw.clone()),
        }
    }

    fn text_pair(&self, object: &str) -> Result<TextPair> {
        let poisoned = |_| Error::component("text pair cache", "a thread that held it panicked");
        if let Some(pair) = self.text_pairs.read().map_err(poisoned)?.get(object) {
            return Ok(pair.clone());
        }
        let Ensemble { normal, abnormal } = Ensemble::with_templates(object, self.behaviour.templates);
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
}

/// The probability of the first of [`VERDICTS`] from the log-likelihoods of both.
fn probability(scores: &[f32]) -> Result<f32> {
    const MODEL: &str = "the language model";
    let [yes, no] = scores else {
        return Err(Error::component(MODEL, format!("{} log-likelihoods for 2 continuations", scores.len())));
    };
    let probability = 1.0 / (1.0 + (no - yes).exp());
    if probability.is_nan() {
        check_finite(MODEL, scores)?;
    }
    Ok(probability)
}

fn checked_description(description: Option<&str>) -> Result<Option<&str>> {
    description.map_or(Ok(None), |description| text::checked("description", description))
}
