//! Image files that are broken, too large, too small or unusual: a typed error that names the file, or the right pixels.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use anomalygpt::{
    Error,
    preprocess::{Narrowing, Orientation, ReadOptions, read_image, read_image_with, to_rgb},
};
use flate2::Crc;
use image::{DynamicImage, ImageBuffer, ImageEncoder, ImageFormat, Luma, Rgb, RgbImage, codecs::jpeg::JpegEncoder};
use tempfile::TempDir;

fn noise(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([(x * 37 + y * 91) as u8, (x * x + y) as u8, (y * 53) as u8]))
}

fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut file = std::io::Cursor::new(Vec::new());
    image.into().write_to(&mut file, format).unwrap();
    file.into_inner()
}

fn written(folder: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

/// The error of reading a file, after a check that it names the file.
fn refusal(path: &Path) -> Error {
    let error = read_image(path).expect_err("the file is bad");
    assert!(error.to_string().contains(path.file_name().unwrap().to_str().unwrap()), "{error}");
    error
}

fn png_chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut crc = Crc::new();
    crc.update(kind);
    crc.update(data);
    [&(data.len() as u32).to_be_bytes(), kind.as_slice(), data, &crc.sum().to_be_bytes()].concat()
}

fn png_of_size(width: u32, height: u32) -> Vec<u8> {
    let header = [&width.to_be_bytes(), &height.to_be_bytes(), [8, 2, 0, 0, 0].as_slice()].concat();
    [b"\x89PNG\r\n\x1a\n".to_vec(), png_chunk(b"IHDR", &header), png_chunk(b"IDAT", &[]), png_chunk(b"IEND", &[])].concat()
}

#[test]
fn files_that_are_cut_off_are_refused() {
    let folder = TempDir::new().unwrap();
    for (name, format) in [
        ("cut.png", ImageFormat::Png),
        ("cut.jpg", ImageFormat::Jpeg),
        ("cut.bmp", ImageFormat::Bmp),
        ("cut.tif", ImageFormat::Tiff),
        ("cut.webp", ImageFormat::WebP),
    ] {
        let bytes = encoded(noise(64, 48), format);
        for keep in [bytes.len() / 2, bytes.len() * 9 / 10] {
            let error = refusal(&written(&folder, name, &bytes[..keep]));
            assert!(matches!(error, Error::Image { .. }), "{name}: {error:?}");
        }
    }
}

#[test]
fn files_that_are_no_images_are_refused() {
    let folder = TempDir::new().unwrap();
    let error = refusal(&written(&folder, "empty.png", &[]));
    assert!(matches!(error, Error::Image { .. }) && error.to_string().contains("empty"), "{error:?}");
    let error = refusal(&written(&folder, "text.png", b"this is a shopping list, not a photograph"));
    assert!(matches!(error, Error::Image { .. }), "{error:?}");
    assert!(matches!(refusal(&folder.path().join("missing.png")), Error::Io { .. }));
    let subfolder = folder.path().join("folder.png");
    fs::create_dir(&subfolder).unwrap();
    assert!(matches!(refusal(&subfolder), Error::Io { .. }));
}

#[test]
fn sizes_out_of_range_are_refused_from_the_header() {
    let folder = TempDir::new().unwrap();
    for (size, limit) in [
        ((100_000, 100_000), "32768"),
        ((40_000, 10), "32768"),
        ((16_000, 16_000), "250000000"),
        ((1, 1), "at least 8"),
        ((900, 7), "at least 8"),
    ] {
        match refusal(&written(&folder, "size.png", &png_of_size(size.0, size.1))) {
            Error::ImageSize { path: Some(_), width, height, reason } => {
                assert_eq!((width, height), size);
                assert!(reason.contains(limit), "{reason}");
            }
            other => panic!("{other:?}"),
        }
    }
    let only_header = &png_of_size(100_000, 100_000)[..33];
    assert!(matches!(refusal(&written(&folder, "header.png", only_header)), Error::Image { .. }));
    refusal(&written(&folder, "huge.ppm", b"P6 4000000000 4000000000 255\n"));
    refusal(&written(&folder, "pixel.png", &encoded(noise(1, 1), ImageFormat::Png)));
}

#[test]
fn the_content_decides_the_format() {
    let folder = TempDir::new().unwrap();
    for name in ["really_png.jpg", "really_png.txt", "really_png"] {
        let path = written(&folder, name, &encoded(noise(20, 10), ImageFormat::Png));
        assert_eq!(to_rgb(&read_image(path).unwrap()), noise(20, 10));
    }
}

#[test]
fn grey_of_16_bits_is_scaled_or_clipped() {
    let folder = TempDir::new().unwrap();
    let image = ImageBuffer::<Luma<u16>, _>::from_fn(16, 16, |x, y| Luma([(x + 16 * y) as u16 * 257]));
    let path = written(&folder, "grey16.png", &encoded(image, ImageFormat::Png));
    let scaled = to_rgb(&read_image(&path).unwrap());
    assert_eq!(scaled, RgbImage::from_fn(16, 16, |x, y| Rgb([(x + 16 * y) as u8; 3])));
    let mut options = ReadOptions::default();
    options.narrowing = Narrowing::Clip;
    let clipped = to_rgb(&read_image_with(&path, options).unwrap());
    assert_eq!((clipped.get_pixel(0, 0)[0], clipped.get_pixel(1, 0)[0], clipped.get_pixel(15, 15)[0]), (0, 255, 255));
}

/// A JPEG of four flat quarters, A B over C D, whose EXIF block holds `orientation`.
fn quarters(orientation: u8) -> Vec<u8> {
    let image = RgbImage::from_fn(64, 32, |x, y| Rgb([[[40, 100], [160, 220]][usize::from(y >= 16)][usize::from(x >= 32)]; 3]));
    let exif = [b"II*\0\x08\0\0\0\x01\0".as_slice(), b"\x12\x01\x03\0\x01\0\0\0", &[orientation, 0, 0, 0], b"\0\0\0\0"].concat();
    let mut bytes = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut bytes, 95);
    encoder.set_exif_metadata(exif).unwrap();
    encoder.encode_image(&image).unwrap();
    bytes
}

fn names_of_quarters(image: &RgbImage) -> String {
    let (width, height) = image.dimensions();
    let centers = [(1, 1), (3, 1), (1, 3), (3, 3)].map(|(x, y)| image.get_pixel(x * width / 4, y * height / 4)[0]);
    centers.iter().map(|level| char::from(b'A' + level.saturating_sub(10) / 60)).collect()
}

#[test]
fn all_orientations_of_a_camera_are_applied_or_ignored() {
    let folder = TempDir::new().unwrap();
    let expected = ["ABCD", "BADC", "DCBA", "CDAB", "ACBD", "CADB", "DBCA", "BDAC"];
    for (orientation, expected) in (1..).zip(expected) {
        let path = written(&folder, "turned.jpg", &quarters(orientation));
        let applied = to_rgb(&read_image(&path).unwrap());
        assert_eq!(names_of_quarters(&applied), expected, "orientation {orientation}");
        assert_eq!(applied.dimensions(), if orientation >= 5 { (32, 64) } else { (64, 32) });
        let mut options = ReadOptions::default();
        options.orientation = Orientation::Ignore;
        assert_eq!(names_of_quarters(&to_rgb(&read_image_with(&path, options).unwrap())), "ABCD");
    }
    assert_eq!(names_of_quarters(&to_rgb(&read_image(written(&folder, "odd.jpg", &quarters(77))).unwrap())), "ABCD", "no such orientation");
}
