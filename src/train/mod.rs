//! Training of the stages after the encoder (feature `train`).
//!
//! [`Trainer`] drives any module; [`Stages`] are the paper's trained parts, and [`Stages::losses`] its loss (Eq. 3-6).
//!
//! Deviations from the paper: the embedded model's parts learn one after another, so that what is said (Eq. 3) teaches neither the
//! decoder nor its text tower, though [`Stages::losses`] can do both at once; AdamW where the authors use Adam with weight decay,
//! since decay and adaptive step are then independent; everything is trained from nothing, where the authors have a pretrained
//! language model that stays frozen. A small language model is slow to find out by itself where in the prompt a place is told, so the prompt learner's nine vectors
//! are also asked, each by one linear layer, whether their place holds an anomaly; that layer is thrown away afterwards. The paper's
//! losses count pixels, of which a small anomaly has few; the decoder's context also learns from [the highest of each
//! image](loss::peaks).

mod checkpoint;
pub mod dialogue_data;
mod gradients;
pub mod loss;
mod schedule;
mod stages;

use burn::{
    config::Config,
    module::Module,
    optim::{AdamWConfig, GradientsAccumulator, GradientsParams, ModuleOptimizer},
    tensor::Tensor,
};

use crate::error::{Error, Result};

pub use stages::{Answers, Batch, Layer, Objects, Part, Pixels, Stages};

/// How to train.
#[derive(Config, Debug, PartialEq)]
pub struct TrainerConfig {
    /// Optimizer steps in all.
    pub steps: usize,
    /// Steps in which the learning rate rises from 0.
    pub warmup: usize,
    /// Highest learning rate.
    #[config(default = 1e-3)]
    pub learning_rate: f64,
    /// Decay of the mean of gradients.
    #[config(default = 0.9)]
    pub beta_1: f32,
    /// Decay of the mean of squared gradients.
    #[config(default = 0.95)]
    pub beta_2: f32,
    /// Keeps the step finite.
    #[config(default = 1e-8)]
    pub epsilon: f32,
    /// Decoupled weight decay.
    #[config(default = 1e-3)]
    pub weight_decay: f32,
    /// Batches whose gradients are averaged before a step.
    #[config(default = 1)]
    pub accumulation: usize,
    /// Largest norm of all gradients together.
    #[config(default = 1.0)]
    pub clip_norm: f64,
    /// What the batches follow from: a run goes on only with those that it began with.
    #[config(default = 0)]
    pub seed: u64,
}

/// The losses of one batch: the differentiable total, and its parts as numbers.
#[derive(Clone, Debug)]
pub struct Losses {
    /// What is minimised (Eq. 6), `[1]`.
    pub total: Tensor<1>,
    /// The parts.
    pub parts: LossParts,
}

/// What the losses of a batch, or their mean over the batches of a step, are made of.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LossParts {
    /// Token cross-entropy (Eq. 3).
    pub cross_entropy: f32,
    /// Focal loss, summed over the layers (Eq. 4).
    pub focal: f32,
    /// Dice loss, summed over the layers (Eq. 5).
    pub dice: f32,
    /// Cross-entropy of the images' highest values, beside the paper's losses.
    pub peaks: f32,
    /// Cross-entropy of the places, beside the paper's losses.
    pub place: f32,
    /// Share of supervised tokens that are the likeliest.
    pub token_accuracy: f32,
}

impl LossParts {
    /// The sum that is minimised.
    pub fn total(&self) -> f32 {
        self.cross_entropy + self.focal + self.dice + self.peaks + self.place
    }

    fn add_share(&mut self, other: &Self, share: f32) {
        self.cross_entropy += other.cross_entropy * share;
        self.focal += other.focal * share;
        self.dice += other.dice * share;
        self.peaks += other.peaks * share;
        self.place += other.place * share;
        self.token_accuracy += other.token_accuracy * share;
    }
}

/// What happened in one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// Steps made so far, this one included.
    pub step: usize,
    /// Means over the step's batches.
    pub losses: LossParts,
    /// Norm of all gradients together, before clipping.
    pub gradient_norm: f64,
    /// The step's learning rate.
    pub learning_rate: f64,
}

