use std::path::Path; use image::{DynamicImage, RgbImage}; use crate::error::Result;
/// Stub.
#[derive(Debug, Clone, Copy)] pub struct Orientation;
/// Stub.
#[derive(Debug, Clone, Copy)] pub struct ReadOptions;
/// Stub.
pub fn read_image(_path: &Path) -> Result<DynamicImage> { todo!() }
/// Stub.
pub fn read_image_with(_path: &Path, _options: ReadOptions) -> Result<DynamicImage> { todo!() }
/// Stub.
pub fn to_rgb(_image: &DynamicImage) -> RgbImage { todo!() }
