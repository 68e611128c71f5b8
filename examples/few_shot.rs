//! Compares a part with a few photographs of normal ones.
//!
//! `cargo run --release --example few_shot -- IMAGE NORMAL [NORMAL...]`; without arguments, a drawn product shows how.
#![allow(clippy::print_stdout)]

use std::path::Path;

use anomalygpt::{AnomalyGpt, default_device, preprocess::read_image, pretrained::sample};
use image::DynamicImage;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    let (image, normals) = match &paths[..] {
        [] => drawn()?,
        [_] => return Err("give the part to inspect, then at least one normal part".into()),
        [image, normals @ ..] => {
            let normals = normals.iter().map(|path| read_image(Path::new(path))).collect::<Result<Vec<_>, _>>()?;
            (read_image(Path::new(image))?, normals)
        }
    };

    let model = AnomalyGpt::mini(&default_device()?)?;
    let with_text = model.clone().inspect(&image, None)?;
    let with_normals = model.with_normals(&normals)?.inspect(&image, None)?;

    println!("against text:                 {} ({}, {:.3})", with_text.answer, with_text.verdict, with_text.probability);
    println!(
        "against {:>2} normal image(s):   {} ({}, {:.3})",
        normals.len(),
        with_normals.answer,
        with_normals.verdict,
        with_normals.probability
    );
    for region in &with_normals.detection.regions {
        println!("  {} {:?}, peak {:.3}", region.place, region.bbox, region.peak);
    }
    Ok(())
}

/// The sample that ships with the crate, and its right half mirrored onto the left, where the defect was.
fn drawn() -> Result<(DynamicImage, Vec<DynamicImage>), anomalygpt::Error> {
    println!("No images given: the sample against its own right half, mirrored.");
    let image = sample()?.to_rgb8();
    let (width, height) = image.dimensions();
    let normal = image::RgbImage::from_fn(width, height, |x, y| *image.get_pixel(x.max(width - 1 - x), y));
    Ok((DynamicImage::ImageRgb8(image), vec![DynamicImage::ImageRgb8(normal)]))
}
