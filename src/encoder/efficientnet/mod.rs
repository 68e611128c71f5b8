//! Stub.
/// Stub.
#[derive(Debug)] pub struct EfficientNet;
