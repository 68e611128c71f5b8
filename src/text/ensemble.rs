//! Sentences about a normal and an abnormal object: states x templates, as in the paper's table of text prompts.
//!
//! The authors' weights were trained with two of the paper's 22 templates, [`TEMPLATES`]; they are the default here too.

/// States of a normal object; `{}` is its name.
pub const NORMAL: [&str; 7] =
    ["{}", "flawless {}", "perfect {}", "unblemished {}", "{} without flaw", "{} without defect", "{} without damage"];

/// States of an abnormal object; `{}` is its name.
pub const ABNORMAL: [&str; 5] = ["damaged {}", "broken {}", "{} with flaw", "{} with defect", "{} with damage"];

/// The templates that the reference uses; `{}` is a state.
pub const TEMPLATES: [&str; 2] = ["a photo of a {}.", "a photo of the {}."];

/// All templates that the paper prints, in its order.
pub const PAPER_TEMPLATES: [&str; 22] = [
    "a cropped photo of the {}.",
    "a cropped photo of a {}.",
    "a close-up photo of a {}.",
    "a close-up photo of the {}.",
    "a bright photo of a {}.",
    "a bright photo of the {}.",
    "a dark photo of the {}.",
    "a dark photo of a {}.",
    "a jpeg corrupted photo of a {}.",
    "a jpeg corrupted photo of the {}.",
    "a blurry photo of the {}.",
    "a blurry photo of a {}.",
    "a photo of a {}.",
    "a photo of the {}.",
    "a photo of a small {}.",
    "a photo of the small {}.",
    "a photo of a large {}.",
    "a photo of the large {}.",
    "a photo of the {} for visual inspection.",
    "a photo of a {} for visual inspection.",
    "a photo of the {} for anomaly detection.",
    "a photo of a {} for anomaly detection.",
];

/// Sentences about one object.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ensemble {
    /// About the object without a defect.
    pub normal: Vec<String>,
    /// About the object with a defect.
    pub abnormal: Vec<String>,
}

impl Ensemble {
    /// 14 normal and 10 abnormal sentences about `object`, state-major (`ensemble_sentences` of the reference); `_` in the name is a space.
    pub fn new(object: &str) -> Self {
        Self::with_templates(object, &TEMPLATES)
    }

    /// The same with other templates, such as [`PAPER_TEMPLATES`]; `{}` in a template is the state.
    pub fn with_templates(object: &str, templates: &[&str]) -> Self {
        let object = object.replace('_', " ");
        let sentences = |states: &[&str]| {
            states
                .iter()
                .flat_map(|state| {
                    let state = state.replacen("{}", &object, 1);
                    templates.iter().map(move |template| template.replacen("{}", &state, 1)).collect::<Vec<_>>()
                })
                .collect()
        };
        Self { normal: sentences(&NORMAL), abnormal: sentences(&ABNORMAL) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_are_state_major() {
        let Ensemble { normal, abnormal } = Ensemble::new("metal_nut");
        assert_eq!((normal.len(), abnormal.len()), (14, 10));
        assert_eq!(normal[..3], ["a photo of a metal nut.", "a photo of the metal nut.", "a photo of a flawless metal nut."]);
        assert_eq!(normal[13], "a photo of the metal nut without damage.");
        assert_eq!(abnormal[..2], ["a photo of a damaged metal nut.", "a photo of the damaged metal nut."]);
        assert_eq!(abnormal[9], "a photo of the metal nut with damage.");
    }

    #[test]
    fn the_papers_templates_are_an_option() {
        let Ensemble { normal, abnormal } = Ensemble::with_templates("pill", &PAPER_TEMPLATES);
        assert_eq!((normal.len(), abnormal.len()), (154, 110));
        assert_eq!(abnormal[21], "a photo of a damaged pill for anomaly detection.");
    }

    #[test]
    fn braces_in_a_name_are_text() {
        assert_eq!(Ensemble::new("{} x").normal[0], "a photo of a {} x.");
    }
}
