#![allow(clippy::unwrap_used)]

use std::{fs, num::NonZeroUsize};

use image::{GrayImage, Luma, RgbImage};
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

const SIZE: (u32, u32) = (16, 12);

/// A folder of drawn photographs and masks.
struct Disk(TempDir);

impl Disk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn root(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> &Self {
        let path = self.root().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
        self
    }

    fn photographs(&self, names: &[&str]) -> &Self {
        for name in names {
            self.write(name, "");
            RgbImage::new(SIZE.0, SIZE.1).save(self.root().join(name)).unwrap();
        }
        self
    }

    /// A mask with `level` in one column.
    fn mask(&self, name: &str, (width, height): (u32, u32), column: u32, level: u8) -> &Self {
        self.write(name, "");
        GrayImage::from_fn(width, height, |x, _| Luma([if x == column { level } else { 0 }])).save(self.root().join(name)).unwrap();
        self
    }

    fn open(&self, layout: &str) -> Dataset {
        layout.parse::<Layout>().unwrap().open(self.root()).unwrap()
    }
}

fn names<'a>(samples: impl IntoIterator<Item = &'a Sample>) -> Vec<&'a str> {
    samples.into_iter().map(|sample| sample.name.as_str()).collect()
}

fn sample<'a>(dataset: &'a Dataset, name: &str) -> &'a Sample {
    dataset.samples.iter().find(|sample| sample.name == name).unwrap()
}

/// Columns of a sample's mask with anything in them.
fn anomalous_columns(sample: &Sample) -> Vec<u32> {
    let mask = sample.read().unwrap().mask.unwrap();
    (0..mask.width()).filter(|&x| (0..mask.height()).any(|y| mask.get_pixel(x, y)[0] > 0)).collect()
}

fn said(dataset: &Dataset) -> Vec<String> {
    dataset.problems.iter().map(|problem| problem.to_string().replace(&format!("{}/", dataset.root.display()), "")).collect()
}

#[test]
fn mvtec_ad_is_listed_by_whole_names() {
    let disk = Disk::new();
    disk.photographs(&["good_screw/train/good/b.png", "good_screw/train/good/a.png", "good_screw/train/good/.hidden.png"]);
    disk.photographs(&["good_screw/test/good/0.png", "good_screw/test/not_good/0.png", "good_screw/test/not_good/1.PNG"]);
    disk.mask("good_screw/ground_truth/not_good/0_mask.png", SIZE, 3, 255).mask("good_screw/ground_truth/not_good/1.png", SIZE, 4, 255);
    disk.write("license.txt", "").write("good_screw/train/good/notes.txt", "");
    let dataset = disk.open("mvtec");
    assert_eq!(dataset.classes(), ["good_screw"]);
    assert_eq!(names(dataset.normals("good_screw")), ["good_screw/train/good/a.png", "good_screw/train/good/b.png"]);
    let test = dataset.of("good_screw", Split::Test);
    assert_eq!(
        test.iter().map(|sample| (sample.kind.as_str(), sample.label)).collect::<Vec<_>>(),
        [("good", Label::Normal), ("not_good", Label::Anomalous), ("not_good", Label::Anomalous)]
    );
    assert_eq!(anomalous_columns(test[1]), [3]);
    assert_eq!(anomalous_columns(test[2]), [4]);
    assert!(anomalous_columns(test[0]).is_empty());
    assert!(dataset.problems.is_empty(), "{:?}", said(&dataset));
    let class = Layout::MvtecAd.open(disk.root().join("good_screw")).unwrap();
    assert_eq!(class.classes(), ["good_screw"]);
    assert_eq!(names(&class.samples)[0], "train/good/a.png");
}

#[test]
fn what_is_odd_about_masks_is_said() {
    let disk = Disk::new();
    disk.photographs(&["a/train/good/0.png", "a/test/good/0.png", "a/test/cut/0.png", "a/test/cut/1.png", "a/test/cut/2.png"]);
    disk.photographs(&["a/test/bent/0.png"]);
    for mask in ["1.png", "1_mask.png", "2_mask.png", "7_mask.png"] {
        disk.mask(&format!("a/ground_truth/cut/{mask}"), SIZE, 0, 255);
    }
    let dataset = disk.open("mvtec");
    assert_eq!(
        said(&dataset),
        [
            "a/test/bent/0.png is anomalous and has no mask",
            "a/ground_truth/cut/7_mask.png is a mask of no image",
            "a/test/cut/0.png is anomalous and has no mask",
            &format!(
                "a/test/cut/1.png shares its name with {0}/a/ground_truth/cut/1.png, {0}/a/ground_truth/cut/1_mask.png; no mask is used",
                disk.root().display()
            )
            .replace(&format!("{}/", disk.root().display()), ""),
        ]
    );
    assert_eq!(sample(&dataset, "a/test/cut/2.png").masks.len(), 1);
    assert!(sample(&dataset, "a/test/cut/1.png").read().unwrap().mask.is_none());
}

