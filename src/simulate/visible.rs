//! Which pixels an anomaly really changed, and whether somebody could see it.

use image::{GrayImage, Luma, RgbImage, imageops};

use super::{Canvas, Defect, Edit};

/// Share of the meant pixels that have to change for an anomaly to count.
const SHARE: f32 = 0.35;
/// Fewest pixels that have to change.
const FEWEST: usize = 12;
/// Half side of the window in which brightness and texture of a patch are compared with the ground's.
const REACH: usize = 2;
/// Change of a window's mean or deviation, in levels of 255, that can be seen on an even ground.
const SEEN: f32 = 7.0;

/// Mask of the changed pixels over the edit's area; nothing where the anomaly can't be seen. No pixel may be left of what is all speckle.
pub(super) fn change(canvas: &Canvas<'_>, edit: &Edit, defect: Defect, threshold: u8) -> Option<GrayImage> {
    let area = edit.area;
    let before = imageops::crop_imm(canvas.image, area.x, area.y, area.width, area.height).to_image();
    let difference = differences(&before, &edit.pixels);
    let mut changed = GrayImage::from_fn(area.width, area.height, |x, y| {
        let meant = defect == Defect::Patch || edit.footprint.get_pixel(x, y).0[0] > 0;
        Luma([if meant && difference.get_pixel(x, y).0[0] > threshold { 255 } else { 0 }])
    });
    if defect == Defect::Patch {
        changed = without_speckle(&changed, &difference);
    }
    let meant = edit.footprint.iter().filter(|value| **value > 0).count();
    let seen = if defect == Defect::Patch { perceptible(&before, edit) } else { changed.iter().filter(|value| **value > 0).count() };
    let enough = seen >= FEWEST && seen as f32 >= SHARE * meant as f32;
    (enough && canvas.windows().lack(canvas.image, edit)).then_some(changed)
}

/// Largest difference of the three channels at each pixel.
fn differences(before: &RgbImage, after: &RgbImage) -> GrayImage {
    GrayImage::from_fn(before.width(), before.height(), |x, y| {
        let pairs = before.get_pixel(x, y).0.into_iter().zip(after.get_pixel(x, y).0);
        Luma([pairs.map(|(before, after)| before.abs_diff(after)).max().unwrap_or(0)])
    })
}

/// Majority of each 3x3 window: noise of two photographs differs in single pixels, and agrees by chance in others. Unchanged pixels stay out.
fn without_speckle(changed: &GrayImage, difference: &GrayImage) -> GrayImage {
    let (width, height) = changed.dimensions();
    GrayImage::from_fn(width, height, |x, y| {
        let rows = y.saturating_sub(1)..=(y + 1).min(height - 1);
        let window = rows.flat_map(|v| (x.saturating_sub(1)..=(x + 1).min(width - 1)).map(move |u| (u, v)));
        let (set, all) = window.fold((0, 0), |(set, all), (u, v)| (set + u32::from(changed.get_pixel(u, v).0[0] > 0), all + 1));
        Luma([if 2 * set > all && difference.get_pixel(x, y).0[0] > 0 { 255 } else { 0 }])
    })
}

/// Counts the footprint's pixels where the mean or the deviation of the surroundings changed: a patch of the same even or random texture has none.
fn perceptible(before: &RgbImage, edit: &Edit) -> usize {
    let (old, new) = (statistics(before), statistics(&edit.pixels));
    let changed = old.iter().zip(&new).map(|(old, new)| {
        // On a strong texture a change has to be stronger to be seen.
        let needed = SEEN.max(0.5 * old[1].min(new[1]));
        (old[0] - new[0]).abs() > needed || (old[1] - new[1]).abs() > needed
    });
    changed.zip(edit.footprint.iter()).filter(|(changed, meant)| *changed && **meant > 0).count()
}

/// Mean and standard deviation of the luminance about each pixel, from integral images.
fn statistics(image: &RgbImage) -> Vec<[f32; 2]> {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let stride = width + 1;
    let mut sums = vec![[0.0f64; 2]; stride * (height + 1)];
    for (y, row) in image.rows().enumerate() {
        let mut line = [0.0; 2];
        for (x, pixel) in row.enumerate() {
            let value = f64::from(luminance(pixel.0));
            line = [line[0] + value, line[1] + value * value];
            let above = sums[y * stride + x + 1];
            sums[(y + 1) * stride + x + 1] = [above[0] + line[0], above[1] + line[1]];
        }
    }
    let window = |index: usize| {
        let (x, y) = (index % width, index / width);
        let (left, right) = (x.saturating_sub(REACH), (x + REACH + 1).min(width));
        let (top, bottom) = (y.saturating_sub(REACH), (y + REACH + 1).min(height));
        let sum = |part: usize| {
            sums[bottom * stride + right][part] - sums[top * stride + right][part] - sums[bottom * stride + left][part]
                + sums[top * stride + left][part]
        };
        let count = ((right - left) * (bottom - top)) as f64;
        let mean = sum(0) / count;
        [mean as f32, (sum(1) / count - mean * mean).max(0.0).sqrt() as f32]
    };
    (0..width * height).map(window).collect()
}

/// Brightness in `[0, 255]` (ITU-R 601).
pub(super) fn luminance([red, green, blue]: [u8; 3]) -> f32 {
    0.299 * f32::from(red) + 0.587 * f32::from(green) + 0.114 * f32::from(blue)
}

/// Whether an image has next to no colour.
pub(super) fn is_grey(image: &RgbImage) -> bool {
    let spread = |[red, green, blue]: [u8; 3]| u64::from(red.max(green).max(blue) - red.min(green).min(blue));
    image.pixels().map(|pixel| spread(pixel.0)).sum::<u64>() < 3 * u64::from(image.width()) * u64::from(image.height())
}
