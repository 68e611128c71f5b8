//! Stub.
/// Stub.
#[derive(Debug)] pub struct ConvPromptLearner;