#[test]
fn masks_of_another_size_are_fitted_or_refused() {
    let disk = Disk::new();
    disk.photographs(&["train/good/0.png", "test/good/0.png", "test/cut/0.png", "test/cut/1.png"]);
    disk.mask("ground_truth/cut/0_mask.png", (32, 24), 30, 255).mask("ground_truth/cut/1_mask.png", (16, 14), 0, 255);
    let dataset = disk.open("mvtec");
    let photograph = sample(&dataset, "test/cut/0.png").read().unwrap();
    assert!(!photograph.mask_resized || photograph.mask.as_ref().unwrap().dimensions() == SIZE);
    assert!(photograph.mask_resized);
    // Pixel 15's centre is at 31 of 32: column 30 is not the nearest, so the mask's only column is lost with the size.
    assert!(anomalous_columns(sample(&dataset, "test/cut/0.png")).is_empty());
    let error = sample(&dataset, "test/cut/1.png").read().unwrap_err();
    assert!(
        matches!(&error, Error::Dataset { path, .. } if path.ends_with("1_mask.png")) && error.to_string().contains("16x14"),
        "{error}"
    );
}

#[test]
fn loco_joins_the_masks_of_an_image() {
    let disk = Disk::new();
    disk.photographs(&["box/train/good/0.png", "box/validation/good/0.png", "box/test/good/0.png", "box/test/logical_anomalies/0.png"]);
    disk.photographs(&["box/test/structural_anomalies/0.png"]);
    disk.mask("box/ground_truth/logical_anomalies/0/000.png", SIZE, 2, 1).mask(
        "box/ground_truth/logical_anomalies/0/001.png",
        SIZE,
        9,
        234,
    );
    let dataset = disk.open("mvtec-loco");
    let joined = sample(&dataset, "box/test/logical_anomalies/0.png");
    assert_eq!(anomalous_columns(joined), [2, 9]);
    assert_eq!(joined.read().unwrap().mask.unwrap().get_pixel(2, 0)[0], 255, "the number of a defect is not a grey level");
    assert_eq!(dataset.of("box", Split::Validation).len(), 1);
    assert_eq!(said(&dataset), ["box/test/structural_anomalies/0.png is anomalous and has no mask"]);
}

#[test]
fn mvtec_ad_2_has_its_masks_among_the_tests() {
    let disk = Disk::new();
    disk.photographs(&["can/train/good/0.png", "can/validation/good/0.png", "can/test_public/good/0.png", "can/test_public/bad/0.png"]);
    disk.photographs(&["can/test_private/0.png", "can/test_private_mixed/0.png"]);
    disk.mask("can/test_public/ground_truth/bad/0_mask.png", SIZE, 5, 255);
    let dataset = disk.open("mvtec-ad-2");
    assert_eq!(names(dataset.of("can", Split::Test)), ["can/test_public/bad/0.png", "can/test_public/good/0.png"]);
    assert_eq!(anomalous_columns(sample(&dataset, "can/test_public/bad/0.png")), [5]);
    assert!(dataset.problems.is_empty());
}

#[test]
fn btad_says_ok_and_ko() {
    let disk = Disk::new();
    disk.photographs(&["01/train/ok/0.bmp", "01/test/ok/0.bmp", "01/test/ko/0.bmp", "02/train/ok/0.png", "02/test/ok/0.png"]);
    disk.mask("01/ground_truth/ko/0.png", SIZE, 5, 255);
    let dataset = disk.open("btad");
    assert_eq!(dataset.classes(), ["01", "02"]);
    assert_eq!(anomalous_columns(sample(&dataset, "01/test/ko/0.bmp")), [5]);
    assert_eq!(said(&dataset), ["all test images of class \"02\" are normal"]);
}

