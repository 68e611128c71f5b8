//! What is missing, what does not fit, and which files make a whole model.

use std::path::Path;

use anomalygpt::{
    llm::llama::Precision,
    weights::{CheckpointKind, Part, Size, TensorSource, merge::WithDifference, mismatches},
};

use crate::{
    chain::chain,
    survey::{Found, Survey},
};

/// The files of a whole model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choice<'a> {
    pub(crate) imagebind: &'a Found,
    pub(crate) language: Language<'a>,
    pub(crate) pandagpt: &'a Found,
    pub(crate) anomalygpt: &'a Found,
}

/// A language model, and the difference that is to be added to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Language<'a> {
    pub(crate) base: &'a Found,
    pub(crate) delta: Option<&'a Found>,
}

/// What is to be said about a survey.
#[derive(Debug, Default)]
pub(crate) struct Diagnosis<'a> {
    pub(crate) missing: Vec<&'static str>,
    pub(crate) problems: Vec<String>,
    pub(crate) warnings: Vec<String>,
    pub(crate) choice: Option<Choice<'a>>,
    /// Bytes of weights in each precision of the language model; ImageBind and the deltas are in 32 bits.
    pub(crate) memory: Vec<(Precision, u64)>,
}

impl<'a> Diagnosis<'a> {
    pub(crate) fn of(survey: &'a Survey) -> Self {
        let mut diagnosis = Self { problems: survey.broken.clone(), ..Self::default() };
        for found in &survey.found {
            diagnosis.problems.extend(found.problems.iter().cloned());
            diagnosis.warnings.extend(found.warnings.iter().cloned());
        }
        diagnosis.warnings.extend(copies(survey));
        diagnosis.find_missing(survey);
        diagnosis.choose(survey);
        if let Some(choice) = diagnosis.choice {
            diagnosis.memory = Precision::ALL.map(|precision| (precision, choice.bytes(precision))).to_vec();
        }
        diagnosis
    }

    fn find_missing(&mut self, survey: &Survey) {
        if survey.of_kind(CheckpointKind::Whole).next().is_some() {
            return;
        }
        for (kind, name) in [
            (CheckpointKind::ImageBind, "ImageBind (imagebind_huge.pth)"),
            (CheckpointKind::LanguageModel, "the language model (Vicuna, or LLaMA and Vicuna's delta)"),
            (CheckpointKind::PandaDelta, "PandaGPT's delta (llama_proj and adapters)"),
            (CheckpointKind::AnomalyDelta, "AnomalyGPT's delta (image_decoder and prompt_learner)"),
        ] {
            if survey.of_kind(kind).next().is_none() {
                self.missing.push(name);
            }
        }
        let mut models = survey.of_kind(CheckpointKind::LanguageModel).chain(survey.of_kind(CheckpointKind::VicunaDelta)).peekable();
        if models.peek().is_some() && models.all(|found| found.pieces.is_none()) {
            self.missing.push("the tokenizer (tokenizer.json or tokenizer.model beside the language model)");
        }
    }

    /// The first combination in which all fits; or else what does not fit in the first one of all.
    fn choose(&mut self, survey: &'a Survey) {
        if let Some(whole) = survey.of_kind(CheckpointKind::Whole).find(|found| found.problems.is_empty()) {
            let language = Language { base: whole, delta: None };
            self.choice = Some(Choice { imagebind: whole, language, pandagpt: whole, anomalygpt: whole });
            return;
        }
        let mut misfits = None;
        for language in self.languages(survey) {
            for imagebind in survey.of_kind(CheckpointKind::ImageBind) {
                for pandagpt in survey.of_kind(CheckpointKind::PandaDelta) {
                    for anomalygpt in survey.of_kind(CheckpointKind::AnomalyDelta) {
                        let choice = Choice { imagebind, language, pandagpt, anomalygpt };
                        let found = choice.misfits();
                        if found.is_empty() {
                            self.choice = Some(choice);
                            return;
                        }
                        misfits.get_or_insert(found);
                    }
                }
            }
        }
        for misfit in misfits.unwrap_or_default() {
            if !self.problems.contains(&misfit) {
                self.problems.push(misfit);
            }
        }
    }

