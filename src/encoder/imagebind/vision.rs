//! ImageBind's image tower: a vision transformer whose blocks are tapped.
//!
//! The published stem convolves two equal frames in three dimensions; as its stride is its kernel, that is one product over
//! patches with the kernel summed over time. Taps are a block's raw output, without a norm and without the class token.

use burn::{
    config::Config,
    module::{Module, Param},
    nn::{LayerNorm, Linear, LinearConfig},
    tensor::{Device, Distribution, Tensor},
};

use super::block::{Block, BlockSize, norm};
use crate::{
    encoder::ImageFeatures,
    error::{Error, Result},
};

/// Least length that a vector is divided by.
pub(super) const LEAST_LENGTH: f32 = 1e-12;

/// The shape of a [`VisionTower`].
#[derive(Config, Debug, PartialEq)]
pub struct VisionTowerConfig {
    /// Channels of a patch.
    pub width: usize,
    /// Transformer blocks.
    pub blocks: usize,
    /// Attention heads; divides `width`.
    pub heads: usize,
    /// Channels inside a feed-forward net.
    pub feed_forward: usize,
    /// Pixels of a patch's side.
    pub patch: usize,
    /// Patches along a side.
    pub grid: usize,
    /// Channels of the image embedding.
    pub output: usize,
    /// Indices of the blocks whose outputs are the patch tokens, ascending.
    pub taps: Vec<usize>,
}

/// Images to patch tokens and an embedding.
#[derive(Module, Debug)]
pub struct VisionTower {
    stem: Linear,
    cls_token: Param<Tensor<3>>,
    positions: Param<Tensor<3>>,
    pre_norm: LayerNorm,
    blocks: Vec<Block>,
    norm: LayerNorm,
    head: Linear,
    #[module(skip)]
    config: VisionTowerConfig,
}

impl VisionTowerConfig {
    /// A tower with random weights.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for a zero, heads that don't divide the width, or taps that are not ascending indices of blocks.
    pub fn init(&self, device: &Device) -> Result<VisionTower> {
        self.check()?;
        let Self { width, patch, grid, output, .. } = *self;
        let size = BlockSize { width, heads: self.heads, feed_forward: self.feed_forward };
        let small = |shape: [usize; 3]| Param::from_tensor(Tensor::random(shape, Distribution::Normal(0.0, 0.02), device));
        Ok(VisionTower {
            stem: LinearConfig::new(3 * patch * patch, width).with_bias(false).init(device),
            cls_token: small([1, 1, width]),
            positions: small([1, grid * grid + 1, width]),
            pre_norm: norm(width, device),
            blocks: (0..self.blocks).map(|_| Block::new(size, device)).collect(),
            norm: norm(width, device),
            head: LinearConfig::new(width, output).with_bias(false).init(device),
            config: self.clone(),
        })
    }

    /// Pixels of an image's side.
    pub fn side(&self) -> usize {
        self.patch * self.grid
    }

    fn check(&self) -> Result<()> {
        let invalid = |reason: String| Err(Error::InvalidConfig { what: "vision tower", reason: reason.into() });
        let Self { width, blocks, heads, feed_forward, patch, grid, output, ref taps } = *self;
        if [width, blocks, heads, feed_forward, patch, grid, output].contains(&0) || !width.is_multiple_of(heads) {
            return invalid(format!("{self:?} needs sizes above zero, and heads that divide the width"));
        }
        if taps.is_empty() || !taps.is_sorted_by(|a, b| a < b) || taps.iter().any(|tap| *tap >= blocks) {
            return invalid(format!("taps {taps:?} are not ascending indices of {blocks} blocks"));
        }
        Ok(())
    }
}

impl VisionTower {
    /// Its sizes.
    pub fn config(&self) -> &VisionTowerConfig {
        &self.config
    }

