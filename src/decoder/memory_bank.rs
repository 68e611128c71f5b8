//! Stub.
/// Stub.
#[derive(Debug)] pub struct MemoryBank;
