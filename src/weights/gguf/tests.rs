use half::f16;
use proptest::prelude::*;

use super::*;

/// A tensor to be written: name, shape (outermost first), GGUF's type, bytes.
pub(crate) struct Given {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) kind: u32,
    pub(crate) bytes: Vec<u8>,
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

fn single(value: &Value) -> (u32, Vec<u8>) {
    match value {
        Value::Unsigned(number) => (4, (*number as u32).to_le_bytes().into()),
        Value::Signed(number) => (5, (*number as i32).to_le_bytes().into()),
        Value::Float(float) => (6, (*float as f32).to_le_bytes().into()),
        Value::Bool(flag) => (7, vec![u8::from(*flag)]),
        Value::Text(string) => (8, text(string)),
        Value::List(list) => {
            let kind = list.first().map_or(4, |first| single(first).0);
            let values: Vec<u8> = list.iter().flat_map(|value| single(value).1).collect();
            (9, [&kind.to_le_bytes()[..], &(list.len() as u64).to_le_bytes(), &values].concat())
        }
    }
}

/// A file of version 3.
pub(crate) fn written(metadata: &[(&str, Value)], tensors: &[Given]) -> Vec<u8> {
    let mut file =
        [b"GGUF", &3u32.to_le_bytes()[..], &(tensors.len() as u64).to_le_bytes(), &(metadata.len() as u64).to_le_bytes()].concat();
    for (key, value) in metadata {
        let (kind, bytes) = single(value);
        file.extend([text(key), kind.to_le_bytes().into(), bytes].concat());
    }
    let mut data: Vec<u8> = vec![];
    for Given { name, shape, kind, bytes } in tensors {
        data.resize(data.len().next_multiple_of(32), 0);
        let axes: Vec<u8> = shape.iter().rev().flat_map(|length| (*length as u64).to_le_bytes()).collect();
        file.extend([text(name), (shape.len() as u32).to_le_bytes().into(), axes].concat());
        file.extend([&kind.to_le_bytes()[..], &(data.len() as u64).to_le_bytes()].concat());
        data.extend(bytes);
    }
    file.resize(file.len().next_multiple_of(32), 0);
    [file, data].concat()
}

fn sample() -> Vec<u8> {
    let given = |name: &str, shape: &[usize], kind, bytes| Given { name: name.into(), shape: shape.into(), kind, bytes };
    let floats: Vec<u8> = (0..6).flat_map(|index| (index as f32).to_le_bytes()).collect();
    let halves: Vec<u8> = (0..6).flat_map(|index| f16::from_f32(index as f32).to_le_bytes()).collect();
    let block = |bytes: usize| [&f16::from_f32(2.0).to_le_bytes()[..], &vec![0x21; bytes]].concat();
    let metadata = [
        ("general.architecture", Value::Text("llama".into())),
        ("some.list", Value::List(vec![Value::Text("a".into()), Value::Text("b".into())])),
        ("some.float", Value::Float(0.5)),
        ("some.flag", Value::Bool(true)),
        ("some.signed", Value::Signed(-3)),
    ];
    let tensors = [
        given("floats", &[2, 3], 0, floats),
        given("halves", &[6], 1, halves),
        given("fours", &[2, 32], 2, [block(16), block(16)].concat()),
        given("fives", &[1, 32], 3, [&block(2)[..], &[0x21; 16]].concat()),
        given("eights", &[1, 32], 8, block(32)),
    ];
    written(&metadata, &tensors)
}

fn open(bytes: &[u8]) -> Result<Gguf> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    Gguf::open(file.path()).and_then(|gguf| gguf.tensors().keys().try_for_each(|name| gguf.read(name).map(|_| ())).map(|()| gguf))
}

fn fault(bytes: &[u8]) -> (Option<String>, Fault) {
    match open(bytes) {
        Err(Error::Checkpoint { tensor, fault, .. }) => (tensor, fault),
        other => panic!("{other:?}"),
    }
}

/// Other bytes in the place of the first that are `from`.
fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}

#[test]
fn metadata_and_tensors_are_read() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), sample()).unwrap();
    let gguf = Gguf::open(file.path()).unwrap();
    let metadata = gguf.metadata();
    assert_eq!(metadata.text("general.architecture").unwrap(), "llama");
    assert_eq!(metadata.texts("some.list").unwrap(), ["a", "b"]);
    assert_eq!((metadata.float("some.float").unwrap(), metadata.flag("some.flag", false).unwrap()), (0.5, true));
    assert!(metadata.flag("none", true).unwrap());
    for unfit in [metadata.number("some.signed").map(|_| ()), metadata.text("none").map(|_| ()), metadata.texts("some.flag").map(|_| ())] {
        assert!(matches!(unfit, Err(Error::Checkpoint { fault: Fault::Malformed(_), .. })));
    }
    let values = |name: &str| gguf.read_f32(name).unwrap().try_to_vec::<f32>().unwrap();
    assert_eq!(gguf.info("floats").unwrap().shape, [2, 3]);
    assert_eq!(values("floats"), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    assert_eq!(gguf.read("halves").unwrap().dtype(), DType::F16);
    assert_eq!(values("halves"), values("floats"));
    assert_eq!((values("fours").len(), values("fours")[0], values("fours")[63]), (64, -14.0, -12.0));
    let least = f16::from_le_bytes([0x21, 0x21]).to_f32();
    assert_eq!((values("fives")[0], values("fives")[31]), (2.0 + least, 4.0 + least));
    assert_eq!(values("eights"), [66.0; 32]);
}

