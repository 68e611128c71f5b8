//! Files that are whole or not there.

use std::{
    io::{self, BufWriter, Write},
    path::Path,
};

use tempfile::Builder;

use crate::error::{Error, Result};

/// Writes beside `path`, then moves there.
pub(super) fn whole(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    try_whole(path, write).map_err(|source| Error::io(path, source))
}

fn try_whole(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = Builder::new();
    builder.prefix(".report-");
    #[cfg(unix)]
    {
        use std::{fs::Permissions, os::unix::fs::PermissionsExt as _};
        // A temporary file is its owner's alone; a report is for everybody whom the system's mask lets in.
        builder.permissions(Permissions::from_mode(0o666));
    }
    let mut file = BufWriter::new(builder.tempfile_in(folder)?);
    write(&mut file)?;
    let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.as_file().sync_all()?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_failure_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.html");
        whole(&path, |file| file.write_all(b"old")).unwrap();
        let error = whole(&path, |file| {
            file.write_all(&[b'x'; 100_000])?;
            Err(io::ErrorKind::StorageFull.into())
        });
        assert!(matches!(error, Err(Error::Io { path: named, source }) if named == path && source.kind() == io::ErrorKind::StorageFull));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing half written stays");
        whole(&path, |file| file.write_all(b"new")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn a_folder_that_is_none_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path().join("missing/report.html"), folder.path().to_owned()] {
            assert!(matches!(whole(&path, |_| Ok(())), Err(Error::Io { path: named, .. }) if named == path));
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
