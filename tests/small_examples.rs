//! The examples that show one thing each, run as programs without arguments.
#![cfg(all(feature = "flex", feature = "mini"))]
#![allow(missing_docs, clippy::unwrap_used)]

mod program;

use program::{run, stderr, stdout};

#[test]
fn somebody_else_s_language_model_answers_in_german() {
    let output = run("own_llm", [""; 0]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).starts_with("Ja, das Bild zeigt eine Anomalie, hier: unten links. (anomalous, "), "{}", stdout(&output));
}

#[test]
fn a_part_is_compared_with_text_and_with_a_normal_one() {
    let output = run("few_shot", [""; 0]);
    assert!(output.status.success(), "{}", stderr(&output));
    let lines: Vec<&str> = stdout(&output).lines().collect();
    for (line, with) in lines[1..3].iter().zip(["against text:", "against  1 normal image(s):"]) {
        assert!(line.starts_with(with) && line.contains("Yes, ") && line.contains("bottom left"), "{line}");
    }
    assert!(lines[3].contains("bottom left") && lines[3].contains("peak"), "{lines:?}");
}
