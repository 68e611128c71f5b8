//! What an image shows, in words: the paper's descriptions, and the object's name in a free one.
//!
//! The reference takes the first known name that is a substring of the prompt, so that "textile" is a tile and "pillow" a
//! pill. Here a name is whole words, and the longest known one wins.

/// Names and descriptions of the MVTec-AD classes, those that the paper prints, word for word.
pub const MVTEC_AD: [(&str, &str); 13] = [
    (
        "bottle",
        "This is a photo of a bottle for anomaly detection, which should be round and without any damage, flaw, defect, scratch, hole or broken part.",
    ),
    (
        "cable",
        "This is a photo of three cables for anomaly detection, they are green, blue and grey, which cannot be missed or swapped and should be without any damage, flaw, defect, scratch, hole or broken part.",
    ),
    (
        "capsule",
        "This is a photo of a capsule for anomaly detection, which should be black and orange, with print '500' and without any damage, flaw, defect, scratch, hole or broken part.",
    ),
    (
        "carpet",
        "This is a photo of carpet for anomaly detection, which should be without any damage, flaw, defect, scratch, hole or broken part.",
    ),
    (
        "grid",
        "This is a photo of grid for anomaly detection, which should be without any damage, flaw, defect, scratch, hole or broken part.",
    ),
    (
        "hazelnut",
        "This is a photo of a hazelnut for anomaly detection, which should be without any damage, flaw, defect, scratch, hole or broken part.",
    ),
    (
        "leather",
        "This is a photo of leather for anomaly detection, which should be brown with patterns and without any damage, flaw, defect, scratch, hole or broken part.",
    ),
    (
        "metal nut",
        "This is a photo of a metal nut for anomaly detection, which should be without any damage, flaw, defect, scratch, hole or broken part, and shouldn't be flipped.",
    ),
    (
        "pill",
        "This is a photo of a pill for anomaly detection, which should be white, with print 'FF' and red patterns and without any damage, flaw, defect, scratch, hole or broken part.",
    ),
    (
        "screw",
        "This is a photo of a screw for anomaly detection, whose tail should be sharp, and without any damage, flaw, defect, scratch, hole or broken part.",
    ),
    (
        "tile",
        "This is a photo of tile for anomaly detection, which should be without any damage, flaw, defect, scratch, hole or broken part.",
    ),
    (
        "toothbrush",
        "This is a photo of a toothbrush for anomaly detection, which should be without any damage, flaw, defect, scratch, hole or broken part.",
    ),
    (
        "transistor",
        "This is a photo of a transistor for anomaly detection, which should be without any damage, flaw, defect, scratch, hole or broken part.",
    ),
];

/// Names and descriptions of the VisA classes, worded as the paper's for MVTec-AD.
pub const VISA: [(&str, &str); 12] = [
    (
        "candle",
        "This is a photo of candles for anomaly detection, each of which should be without any damage, flaw, defect, scratch, hole or broken part.",
    ),
    (
        "capsules",
        "This is a photo of many capsules for anomaly detection, each of which should be without any damage, flaw, defect, scratch, hole or broken part.",
    ),
    (
        "cashew",
        "This is a photo of a cashew for anomaly detection, which should be without any damage, flaw, defect, scratch, hole or broken part.",
    ),
    (
        "chewinggum",
        "This is a photo of a piece of chewinggum for anomaly detection, which should be without any damage, flaw, defect, scratch, hole or broken part.",
    ),
    (
        "fryum",
        "This is a photo of a fryum for anomaly detection, which should be without any damage, flaw, defect, scratch, hole or broken part.",
    ),
    (
        "macaroni1",
        "This is a photo of macaroni for anomaly detection, which should be without any damage, flaw, defect, scratch, hole or broken part.",
    ),
    (
        "macaroni2",
        "This is a photo of macaroni for anomaly detection, which should be without any damage, flaw, defect, scratch, hole or broken part.",
    ),
    (
        "pcb1",
        "This is a photo of a pcb for anomaly detection, which should be without any damage, flaw, defect, scratch, hole or broken part.",
    ),
    (
        "pcb2",
        "This is a photo of a pcb for anomaly detection, which should be without any damage, flaw, defect, scratch, hole or broken part.",
    ),
    (
        "pcb3",
        "This is a photo of a pcb for anomaly detection, which should be without any damage, flaw, defect, scratch, hole or broken part.",
    ),
    (
        "pcb4",
        "This is a photo of a pcb for anomaly detection, which should be without any damage, flaw, defect, scratch, hole or broken part.",
    ),
    (
        "pipe fryum",
        "This is a photo of a pipe fryum for anomaly detection, which should be without any damage, flaw, defect, scratch, hole or broken part.",
    ),
];

