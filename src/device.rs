//! Compute devices.

use burn::tensor::Device;

use crate::error::{Error, Result};

/// Whether a device is the processor that this code runs on.
pub(crate) fn runs_on_host(device: &Device) -> bool {
    let device = device.clone().without_autodiff();
    #[cfg(feature = "flex")]
    if device == Device::flex() {
        return true;
    }
    #[cfg(feature = "ndarray")]
    #[allow(deprecated)]
    if device == Device::ndarray() {
        return true;
    }
    drop(device);
    false
}

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
