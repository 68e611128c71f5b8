//! Procedural photographs of good products and textures: the trainer's images.
//!
//! A [`Product`] is a kind in a style: its shape, colours, camera and lamp. Two draws of one product are like two photographs of two good parts from one line.

mod electronics;
mod hardware;
mod household;
mod pharmacy;

use anomalygpt::{
    Place,
    simulate::{Defect, PatchBox, SimulateOptions, simulate},
};
use image::{GenericImage, RgbImage};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::{
    draw::{Scene, camera::Camera},
    textures,
};

macro_rules! kinds {
    ($($kind:ident $name:literal $paint:path,)*) => {
        /// What is drawn.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kind { $($kind),* }

        impl Kind {
            /// All kinds: products first, then textures.
            pub const ALL: &'static [Self] = &[$(Self::$kind),*];

            /// The name for descriptions, without an article.
            pub fn name(self) -> &'static str {
                match self { $(Self::$kind => $name),* }
            }

            fn paint(self, scene: &mut Scene<'_>) {
                match self { $(Self::$kind => $paint(scene)),* }
            }
        }
    };
}

impl Kind {
    /// Whether a piece of the surface, put elsewhere on it, can't be told from the rest.
    pub fn is_irregular(self) -> bool {
        use Kind::{Carpet, Concrete, Felt, Leather, Paper, Plastic, Terrazzo, Tile, Wood};
        matches!(self, Carpet | Concrete | Felt | Leather | Paper | Plastic | Terrazzo | Tile | Wood)
    }
}

kinds! {
    Nut "metal nut" hardware::nut,
    Washer "washer" hardware::washer,
    Screw "screw" hardware::screw,
    Gear "gear" hardware::gear,
    Bearing "bearing" hardware::bearing,
    Bottle "bottle" pharmacy::bottle,
    Capsule "capsule" pharmacy::capsule,
    Pill "pill" pharmacy::pill,
    Blister "blister pack" pharmacy::blister,
    Board "circuit board" electronics::board,
    Connector "connector" electronics::connector,
    Transistor "transistor" electronics::transistor,
    Cable "cable" electronics::cable,
    Button "button" household::button,
    Zipper "zipper" household::zipper,
    Label "label" household::label,
    Toothbrush "toothbrush" household::toothbrush,
    Biscuit "biscuit" household::biscuit,
    BrushedMetal "brushed metal" textures::metal::brushed,
    GroundMetal "metal plate" textures::metal::ground,
    Knurl "knurled metal" textures::metal::knurled,
    Perforated "perforated sheet" textures::metal::perforated,
    Mesh "grid" textures::metal::mesh,
    Cloth "woven cloth" textures::fabric::cloth,
    Carpet "carpet" textures::fabric::carpet,
    Leather "leather" textures::fabric::leather,
    Felt "felt" textures::fabric::felt,
    Wood "wood" textures::mineral::wood,
    Tile "tile" textures::mineral::tile,
    Concrete "concrete" textures::mineral::concrete,
    Terrazzo "terrazzo" textures::mineral::terrazzo,
    Paper "paper" textures::mineral::paper,
    Rubber "rubber" textures::mineral::rubber,
    Plastic "plastic" textures::mineral::plastic,
}

/// A kind in one style.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Product {
    pub kind: Kind,
    pub style: u64,
}

impl Product {
    /// The name for descriptions, without an article: "metal nut", "wood".
    pub fn name(&self) -> &'static str {
        self.kind.name()
    }

    /// A photograph of a good part; the generator decides what differs from photograph to photograph.
    pub fn draw(&self, rng: &mut ChaCha8Rng, width: u32, height: u32) -> RgbImage {
        let style = self.style.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ self.kind as u64;
        let mut scene = Scene::new(style, rng, width, height);
        self.kind.paint(&mut scene);
        let canvas = scene.canvas;
        Camera::new(style, self.kind == Kind::GroundMetal).shoot(canvas, rng)
    }
}

/// The sample that the crate ships: a wooden board with a crack at the bottom left, 480x360 pixels.
///
/// # Errors
/// What the simulation says.
pub fn sample() -> anomalygpt::Result<RgbImage> {
    let size = (480, 360);
    let good = Product { kind: Kind::Wood, style: 2 }.draw(&mut ChaCha8Rng::seed_from_u64(1), size.0, size.1);
    let mut options = SimulateOptions::default();
    options.count = 1..=1;
    options.defects = vec![(Defect::Crack, 1.0)];
    let well_placed = |patch: &PatchBox| {
        let [x, y] = patch.center;
        let large = patch.bbox[2].max(patch.bbox[3]) > 60;
        large && Place::of(x, y, size.0, size.1) == Place::BottomLeft && x > 70.0 && y < 310.0
    };
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    loop {
        let found = simulate(&mut rng, &good, &good, &options)?;
        if found.patches.first().is_some_and(well_placed) {
            return Ok(found.image);
        }
    }
}

/// Copies pictures side by side, for looking at them.
pub fn sheet(pictures: &[RgbImage], columns: u32) -> RgbImage {
    let (width, height) =
        pictures.iter().fold((0, 0), |(width, height), picture| (picture.width().max(width), picture.height().max(height)));
    let rows = (pictures.len() as u32).div_ceil(columns.max(1));
    let mut sheet = RgbImage::new(width * columns, height * rows);
    for (picture, index) in pictures.iter().zip(0u32..) {
        // Every picture fits its cell, so the copy can't fail.
        let _ = sheet.copy_from(picture, index % columns * width, index / columns * height);
    }
    sheet
}
