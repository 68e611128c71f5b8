//! Text as CLIP cleans it before it is tokenized: `ftfy.fix_text`, HTML entities twice, white space, lower case.
//!
//! Of ftfy 6 there is what changes ordinary text: UTF-8 that was read as Windows-1252 or Latin-1 (where a whole line is), entities
//! where no `<` is, C1 controls, ligatures, full and half width, curled quotes, line breaks, terminal escapes, control
//! characters, and composition (NFC). Not there: other code pages, lines of which only a part is broken, bytes that got lost.

use std::borrow::Cow;

use htmlize::unescape;
use tokenizers::{
    NormalizedString, Normalizer,
    normalizers::{NFC, NFKC},
};

use crate::error::{Error, Result};

/// What Windows-1252 has from 0x80 to 0x9F; where it has nothing, the control character of that number.
const WINDOWS_1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}', '‘', '’', '“', '”', '•', '–',
    '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

/// Ligatures and digraphs, and what they are made of.
const LIGATURES: [(char, &str); 22] = [
    ('Ĳ', "IJ"),
    ('ĳ', "ij"),
    ('ŉ', "ʼn"),
    ('Ǆ', "DŽ"),
    ('ǅ', "Dž"),
    ('ǆ', "dž"),
    ('Ǉ', "LJ"),
    ('ǈ', "Lj"),
    ('ǉ', "lj"),
    ('Ǌ', "NJ"),
    ('ǋ', "Nj"),
    ('ǌ', "nj"),
    ('Ǳ', "DZ"),
    ('ǲ', "Dz"),
    ('ǳ', "dz"),
    ('ﬀ', "ff"),
    ('ﬁ', "fi"),
    ('ﬂ', "fl"),
    ('ﬃ', "ffi"),
    ('ﬄ', "ffl"),
    ('ﬅ', "ſt"),
    ('ﬆ', "st"),
];

/// A text as CLIP's tokenizer reads it.
///
/// # Errors
/// [`Error::Tokenizer`], which no text is known to cause.
pub(super) fn clean(text: &str) -> Result<String> {
    let fixed = text.split_inclusive('\n').map(fix_line).collect::<Result<String>>()?;
    let plain = unescape(unescape(fixed)).to_lowercase();
    Ok(plain.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Repeats all repairs of a line until they change nothing.
fn fix_line(line: &str) -> Result<String> {
    let mut line = line.to_owned();
    let has_entities = !line.contains('<');
    loop {
        let plain = if has_entities { unescape(&line) } else { Cow::Borrowed(line.as_str()) };
        let plain = without_terminal_escapes(&decoded(plain.into_owned()));
        let fixed = normalized(&NFC, plain.chars().map(fix_character).collect::<Result<String>>()?)?;
        if fixed == line {
            return Ok(fixed);
        }
        line = fixed;
    }
}

/// Undoes UTF-8 that was read as Windows-1252 or Latin-1, however often.
fn decoded(mut line: String) -> String {
    while !line.is_ascii()
        && let Some(better) = line.chars().map(byte_of).collect::<Option<Vec<u8>>>().and_then(|bytes| String::from_utf8(bytes).ok())
    {
        line = better;
    }
    line
}

/// The byte that Windows-1252, or else Latin-1, has for a character.
fn byte_of(character: char) -> Option<u8> {
    let high = || WINDOWS_1252.iter().position(|known| *known == character).and_then(|index| u8::try_from(0x80 + index).ok());
    u8::try_from(u32::from(character)).ok().or_else(high)
}

/// Without the escape sequences that move a terminal's cursor or colour its text.
fn without_terminal_escapes(line: &str) -> String {
    let mut rest = line;
    let mut kept = String::with_capacity(line.len());
    while let Some(start) = rest.find("\u{1b}[") {
        let (before, escape) = rest.split_at(start);
        let parameters = escape[2..].trim_start_matches(|character: char| character.is_ascii_digit() || character == ';');
        let length =
            if parameters.starts_with(|character: char| character.is_ascii_alphabetic()) { escape.len() - parameters.len() + 1 } else { 2 };
        kept += before;
        if length == 2 {
            kept += &escape[..2];
        }
        rest = &escape[length..];
    }
    kept + rest
}

fn fix_character(character: char) -> Result<String> {
    Ok(match character {
        '\u{80}'..='\u{9f}' => WINDOWS_1252[character as usize - 0x80].to_string(),
        '\u{ff01}'..='\u{ffef}' => normalized(&NFKC, character.to_string())?,
        '\u{3000}' => " ".into(),
        'ʼ' | '‘'..='‛' => "'".into(),
        '“'..='‟' => "\"".into(),
        '\r' | '\u{2028}' | '\u{2029}' => "\n".into(),
        '\0'..='\u{8}' | '\u{b}' | '\u{e}'..='\u{1f}' | '\u{7f}' => String::new(),
        '\u{206a}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffc}' => String::new(),
        other => match LIGATURES.iter().find(|(ligature, _)| *ligature == other) {
            Some((_, letters)) => (*letters).into(),
            None => other.into(),
        },
    })
}

fn normalized(form: &impl Normalizer, text: String) -> Result<String> {
    let mut text = NormalizedString::from(text);
    form.normalize(&mut text).map_err(Error::Tokenizer)?;
    Ok(text.get().to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_are_cleaned_as_ftfy_and_clip_do() {
        for (text, expected) in [
            ("  Mixed   CASE \n\t tabs  ", "mixed case tabs"),
            ("&lt;b&gt; &amp;amp; html", "<b> & html"),
            ("<i> &amp;amp;amp; x", "<i> &amp; x"),
            ("“quotes” ‘single’ …", "\"quotes\" 'single' …"),
            ("ﬁ ﬄ ǆ ① ½ ²", "fi ffl dž ① ½ ²"),
            ("mojibake: schÃ¶n â€œquotedâ€\u{9d}", "mojibake: schön \"quoted\""),
            ("twice: Ã\u{192}Â¶", "twice: ö"),
            ("Ｆｕｌｌ\u{3000}ｶﾞ", "full ガ"),
            ("e\u{301} \u{feff}\u{0}x\u{1b}[31mred\u{1b}[0m \u{1b}[", "é xred ["),
            ("\u{85}\u{93}a\u{94}", "…\"a\""),
            ("Σας ÀÉ", "σας àé"),
        ] {
            assert_eq!(clean(text).unwrap(), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_clean_text_stays_as_it_is(text in "[a-z0-9 .,!?'é日]{0,40}") {
            let plain = text.split_whitespace().collect::<Vec<_>>().join(" ");
            prop_assert_eq!(clean(&text).unwrap(), plain);
        }

        #[test]
        fn any_text_can_be_cleaned(text in ".{0,60}") {
            let cleaned = clean(&text).unwrap();
            prop_assert!(!cleaned.contains("  ") && cleaned.trim() == cleaned);
        }
    }
}
