//! One value a pixel.

use image::{GrayImage, RgbImage};

use super::{
    Region, overlay,
    resample::{Axis, resample},
};
use crate::{
    error::{Error, Result, check_finite},
    preprocess::Covered,
};

/// How anomalous each pixel of an image is: `height` rows of `width` finite values.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct AnomalyMap {
    width: u32,
    height: u32,
    values: Vec<f32>,
}

impl AnomalyMap {
    /// A map of `width` x `height` values, row by row.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] where a side is 0 or the number of values is not `width * height`,
    /// [`Error::NotFinite`] where a value is not a finite number.
    pub fn new(width: u32, height: u32, values: Vec<f32>) -> Result<Self> {
        check_sides(width, height)?;
        if values.len() as u64 != u64::from(width) * u64::from(height) {
            return Err(invalid(format!("{} values do not make {width}x{height} pixels", values.len())));
        }
        check_finite("anomaly map", &values)?;
        Ok(Self { width, height, values })
    }

    /// Pixels across.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Pixels down.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// All values, row by row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// All values, row by row, without a copy.
    pub fn into_values(self) -> Vec<f32> {
        self.values
    }

    /// The value of a pixel, if there is such a pixel.
    pub fn get(&self, x: u32, y: u32) -> Option<f32> {
        let inside = x < self.width && y < self.height;
        inside.then(|| self.values.get(y as usize * self.width as usize + x as usize).copied()).flatten()
    }

    /// The highest value.
    pub fn max(&self) -> f32 {
        self.values.iter().copied().fold(f32::NEG_INFINITY, f32::max)
    }

    /// The map at another size: bilinear between pixel centres (half-pixel convention, as `align_corners = false`),
    /// edges repeated. Shrinking picks values and does not average them.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] where a side is 0.
    pub fn resize(&self, width: u32, height: u32) -> Result<Self> {
        self.place_into(Covered::whole(width, height), width, height)
    }

    /// A map of `width` x `height` pixels that shows this one in the rectangle `covered`, resized as [`AnomalyMap::resize`]
    /// does, and 0 around it: the way back from a cropped view to the original image.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] where a side is 0 or `covered` is not a rectangle.
    pub fn place_into(&self, covered: Covered, width: u32, height: u32) -> Result<Self> {
        check_sides(width, height)?;
        let Covered { x, y, width: across, height: down } = covered;
        if ![x, y, across, down].iter().all(|value| value.is_finite()) || across <= 0.0 || down <= 0.0 {
            return Err(invalid(format!("{covered:?} is not a rectangle")));
        }
        let columns = Axis { source: self.width as usize, start: x.into(), length: across.into() }.taps(width);
        let rows = Axis { source: self.height as usize, start: y.into(), length: down.into() }.taps(height);
        Ok(Self { width, height, values: resample(&self.values, self.width as usize, &columns, &rows) })
    }

    /// The map as a grey image: values from 0 to 1 become levels from 0 to 255, others are clamped.
    pub fn to_luma8(&self) -> GrayImage {
        let levels = self.values.iter().map(|value| (value.clamp(0.0, 1.0) * 255.0).round() as u8);
        let mut image = GrayImage::new(self.width, self.height);
        image.iter_mut().zip(levels).for_each(|(pixel, level)| *pixel = level);
        image
    }

    /// The photograph with the anomalous parts coloured, and `regions` outlined.
    ///
    /// The map is calibrated (`[0, 1]`); it is resized to the image where their sizes differ. Parts with low values stay as in
    /// the photograph; from there, colours go over red and orange to bright yellow. `regions` are in the image's pixels.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for an image without pixels.
    pub fn overlay(&self, image: &RgbImage, regions: &[Region]) -> Result<RgbImage> {
        if image.dimensions() == (self.width, self.height) {
            return Ok(overlay::draw(&self.values, image, regions));
        }
        Ok(overlay::draw(&self.resize(image.width(), image.height())?.values, image, regions))
    }
}

fn check_sides(width: u32, height: u32) -> Result<()> {
    if width == 0 || height == 0 {
        return Err(invalid(format!("{width}x{height} pixels are none")));
    }
    Ok(())
}