#[test]
fn visa_is_what_its_list_says() {
    let disk = Disk::new();
    disk.photographs(&["pcb9/Data/Images/Normal/0.JPG", "pcb9/Data/Images/Normal/1.JPG", "pcb9/Data/Images/Anomaly/0.JPG"]);
    disk.mask("pcb9/Data/Masks/Anomaly/0.png", SIZE, 7, 2);
    disk.write(
        "split_csv/1cls.csv",
        "object,split,label,image,mask\n\
         pcb9,train,normal,pcb9/Data/Images/Normal/0.JPG,\n\
         pcb9,test,normal,pcb9/Data/Images/Normal/1.JPG,\n\
         pcb9,test,normal,pcb9/Data/Images/Normal/1.JPG,\n\
         pcb9,test,anomaly,pcb9/Data/Images/Anomaly/0.JPG,pcb9/Data/Masks/Anomaly/0.png\n\
         pcb9,test,anomaly,pcb9/Data/Images/Anomaly/1.JPG,pcb9/Data/Masks/Anomaly/1.png\n",
    );
    let dataset = disk.open("visa");
    assert_eq!(dataset.samples.len(), 4);
    let anomalous = sample(&dataset, "pcb9/Data/Images/Anomaly/0.JPG");
    assert_eq!(anomalous.read().unwrap().mask.unwrap().get_pixel(7, 0)[0], 255);
    assert_eq!(
        said(&dataset),
        [
            "pcb9/Data/Images/Anomaly/1.JPG is listed in split_csv/1cls.csv and is not there",
            "pcb9/Data/Images/Anomaly/1.JPG is anomalous and has no mask",
            "pcb9/Data/Images/Normal/1.JPG is listed twice",
        ]
    );
    assert!(matches!(sample(&dataset, "pcb9/Data/Images/Anomaly/1.JPG").read(), Err(Error::Io { .. })));
}

#[test]
fn bad_lists_are_refused_with_file_and_place() {
    let disk = Disk::new();
    let refused = |layout: &str| layout.parse::<Layout>().unwrap().open(disk.root()).unwrap_err().to_string();
    assert!(refused("visa").contains("1cls.csv"));
    disk.write("split_csv/1cls.csv", "object,split,label,image,mask\na,test,odd,x.png,\n");
    assert!(refused("visa").contains("the label of x.png is \"odd\""));
    disk.write("split_csv/1cls.csv", "object,split,label\na,test,normal\n");
    assert!(refused("visa").contains("image"), "{}", refused("visa"));
    assert!(refused("meta-json").contains("meta.json"));
    disk.write("meta.json", "{\"test\": {\"a\": [{\"img_path\": \"x.png\", \"anomaly\": 3}]}}");
    assert!(refused("meta-json").contains("the anomaly of x.png is 3"));
    disk.write("meta.json", "{\"test\": [");
    assert!(refused("meta-json").contains("line 1"), "{}", refused("meta-json"));
    disk.write("meta.json", "{}");
    assert!(refused("meta-json").contains("no images"));
    assert!(refused("mvtec").contains("train or test"));
    assert!(Layout::MvtecAd.open(disk.root().join("absent")).is_err());
    assert!("mvtecad".parse::<Layout>().unwrap_err().to_string().contains("visa-1cls"));
}

#[test]
fn meta_json_lists_both_splits() {
    let disk = Disk::new();
    disk.photographs(&["x/0.png", "x/1.png", "x/2.png"]).mask("m/2.png", SIZE, 1, 255);
    disk.write(
        "meta.json",
        r#"{"train": {"mug": [{"img_path": "x/0.png", "mask_path": "", "cls_name": "mug", "specie_name": "", "anomaly": 0}]},
            "test": {"mug": [{"img_path": "x/2.png", "mask_path": "m/2.png", "cls_name": "mug", "specie_name": "chip", "anomaly": 1},
                             {"img_path": "x/1.png", "mask_path": null, "cls_name": "mug", "specie_name": "good", "anomaly": 0}]}}"#,
    );
    let dataset = disk.open("meta-json");
    assert_eq!(names(&dataset.samples), ["x/0.png", "x/1.png", "x/2.png"]);
    assert_eq!(anomalous_columns(&dataset.samples[2]), [1]);
    assert!(dataset.problems.is_empty());
}

#[test]
fn folders_may_be_several_and_a_shared_name_gets_no_mask() {
    let disk = Disk::new();
    disk.photographs(&["good/0.png", "fine/0.png", "bad/0.png", "bad/1.png", "worse/0.png"]);
    disk.mask("masks/0.png", SIZE, 0, 255).mask("masks/1_mask.png", SIZE, 4, 255);
    let folder = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
    let folders = Folders::new(folder(&["good"]), folder(&["fine"]), folder(&["bad", "worse"]), folder(&["masks"]));
    let dataset = Layout::Folders(folders).open(disk.root()).unwrap();
    assert_eq!(names(&dataset.samples), ["good/0.png", "bad/0.png", "bad/1.png", "fine/0.png", "worse/0.png"]);
    assert_eq!(anomalous_columns(sample(&dataset, "bad/1.png")), [4]);
    assert!(sample(&dataset, "bad/0.png").masks.is_empty() && sample(&dataset, "worse/0.png").masks.is_empty());
    assert!(matches!(&dataset.problems[..], [Problem::AmbiguousMask { others, .. }] if others.len() == 2), "{:?}", said(&dataset));
    let error = "folder".parse::<Layout>().unwrap().open(disk.root()).unwrap_err();
    assert!(error.to_string().contains("good_test"), "{error}");
}

