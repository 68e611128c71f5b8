//! What is anomalous in truth: mask files as pixels, and their regions.

use std::borrow::Cow;

use image::GrayImage;

use super::{MaskResize, MaskRule};
use crate::{inspection::Components, place::Place, preprocess::resize_bilinear};

impl MaskRule {
    /// Whether each pixel of a mask resized to `width` x `height` is anomalous, row by row.
    pub fn apply(&self, mask: &GrayImage, width: u32, height: u32) -> Vec<bool> {
        let mask = if self.binarize_first { Cow::Owned(binary(mask)) } else { Cow::Borrowed(mask) };
        let resized = match self.resize {
            _ if mask.dimensions() == (width, height) => mask,
            MaskResize::Nearest => Cow::Owned(nearest(&mask, width, height)),
            MaskResize::Bilinear => Cow::Owned(resize_bilinear(&mask, width, height)),
        };
        resized.as_raw().iter().map(|&level| f32::from(level) / 255.0 > self.above).collect()
    }
}

fn binary(mask: &GrayImage) -> GrayImage {
    let mut binary = mask.clone();
    binary.iter_mut().for_each(|level| *level = if *level > 0 { u8::MAX } else { 0 });
    binary
}

/// In PyTorch's arithmetic, whose 32-bit scale now and then picks the pixel before.
fn nearest(mask: &GrayImage, width: u32, height: u32) -> GrayImage {
    let picks = |source: u32, side: u32| -> Vec<u32> {
        let scale = source as f32 / side as f32;
        (0..side).map(|index| ((index as f32 * scale) as u32).min(source.saturating_sub(1))).collect()
    };
    let (columns, rows) = (picks(mask.width(), width), picks(mask.height(), height));
    let mut output = GrayImage::new(width, height);
    for (to, &y) in output.chunks_exact_mut((width as usize).max(1)).zip(&rows) {
        let row = mask.as_raw().get((y * mask.width()) as usize..).unwrap_or_default();
        to.iter_mut().zip(&columns).for_each(|(to, &x)| *to = row.get(x as usize).copied().unwrap_or_default());
    }
    output
}

/// A connected region (8 neighbours) of a mask.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct TrueRegion {
    /// x, y, width, height in pixels.
    pub(super) bbox: [u32; 4],
    pub(super) area: u32,
    /// Where its centroid lies.
    pub(super) place: Place,
}

/// The regions of pixels in rows of `width`.
pub(super) fn true_regions(width: u32, anomalous: &[bool]) -> Vec<TrueRegion> {
    let height = (anomalous.len() / (width as usize).max(1)) as u32;
    let mut components = Components::new(width, anomalous, |&anomalous| anomalous);
    let roots = components.roots();
    let mut sums: Vec<Option<Sums>> = vec![None; roots.len()];
    for (run, root) in components.runs().iter().zip(roots) {
        sums[root].get_or_insert_default().add(run.row, run.start, run.end);
    }
    sums.into_iter().flatten().map(|sums| sums.region(width, height)).collect()
}

#[derive(Clone, Debug)]
struct Sums {
    left: u32,
    top: u32,
    right: u32,
    bottom: u32,
    area: u64,
    x: f64,
    y: f64,
}

impl Default for Sums {
    fn default() -> Self {
        Self { left: u32::MAX, top: u32::MAX, right: 0, bottom: 0, area: 0, x: 0.0, y: 0.0 }
    }
}

impl Sums {
    fn add(&mut self, row: u32, start: u32, end: u32) {
        self.left = self.left.min(start);
        self.top = self.top.min(row);
        self.right = self.right.max(end);
        self.bottom = self.bottom.max(row + 1);
        let length = f64::from(end - start);
        self.area += u64::from(end - start);
        self.x += length * f64::from(start + end) / 2.0;
        self.y += length * (f64::from(row) + 0.5);
    }

    fn region(&self, width: u32, height: u32) -> TrueRegion {
        let area = self.area as f64;
        TrueRegion {
            bbox: [self.left, self.top, self.right - self.left, self.bottom - self.top],
            area: self.area as u32,
            place: Place::of((self.x / area) as f32, (self.y / area) as f32, width, height),
        }
    }
}

#[cfg(test)]
mod tests {
    use image::Luma;

    use super::*;
    use crate::eval::Protocol;

    #[test]
    fn rules_differ_at_edges() {
        // A line one pixel wide, to half the size.
        let mask = GrayImage::from_fn(8, 8, |x, _| Luma([if x == 3 { 255 } else { 0 }]));
        let row = |rule: MaskRule| rule.apply(&mask, 4, 4)[..4].to_vec();
        assert_eq!(row(Protocol::anomalygpt_orig().mask), [false, true, true, false]);
        assert_eq!(row(Protocol::anomalib().mask), [false; 4], "every second pixel is picked");
        assert_eq!(row(Protocol::vand_200().mask), [false; 4]);
        assert_eq!(Protocol::mvtec_official().mask.apply(&mask, 8, 8)[..8], [false, false, false, true, false, false, false, false]);
        assert!(Protocol::anomalib().mask.apply(&GrayImage::new(0, 0), 2, 2).iter().all(|anomalous| !anomalous));
    }

    #[test]
    fn regions_have_boxes_and_places() {
        let mut anomalous = vec![false; 9 * 6];
        [0, 10, 9 * 5 + 8].into_iter().for_each(|index| anomalous[index] = true);
        let found = true_regions(9, &anomalous);
        assert_eq!(found[0], TrueRegion { bbox: [0, 0, 2, 2], area: 2, place: Place::TopLeft });
        assert_eq!(found[1..], [TrueRegion { bbox: [8, 5, 1, 1], area: 1, place: Place::BottomRight }]);
        assert!(true_regions(3, &[false; 6]).is_empty() && true_regions(0, &[]).is_empty());
    }
}
