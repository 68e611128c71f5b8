#![allow(clippy::unwrap_used)]

use burn::tensor::{Bool, Distribution};

use super::*;
use crate::{text::tokenizer::tests::tokenizer, weights::keys};

/// Rounding of f32 sums in another order, over logits of about 1.
const TOLERANCE: f32 = 2e-5;

fn config() -> LlamaConfig {
    LlamaConfig::new(2400, 32, 2, 4, 2, 48).with_context(64)
}

/// Weights large enough for logits of about 1.
fn network(config: &LlamaConfig) -> LlamaNetwork {
    let device = Device::default();
    let scaled = |state: StateDict| {
        let mut scaled = StateDict::new("a test");
        for name in state.names() {
            let values: Vec<f32> = state.get(name).unwrap().iter::<f32>().collect();
            let values = values.iter().map(|value| if name.contains("norm") { *value } else { value * 8.0 }).collect();
            scaled.insert(name, TensorData::new(values, state.get(name).unwrap().shape().clone()));
        }
        scaled
    };
    let random = scaled(keys::llama_checkpoint(&config.init(&device).unwrap(), "a test").unwrap());
    LlamaNetwork::load(config, &random, &device).unwrap()
}

fn llama() -> Llama {
    Llama::new(network(&config()), tokenizer()).unwrap()
}

fn random<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), &Device::default())
}

fn assert_close<const D: usize>(found: Tensor<D>, expected: Tensor<D>) {
    let difference = (found - expected).abs().max().into_scalar::<f32>();
    assert!(difference < TOLERANCE, "{difference}");
}

#[test]
fn steps_with_a_cache_are_one_pass() {
    for config in [config(), config().with_tied(true), LlamaConfig::new(50, 32, 2, 4, 4, 48)] {
        let network = network(&config);
        let x = random([1, 7, 32]);
        let whole = network.forward(x.clone(), None, None).unwrap();
        let mut cache = KeyValueCache::default();
        assert!(cache.is_empty());
        let mut parts = vec![];
        for (start, length) in [(0, 3), (3, 1), (4, 1), (5, 2)] {
            parts.push(network.forward(x.clone().narrow(1, start, length), Some(&mut cache), None).unwrap());
        }
        assert_eq!(cache.len(), 7);
        assert_close(Tensor::cat(parts, 1), whole.clone());
        assert_close(network.last(x, None).unwrap(), whole.narrow(1, 6, 1).squeeze_dim(1));
    }
}

#[test]
fn grouped_keys_are_repeated_heads() {
    let device = Device::default();
    let grouped = network(&config());
    let full = LlamaConfig { key_value_heads: 4, ..config() };
    let mut weights = StateDict::new("a test");
    let state = keys::llama_checkpoint(&grouped, "a test").unwrap();
    for name in state.names() {
        let data = state.get(name).unwrap().clone();
        let repeated = ["k_proj", "v_proj"].iter().any(|part| name.contains(part));
        let data = if repeated {
            let heads = Tensor::<2>::from_data(data, &device).reshape([2, 1, 8, 32]).expand([2, 2, 8, 32]).reshape([32, 32]);
            heads.into_data()
        } else {
            data
        };
        weights.insert(name, data);
    }
    let full = LlamaNetwork::load(&full, &weights, &device).unwrap();
    let x = random([2, 5, 32]);
    let (mut of_grouped, mut of_full) = (KeyValueCache::default(), KeyValueCache::default());
    assert_close(grouped.forward(x.clone(), Some(&mut of_grouped), None).unwrap(), full.forward(x, Some(&mut of_full), None).unwrap());
    let x = random([2, 1, 32]);
    assert_close(grouped.forward(x.clone(), Some(&mut of_grouped), None).unwrap(), full.forward(x, Some(&mut of_full), None).unwrap());
}

