//! Named host tensors, and strict loading of them into modules: what is missing, unused or misshapen is one typed error.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param},
    tensor::{DType, Tensor, TensorData},
};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use super::{Checkpoint, TensorSource};
use crate::error::{Error, Result};

/// Named tensors in host memory, and where they came from.
#[derive(Clone, Debug)]
pub struct StateDict {
    pub(super) origin: String,
    pub(super) tensors: BTreeMap<String, TensorData>,
}

/// How a file lays out and names parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Linear weights `[in, out]`; norms have `gamma` and `beta`.
    Burn,
    /// Linear weights `[out, in]`; norms have `weight` and `bias`.
    PyTorch,
}

impl StateDict {
    /// An empty set of tensors; `origin` names it in errors.
    pub fn new(origin: impl Into<String>) -> Self {
        Self { origin: origin.into(), tensors: BTreeMap::new() }
    }

    /// Reads a file of tensors one by one; floats become `f32`.
    ///
    /// # Errors
    /// Those of [`Checkpoint::open`] and of [`TensorSource::read`].
    pub fn read(path: &Path) -> Result<Self> {
        Checkpoint::open(path)?.state_dict(&|name| Some(name.to_owned()))
    }

    /// Parses a safetensors file's bytes; `f16`, `bf16` and `f32` tensors become `f32`.
    ///
    /// # Errors
    /// [`Error::Weights`] for anything that is not a safetensors file or holds another type.
    pub fn from_safetensors(origin: impl Into<String>, bytes: &[u8]) -> Result<Self> {
        let mut state = Self::new(origin);
        let file = SafeTensors::deserialize(bytes).map_err(|error| Error::weights(&state.origin, error))?;
        for (name, view) in file.iter() {
            let dtype = match view.dtype() {
                Dtype::F32 => DType::F32,
                Dtype::F16 => DType::F16,
                Dtype::BF16 => DType::BF16,
                Dtype::I64 => DType::I64,
                Dtype::U8 => DType::U8,
                other => return Err(Error::weights(&state.origin, format!("tensor {name} has the type {other:?}"))),
            };
            let data = TensorData::try_from_bytes_vec(view.data().to_vec(), view.shape().to_vec(), dtype);
            let data = data.map_err(|error| Error::weights(&state.origin, format!("tensor {name}: {error}")))?;
            state.insert(name, if dtype.is_float() { data.convert::<f32>() } else { data });
        }
        Ok(state)
    }

    /// The bytes of a safetensors file with all tensors in `f16`.
    ///
    /// # Errors
    /// [`Error::Weights`] where a tensor is not of floats.
    pub fn to_safetensors_f16(&self) -> Result<Vec<u8>> {
        let halves: BTreeMap<&str, TensorData> =
            self.tensors.iter().map(|(name, data)| (name.as_str(), data.clone().convert::<half::f16>())).collect();
        let views = halves
            .iter()
            .map(|(name, data)| TensorView::new(Dtype::F16, data.shape().to_vec(), data.as_bytes()).map(|view| (*name, view)))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| Error::weights(&self.origin, error))?;
        safetensors::serialize(views, None).map_err(|error| Error::weights(&self.origin, error))
    }

    /// Adds or replaces a tensor.
    pub fn insert(&mut self, name: impl Into<String>, data: TensorData) {
        self.tensors.insert(name.into(), data);
    }

    /// A tensor by name.
    ///
    /// # Errors
    /// [`Error::WeightsMismatch`] where there is none.
    pub fn get(&self, name: &str) -> Result<&TensorData> {
        self.tensors.get(name).ok_or_else(|| self.mismatch(vec![name.into()], vec![], vec![]))
    }

    /// Names in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The tensors whose names start with `prefix`, without it.
    #[must_use]
    pub fn under(&self, prefix: &str) -> Self {
        self.renamed(|name| name.strip_prefix(prefix).map(str::to_owned))
    }

    /// The tensors under new names; those named `None` are left out.
    #[must_use]
    pub fn renamed(&self, rename: impl Fn(&str) -> Option<String>) -> Self {
        let tensors = self.tensors.iter().filter_map(|(name, data)| Some((rename(name)?, data.clone()))).collect();
        Self { origin: self.origin.clone(), tensors }
    }

    /// The parameters of a module under their paths, in Burn's layout.
    pub fn of<M: Module>(module: &M, origin: impl Into<String>) -> Self {
        let mut collector = Collector { path: PathBuf::new(), state: Self::new(origin) };
        module.visit(&mut collector);
        collector.state
    }

    /// Fills every parameter of `module`, and uses every tensor.
    ///
    /// # Errors
    /// [`Error::WeightsMismatch`] with all that is missing, unused or of another shape.
    pub fn load_into<M: Module>(self, module: M, layout: Layout) -> Result<M> {
        let mut loader = Loader { path: vec![], containers: vec![], state: self, layout, missing: vec![], misfits: vec![] };
        let module = module.map(&mut loader);
        let Loader { state, missing, misfits, .. } = loader;
        if state.tensors.is_empty() && missing.is_empty() && misfits.is_empty() {
            return Ok(module);
        }
        let unused = state.tensors.keys().cloned().collect();
        Err(state.mismatch(missing, unused, misfits))
    }

    pub(super) fn mismatch(&self, missing: Vec<String>, unused: Vec<String>, misfits: Vec<String>) -> Error {
        Error::WeightsMismatch { origin: self.origin.clone(), missing, unused, misfits }
    }
}