#[test]
fn photographs_come_in_order_and_an_unreadable_one_costs_nothing_else() {
    let disk = Disk::new();
    let all: Vec<String> = (0..20).map(|index| format!("test/good/{index:02}.png")).collect();
    disk.photographs(&all.iter().map(String::as_str).collect::<Vec<_>>()).write("test/good/07.png", "not an image");
    let dataset = disk.open("mvtec");
    for (threads, ahead) in [(1, 0), (3, 1), (64, 2)] {
        let loader = Loader::new(dataset.samples.clone(), NonZeroUsize::new(threads).unwrap(), ahead);
        assert_eq!(loader.len(), 20);
        let read: Vec<_> = loader.collect();
        assert_eq!(read.iter().map(|(sample, _)| &sample.name).collect::<Vec<_>>(), all.iter().collect::<Vec<_>>());
        let failed: Vec<_> = read.iter().filter(|(_, read)| read.is_err()).map(|(sample, _)| sample.name.as_str()).collect();
        assert_eq!(failed, ["test/good/07.png"]);
    }
    let mut abandoned = Loader::new(dataset.samples.clone(), NonZeroUsize::MIN, 0);
    assert!(abandoned.next().is_some());
    assert_eq!(Loader::new(vec![], NonZeroUsize::MIN, 0).count(), 0);
}

fn normals(count: usize) -> Dataset {
    let sample = |index: usize| Sample {
        name: format!("train/good/{index:03}.png"),
        class: "a".into(),
        kind: "good".into(),
        label: Label::Normal,
        split: Split::Train,
        image: PathBuf::new(),
        masks: vec![],
        mask_values: MaskValues::Grey,
    };
    Dataset::new("a", (0..count).rev().map(sample).collect(), vec![]).unwrap()
}

#[test]
fn fixed_rounds_are_the_papers() {
    let dataset = normals(10);
    let normals = dataset.normals("a");
    let chosen = |shots, round| Draw::Fixed.choose(&normals, shots, round).map(|chosen| names(chosen).join(" "));
    assert_eq!(chosen(2, 0).unwrap(), "train/good/000.png train/good/001.png");
    assert_eq!(chosen(2, 4).unwrap(), "train/good/008.png train/good/009.png");
    assert_eq!(chosen(0, 3).unwrap(), "");
    assert!(chosen(4, 2).unwrap_err().to_string().contains("more than the 10"));
    assert!(chosen(usize::MAX, 3).is_err());
}

#[test]
fn listed_rounds_are_found_by_name() {
    let dataset = normals(3);
    let normals = dataset.normals("a");
    let draw = Draw::Listed(vec![vec!["002.png".into(), "train/good/000.png".into()], vec!["2.png".into()]]);
    assert_eq!(names(draw.choose(&normals, 2, 0).unwrap()), ["train/good/002.png", "train/good/000.png"]);
    for (shots, round, reason) in [(1, 1, "\"2.png\""), (3, 0, "lists 2"), (1, 2, "2 rounds")] {
        assert!(draw.choose(&normals, shots, round).unwrap_err().to_string().contains(reason));
    }
}

#[test]
fn a_seed_draws_the_same_for_ever() {
    let dataset = normals(10);
    let chosen = Draw::Seeded(7).choose(&dataset.normals("a"), 3, 2).unwrap();
    assert_eq!(names(chosen), ["train/good/005.png", "train/good/006.png", "train/good/002.png"]);
}

#[test]
fn rounds_differ_while_they_can() {
    let dataset = normals(5);
    let all = dataset.normals("a");
    let drawn = |shots, round| -> BTreeSet<String> {
        names(Draw::Seeded(0).choose(&all, shots, round).unwrap()).into_iter().map(str::to_owned).collect()
    };
    for (shots, choices) in [(1, 5), (2, 10), (4, 5), (5, 1), (0, 1)] {
        let rounds: BTreeSet<_> = (0..choices).map(|round| drawn(shots, round)).collect();
        assert_eq!(rounds.len(), choices, "{shots} of 5");
        assert!(rounds.contains(&drawn(shots, choices)), "there is nothing else to draw");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn seeded_draws_differ_and_grow(seed in 0u64..1000, round in 0usize..9, shots in 2usize..20) {
        let dataset = normals(20);
        let all = dataset.normals("a");
        let draw = |shots, round| names(Draw::Seeded(seed).choose(&all, shots, round).unwrap());
        let chosen = draw(shots, round);
        prop_assert_eq!(chosen.iter().collect::<BTreeSet<_>>().len(), shots);
        prop_assert_eq!(&draw(shots, 0)[..], &draw(20, 0)[..shots]);
        prop_assert_ne!(chosen, draw(shots, round + 1));
        prop_assert!(Draw::Seeded(seed).choose(&all, 21, round).is_err());
    }
}
