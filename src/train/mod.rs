//! Stub.
pub mod dialogue_data;
pub mod loss;