/// A module, its optimizer, and how many steps they have made.
pub struct Trainer<M: Module> {
    module: M,
    optimizer: ModuleOptimizer,
    config: TrainerConfig,
    step: usize,
}

impl<M: Module> std::fmt::Debug for Trainer<M> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Trainer").field("step", &self.step).field("config", &self.config).finish_non_exhaustive()
    }
}

impl<M: Module> Trainer<M> {
    /// Starts from `module`, which must live on an autodiff device.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for a configuration that can't train.
    pub fn new(module: M, config: TrainerConfig) -> Result<Self> {
        if config.accumulation == 0 || config.steps == 0 || config.warmup >= config.steps {
            let reason = format!("needs accumulation > 0 and warmup < steps, found {config:?}");
            return Err(Error::InvalidConfig { what: "trainer", reason: reason.into() });
        }
        let optimizer = AdamWConfig::new()
            .with_beta_1(config.beta_1)
            .with_beta_2(config.beta_2)
            .with_epsilon(config.epsilon)
            .with_weight_decay(config.weight_decay)
            .init();
        Ok(Self { module, optimizer, config, step: 0 })
    }

    /// The module as it is now.
    pub fn module(&self) -> &M {
        &self.module
    }

    /// Steps made so far.
    pub fn step_count(&self) -> usize {
        self.step
    }

    /// True when all steps are made.
    pub fn is_finished(&self) -> bool {
        self.step >= self.config.steps
    }

    /// Makes one step over `accumulation` batches; `losses` gets the module and the index of the batch, counted from the
    /// first step on, so that a batch is a function of its index.
    ///
    /// # Errors
    /// What `losses` reports; [`Error::NotFinite`] for gradients that are not finite.
    pub fn step(&mut self, mut losses: impl FnMut(&M, usize) -> Result<Losses>) -> Result<StepReport> {
        let share = 1.0 / self.config.accumulation as f32;
        let mut accumulator = GradientsAccumulator::new();
        let mut parts = LossParts::default();
        for micro in 0..self.config.accumulation {
            let batch = losses(&self.module, self.step * self.config.accumulation + micro)?;
            let gradients = batch.total.mul_scalar(share).backward();
            accumulator.accumulate(&self.module, GradientsParams::from_grads(gradients, &self.module));
            parts.add_share(&batch.parts, share);
        }
        let (gradients, gradient_norm) = gradients::clip(&self.module, accumulator.grads(), self.config.clip_norm)?;
        let learning_rate = schedule::learning_rate(&self.config, self.step);
        self.module = self.optimizer.step(learning_rate, self.module.clone(), gradients);
        self.step += 1;
        Ok(StepReport { step: self.step, losses: parts, gradient_norm, learning_rate })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use burn::{
        nn::{Linear, LinearConfig},
        tensor::{Device, TensorData},
    };

    use super::*;

    /// Sums of `f32` in another order; norms and weights here are about 1.
    const ROUNDING: f64 = 1e-6;

    fn device() -> Device {
        Device::default().autodiff()
    }

    fn linear(seed: u64) -> Linear {
        device().seed(seed);
        LinearConfig::new(4, 3).init(&device())
    }

    /// Rows of a batch that depend on its number alone.
    fn rows(number: usize, count: usize) -> Tensor<2> {
        let values = (0..count * 4).map(|index| ((number * 31 + index * 7) % 13) as f32 / 6.0 - 1.0).collect::<Vec<_>>();
        Tensor::from_data(TensorData::new(values, [count, 4]), &device())
    }

    fn losses(module: &Linear, number: usize) -> Result<Losses> {
        let difference = module.forward(rows(number, 2)) - 0.5;
        let total = (difference.clone() * difference).mean();
        Ok(Losses { parts: LossParts { cross_entropy: total.clone().into_scalar(), ..LossParts::default() }, total })
    }

    fn bits(module: &Linear) -> Vec<u32> {
        let values = module.weight.val().into_data().try_to_vec::<f32>().unwrap();
        values.iter().map(|value| value.to_bits()).collect()
    }

    #[test]
    fn a_resumed_run_goes_on_bit_for_bit() {
        let config = TrainerConfig::new(12, 2).with_learning_rate(0.05);
        let folder = tempfile::tempdir().unwrap();
        let mut whole = Trainer::new(linear(1), config.clone()).unwrap();
        let mut reports = Vec::new();
        for step in 0..12 {
            if step == 5 {
                whole.save(folder.path()).unwrap();
            }
            reports.push(whole.step(losses).unwrap());
        }
        let mut resumed = Trainer::resume(linear(2), config, folder.path()).unwrap();
        assert_eq!(resumed.step_count(), 5);
        for report in &reports[5..] {
            assert_eq!(resumed.step(losses).unwrap(), *report);
        }
        assert_eq!(bits(whole.module()), bits(resumed.module()));
        resumed.save(folder.path()).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3, "the checkpoint before is gone");
        assert!(whole.is_finished() && reports[11].losses.total() < reports[0].losses.total());
    }