#[test]
fn what_is_wrong_is_named() {
    let bytes = sample();
    for length in [0, 3, 40, 200, bytes.len() - 1] {
        let (_, fault) = fault(&bytes[..length]);
        assert!(matches!(fault, Fault::Truncated { .. } | Fault::WrongKind(_)), "{length}: {fault}");
    }
    assert!(matches!(fault(b"version https://git-lfs.github.com/spec/v1").1, Fault::LfsPointer));
    let three = [&b"GGUF"[..], &3u32.to_le_bytes()].concat();
    let (_, version) = fault(&replaced(&bytes, &three, &[&b"GGUF"[..], &3u32.to_be_bytes()].concat()));
    assert!(version.to_string().contains("version"), "{version}");
    // The type after the axes of `eights`, and a number of elements that does not fill blocks.
    let axes = [&32u64.to_le_bytes()[..], &1u64.to_le_bytes(), &8u32.to_le_bytes()].concat();
    let other = |columns: u64, kind: u32| [&columns.to_le_bytes()[..], &1u64.to_le_bytes(), &kind.to_le_bytes()].concat();
    let (tensor, unknown) = fault(&replaced(&bytes, &axes, &other(32, 14)));
    assert!(tensor.as_deref() == Some("eights") && matches!(unknown, Fault::DType(_)), "{unknown}");
    let (tensor, ragged) = fault(&replaced(&bytes, &axes, &other(31, 8)));
    assert!(tensor.as_deref() == Some("eights") && matches!(ragged, Fault::Offsets(_)), "{ragged}");
    let (tensor, long) = fault(&replaced(&bytes, &axes, &other(1 << 40, 8)));
    assert!(tensor.as_deref() == Some("eights") && matches!(long, Fault::Truncated { .. }), "{long}");
    let (_, twice) = fault(&replaced(&bytes, b"halves", b"floats"));
    assert!(matches!(twice, Fault::DuplicateName), "{twice}");
}

#[test]
fn tensors_must_not_overlap() {
    let given = |name: &str| Given { name: name.into(), shape: vec![16], kind: 0, bytes: vec![0; 64] };
    let bytes = written(&[], &[given("first"), given("second")]);
    assert!(open(&bytes).is_ok());
    let offset = |at: u64| [&0u32.to_le_bytes()[..], &at.to_le_bytes()].concat();
    for (at, expected) in [(32, "within another"), (65, "no multiple")] {
        let (tensor, fault) = fault(&replaced(&bytes, &offset(64), &offset(at)));
        assert!(tensor.as_deref() == Some("second") && fault.to_string().contains(expected), "{fault}");
    }
}

#[test]
fn values_that_are_not_numbers_are_an_error() {
    let block = [&f16::INFINITY.to_le_bytes()[..], &[1; 32]].concat();
    let bytes = written(&[], &[Given { name: "eights".into(), shape: vec![32], kind: 8, bytes: block }]);
    assert_eq!(fault(&bytes), (Some("eights".into()), Fault::NotFinite { index: 0 }));
}

#[test]
fn promised_lengths_are_not_believed() {
    // 4 GB of a text, of a list, of metadata, in some 100 bytes.
    let long = 0xffff_ffffu64.to_le_bytes();
    let start = |tensors: u64, values: u64| [b"GGUF", &3u32.to_le_bytes()[..], &tensors.to_le_bytes(), &values.to_le_bytes()].concat();
    let list = [&text("k")[..], &9u32.to_le_bytes(), &4u32.to_le_bytes(), &long].concat();
    for tail in [[start(0, 1), long.into()].concat(), [start(0, 1), list].concat(), start(1 << 40, 0), start(0, 1 << 40)] {
        let bytes = [tail, vec![0; 60]].concat();
        assert!(matches!(fault(&bytes).1, Fault::Truncated { .. }));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn damage_is_no_panic(at in 0usize..600, byte in any::<u8>(), cut in 0usize..600) {
        let mut bytes = sample();
        let index = at % bytes.len();
        bytes[index] = byte;
        bytes.truncate(bytes.len() - cut / 8);
        let _ = open(&bytes);
    }
}
