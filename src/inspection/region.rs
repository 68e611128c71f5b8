//! Connected parts of a map above a threshold.

use super::{
    AnomalyMap,
    components::{Components, Run},
};
use crate::place::Place;

/// One connected anomalous part of an image.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Region {
    /// Bounding box in pixels: x, y, width, height.
    pub bbox: [u32; 4],
    /// Pixels in the part.
    pub area: u32,
    /// Highest value in it.
    pub peak: f32,
    /// Where in the image its centroid lies.
    pub place: Place,
}

impl Region {
    /// A region with all its parts.
    pub fn new(bbox: [u32; 4], area: u32, peak: f32, place: Place) -> Self {
        Self { bbox, area, peak, place }
    }
}

/// The connected parts (8 neighbours) of a map whose values exceed `threshold`, the highest peak first.
///
/// A part's place is the cell of its centroid, each pixel weighted by how far its value exceeds the threshold.
/// None is dropped for being small.
///
/// ```
/// # use anomalygpt::{AnomalyMap, Place, regions};
/// let map = AnomalyMap::new(3, 1, vec![0.1, 0.2, 0.9])?;
/// let found = regions(&map, 0.5);
/// assert_eq!((found.len(), found[0].bbox, found[0].place), (1, [2, 0, 1, 1], Place::Right));
/// # Ok::<(), anomalygpt::Error>(())
/// ```
pub fn regions(map: &AnomalyMap, threshold: f32) -> Vec<Region> {
    let mut components = Components::new(map.width(), map.values(), |&value| value > threshold);
    let roots = components.roots();
    let mut parts: Vec<Option<Part>> = vec![None; roots.len()];
    for (run, root) in components.runs().iter().zip(roots) {
        let values = &map.values()[run.row as usize * map.width() as usize..][run.start as usize..run.end as usize];
        parts[root].get_or_insert(Part::new(run)).add(run, values, threshold);
    }
    let mut regions: Vec<Region> = parts.into_iter().flatten().map(|part| part.region(map)).collect();
    regions.sort_by(|left, right| right.peak.total_cmp(&left.peak));
    regions
}

/// Sums over the runs of one part.
#[derive(Clone)]
struct Part {
    left: u32,
    top: u32,
    right: u32,
    bottom: u32,
    area: u32,
    peak: f32,
    weight: f64,
    weighted_x: f64,
    weighted_y: f64,
}

impl Part {
    fn new(run: &Run) -> Self {
        let (left, top, right, bottom) = (run.start, run.row, run.end, run.row + 1);
        Self { left, top, right, bottom, area: 0, peak: f32::NEG_INFINITY, weight: 0.0, weighted_x: 0.0, weighted_y: 0.0 }
    }

    fn add(&mut self, run: &Run, values: &[f32], threshold: f32) {
        self.left = self.left.min(run.start);
        self.right = self.right.max(run.end);
        self.bottom = self.bottom.max(run.row + 1);
        self.area += run.end - run.start;
        let base = f64::from(threshold.max(f32::MIN));
        let (mut weight, mut weighted_x) = (0.0, 0.0);
        for (x, &value) in (run.start..).zip(values) {
            self.peak = self.peak.max(value);
            weight += f64::from(value) - base;
            weighted_x += (f64::from(value) - base) * (f64::from(x) + 0.5);
        }
        self.weight += weight;
        self.weighted_x += weighted_x;
        self.weighted_y += weight * (f64::from(run.row) + 0.5);
    }

    fn region(&self, map: &AnomalyMap) -> Region {
        let (x, y) = ((self.weighted_x / self.weight) as f32, (self.weighted_y / self.weight) as f32);
        let bbox = [self.left, self.top, self.right - self.left, self.bottom - self.top];
        Region { bbox, area: self.area, peak: self.peak, place: Place::of(x, y, map.width(), map.height()) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use image::{GenericImage, GrayImage, Luma};
    use imageproc::region_labelling::{Connectivity, connected_components};
    use proptest::prelude::*;

    use super::*;

    fn map(width: u32, rows: &[&str]) -> AnomalyMap {
        let values = rows.concat().bytes().map(|digit| f32::from(digit - b'0') / 10.0).collect();
        AnomalyMap::new(width, rows.len() as u32, values).unwrap()
    }

    #[test]
    fn corners_connect_and_the_highest_peak_comes_first() {
        let found = regions(&map(9, &["600000007", "060000007", "000000000", "000000000", "000090000", "000000000"]), 0.5);
        assert_eq!(found.iter().map(|region| region.bbox).collect::<Vec<_>>(), [[4, 4, 1, 1], [8, 0, 1, 2], [0, 0, 2, 2]]);
        assert_eq!(found.iter().map(|region| region.area).collect::<Vec<_>>(), [1, 2, 2]);
        assert_eq!(found.iter().map(|region| region.place).collect::<Vec<_>>(), [Place::Bottom, Place::TopRight, Place::TopLeft]);
    }

    #[test]
    fn a_ring_and_a_fork_are_one_region_each() {
        assert_eq!(regions(&map(5, &["99999", "90009", "90909", "90009", "99999"]), 0.5).len(), 2);
        assert_eq!(regions(&map(5, &["90909", "90909", "99999"]), 0.5).len(), 1);
        assert_eq!(regions(&map(5, &["99999", "90909", "90909"]), 0.5).len(), 1);
    }

    #[test]
    fn the_place_follows_the_weight() {
        let found = regions(&map(6, &["666669"]), 0.59);
        assert_eq!((found[0].bbox, found[0].place), ([0, 0, 6, 1], Place::Right));
    }

    #[test]
    fn thresholds_are_exclusive_and_may_be_anything() {
        let map = map(3, &["555"]);
        assert!(regions(&map, 0.5).is_empty());
        assert!(regions(&map, f32::NAN).is_empty());
        assert!(regions(&map, f32::INFINITY).is_empty());
        let all = regions(&map, f32::NEG_INFINITY);
        assert_eq!((all[0].area, all[0].place), (3, Place::Center));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn regions_are_the_connected_components(width in 1..24u32, height in 1..24u32, seed in prop::collection::vec(0..10u8, 24 * 24), threshold in 1..9u8) {
            let levels = &seed[..(width * height) as usize];
            let map = AnomalyMap::new(width, height, levels.iter().map(|&level| f32::from(level)).collect()).unwrap();
            let found = regions(&map, f32::from(threshold));
            let mask = GrayImage::from_raw(width, height, levels.iter().map(|&level| u8::from(level > threshold)).collect()).unwrap();
            // The oracle fails on an image of one pixel, so it gets a dark frame.
            let mut framed = GrayImage::new(width + 2, height + 2);
            framed.copy_from(&mask, 1, 1).unwrap();
            let labels = connected_components(&framed, Connectivity::Eight, Luma([0]));
            let mut areas = vec![0; labels.iter().max().map_or(0, |&last| last as usize)];
            labels.iter().filter(|&&label| label > 0).for_each(|&label| areas[label as usize - 1] += 1);
            let mut found_areas: Vec<u32> = found.iter().map(|region| region.area).collect();
            areas.sort_unstable();
            found_areas.sort_unstable();
            prop_assert_eq!(found_areas, areas);
            for Region { bbox: [x, y, across, down], area, peak, .. } in found {
                prop_assert!(x + across <= width && y + down <= height && area <= across * down && peak > f32::from(threshold));
            }
        }
    }
}
