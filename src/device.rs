//! The default compute device.

use burn::tensor::Device;

use crate::error::{Error, Result};

/// Burn's default device among the backends that are compiled in; the variable `BURN_DEVICE` chooses another.
///
/// # Errors
/// [`Error::NoBackend`] where the crate was built without one.
pub fn default_device() -> Result<Device> {
    if cfg!(any(feature = "flex", feature = "ndarray", feature = "wgpu", feature = "cuda")) {
        Ok(Device::default())
    } else {
        Err(Error::NoBackend)
    }
}
