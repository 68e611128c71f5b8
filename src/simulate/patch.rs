//! The paper's anomaly: a piece of another normal image, resized, placed and blended.

use image::{GenericImage, GrayImage, Luma, RgbImage, imageops};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{
    Area, Blend, Canvas, Cloning, Edit, SimulateOptions, bounding_box,
    outline::{Blob, Polygon},
    seamless_clone, set,
    visible::luminance,
};
use crate::error::{Error, Result};

/// Shortest side of a patch in pixels: the mask loses three at each side when it is blended.
const SHORTEST: u32 = 10;

/// Cuts a patch from `source` and joins it to the image; nothing where its place is taken.
pub(super) fn cut(rng: &mut ChaCha8Rng, canvas: &Canvas<'_>, source: &RgbImage, options: &SimulateOptions) -> Result<Option<Edit>> {
    let (image_width, image_height) = canvas.image.dimensions();
    let (width, height) = (side(rng, image_width, options), side(rng, image_height, options));
    let area = Area { x: rng.random_range(0..=image_width - width), y: rng.random_range(0..=image_height - height), width, height };
    let mut piece = piece(rng, source, (width, height), options);
    // A grey camera sees no colour, whatever it looks at.
    if canvas.is_grey() {
        piece.pixels_mut().for_each(|pixel| pixel.0 = [luminance(pixel.0).round() as u8; 3]);
    }
    let mask = shape(rng, width, height, options.irregular);
    if !canvas.is_free(area) {
        return Ok(None);
    }
    let ground = imageops::crop_imm(canvas.image, area.x, area.y, width, height).to_image();
    let pixels = match options.blend {
        Blend::CutPaste => paste(&piece, &mask, &ground),
        Blend::Normal => blend(&piece, &mask, &ground, Cloning::Normal)?,
        Blend::Mixed => blend(&piece, &mask, &ground, Cloning::Mixed)?,
    };
    Ok(Some(Edit { area, pixels, footprint: mask }))
}

/// A side in pixels; the square of a uniform number makes small ones likelier.
fn side(rng: &mut ChaCha8Rng, whole: u32, options: &SimulateOptions) -> u32 {
    let (from, to) = (*options.side.start(), *options.side.end());
    let share = from + (to - from) * rng.random::<f32>().powi(2);
    ((share * whole as f32).round() as u32).clamp(SHORTEST, whole)
}

/// A random rectangle of the source, resized to `size`, mirrored half of the time.
fn piece(rng: &mut ChaCha8Rng, source: &RgbImage, size: (u32, u32), options: &SimulateOptions) -> RgbImage {
    let scale = rng.random_range(options.scale.clone());
    let cut = |side: u32, limit: u32| ((side as f32 / scale).round() as u32).clamp(1, limit);
    let (width, height) = (cut(size.0, source.width()), cut(size.1, source.height()));
    let (x, y) = (rng.random_range(0..=source.width() - width), rng.random_range(0..=source.height() - height));
    let view = imageops::crop_imm(source, x, y, width, height);
    let resized = imageops::resize(&*view, size.0, size.1, imageops::FilterType::Triangle);
    if rng.random() { imageops::flip_horizontal(&resized) } else { resized }
}

/// 255 in the patch's shape: a rectangle, or with probability `irregular` an ellipse, a ragged blob or a polygon.
fn shape(rng: &mut ChaCha8Rng, width: u32, height: u32, irregular: f32) -> GrayImage {
    if rng.random::<f32>() >= irregular {
        return GrayImage::from_pixel(width, height, Luma([255]));
    }
    let kind = rng.random_range(0..3);
    let blob = Blob::new(rng, [1.0, 1.0], if kind == 0 { 0.0 } else { 0.22 });
    let reach = blob.reach();
    let polygon = Polygon::new(rng);
    let (half_width, half_height) = (width as f32 / 2.0, height as f32 / 2.0);
    GrayImage::from_fn(width, height, |x, y| {
        let (u, v) = ((x as f32 + 0.5) / half_width - 1.0, (y as f32 + 0.5) / half_height - 1.0);
        let inside = if kind == 2 { polygon.contains(u, v) } else { blob.distance(u * reach, v * reach) < 1.0 };
        Luma([if inside { 255 } else { 0 }])
    })
}

fn paste(piece: &RgbImage, mask: &GrayImage, ground: &RgbImage) -> RgbImage {
    RgbImage::from_fn(piece.width(), piece.height(), |x, y| {
        if mask.get_pixel(x, y).0[0] > 0 { *piece.get_pixel(x, y) } else { *ground.get_pixel(x, y) }
    })
}

/// Poisson editing; the ring that a seamless clone leaves out is added around the patch.
fn blend(piece: &RgbImage, mask: &GrayImage, ground: &RgbImage, cloning: Cloning) -> Result<RgbImage> {
    let (width, height) = mask.dimensions();
    let mut ringed = GrayImage::new(width + 2, height + 2);
    let mut source = RgbImage::new(width + 2, height + 2);
    let failed = |source| Error::component("simulation", source);
    ringed.copy_from(mask, 1, 1).map_err(failed)?;
    source.copy_from(piece, 1, 1).map_err(failed)?;
    let Some([left, top, across, down]) = bounding_box(set(mask)) else {
        return Ok(ground.clone());
    };
    let center = (left + across / 2, top + down / 2);
    seamless_clone(&source, &ringed, ground, center, cloning)
}
