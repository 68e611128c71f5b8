//! Rebuilds the embedded model from images that it draws, and measures it on images that it has not seen.
//!
//! `cargo run --release --example train_mini -- --help`
#![allow(clippy::print_stdout, unreachable_pub)]

mod batches;
mod bounds;
mod disturb;
mod draw;
mod evaluate;
mod images;
mod lines;
mod maps;
mod memory;
mod photographs;
mod pool;
#[allow(dead_code)] // The shipped sample and the sheets are drawn by tests/products.rs.
mod products;
mod symmetry;
mod textures;
mod vocabulary;

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::Instant,
};

use anomalygpt::{
    AnomalyGpt, Place,
    decoder::{ContextDecoderConfig, PatchTextDecoderConfig},
    default_device,
    encoder::EfficientNetEncoder,
    pretrained::{Mini, MiniConfig, mini_trunk},
    text::{Tokenizer, dialogue, ensemble::Ensemble},
    train::{Batch, Part, Stages, StepReport, Trainer, TrainerConfig, dialogue_data::Facts},
    weights::{Layout, StateDict},
};
use burn::{module::Module, nn::LinearConfig, tensor::Device};
use clap::{Parser, builder::RangedU64ValueParser};
use indicatif::{ProgressBar, ProgressStyle};
use rand::{SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;

use lines::Line;
use maps::Maps;
use pool::Pool;

/// Styles of each kind of product that are trained on.
const STYLES: u64 = 12;
/// Steps between checkpoints.
const CHECKPOINT_EVERY: usize = 200;
/// Dialogues that the tokenizer is trained on.
const CORPUS: usize = 20_000;

/// Train the embedded model from nothing but its image trunk.
#[derive(Debug, Parser)]
#[command(name = "train_mini")]
struct Arguments {
    /// Everything random follows from it.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Folder for the model's files and checkpoints; target/train_mini, or target/train_mini_smoke, unless given.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Optimizer steps of the decoder's layers and its text tower.
    #[arg(long, default_value_t = 4000)]
    decoder_steps: usize,
    /// Optimizer steps of the decoder's context.
    #[arg(long, default_value_t = 6300)]
    context_steps: usize,
    /// Take the decoder and its text tower from this file, such as the folder's decoder.safetensors, and train the rest alone.
    #[arg(long, value_name = "STAGES")]
    decoder: Option<PathBuf>,
    /// Optimizer steps of the prompt learner and the language model.
    #[arg(long, default_value_t = 6000)]
    steps: usize,
    /// Train nothing, and measure the model that is embedded.
    #[arg(long)]
    measure: bool,
    /// Images of each line to measure on, which were not trained on; a normal and an anomalous one in turn.
    #[arg(long, value_name = "IMAGES", default_value_t = 2, value_parser = RangedU64ValueParser::<usize>::new().range(2..))]
    held_back: usize,
    /// A run of a minute that shows that everything works; its model is of no use.
    #[arg(long, conflicts_with_all = ["decoder_steps", "context_steps", "steps", "held_back"])]
    smoke: bool,
    /// Go on from the last checkpoint in the folder.
    #[arg(long)]
    resume: bool,
}

impl Arguments {
    fn folder(&self) -> PathBuf {
        let usual = if self.smoke { "target/train_mini_smoke" } else { "target/train_mini" };
        self.out.clone().unwrap_or_else(|| usual.into())
    }
}

/// Sizes of a run.
struct Plan {
    /// Lines that are trained on.
    lines: Vec<Line>,
    /// Lines of styles that are not.
    other_lines: Vec<Line>,
    /// Images of each line that the decoder is trained on, half of them anomalous.
    images: usize,
    /// Images of each line whose maps the language model is trained on, half of them anomalous.
    maps: usize,
    /// Images of each line to evaluate on.
    held_back: usize,
    decoder_steps: usize,
    context_steps: usize,
    steps: usize,
}

impl Plan {
    fn of(arguments: &Arguments) -> Result<Self, Box<dyn Error>> {
        if arguments.smoke {
            let [mut lines, mut other_lines] = [lines::drawn(0..1), lines::drawn(1..2)];
            other_lines.truncate(2);
            lines.truncate(12);
            return Ok(Self { lines, other_lines, images: 2, maps: 2, held_back: 2, decoder_steps: 12, context_steps: 12, steps: 12 });
        }
        let lines = [lines::drawn(0..STYLES), lines::photographed(0..STYLES)?].concat();
        let other_lines = lines::drawn(STYLES..STYLES + 2);
        let Arguments { decoder_steps, context_steps, steps, held_back, .. } = *arguments;
        Ok(Self { lines, other_lines, images: 40, maps: 16, held_back, decoder_steps, context_steps, steps })
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    memory::kept()?;
    let started = Instant::now();
    let clock = |what: &str| println!("[{:5.0} s] {what}", started.elapsed().as_secs_f64());
    let device = default_device()?;

    let plan = Plan::of(&arguments)?;
    let model = if arguments.measure { AnomalyGpt::mini(&device)? } else { train(&arguments, &plan, &device, &clock)? };
    let mixes = [("anomalies of any kind", images::any_defects()), ("the paper's patches", images::patches())];
    for (whose, lines) in [("lines of the training", &plan.lines), ("lines that it has not seen", &plan.other_lines)] {
        for (what, options) in &mixes {
            let [text, normals] = evaluate::evaluate(&model, lines, plan.held_back, options, arguments.seed)?;
            clock(&format!("held-back images of {whose}, {what}"));
            println!("  against text:          {text}");
            println!("  against normal images: {normals}");
        }
    }
    Ok(())
}

/// Trains a model and writes its files.
fn train(arguments: &Arguments, plan: &Plan, device: &Device, clock: &impl Fn(&str)) -> Result<AnomalyGpt, Box<dyn Error>> {
    let folder = arguments.folder();
    fs::create_dir_all(&folder)?;
    let tokenizer_bytes = vocabulary::train(corpus(&plan.lines, arguments.seed)).map_err(|error| error.to_string())?;
    let tokenizer = vocabulary::load(&tokenizer_bytes)?;
    let config = MiniConfig::sized_for(tokenizer.vocabulary());
    clock(&format!("tokenizer of {} tokens", tokenizer.vocabulary()));

    let run = Run { arguments, config: &config, tokenizer: &tokenizer };
    let stages = match &arguments.decoder {
        Some(file) => run.given_decoder(file)?,
        None => {
            let encoder = EfficientNetEncoder::new(mini_trunk(device)?, config.text_tower.init(device)?, tokenizer.clone());
            let pool = Pool::fill(&plan.lines, plan.images, &encoder, device, arguments.seed)?;
            clock(&format!("{} images drawn and encoded", pool.items.len()));
            let stages = run.decoder(&pool, plan)?;
            clock(&format!("{} steps of the decoder's layers", plan.decoder_steps));
            let stages = run.context(stages, &pool, plan)?;
            fs::write(folder.join("decoder.safetensors"), weights(&stages)?)?;
            clock(&format!("{} steps of its context", plan.context_steps));
            stages
        }
    };

    let mini = |stages: &Stages| Mini::from_bytes(mini_trunk(device)?, &tokenizer_bytes, &weights(stages)?, device);
    let maps = Maps::fill(&AnomalyGpt::from_mini(mini(&stages)?, device)?, &plan.lines, plan.maps, arguments.seed)?;
    clock(&format!("{} images drawn and localized", maps.items.len()));
    let stages = run.language_model(stages, &maps, plan)?;
    let bytes = weights(&stages)?;
    fs::write(folder.join("stages.safetensors"), &bytes)?;
    fs::write(folder.join("tokenizer.json"), &tokenizer_bytes)?;
    clock(&format!("{} steps of the language model; {} bytes of weights in {}", plan.steps, bytes.len(), folder.display()));
    Ok(AnomalyGpt::from_mini(mini(&stages)?, device)?)
}

/// The decoder over averaged patches.
fn training_decoder(config: &MiniConfig) -> ContextDecoderConfig {
    let layers = PatchTextDecoderConfig { upscale: pool::UPSCALE, ..config.decoder.layers.clone() };
    ContextDecoderConfig { layers, coarseness: 1, ..config.decoder.clone() }
}

/// Everything that is said in training, many times over.
fn corpus(lines: &[Line], seed: u64) -> impl Iterator<Item = String> + Send {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..CORPUS).flat_map(move |index| {
        let places: Vec<Place> = (0..index % 4).filter_map(|_| Place::ALL.choose(&mut rng).copied()).collect();
        let object = lines[index % lines.len()].name();
        let (question, answer) = batches::said(&Facts { object, places: &places }, &mut rng);
        let Ensemble { normal, abnormal, .. } = Ensemble::new(object);
        let sentence = [normal, abnormal].concat().choose(&mut rng).cloned().unwrap_or_default();
        [question, answer, sentence, format!("{}{}{}{}", dialogue::BEFORE, dialogue::MIDDLE, dialogue::ASK, dialogue::END)]
    })
}

/// The bytes of all weights that are shipped.
fn weights(stages: &Stages) -> anomalygpt::Result<Vec<u8>> {
    let trained = StateDict::of(stages, "the trained stages");
    trained.renamed(|name| (!name.starts_with("place_head.")).then(|| name.to_owned())).to_safetensors_f16()
}

/// What both parts of the training share.
struct Run<'a> {
    arguments: &'a Arguments,
    config: &'a MiniConfig,
    tokenizer: &'a Tokenizer,
}

