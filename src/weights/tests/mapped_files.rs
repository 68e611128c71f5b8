//! Large tensors, which stay in their files.

use burn::tensor::{AllocationProperty, Tensor};
use proptest::prelude::*;

use super::{
    Fault, Folder, fault,
    writers::{floats, safetensors},
};
use crate::weights::{Checkpoint, TensorSource};

/// Numbers that take a mebibyte.
const COUNT: usize = 1 << 18;
/// Of the header, with its length before it a whole number of elements.
const HEADER: usize = 120;

fn values(count: usize) -> Vec<f32> {
    (0..count).map(|index| index as f32).collect()
}

/// A file of so many numbers whose header is so long.
fn file(header: usize, values: &[f32]) -> Vec<u8> {
    let count = values.len();
    let text = format!(r#"{{"a":{{"dtype":"F32","shape":[{count}],"data_offsets":[0,{}]}}}}"#, 4 * count);
    safetensors(&format!("{text:header$}"), &floats(values.iter().copied()))
}

#[test]
fn large_tensors_stay_in_their_files_where_they_are_aligned() {
    let folder = Folder::new();
    for (header, count, stays) in [(HEADER, COUNT, true), (HEADER + 1, COUNT, false), (HEADER, COUNT - 1, false)] {
        let path = folder.write("model.safetensors", file(header, &values(count)));
        let data = Checkpoint::open(&path).unwrap().read("a").unwrap();
        assert_eq!(data.as_slice::<f32>().unwrap(), values(count));
        assert_eq!(data.into_bytes().property() == AllocationProperty::File, stays, "{header}, {count}");
    }
}

#[test]
fn what_is_computed_in_place_changes_no_file() {
    let folder = Folder::new();
    let written = file(HEADER, &values(COUNT));
    let path = folder.write("model.safetensors", &written);
    let data = Checkpoint::open(&path).unwrap().read("a").unwrap();
    let tensor = Tensor::<1>::from_data(data, &Default::default());
    let doubled: Vec<f32> = values(COUNT).iter().map(|value| value + value).collect();
    assert_eq!((tensor.clone() + tensor.clone()).into_data().as_slice::<f32>().unwrap(), doubled);
    assert_eq!((tensor * 2.0).into_data().as_slice::<f32>().unwrap(), doubled);
    assert!(std::fs::read(path).unwrap() == written);
}

#[test]
fn what_is_wrong_with_a_large_tensor_is_named() {
    let folder = Folder::new();
    let mut bad = values(COUNT);
    bad[COUNT - 1] = f32::NAN;
    let found = Checkpoint::open(folder.write("nan.safetensors", file(HEADER, &bad))).unwrap().read("a");
    assert_eq!(fault(found), ("nan.safetensors".into(), Some("a".into()), Fault::NotFinite { index: COUNT - 1 }));
    let whole = file(HEADER, &values(COUNT));
    let path = folder.write("cut.safetensors", &whole);
    let checkpoint = Checkpoint::open(&path).unwrap();
    folder.write("cut.safetensors", &whole[..whole.len() - 4]);
    assert!(matches!(fault(checkpoint.read("a")), (_, Some(_), Fault::Truncated { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_place_in_a_file_is_read_whole_or_refused(spaces in 0usize..9, less in 0usize..3, cut in 0usize..6) {
        let folder = Folder::new();
        let values = values(COUNT + 1 - less);
        let whole = file(HEADER + spaces, &values);
        let path = folder.write("model.safetensors", &whole);
        let checkpoint = Checkpoint::open(&path).unwrap();
        folder.write("model.safetensors", &whole[..whole.len() - cut]);
        match checkpoint.read("a") {
            Ok(data) => assert!(cut == 0 && data.as_slice::<f32>().unwrap() == values),
            found => assert!(cut > 0 && matches!(fault(found).2, Fault::Truncated { .. })),
        }
    }
}
