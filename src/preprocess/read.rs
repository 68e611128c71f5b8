//! Image files to pixels, within limits.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::Path,
};

use image::{
    DynamicImage, ImageBuffer, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, Luma, LumaA, Pixel, Rgb, RgbImage, Rgba,
    error::{DecodingError, ImageFormatHint},
};

use super::{fit::check_min_side, jpeg};
use crate::error::{Error, Result};

/// Longest side in pixels that is read.
pub const MAX_SIDE: u32 = 32_768;
/// Most pixels that are read.
pub const MAX_PIXELS: u64 = 250_000_000;
/// Most bytes that an image may take when decoded: [`MAX_PIXELS`] at four channels of 16 bits.
pub const MAX_DECODED_BYTES: u64 = 8 * MAX_PIXELS;

/// What to do about the orientation that a camera wrote into the file (EXIF).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Orientation {
    /// Turn and mirror the image as it says: the photograph as people see it.
    #[default]
    Apply,
    /// The pixels as they are stored. Source: the reference.
    Ignore,
}

/// How values of 16 bits become values of 8.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Narrowing {
    /// In proportion: 65,535 becomes 255. The image keeps its 16 bits until [`to_rgb`].
    #[default]
    Scale,
    /// As Pillow 10's `convert("RGB")`: grey above 255 becomes 255, colours keep their upper byte. Source: the reference.
    Clip,
}

/// How to read an image file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReadOptions {
    /// What to do about the camera's orientation.
    pub orientation: Orientation,
    /// How values of 16 bits become values of 8.
    pub narrowing: Narrowing,
}

impl ReadOptions {
    /// The reference's behaviour: orientation ignored, 16-bit grey clipped.
    pub fn original() -> Self {
        Self { orientation: Orientation::Ignore, narrowing: Narrowing::Clip }
    }
}

/// Reads an image file: the format by its content, whatever its name, and the camera's orientation applied.
///
/// # Errors
/// [`Error::Io`] for a file that can't be read, [`Error::Image`] for one that is no image or is cut off,
/// [`Error::ImageSize`] for one under [`MIN_SIDE`](super::MIN_SIDE), over [`MAX_SIDE`] or over [`MAX_PIXELS`],
/// before memory is taken for it. All name the file.
pub fn read_image(path: impl AsRef<Path>) -> Result<DynamicImage> {
    read_image_with(path, ReadOptions::default())
}

/// Reads an image file with other options than [`read_image`].
///
/// # Errors
/// As [`read_image`].
pub fn read_image_with(path: impl AsRef<Path>, options: ReadOptions) -> Result<DynamicImage> {
    let path = path.as_ref();
    let io_error = |source| Error::io(path, source);
    let undecodable = |source| Error::Image { path: path.into(), source };
    let mut file = BufReader::new(File::open(path).map_err(io_error)?);
    if file.fill_buf().map_err(io_error)?.is_empty() {
        return Err(undecodable(ImageError::Decoding(DecodingError::new(ImageFormatHint::Unknown, "the file is empty"))));
    }
    let mut reader = ImageReader::new(file).with_guessed_format().map_err(io_error)?;
    if reader.format() == Some(ImageFormat::Jpeg) {
        let mut bytes = Vec::new();
        reader.into_inner().read_to_end(&mut bytes).map_err(io_error)?;
        return decode(jpeg::decoder(bytes).map_err(undecodable)?, path, options);
    }
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_DECODED_BYTES);
    reader.limits(limits);
    decode(reader.into_decoder().map_err(undecodable)?, path, options)
}

fn decode(mut decoder: impl ImageDecoder, path: &Path, options: ReadOptions) -> Result<DynamicImage> {
    let undecodable = |source| Error::Image { path: path.into(), source };
    check_size(decoder.dimensions(), decoder.total_bytes()).map_err(|error| error.in_file(path))?;
    let orientation = decoder.orientation().map_err(undecodable)?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(undecodable)?;
    if options.orientation == Orientation::Apply {
        image.apply_orientation(orientation);
    }
    Ok(match options.narrowing {
        Narrowing::Scale => image,
        Narrowing::Clip => clip(image),
    })
}

