//! Stub.
/// Stub.
#[derive(Debug)] pub struct PatchTextDecoder;
