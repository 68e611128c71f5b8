//! What is evaluated: the model, the paper's rivals, and the model with stages left out.

use std::{borrow::Cow, fmt};

use anomalygpt::{
    AnomalyGpt, AnomalyMap, Region, Result, Seen, Verdict,
    decoder::{Decoder, Localization, Reference, TextPair, mean_direction},
    encoder::{Encoder, ImageFeatures},
    llm::{Llm, Segment},
    pretrained::Mini,
    prompt_learner::PromptLearner,
    rivals::{Padim, PadimOptions, PatchCore, PatchCoreOptions, Spade, SpadeOptions, WinClip, WinClipOptions},
    text::{descriptions, dialogue, ensemble::Ensemble},
};
use burn::tensor::{Device, Tensor};
use image::DynamicImage;

/// A row of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// Everything.
    AnomalyGpt,
    Spade,
    Padim,
    PatchCore,
    WinClip,
    /// The language model sees the image's embedding alone.
    LlmOnly,
    /// The prompt learner sees an empty map.
    PromptAndLlm,
    /// The score against the highest of normal images.
    DecoderOnly,
    /// The decoder's score and map, and the verdict of [`LlmOnly`](Self::LlmOnly).
    DecoderAndLlm,
}

impl Method {
    pub(crate) const COMPARED: [Self; 5] = [Self::AnomalyGpt, Self::Spade, Self::Padim, Self::PatchCore, Self::WinClip];
    /// With everything as the last row.
    pub(crate) const ABLATION: [Self; 5] = [Self::LlmOnly, Self::PromptAndLlm, Self::DecoderOnly, Self::DecoderAndLlm, Self::AnomalyGpt];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::AnomalyGpt => "AnomalyGPT (mini)",
            Self::Spade => "SPADE",
            Self::Padim => "PaDiM",
            Self::PatchCore => "PatchCore",
            Self::WinClip => "WinCLIP",
            Self::LlmOnly => "language model only",
            Self::PromptAndLlm => "prompt learner and language model",
            Self::DecoderOnly => "decoder only, highest normal score",
            Self::DecoderAndLlm => "decoder and language model",
        }
    }

    /// Whether it does something without normal images.
    pub(crate) fn takes(self, shots: usize) -> bool {
        shots > 0 || !matches!(self, Self::Spade | Self::Padim | Self::PatchCore)
    }

    /// Whether it gives a map. Those that don't are ranked by the language model's probability.
    pub(crate) fn has_map(self) -> bool {
        !matches!(self, Self::LlmOnly | Self::PromptAndLlm)
    }

    /// The name in files.
    pub(crate) fn slug(self) -> &'static str {
        match self {
            Self::AnomalyGpt => "anomalygpt",
            Self::Spade => "spade",
            Self::Padim => "padim",
            Self::PatchCore => "patchcore",
            Self::WinClip => "winclip",
            Self::LlmOnly => "llm-only",
            Self::PromptAndLlm => "prompt-and-llm",
            Self::DecoderOnly => "decoder-only",
            Self::DecoderAndLlm => "decoder-and-llm",
        }
    }
}

/// What a method says of an image.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) score: f32,
    /// Of the image's size.
    pub(crate) map: Option<AnomalyMap>,
    pub(crate) verdict: Option<Verdict>,
    pub(crate) probability: Option<f32>,
    pub(crate) answer: Option<String>,
    pub(crate) regions: Option<Vec<Region>>,
}

/// A method that is ready to look at images of one class.
pub(crate) trait Inspect: fmt::Debug {
    fn inspect(&self, seen: &Seen) -> Result<Outcome>;
}

/// Reference images of a round, and what is known of the class.
#[derive(Debug)]
pub(crate) struct Round<'a> {
    pub(crate) description: Option<&'a str>,
    pub(crate) seed: u64,
    pub(crate) normals: Vec<DynamicImage>,
    /// What the encoder sees in them.
    pub(crate) features: Vec<ImageFeatures>,
    /// Normal images that are not among them, by need.
    pub(crate) others: &'a dyn Others,
}

