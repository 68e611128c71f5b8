//! Crops of real photographs under a free licence; `data/NOTICE` names them.

use image::{RgbImage, imageops};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// A photographed texture.
#[derive(Clone, Debug)]
pub struct Photograph {
    /// The name for descriptions, without an article.
    pub name: &'static str,
    /// Whether a piece of it, put elsewhere on it, can't be told from the rest.
    pub is_irregular: bool,
    image: RgbImage,
}

/// Reads all photographs.
///
/// # Errors
/// What the decoder says of a file that is broken.
pub fn all() -> image::ImageResult<Vec<Photograph>> {
    let files: [(&'static str, bool, &[u8]); 3] = [
        ("brick", false, include_bytes!("data/brick.jpg")),
        ("grass", true, include_bytes!("data/grass.jpg")),
        ("gravel", true, include_bytes!("data/gravel.jpg")),
    ];
    let read = |(name, is_irregular, bytes)| Ok(Photograph { name, is_irregular, image: image::load_from_memory(bytes)?.to_rgb8() });
    files.into_iter().map(read).collect()
}

impl Photograph {
    /// A random crop, sometimes mirrored, resized to the wanted size.
    ///
    /// `style` fixes the crop's share of the photograph, so that two draws of one style show the texture at one scale.
    pub fn draw(&self, style: u64, rng: &mut ChaCha8Rng, width: u32, height: u32) -> RgbImage {
        let share = 0.45 + 0.4 * (style % 8) as f32 / 7.0;
        let (whole_width, whole_height) = self.image.dimensions();
        let scale = share * (whole_width as f32 / width as f32).min(whole_height as f32 / height as f32) * rng.random_range(0.98..1.02);
        let side = |wanted: u32, whole: u32| ((wanted as f32 * scale) as u32).clamp(1, whole);
        let (crop_width, crop_height) = (side(width, whole_width), side(height, whole_height));
        let (x, y) = (rng.random_range(0..=whole_width - crop_width), rng.random_range(0..=whole_height - crop_height));
        let crop = imageops::crop_imm(&self.image, x, y, crop_width, crop_height);
        let mut image = imageops::resize(&*crop, width, height, imageops::FilterType::Triangle);
        if rng.random() {
            imageops::flip_horizontal_in_place(&mut image);
        }
        let gain = rng.random_range(0.94..1.06);
        image.iter_mut().for_each(|value| *value = (f32::from(*value) * gain).round().min(255.0) as u8);
        image
    }
}
