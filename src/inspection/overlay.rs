//! A picture for people: the photograph, its anomalous parts coloured and outlined.

use std::array;

use image::{Rgb, RgbImage};
use rayon::prelude::*;

use super::Region;

/// Values up to the first stay as in the photograph; from the second on the colour is as opaque as it gets.
const FADE: [f32; 2] = [0.25, 0.75];
const MAX_OPACITY: f32 = 0.72;
/// Colours of equal steps of value from 0 to 1, of rising lightness: dark purple, red, orange, bright yellow.
const COLORS: [[f32; 3]; 6] =
    [[60.0, 9.0, 101.0], [110.0, 14.0, 109.0], [187.0, 55.0, 84.0], [227.0, 89.0, 51.0], [249.0, 149.0, 10.0], [252.0, 240.0, 90.0]];
const OUTLINE: Rgb<u8> = Rgb([0, 255, 255]);
const OUTLINE_EDGE: Rgb<u8> = Rgb([0, 0, 0]);
/// An outline is one pixel wide for each of so many pixels of the image's long side, within the limits.
const PIXELS_A_LINE: u32 = 250;
const LINE_WIDTHS: [u32; 2] = [1, 3];

/// `values` has one value a pixel of `image`.
pub(super) fn draw(values: &[f32], image: &RgbImage, regions: &[Region]) -> RgbImage {
    let table: [([f32; 3], f32); 256] = array::from_fn(|level| blend(level as f32 / 255.0));
    let mut output = image.clone();
    let width = image.width() as usize;
    output.par_chunks_exact_mut((3 * width).max(3)).zip(values.par_chunks(width.max(1))).for_each(|(pixels, values)| {
        for (pixel, value) in pixels.as_chunks_mut::<3>().0.iter_mut().zip(values) {
            let (color, keep) = table[(value.clamp(0.0, 1.0) * 255.0).round() as usize];
            if keep < 1.0 {
                *pixel = array::from_fn(|channel| (f32::from(pixel[channel]) * keep + color[channel]).round() as u8);
            }
        }
    });
    for region in regions {
        outline(&mut output, region.bbox);
    }
    output
}

/// A value's colour times its opacity, and the share of the photograph that stays.
fn blend(value: f32) -> ([f32; 3], f32) {
    let along = ((value - FADE[0]) / (FADE[1] - FADE[0])).clamp(0.0, 1.0);
    let opacity = MAX_OPACITY * along * along * (3.0 - 2.0 * along);
    let at = value * (COLORS.len() - 1) as f32;
    let first = (at as usize).min(COLORS.len() - 2);
    let share = at - first as f32;
    (array::from_fn(|channel| opacity * (COLORS[first][channel] * (1.0 - share) + COLORS[first + 1][channel] * share)), 1.0 - opacity)
}

/// A bright line between two dark ones, around the box where there is room.
fn outline(image: &mut RgbImage, bbox: [u32; 4]) {
    let line = i64::from((image.width().max(image.height()) / PIXELS_A_LINE).clamp(LINE_WIDTHS[0], LINE_WIDTHS[1]));
    let edge = (line + 1) / 2;
    let thickness = edge + line + edge;
    let [left, top, width, height] = bbox.map(i64::from);
    let (x, y) = (around(left, width, thickness, image.width()), around(top, height, thickness, image.height()));
    frame(image, x, y, thickness, OUTLINE_EDGE);
    frame(image, (x.0 + edge, x.1 - edge), (y.0 + edge, y.1 - edge), line, OUTLINE);
}

/// From where to before where a frame around `length` pixels goes: inside the image, with a hole where there is room.
fn around(start: i64, length: i64, thickness: i64, side: u32) -> (i64, i64) {
    let shortest = 3 * thickness;
    let first = (start - thickness).max(0);
    let end = (start + length + thickness).max(first + shortest).min(side.into());
    (first.min(end - shortest).max(0), end)
}

/// Fills the border, `thickness` wide, of a rectangle from the first to before the second of `x` and `y`.
fn frame(image: &mut RgbImage, x: (i64, i64), y: (i64, i64), thickness: i64, color: Rgb<u8>) {
    for row in y.0.max(0)..y.1.min(image.height().into()) {
        let whole = row < y.0 + thickness || row >= y.1 - thickness;
        let spans = if whole { [x, (0, 0)] } else { [(x.0, x.1.min(x.0 + thickness)), (x.0.max(x.1 - thickness), x.1)] };
        for (start, end) in spans {
            (start.max(0)..end.min(image.width().into())).for_each(|column| image.put_pixel(column as u32, row as u32, color));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{AnomalyMap, Place};

    #[test]
    fn normal_parts_stay_and_anomalous_ones_take_colour() {
        let image = RgbImage::from_fn(64, 48, |x, y| Rgb([x as u8, y as u8, 100]));
        let map = AnomalyMap::new(64, 48, (0..64 * 48).map(|index| if index % 64 < 32 { 0.2 } else { 1.0 }).collect()).unwrap();
        let drawn = map.overlay(&image, &[]).unwrap();
        assert_eq!(drawn.get_pixel(10, 10), image.get_pixel(10, 10));
        let Rgb([red, green, _]) = *drawn.get_pixel(50, 10);
        assert!(red > 150 && green > 150, "bright yellow");
    }

    #[test]
    fn outlines_go_around_the_box_and_stay_inside_the_image() {
        let image = RgbImage::from_pixel(100, 80, Rgb([128; 3]));
        let map = AnomalyMap::new(10, 8, vec![0.0; 80]).unwrap();
        for bbox in [[40, 30, 10, 10], [0, 0, 100, 80], [0, 0, 1, 1], [99, 79, 1, 1]] {
            let drawn = map.overlay(&image, &[Region::new(bbox, 1, 1.0, Place::Center)]).unwrap();
            let count = |color: Rgb<u8>| drawn.pixels().filter(|pixel| **pixel == color).count();
            assert!(count(OUTLINE) > 10 && count(OUTLINE_EDGE) > count(OUTLINE), "{bbox:?}");
        }
        let drawn = map.overlay(&image, &[Region::new([40, 30, 10, 10], 1, 1.0, Place::Center)]).unwrap();
        assert!((40..50).all(|x| (30..40).all(|y| drawn.get_pixel(x, y) == &Rgb([128; 3]))), "the box itself stays visible");
    }
}
