//! Whether the anomaly is where the model says.

use super::mask::TrueRegion;
use crate::{inspection::Region, place::Place};

/// Sums over images.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Location {
    places: u64,
    places_right: u64,
    regions: u64,
    overlap: f64,
}

impl Location {
    /// An anomalous image with at least one true region. `place` is where the model sees it, if anywhere.
    pub(super) fn add_place(&mut self, truth: &[TrueRegion], place: Option<Place>) {
        self.places += 1;
        self.places_right += u64::from(truth.iter().any(|region| Some(region.place) == place));
    }

    /// The regions that the model found in an image with at least one true region.
    pub(super) fn add_boxes(&mut self, truth: &[TrueRegion], found: &[Region]) {
        self.regions += truth.len() as u64;
        self.overlap += matched_overlap(truth, found);
    }

    pub(super) fn place_accuracy(self) -> Option<f64> {
        (self.places > 0).then(|| self.places_right as f64 / self.places as f64)
    }

    pub(super) fn box_iou(self) -> Option<f64> {
        (self.regions > 0).then(|| self.overlap / self.regions as f64)
    }
}

/// Sum of intersection over union of boxes, each true one with at most one found one, the best pairs first.
fn matched_overlap(truth: &[TrueRegion], found: &[Region]) -> f64 {
    let pairs = truth
        .iter()
        .enumerate()
        .flat_map(|(left, region)| found.iter().enumerate().map(move |(right, other)| (box_iou(region.bbox, other.bbox), left, right)));
    let mut pairs: Vec<(f64, usize, usize)> = pairs.filter(|(overlap, ..)| *overlap > 0.0).collect();
    pairs.sort_by(|left, right| right.0.total_cmp(&left.0));
    let (mut taken_truth, mut taken_found) = (vec![false; truth.len()], vec![false; found.len()]);
    let mut sum = 0.0;
    for (overlap, left, right) in pairs {
        if !taken_truth[left] && !taken_found[right] {
            (taken_truth[left], taken_found[right]) = (true, true);
            sum += overlap;
        }
    }
    sum
}

/// Intersection over union of two boxes (x, y, width, height), in `[0, 1]`; 0 where both are empty.
pub fn box_iou(left: [u32; 4], right: [u32; 4]) -> f64 {
    let [left, right] = [left, right].map(|bbox| bbox.map(u128::from));
    let shared = |at: usize| (left[at] + left[at + 2]).min(right[at] + right[at + 2]).saturating_sub(left[at].max(right[at]));
    let intersection = shared(0) * shared(1);
    let union = left[2] * left[3] + right[2] * right[3] - intersection;
    if union == 0 { 0.0 } else { intersection as f64 / union as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn truth(bbox: [u32; 4], place: Place) -> TrueRegion {
        TrueRegion { bbox, area: 1, place }
    }

    #[test]
    fn boxes_overlap() {
        assert_eq!(box_iou([0, 0, 2, 2], [0, 0, 2, 2]), 1.0);
        assert_eq!(box_iou([0, 0, 2, 2], [1, 1, 2, 2]), 1.0 / 7.0);
        assert_eq!((box_iou([0, 0, 2, 2], [2, 0, 2, 2]), box_iou([0; 4], [0; 4])), (0.0, 0.0));
        assert_eq!(box_iou([u32::MAX; 4], [u32::MAX; 4]), 1.0);
    }

    #[test]
    fn a_found_box_serves_one_region() {
        let truth = [truth([0, 0, 2, 2], Place::Top), truth([1, 0, 2, 2], Place::Left)];
        let found = Region::new([0, 0, 2, 2], 4, 1.0, Place::Left);
        let mut location = Location::default();
        location.add_boxes(&truth, std::slice::from_ref(&found));
        location.add_place(&truth, Some(found.place));
        location.add_place(&truth, Some(Place::Center));
        location.add_place(&truth, None);
        assert_eq!((location.box_iou(), location.place_accuracy()), (Some(0.5), Some(1.0 / 3.0)));
        assert_eq!((Location::default().box_iou(), Location::default().place_accuracy()), (None, None));
    }
}
