//! Questions and answers that the language model is trained on, in the paper's sentences.
//!
//! Deviations from the authors' data: a list of more than two places is finished, places come row by row and once each (their order was
//! random, and the count could contradict the list), and besides "is there an anomaly" there are pairs for where, how many and what.

use rand::{RngExt, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;

use crate::place::Place;

/// Whether there is an anomaly; the first is the paper's.
pub const PRESENCE_QUESTIONS: [&str; 8] = [
    "Is there any anomaly in the image?",
    "Is there an anomaly in the image?",
    "Are there any anomalies in the image?",
    "Is there any defect in the image?",
    "Are there any defects in the image?",
    "Does the image show any defect or damage?",
    "Is anything wrong in this image?",
    "Is the product in the image defective?",
];

/// Where anomalies are.
pub const WHERE_QUESTIONS: [&str; 6] = [
    "Where is the anomaly?",
    "Where is the anomaly in the image?",
    "Where are the anomalies in the image?",
    "Where is the defect?",
    "In which part of the image is the anomaly?",
    "At which position is the anomaly?",
];

/// How many anomalies there are.
pub const COUNT_QUESTIONS: [&str; 5] = [
    "How many anomalies are there in the image?",
    "How many anomalies are in the image?",
    "How many defects are there in the image?",
    "How many defects can you see?",
    "What is the number of anomalies in the image?",
];

/// What the picture shows.
pub const WHAT_QUESTIONS: [&str; 5] = [
    "What is in the image?",
    "What is in the picture?",
    "What does the image show?",
    "What can you see in the image?",
    "What is shown in this photo?",
];

/// Objects that are named without an article: materials.
const MATERIALS: [&str; 38] = [
    "aluminium",
    "aluminum",
    "asphalt",
    "brick",
    "cardboard",
    "carpet",
    "ceramic",
    "chewinggum",
    "cloth",
    "concrete",
    "copper",
    "cotton",
    "denim",
    "fabric",
    "felt",
    "foam",
    "foil",
    "glass",
    "granite",
    "grass",
    "gravel",
    "grid",
    "leather",
    "linen",
    "marble",
    "metal",
    "mesh",
    "paper",
    "plaster",
    "plastic",
    "rubber",
    "silk",
    "steel",
    "stone",
    "terrazzo",
    "tile",
    "wood",
    "wool",
];

/// Words that begin with a vowel letter and a consonant sound.
const CONSONANT_SOUNDS: [&str; 6] = ["uni", "use", "usb", "uv", "one", "eu"];
/// Words that begin with a consonant letter and a vowel sound.
const VOWEL_SOUNDS: [&str; 8] = ["hour", "honest", "heir", "led", "lcd", "mdf", "sd ", "rfid"];

/// What a question asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Whether there is an anomaly.
    Presence,
    /// Where anomalies are.
    Where,
    /// How many there are.
    Count,
    /// What the picture shows.
    What,
}

impl Kind {
    /// All four.
    pub const ALL: [Self; 4] = [Self::Presence, Self::Where, Self::Count, Self::What];

    /// The phrasings of this question.
    pub fn questions(self) -> &'static [&'static str] {
        match self {
            Self::Presence => &PRESENCE_QUESTIONS,
            Self::Where => &WHERE_QUESTIONS,
            Self::Count => &COUNT_QUESTIONS,
            Self::What => &WHAT_QUESTIONS,
        }
    }
}

/// What is true of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts<'a> {
    /// The product's or texture's name, without an article: "metal nut", "wood".
    pub object: &'a str,
    /// The place of each anomaly, in any order; empty for a normal image.
    pub places: &'a [Place],
}

