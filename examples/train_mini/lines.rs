//! Product lines: whatever gives photographs of good parts that look alike.

use std::{error::Error, ops::Range};

use image::RgbImage;
use rand_chacha::ChaCha8Rng;

use crate::{
    photographs::{self, Photograph},
    products::{Kind, Product},
};

/// A source of normal images of one product.
#[derive(Clone, Debug)]
pub enum Line {
    /// Drawn ones.
    Drawn(Product),
    /// Parts of a photograph, in one of many styles.
    Photographed(Photograph, u64),
}

impl Line {
    /// What it shows, without an article.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Drawn(product) => product.name(),
            Self::Photographed(photograph, _) => photograph.name,
        }
    }

    /// Whether a piece of it, put elsewhere on it, can't be told from the rest.
    pub fn is_irregular(&self) -> bool {
        match self {
            Self::Drawn(product) => product.kind.is_irregular(),
            Self::Photographed(photograph, _) => photograph.is_irregular,
        }
    }

    /// A normal image.
    pub fn draw(&self, rng: &mut ChaCha8Rng, width: u32, height: u32) -> RgbImage {
        match self {
            Self::Drawn(product) => product.draw(rng, width, height),
            Self::Photographed(photograph, style) => photograph.draw(*style, rng, width, height),
        }
    }
}

/// Every kind of product in each style.
pub fn drawn(styles: Range<u64>) -> Vec<Line> {
    styles.flat_map(|style| Kind::ALL.iter().map(move |&kind| Line::Drawn(Product { kind, style }))).collect()
}

/// Every photograph in each style.
pub fn photographed(styles: Range<u64>) -> Result<Vec<Line>, Box<dyn Error>> {
    let photographs = photographs::all()?;
    Ok(styles.flat_map(|style| photographs.iter().map(move |photograph| Line::Photographed(photograph.clone(), style))).collect())
}
