//! Memory: what a piece of work takes, and what the process has held.

use std::{alloc::System, fs};

use peakmem_alloc::{INSTRUMENTED_SYSTEM, PeakMemAlloc, PeakMemAllocTrait as _};

#[global_allocator]
static ALLOCATOR: &PeakMemAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Does the work, and says how many bytes it and whatever runs beside it took at most, on top of what there was.
pub(crate) fn measured<T>(work: impl FnOnce() -> T) -> (T, u64) {
    ALLOCATOR.reset_peak_memory();
    let done = work();
    (done, ALLOCATOR.get_peak_memory() as u64)
}

/// Starts to count [`peak_resident`] anew, where the system can (Linux).
pub(crate) fn reset_peak_resident() {
    // Where this can't be done, peaks are those of the whole run, or unknown.
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// Most bytes of the process in memory since the last reset, as Linux says it (`VmHWM`); `None` elsewhere.
pub(crate) fn peak_resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(1024 * kilobytes)
}