/// Gives encoded normal images, one by one.
pub(crate) trait Others: fmt::Debug {
    fn each(&self, look: &mut dyn FnMut(&Seen) -> Result<()>) -> Result<()>;
}

/// The embedded model, whole and in parts.
#[derive(Debug)]
pub(crate) struct Models {
    pub(crate) whole: AnomalyGpt,
    parts: Mini,
}

impl Models {
    pub(crate) fn load(device: &Device) -> Result<Self> {
        let parts = Mini::load(device)?;
        Ok(Self { whole: AnomalyGpt::from_mini(parts.clone(), device)?, parts })
    }

    /// Makes a method ready.
    pub(crate) fn fit(&self, method: Method, round: &Round<'_>) -> Result<Box<dyn Inspect>> {
        let normals = &round.features[..];
        Ok(match method {
            Method::AnomalyGpt => Box::new(self.own(round)?),
            Method::Spade => self.rival(Spade::fit(normals, SpadeOptions::default())?, round)?,
            Method::Padim => {
                let mut options = PadimOptions::default();
                options.seed = round.seed;
                self.rival(Padim::fit(normals, options)?, round)?
            }
            Method::PatchCore => {
                let mut options = PatchCoreOptions::default();
                options.seed = round.seed;
                self.rival(PatchCore::fit(normals, options)?, round)?
            }
            Method::WinClip => {
                self.rival(WinClip::fit(normals, Some(self.parts.decoder.layers().clone()), WinClipOptions::default())?, round)?
            }
            Method::LlmOnly => Box::new(Blind { parts: self.parts.clone(), prompt: false, description: owned(round.description) }),
            Method::PromptAndLlm => Box::new(Blind { parts: self.parts.clone(), prompt: true, description: owned(round.description) }),
            Method::DecoderOnly => {
                let own = self.own(round)?;
                let mut highest = f32::NEG_INFINITY;
                round.others.each(&mut |seen| {
                    highest = highest.max(own.model.detect_seen(seen, round.description)?.score);
                    Ok(())
                })?;
                Box::new(DecoderOnly { own, highest })
            }
            Method::DecoderAndLlm => {
                let blind = Blind { parts: self.parts.clone(), prompt: false, description: owned(round.description) };
                Box::new(DecoderAndLlm { own: self.own(round)?, blind })
            }
        })
    }

    fn own(&self, round: &Round<'_>) -> Result<Own> {
        let model = self.whole.clone();
        let model = if round.normals.is_empty() { model } else { model.with_normals(&round.normals)? };
        Ok(Own { model, description: owned(round.description) })
    }

    fn rival(&self, decoder: impl Decoder + 'static, round: &Round<'_>) -> Result<Box<dyn Inspect>> {
        let Ensemble { normal, abnormal, .. } = Ensemble::new(&descriptions::object_of(round.description));
        let direction = |sentences: Vec<String>| {
            let sentences: Vec<&str> = sentences.iter().map(String::as_str).collect();
            Ok::<_, anomalygpt::Error>(mean_direction(self.parts.encoder.encode_texts(&sentences)?))
        };
        let text = TextPair { normal: direction(normal)?, abnormal: direction(abnormal)? };
        Ok(Box::new(Rival { decoder: Box::new(decoder), text }))
    }
}

fn owned(text: Option<&str>) -> Option<String> {
    text.map(str::to_owned)
}

/// The whole model.
#[derive(Debug)]
struct Own {
    model: AnomalyGpt,
    description: Option<String>,
}

