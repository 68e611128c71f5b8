//! Comma-separated values with a heading.

use std::{fs, path::Path};

use csv_core::{ReadRecordResult, Reader};

use crate::error::{Error, Result};

/// The wanted columns of each line, in the order that they are asked for; white space around values is left out.
///
/// # Errors
/// [`Error::Io`] for a file that can't be read; [`Error::Dataset`] for one that is not text, a heading without one of the columns,
/// or a line with fewer values than the heading. It names the line.
pub(super) fn columns<const N: usize>(path: &Path, wanted: [&str; N]) -> Result<Vec<[String; N]>> {
    let bytes = fs::read(path).map_err(|source| Error::io(path, source))?;
    let mut records = records(&bytes).into_iter();
    let heading = records.next().unwrap_or_default();
    let find = |name: &&str| heading.iter().position(|column| column == name.as_bytes());
    let places = wanted.each_ref().map(find);
    if let Some((name, _)) = wanted.iter().zip(places).find(|(_, place)| place.is_none()) {
        return Err(Error::dataset(path, format!("it has no column {name:?}")));
    }
    let line = |(index, record): (usize, Vec<Vec<u8>>)| {
        let wrong = |what: &str| Error::dataset(path, format!("record {} {what}", index + 1));
        let mut values = wanted.map(|_| String::new());
        for (value, place) in values.iter_mut().zip(places) {
            let bytes = place.and_then(|place| record.get(place)).ok_or_else(|| wrong("has fewer values than the heading"))?;
            *value = String::from_utf8(bytes.clone()).map_err(|_| wrong("is not text in UTF-8"))?;
        }
        Ok(values)
    };
    records.enumerate().map(line).collect()
}

/// All records; empty lines are none.
fn records(mut bytes: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let mut reader = Reader::new();
    // Neither values nor the places where they end can be more than the bytes that there are.
    let (mut output, mut ends) = (vec![0; bytes.len() + 1], vec![0; bytes.len() + 1]);
    let (mut records, mut written, mut ended) = (Vec::new(), 0, 0);
    loop {
        let (result, read, wrote, count) = reader.read_record(bytes, &mut output[written..], &mut ends[ended..]);
        bytes = &bytes[read..];
        (written, ended) = (written + wrote, ended + count);
        match result {
            ReadRecordResult::Record => {
                let mut start = 0;
                let value = |&end: &usize| output[std::mem::replace(&mut start, end)..end].trim_ascii().to_vec();
                records.push(ends[..ended].iter().map(value).collect());
                (written, ended) = (0, 0);
            }
            // The end of the input has to be read once more, to close the last record.
            ReadRecordResult::InputEmpty if read > 0 => {}
            _ => return records,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<Vec<String>> {
        let text_of = |value: Vec<u8>| String::from_utf8_lossy(&value).into_owned();
        records(text.as_bytes()).into_iter().map(|record| record.into_iter().map(text_of).collect()).collect()
    }

    #[test]
    fn values_are_quoted_trimmed_or_empty() {
        assert_eq!(read("a,b\n 1 ,\"x, \"\"y\"\"\"\r\n\n,\n"), [vec!["a", "b"], vec!["1", "x, \"y\""], vec!["", ""]]);
        assert_eq!(read("a,b\n1,2"), [vec!["a", "b"], vec!["1", "2"]]);
        assert_eq!(read(""), Vec::<Vec<String>>::new());
        assert_eq!(read("\n\n"), Vec::<Vec<String>>::new());
        assert_eq!(read("a,\"open"), [["a", "open"]]);
    }
}