    /// Encodes `images`, `[batch, 3, side, side]`: patch tokens `[batch, grid * grid, width]` a tap, and a unit vector
    /// `[batch, output]` (`vision_tower` of the reference).
    ///
    /// # Errors
    /// [`Error::Incompatible`] for images of another size.
    pub fn forward(&self, images: Tensor<4>) -> Result<ImageFeatures> {
        let side = self.config.side();
        let [batch, channels, height, width] = images.dims();
        for (left, expected, found) in
            [("the image's channels", 3, channels), ("the image's height", side, height), ("the image's width", side, width)]
        {
            if expected != found {
                return Err(Error::Incompatible { left, right: "the vision tower", expected, found });
            }
        }
        let positions = self.config.grid * self.config.grid + 1;
        let mut x = self.pre_norm.forward(self.embed(images, batch));
        let mut patch_tokens = Vec::with_capacity(self.config.taps.len());
        for (index, block) in self.blocks.iter().enumerate() {
            x = block.forward(x, positions, false);
            if self.config.taps.contains(&index) {
                patch_tokens.push(x.clone().reshape([batch, positions, self.config.width]).narrow(1, 1, positions - 1));
            }
        }
        let class = x.reshape([batch, positions, self.config.width]).narrow(1, 0, 1).squeeze_dim::<2>(1);
        let embedding = unit(self.head.forward(self.norm.forward(class)));
        Ok(ImageFeatures { patch_tokens, grid: [self.config.grid; 2], fine: vec![], embedding })
    }

    /// Class token and patches with their positions, `[batch * positions, width]`.
    fn embed(&self, images: Tensor<4>, batch: usize) -> Tensor<2> {
        let VisionTowerConfig { width, patch, grid, .. } = self.config;
        let cells = images.reshape([batch, 3, grid, patch, grid, patch]).permute([0, 2, 4, 1, 3, 5]);
        let patches = self.stem.forward(cells.reshape([batch * grid * grid, 3 * patch * patch])).reshape([batch, grid * grid, width]);
        let class = self.cls_token.val().expand([batch, 1, width]);
        let x = Tensor::cat(vec![class, patches], 1) + self.positions.val();
        x.reshape([batch * (grid * grid + 1), width])
    }
}

/// Rows of length 1.
pub(super) fn unit(rows: Tensor<2>) -> Tensor<2> {
    let length = rows.clone().square().sum_dim(1).sqrt().clamp_min(LEAST_LENGTH);
    rows / length
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn config() -> VisionTowerConfig {
        VisionTowerConfig::new(8, 3, 2, 12, 2, 3, 5, vec![0, 2])
    }

    #[test]
    fn shapes_are_those_of_the_contract() {
        let device = Device::default();
        let images = Tensor::random([2, 3, 6, 6], Distribution::Normal(0.0, 1.0), &device);
        let found = config().init(&device).unwrap().forward(images).unwrap();
        assert_eq!(found.patch_tokens.iter().map(Tensor::dims).collect::<Vec<_>>(), [[2, 9, 8]; 2]);
        assert_eq!((found.grid, found.embedding.dims()), ([3, 3], [2, 5]));
        let length = found.embedding.square().sum_dim(1).into_data().try_to_vec::<f32>().unwrap();
        assert!(length.iter().all(|length| (length - 1.0).abs() < 1e-5));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let device = Device::default();
        let tower = config().init(&device).unwrap();
        let refused = tower.forward(Tensor::zeros([1, 3, 6, 8], &device)).unwrap_err();
        assert!(matches!(refused, Error::Incompatible { left: "the image's width", expected: 6, found: 8, .. }), "{refused}");
        for bad in [config().with(|c| c.heads = 3), config().with(|c| c.taps = vec![3]), config().with(|c| c.taps = vec![2, 0])] {
            assert!(matches!(bad.init(&device), Err(Error::InvalidConfig { what: "vision tower", .. })));
        }
    }

    impl VisionTowerConfig {
        fn with(mut self, change: impl Fn(&mut Self)) -> Self {
            change(&mut self);
            self
        }
    }
}
