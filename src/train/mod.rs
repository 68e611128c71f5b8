//! Stub.
pub mod loss;
