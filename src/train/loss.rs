//! The losses of the paper (Eq. 3 to 6), in the form of the authors' code.
//!
//! Pixel losses take probabilities, not logits, and every tap has its own: they are summed over taps. Focal loss smooths
//! the target by 1e-5 and has no class weight; dice loss adds 1 above and below, an image at a time. (The authors' dice
//! loss loses the batch axis at a batch of one image and then works row by row; this one does not.)
//!
//! Beside the paper's losses, which count pixels, [`peaks`] counts images: a small anomaly is nothing to the mean over all pixels, and
//! all to the verdict.

use burn::tensor::{
    Bool, Int, Tensor,
    activation::{log_sigmoid, log_softmax},
    module::max_pool2d,
    ops::MaxPoolOptions,
};

/// Target of a position that is not supervised.
pub const IGNORED: i64 = -100;

/// Smoothing of the focal loss's targets and probabilities.
const SMOOTHING: f32 = 1e-5;

/// Pixels about an anomaly in which a map may fall off.
const BORDER: usize = 4;
/// A logit that is certainly normal.
const NOWHERE: f32 = -30.0;

/// Factors of the parts of Eq. 6; all are 1 in the paper.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct LossWeights {
    /// Factor of the token cross-entropy (alpha).
    pub tokens: f32,
    /// Factor of the focal loss (beta).
    pub focal: f32,
    /// Factor of the dice loss (delta).
    pub dice: f32,
}

impl Default for LossWeights {
    fn default() -> Self {
        Self { tokens: 1.0, focal: 1.0, dice: 1.0 }
    }
}

/// Losses of the decoder's maps, one a tap.
#[derive(Clone, Debug)]
pub struct PixelLoss {
    /// Focal loss, `[taps]`.
    pub focal: Tensor<1>,
    /// Dice loss, `[taps]`.
    pub dice: Tensor<1>,
}

impl PixelLoss {
    /// Losses of `probabilities` of being abnormal, `[batch, taps, height, width]`, against a `mask`
    /// `[batch, 1, height, width]` of zeros and ones.
    pub fn new(probabilities: Tensor<4>, mask: Tensor<4>) -> Self {
        Self { focal: focal(probabilities.clone(), mask.clone()), dice: dice(probabilities, mask) }
    }
}

/// Focal loss with gamma 2 (Eq. 4) of `probabilities` of being abnormal, `[batch, taps, height, width]`, against a `mask`
/// `[batch, 1, height, width]` of zeros and ones; the mean over images and pixels, `[taps]` (`focal_loss` of the reference).
pub fn focal(probabilities: Tensor<4>, mask: Tensor<4>) -> Tensor<1> {
    let abnormal = mask.clone().clamp(SMOOTHING, 1.0 - SMOOTHING);
    let normal = (1.0f32 - mask).clamp(SMOOTHING, 1.0 - SMOOTHING);
    let right = (abnormal - normal.clone()) * probabilities + normal + SMOOTHING;
    let loss = (1.0f32 - right.clone()).square() * -right.log();
    loss.mean_dims(&[0, 2, 3]).flatten(0, 3)
}

/// Dice loss (Eq. 5) of `probabilities` of being abnormal, `[batch, taps, height, width]`, against a `mask`
/// `[batch, 1, height, width]` of zeros and ones; the mean over images, `[taps]` (`dice_loss` of the reference).
pub fn dice(probabilities: Tensor<4>, mask: Tensor<4>) -> Tensor<1> {
    let sum = |values: Tensor<4>| values.sum_dims(&[2, 3]);
    let overlap = sum(probabilities.clone() * mask.clone());
    let share = (overlap * 2.0 + 1.0) / (sum(probabilities) + sum(mask) + 1.0);
    (1.0f32 - share.mean_dim(0)).flatten(0, 3)
}

