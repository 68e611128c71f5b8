//! What `inspect` does, with whatever model.

use std::{io, path::PathBuf, process::ExitCode};

use anomalygpt::{
    AnomalyGpt, Inspection,
    decoder::Decoder,
    encoder::Encoder,
    llm::Llm,
    preprocess::{ReadOptions, read_image_with},
    prompt_learner::PromptLearner,
};
use clap::Args;
use image::DynamicImage;

use crate::{
    chain::chain,
    files::{self, Input},
    output::Output,
};

pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// What to inspect, and where results go.
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// Image files, or folders whose images are inspected; without any, the sample that ships with the crate.
    #[arg(value_name = "IMAGE")]
    pub(crate) images: Vec<PathBuf>,
    /// Photographs of normal parts (files or folders) to compare with; takes all that follows, up to the next option.
    #[arg(long, value_name = "FILE|DIR", num_args = 1..)]
    pub(crate) normal: Vec<PathBuf>,
    /// What is seen, in words: "a metal nut".
    #[arg(long, value_name = "TEXT")]
    pub(crate) describe: Option<String>,
    /// A question of your own instead of "Is there any anomaly in the image?".
    #[arg(long, value_name = "TEXT")]
    pub(crate) question: Option<String>,
    /// Print one JSON object a line.
    #[arg(long)]
    pub(crate) json: bool,
    /// Write an overlay PNG of each image into this folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) heatmap: Option<PathBuf>,
    /// Write each map into this folder, as a 32-bit float TIFF of the image's size.
    #[arg(long, value_name = "DIR")]
    pub(crate) map: Option<PathBuf>,
}

/// The process's end: failure where an image could not be inspected, or where anything else went wrong.
pub(crate) fn exit(outcome: Outcome<bool>) -> ExitCode {
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // Whoever reads has seen enough.
        Err(error) if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

impl Inspect {
    /// Inspects all images, or else the sample, with the model that `load` gives; false where some could not be.
    pub(crate) fn run<E: Encoder, D: Decoder, P: PromptLearner, L: Llm>(
        &self,
        read: ReadOptions,
        load: impl FnOnce() -> anomalygpt::Result<AnomalyGpt<E, D, P, L>>,
        sample: impl FnOnce() -> anomalygpt::Result<(Input, DynamicImage)>,
    ) -> Outcome<bool> {
        let (inputs, normals) = (files::inputs(&self.images)?, files::inputs(&self.normal)?);
        if inputs.is_empty() && !normals.is_empty() {
            return Err("no image to inspect: all that follows --normal is normal, so name images before it, or after `--`".into());
        }
        let mut output = Output::new(self, &[&inputs[..], &normals].concat())?;
        let mut model = load()?;
        if !normals.is_empty() {
            model = model.with_normals_from(normals.iter().map(|input| read_image_with(&input.path, read)))?;
        }
        if inputs.is_empty() {
            eprintln!("No image given: inspecting the sample that ships with the crate.");
            let (sample, image) = sample()?;
            output.write(&sample, &image, &self.inspect(&model, &image)?)?;
            return Ok(true);
        }
        let mut all = true;
        for input in &inputs {
            let inspected =
                read_image_with(&input.path, read).and_then(|image| self.inspect(&model, &image).map(|inspection| (image, inspection)));
            match inspected {
                Ok((image, inspection)) => output.write(input, &image, &inspection)?,
                Err(error) => {
                    output.write_error(input, &error)?;
                    all = false;
                }
            }
        }
        Ok(all)
    }

    fn inspect<E: Encoder, D: Decoder, P: PromptLearner, L: Llm>(
        &self,
        model: &AnomalyGpt<E, D, P, L>,
        image: &DynamicImage,
    ) -> anomalygpt::Result<Inspection> {
        match &self.question {
            Some(question) => model.ask(image, self.describe.as_deref(), question),
            None => model.inspect(image, self.describe.as_deref()),
        }
    }
}
