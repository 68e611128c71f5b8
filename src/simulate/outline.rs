//! Random outlines: soft-bordered blobs and polygons, as functions of a point.

use std::f32::consts::TAU;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Harmonics that disturb a circle.
const HARMONICS: usize = 4;

/// A disturbed ellipse about the origin.
pub(super) struct Blob {
    /// Half axes in pixels.
    radius: [f32; 2],
    turn: (f32, f32),
    waves: [(f32, f32); HARMONICS],
}

impl Blob {
    /// A blob with half axes `radius` in pixels; `roughness` 0 is an ellipse, 0.3 a ragged one.
    pub(super) fn new(rng: &mut ChaCha8Rng, radius: [f32; 2], roughness: f32) -> Self {
        let mut wave = |order: usize| (roughness * rng.random_range(0.3..1.0) / (order as f32).sqrt(), rng.random_range(0.0..TAU));
        let waves = std::array::from_fn(|index| wave(index + 2));
        Self { radius, turn: rng.random_range(0.0..TAU).sin_cos(), waves }
    }

    /// Half the side of a square about the origin that holds the blob.
    pub(super) fn reach(&self) -> f32 {
        self.radius[0].max(self.radius[1]) * (1.0 + self.waves.iter().map(|(size, _)| size).sum::<f32>())
    }

    /// Distance of a point from the middle, as a share of the outline's: under 1 inside.
    pub(super) fn distance(&self, x: f32, y: f32) -> f32 {
        let (sine, cosine) = self.turn;
        let (u, v) = ((x * cosine + y * sine) / self.radius[0], (y * cosine - x * sine) / self.radius[1]);
        let angle = v.atan2(u);
        let outline = 1.0
            + self.waves.iter().enumerate().map(|(index, (size, phase))| size * ((index + 2) as f32 * angle + phase).cos()).sum::<f32>();
        u.hypot(v) / outline.max(0.1)
    }
}

/// A star-shaped polygon about the origin, its corners within `[-1, 1]`.
pub(super) struct Polygon {
    corners: Vec<[f32; 2]>,
}

impl Polygon {
    /// Five to nine corners at uneven angles and distances.
    pub(super) fn new(rng: &mut ChaCha8Rng) -> Self {
        let count = rng.random_range(5..=9);
        let mut corner = |index: usize| {
            let (sine, cosine) = ((index as f32 + rng.random_range(-0.35..0.35)) / count as f32 * TAU).sin_cos();
            let distance = rng.random_range(0.45..1.0);
            [distance * cosine, distance * sine]
        };
        Self { corners: (0..count).map(&mut corner).collect() }
    }

    /// Whether a point lies inside (even-odd rule).
    pub(super) fn contains(&self, x: f32, y: f32) -> bool {
        let following = self.corners.iter().cycle().skip(1);
        let crossed = self
            .corners
            .iter()
            .zip(following)
            .filter(|(from, to)| (from[1] > y) != (to[1] > y) && x < (to[0] - from[0]) * (y - from[1]) / (to[1] - from[1]) + from[0]);
        crossed.count() % 2 == 1
    }
}

/// 0 below `from`, 1 above `to`, smooth between.
pub(super) fn smoothstep(from: f32, to: f32, value: f32) -> f32 {
    let at = ((value - from) / (to - from)).clamp(0.0, 1.0);
    at * at * (3.0 - 2.0 * at)
}
