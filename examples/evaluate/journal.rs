//! Results on disk as they come, and the way back from there after an interruption.
//!
//! One JSON object a line: what the run's numbers depend on, then rows, each group of which ends in a finished cell (one class,
//! number of shots and round). What comes after the last finished cell is done again. Lines that can't be written whole, on a full
//! disk, are taken back, so that all that was written before stays readable.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use anomalygpt::{
    Error,
    eval::{ClassResults, report::ImageResult},
};
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
    /// Most bytes that it took to be made ready, and then to look at an image.
    pub(crate) memory_bytes: u64,
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
    /// Most bytes that the process had in memory, where the system says it.
    pub(crate) peak_resident_bytes: Option<u64>,
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
    /// Where its last whole line ends.
    end: u64,
    pub(crate) cells: Vec<Cell>,
}

impl Journal {
    /// Goes on with the file at `path` where it belongs to the same run, and begins one where there is none.
    pub(crate) fn open(path: &Path, run: &Value, restart: bool) -> Result<Self, Failure> {
        let mut options = OpenOptions::new();
        let opened = options.read(true).write(true).create(true).truncate(restart).open(path);
        let file = opened.map_err(|error| io_error(path, error))?;
        let (cells, end) = finished(&file, path, run)?;
        let mut journal = Self { path: path.into(), file, end, cells };
        journal.cut().map_err(|error| io_error(path, error))?;
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
        let file = File::open(&self.path).map_err(|error| io_error(&self.path, error))?;
        let mut rows = Vec::new();
        for line in BufReader::new(file).lines() {
            let line = line.map_err(|error| io_error(&self.path, error))?;
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
        if let Err(error) = self.file.write_all(text.as_bytes()) {
            // If this fails too, the next run finds the end of the last finished cell all the same.
            let _ = self.cut();
            return Err(io_error(&self.path, error));
        }
        self.end += text.len() as u64;
        Ok(())
    }

    /// Leaves whole lines only.
    fn cut(&mut self) -> io::Result<()> {
        self.file.set_len(self.end)?;
        self.file.seek(SeekFrom::Start(self.end)).map(drop)
    }
}

fn io_error(path: &Path, source: io::Error) -> Failure {
    Error::Io { path: path.into(), source }.into()
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
