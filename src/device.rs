//! Compute devices, and what comes back from them.

use burn::tensor::{Device, Tensor};

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

/// All values of what `component` gives, row by row.
pub(crate) fn host<const D: usize>(component: &'static str, tensor: Tensor<D>) -> Result<Vec<f32>> {
    tensor.into_data().convert::<f32>().try_to_vec().map_err(|error| Error::component(component, error.to_string()))
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
