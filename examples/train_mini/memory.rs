//! How the C library keeps memory while tensors come and go.

/// glibc gives the memory of each large tensor back to the system, and a step of training spends a quarter of its time getting it anew. It
/// reads its settings when a program starts, so the program starts once more with them, unless somebody has set others.
///
/// # Errors
/// What the system reports where the program can't be started.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn kept() -> std::io::Result<()> {
    use std::{env, os::unix::process::CommandExt, process::Command};

    /// Largest block that is given back at once, and unused memory from which on the rest is given back: more than there is.
    const SETTINGS: [(&str, &str); 2] = [("MALLOC_MMAP_THRESHOLD_", "4294967296"), ("MALLOC_TRIM_THRESHOLD_", "17179869184")];

    if SETTINGS.iter().any(|(name, _)| env::var_os(name).is_some()) {
        return Ok(());
    }
    Err(Command::new(env::current_exe()?).args(env::args_os().skip(1)).envs(SETTINGS).exec())
}

/// Others keep memory by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn kept() -> std::io::Result<()> {
    Ok(())
}
