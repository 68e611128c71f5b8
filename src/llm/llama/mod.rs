//! Stub.
/// Stub.
#[derive(Debug)] pub struct Llama;