impl Inspect for Own {
    fn inspect(&self, seen: &Seen) -> Result<Outcome> {
        let inspection = self.model.inspect_seen(seen, self.description.as_deref())?;
        Ok(Outcome {
            score: inspection.detection.score,
            map: Some(inspection.detection.map),
            verdict: Some(inspection.verdict),
            probability: Some(inspection.probability),
            answer: Some(inspection.answer),
            regions: Some(inspection.detection.regions),
        })
    }
}

/// One of the paper's rivals.
#[derive(Debug)]
struct Rival {
    decoder: Box<dyn Decoder>,
    text: TextPair,
}

impl Inspect for Rival {
    fn inspect(&self, seen: &Seen) -> Result<Outcome> {
        let Localization { raw, score, .. } = self.decoder.localize(&seen.features, Reference::Text(&self.text))?;
        let [_, _, height, width] = raw.dims();
        let map = AnomalyMap::new(width as u32, height as u32, numbers(raw)?)?.place_into(seen.covered, seen.width, seen.height)?;
        let score = numbers(score)?.first().copied().unwrap_or(f32::NAN);
        Ok(Outcome { score, map: Some(map), ..Outcome::default() })
    }
}

/// The language model without the decoder.
#[derive(Debug)]
struct Blind {
    parts: Mini,
    /// Whether the learned vectors are given, made of an empty map.
    prompt: bool,
    description: Option<String>,
}

impl Inspect for Blind {
    fn inspect(&self, seen: &Seen) -> Result<Outcome> {
        let [rows, columns] = seen.features.grid;
        let nothing = Tensor::zeros([1, 1, rows, columns], &seen.features.embedding.device());
        let embeddings = self.parts.prompt_learner.prompt(&seen.features, nothing)?;
        let segments = if self.prompt {
            dialogue::segments(&embeddings, self.description.as_deref(), dialogue::QUESTION, &[])
        } else {
            let request = dialogue::request(self.description.as_deref(), dialogue::QUESTION, &[]);
            vec![
                Segment::Text(Cow::Borrowed(dialogue::BEFORE)),
                Segment::Embeddings(embeddings.image),
                Segment::Text(Cow::Owned(dialogue::MIDDLE.to_owned() + &request)),
            ]
        };
        let likelihoods = self.parts.llm.log_likelihood(&segments, &[dialogue::YES, dialogue::NO])?;
        let probability = match likelihoods[..] {
            [yes, no] => 1.0 / (1.0 + (no - yes).exp()),
            _ => f32::NAN,
        };
        let verdict = Some(Verdict::from_probability(probability));
        Ok(Outcome { score: probability, verdict, probability: Some(probability), ..Outcome::default() })
    }
}

/// The decoder with the highest score of normal images as its threshold.
#[derive(Debug)]
struct DecoderOnly {
    own: Own,
    highest: f32,
}

impl Inspect for DecoderOnly {
    fn inspect(&self, seen: &Seen) -> Result<Outcome> {
        let detection = self.own.model.detect_seen(seen, self.own.description.as_deref())?;
        let verdict = match detection.score > self.highest {
            _ if self.highest == f32::NEG_INFINITY => None,
            true => Some(Verdict::Anomalous),
            false => Some(Verdict::Normal),
        };
        Ok(Outcome { score: detection.score, map: Some(detection.map), verdict, regions: Some(detection.regions), ..Outcome::default() })
    }
}

/// The decoder, and the language model beside it.
#[derive(Debug)]
struct DecoderAndLlm {
    own: Own,
    blind: Blind,
}

impl Inspect for DecoderAndLlm {
    fn inspect(&self, seen: &Seen) -> Result<Outcome> {
        let detection = self.own.model.detect_seen(seen, self.own.description.as_deref())?;
        let said = self.blind.inspect(seen)?;
        Ok(Outcome { score: detection.score, map: Some(detection.map), regions: Some(detection.regions), ..said })
    }
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>> {
    tensor.into_data().convert::<f32>().try_to_vec().map_err(|error| anomalygpt::Error::component("the tensor backend", error.to_string()))
}
