//! From a drawing to a photograph: uneven light, focus, exposure, sensor noise, compression.

use std::io::Cursor;

use image::{ImageFormat, ImageReader, Rgb, RgbImage, codecs::jpeg::JpegEncoder};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Canvas, noise};

/// A camera and its lamp, fixed by the style.
pub struct Camera {
    gain: f32,
    cast: [f32; 2],
    slope: [f32; 2],
    vignette: f32,
    blur: f32,
    noise: f32,
    grey: bool,
    quality: Option<u8>,
    /// How much the light differs between photographs.
    drift: f32,
}

impl Camera {
    pub fn new(style: u64, grey: bool) -> Self {
        let mut style = ChaCha8Rng::seed_from_u64(style ^ 0xCA3E_12A5);
        Self {
            gain: style.random_range(0.88..1.08),
            cast: [style.random_range(-0.05..0.05), style.random_range(-0.05..0.05)],
            slope: [style.random_range(-0.22..0.22), style.random_range(-0.22..0.22)],
            vignette: style.random_range(0.0..0.28),
            blur: style.random_range(0.0..0.9),
            noise: style.random_range(0.004..0.016),
            grey: grey || style.random_bool(0.15),
            quality: style.random_bool(0.35).then(|| style.random_range(72..95)),
            drift: style.random_range(0.01..0.05),
        }
    }

    /// Takes a photograph of the canvas.
    pub fn shoot(&self, canvas: Canvas, rng: &mut ChaCha8Rng) -> RgbImage {
        let (width, height) = (canvas.width, canvas.height);
        let mut pixels = canvas.pixels;
        blur(&mut pixels, width as usize, height as usize, self.blur * rng.random_range(0.8..1.2));
        let mut drift = |amount: f32| rng.random_range(-amount..amount);
        let gain = self.gain * (1.0 + drift(self.drift));
        let slope = self.slope.map(|value| value + drift(self.drift));
        let cast = [1.0 + self.cast[0] + drift(0.01), 1.0, 1.0 + self.cast[1] + drift(0.01)];
        let seed = rng.random::<u32>();
        let image = RgbImage::from_fn(width, height, |x, y| {
            let (u, v) = (x as f32 / width as f32 - 0.5, y as f32 / height as f32 - 0.5);
            let light = gain * (1.0 + slope[0] * u + slope[1] * v) * (1.0 - self.vignette * 2.0 * (u * u + v * v));
            let mut color = pixels[(y * width + x) as usize];
            if self.grey {
                color = [0.3 * color[0] + 0.59 * color[1] + 0.11 * color[2]; 3];
            }
            // Four bytes of a hash, summed to near-normal noise: shared brightness noise, and a little of each channel's own.
            let mixed = noise::hash(x as i32, y as i32, seed);
            let bytes = mixed.to_le_bytes().map(|byte| f32::from(byte) / 127.5 - 1.0);
            let shared = (bytes[0] + bytes[1] + bytes[2] + bytes[3]) * 0.87;
            let mut values = [0u8; 3];
            for (channel, value) in values.iter_mut().enumerate() {
                let tint = if self.grey { 1.0 } else { cast[channel] };
                let own = if self.grey { 0.0 } else { bytes[channel] - bytes[3] };
                let level = color[channel] * light * tint;
                let sensor = self.noise * (0.6 + level.clamp(0.0, 1.0)) * (shared + 0.5 * own);
                *value = ((level + sensor).clamp(0.0, 1.0) * 255.0 + 0.5) as u8;
            }
            Rgb(values)
        });
        self.quality.and_then(|quality| compressed(&image, quality)).unwrap_or(image)
    }
}

/// Three-tap smoothing along rows and columns.
fn blur(pixels: &mut [[f32; 3]], width: usize, height: usize, amount: f32) {
    let side = 0.25 * amount.clamp(0.0, 1.2);
    if side < 0.02 || width < 3 || height < 3 {
        return;
    }
    let blend = |before: [f32; 3], here: [f32; 3], after: [f32; 3]| {
        [0, 1, 2].map(|channel| here[channel] + side * (before[channel] + after[channel] - 2.0 * here[channel]))
    };
    for row in pixels.chunks_exact_mut(width) {
        let mut before = row[0];
        for x in 1..width - 1 {
            let here = row[x];
            row[x] = blend(before, here, row[x + 1]);
            before = here;
        }
    }
    let mut before = pixels[..width].to_vec();
    for y in 1..height - 1 {
        for x in 0..width {
            let here = pixels[y * width + x];
            pixels[y * width + x] = blend(before[x], here, pixels[(y + 1) * width + x]);
            before[x] = here;
        }
    }
}

fn compressed(image: &RgbImage, quality: u8) -> Option<RgbImage> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, quality).encode_image(image).ok()?;
    let reader = ImageReader::with_format(Cursor::new(bytes), ImageFormat::Jpeg);
    Some(reader.decode().ok()?.to_rgb8())
}
