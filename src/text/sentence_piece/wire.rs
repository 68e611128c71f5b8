//! The wire format of protocol buffers: numbered fields, borrowed from the bytes that they are read from.

use super::invalid;
use crate::error::Result;

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
    Fixed64(u64),
}

/// The fields of a message; ends after the first that is malformed.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    fn field(&mut self) -> Option<(u64, Wire<'a>)> {
        let key = self.number()?;
        let value = match key & 7 {
            0 => Wire::Number(self.number()?),
            1 => Wire::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let length = usize::try_from(self.number()?).ok()?;
                let (bytes, rest) = self.rest.split_at_checked(length)?;
                self.rest = rest;
                Wire::Bytes(bytes)
            }
            5 => Wire::Fixed32(u32::from_le_bytes(self.array()?)),
            _ => return None,
        };
        (key >> 3 != 0).then_some((key >> 3, value))
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                return None;
            }
            number |= part << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*array)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Wire<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.rest = &[];
        }
        Some(field.ok_or_else(|| invalid("it is cut off, or no protocol buffer")))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn fields(bytes: &[u8]) -> Vec<Result<(u64, Wire<'_>)>> {
        Fields::new(bytes).collect()
    }

    #[test]
    fn fields_of_all_kinds_are_read() {
        let bytes = [0x08, 0x96, 0x01, 0x12, 2, b'h', b'i', 0x1d, 0, 0, 0x80, 0x3f, 0x21, 1, 0, 0, 0, 0, 0, 0, 0];
        let found: Vec<_> = fields(&bytes).into_iter().map(Result::unwrap).collect();
        let one = Wire::Fixed32(1f32.to_bits());
        assert_eq!(found, [(1, Wire::Number(150)), (2, Wire::Bytes(b"hi")), (3, one), (4, Wire::Fixed64(1))]);
    }

    #[test]
    fn promised_lengths_are_not_believed() {
        let gigabytes = [0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f, b'x'];
        for bytes in [&gigabytes[..], &[0x0a, 5, b'x'], &[0x08], &[0x08, 0x80], &[0x0d, 1, 2], &[0x0b], &[0x02, 0], &[0x08; 1], &[0xff; 12]]
        {
            let found = fields(bytes);
            assert!(found.len() == 1 && found[0].is_err(), "{bytes:?}");
        }
    }
}
