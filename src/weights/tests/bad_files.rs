//! Files that are something else, cut short, or lie about their length.

use proptest::prelude::*;

use super::{Fault, Folder, fault, fault_of, writers::*};
use crate::{
    error::Error,
    weights::{Checkpoint, TensorSource},
};

/// Too long for any machine: to allocate it would end the test.
const ENDLESS: i64 = 1 << 46;

#[test]
fn strangers_are_named() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";
    assert_eq!(fault_of(pointer), (None, Fault::LfsPointer));
    for (bytes, kind) in [
        (b"".as_slice(), "empty"),
        (b"<!DOCTYPE html><html><body>404</body>", "an HTML page"),
        (b"  <html lang='en'>", "an HTML page"),
        (b"Entry not found, or a private repository", "a text"),
        (b"{\"error\": \"not found\"}", "a JSON text"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "an image"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "an image"),
        (b"GGUF\x03\0\0\0", "a GGUF file"),
        (b"\x1f\x8b\x08\0\0\0\0\0", "a gzip archive"),
        (&[0; 400], "a file of zeros"),
        (&[0xfe; 400], "a file of an unknown kind"),
    ] {
        assert_eq!(fault_of(bytes), (None, Fault::WrongKind(kind)), "{bytes:?}");
    }
    let missing = Folder::new();
    assert!(matches!(Checkpoint::open(missing.path().join("none.pt")), Err(Error::Io { path, .. }) if path.ends_with("none.pt")));
}

#[test]
fn a_file_that_is_cut_short_says_so() {
    let whole = pytorch_of(&[("a", two_by_three())]);
    let (_, fault) = fault_of(&whole[..whole.len() / 2]);
    assert!(matches!(fault, Fault::Truncated { found, .. } if found == whole.len() as u64 / 2), "{fault:?}");
    let whole = safetensors_of(&[("a", &[2], vec![1.0, 2.0]), ("b", &[2], vec![1.0, 2.0])]);
    for end in [20, whole.len() - 1] {
        let (tensor, fault) = fault_of(&whole[..end]);
        assert!(matches!(fault, Fault::Truncated { found, .. } if found == end as u64), "{fault:?}");
        assert_eq!(tensor.as_deref(), (end > 20).then_some("b"));
    }
}

#[test]
fn a_file_that_shrinks_after_it_was_listed_is_found_out_on_reading() {
    let folder = Folder::new();
    let bytes = safetensors_of(&[("a", &[2], vec![1.0, 2.0])]);
    let checkpoint = Checkpoint::open(folder.write("a.safetensors", &bytes)).unwrap();
    folder.write("a.safetensors", &bytes[..bytes.len() - 1]);
    let (file, tensor, fault) = fault(checkpoint.read("a"));
    assert_eq!((file.as_str(), tensor.as_deref()), ("a.safetensors", Some("a")));
    assert!(matches!(fault, Fault::Truncated { .. }));
}

