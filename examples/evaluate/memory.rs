//! The most memory that this process has held, where the system says it (Linux).

use std::fs;

/// Starts to count anew.
pub(crate) fn reset_peak() {
    // Where this can't be done, peaks are those of the whole run, or unknown.
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// Most bytes held since the last [`reset_peak`].
pub(crate) fn peak() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(1024 * kilobytes)
}
