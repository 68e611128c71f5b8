//! The published files opened, put together and checked, and nothing of them read.

use std::path::{Path, PathBuf};

use super::{PublishedConfig, PublishedFiles, PublishedSources};
use crate::{
    error::{Error, Result},
    weights::{
        Checkpoint, Part, Selection, TensorSource, check_pairing,
        merge::{WithAdapters, WithDifference},
    },
};

/// The configuration in a folder that [`PublishedFiles::convert`] wrote.
pub(super) const CONFIG: &str = "published.json";

/// The published tensors, with all differences and adapters in place.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) imagebind: Box<dyn TensorSource>,
    pub(super) language_model: Box<dyn TensorSource>,
    pub(super) projection: Box<dyn TensorSource>,
    pub(super) anomalygpt: Box<dyn TensorSource>,
    /// Where the language model's `config.json` and tokenizer are.
    pub(super) folder: PathBuf,
}

impl PublishedFiles {
    /// A folder that [`convert`](Self::convert) wrote, with its own configuration.
    ///
    /// # Errors
    /// As [`PublishedConfig::read`].
    pub fn converted(folder: &Path) -> Result<Self> {
        let config = PublishedConfig::read(&folder.join(CONFIG))?;
        let [imagebind, llama, pandagpt, anomalygpt] = [(); 4].map(|()| folder.to_path_buf());
        Ok(Self { imagebind, llama, pandagpt, anomalygpt, config, ..Self::default() })
    }

    pub(super) fn open(&self) -> Result<Opened> {
        let [imagebind, llama, panda, anomalygpt] = [&self.imagebind, &self.llama, &self.pandagpt, &self.anomalygpt].map(Checkpoint::open);
        let (llama, panda) = (llama?, panda?);
        let merged = is_whole(&llama);
        if merged && !is_whole(&panda) {
            let reason = format!("{} has adapters merged in, and {} has others", llama.origin().display(), panda.origin().display());
            return Err(Error::InvalidConfig { what: "files of the published model", reason: reason.into() });
        }
        let mut folder = &self.llama;
        let mut vicuna = part(llama, &[Part::LanguageModel]);
        if let Some(delta) = &self.vicuna_delta {
            vicuna = Box::new(WithDifference::new(vicuna, Checkpoint::open(delta)?)?);
            folder = if delta.join("config.json").exists() { delta } else { folder };
        }
        let imagebind = part(imagebind?, &[Part::ImageBind]);
        let anomalygpt = part(anomalygpt?, &[Part::Decoder, Part::PromptLearner]);
        let projection = part(panda.clone(), &[Part::Projection]);
        check_pairing(&[&imagebind, &vicuna, &panda, &anomalygpt], &[])?;
        let language_model = if merged { vicuna } else { Box::new(WithAdapters::new(vicuna, panda, self.config.lora_alpha)?) };
        Ok(Opened { imagebind, language_model, projection, anomalygpt, folder: folder.clone() })
    }
}

impl Opened {
    pub(super) fn sources(&self) -> PublishedSources<'_> {
        let Self { imagebind, language_model, projection, anomalygpt, .. } = self;
        PublishedSources { imagebind, language_model, projection, anomalygpt }
    }
}

/// Whether all parts are in one, as in a folder that [`PublishedFiles::convert`] wrote.
fn is_whole(checkpoint: &Checkpoint) -> bool {
    let (parts, _) = Part::all(checkpoint);
    [Part::ImageBind, Part::LanguageModel, Part::Projection].iter().all(|part| parts.contains(part))
}

/// The named parts of a whole; all of anything else, so that loading tells what does not belong there.
fn part(checkpoint: Checkpoint, parts: &[Part]) -> Box<dyn TensorSource> {
    if is_whole(&checkpoint) { Box::new(Selection::new(checkpoint, parts)) } else { Box::new(checkpoint) }
}
