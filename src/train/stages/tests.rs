#![allow(clippy::unwrap_used)]

use burn::{
    nn::LinearConfig,
    tensor::{Device, Distribution},
};

use super::*;
use crate::{
    decoder::{ContextDecoderConfig, PatchTextDecoderConfig},
    encoder::text_tower::TextTowerConfig,
    llm::llama::LlamaConfig,
    pretrained::MINI_TOKENIZER,
    prompt_learner::ConvPromptLearnerConfig,
    text::dialogue::{Role, Turn},
    train::{Trainer, TrainerConfig},
    weights::StateDict,
};

/// Sums of three numbers about 1.
const ROUNDING: f32 = 1e-5;

fn stages(vocabulary: usize, device: &Device) -> Stages {
    Stages {
        text_tower: TextTowerConfig::new(vocabulary, 8).with_output(6).init(device).unwrap(),
        decoder: ContextDecoderConfig::new(PatchTextDecoderConfig::new(vec![5, 4], 6, 2)).with_width(4).init(device),
        prompt_learner: ConvPromptLearnerConfig::new(8, 4).with_map_side(14).with_channels(vec![2]).init(device).unwrap(),
        llm: LlamaConfig::new(vocabulary, 8, 1, 2, 2, 12).with_context(256).with_tied(true).init(device).unwrap(),
        place_head: LinearConfig::new(8, 1).init(device),
    }
}

fn batch(tokenizer: &Tokenizer, device: &Device) -> Batch {
    let tokens = |width| Tensor::<3>::random([2, 9, width], Distribution::Normal(0.0, 1.0), device);
    let features =
        ImageFeatures { patch_tokens: vec![tokens(5), tokens(4)], grid: [3, 3], fine: vec![], embedding: Tensor::ones([2, 4], device) };
    let talk = |answer: &str| {
        let turn = |role, text: &str| Turn { role, text: text.into() };
        dialogue::supervised(&[turn(Role::Human, dialogue::QUESTION), turn(Role::Assistant, answer)], tokenizer).unwrap()
    };
    Batch {
        features,
        pixels: Some(Pixels {
            masks: Tensor::zeros([2, 1, 6, 6], device),
            layer: Layer::Taps(Objects { names: vec!["nut".into()], of: vec![0, 0] }),
        }),
        map: None,
        answers: Some(Answers { places: Tensor::zeros([2, PLACES], device), dialogues: vec![talk("No."), talk("Yes, there is one.")] }),
    }
}