/// Cross-entropy of the highest of an image's `logits`, `[batch, 1, height, width]`, which is what its verdict goes by: within the `mask`
/// `[batch, 1, height, width]` of zeros and ones it should be high, and low in all that is over four pixels away from it. The mean
/// over the anomalous images, and that over all of them, `[1]`.
pub fn peaks(logits: Tensor<4>, mask: Tensor<4>) -> Tensor<1> {
    let flat = |values: Tensor<4>| values.flatten::<2>(1, 3).max_dim(1);
    let highest = |excluded: Tensor<4, Bool>| flat(logits.clone().mask_fill(excluded, NOWHERE));
    let border = MaxPoolOptions {
        kernel_size: [2 * BORDER + 1; 2],
        stride: [1; 2],
        padding: [(BORDER, BORDER); 2],
        dilation: [1; 2],
        ceil_mode: false,
    };
    let near = max_pool2d(mask.clone(), border).greater_elem(0.5);
    let (inside, outside) = (highest(mask.clone().lower_elem(0.5)), highest(near));
    let anomalous = flat(mask);
    let found = (log_sigmoid(inside) * anomalous.clone()).sum() / anomalous.sum().clamp_min(1.0);
    -found - log_sigmoid(-outside).mean()
}

/// Cross-entropy (Eq. 3) of `logits` `[batch, positions, vocabulary]` with the `targets` `[batch, positions]`: each position
/// predicts the next one's target. The mean over all supervised positions of the batch, `[1]`; 0 where there is none.
pub fn token_cross_entropy(logits: Tensor<3>, targets: Tensor<2, Int>) -> Tensor<1> {
    let nothing = Tensor::zeros([1], &logits.device());
    supervised(logits, targets).map_or(nothing, |(logits, targets)| cross_entropy(logits, targets))
}

/// Share in `[0, 1]` of the supervised positions whose most probable token is the target, `[1]`; 0 where there is none.
/// Shapes as for [`token_cross_entropy`].
pub fn token_accuracy(logits: Tensor<3>, targets: Tensor<2, Int>) -> Tensor<1> {
    let nothing = Tensor::zeros([1], &logits.device());
    supervised(logits, targets).map_or(nothing, |(logits, targets)| accuracy(logits, targets))
}

/// Rows of `values`, `[batch, positions, width]`, from which a target is predicted, `[supervised, width]`, and these of the `targets`
/// `[batch, positions]`; nothing where none is supervised.
pub(super) fn supervised(values: Tensor<3>, targets: Tensor<2, Int>) -> Option<(Tensor<2>, Tensor<1, Int>)> {
    let positions = targets.dims()[1];
    let before = positions.saturating_sub(1);
    let next = targets.narrow(1, positions - before, before).flatten::<1>(0, 1);
    let rows = next.clone().not_equal_elem(IGNORED).argwhere().flatten::<1>(0, 1);
    let any = rows.dims()[0] > 0;
    any.then(|| (values.narrow(1, 0, before).flatten::<2>(0, 1).select(0, rows.clone()), next.select(0, rows)))
}

/// Mean cross-entropy of `logits` `[positions, vocabulary]` with the `targets` `[positions]`, `[1]`.
pub(super) fn cross_entropy(logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
    -log_softmax(logits, 1).gather(1, targets.unsqueeze_dim(1)).mean()
}

/// Share in `[0, 1]` of the rows of `logits` `[positions, vocabulary]` whose highest is the one of the `targets` `[positions]`, `[1]`.
pub(super) fn accuracy(logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
    logits.argmax(1).squeeze_dim::<1>(1).equal(targets).float().mean()
}

