//! Prompts and the image token.

use anomalygpt::{
    encoder::ImageFeatures,
    prompt_learner::{ConvPromptLearner, ConvPromptLearnerConfig, PromptLearner},
    weights::{Layout, keys},
};
use burn::tensor::{Device, Tensor};

use crate::{
    decoder::{decoder, features, text},
    head::head,
    support::{assert_tensor_close, expected, tolerance},
};

/// Positions of the image token in `case.zero_shot.inputs`: after the start token and the six of `### Human: <Img>`.
const IMAGE: usize = 7;

pub(crate) fn learner(device: &Device) -> ConvPromptLearner {
    let state = head().renamed(keys::prompt_learner);
    state.load_into(ConvPromptLearnerConfig::new(64, 32).init(device).unwrap(), Layout::PyTorch).unwrap()
}

#[test]
fn prompts_and_the_image_token_are_the_reference_s() {
    let (device, expected) = (Device::default(), expected());
    let image = features(&expected, "features.defect.png", &device);
    let embedding = Tensor::from_data(expected.get("embedding.defect.png").unwrap().clone(), &device);
    let map = decoder(&device).layer_probabilities(&image, &text(&expected, "bottle", &device)).unwrap().mean_dim(1);
    let found = learner(&device).prompt(&ImageFeatures { embedding, ..image }, map).unwrap();
    assert_tensor_close(found.prompt, expected.get("case.zero_shot.prompts").unwrap(), tolerance("prompts"));
    let inputs = Tensor::<3>::from_data(expected.get("case.zero_shot.inputs").unwrap().clone(), &device);
    assert_tensor_close(found.image, &inputs.narrow(1, IMAGE, 1).into_data(), tolerance("inputs"));
}