struct Collector {
    path: PathBuf,
    state: StateDict,
}

impl ModuleVisitor for Collector {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name);
    }
    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let name = self.path.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join(".");
        self.state.insert(name, param.val().into_data());
    }
}

struct Loader {
    path: Vec<String>,
    containers: Vec<String>,
    state: StateDict,
    layout: Layout,
    missing: Vec<String>,
    misfits: Vec<String>,
}

impl Loader {
    fn in_container(&self, types: &[&str]) -> bool {
        self.containers.last().is_some_and(|container| types.iter().any(|name| container.strip_prefix("Struct:") == Some(name)))
    }

    fn name(&self) -> String {
        let mut path = self.path.clone();
        if self.layout == Layout::PyTorch && self.in_container(&["LayerNorm", "RmsNorm", "BatchNorm"]) {
            match path.last_mut() {
                Some(last) if last == "gamma" => *last = "weight".into(),
                Some(last) if last == "beta" => *last = "bias".into(),
                _ => {}
            }
        }
        path.join(".")
    }
}

impl ModuleMapper for Loader {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.push(name.into());
        self.containers.push(container.into());
    }
    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
        self.containers.pop();
    }
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = self.name();
        let Some(data) = self.state.tensors.remove(&name) else {
            self.missing.push(name);
            return param;
        };
        let transposed = self.layout == Layout::PyTorch && D == 2 && self.in_container(&["Linear"]) && name.ends_with("weight");
        let mut expected = param.lazy_shape().to_vec();
        if transposed {
            expected.reverse();
        }
        if data.shape().to_vec() != expected || !data.dtype().is_float() {
            self.misfits.push(format!("{name}: expected floats {expected:?}, found {:?} {:?}", data.dtype(), data.shape().to_vec()));
            return param;
        }
        let tensor = Tensor::<D>::from_data(data, &param.lazy_device());
        let id = param.id;
        param.transform_for_load(if transposed { tensor.transpose() } else { tensor }, id)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use burn::{
        nn::{LayerNormConfig, Linear, LinearConfig},
        tensor::Device,
    };

    use super::*;

    #[derive(Module, Debug)]
    struct Pair {
        first: Linear,
        norm: burn::nn::LayerNorm,
    }

    fn pair() -> Pair {
        let device = Device::default();
        Pair { first: LinearConfig::new(3, 2).init(&device), norm: LayerNormConfig::new(2).init(&device) }
    }

    #[test]
    fn what_is_collected_loads_again() {
        let state = StateDict::of(&pair(), "a test");
        let bytes = state.to_safetensors_f16().unwrap();
        let loaded = StateDict::from_safetensors("a test", &bytes).unwrap().load_into(pair(), Layout::Burn).unwrap();
        assert_eq!(StateDict::of(&loaded, "a test").to_safetensors_f16().unwrap(), bytes);
    }

    #[test]
    fn pytorch_layout_transposes_and_renames() {
        let mut state = StateDict::new("a test");
        state.insert("first.weight", TensorData::from([[1.0f32, 2.0, 3.0], [4.0, 5.0, 6.0]]));
        state.insert("first.bias", TensorData::from([0.0f32, 0.0]));
        state.insert("norm.weight", TensorData::from([1.0f32, 1.0]));
        state.insert("norm.bias", TensorData::from([7.0f32, 7.0]));
        let loaded = state.load_into(pair(), Layout::PyTorch).unwrap();
        assert_eq!(loaded.first.weight.val().into_data().try_to_vec::<f32>().unwrap(), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
        assert_eq!(loaded.norm.beta.unwrap().val().into_data().try_to_vec::<f32>().unwrap(), [7.0, 7.0]);
    }

    #[test]
    fn a_mismatch_lists_all_that_is_wrong() {
        let mut state = StateDict::new("there");
        state.insert("first.weight", TensorData::from([[1.0f32]]));
        state.insert("second.weight", TensorData::from([1.0f32]));
        let Err(Error::WeightsMismatch { origin, missing, unused, misfits }) = state.load_into(pair(), Layout::Burn) else { panic!() };
        assert_eq!(origin, "there");
        assert_eq!(missing, ["first.bias", "norm.gamma", "norm.beta"]);
        assert_eq!(unused, ["second.weight"]);
        assert!(misfits[0].contains("first.weight") && misfits[0].contains("[3, 2]"), "{misfits:?}");
    }
}
