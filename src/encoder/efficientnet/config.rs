//! The shape of a trunk.

use burn::config::Config;

use super::geometry::Window;
use crate::error::{Error, Result};

/// Blocks of one width.
#[derive(Config, Debug, PartialEq)]
pub struct Stage {
    /// Side of the depthwise convolutions, 3 or 5.
    pub kernel: usize,
    /// Widening before the depthwise convolution; 1 leaves it out.
    pub expansion: usize,
    /// Channels that come out.
    pub width: usize,
    /// How many blocks.
    pub blocks: usize,
    /// Stride of the first block, 1 or 2.
    pub stride: usize,
}

/// An EfficientNet without squeeze-and-excitation, up to its last tap.
#[derive(Config, Debug, PartialEq)]
pub struct EfficientNetConfig {
    /// Channels of the stem, a 3x3 convolution of stride 2.
    pub stem: usize,
    /// The stages in order.
    pub stages: Vec<Stage>,
    /// Indices over the blocks of all stages whose outputs are wanted, ascending. Blocks after the last are left out.
    pub taps: Vec<usize>,
    /// How many of the taps, from the first on, are [`ImageFeatures::fine`](crate::encoder::ImageFeatures::fine) maps, not patch tokens.
    #[config(default = 0)]
    pub fine: usize,
    /// How far right of and below the middles of their positions lies what the taps that are not fine see, in pixels, all of them alike:
    /// at stride two the odd padding of even sides is at the right and the bottom, which trained kernels make up for in part.
    #[config(default = 0.0)]
    pub displacement: f64,
}

/// Everything about one block.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockShape {
    pub(super) window: Window,
    pub(super) inputs: usize,
    pub(super) middle: usize,
    pub(super) outputs: usize,
    pub(super) expands: bool,
}

impl BlockShape {
    /// Whether the input is added to the output.
    pub(super) fn residual(&self) -> bool {
        self.window.stride == 1 && self.inputs == self.outputs
    }
}

/// Window of the stem.
pub(super) const STEM: Window = Window { kernel: 3, stride: 2 };

impl EfficientNetConfig {
    /// EfficientNet-Lite0 (Tan & Le 2019, as published with TensorFlow's `lite` models): 16 blocks, tapped twice at
    /// stride 16 and twice at stride 32, which tells normal from anomalous patches best, and before these once at stride 8.
    pub fn lite0() -> Self {
        let stages = [
            (3, 1, 16, 1, 1),
            (3, 6, 24, 2, 2),
            (5, 6, 40, 2, 2),
            (3, 6, 80, 3, 2),
            (5, 6, 112, 3, 1),
            (5, 6, 192, 4, 2),
            (3, 6, 320, 1, 1),
        ];
        let stages = stages.map(|(kernel, expansion, width, blocks, stride)| Stage { kernel, expansion, width, blocks, stride });
        // At strides 16 and 32, by where the maps of simulated anomalies lie; by the features alone, which tests/pipeline.rs looks at, it
        // is half a pixel less. Next to none at stride 8.
        Self { stem: 32, stages: stages.into(), taps: vec![4, 8, 10, 11, 14], fine: 1, displacement: 2.5 }
    }

    /// The same trunk with other taps, none of them fine, and without a displacement, as that depends on the taps.
    #[must_use]
    pub fn tapped(self, taps: impl Into<Vec<usize>>) -> Self {
        Self { taps: taps.into(), fine: 0, displacement: 0.0, ..self }
    }

    /// Channels of each tap, the fine ones first.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] as for [`EfficientNet::from_state`](super::EfficientNet::from_state).
    pub fn tap_widths(&self) -> Result<Vec<usize>> {
        let blocks = self.blocks()?;
        Ok(self.taps.iter().filter_map(|tap| Some(blocks.get(*tap)?.outputs)).collect())
    }

    /// The blocks up to the last tap.
    pub(super) fn blocks(&self) -> Result<Vec<BlockShape>> {
        let invalid = |what, reason: String| Error::InvalidConfig { what, reason: reason.into() };
        let mut blocks = Vec::new();
        let mut inputs = self.stem;
        for stage in &self.stages {
            if !matches!(stage.kernel, 3 | 5) || !matches!(stage.stride, 1 | 2) || stage.expansion == 0 || stage.width == 0 {
                return Err(invalid("stage", format!("{stage:?} needs a kernel of 3 or 5, a stride of 1 or 2, and no zero")));
            }
            for block in 0..stage.blocks {
                let window = Window { kernel: stage.kernel, stride: if block == 0 { stage.stride } else { 1 } };
                let middle = inputs * stage.expansion;
                blocks.push(BlockShape { window, inputs, middle, outputs: stage.width, expands: stage.expansion > 1 });
                inputs = stage.width;
            }
        }
        let last = self.taps.last().copied().unwrap_or(usize::MAX);
        if self.stem == 0 || last >= blocks.len() || !self.taps.is_sorted_by(|left, right| left < right) {
            return Err(invalid(
                "taps",
                format!("{:?} must ascend within the {} blocks, after a stem of some width", self.taps, blocks.len()),
            ));
        }
        if self.fine >= self.taps.len() {
            return Err(invalid(
                "taps",
                format!("{} of {:?} can't be fine, as at least one has to give patch tokens", self.fine, self.taps),
            ));
        }
        if !self.displacement.is_finite() {
            return Err(invalid("displacement", format!("{} pixels can't be made up for", self.displacement)));
        }
        blocks.truncate(last + 1);
        Ok(blocks)
    }
}