/// The whole loss, `[1]` (Eq. 6); images without a mask have no pixel loss.
pub fn total(tokens: Tensor<1>, pixels: Option<PixelLoss>, weights: LossWeights) -> Tensor<1> {
    let tokens = tokens * weights.tokens;
    match pixels {
        Some(PixelLoss { focal, dice }) => tokens + focal.sum() * weights.focal + dice.sum() * weights.dice,
        None => tokens,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    fn number(tensor: Tensor<1>) -> f32 {
        tensor.into_scalar()
    }

    #[test]
    fn a_right_map_costs_next_to_nothing_and_a_wrong_one_much() {
        let device = Device::default().autodiff();
        let mask = Tensor::<4>::from_data([[[[0.0f32, 1.0, 1.0, 0.0]]]], &device);
        let right = PixelLoss::new(mask.clone(), mask.clone());
        let wrong = PixelLoss::new(1.0 - mask.clone(), mask);
        assert!(number(right.focal) < 1e-6 && number(right.dice).abs() < 1e-6);
        assert!(number(wrong.focal) > 10.0 && (number(wrong.dice) - 0.8).abs() < 1e-6);
    }

    #[test]
    fn an_image_s_highest_logits_count() {
        let device = Device::default();
        let map = |at: &[(usize, f32)], rest: f32| {
            let mut values = vec![rest; 16];
            at.iter().for_each(|&(index, value)| values[index] = value);
            Tensor::<1>::from_data(values.as_slice(), &device).reshape([1, 1, 1, 16])
        };
        let mask = map(&[(2, 1.0), (3, 1.0)], 0.0);
        let cost = |logits: f32| (1.0 + (-logits).exp()).ln();
        let loss = |logits, mask: &Tensor<4>| number(peaks(logits, mask.clone()));
        // Position 7 is at the border of the anomaly, and 8 is not.
        let logits = map(&[(2, 1.0), (3, 2.0), (7, 9.0), (8, 3.0)], -5.0);
        assert!((loss(logits.clone(), &mask) - cost(2.0) - cost(-3.0)).abs() < 1e-5);
        assert!((loss(logits.clone(), &mask.clone().zeros_like()) - cost(-9.0)).abs() < 1e-5);
        let both = loss(Tensor::cat(vec![logits.clone(); 2], 0), &Tensor::cat(vec![mask.clone(), mask.zeros_like()], 0));
        assert!((both - cost(2.0) - (cost(-3.0) + cost(-9.0)) / 2.0).abs() < 1e-5);
        assert!((loss(logits.clone(), &logits.ones_like()) - cost(9.0)).abs() < 1e-5);
    }

    #[test]
    fn ignored_positions_count_for_nothing() {
        let device = Device::default().autodiff();
        let logits = Tensor::<3>::from_data([[[0.0f32, 0.0, 9.0], [2.0, 0.0, 0.0], [0.0, 5.0, 0.0]]], &device);
        let loss = |targets: [i64; 3]| number(token_cross_entropy(logits.clone(), Tensor::from_data([targets], &device)));
        assert!((loss([IGNORED, 2, IGNORED]) - (1.0 + 2.0 * (-9.0f32).exp()).ln()).abs() < 1e-6);
        assert_eq!(loss([1, IGNORED, IGNORED]), 0.0);
        let accuracy = |targets: [i64; 3]| number(token_accuracy(logits.clone(), Tensor::from_data([targets], &device)));
        assert_eq!(accuracy([IGNORED, 2, 1]), 0.5);
        assert_eq!(accuracy([IGNORED, 2, IGNORED]), 1.0);
        assert_eq!(accuracy([IGNORED; 3]), 0.0);
    }

    #[test]
    fn rows_are_supervised_from_which_a_target_is_predicted() {
        let device = Device::default();
        let values = Tensor::<1, Int>::arange(0..12, &device).float().reshape([2, 3, 2]);
        let of = |targets: [[i64; 3]; 2]| supervised(values.clone(), Tensor::from_data(targets, &device));
        // A target of the first position is predicted from nothing.
        let (rows, targets) = of([[9, IGNORED, 4], [IGNORED, 0, 5]]).unwrap();
        rows.into_data().assert_eq(&[[2.0f32, 3.0], [6.0, 7.0], [8.0, 9.0]].into(), true);
        assert_eq!(targets.into_data().iter::<i64>().collect::<Vec<_>>(), [4, 0, 5]);
        assert!(of([[9, IGNORED, IGNORED]; 2]).is_none());
    }

    #[test]
    fn the_total_is_weighted() {
        let device = Device::default();
        let ones = || Tensor::<1>::ones([4], &device);
        let pixels = PixelLoss { focal: ones(), dice: ones() };
        let weights = LossWeights { tokens: 2.0, focal: 3.0, dice: 0.5 };
        assert_eq!(number(total(Tensor::ones([1], &device), Some(pixels), weights)), 16.0);
        assert_eq!(number(total(Tensor::ones([1], &device), None, weights)), 2.0);
    }
}
