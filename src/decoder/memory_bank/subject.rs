//! Normal images beside the text, and how much the text may say then.

use burn::tensor::Tensor;

use super::{MemoryBank, TextMap, check_finite};
use crate::{
    decoder::{
        check_fit,
        upsample::{antialiased, average_squares, highest_of_squares},
    },
    encoder::ImageFeatures,
    error::{Error, Result},
};

/// Mean of the text map's highest values in normal images, at which trust in it has fallen to 1/e: what the embedded decoder says of
/// drawn parts is mostly below, of photographed magnetic tiles mostly far above.
const DOUBT: f32 = 0.07;

/// What the text says of an image's batch.
pub(super) struct Heard {
    /// In the mean of each square, `[batch * compared squares]`.
    means: Tensor<1>,
    /// For scores, `[batch * compared squares]`: halfway from that mean to the square's highest patch, as a fault may be smaller.
    pub(super) on_squares: Tensor<1>,
    /// For the map, `[batch * patches]`.
    pub(super) on_patches: Tensor<1>,
}

impl Heard {
    pub(super) fn new(bank: &MemoryBank, map: Tensor<4>, image: &ImageFeatures) -> Result<Self> {
        let [maps, channels, rows, columns] = map.dims();
        check_fit("the text map", image.images(), maps)?;
        check_fit("the text map", 1, channels)?;
        if rows * columns == 0 {
            return Err(Error::component("the text map", "it has no pixels"));
        }
        let side = bank.options.coarseness;
        let on_patches = antialiased(map, image.grid);
        let patches = on_patches.clone().reshape([maps as isize, -1, 1]);
        let means = average_squares(patches, image.grid, side, 1).flatten(0, 2);
        let highest = highest_of_squares(on_patches.clone(), side).flatten(0, 3);
        Ok(Self { on_squares: (means.clone() + highest) / 2.0, means, on_patches: on_patches.flatten(0, 3) })
    }
}

/// A normal image that is compared, and the text, if that is listened to.
pub(super) struct Subject<'a> {
    pub(super) features: &'a ImageFeatures,
    pub(super) text: Option<Heard>,
}

pub(super) fn subjects<'a>(bank: &MemoryBank, images: &'a [ImageFeatures], text_map: Option<TextMap<'_>>) -> Result<Vec<Subject<'a>>> {
    let heard = |features: &ImageFeatures, text_map: TextMap<'_>| Heard::new(bank, text_map(features)?, features);
    let subject = |features| Ok(Subject { features, text: text_map.map(|text_map| heard(features, text_map)).transpose()? });
    images.iter().map(subject).collect()
}

/// How much more the text map counts: a text that finds nothing in normal images is right there, and may be believed elsewhere.
pub(super) fn trust(bank: &MemoryBank, normals: &[Vec<Subject<'_>>]) -> Result<f32> {
    let peaks = normals.iter().flatten().map(|subject| subject.text_peaks(bank)).collect::<Result<Vec<_>>>()?.concat();
    let mean = peaks.iter().sum::<f32>() / peaks.len().max(1) as f32;
    Ok(if peaks.is_empty() { 0.0 } else { bank.options.text_trust * (-(mean / DOUBT).powi(2)).exp() })
}

impl Subject<'_> {
    /// The first image of its batch; the features stay those of all.
    pub(super) fn first(&self, bank: &MemoryBank) -> Self {
        let [rows, columns] = self.features.grid;
        let (squares, patches) = (bank.squares(self.features.grid), rows * columns);
        let of_first = |values: &Tensor<1>, count: usize| values.clone().narrow(0, 0, count);
        let first = |text: &Heard| Heard {
            means: of_first(&text.means, squares),
            on_squares: of_first(&text.on_squares, squares),
            on_patches: of_first(&text.on_patches, patches),
        };
        Self { features: self.features, text: self.text.as_ref().map(first) }
    }

    /// The text's highest mean of a square in each image of its batch.
    fn text_peaks(&self, bank: &MemoryBank) -> Result<Vec<f32>> {
        let values = self.text.as_ref().map_or(Ok(Vec::new()), |text| host(text.means.clone()))?;
        check_finite("the text map", &values)?;
        Ok(values.chunks(bank.squares(self.features.grid).max(1)).map(|image| image.iter().copied().fold(0.0, f32::max)).collect())
    }
}

pub(super) fn host(values: Tensor<1>) -> Result<Vec<f32>> {
    let values = values.into_data().convert::<f32>().try_to_vec::<f32>();
    values.map_err(|error| Error::component("the memory bank", error.to_string()))
}