impl Facts<'_> {
    /// "This is a photo of a metal nut for anomaly detection, which should be without any damage, flaw, defect, scratch, hole or broken part."
    pub fn description(&self) -> String {
        let object = with_article(self.object);
        format!(
            "This is a photo of {object} for anomaly detection, which should be without any damage, flaw, defect, scratch, hole or broken part."
        )
    }

    /// "Yes, there is an anomaly in the image, at the bottom left of the image.", or "No, there are no anomalies in the image."
    pub fn answer_presence(&self) -> String {
        match self.places.len() {
            0 => "No, there are no anomalies in the image.".into(),
            1 => format!("Yes, there is an anomaly in the image, at the {} of the image.", self.listed()),
            count => format!("Yes, there are {} anomalies in the image, they are at the {} of the image.", number(count), self.listed()),
        }
    }

    /// "The anomaly is at the bottom left of the image."
    pub fn answer_where(&self) -> String {
        match self.places.len() {
            0 => NONE.into(),
            1 => format!("The anomaly is at the {} of the image.", self.listed()),
            _ => format!("The anomalies are at the {} of the image.", self.listed()),
        }
    }

    /// "There are two anomalies in the image."
    pub fn answer_count(&self) -> String {
        match self.places.len() {
            0 => NONE.into(),
            1 => "There is one anomaly in the image.".into(),
            count => format!("There are {} anomalies in the image.", number(count)),
        }
    }

    /// "This is a photo of a metal nut."
    pub fn answer_what(&self) -> String {
        format!("This is a photo of {}.", with_article(self.object))
    }

    /// The answer to a question of this kind.
    pub fn answer(&self, kind: Kind) -> String {
        match kind {
            Kind::Presence => self.answer_presence(),
            Kind::Where => self.answer_where(),
            Kind::Count => self.answer_count(),
            Kind::What => self.answer_what(),
        }
    }

    /// The places row by row, each once: "top left, center and bottom".
    fn listed(&self) -> String {
        let mut places = self.places.to_vec();
        places.sort_unstable();
        places.dedup();
        let names: Vec<&str> = places.iter().map(|place| place.name()).collect();
        match names.split_last() {
            Some((last, first)) if !first.is_empty() => format!("{} and {last}", first.join(", ")),
            _ => names.concat(),
        }
    }
}

/// Where and how many, for a normal image.
const NONE: &str = "There are no anomalies in the image.";

/// The paper writes "two", and figures from three on.
fn number(count: usize) -> String {
    if count == 2 { "two".into() } else { count.to_string() }
}

/// A question of this kind in a random phrasing, and its answer.
///
/// Half of the questions follow the description, separated by a space, as the paper's prompt has them; those about what the picture shows
/// never do, as the description would tell.
pub fn pair(rng: &mut ChaCha8Rng, kind: Kind, facts: &Facts<'_>) -> (String, String) {
    let phrasing = kind.questions().choose(rng).copied().unwrap_or_default();
    let described = rng.random_bool(0.5) && kind != Kind::What;
    let question = if described { format!("{} {phrasing}", facts.description()) } else { phrasing.into() };
    (question, facts.answer(kind))
}