    /// Every language model; with the differences that fit it first, where there are any.
    fn languages(&mut self, survey: &'a Survey) -> Vec<Language<'a>> {
        let mut languages = vec![];
        for delta in survey.of_kind(CheckpointKind::VicunaDelta) {
            let mut fits = false;
            let mut reasons = vec![];
            for base in survey.of_kind(CheckpointKind::LanguageModel) {
                match WithDifference::new(&base.checkpoint, &delta.checkpoint) {
                    Ok(_) => {
                        fits = true;
                        languages.push(Language { base, delta: Some(delta) });
                    }
                    Err(error) => reasons.push(chain(&error)),
                }
            }
            if !fits {
                self.problems.extend(reasons);
            }
        }
        if !languages.is_empty() {
            self.warnings.push(
                "there is a Vicuna delta: whether a language model is the LLaMA that it belongs to, or Vicuna already, can't be told"
                    .into(),
            );
        }
        languages.extend(survey.of_kind(CheckpointKind::LanguageModel).map(|base| Language { base, delta: None }));
        languages
    }
}

impl Choice<'_> {
    fn parts(&self) -> [&Found; 4] {
        let vicuna = self.language.delta.unwrap_or(self.language.base);
        [self.imagebind, vicuna, self.pandagpt, self.anomalygpt]
    }

    /// Sizes that differ between the parts, and what is wrong within one of them.
    fn misfits(&self) -> Vec<String> {
        let sizes: Vec<Size> = self.parts().iter().flat_map(|found| found.sizes.iter().cloned()).collect();
        let within = self.parts().into_iter().flat_map(|found| found.problems.iter().cloned());
        mismatches(&sizes).iter().map(ToString::to_string).chain(within).collect()
    }

    /// Flags that load the model.
    pub(crate) fn flags(&self) -> Vec<(&'static str, &Path)> {
        if self.imagebind.kind == CheckpointKind::Whole {
            return vec![("--converted", &self.imagebind.path)];
        }
        let mut flags = vec![("--imagebind", self.imagebind.path.as_path()), ("--llama", &self.language.base.path)];
        flags.extend(self.language.delta.map(|delta| ("--delta", delta.path.as_path())));
        flags.extend([("--pandagpt", self.pandagpt.path.as_path()), ("--anomalygpt", &self.anomalygpt.path)]);
        flags
    }

    /// Bytes of the weights: norms in 32 bits, the token embedding in no fewer than 16, as they are held.
    fn bytes(&self, precision: Precision) -> u64 {
        let of = |found: &Found, parts: &[Part]| -> u64 {
            let tensors = found.checkpoint.tensors().iter().filter(|(name, _)| Part::of(name).is_some_and(|part| parts.contains(&part)));
            let bytes = tensors.map(|(name, info)| match (Part::of(name), info.shape.len()) {
                // `Precision` runs from the most bits to the fewest.
                (Some(Part::LanguageModel), 2) if name == "model.embed_tokens.weight" => {
                    precision.min(Precision::F16).bytes(info.elements() as u64)
                }
                (Some(Part::LanguageModel), 2) => precision.bytes(info.elements() as u64),
                _ => Precision::F32.bytes(info.elements() as u64),
            });
            bytes.sum()
        };
        let [imagebind, vicuna, pandagpt, anomalygpt] = self.parts();
        of(imagebind, &[Part::ImageBind])
            + of(vicuna, &[Part::LanguageModel])
            + of(pandagpt, &[Part::Projection])
            + of(anomalygpt, &[Part::Decoder, Part::PromptLearner])
    }
}

/// Deltas that are the same weights under two names, as after one was saved under another product set's name.
fn copies(survey: &Survey) -> Vec<String> {
    const PROMPTS: &str = "prompt_learner.base_prompts";
    let deltas: Vec<_> =
        survey.of_kind(CheckpointKind::AnomalyDelta).filter_map(|found| Some((found, found.checkpoint.read(PROMPTS).ok()?))).collect();
    let mut copies = vec![];
    for (index, (first, values)) in deltas.iter().enumerate() {
        for (second, _) in deltas.iter().skip(index + 1).filter(|(_, others)| others == values) {
            let [first, second] = [first, second].map(|found| found.path.display());
            copies.push(format!("{first} and {second} hold the same weights, whatever data set their names speak of"));
        }
    }
    copies
}
