//! Somebody else's language model behind the trait: here one that answers in German, built on the embedded one.
//!
//! `cargo run --release --example own_llm -- [IMAGE]`
#![allow(clippy::print_stdout)]

use std::{ops::ControlFlow, path::Path};

use anomalygpt::{
    Result, default_device,
    llm::{GenerateOptions, Llm, Segment},
    preprocess::read_image,
    pretrained::{Mini, sample},
};

/// English phrases of the embedded model and what they become, longer ones first.
const GERMAN: [(&str, &str); 17] = [
    ("Yes, there is an anomaly in the image", "Ja, das Bild zeigt eine Anomalie"),
    ("Yes, there are two anomalies in the image", "Ja, das Bild zeigt zwei Anomalien"),
    ("Yes, there are 3 anomalies in the image", "Ja, das Bild zeigt drei Anomalien"),
    ("No, there are no anomalies in the image", "Nein, das Bild zeigt keine Anomalien"),
    ("they are at the", "sie liegen hier:"),
    ("at the", "hier:"),
    (" of the image", ""),
    ("top left", "oben links"),
    ("top right", "oben rechts"),
    ("bottom left", "unten links"),
    ("bottom right", "unten rechts"),
    ("bottom", "unten"),
    ("top", "oben"),
    ("left", "links"),
    ("right", "rechts"),
    ("center", "in der Mitte"),
    (" and ", " und "),
];

/// Passes prompts on to a language model, and translates its answers.
#[derive(Debug)]
struct InGerman<L>(L);

impl<L: Llm> Llm for InGerman<L> {
    fn width(&self) -> usize {
        self.0.width()
    }

    fn generate(
        &self,
        prompt: &[Segment<'_>],
        options: &GenerateOptions,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<String> {
        let answer = self.0.generate(prompt, options, &mut |_| ControlFlow::Continue(()))?;
        let answer = GERMAN.iter().fold(answer, |answer, (english, german)| answer.replace(english, german));
        // A translation is whole or nothing, so it streams as one piece, and breaking off has no effect.
        let _ = on_text(&answer);
        Ok(answer)
    }

    fn log_likelihood(&self, prompt: &[Segment<'_>], continuations: &[&str]) -> Result<Vec<f32>> {
        self.0.log_likelihood(prompt, continuations)
    }
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let device = default_device()?;
    let mini = Mini::load(&device)?;
    let llm = InGerman(mini.llm.clone());
    let model = mini.builder().llm(llm).build(&device)?;
    let image = match std::env::args().nth(1) {
        Some(path) => read_image(Path::new(&path))?,
        None => sample()?,
    };
    let inspection = model.inspect(&image, None)?;
    println!("{} ({}, {:.3})", inspection.answer, inspection.verdict, inspection.probability);
    Ok(())
}