#[test]
fn promised_lengths_are_not_allocated() {
    // A header of 4 GB in a file of some bytes.
    let (_, fault) = fault_of([&u64::from(u32::MAX).to_le_bytes(), b"{\"a\":".as_slice()].concat());
    assert!(matches!(fault, Fault::Malformed(_)), "{fault:?}");
    // A tensor.
    let header = format!(r#"{{"big":{{"dtype":"F32","shape":[{ENDLESS}],"data_offsets":[0,{}]}}}}"#, ENDLESS * 4);
    let (tensor, fault) = fault_of(safetensors(&header, &[0; 16]));
    assert_eq!(tensor.as_deref(), Some("big"));
    assert!(matches!(fault, Fault::Truncated { .. }), "{fault:?}");
    // A text in a pickle, in an archive and without one.
    let text = Pickle::new().raw("X").raw(u32::MAX.to_le_bytes()).raw("abc").0;
    assert!(matches!(fault_of(pytorch(&text)), (None, Fault::Malformed(_))));
    assert!(matches!(fault_of(&text), (None, Fault::Malformed(_))));
    // A storage, and a view of one.
    let storage = Tensor { elements: ENDLESS, shape: vec![ENDLESS], strides: vec![1], ..two_by_three() };
    let (tensor, fault) = fault_of(pytorch_of(&[("big", storage)]));
    assert_eq!(tensor.as_deref(), Some("big"));
    assert!(matches!(fault, Fault::Truncated { .. }), "{fault:?}");
    for (shape, strides) in
        [([ENDLESS, ENDLESS], [0, 0]), ([2, 3], [ENDLESS, 1]), ([2, 4], [3, 1]), ([7, 1], [0, 0]), ([1 << 40, 1 << 40], [1 << 40, 1 << 40])]
    {
        let view = Tensor { shape: shape.to_vec(), strides: strides.to_vec(), ..two_by_three() };
        let (tensor, fault) = fault_of(pytorch_of(&[("big", view)]));
        assert_eq!(tensor.as_deref(), Some("big"));
        assert!(matches!(fault, Fault::Offsets(_)), "{fault:?}");
    }
    let offset = Tensor { offset: 1, ..two_by_three() };
    assert!(matches!(fault_of(pytorch_of(&[("late", offset)])), (Some(_), Fault::Offsets(_))));
}

#[test]
fn an_archive_can_not_lead_outside_itself() {
    let pickle = Pickle::new().tensors(&[("a", two_by_three())]).stop();
    let honest = archive(&[("w/data.pkl", &pickle), ("w/data/0", &[0; 24]), ("xx/evil", b"evil")]);
    for path in ["../evil", "/x/evil", "C:/evil", "..\\evil"] {
        let mut bytes = honest.clone();
        for at in 0..bytes.len() - 7 {
            if bytes[at..].starts_with(b"xx/evil") {
                bytes[at..at + 7].copy_from_slice(path.as_bytes());
            }
        }
        assert_eq!(fault_of(bytes), (None, Fault::PathOutside(path.into())));
    }
    let folder = Folder::new();
    assert!(Checkpoint::open(folder.write("honest.pt", honest)).is_ok());
}

#[test]
fn an_entry_that_promises_more_than_the_archive_has_is_refused() {
    let mut bytes = pytorch_of(&[("a", two_by_three())]);
    let directory = bytes.windows(4).position(|four| four == b"PK\x01\x02").unwrap();
    let last = bytes[directory..].windows(4).rposition(|four| four == b"PK\x01\x02").unwrap() + directory;
    // Both sizes of the storage's entry, in the directory.
    bytes[last + 20..last + 28].copy_from_slice(&[0xf0, 0xff, 0xff, 0xff, 0xf0, 0xff, 0xff, 0xff]);
    let (_, fault) = fault_of(bytes);
    assert!(matches!(fault, Fault::Truncated { .. } | Fault::Malformed(_)), "{fault:?}");
}

#[test]
fn values_that_are_not_finite_are_found() {
    let folder = Folder::new();
    let header = r#"{"f32":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"f16":{"dtype":"F16","shape":[3],"data_offsets":[16,22]},
        "bf16":{"dtype":"BF16","shape":[3],"data_offsets":[22,28]},"good":{"dtype":"F16","shape":[2],"data_offsets":[28,32]}}"#;
    let halves = |values: [u16; 3]| values.into_iter().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    let data = [
        floats([1.0, f32::MAX, f32::NEG_INFINITY, 0.0]),
        halves([0x3c00, 0x7e00, 0]),
        halves([0x7f80, 0, 0]),
        vec![0xff, 0x7b, 0xff, 0xfb],
    ];
    let checkpoint = Checkpoint::open(folder.write("a.safetensors", safetensors(header, &data.concat()))).unwrap();
    for (name, index) in [("f32", 2), ("f16", 1), ("bf16", 0)] {
        assert_eq!(fault(checkpoint.read(name)), ("a.safetensors".into(), Some(name.into()), Fault::NotFinite { index }));
    }
    assert_eq!(checkpoint.read_f32("good").unwrap().as_slice::<f32>().unwrap(), [65504.0, -65504.0]);
    let late: Vec<f32> = (0..5000).map(|index| if index == 4097 { f32::NAN } else { 1.0 }).collect();
    let checkpoint = Checkpoint::open(folder.write("b.safetensors", safetensors_of(&[("late", &[5000], late)]))).unwrap();
    assert_eq!(fault(checkpoint.read("late")).2, Fault::NotFinite { index: 4097 });
}

#[test]
fn integers_are_no_floats() {
    let folder = Folder::new();
    let header = r#"{"ids":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}"#;
    let checkpoint = Checkpoint::open(folder.write("a.safetensors", safetensors(header, &7i64.to_le_bytes()))).unwrap();
    assert_eq!(checkpoint.read("ids").unwrap().as_slice::<i64>().unwrap(), [7]);
    assert!(matches!(fault(checkpoint.read_f32("ids")).2, Fault::DType(_)));
    assert_eq!(fault(checkpoint.read("none")).2, Fault::MissingTensor);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Any damage is an error or harmless; it never ends the program.
    #[test]
    fn damage_never_panics(kind in 0..3usize, changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), cut in 0..40usize) {
        let pickle = Pickle::new().tensors(&[("a", two_by_three()), ("b", two_by_three())]).stop();
        let mut bytes = match kind {
            0 => pytorch(&pickle),
            1 => super::pickles::legacy(&pickle, &["0"]),
            _ => safetensors_of(&[("a", &[2, 2], vec![1.0; 4]), ("b", &[1], vec![2.0])]),
        };
        for (index, byte) in changes {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(bytes.len() - cut.saturating_sub(20));
        let folder = Folder::new();
        if let Ok(checkpoint) = Checkpoint::open(folder.write("weights.bin", bytes)) {
            for name in checkpoint.tensors().keys() {
                let _ = checkpoint.read(name);
            }
        }
    }
}