fn check_size((width, height): (u32, u32), bytes: u64) -> Result<()> {
    check_min_side(width, height)?;
    let reason = if width.max(height) > MAX_SIDE {
        format!("is too large; no side may exceed {MAX_SIDE}")
    } else if u64::from(width) * u64::from(height) > MAX_PIXELS {
        format!("is too large; it may have at most {MAX_PIXELS} pixels")
    } else if bytes > MAX_DECODED_BYTES {
        format!("is too large; it takes {bytes} bytes in memory of at most {MAX_DECODED_BYTES}")
    } else {
        return Ok(());
    };
    Err(Error::image_size((width, height), reason))
}

fn clip(image: DynamicImage) -> DynamicImage {
    let upper_byte = |value: u16| (value >> 8) as u8;
    match image {
        DynamicImage::ImageLuma16(grey) => DynamicImage::ImageLuma8(map_values::<Luma<u16>, Luma<u8>>(&grey, |value| value.min(255) as u8)),
        DynamicImage::ImageLumaA16(grey) => DynamicImage::ImageLumaA8(map_values::<LumaA<u16>, LumaA<u8>>(&grey, upper_byte)),
        DynamicImage::ImageRgb16(color) => DynamicImage::ImageRgb8(map_values::<Rgb<u16>, Rgb<u8>>(&color, upper_byte)),
        DynamicImage::ImageRgba16(color) => DynamicImage::ImageRgba8(map_values::<Rgba<u16>, Rgba<u8>>(&color, upper_byte)),
        other => other,
    }
}

/// The same image with every value of every channel replaced.
fn map_values<From, To>(image: &ImageBuffer<From, Vec<u16>>, narrow: impl Fn(u16) -> u8) -> ImageBuffer<To, Vec<u8>>
where
    From: Pixel<Subpixel = u16>,
    To: Pixel<Subpixel = u8>,
{
    let mut output = ImageBuffer::new(image.width(), image.height());
    for (to, &from) in output.iter_mut().zip(image.as_raw()) {
        *to = narrow(from);
    }
    output
}

/// Any image as 8-bit RGB: alpha is dropped, not composited; grey is repeated; 16 bits are scaled to 8; floating-point
/// values are clamped to `[0, 1]` (not-a-number becomes white) and scaled.
pub fn to_rgb(image: &DynamicImage) -> RgbImage {
    image.to_rgb8()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn values_become_eight_bits() {
        let grey = |values: Vec<u16>| DynamicImage::ImageLuma16(ImageBuffer::from_raw(values.len() as u32, 1, values).unwrap());
        let image = grey(vec![0, 128, 129, 255, 256, 32_768, 65_535]);
        assert_eq!(to_rgb(&image).as_raw().iter().step_by(3).copied().collect::<Vec<_>>(), [0, 0, 1, 1, 1, 128, 255]);
        assert_eq!(to_rgb(&clip(image)).as_raw().iter().step_by(3).copied().collect::<Vec<_>>(), [0, 128, 129, 255, 255, 255, 255]);
        let color = DynamicImage::ImageRgba16(ImageBuffer::from_raw(1, 1, vec![255, 256, 65_535, 0]).unwrap());
        assert_eq!(to_rgb(&clip(color)).as_raw(), &[0, 1, 255]);
        let float = DynamicImage::ImageRgb32F(ImageBuffer::from_raw(1, 1, vec![-3.0, 0.5, f32::INFINITY]).unwrap());
        assert_eq!(to_rgb(&float).as_raw(), &[0, 128, 255]);
    }

    #[test]
    fn alpha_is_dropped() {
        let image = DynamicImage::ImageRgba8(ImageBuffer::from_raw(1, 1, vec![9, 8, 7, 0]).unwrap());
        assert_eq!(to_rgb(&image).as_raw(), &[9, 8, 7]);
    }

    #[test]
    fn limits_are_named() {
        assert!(check_size((MAX_SIDE, 7_000), 3 * 7_000 * u64::from(MAX_SIDE)).is_ok());
        for (size, bytes, named) in
            [((7, 900), 1, "at least 8"), ((32_769, 8), 1, "32768"), ((20_000, 20_000), 1, "250000000"), ((8, 8), u64::MAX, "bytes")]
        {
            let error = check_size(size, bytes).unwrap_err();
            assert!(error.to_string().contains(named), "{error}");
        }
    }
}
