//! An image after the first stage, and what is made of the second stage's tensors for users.

use burn::tensor::Tensor;

use crate::{
    decoder::Localization,
    device::host,
    encoder::ImageFeatures,
    error::{Error, Result, check_finite},
    inspection::{AnomalyMap, Detection, regions},
    preprocess::Covered,
};

/// The map that users get is made so that this parts normal from anomalous.
const BORDER: f32 = 0.5;

/// An image after the first stage.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Seen {
    /// What the encoder sees in it, a batch of one.
    pub features: ImageFeatures,
    /// The part of the image that the encoder sees.
    pub covered: Covered,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// The same where it is fitted in another way to be compared with normal images.
    pub(super) compared: Option<(ImageFeatures, Covered)>,
}

impl Seen {
    /// What is compared with normal images.
    pub(super) fn compared(&self) -> (&ImageFeatures, Covered) {
        self.compared.as_ref().map_or((&self.features, self.covered), |(features, covered)| (features, *covered))
    }

    /// A localization in the image's own pixels; `normals` says whether it was compared with normal images.
    pub(super) fn detection(&self, localization: Localization, normals: bool) -> Result<Detection> {
        let covered = if normals { self.compared().1 } else { self.covered };
        let map = host_map(localization.bordered()?)?.place_into(covered, self.width, self.height)?;
        let raw = host_map(localization.raw)?;
        let scores = host("decoder", localization.score)?;
        let score = scores.first().copied().ok_or_else(|| Error::component("decoder", "gave no score"))?;
        check_finite("decoder", &[score])?;
        let regions = regions(&map, BORDER);
        Ok(Detection::new(score, map, raw, regions))
    }
}

fn host_map(map: Tensor<4>) -> Result<AnomalyMap> {
    let [_, _, height, width] = map.dims();
    AnomalyMap::new(width as u32, height as u32, host("decoder", map)?)
}