/// The object's name with "a" or "an", or as it is: materials ("wood"), plurals ("capsules"), and names that bring an article or a number along.
pub fn with_article(object: &str) -> String {
    let object = object.trim();
    let name = if object.is_empty() { "object" } else { object };
    let lower = name.to_lowercase();
    let (first, last) = (lower.split_whitespace().next().unwrap_or_default(), lower.split_whitespace().last().unwrap_or_default());
    let determined = ["a", "an", "the", "two", "three", "four", "some", "several"].contains(&first)
        || first.starts_with(|letter: char| letter.is_ascii_digit());
    // "magnetic tile" is a thing, "tile" alone the paper's texture.
    let thing = ["tile", "grid", "brick", "stone"].contains(&last) && first != last;
    let material = MATERIALS.contains(&last) && !thing;
    let plural = last.ends_with('s') && !["ss", "us", "is", "lens"].iter().any(|end| last.ends_with(end));
    if determined || material || plural {
        return name.into();
    }
    let begins = |words: &[&str]| words.iter().any(|word| lower.starts_with(word));
    let vowel = lower.starts_with(['a', 'e', 'i', 'o', 'u']) && !begins(&CONSONANT_SOUNDS) || begins(&VOWEL_SOUNDS);
    format!("{} {name}", if vowel { "an" } else { "a" })
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn facts(places: &[Place]) -> Facts<'_> {
        Facts { object: "metal nut", places }
    }

    #[test]
    fn answers_are_the_sentences_of_the_paper() {
        use Place::{Bottom, BottomLeft, Center, TopLeft};
        let presence = |places: &[Place]| facts(places).answer_presence();
        assert_eq!(presence(&[]), "No, there are no anomalies in the image.");
        assert_eq!(presence(&[BottomLeft]), "Yes, there is an anomaly in the image, at the bottom left of the image.");
        assert_eq!(
            presence(&[Center, TopLeft]),
            "Yes, there are two anomalies in the image, they are at the top left and center of the image."
        );
        assert_eq!(
            presence(&[Bottom, Center, TopLeft]),
            "Yes, there are 3 anomalies in the image, they are at the top left, center and bottom of the image."
        );
        assert_eq!(presence(&[Center, Center]), "Yes, there are two anomalies in the image, they are at the center of the image.");
        assert_eq!(
            presence(&[Center, Bottom, Center]),
            "Yes, there are 3 anomalies in the image, they are at the center and bottom of the image."
        );
    }

    #[test]
    fn the_other_answers_agree_with_the_facts() {
        let (none, one, two) = (facts(&[]), facts(&[Place::Left]), facts(&[Place::Right, Place::Left]));
        assert_eq!([none.answer_where(), none.answer_count()], [NONE, NONE]);
        assert_eq!(
            [one.answer_where(), one.answer_count()],
            ["The anomaly is at the left of the image.", "There is one anomaly in the image."]
        );
        assert_eq!(
            [two.answer_where(), two.answer_count()],
            ["The anomalies are at the left and right of the image.", "There are two anomalies in the image."]
        );
        assert_eq!(one.answer_what(), "This is a photo of a metal nut.");
        assert_eq!(
            Facts { object: "wood", places: &[] }.description(),
            "This is a photo of wood for anomaly detection, which should be without any damage, flaw, defect, scratch, hole or broken part."
        );
    }

    #[test]
    fn articles_fit_the_object() {
        let cases = [
            ("bottle", "a bottle"),
            ("oil cap", "an oil cap"),
            ("leather", "leather"),
            ("brushed metal", "brushed metal"),
            ("metal nut", "a metal nut"),
            ("tile", "tile"),
            ("magnetic tile", "a magnetic tile"),
            ("capsules", "capsules"),
            ("lens", "a lens"),
            ("three cables", "three cables"),
            ("the screw", "the screw"),
            ("USB plug", "a USB plug"),
            ("LED", "an LED"),
            ("", "an object"),
            ("  bus ", "a bus"),
            ("unit", "a unit"),
            ("woven cloth", "woven cloth"),
        ];
        for (object, expected) in cases {
            assert_eq!(with_article(object), expected);
        }
    }

    #[test]
    fn pairs_use_every_phrasing_with_and_without_a_description() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let facts = facts(&[Place::Top]);
        for kind in Kind::ALL {
            let pairs: Vec<(String, String)> = (0..200).map(|_| pair(&mut rng, kind, &facts)).collect();
            assert!(pairs.iter().all(|(_, answer)| *answer == facts.answer(kind)));
            for phrasing in kind.questions() {
                assert!(pairs.iter().any(|(question, _)| question == phrasing), "{phrasing}");
                let described = format!("{} {phrasing}", facts.description());
                assert_eq!(pairs.iter().any(|(question, _)| *question == described), kind != Kind::What, "{phrasing}");
            }
        }
    }
}