fn invalid(reason: String) -> Error {
    Error::InvalidConfig { what: "anomaly map", reason: reason.into() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Interpolation rounds: a value may leave the range of its neighbours by a few units in the last place.
    const ROUNDING: f32 = 1e-6;

    fn map(width: u32, height: u32, values: &[f32]) -> AnomalyMap {
        AnomalyMap::new(width, height, values.to_vec()).unwrap()
    }

    fn any_map() -> impl Strategy<Value = AnomalyMap> {
        (1..12u32, 1..12u32).prop_flat_map(|(width, height)| {
            prop::collection::vec(0.0..1.0f32, (width * height) as usize)
                .prop_map(move |values| AnomalyMap::new(width, height, values).unwrap())
        })
    }

    #[test]
    fn values_are_checked() {
        assert!(AnomalyMap::new(2, 2, vec![0.0; 3]).unwrap_err().to_string().contains("3 values do not make 2x2"));
        assert!(AnomalyMap::new(0, 2, vec![]).is_err());
        let error = AnomalyMap::new(2, 2, vec![0.0, f32::NAN, 1.0, f32::INFINITY]).unwrap_err();
        assert!(matches!(error, Error::NotFinite { count: 2, first: 1, .. }), "{error:?}");
    }

    #[test]
    fn pixels_are_read_row_by_row() {
        let map = map(2, 2, &[0.0, 1.0, 2.0, -3.0]);
        assert_eq!([map.get(1, 0), map.get(0, 1), map.get(2, 0), map.get(0, 2)], [Some(1.0), Some(2.0), None, None]);
        assert_eq!(map.max(), 2.0);
        assert_eq!(map.to_luma8().as_raw(), &[0, 255, 255, 0]);
    }

    #[test]
    fn resizing_uses_pixel_centres() {
        let resized = map(2, 1, &[0.0, 1.0]).resize(4, 2).unwrap();
        assert_eq!(resized.values(), &[0.0, 0.25, 0.75, 1.0, 0.0, 0.25, 0.75, 1.0]);
    }

    #[test]
    fn a_cropped_view_goes_back_to_its_place() {
        let covered = Covered { x: 2.0, y: 1.0, width: 4.0, height: 2.0 };
        let placed = map(2, 1, &[0.25, 0.75]).place_into(covered, 7, 4).unwrap();
        let row = [0.0, 0.0, 0.25, 0.375, 0.625, 0.75, 0.0];
        assert_eq!(placed.values(), [&[0.0; 7], &row, &row, &[0.0; 7]].map(|row| row.as_slice()).concat());
    }

    #[test]
    fn bad_rectangles_and_sizes_are_refused() {
        let map = map(1, 1, &[0.5]);
        assert!(map.resize(0, 4).is_err());
        for covered in [Covered { x: f32::NAN, ..Covered::whole(1, 1) }, Covered { width: 0.0, ..Covered::whole(1, 1) }] {
            assert!(map.place_into(covered, 4, 4).is_err());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn resizing_stays_within_the_values(map in any_map(), width in 1..40u32, height in 1..40u32) {
            let resized = map.resize(width, height).unwrap();
            let low = map.values().iter().copied().fold(f32::INFINITY, f32::min);
            prop_assert!(resized.values().iter().all(|&value| value >= low - ROUNDING && value <= map.max()));
        }

        #[test]
        fn higher_values_stay_higher(map in any_map(), width in 1..40u32, height in 1..40u32, by in 0.0..1.0f32) {
            let higher = AnomalyMap::new(map.width(), map.height(), map.values().iter().map(|value| value + by).collect()).unwrap();
            let (low, high) = (map.resize(width, height).unwrap(), higher.resize(width, height).unwrap());
            prop_assert!(low.values().iter().zip(high.values()).all(|(low, high)| *high >= low - ROUNDING));
        }

        #[test]
        fn the_same_size_is_the_same_map(map in any_map()) {
            prop_assert_eq!(map.resize(map.width(), map.height()).unwrap(), map);
        }

        #[test]
        fn placed_maps_are_zero_outside(map in any_map(), x in 0..20u32, y in 0..20u32, across in 1..20u32, down in 1..20u32) {
            let covered = Covered { x: x as f32, y: y as f32, width: across as f32, height: down as f32 };
            let placed = map.place_into(covered, 40, 40).unwrap();
            for row in 0..40 {
                for column in 0..40 {
                    let inside = (x..x + across).contains(&column) && (y..y + down).contains(&row);
                    let value = placed.get(column, row).unwrap();
                    let limit = if inside { map.max() } else { 0.0 };
                    prop_assert!(value <= limit);
                }
            }
        }
    }
}
