//! A trainer on disk: module, optimizer and step, so that a resumed run goes on bit for bit.
//!
//! Tensors lie in files of their step; the state names it, and is replaced in one go, so that what is broken off while it is saved
//! goes on from the checkpoint before. One of the very same step goes first, and is not half written over.

use std::{
    fs,
    path::{Path, PathBuf},
};

use burn::{config::Config, module::Module};

use super::{Trainer, TrainerConfig};
use crate::error::{Error, Result};

const STATE: &str = "state.json";

/// What a checkpoint holds besides tensors.
#[derive(Config, Debug)]
struct State {
    step: usize,
    config: TrainerConfig,
}

/// The files of module and optimizer after so many steps.
fn tensors(folder: &Path, step: usize) -> [PathBuf; 2] {
    ["module", "optimizer"].map(|part| folder.join(format!("{part}-{step}.bpk")))
}

impl<M: Module> Trainer<M> {
    /// Writes module, optimizer and step into the folder `path`, made if need be, in the place of a checkpoint that is there.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Weights`] with the path.
    pub fn save(&self, path: &Path) -> Result<()> {
        fs::create_dir_all(path).map_err(|source| Error::io(path, source))?;
        let (file, unfinished) = (path.join(STATE), path.join("state.json.unfinished"));
        let before = State::load(&file).map(|state| state.step).ok();
        if before == Some(self.step) {
            fs::remove_file(&file).map_err(|source| Error::io(&file, source))?;
        }
        let [module, optimizer] = tensors(path, self.step);
        self.module.clone().save_file(&module).map_err(|error| weights(&module, error))?;
        self.optimizer.save(&optimizer).map_err(|error| weights(&optimizer, error))?;
        let state = State { step: self.step, config: self.config.clone() };
        state.save(&unfinished).and_then(|()| fs::rename(&unfinished, &file)).map_err(|source| Error::io(&file, source))?;
        let outdated = before.filter(|&step| step != self.step).map(|step| tensors(path, step));
        outdated.into_iter().flatten().try_for_each(|file| fs::remove_file(&file).map_err(|source| Error::io(file, source)))
    }

    /// Goes on from the folder `path`: `module` is one of the same shape on the same device, whose values do not matter.
    ///
    /// # Errors
    /// [`Error::Weights`] with the path; [`Error::InvalidConfig`] where `config` is not the one that was saved.
    pub fn resume(module: M, config: TrainerConfig, path: &Path) -> Result<Self> {
        let file = path.join(STATE);
        let state = State::load(&file).map_err(|error| weights(&file, error))?;
        if state.config != config {
            let reason = format!("{} was made with {:?}, not {config:?}", path.display(), state.config);
            return Err(Error::InvalidConfig { what: "trainer", reason: reason.into() });
        }
        let mut trainer = Self::new(module, config)?;
        let [module, optimizer] = tensors(path, state.step);
        trainer.module = trainer.module.try_load_file(&module).map_err(|error| weights(&module, error))?;
        trainer.optimizer = trainer.optimizer.load(&optimizer).map_err(|error| weights(&optimizer, error))?;
        trainer.step = state.step;
        Ok(trainer)
    }
}

fn weights(file: &Path, error: impl ToString) -> Error {
    Error::weights(file.display().to_string(), error.to_string())
}