#[test]
fn padding_is_not_seen() {
    let device = Device::default();
    let network = network(&config());
    let x = random([1, 6, 32]);
    let expected = network.forward(x.clone(), None, None).unwrap();
    let right = Tensor::cat(vec![x.clone(), random([1, 3, 32])], 1);
    let keep = Tensor::<2, Bool>::from_data([[true, true, true, true, true, true, false, false, false]], &device);
    let found = network.forward(right.clone(), None, Some(keep)).unwrap();
    assert_close(found.narrow(1, 0, 6), expected.clone());
    assert_close(network.forward(right, None, None).unwrap().narrow(1, 0, 6), expected);
    // In between, another value of what is left out changes nothing after it.
    let keep = Tensor::<2, Bool>::from_data([[true, true, false, true, true, true]], &device);
    let other = Tensor::cat(vec![x.clone().narrow(1, 0, 2), random([1, 1, 32]), x.clone().narrow(1, 3, 3)], 1);
    let (a, b) = (network.forward(x.clone(), None, Some(keep.clone())).unwrap(), network.forward(other.clone(), None, Some(keep)).unwrap());
    assert_close(a.narrow(1, 3, 3), b.narrow(1, 3, 3));
    let seen = network.forward(x, None, None).unwrap() - network.forward(other, None, None).unwrap();
    assert!(seen.narrow(1, 3, 3).abs().max().into_scalar::<f32>() > 100.0 * TOLERANCE);
}

#[test]
fn what_does_not_fit_is_an_error() {
    let network = network(&config());
    assert!(matches!(network.forward(random([1, 65, 32]), None, None), Err(Error::ContextOverflow { needed: 65, capacity: 64 })));
    assert!(matches!(network.forward(random([1, 3, 31]), None, None), Err(Error::Incompatible { expected: 32, found: 31, .. })));
    assert!(matches!(network.last(Tensor::zeros([1, 0, 32], &Device::default()), None), Err(Error::InvalidConfig { .. })));
    let keep = Tensor::<2, Bool>::from_data([[true, true]], &Device::default());
    assert!(matches!(network.forward(random([1, 3, 32]), None, Some(keep)), Err(Error::Incompatible { expected: 3, found: 2, .. })));
    let llama = llama();
    for wrong in [random([1, 2, 31]), random([2, 2, 32])] {
        assert!(matches!(llama.embed(&[Segment::Embeddings(wrong)]), Err(Error::Incompatible { .. })));
    }
    let small = LlamaConfig::new(100, 32, 1, 4, 4, 48).init(&Device::default()).unwrap();
    assert!(matches!(Llama::new(small, tokenizer()), Err(Error::Incompatible { expected: 100, found: 2400, .. })));
}

#[test]
fn a_prompt_begins_once_and_each_piece_is_tokenized_alone() {
    let llama = llama();
    let given = random([1, 2, 32]);
    let prompt =
        [Segment::Text("one".into()), Segment::Text("two".into()), Segment::Embeddings(given.clone()), Segment::Text("three".into())];
    let encode = |text| tokenizer().encode(text).unwrap();
    let before = llama.embed_ids(&[vec![1], encode("one"), encode("two")].concat()).unwrap();
    let expected = Tensor::cat(vec![before, given, llama.embed_ids(&encode("three")).unwrap()], 1);
    assert_eq!(llama.embed(&prompt).unwrap().into_data(), expected.into_data());
    assert_eq!(llama.embed(&[]).unwrap().dims(), [1, 1, 32]);
    assert_eq!((llama.beginning(), llama.end(), llama.width()), (Some(1), 2, 32));
}

#[test]
fn answers_repeat_and_can_be_broken_off() {
    let llama = llama();
    let prompt = [Segment::Text("one two".into())];
    let options = GenerateOptions::default().sampled(1.0, 0.9, 5).with_max_new_tokens(12);
    let mut pieces = vec![];
    let answer = llama.generate(&prompt, &options, &mut |piece| {
        pieces.push(piece.to_owned());
        ControlFlow::Continue(())
    });
    let answer = answer.unwrap();
    assert_eq!(pieces.concat(), answer);
    assert_eq!(llama.generate(&prompt, &options, &mut |_| ControlFlow::Continue(())).unwrap(), answer);
    assert_eq!(llama.generate(&prompt, &options, &mut |_| ControlFlow::Break(())).unwrap(), pieces[0]);
}

