//! Pickles: what PyTorch writes, and what it never would.

use super::{Fault, Folder, fault, fault_of, writers::*};
use crate::weights::{Checkpoint, TensorSource};

/// A file of PyTorch before version 1.6, with the numbers 0 to 5 in each storage.
pub(super) fn legacy(pickle: &[u8], keys: &[&str]) -> Vec<u8> {
    let magic = Pickle::new().raw([0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19]).stop();
    let version = Pickle::new().raw([b'M', 0xe9, 0x03]).stop();
    let machine = Pickle::new().raw("}(").text("little_endian").raw([0x88]).raw("u").stop();
    let list = keys.iter().fold(Pickle::new().raw("]("), |list, key| list.text(key)).raw("e").stop();
    let storage = [&6u64.to_le_bytes(), floats((0..6).map(|value| value as f32)).as_slice()].concat();
    [magic, version, machine, pickle.to_vec(), list, storage.repeat(keys.len())].concat()
}

fn read(bytes: Vec<u8>, name: &str) -> (Vec<usize>, Vec<f32>) {
    let folder = Folder::new();
    let checkpoint = Checkpoint::open(folder.write("weights.bin", bytes)).unwrap();
    let data = checkpoint.read_f32(name).unwrap();
    (data.shape().to_vec(), data.try_to_vec().unwrap())
}

