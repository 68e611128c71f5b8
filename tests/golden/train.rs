//! Losses and gradients of the whole model's three training runs, from the reference's image features.
#![cfg(feature = "train")]

use std::path::Path;

use anomalygpt::{
    decoder::{Decoder, MemoryBank, MemoryBankOptions, Reference, TextPair},
    encoder::{Encoder, ImageFeatures},
    llm::{Llama, llama::LlamaConfig},
    preprocess::Fit,
    prompt_learner::{PromptEmbeddings, PromptLearner},
    text::{
        Tokenizer,
        dialogue::{self, Role, Turn},
    },
    train::loss::{self, IGNORED, LossWeights, PixelLoss, token_accuracy, token_cross_entropy},
    weights::StateDict,
};
use burn::{
    module::{Module, ModuleVisitor, Param},
    optim::GradientsParams,
    tensor::{Bool, Device, Int, Tensor, TensorData},
};
use image::imageops;
use serde_json::Value;

use crate::{
    decoder::{decoder, features, text},
    imagebind,
    prompt_learner::learner,
    support::{assert_close, assert_tensor_close, bytes, described, expected, tolerance},
};

/// Pads the reference's dialogues.
const END: i64 = 2;

fn llama(device: &Device) -> Llama {
    let config = LlamaConfig::from_hugging_face(&bytes("llama_config.json")).unwrap();
    let weights = StateDict::from_safetensors("llama.safetensors", &bytes("llama.safetensors")).unwrap();
    Llama::load(&config, &weights, Tokenizer::from_bytes(&bytes("llama_tokenizer.json")).unwrap(), device).unwrap()
}

fn pair(class: &str, device: &Device) -> TextPair {
    match class {
        "metal_nut" => text(&expected(), class, device),
        _ => text(&imagebind::published(), class, device),
    }
}

fn training_images(expected: &StateDict, device: &Device) -> ImageFeatures {
    let embedding = Tensor::from_data(expected.get("train.embedding").unwrap().clone(), device);
    ImageFeatures { embedding, ..features(expected, "train.features", device) }
}

fn few_shot_map(device: &Device) -> Tensor<4> {
    Tensor::from_data(imagebind::published().get("train.few_shot_map").unwrap().clone(), device)
}

/// A batch's dialogues as tensors: input embeddings, what is kept, targets.
struct Batch {
    inputs: Tensor<3>,
    keep: Tensor<2, Bool>,
    targets: Tensor<2, Int>,
}

fn batch(llama: &Llama, prompt: PromptEmbeddings, chats: &Value, device: &Device) -> Batch {
    let turn = |turn: &Value| Turn {
        role: if turn[0] == "gpt" { Role::Assistant } else { Role::Human },
        text: turn[1].as_str().unwrap().to_owned(),
    };
    let turns = |chat: &Value| chat.as_array().unwrap().iter().map(turn).collect::<Vec<_>>();
    let said: Vec<_> =
        chats.as_array().unwrap().iter().map(|chat| dialogue::supervised(&turns(chat), llama.tokenizer()).unwrap()).collect();
    let longest = said.iter().map(|said| said.ids.len()).max().unwrap();
    let rows = said.len();
    let embed = |ids: Vec<i64>, rows: usize| {
        let shape = [rows, ids.len() / rows];
        llama.network().embed(Tensor::<2, Int>::from_data(TensorData::new(ids, shape), device))
    };
    let piece = |text: &str| llama.tokenizer().encode(text).unwrap().into_iter().map(i64::from).collect::<Vec<_>>();
    let before = [vec![i64::from(llama.beginning().unwrap())], piece(dialogue::BEFORE)].concat();
    let lead = [embed(before, 1), embed(piece(dialogue::MIDDLE), 1)].map(|part| part.repeat_dim(0, rows));
    let [before, middle] = lead;
    let lead = Tensor::cat(vec![before, prompt.image, middle, prompt.prompt], 1);
    let positions = lead.dims()[1];
    let (mut ids, mut keep, mut targets) = (vec![], vec![], vec![]);
    for said in &said {
        let padding = longest - said.ids.len();
        ids.extend(said.ids.iter().map(|id| i64::from(*id)).chain(std::iter::repeat_n(END, padding)));
        keep.extend((0..positions + longest).map(|at| at < positions + said.ids.len()));
        let learnt = said.targets.iter().map(|target| target.map_or(IGNORED, i64::from));
        targets.extend(std::iter::repeat_n(IGNORED, positions).chain(learnt).chain(std::iter::repeat_n(IGNORED, padding)));
    }
    let shape = [rows, positions + longest];
    Batch {
        inputs: Tensor::cat(vec![lead, embed(ids, rows)], 1),
        keep: Tensor::from_data(TensorData::new(keep, shape), device),
        targets: Tensor::from_data(TensorData::new(targets, shape), device),
    }
}

/// Gradients of a module by the published names.
struct Named<'a> {
    gradients: &'a GradientsParams,
    path: Vec<String>,
    found: Vec<(String, TensorData)>,
}

impl ModuleVisitor for Named<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.into());
    }
    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(gradient) = self.gradients.get::<D>(param.id) else { return };
        let linear = self.path.first().is_some_and(|part| part == "fc") && D == 2;
        let gradient = if linear { gradient.transpose() } else { gradient };
        self.found.push((self.path.join("."), gradient.into_data()));
    }
}

