//! JPEG files, to the very pixels of libjpeg-turbo.

use image::{
    ImageError, ImageFormat, ImageResult,
    error::{DecodingError, ImageFormatHint},
};
use libjpeg_turbo_rs::{ComponentInfo, Decoder};
use libjpeg_turbo_rs_image::JpegDecoder;

/// A decoder of a whole file, which has read the headers and no pixels.
///
/// Unlike the one in `image`, it refuses a file that is cut off where that one fills what is missing with grey, which would be
/// inspected as if it were in the photograph.
///
/// # Errors
/// [`ImageError`] for what is no JPEG file of 8 bits a value, in Huffman's code, and of channels of usual sizes.
pub(super) fn decoder(file: Vec<u8>) -> ImageResult<JpegDecoder> {
    match Decoder::new(&file) {
        Err(error) => Err(decoding_error(error)),
        Ok(headers) if headers.header().precision != 8 => Err(decoding_error("it has other than 8 bits a value")),
        Ok(headers) if headers.header().is_lossless || headers.is_arithmetic() => Err(decoding_error("it is in a rare variant of JPEG")),
        Ok(headers) if !has_usual_channels(&headers.header().components) => Err(decoding_error("its channels have unusual sizes")),
        Ok(_) => JpegDecoder::from_vec(file),
    }
}

/// Whether the decoder can take channels of these sizes: with four it indexes out of bounds unless the first and the last are equal, and
/// the two between them are equal, and like those or half of them.
fn has_usual_channels(channels: &[ComponentInfo]) -> bool {
    let sizes: Vec<(u8, u8)> = channels.iter().map(|channel| (channel.horizontal_sampling, channel.vertical_sampling)).collect();
    match sizes[..] {
        [first, second, third, fourth] => {
            (first, second) == (fourth, third) && (first == second || second == (1, 1) && first.0 <= 2 && first.1 <= 2)
        }
        _ => true,
    }
}

fn decoding_error(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ImageError {
    ImageError::Decoding(DecodingError::new(ImageFormatHint::Exact(ImageFormat::Jpeg), reason))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use image::{DynamicImage, ImageDecoder};
    use proptest::prelude::*;

    use super::*;

    const FILES: [&str; 6] = ["420.jpg", "420_progressive.jpg", "420_restarts.jpg", "422_poor.jpg", "cmyk.jpg", "grey.jpg"];

    fn file(name: &str) -> Vec<u8> {
        std::fs::read(format!("{}/tests/golden/data/jpeg/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    fn decoded(file: Vec<u8>) -> ImageResult<DynamicImage> {
        DynamicImage::from_decoder(decoder(file)?)
    }

    /// Where the frame header begins.
    fn frame(file: &[u8]) -> usize {
        file.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap()
    }

    #[test]
    fn a_file_is_refused_wherever_it_is_cut() {
        for name in ["420.jpg", "420_progressive.jpg", "grey.jpg", "cmyk.jpg"] {
            let (whole, bytes) = (decoded(file(name)).unwrap(), file(name));
            for kept in 0..bytes.len() {
                if let Ok(image) = decoded(bytes[..kept].to_vec()) {
                    // What is left has all pixels.
                    assert_eq!(image, whole, "{name}: {kept} of {} bytes", bytes.len());
                    assert!(bytes.len() - kept <= 2, "{name}: {kept} of {} bytes", bytes.len());
                }
            }
            let followed = [bytes.as_slice(), &[0; 100]].concat();
            assert_eq!(decoded(followed).unwrap(), whole, "data after the image is common");
        }
    }

    #[test]
    fn any_sizes_of_channels_are_decoded_or_refused() {
        // How many times a channel is sampled across and down, half a byte each.
        const SIZES: [u8; 5] = [0x11, 0x12, 0x21, 0x41, 0x00];
        for name in ["420.jpg", "cmyk.jpg", "grey.jpg"] {
            let bytes = file(name);
            let (start, channels) = (frame(&bytes) + 11, usize::from(bytes[frame(&bytes) + 9]));
            for sizes in 0..SIZES.len().pow(channels as u32) {
                let mut other = bytes.clone();
                for channel in 0..channels {
                    other[start + 3 * channel] = SIZES[sizes / SIZES.len().pow(channel as u32) % SIZES.len()];
                }
                let _ = decoded(other);
            }
        }
    }

    proptest! {
        #[test]
        fn damaged_files_are_decoded_or_refused(name in prop::sample::select(&FILES[..]), damage in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 1..12)) {
            let mut bytes = file(name);
            for (at, byte) in damage {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            // As in `read_image`, sizes are checked before pixels are decoded.
            if let Ok(mut decoder) = decoder(bytes) && (1..1 << 24).contains(&decoder.total_bytes()) {
                let _ = decoder.orientation();
                let _ = DynamicImage::from_decoder(decoder);
            }
        }
    }

    #[test]
    fn rare_variants_are_refused() {
        let found = |at: usize, byte: u8| {
            let mut bytes = file("420.jpg");
            let at = frame(&bytes) + at;
            bytes[at] = byte;
            decoder(bytes).err().unwrap().to_string()
        };
        assert!(found(4, 12).contains("8 bits"), "{}", found(4, 12));
        assert!(found(1, 0xC3).contains("rare"), "{}", found(1, 0xC3));
        assert!(found(1, 0xC9).contains("rare"), "{}", found(1, 0xC9));
        assert_eq!(decoder(file("420.jpg")).unwrap().dimensions(), (45, 35));
    }
}