    #[test]
    fn another_configuration_or_a_missing_checkpoint_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        Trainer::new(linear(1), TrainerConfig::new(12, 2)).unwrap().save(folder.path()).unwrap();
        for other in [TrainerConfig::new(13, 2), TrainerConfig::new(12, 2).with_seed(1)] {
            assert!(matches!(Trainer::resume(linear(1), other, folder.path()), Err(Error::InvalidConfig { .. })));
        }
        let missing = Trainer::resume(linear(1), TrainerConfig::new(12, 2), &folder.path().join("nothing"));
        assert!(matches!(missing, Err(Error::Weights { .. })));
        assert!(matches!(Trainer::new(linear(1), TrainerConfig::new(2, 2)), Err(Error::InvalidConfig { .. })));
    }

    #[test]
    fn accumulated_batches_are_one_large_batch() {
        let config = TrainerConfig::new(3, 0).with_learning_rate(0.05).with_epsilon(1e-3);
        let large = |module: &Linear, step: usize| {
            let rows = Tensor::cat(vec![rows(step * 2, 2), rows(step * 2 + 1, 2)], 0);
            let difference = module.forward(rows) - 0.5;
            Ok(Losses { total: (difference.clone() * difference).mean(), parts: LossParts::default() })
        };
        let module = linear(1);
        let mut one = Trainer::new(module.clone(), config.clone()).unwrap();
        let mut two = Trainer::new(module, config.with_accumulation(2)).unwrap();
        for _ in 0..3 {
            let (expected, found) = (one.step(large).unwrap(), two.step(losses).unwrap());
            let (expected, found) = (expected.gradient_norm, found.gradient_norm);
            assert!((expected - found).abs() < ROUNDING * expected, "{expected} and {found}");
        }
        let difference = (one.module().weight.val() - two.module().weight.val()).abs().max().into_scalar::<f32>();
        assert!(difference < ROUNDING as f32, "{difference}");
    }

    #[test]
    fn clipping_bounds_the_norm_of_all_gradients_together() {
        let module = linear(1);
        let loss = module.forward(rows(1, 2)).sum() * 100.0;
        let gradients = GradientsParams::from_grads(loss.backward(), &module);
        let (clipped, norm) = gradients::clip(&module, gradients, 1.0).unwrap();
        let square = |sum: Tensor<1>| sum.into_scalar::<f32>();
        let weight = clipped.get::<2>(module.weight.id).unwrap();
        let bias = clipped.get::<1>(module.bias.as_ref().unwrap().id).unwrap();
        assert!(norm > 100.0);
        assert!((square((weight.clone() * weight).sum()) + square((bias.clone() * bias).sum()) - 1.0).abs() < 1e-5);
    }

    #[test]
    fn gradients_that_are_not_finite_stop_the_training() {
        let mut trainer = Trainer::new(linear(1), TrainerConfig::new(3, 0)).unwrap();
        let broken = |module: &Linear, _| {
            let total = module.forward(rows(0, 2)).sum() * f32::INFINITY;
            Ok(Losses { total, parts: LossParts::default() })
        };
        assert!(matches!(trainer.step(broken), Err(Error::NotFinite { .. })));
    }
}
