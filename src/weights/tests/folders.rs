//! Folders with an index and shards.

use super::{Fault, Folder, fault, writers::*};
use crate::weights::{Checkpoint, ExportOptions, TensorSource, export};
use burn::tensor::DType;

const INDEX: &str = "model.safetensors.index.json";

/// Shards `1` with `a`, `b` and `2` with `c`, and an index.
fn folder(index: &str) -> Folder {
    let folder = Folder::new();
    folder.write("1.safetensors", safetensors_of(&[("a", &[1], vec![1.0]), ("b", &[1], vec![2.0])]));
    folder.write("2.safetensors", safetensors_of(&[("c", &[1], vec![3.0])]));
    folder.write(INDEX, index);
    folder
}

fn index(places: &[(&str, &str)]) -> String {
    let places: Vec<String> = places.iter().map(|(name, file)| format!(r#""{name}": "{file}.safetensors""#)).collect();
    format!(r#"{{"metadata": {{"total_size": 12}}, "weight_map": {{{}}}}}"#, places.join(", "))
}

#[test]
fn shards_are_one_checkpoint() {
    let folder = folder(&index(&[("a", "1"), ("b", "1"), ("c", "2")]));
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    assert_eq!(checkpoint.files().len(), 2);
    assert!(
        ["a", "b", "c"]
            .iter()
            .zip([1.0, 2.0, 3.0])
            .all(|(name, value)| checkpoint.read(name).unwrap().as_slice::<f32>().unwrap() == [value])
    );
    let renamed = checkpoint.state_dict(&|name| (name != "b").then(|| format!("{name}{name}"))).unwrap();
    assert!(renamed.names().eq(["aa", "cc"]));
}

#[test]
fn a_shard_that_is_not_there_is_named() {
    let folder = folder(&index(&[("a", "1"), ("b", "1"), ("c", "3")]));
    assert_eq!(fault(Checkpoint::open(folder.path())), (INDEX.into(), None, Fault::MissingShard("3.safetensors".into())));
}

#[test]
fn swapped_shards_are_noticed() {
    let folder = folder(&index(&[("a", "1"), ("b", "1"), ("c", "2")]));
    let path = |name: &str| folder.path().join(name);
    std::fs::rename(path("1.safetensors"), path("0.safetensors")).unwrap();
    std::fs::rename(path("2.safetensors"), path("1.safetensors")).unwrap();
    std::fs::rename(path("0.safetensors"), path("2.safetensors")).unwrap();
    let other = Fault::OtherShard { expected: "1.safetensors".into(), found: path("2.safetensors") };
    assert_eq!(fault(Checkpoint::open(folder.path())), (INDEX.into(), Some("a".into()), other));
}

#[test]
fn an_index_can_not_lie() {
    let missing = folder(&index(&[("a", "1"), ("b", "1"), ("c", "2"), ("d", "2")]));
    assert_eq!(fault(Checkpoint::open(missing.path())), ("2.safetensors".into(), Some("d".into()), Fault::MissingTensor));
    let twice = folder(&index(&[("a", "1"), ("a", "2")]));
    assert_eq!(fault(Checkpoint::open(twice.path())), (INDEX.into(), Some("a".into()), Fault::DuplicateName));
    for outside in ["../1", "/1", "x/1"] {
        let folder = folder(&index(&[("a", outside)]));
        assert_eq!(fault(Checkpoint::open(folder.path())), (INDEX.into(), None, Fault::PathOutside(format!("{outside}.safetensors"))));
    }
    for broken in ["", "[]", "{}", r#"{"weight_map": {"a": 1}}"#] {
        assert!(matches!(fault(Checkpoint::open(folder(broken).path())).2, Fault::Malformed(_)), "{broken}");
    }
    let copies = folder(&index(&[("a", "1"), ("c", "2")]));
    copies.write("2.safetensors", safetensors_of(&[("c", &[1], vec![3.0]), ("b", &[1], vec![2.0])]));
    assert_eq!(fault(Checkpoint::open(copies.path())), ("2.safetensors".into(), Some("b".into()), Fault::DuplicateName));
}

#[test]
fn a_folder_without_weights_says_so() {
    let folder = Folder::new();
    folder.write("config.json", "{}");
    assert_eq!(fault(Checkpoint::open(folder.path())).2, Fault::EmptyFolder);
    folder.write("pytorch_model.bin", "version https://git-lfs.github.com/spec/v1\n");
    assert_eq!(fault(Checkpoint::open(folder.path())), ("pytorch_model.bin".into(), None, Fault::LfsPointer));
}

#[test]
fn shards_without_an_index_are_told_by_their_names() {
    let folder = Folder::new();
    let shard = |name: &str, tensor: &str| drop(folder.write(name, safetensors_of(&[(tensor, &[1], vec![1.0])])));
    let open = || Checkpoint::open(folder.path());
    shard("model-00002-of-00002.safetensors", "b");
    assert_eq!(fault(open()).2, Fault::MissingShard("model-00001-of-00002.safetensors".into()));
    shard("model-00001-of-00002.safetensors", "b");
    assert_eq!(fault(open()).2, Fault::DuplicateName);
    shard("model-00001-of-00002.safetensors", "a");
    assert_eq!(open().unwrap().tensors().keys().collect::<Vec<_>>(), ["a", "b"]);
    shard("model-00001-of-00003.safetensors", "c");
    assert!(matches!(fault(open()).2, Fault::Malformed(reason) if reason.contains("no index")));
}

#[test]
fn a_name_can_not_promise_more_shards_than_there_are() {
    let folder = Folder::new();
    folder.write("pytorch_model-00001-of-18446744073709551615.bin", "");
    let missing = Fault::MissingShard("pytorch_model-00002-of-18446744073709551615.bin".into());
    assert_eq!(fault(Checkpoint::open(folder.path())).2, missing);
}

#[test]
fn what_is_exported_is_read_again() {
    let (source, target) = (Folder::new(), Folder::new());
    let first = safetensors_of(&[("a", &[1], vec![1.5]), ("b", &[2, 2], vec![1.0, 2.0, 3.0, 4.0]), ("c", &[3], vec![5.0, 6.0, 7.0])]);
    let first = Checkpoint::open(source.write("first.safetensors", first)).unwrap();
    let header = r#"{"ids":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},"half":{"dtype":"F16","shape":[1],"data_offsets":[8,10]}}"#;
    let second = safetensors(header, &[&7i64.to_le_bytes()[..], &0x3c00u16.to_le_bytes()].concat());
    let second = Checkpoint::open(source.write("second.safetensors", second)).unwrap();
    let options = ExportOptions { shard_bytes: 12, metadata: [("format".into(), "pt".into())].into() };
    let mut written = vec![];
    export(&[(&first, Some(DType::F16)), (&second, None)], target.path(), &options, &mut |name, bytes| {
        written.push((name.to_owned(), bytes))
    })
    .unwrap();
    assert_eq!(written.len(), 5);
    let again = Checkpoint::open(target.path()).unwrap();
    assert_eq!(again.files().len(), 3);
    assert_eq!(again.info("c").unwrap().dtype, DType::F16);
    assert_eq!(again.info("ids").unwrap().dtype, DType::I64);
    for name in ["a", "b", "c"] {
        assert_eq!(again.read_f32(name).unwrap(), first.read_f32(name).unwrap(), "{name}");
    }
    assert_eq!(again.read("half").unwrap(), second.read("half").unwrap());
    // What is there is not written over.
    assert!(export(&[(&first, None), (&second, None)], target.path(), &options, &mut |_, _| {}).is_err());
    assert_eq!(fault(export(&[(&first, None), (&first, None)], Folder::new().path(), &options, &mut |_, _| {})).2, Fault::DuplicateName);
}

#[test]
fn values_that_halves_can_not_hold_are_an_error() {
    let (source, target) = (Folder::new(), Folder::new());
    let great = Checkpoint::open(source.write("a.safetensors", safetensors_of(&[("a", &[2], vec![1.0, 70000.0])]))).unwrap();
    let result = export(&[(&great, Some(DType::F16))], target.path(), &ExportOptions::default(), &mut |_, _| {});
    assert_eq!(fault(result), ("a.safetensors".into(), Some("a".into()), Fault::NotFinite { index: 1 }));
}
