//! A trainer on disk: module, optimizer and step, so that a resumed run goes on bit for bit.

use std::{fs, path::Path};

use burn::{config::Config, module::Module};

use super::{Trainer, TrainerConfig};
use crate::error::{Error, Result};

const MODULE: &str = "module.bpk";
const OPTIMIZER: &str = "optimizer.bpk";
const STATE: &str = "state.json";

/// What a checkpoint holds besides tensors.
#[derive(Config, Debug)]
struct State {
    step: usize,
    config: TrainerConfig,
}

impl<M: Module> Trainer<M> {
    /// Writes module, optimizer and step into the folder `path`, made if need be.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Weights`] with the path.
    pub fn save(&self, path: &Path) -> Result<()> {
        fs::create_dir_all(path).map_err(|source| Error::io(path, source))?;
        let weights = |name: &str, error: String| Error::weights(path.join(name).display().to_string(), error);
        self.module.clone().save_file(path.join(MODULE)).map_err(|error| weights(MODULE, error.to_string()))?;
        self.optimizer.save(path.join(OPTIMIZER)).map_err(|error| weights(OPTIMIZER, error.to_string()))?;
        let state = State { step: self.step, config: self.config.clone() };
        state.save(path.join(STATE)).map_err(|source| Error::io(path.join(STATE), source))
    }

    /// Goes on from the folder `path`: `module` is one of the same shape on the same device, whose values do not matter.
    ///
    /// # Errors
    /// [`Error::Weights`] with the path; [`Error::InvalidConfig`] where `config` is not the one that was saved.
    pub fn resume(module: M, config: TrainerConfig, path: &Path) -> Result<Self> {
        let weights = |name: &str, error: String| Error::weights(path.join(name).display().to_string(), error);
        let state = State::load(path.join(STATE)).map_err(|error| weights(STATE, error.to_string()))?;
        if state.config != config {
            let reason = format!("{} was made with {:?}, not {config:?}", path.display(), state.config);
            return Err(Error::InvalidConfig { what: "trainer", reason: reason.into() });
        }
        let mut trainer = Self::new(module, config)?;
        trainer.module = trainer.module.try_load_file(path.join(MODULE)).map_err(|error| weights(MODULE, error.to_string()))?;
        trainer.optimizer = trainer.optimizer.load(path.join(OPTIMIZER)).map_err(|error| weights(OPTIMIZER, error.to_string()))?;
        trainer.step = state.step;
        Ok(trainer)
    }
}