#[test]
fn a_frozen_part_stays_all_others_learn_and_a_resumed_run_goes_on_bit_for_bit() {
    let device = Device::default().autodiff();
    let tokenizer = Tokenizer::from_bytes(MINI_TOKENIZER).unwrap();
    let batch = batch(&tokenizer, &device);
    let start = stages(tokenizer.vocabulary(), &device).freeze_part(Part::Llm);
    let before = StateDict::of(&start, "before");
    let config = TrainerConfig::new(12, 0).with_learning_rate(0.02);
    let mut trainer = Trainer::new(start, config.clone()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut reports = Vec::new();
    for step in 0..12 {
        if step == 7 {
            trainer.save(folder.path()).unwrap();
        }
        reports.push(trainer.step(|stages, _| stages.losses(&batch, &tokenizer)).unwrap());
    }
    assert!(reports[11].losses.total() < reports[0].losses.total(), "{reports:?}");
    let after = StateDict::of(trainer.module(), "after");
    let changed =
        |part: &str| before.names().filter(|name| name.starts_with(part)).any(|name| before.get(name).unwrap() != after.get(name).unwrap());
    assert!(!changed("llm."));
    for part in ["text_tower.", "decoder.", "prompt_learner.", "place_head."] {
        assert!(changed(part), "{part}");
    }

    let other = stages(tokenizer.vocabulary(), &device).freeze_part(Part::Llm);
    let mut resumed = Trainer::resume(other, config, folder.path()).unwrap();
    for report in &reports[7..] {
        assert_eq!(resumed.step(|stages, _| stages.losses(&batch, &tokenizer)).unwrap(), *report);
    }
    let resumed = StateDict::of(resumed.module(), "resumed");
    assert!(after.names().all(|name| after.get(name).unwrap() == resumed.get(name).unwrap()));
}

#[test]
fn an_image_of_an_object_that_is_not_in_the_batch_is_refused() {
    let device = Device::default().autodiff();
    let tokenizer = Tokenizer::from_bytes(MINI_TOKENIZER).unwrap();
    let mut batch = batch(&tokenizer, &device);
    batch.pixels.as_mut().unwrap().layer = Layer::Taps(Objects { names: vec!["nut".into()], of: vec![0, 3] });
    let found = stages(tokenizer.vocabulary(), &device).losses(&batch, &tokenizer);
    assert!(matches!(found, Err(Error::Incompatible { expected: 1, found: 4, .. })));
}

#[test]
fn what_does_not_fit_the_images_of_a_batch_is_refused() {
    let device = Device::default().autodiff();
    let tokenizer = Tokenizer::from_bytes(MINI_TOKENIZER).unwrap();
    let stages = stages(tokenizer.vocabulary(), &device);
    let refused = |change: &dyn Fn(&mut Batch)| {
        let mut batch = batch(&tokenizer, &device);
        change(&mut batch);
        matches!(stages.losses(&batch, &tokenizer), Err(Error::Incompatible { .. }))
    };
    let zeros = |shape: [usize; 4]| Tensor::<4>::zeros(shape, &device);
    assert!(!refused(&|_| {}));
    for shape in [[2, 1, 5, 5], [1, 1, 6, 6]] {
        for layer in [Layer::Context, Layer::Taps(Objects { names: vec!["nut".into()], of: vec![0, 0] })] {
            assert!(refused(&|batch| batch.pixels = Some(Pixels { masks: zeros(shape), layer: layer.clone() })), "{shape:?} {layer:?}");
        }
    }
    assert!(refused(&|batch| batch.answers.as_mut().unwrap().dialogues.truncate(1)));
    assert!(refused(&|batch| batch.answers.as_mut().unwrap().places = Tensor::zeros([1, PLACES], &device)));
}

#[test]
fn a_batch_has_the_losses_that_it_gives_reason_for() {
    let device = Device::default().autodiff();
    let tokenizer = Tokenizer::from_bytes(MINI_TOKENIZER).unwrap();
    let stages = stages(tokenizer.vocabulary(), &device);
    let whole = batch(&tokenizer, &device);
    let all = stages.losses(&whole, &tokenizer).unwrap().parts;
    let pixels = stages.losses(&Batch { answers: None, ..whole.clone() }, &tokenizer).unwrap().parts;
    assert_eq!(pixels, LossParts { focal: all.focal, dice: all.dice, ..LossParts::default() });
    let masks = Tensor::ones([2, 1, 6, 6], &device);
    let context = Batch { pixels: Some(Pixels { masks, layer: Layer::Context }), answers: None, ..whole.clone() };
    let context = stages.losses(&context, &tokenizer).unwrap();
    let LossParts { focal, dice, peaks, .. } = context.parts;
    assert!(peaks > 0.0 && (context.total.into_scalar::<f32>() - focal - dice - peaks).abs() < ROUNDING, "{:?}", context.parts);
    let map = Some(Tensor::zeros([2, 1, 6, 6], &device));
    let answers = stages.losses(&Batch { pixels: None, map, ..whole.clone() }, &tokenizer).unwrap().parts;
    assert!(answers.cross_entropy > 0.0 && answers.place > 0.0 && answers.focal == 0.0 && answers.dice == 0.0, "{answers:?}");
    let neither = stages.losses(&Batch { pixels: None, ..whole }, &tokenizer);
    assert!(matches!(neither, Err(Error::InvalidConfig { what: "batch", .. })));
}