impl Run<'_> {
    /// Trains the decoder's layers and the text tower; all else has random weights.
    fn decoder(&self, pool: &Pool, plan: &Plan) -> Result<Stages, Box<dyn Error>> {
        let device = self.device()?;
        let stages = self.stages(&device)?.freeze_part(Part::PromptLearner).freeze_part(Part::Llm);
        let batch = |number| Ok(batches::layers(pool, number, &device, self.arguments.seed));
        self.train("decoder", stages, plan.decoder_steps, batch)
    }

    /// Trains the decoder's context, which hears no text, beside the layers and the text tower of `trained`.
    fn context(&self, trained: Stages, pool: &Pool, plan: &Plan) -> Result<Stages, Box<dyn Error>> {
        let device = self.device()?;
        let stages = self.stages(&device)?.freeze_part(Part::TextTower).freeze_part(Part::PromptLearner).freeze_part(Part::Llm);
        let batch = |number| Ok(batches::context(pool, number, &device, self.arguments.seed));
        let Stages { decoder, .. } = self.train("context", stages, plan.context_steps, batch)?;
        Ok(Stages { decoder: decoder.with_layers(trained.decoder.layers().clone()), ..trained })
    }

    /// A decoder and a text tower of a file; all else has the random weights that it has beside a decoder that is trained.
    fn given_decoder(&self, file: &Path) -> Result<Stages, Box<dyn Error>> {
        let (device, given) = (default_device()?, StateDict::read(file)?);
        device.seed(self.arguments.seed);
        let mut stages = self.stages(&device)?;
        stages.text_tower = given.under("text_tower.").load_into(stages.text_tower, Layout::Burn)?;
        stages.decoder = given.under("decoder.").load_into(stages.decoder, Layout::Burn)?;
        Ok(stages)
    }

    /// Trains the prompt learner and the language model after the decoder and the text tower of `trained`.
    fn language_model(&self, trained: Stages, maps: &Maps, plan: &Plan) -> Result<Stages, Box<dyn Error>> {
        let device = self.device()?;
        let stages = self.stages(&device)?.freeze_part(Part::TextTower).freeze_part(Part::Decoder);
        let batch = |number| batches::answers(maps, number, self.tokenizer, &device, self.arguments.seed);
        let Stages { prompt_learner, llm, place_head, .. } = self.train("language_model", stages, plan.steps, batch)?;
        Ok(Stages { prompt_learner, llm, place_head, ..trained })
    }

    fn device(&self) -> Result<Device, Box<dyn Error>> {
        let device = default_device()?.autodiff();
        device.seed(self.arguments.seed);
        Ok(device)
    }

    fn stages(&self, device: &Device) -> anomalygpt::Result<Stages> {
        Ok(Stages {
            text_tower: self.config.text_tower.init(device)?,
            decoder: training_decoder(self.config).init(device),
            prompt_learner: self.config.prompt_learner.init(device)?,
            llm: self.config.llm.init(device)?,
            place_head: LinearConfig::new(self.config.llm.hidden, 1).init(device),
        })
    }

    fn train(
        &self,
        name: &str,
        stages: Stages,
        steps: usize,
        batch: impl Fn(usize) -> anomalygpt::Result<Batch> + Send,
    ) -> Result<Stages, Box<dyn Error>> {
        let settings = TrainerConfig::new(steps, steps / 10).with_learning_rate(2e-3).with_seed(self.arguments.seed);
        let checkpoint = self.arguments.folder().join(name);
        let resume = self.arguments.resume && checkpoint.join("state.json").is_file();
        let mut trainer = if resume { Trainer::resume(stages, settings, &checkpoint)? } else { Trainer::new(stages, settings)? };
        let bar = ProgressBar::new(steps as u64).with_style(ProgressStyle::with_template("{bar:30} {pos}/{len} {eta} left  {msg}")?);
        thread::scope(|scope| -> Result<(), Box<dyn Error>> {
            // A step leaves a core idle, on which the next batch is made.
            let (sender, ready) = mpsc::sync_channel(1);
            let numbers = trainer.step_count()..steps;
            scope.spawn(move || numbers.map(batch).all(|batch| sender.send(batch).is_ok()));
            while !trainer.is_finished() {
                let batch = ready.recv()??;
                let report = trainer.step(|stages, _| stages.losses(&batch, self.tokenizer))?;
                bar.set_position(report.step as u64);
                bar.set_message(message(&report));
                if report.step % CHECKPOINT_EVERY == 0 || trainer.is_finished() {
                    trainer.save(&checkpoint)?;
                    bar.suspend(|| println!("step {:5}: {}", report.step, message(&report)));
                }
            }
            Ok(())
        })?;
        bar.finish_and_clear();
        Ok(trainer.module().valid())
    }
}

fn message(report: &StepReport) -> String {
    let losses = report.losses;
    let (answer, focal, dice, peaks, place) = (losses.cross_entropy, losses.focal, losses.dice, losses.peaks, losses.place);
    format!(
        "loss {:.3} (answer {answer:.3}, focal {focal:.3}, dice {dice:.3}, peaks {peaks:.3}, place {place:.3}), tokens right {:.1} %",
        losses.total(),
        100.0 * losses.token_accuracy
    )
}
