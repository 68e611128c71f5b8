//! Surfaces that fill the picture.

pub mod fabric;
pub mod metal;
pub mod mineral;

use super::draw::Scene;

/// Where the camera looks at an endless surface.
#[derive(Clone, Copy)]
pub struct View {
    zoom: f32,
    turn: (f32, f32),
    shift: [f32; 2],
}

impl View {
    /// A view that differs a little in angle and size, and fully in position; one unit is a pixel of a picture whose short side has 256.
    pub fn new(scene: &mut Scene<'_>) -> Self {
        let angle = if scene.chance(0.25) { scene.fixed(-0.8..0.8) } else { 0.0 } + scene.vary(-0.015..0.015);
        let zoom = 256.0 / scene.canvas.width.min(scene.canvas.height) as f32 * scene.fixed(0.7..1.4) * scene.vary(0.98..1.02);
        Self { zoom, turn: angle.sin_cos(), shift: [scene.vary(0.0..3000.0), scene.vary(0.0..3000.0)] }
    }

    /// The surface's point under a pixel.
    pub fn at(self, x: f32, y: f32) -> (f32, f32) {
        let (sine, cosine) = self.turn;
        (self.zoom * (x * cosine + y * sine) + self.shift[0], self.zoom * (y * cosine - x * sine) + self.shift[1])
    }
}
