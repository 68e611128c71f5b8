//! Rotary positions, half-split: channels i and i + width / 2 turn together, as in Hugging Face's checkpoints.

use burn::{
    module::Module,
    tensor::{Device, Tensor, TensorData},
};

/// Cosines and signed sines of all positions, computed once.
#[derive(Module, Debug)]
pub(super) struct Rotary {
    /// `[context, width]`
    cosines: Tensor<2>,
    /// `[context, width]`, negative in the first half.
    sines: Tensor<2>,
}

/// The part of [`Rotary`] for the positions of one pass.
#[derive(Clone, Debug)]
pub(super) struct Rotation {
    /// `[1, positions, 1, width]`
    cosines: Tensor<4>,
    /// `[1, positions, 1, width]`
    sines: Tensor<4>,
}

impl Rotary {
    pub(super) fn new(context: usize, width: usize, theta: f64, device: &Device) -> Self {
        let half = width / 2;
        // Rounded to f32 where PyTorch rounds, as far positions show the difference.
        let frequencies: Vec<f32> = (0..half).map(|index| 1.0 / theta.powf((2 * index) as f64 / width as f64) as f32).collect();
        let table = |value: &dyn Fn(usize, f64) -> f64| {
            let values: Vec<f32> = (0..context)
                .flat_map(|position| (0..width).map(move |channel| (position, channel)))
                .map(|(position, channel)| value(channel, f64::from(position as f32 * frequencies[channel % half])) as f32)
                .collect();
            Tensor::from_data(TensorData::new(values, [context, width]), device)
        };
        Self {
            cosines: table(&|_, angle| angle.cos()),
            sines: table(&|channel, angle| if channel < half { -angle.sin() } else { angle.sin() }),
        }
    }

    /// For `positions` positions from `past`; both must be within the context.
    pub(super) fn at(&self, past: usize, positions: usize) -> Rotation {
        let part = |table: &Tensor<2>| {
            let [_, width] = table.dims();
            table.clone().narrow(0, past, positions).reshape([1, positions, 1, width])
        };
        Rotation { cosines: part(&self.cosines), sines: part(&self.sines) }
    }
}

impl Rotation {
    /// Turns `[batch, positions, heads, width]`.
    pub(super) fn apply(&self, heads: Tensor<4>) -> Tensor<4> {
        let half = heads.dims()[3] / 2;
        let swapped = Tensor::cat(vec![heads.clone().narrow(3, half, half), heads.clone().narrow(3, 0, half)], 3);
        heads * self.cosines.clone() + swapped * self.sines.clone()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Rounding of one product and one sum in f32.
    const TOLERANCE: f32 = 1e-6;

    #[test]
    fn halves_turn_together() {
        let device = Device::default();
        let rotary = Rotary::new(8, 4, 100.0, &device);
        let x = Tensor::<4>::from_data([[[[1.0f32, 2.0, 3.0, 4.0]]]], &device);
        let found = rotary.at(3, 1).apply(x.clone()).into_data().try_to_vec::<f32>().unwrap();
        // Frequencies 1 and 1 / 10: pairs (1, 3) and (2, 4) turn by 3 and by 0.3.
        let turn = |a: f32, b: f32, angle: f32| (a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos());
        let ((a, c), (b, d)) = (turn(1.0, 3.0, 3.0), turn(2.0, 4.0, 0.3));
        for (found, expected) in found.iter().zip([a, b, c, d]) {
            assert!((found - expected).abs() < TOLERANCE, "{found} {expected}");
        }
        assert_eq!(rotary.at(0, 1).apply(x.clone()).into_data(), x.into_data());
    }
}
