//! Tokens in the text's space against a pair of texts: what the decoders that listen to texts share (paper, Eq. 1).
//!
//! As in the authors' code, and unlike in the paper's equation, the logits are cosines times 100, and they are upsampled before the
//! softmax (`layer_probabilities` and `zero_shot_map` of the reference). A softmax over two classes is the sigmoid of their logits'
//! difference, and upsampling is linear, so one channel does the work of two.

use burn::tensor::Tensor;

use super::{Localization, Reference, TextPair};
use crate::{
    encoder::ImageFeatures,
    error::{Error, Result},
};

/// Factor of the cosines, the inverse of the softmax's temperature.
pub(super) const LOGIT_SCALE: f32 = 100.0;

/// Least norm of a token, so that a token of zeros is not divided by zero.
const LEAST_NORM: f32 = 1e-12;

/// From normal to abnormal, `[1 or batch, width, 1]`.
///
/// # Errors
/// [`Error::Incompatible`] for text vectors of another width, or of another number than 1 or `batch`.
pub(super) fn direction(text: &TextPair, width: usize, batch: usize) -> Result<Tensor<3>> {
    for side in [&text.normal, &text.abnormal] {
        let [rows, found] = side.dims();
        if found != width {
            return Err(Error::Incompatible { left: "the text encoder", right: "the decoder", expected: width, found });
        }
        if rows != 1 && rows != batch {
            return Err(Error::Incompatible { left: "the text pair", right: "a batch of images", expected: batch, found: rows });
        }
    }
    Ok((text.abnormal.clone() - text.normal.clone()).unsqueeze_dim(2))
}

/// The abnormal logit less the normal one, `[batch, tokens, 1]`, of tokens `[batch, tokens, width]`.
pub(super) fn difference(tokens: Tensor<3>, direction: &Tensor<3>) -> Tensor<3> {
    let norms = tokens.clone().square().sum_dim(2).sqrt().clamp_min(LEAST_NORM);
    tokens.matmul(direction.clone()) * LOGIT_SCALE / norms
}

/// Localizes with whatever an image is compared with; `text_map` gives the map against a text pair, `size` is every map's
/// (height, width), and `threshold` parts a map against texts.
pub(super) fn localized(
    image: &ImageFeatures,
    reference: Reference<'_>,
    text_map: impl Fn(&TextPair) -> Result<Tensor<4>>,
    size: [usize; 2],
    threshold: f32,
) -> Result<Localization> {
    match reference {
        Reference::Text(pair) => Ok(Localization { threshold, ..Localization::from_map(text_map(pair)?) }),
        Reference::NormalsAndText(bank, pair) if bank.hears_text() => bank.localize_with_text(image, Some(text_map(pair)?), size),
        Reference::Normals(bank) | Reference::NormalsAndText(bank, _) => bank.localize(image, size),
    }
}
