//! Results: plain host data, in the pixels of the original image.

mod components;
mod map;
mod overlay;
mod region;
mod resample;

use std::fmt;

#[cfg(feature = "eval")]
pub(crate) use components::Components;
pub use map::AnomalyMap;
pub use region::{Region, regions};

/// Where an image deviates from normal, and by how much.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Detection {
    /// How anomalous the image is, in `[0, 1]` with all decoders of this crate, unless a patch is opposite to all of a memory bank's.
    pub score: f32,
    /// One value a pixel of the original image, in `[0, 1]`; above 0.5 is anomalous.
    pub map: AnomalyMap,
    /// The map as the decoder gave it: its own resolution, uncalibrated.
    pub raw: AnomalyMap,
    /// The anomalous parts, the strongest first.
    pub regions: Vec<Region>,
}

impl Detection {
    /// A detection with all its parts.
    pub fn new(score: f32, map: AnomalyMap, raw: AnomalyMap, regions: Vec<Region>) -> Self {
        Self { score, map, raw, regions }
    }
}

/// A detection, and what the language model says about it.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Inspection {
    /// Where the image deviates from normal.
    pub detection: Detection,
    /// The language model's answer, in words.
    pub answer: String,
    /// Whether the language model finds an anomaly.
    pub verdict: Verdict,
    /// The language model's probability of "Yes" against "No" as its first word, in `[0, 1]`.
    pub probability: f32,
}

impl Inspection {
    /// An inspection with all its parts; the verdict follows from `probability`.
    pub fn new(detection: Detection, answer: impl Into<String>, probability: f32) -> Self {
        Self { detection, answer: answer.into(), verdict: Verdict::from_probability(probability), probability }
    }
}

/// Whether the language model finds an anomaly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verdict {
    /// "No" is more probable than "Yes".
    Normal,
    /// "Yes" is more probable than "No".
    Anomalous,
    /// Both are equally probable, or there is no probability.
    Undecided,
}

impl Verdict {
    /// The more probable answer, from the probability of "Yes" against "No": above 0.5 is anomalous, below is normal,
    /// exactly 0.5 or not a number is undecided.
    pub fn from_probability(probability: f32) -> Self {
        if probability > 0.5 {
            Self::Anomalous
        } else if probability < 0.5 {
            Self::Normal
        } else {
            Self::Undecided
        }
    }

    /// "normal", "anomalous" or "undecided".
    pub fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Anomalous => "anomalous",
            Self::Undecided => "undecided",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Verdict {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Verdict {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let verdict = [Self::Normal, Self::Anomalous, Self::Undecided].into_iter().find(|verdict| verdict.name() == name);
        verdict.ok_or_else(|| serde::de::Error::unknown_variant(&name, &["normal", "anomalous", "undecided"]))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_the_more_probable_answer() {
        for (probability, verdict) in
            [(0.0, "normal"), (0.4999, "normal"), (0.5, "undecided"), (f32::NAN, "undecided"), (0.5001, "anomalous"), (1.0, "anomalous")]
        {
            assert_eq!(Verdict::from_probability(probability).to_string(), verdict);
        }
    }

    #[cfg(feature = "serde")]
    #[test]
    fn results_serialize() {
        let map = AnomalyMap::new(2, 1, vec![0.0, 0.75]).unwrap();
        let detection = Detection::new(0.75, map.clone(), map.clone(), regions(&map, 0.5));
        let json = serde_json::to_value(Inspection::new(detection, "Yes.", 0.75)).unwrap();
        assert_eq!(json["verdict"], "anomalous");
        assert_eq!(json["detection"]["map"], serde_json::json!({ "width": 2, "height": 1, "values": [0.0, 0.75] }));
        assert_eq!(json["detection"]["regions"][0], serde_json::json!({ "bbox": [1, 0, 1, 1], "area": 1, "peak": 0.75, "place": "right" }));
    }
}
