//! Safetensors headers that contradict themselves.

use super::{Fault, Folder, fault_of, writers::safetensors};
use crate::weights::{Checkpoint, TensorSource};

/// Two tensors of four bytes, at these offsets.
fn header(first: [u32; 2], second: [u32; 2]) -> String {
    format!(
        r#"{{"__metadata__":{{"format":"pt"}},"a":{{"dtype":"F32","shape":[1],"data_offsets":{first:?}}},"b":{{"dtype":"F32","shape":[1],"data_offsets":{second:?}}}}}"#
    )
}

#[test]
fn overlaps_gaps_and_wrong_lengths_are_named() {
    for (first, second) in [([0, 4], [2, 6]), ([0, 4], [5, 9]), ([0, 4], [0, 4]), ([0, 4], [4, 7]), ([0, 4], [8, 4])] {
        let (tensor, fault) = fault_of(safetensors(&header(first, second), &[0; 9]));
        assert_eq!(tensor.as_deref(), Some("b"));
        assert!(matches!(fault, Fault::Offsets(_)), "{fault:?}");
    }
    let (tensor, fault) = fault_of(safetensors(&header([4, 8], [8, 12]), &[0; 12]));
    assert!(matches!((tensor.as_deref(), fault), (Some("a"), Fault::Offsets(_))));
    let huge = r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,4]}}"#;
    assert!(matches!(fault_of(safetensors(huge, &[0; 4])), (Some(_), Fault::Offsets(_))));
}

#[test]
fn a_header_whose_length_begins_like_a_pickle_is_read() {
    let folder = Folder::new();
    for length in [0x0180, 0x0280, 0x0580] {
        let header = format!("{:length$}", header([0, 4], [4, 8]));
        let file = Checkpoint::open(folder.write("model.safetensors", safetensors(&header, &[0; 8])));
        assert_eq!(file.unwrap().tensors().len(), 2, "{length:#x}");
    }
}

#[test]
fn other_contradictions_are_named() {
    let twice = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#;
    assert_eq!(fault_of(safetensors(twice, &[0; 8])), (Some("a".into()), Fault::DuplicateName));
    let eight_bits = r#"{"a":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[0,4]}}"#;
    assert!(matches!(fault_of(safetensors(eight_bits, &[0; 4])), (Some(_), Fault::DType(_))));
    let unknown = r#"{"a":{"dtype":"F99","shape":[4],"data_offsets":[0,4]}}"#;
    assert!(matches!(fault_of(safetensors(unknown, &[0; 4])), (Some(_), Fault::Malformed(_))));
    assert!(matches!(fault_of(safetensors(&header([0, 4], [4, 8]), &[0; 9])), (None, Fault::Malformed(_))));
    assert!(matches!(fault_of(safetensors("{\"a\":", &[0; 9])), (None, Fault::Malformed(_))));
    let deep = format!("{{\"a\":{}", "[".repeat(100_000));
    assert!(matches!(fault_of(safetensors(&deep, &[])), (None, Fault::Malformed(_))));
}
