//! What the JPEG decoder does not tell: whether the file was cut off.

const START_OF_SCAN: u8 = 0xDA;
const END_OF_IMAGE: [u8; 2] = [0xFF, 0xD9];

/// Whether the scan of a JPEG file ends with an end-of-image marker.
///
/// The decoder fills what is missing with grey, which would be inspected as if it were in the photograph.
/// Files without a readable scan header count as complete: the decoder says what is wrong with them.
pub(super) fn is_complete(bytes: &[u8]) -> bool {
    first_scan(bytes).is_none_or(|scan| scan.windows(2).rev().any(|pair| pair == END_OF_IMAGE))
}

/// Everything from the first scan on; thumbnails, which have markers of their own, lie in the segments before it.
fn first_scan(bytes: &[u8]) -> Option<&[u8]> {
    let mut at = 2;
    loop {
        let [prefix, marker, high, low] = bytes.get(at..).and_then(|rest| rest.first_chunk()).copied()?;
        if prefix != 0xFF {
            return None;
        }
        at += match marker {
            START_OF_SCAN => return bytes.get(at..),
            0xFF => 1,
            0x01 | 0xD0..=0xD8 => 2,
            _ => 2 + usize::from(u16::from_be_bytes([high, low])),
        };
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use image::{ImageFormat, RgbImage};

    use super::*;

    #[test]
    fn a_cut_file_is_found_and_a_whole_one_is_not() {
        let mut file = std::io::Cursor::new(Vec::new());
        RgbImage::from_fn(64, 64, |x, y| image::Rgb([(x * y) as u8, x as u8, y as u8])).write_to(&mut file, ImageFormat::Jpeg).unwrap();
        let bytes = file.into_inner();
        assert!(is_complete(&bytes));
        assert!(is_complete(&[bytes.as_slice(), &[0; 100]].concat()), "data after the image is common");
        assert!(!is_complete(&bytes[..bytes.len() - 2]));
        assert!(!is_complete(&bytes[..bytes.len() - 200]));
        assert!(is_complete(&bytes[..30]), "no scan: left to the decoder");
    }
}
