//! Names of the published checkpoints' tensors, and the modules' paths for them.

/// Path in a [`ConvPromptLearner`](crate::prompt_learner::ConvPromptLearner) of a checkpoint's tensor; `None` for a tensor
/// of another part.
///
/// `prompt_learner.meta_net` counts ReLU and pooling layers too, so that every third of its entries has weights; the image
/// token's projection is `llama_proj`.
pub fn prompt_learner(name: &str) -> Option<String> {
    if name.starts_with("llama_proj.") {
        return Some(name.into());
    }
    let name = name.strip_prefix("prompt_learner.")?;
    let layer = || {
        let (index, parameter) = name.strip_prefix("meta_net.")?.split_once('.')?;
        let index = index.parse::<usize>().ok().filter(|index| index.is_multiple_of(3))?;
        Some(format!("meta_net.{}.{parameter}", index / 3))
    };
    // A name that is not understood stays, so that loading reports it as unused.
    Some(layer().unwrap_or_else(|| name.into()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_prompt_learner_s_names_are_known() {
        let rename = |name| super::prompt_learner(name);
        assert_eq!(rename("prompt_learner.base_prompts").as_deref(), Some("base_prompts"));
        assert_eq!(rename("prompt_learner.meta_net.15.weight").as_deref(), Some("meta_net.5.weight"));
        assert_eq!(rename("prompt_learner.meta_net.4.weight").as_deref(), Some("meta_net.4.weight"));
        assert_eq!(rename("llama_proj.bias").as_deref(), Some("llama_proj.bias"));
        assert_eq!(rename("image_decoder.fc.0.bias"), None);
    }
}