fn named<M: Module>(module: &M, gradients: &GradientsParams) -> Vec<(String, TensorData)> {
    let mut visitor = Named { gradients, path: vec![], found: vec![] };
    module.visit(&mut visitor);
    visitor.found
}

fn published_name(path: &str) -> String {
    match path.strip_prefix("meta_net.").and_then(|rest| rest.split_once('.')) {
        Some((index, part)) => format!("prompt_learner.meta_net.{}.{part}", 3 * index.parse::<usize>().unwrap()),
        None if path.starts_with("fc.") => format!("image_decoder.{path}"),
        None => format!("prompt_learner.{path}"),
    }
}

fn near(what: &str, found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance * expected.abs(), "{what}: {found} is not {expected}");
}

fn check_gradients(run: &str, gradients: &[(String, TensorData)]) {
    let (described, published) = (described(), imagebind::published());
    let [norms, elements] = ["grad_norm_rel", "grads_rel_to_max"].map(|name| described["tolerances"][name].as_f64().unwrap());
    let wanted = described["train"]["runs"][run]["grad_norms"].as_object().unwrap();
    let mut checked = 0;
    for (path, gradient) in gradients.iter().filter(|(path, _)| !path.starts_with("llama_proj")) {
        let name = published_name(path);
        let norm = gradient.iter::<f64>().map(|value| value * value).sum::<f64>().sqrt();
        near(&name, norm, wanted[&name].as_f64().unwrap(), norms);
        if let Ok(wanted) = published.get(&format!("train.{run}.grad.{name}")) {
            let largest = wanted.iter::<f64>().map(f64::abs).fold(0.0, f64::max);
            assert_close(gradient, wanted, elements * largest);
        }
        checked += 1;
    }
    assert_eq!(checked, wanted.values().filter(|norm| !norm.is_null()).count(), "{run}");
}

fn check(run: &str, class: &str, map: Option<Tensor<4>>, has_masks: bool) {
    let (device, described, expected) = (Device::default().autodiff(), described(), expected());
    let wanted = &described["train"]["runs"][run];
    let (decoder, learner, llama) = (decoder(&device), learner(&device), llama(&device));
    let image = training_images(&expected, &device);
    let probabilities = decoder.layer_probabilities(&image, &pair(class, &device)).unwrap();
    let second = Tensor::<3, Int>::from_data(expected.get("train.mask_of_second").unwrap().clone(), &device).float();
    let masks = Tensor::stack(vec![second.zeros_like(), second], 0);
    let pixels = has_masks.then(|| PixelLoss::new(probabilities.clone(), masks));
    let map = map.unwrap_or_else(|| probabilities.mean_dim(1));
    let prompt = learner.prompt(&image, map).unwrap();
    let Batch { inputs, keep, targets } = batch(&llama, prompt, &wanted["chats"], &device);
    let given = imagebind::published();
    assert_tensor_close(inputs.clone(), given.get(&format!("train.{run}.inputs")).unwrap(), tolerance("inputs"));
    let logits = llama.network().forward(inputs, None, Some(keep)).unwrap();
    let accuracy = token_accuracy(logits.clone(), targets.clone()).into_scalar::<f32>();
    assert_eq!(f64::from(accuracy), wanted["token_acc"].as_f64().unwrap());
    let tokens = token_cross_entropy(logits, targets);
    let relative = described["tolerances"]["losses_rel"].as_f64().unwrap();
    let number = |tensor: Tensor<1>| f64::from(tensor.into_scalar::<f32>());
    near("cross-entropy", number(tokens.clone()), wanted["ce"].as_f64().unwrap(), relative);
    let total = loss::total(tokens, pixels, LossWeights::default());
    near("total", number(total.clone()), wanted["total"].as_f64().unwrap(), relative);
    let mut gradients = total.backward();
    let mut found = named(&decoder, &GradientsParams::from_module(&mut gradients, &decoder));
    found.extend(named(&learner, &GradientsParams::from_module(&mut gradients, &learner)));
    check_gradients(run, &found);
}

#[test]
fn losses_and_gradients_agree_where_the_decoder_s_map_is_shown() {
    check("masks", "metal_nut", None, true);
}

#[test]
fn losses_and_gradients_agree_where_normal_images_are_compared_with() {
    check("masks_few_shot", "metal_nut", Some(few_shot_map(&Device::default().autodiff())), true);
}

#[test]
fn losses_and_gradients_agree_without_masks() {
    check("text_only", "object", None, false);
}

#[test]
fn the_map_of_turned_normals_is_the_reference_s() {
    let (device, encoder) = (Device::default(), imagebind::imagebind().with_fit(Fit::Crop));
    let preprocess = encoder.preprocess();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/data/images/normal_1.png");
    let normal = preprocess.resize(&image::open(path).unwrap().to_rgb8()).unwrap();
    let turned = [normal.clone(), imageops::rotate270(&normal), imageops::rotate180(&normal), imageops::rotate90(&normal)];
    let views = encoder.encode_images(preprocess.to_tensor(&turned, &device).unwrap()).unwrap();
    let bank = MemoryBank::new(&[vec![views]], &[], MemoryBankOptions::original()).unwrap();
    let images = training_images(&expected(), &device);
    let found = decoder(&device).localize(&images, Reference::Normals(&bank)).unwrap();
    assert_tensor_close(found.raw, &few_shot_map(&device).into_data(), tolerance("map"));
}