#[test]
fn both_file_formats_are_read() {
    let pickle = Pickle::new().tensors(&[("a", two_by_three())]).stop();
    let expected = (vec![2, 3], vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    assert_eq!(read(pytorch(&pickle), "a"), expected);
    assert_eq!(read(legacy(&pickle, &["0"]), "a"), expected);
}

#[test]
fn strides_and_offsets_are_honoured() {
    let turned = Tensor { shape: vec![3, 2], strides: vec![1, 3], ..two_by_three() };
    let column = Tensor { offset: 2, shape: vec![2], strides: vec![3], ..two_by_three() };
    let single = Tensor { offset: 3, shape: vec![1, 3], strides: vec![99, 1], ..two_by_three() };
    let scalar = Tensor { offset: 4, shape: vec![], strides: vec![], ..two_by_three() };
    let none = Tensor { shape: vec![0, 3], strides: vec![3, 1], ..two_by_three() };
    let cube = Tensor { shape: vec![3, 1, 2], strides: vec![1, 6, 3], ..two_by_three() };
    let bytes =
        pytorch_of(&[("turned", turned), ("column", column), ("single", single), ("scalar", scalar), ("none", none), ("cube", cube)]);
    for (name, shape, values) in [
        ("turned", vec![3, 2], vec![0.0, 3.0, 1.0, 4.0, 2.0, 5.0]),
        ("column", vec![2], vec![2.0, 5.0]),
        ("single", vec![1, 3], vec![3.0, 4.0, 5.0]),
        ("scalar", vec![], vec![4.0]),
        ("none", vec![0, 3], vec![]),
        ("cube", vec![3, 1, 2], vec![0.0, 3.0, 1.0, 4.0, 2.0, 5.0]),
    ] {
        assert_eq!(read(bytes.clone(), name), (shape, values), "{name}");
    }
}

#[test]
fn parameters_and_nested_dictionaries_are_read() {
    let parameter = Pickle::new().raw("}(").text("epoch").int(3).text("state_dict").raw("}(").text("a");
    let parameter = parameter.global("torch._utils", "_rebuild_parameter").raw("(").tensor(&two_by_three()).raw([0x88]);
    let parameter = parameter.global("collections", "OrderedDict").raw(")RtR").raw("uu");
    assert_eq!(read(pytorch(&parameter.stop()), "a").1.len(), 6);
    // Attributes of the dictionary, as a module's own `state_dict` has.
    let attributes = Pickle::new().tensors(&[("a", two_by_three())]).raw("}(").text("_metadata").raw("}ub");
    assert_eq!(read(pytorch(&attributes.stop()), "a").1.len(), 6);
}

#[test]
fn nothing_is_called() {
    for (module, name) in
        [("os", "system"), ("posix", "system"), ("builtins", "eval"), ("torch", "load"), ("torch._utils", "_rebuild_sparse_tensor")]
    {
        let call = Pickle::new().global(module, name).text("exit 1").raw([0x85]).raw("R.").0;
        let expected = (None, Fault::PickleGlobal(format!("{module}.{name}")));
        assert_eq!(fault_of(pytorch(&call)), expected);
        assert_eq!(fault_of(&call), expected);
        assert_eq!(fault_of(legacy(&call, &["0"])), expected);
        // The same by way of the stack.
        let stack = Pickle::new().text(module).text(name).raw([0x93]).raw(").").0;
        assert_eq!(fault_of(pytorch(&stack)), expected);
    }
}

#[test]
fn other_opcodes_are_refused() {
    // INST, OBJ, NEWOBJ, NEWOBJ_EX, EXT1, PERSID, DUP, POP, STRING, BYTEARRAY8, NEXT_BUFFER.
    for opcode in [b'i', b'o', 0x81, 0x92, 0x82, b'P', b'2', b'0', b'S', 0x96, 0x97] {
        let pickle = Pickle::new().raw("))").raw([opcode]).raw("x\n").stop();
        assert_eq!(fault_of(pytorch(&pickle)), (None, Fault::PickleOpcode(opcode)));
    }
}

#[test]
fn depth_cycles_and_repetition_are_harmless() {
    let deep = Pickle::new().raw(")").raw([0x85; 900_000]).stop();
    assert!(matches!(fault_of(pytorch(&deep)), (None, Fault::Malformed(_))));
    // A list that holds itself; and more values than are allowed.
    let cycle = Pickle::new().raw("]q\0h\0a").stop();
    assert!(matches!(fault_of(pytorch(&cycle)), (None, Fault::Malformed(_))));
    let many = Pickle::new().raw(")".repeat(1 << 21)).stop();
    assert!(matches!(fault_of(pytorch(&many)), (None, Fault::Malformed(_))));
    // A long list of pairs, made into a dictionary again and again.
    let pairs = Pickle::new().text("k").raw(b"q\0N\x86q\x01](").raw("h\x01".repeat(100_000)).raw("eq\x02");
    let bomb = pairs.global("collections", "OrderedDict").raw("q\x03").raw(b"h\x03h\x02\x85R".repeat(100_000)).stop();
    assert!(matches!(fault_of(pytorch(&bomb)), (None, Fault::Malformed(_))));
}

#[test]
fn broken_pickles_are_malformed() {
    let tensor = |tensor| Pickle::new().tensors(&[("a", tensor)]).stop();
    let plain = [
        Pickle::new().0,
        Pickle::new().stop(),
        Pickle::new().raw("tR.").0,
        Pickle::new().raw("(").raw([0x85]).stop(),
        Pickle::new().raw("h\x05.").0,
        Pickle::new().raw("))b.").0,
        Pickle::new().raw("))e.").0,
        Pickle::new().raw("})u.").0,
        Pickle::new().raw("}()u.").0,
        Pickle::new().raw(")Q.").0,
        Pickle::new().raw("N.").0,
        Pickle::new().raw("}(").int(1).tensor(&two_by_three()).raw("u").stop(),
        tensor(Tensor { shape: vec![-2, 3], ..two_by_three() }),
        tensor(Tensor { shape: vec![6], ..two_by_three() }),
        tensor(Tensor { shape: vec![1; 9], strides: vec![1; 9], ..two_by_three() }),
    ];
    for pickle in plain {
        let (_, fault) = fault_of(pytorch(&pickle));
        assert!(matches!(fault, Fault::Malformed(_)), "{fault:?} of {pickle:?}");
    }
    let list = Pickle::new().raw("}(").text("a").raw("]u").stop();
    assert!(matches!(fault_of(pytorch(&list)), (Some(name), Fault::Malformed(_)) if name == "a"));
    let strange = Tensor { key: "7", ..two_by_three() };
    assert!(matches!(fault_of(pytorch_of(&[("a", strange)])), (Some(name), Fault::Truncated { .. }) if name == "a"));
    assert_eq!(fault_of(pytorch_of(&[("a", two_by_three()), ("a", two_by_three())])), (Some("a".into()), Fault::DuplicateName));
}

#[test]
fn other_pickles_and_byte_orders_are_named() {
    assert_eq!(fault_of(Pickle::new().raw("N").stop()), (None, Fault::WrongKind("a pickle of something else")));
    let pickle = Pickle::new().tensors(&[("a", two_by_three())]).stop();
    let big = archive(&[("w/data.pkl", &pickle), ("w/byteorder", b"big"), ("w/data/0", &[0; 24])]);
    assert!(matches!(fault_of(big), (None, Fault::Malformed(_))));
    assert!(matches!(fault_of(archive(&[("w/readme", b"no pickle")])), (None, Fault::Malformed(_))));
}

#[test]
fn a_storage_that_is_shorter_than_its_tensor_is_named() {
    let folder = Folder::new();
    let pickle = Pickle::new().tensors(&[("a", two_by_three())]).stop();
    let short = archive(&[("w/data.pkl", &pickle), ("w/data/0", &[0; 20])]);
    let (_, tensor, found) = fault(Checkpoint::open(folder.write("short.pt", short)));
    assert_eq!(tensor.as_deref(), Some("a"));
    assert!(matches!(found, Fault::Truncated { .. }));
    let cut = legacy(&pickle, &["0"]);
    let (_, tensor, found) = fault(Checkpoint::open(folder.write("cut.pt", &cut[..cut.len() - 1])));
    assert_eq!(tensor.as_deref(), Some("a"));
    assert!(matches!(found, Fault::Truncated { .. }));
}