/// Objects that the published model knows by name (classes of MVTec-AD and VisA).
pub const KNOWN: [&str; 23] = [
    "bottle",
    "cable",
    "candle",
    "capsule",
    "capsules",
    "carpet",
    "cashew",
    "chewinggum",
    "fryum",
    "grid",
    "hazelnut",
    "leather",
    "macaroni",
    "metal nut",
    "pcb",
    "pill",
    "pipe fryum",
    "screw",
    "tile",
    "toothbrush",
    "transistor",
    "wood",
    "zipper",
];

/// The names that the reference looks for, in its order: the first that is a substring of the prompt is the class.
pub const IN_ORDER: [&str; 23] = [
    "bottle",
    "cable",
    "capsule",
    "carpet",
    "grid",
    "hazelnut",
    "leather",
    "metal nut",
    "pill",
    "screw",
    "tile",
    "toothbrush",
    "transistor",
    "wood",
    "zipper",
    "object",
    "candle",
    "cashew",
    "chewinggum",
    "fryum",
    "macaroni",
    "pcb",
    "pipe fryum",
];

/// The name of an object of which nothing is known.
pub const UNKNOWN: &str = "object";

/// A description of at most so many words is a name.
const WORDS_OF_A_NAME: usize = 4;

/// The name of the object that a description is about, in lower case.
///
/// The longest name in [`KNOWN`] that occurs as whole words (a plural "s" apart); else X of "a photo of (a, an, the) X for
/// anomaly detection"; else the description itself, where it has at most four words; else [`UNKNOWN`].
pub fn object_of(description: Option<&str>) -> String {
    let words = words(description.unwrap_or_default());
    let known = KNOWN.iter().filter(|name| occurs(name, &words)).max_by_key(|name| name.len());
    match known {
        Some(name) => (*name).to_owned(),
        None => pattern(&words).or_else(|| name(&words)).unwrap_or_else(|| UNKNOWN.to_owned()),
    }
}

/// The class as the reference derives it (`class_of_prompt`): the first of [`IN_ORDER`] that is a substring of the prompt, in its
/// very case. "Applicable" is a cable to it, and "capsules" a capsule.
pub fn first_substring(prompt: &str) -> Option<&'static str> {
    IN_ORDER.into_iter().find(|name| prompt.contains(name))
}

/// The paper's description of an MVTec-AD class, where it prints one; `_` in the name is a space.
pub fn of_mvtec_ad(class: &str) -> Option<&'static str> {
    let class = class.replace('_', " ");
    MVTEC_AD.iter().find(|(name, _)| *name == class).map(|(_, text)| *text)
}

/// A description of a VisA class; `_` in the name is a space.
pub fn of_visa(class: &str) -> Option<&'static str> {
    let class = class.replace('_', " ");
    VISA.iter().find(|(name, _)| *name == class).map(|(_, text)| *text)
}