#[test]
fn the_context_bounds_prompts_and_answers() {
    let llama = llama();
    let options = GenerateOptions { stop: vec![], ..GenerateOptions::default() };
    let silent = &mut |_: &str| ControlFlow::Continue(());
    // One position is the beginning's; the answer's last token takes none.
    assert!(llama.generate(&[Segment::Embeddings(random([1, 63, 32]))], &options, silent).is_ok());
    assert!(llama.generate(&[Segment::Embeddings(random([1, 60, 32]))], &options, silent).is_ok());
    let error = llama.generate(&[Segment::Embeddings(random([1, 64, 32]))], &options, silent).unwrap_err();
    assert!(matches!(error, Error::ContextOverflow { needed: 65, capacity: 64 }));
    assert!(matches!(llama.generate(&[], &options.sampled(0.0, 2.0, 0), silent), Err(Error::InvalidConfig { .. })));
}

#[test]
fn continuations_are_scored_from_one_prompt() {
    let llama = llama();
    let prompt = [Segment::Text("Is there any anomaly?".into())];
    let continuations = ["Yes", "No, there is no anomaly", ""];
    let found = llama.log_likelihood(&prompt, &continuations).unwrap();
    for (continuation, found) in continuations.iter().zip(found) {
        let ids = tokenizer().encode(continuation).unwrap();
        let mut read = vec![llama.embed(&prompt).unwrap()];
        let start = read[0].dims()[1] - 1;
        read.extend(llama.embed_ids(&ids));
        let logits = host("the language model", llama.network.forward(Tensor::cat(read, 1), None, None).unwrap()).unwrap();
        let expected: f64 =
            ids.iter().enumerate().map(|(index, id)| log_probability(&logits[(start + index) * 2400..][..2400], *id).unwrap()).sum();
        assert!((f64::from(found) - expected).abs() < 1e-3, "{continuation}: {found} {expected}");
    }
}

#[test]
fn a_prompt_that_is_read_once_is_scored_and_answered_as_if_read_twice() {
    let llama = llama();
    let prompt = [Segment::Text("Is there any anomaly?".into())];
    let (continuations, options) = (["Yes", "No, there is no anomaly"], GenerateOptions::default().with_max_new_tokens(8));
    let silent = &mut |_: &str| ControlFlow::Continue(());
    let (scores, answer) = llama.score_and_generate(&prompt, &continuations, &options, silent).unwrap();
    assert_eq!(scores, llama.log_likelihood(&prompt, &continuations).unwrap());
    assert_eq!(answer, llama.generate(&prompt, &options, silent).unwrap());
}

#[test]
fn values_that_are_not_numbers_are_an_error() {
    let llama = llama();
    let prompt = [Segment::Embeddings(Tensor::full([1, 1, 32], f32::NAN, &Device::default()))];
    assert!(matches!(
        llama.generate(&prompt, &GenerateOptions::default(), &mut |_| ControlFlow::Continue(())),
        Err(Error::NotFinite { .. })
    ));
    assert!(matches!(llama.log_likelihood(&prompt, &["Yes"]), Err(Error::NotFinite { .. })));
}

#[cfg(feature = "train")]
#[test]
fn gradients_reach_every_weight() {
    let device = Device::default().autodiff();
    let network = config().init(&device).unwrap();
    let ids = Tensor::<2, Int>::from_data([[1, 2, 3], [4, 5, 6]], &device);
    let keep = Tensor::<2, Bool>::from_data([[true, true, true], [true, true, false]], &device);
    let embeddings = network.embed(ids);
    let loss = network.forward(embeddings.clone(), None, Some(keep)).unwrap().square().mean();
    let gradients = burn::optim::GradientsParams::from_grads(loss.backward(), &network);
    // Per block two norms and four matrices; embedding, norm, head.
    assert_eq!(gradients.len(), 2 * 6 + 3);
}
