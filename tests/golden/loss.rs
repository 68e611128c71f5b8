//! Losses, and the pixel losses' gradients in the decoder.
#![cfg(feature = "train")]

use anomalygpt::{
    train::loss::{PixelLoss, token_accuracy, token_cross_entropy},
    weights::StateDict,
};
use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::{
    decoder::{decoder, features, text},
    support::{described, expected, json},
};

/// The mask of both training images: nothing in the first.
fn masks(expected: &StateDict, device: &Device) -> Tensor<4> {
    let second = Tensor::<3, Int>::from_data(expected.get("train.mask_of_second").unwrap().clone(), device).float();
    Tensor::stack(vec![second.zeros_like(), second], 0)
}

fn pixel_loss(device: &Device) -> (anomalygpt::decoder::PatchTextDecoder, PixelLoss) {
    let (expected, decoder) = (expected(), decoder(device));
    let image = features(&expected, "train.features", device);
    let probabilities = decoder.layer_probabilities(&image, &text(&expected, "metal_nut", device)).unwrap();
    (decoder, PixelLoss::new(probabilities, masks(&expected, device)))
}

fn assert_near(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance * expected.abs(), "{found} is not {expected}");
}

#[test]
fn pixel_losses_are_the_reference_s() {
    let described = described();
    let tolerance = described["tolerances"]["losses_rel"].as_f64().unwrap();
    let (_, loss) = pixel_loss(&Device::default());
    for (name, found) in [("focal", loss.focal), ("dice", loss.dice)] {
        let wanted = described["train"]["runs"]["masks"][name].as_array().unwrap();
        let found = found.into_data().try_to_vec::<f32>().unwrap();
        assert_eq!(found.len(), wanted.len());
        found.iter().zip(wanted).for_each(|(&found, wanted)| assert_near(found.into(), wanted.as_f64().unwrap(), tolerance));
    }
}

/// In the run `masks_few_shot` the tokens' loss sends nothing to the decoder, so its gradients are the pixel losses'.
#[test]
fn the_decoder_s_gradients_are_the_reference_s() {
    let described = described();
    let tolerance = described["tolerances"]["grad_norm_rel"].as_f64().unwrap();
    let wanted = &described["train"]["runs"]["masks_few_shot"]["grad_norms"];
    let (decoder, loss) = pixel_loss(&Device::default().autodiff());
    let gradients = burn::optim::GradientsParams::from_grads((loss.focal.sum() + loss.dice.sum()).backward(), &decoder);
    for (tap, linear) in decoder.layers().iter().enumerate() {
        let norm = |squares: Tensor<1>| f64::from(squares.sum().sqrt().into_scalar::<f32>());
        let weight = gradients.get::<2>(linear.weight.id).unwrap().square().flatten(0, 1);
        let bias = gradients.get::<1>(linear.bias.as_ref().unwrap().id).unwrap().square();
        for (name, squares) in [("weight", weight), ("bias", bias)] {
            assert_near(norm(squares), wanted[format!("image_decoder.fc.{tap}.{name}")].as_f64().unwrap(), tolerance);
        }
    }
}

#[test]
fn token_losses_are_pytorch_s() {
    let case = json("loss.json");
    let tolerance = described()["tolerances"]["losses_rel"].as_f64().unwrap();
    let shape: Vec<usize> = serde_json::from_value(case["shape"].clone()).unwrap();
    let device = Device::default();
    let numbers: Vec<f32> = serde_json::from_value(case["logits"].clone()).unwrap();
    let logits = Tensor::<3>::from_data(TensorData::new(numbers, shape.clone()), &device);
    let ids: Vec<i64> = serde_json::from_value(case["targets"].clone()).unwrap();
    let targets = Tensor::<2, Int>::from_data(TensorData::new(ids, [shape[0], shape[1]]), &device);
    let number = |tensor: Tensor<1>| f64::from(tensor.into_scalar::<f32>());
    assert_near(number(token_cross_entropy(logits.clone(), targets.clone())), case["cross_entropy"].as_f64().unwrap(), tolerance);
    assert_near(number(token_accuracy(logits, targets)), case["accuracy"].as_f64().unwrap(), tolerance);
}