fn words(text: &str) -> Vec<String> {
    text.split(|character: char| !character.is_alphanumeric() && character != '\'')
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

fn occurs(name: &str, words: &[String]) -> bool {
    let name: Vec<&str> = name.split(' ').collect();
    words.windows(name.len()).any(|window| {
        window.iter().zip(&name).enumerate().all(|(index, (word, part))| {
            let last = index + 1 == name.len();
            word == part || (last && word.strip_suffix('s') == Some(*part))
        })
    })
}

fn pattern(words: &[String]) -> Option<String> {
    let find = |sequence: &[&str], from: usize| {
        (from..words.len())
            .find(|start| words[*start..].len() >= sequence.len() && words[*start..].iter().zip(sequence).all(|(word, part)| word == part))
    };
    let start = find(&["photo", "of"], 0)? + 2;
    let end = find(&["for", "anomaly", "detection"], start)?;
    name(&words[start..end])
}

fn name(words: &[String]) -> Option<String> {
    let words = match words {
        [article, rest @ ..] if ["a", "an", "the"].contains(&article.as_str()) => rest,
        words => words,
    };
    (1..=WORDS_OF_A_NAME).contains(&words.len()).then(|| words.join(" "))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(description: &str) -> String {
        object_of(Some(description))
    }

    #[test]
    fn every_description_of_the_paper_names_its_class() {
        for (class, description) in MVTEC_AD {
            assert_eq!(of(description), class);
            assert_eq!(of(&format!("{description} Is there any anomaly in the image?")), class);
        }
        assert_eq!(of_mvtec_ad("metal_nut"), Some(MVTEC_AD[7].1));
        assert_eq!(of_mvtec_ad("wood"), None);
    }

    #[test]
    fn a_known_name_is_whole_words_and_the_longest_wins() {
        assert_eq!(of("applicable textile"), "applicable textile");
        assert_eq!(of("a pillow"), "pillow");
        assert_eq!(of("a photo of pipe fryum for anomaly detection"), "pipe fryum");
        assert_eq!(of("Describe the capsules."), "capsules");
        assert_eq!(of("one capsule, black and orange, lying on a table"), "capsule");
        assert_eq!(of("a metal nut and a bottle"), "metal nut");
        assert_eq!(of("metal_nut"), "metal nut");
        assert_eq!(of("METAL-NUT"), "metal nut");
        assert_eq!(of("two screws next to each other on a table"), "screw");
    }

    #[test]
    fn an_unknown_name_comes_from_the_pattern_or_is_the_description() {
        assert_eq!(of("This is a photo of a brass gear wheel for anomaly detection, which should be round."), "brass gear wheel");
        assert_eq!(of("An enamel mug."), "enamel mug");
        assert_eq!(of("pcb1"), "pcb1");
        assert_eq!(of("Please look closely at this thing here"), UNKNOWN);
        assert_eq!(of("A photo of for anomaly detection of anything at all"), UNKNOWN);
    }

    #[test]
    fn every_visa_class_has_a_description_that_names_it() {
        for (class, description) in VISA {
            assert_eq!(of_visa(&class.replace(' ', "_")), Some(description));
            let named = of(description);
            assert!(class.trim_end_matches(char::is_numeric) == named || class == named, "{class}: {named}");
        }
        assert_eq!(of_visa("bottle"), None);
    }

    #[test]
    fn the_reference_takes_the_first_substring() {
        for (prompt, class) in [
            ("a metal nut and a bottle", Some("bottle")),
            ("two pcb1 boards", Some("pcb")),
            ("metal_nut", None),
            ("pipe fryum", Some("fryum")),
            ("Grid", None),
            ("", None),
        ] {
            assert_eq!(first_substring(prompt), class, "{prompt}");
        }
    }

    #[test]
    fn nothing_is_an_object() {
        assert_eq!(object_of(None), UNKNOWN);
        assert_eq!(of(" \n"), UNKNOWN);
        assert_eq!(of("?!"), UNKNOWN);
    }

    proptest! {
        #[test]
        fn any_description_has_a_name(description in "\\PC{0,60}") {
            prop_assert!(!of(&description).trim().is_empty());
        }
    }
}
