//! Results on disk as they come, and the way back from there after an interruption.
//!
//! One JSON object a line: what the run's numbers depend on, then rows, each group of which ends in a finished cell (one class,
//! number of shots and round). What comes after the last finished cell is done again.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
};

use anomalygpt::eval::{ClassResults, report::ImageResult};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Failure;

/// One image by one method.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) method: String,
    pub(crate) shots: usize,
    pub(crate) round: usize,
    /// The folder of its defect.
    pub(crate) kind: String,
    /// What the results hold.
    #[serde(flatten)]
    pub(crate) image: ImageResult,
    /// The map, where maps are written.
    pub(crate) map: Option<PathBuf>,
    /// Why there is no result.
    pub(crate) error: Option<String>,
}

/// Where the time of a cell went, in seconds.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Times {
    /// Everything.
    pub(crate) total: f64,
    /// The encoder, with fitting images to its size.
    pub(crate) encoder: f64,
    /// The methods after it, and making them ready.
    pub(crate) methods: f64,
}

/// What one method did in a cell.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct MethodResults {
    pub(crate) method: String,
    /// One a protocol, in the run's order.
    pub(crate) protocols: Vec<ClassResults>,
    /// Seconds to take in the normal images.
    pub(crate) fit_seconds: f64,
    /// Seconds for all images after the encoder.
    pub(crate) seconds: f64,
    /// Most memory of the process while it was made ready and looked at its first image, in bytes.
    pub(crate) peak_bytes: Option<u64>,
}

/// A class with one choice of normal images.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Cell {
    pub(crate) class: String,
    pub(crate) shots: usize,
    pub(crate) round: usize,
    /// Names of the normal images.
    pub(crate) normals: Vec<String>,
    /// Images that were evaluated.
    pub(crate) images: usize,
    pub(crate) failed: usize,
    pub(crate) masks_resized: usize,
    pub(crate) times: Times,
    pub(crate) methods: Vec<MethodResults>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    Run(Value),
    Row(Row),
    Cell(Cell),
}

/// The file, and what it holds.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    pub(crate) cells: Vec<Cell>,
}

impl Journal {
    /// Goes on with the file at `path` where it belongs to the same run, and begins one where there is none.
    pub(crate) fn open(path: &Path, run: &Value, restart: bool) -> Result<Self, Failure> {
        let fail = |error: std::io::Error| Failure::Other(format!("{}: {error}", path.display()));
        let mut options = OpenOptions::new();
        let mut file = options.read(true).write(true).create(true).truncate(restart).open(path).map_err(fail)?;
        let (cells, end) = finished(&file, path, run)?;
        file.set_len(end).map_err(fail)?;
        std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0)).map_err(fail)?;
        let mut journal = Self { path: path.into(), file, cells };
        if end == 0 {
            journal.write(&[Line::Run(run.clone())])?;
        }
        Ok(journal)
    }

    pub(crate) fn has(&self, class: &str, shots: usize, round: usize) -> bool {
        self.cells.iter().any(|cell| cell.class == class && cell.shots == shots && cell.round == round)
    }

    pub(crate) fn rows(&mut self, rows: &[Row]) -> Result<(), Failure> {
        self.write(&rows.iter().cloned().map(Line::Row).collect::<Vec<_>>())
    }

    pub(crate) fn cell(&mut self, cell: Cell) -> Result<(), Failure> {
        self.write(&[Line::Cell(cell.clone())])?;
        self.cells.push(cell);
        Ok(())
    }

    /// All rows of finished cells.
    pub(crate) fn all_rows(&self) -> Result<Vec<Row>, Failure> {
        let file = File::open(&self.path).map_err(|error| format!("{}: {error}", self.path.display()))?;
        let mut rows = Vec::new();
        for line in BufReader::new(file).lines() {
            let line = line.map_err(|error| format!("{}: {error}", self.path.display()))?;
            if let Ok(Line::Row(row)) = serde_json::from_str(&line) {
                rows.push(row);
            }
        }
        Ok(rows)
    }

    fn write(&mut self, lines: &[Line]) -> Result<(), Failure> {
        let mut text = String::new();
        for line in lines {
            text += &serde_json::to_string(line).map_err(|error| error.to_string())?;
            text.push('\n');
        }
        self.file.write_all(text.as_bytes()).map_err(|error| Failure::Other(format!("{}: {error}", self.path.display())))
    }
}

/// The finished cells of a file, and where the last of them ends.
fn finished(file: &File, path: &Path, run: &Value) -> Result<(Vec<Cell>, u64), Failure> {
    let (mut cells, mut end, mut at) = (Vec::new(), 0, 0);
    let mut reader = BufReader::new(file);
    let mut line = String::new();
    loop {
        line.clear();
        // A line that is not text is one that was cut off, or no journal at all.
        let Ok(read) = reader.read_line(&mut line) else { break };
        if read == 0 || !line.ends_with('\n') {
            break;
        }
        let first = at == 0;
        at += read as u64;
        match serde_json::from_str(&line) {
            Ok(Line::Run(before)) if first => {
                refuse_other_run(path, &before, run)?;
                end = at;
            }
            Ok(Line::Cell(cell)) if !first => {
                cells.push(cell);
                end = at;
            }
            Ok(Line::Row(_)) if !first => {}
            _ if first => return Err(Failure::Other(format!("{} is no run of this program; name another --report", path.display()))),
            _ => break,
        }
    }
    Ok((cells, end))
}

fn refuse_other_run(path: &Path, before: &Value, now: &Value) -> Result<(), Failure> {
    let fields = |value: &Value| -> BTreeMap<String, Value> { serde_json::from_value(value.clone()).unwrap_or_default() };
    let (before, now) = (fields(before), fields(now));
    let mut differing: Vec<String> = Vec::new();
    for name in before.keys().chain(now.keys().filter(|name| !before.contains_key(*name))) {
        let (left, right) = (before.get(name).unwrap_or(&Value::Null), now.get(name).unwrap_or(&Value::Null));
        if left != right {
            differing.push(format!("{name} was {left} and is {right}"));
        }
    }
    if differing.is_empty() {
        return Ok(());
    }
    let differing = differing.join("; ");
    Err(Failure::Usage(format!(
        "{} belongs to a run with other options: {differing}. Name another --report, or add --restart",
        path.display()
    )))
}
