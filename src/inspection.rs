//! Results: plain host data, in the pixels of the original image.

/// Stub.
#[derive(Clone, Debug, PartialEq)]
pub struct AnomalyMap;
/// Stub.
#[derive(Clone, Debug, PartialEq)]
pub struct Detection;
/// Stub.
#[derive(Clone, Debug, PartialEq)]
pub struct Inspection;
/// Stub.
#[derive(Clone, Debug, PartialEq)]
pub struct Region;
/// Stub.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict;
