//! Choices where the authors' code behaves oddly: theirs, or the sound one.

use crate::{
    decoder::{MemoryBankOptions, memory_bank::CalibrationOptions},
    llm::GenerateOptions,
    preprocess::{Fit, ReadOptions},
    text::{
        descriptions::{self, UNKNOWN},
        ensemble,
    },
};

/// How the published model behaves.
///
/// [`original`](Self::original) is the authors' evaluation, [`demo`](Self::demo) their web demo. The default is the sound
/// behaviour, as far as weights that were trained with theirs allow it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Compat {
    /// How image files are read; of use to whoever reads them.
    pub read: ReadOptions,
    /// How photographs are fitted.
    pub fit: Fit,
    /// How an inspector compares and answers.
    pub behaviour: Behaviour,
}

/// How an inspector compares and answers, whatever its stages are.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Behaviour {
    /// How photographs are fitted where they are compared with normal ones, if not as always.
    pub comparison_fit: Option<Fit>,
    /// What the text pair is about.
    pub class: ClassRule,
    /// Sentence templates of the text pair; `{}` is a state.
    pub templates: &'static [&'static str],
    /// Which views of a normal photograph are compared with.
    pub views: Views,
    /// The memory bank of normal photographs.
    pub normals: MemoryBankOptions,
    /// Which map the prompt learner sees.
    pub prompt_map: PromptMap,
    /// How answers are generated.
    pub generate: GenerateOptions,
}

/// What the text pair is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClassRule {
    /// The longest known name that occurs as whole words in the description, else what the description says
    /// ([`descriptions::object_of`]).
    #[default]
    WholeWords,
    /// The first name of the authors' list that is a substring of all that is said ([`descriptions::first_substring`]).
    FirstSubstring,
    /// This name, whatever is said.
    Given(String),
}

/// Which views of a normal photograph are compared with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Views {
    /// The photograph and its mirror images.
    #[default]
    Flips,
    /// The photograph in its four quarter turns, as in the authors' training. Their evaluation means to and does not.
    QuarterTurns,
    /// The photograph alone. Source: the reference.
    AsItIs,
}

/// Which map the prompt learner sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PromptMap {
    /// The calibrated one, of one scale for all products.
    #[default]
    Calibrated,
    /// The map as the equations give it, which the published prompt learner was trained on.
    Raw,
}

impl Default for Behaviour {
    /// Sound for any stages; the embedded model differs in its memory bank.
    fn default() -> Self {
        Self {
            comparison_fit: None,
            class: ClassRule::default(),
            templates: &ensemble::TEMPLATES,
            views: Views::default(),
            normals: MemoryBankOptions::default(),
            prompt_map: PromptMap::default(),
            generate: GenerateOptions::default(),
        }
    }
}

impl Default for Compat {
    /// All of a photograph is seen ([`Fit::Pad`]); classes are whole words; normal photographs are compared with in four quarter
    /// turns, and what users see of that is calibrated; answers are the likeliest.
    fn default() -> Self {
        // What a quarter turn changes says little of how parts differ.
        let calibration = Some(CalibrationOptions { spread_of_views: None, ..CalibrationOptions::default() });
        let normals = MemoryBankOptions { calibration, ..MemoryBankOptions::original() };
        let behaviour = Behaviour { views: Views::QuarterTurns, normals, prompt_map: PromptMap::Raw, ..Behaviour::default() };
        Self { read: ReadOptions::default(), fit: Fit::Pad, behaviour }
    }
}

impl Compat {
    /// The authors' evaluation: the centre of a photograph, the first class that is a substring of the prompt, the paper's memory
    /// bank without turned views.
    ///
    /// Their sampling of one of the likeliest that have a probability of 0.01 together, of 50 at the most, is the likeliest. For
    /// MVTec-AD they took 0.1: [`GenerateOptions::sampled`] with a temperature of 1.
    pub fn original() -> Self {
        let behaviour = Behaviour {
            class: ClassRule::FirstSubstring,
            views: Views::AsItIs,
            normals: MemoryBankOptions::original(),
            prompt_map: PromptMap::Raw,
            generate: GenerateOptions::default().with_max_new_tokens(512),
            ..Behaviour::default()
        };
        Self { read: ReadOptions::original(), fit: Fit::Crop, behaviour }
    }

    /// The authors' web demo: photographs are squashed, except where they are compared with normal ones.
    pub fn demo() -> Self {
        let original = Self::original();
        Self { fit: Fit::Squash, behaviour: Behaviour { comparison_fit: Some(Fit::Crop), ..original.behaviour }, ..original }
    }
}

impl ClassRule {
    /// The name of the object in a description and a question.
    pub fn object(&self, description: Option<&str>, question: &str) -> String {
        match self {
            Self::WholeWords => descriptions::object_of(description),
            Self::FirstSubstring => {
                let said = format!("{} {question}", description.unwrap_or_default());
                descriptions::first_substring(&said).unwrap_or(UNKNOWN).into()
            }
            Self::Given(name) => name.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_found_as_the_rule_says() {
        let both =
            |description, question| [ClassRule::WholeWords, ClassRule::FirstSubstring].map(|rule| rule.object(description, question));
        assert_eq!(both(Some("applicable textile"), ""), ["applicable textile", "cable"]);
        assert_eq!(both(Some("many capsules"), ""), ["capsules", "capsule"]);
        assert_eq!(both(None, "Any defect on this screw?"), ["object", "screw"]);
        assert_eq!(both(None, "Is there any anomaly in the image?"), ["object", "object"]);
        assert_eq!(ClassRule::Given("zipper".into()).object(Some("a bottle"), ""), "zipper");
    }

    #[test]
    fn the_demo_squashes_and_compares_crops() {
        let (original, demo) = (Compat::original(), Compat::demo());
        assert_eq!((original.fit, original.behaviour.comparison_fit), (Fit::Crop, None));
        assert_eq!((demo.fit, demo.behaviour.comparison_fit), (Fit::Squash, Some(Fit::Crop)));
        assert_eq!(Behaviour { comparison_fit: None, ..demo.behaviour }, original.behaviour);
    }
}
