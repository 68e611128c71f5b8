//! A small canvas: antialiased shapes given by signed distances, shadows, colours.

pub mod camera;
pub mod noise;

use std::f32::consts::TAU;
use std::ops::Range;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Red, green, blue in `[0, 1]`.
pub type Color = [f32; 3];
/// A point in a part's own coordinates.
pub type Point = [f32; 2];

/// The picture while it is drawn.
pub struct Canvas {
    pub width: u32,
    pub height: u32,
    pub pixels: Vec<Color>,
}

/// Where a part lies: its own coordinates against pixels.
#[derive(Clone, Copy)]
pub struct Pose {
    pub center: Point,
    /// Pixels of one unit.
    pub scale: f32,
    pub turn: (f32, f32),
}

impl Pose {
    pub fn to_part(self, x: f32, y: f32) -> Point {
        let (dx, dy) = ((x - self.center[0]) / self.scale, (y - self.center[1]) / self.scale);
        [dx * self.turn.1 + dy * self.turn.0, dy * self.turn.1 - dx * self.turn.0]
    }

    pub fn to_pixels(self, [u, v]: Point) -> Point {
        let (sine, cosine) = self.turn;
        [self.center[0] + self.scale * (u * cosine - v * sine), self.center[1] + self.scale * (u * sine + v * cosine)]
    }
}

impl Canvas {
    pub fn new(width: u32, height: u32) -> Self {
        Self { width, height, pixels: vec![[0.0; 3]; (width * height) as usize] }
    }

    /// Sets each pixel from its middle.
    pub fn fill(&mut self, color: impl Fn(f32, f32) -> Color) {
        let width = self.width as usize;
        for (index, pixel) in self.pixels.iter_mut().enumerate() {
            *pixel = color((index % width) as f32 + 0.5, (index / width) as f32 + 0.5);
        }
    }

    /// Draws a shape: `distance` is negative inside, in the part's units; `reach` is a box `[left, top, right, bottom]` around it.
    pub fn shape(&mut self, pose: Pose, reach: [f32; 4], distance: impl Fn(Point) -> f32, color: impl Fn(Point, f32) -> Color) {
        self.cover(pose, reach, |point| {
            let away = distance(point);
            let alpha = (0.5 - away * pose.scale).clamp(0.0, 1.0);
            (alpha > 0.0).then(|| (color(point, away), alpha))
        });
    }

    /// Darkens a shape's surroundings, `shift` away, over a border `soft` wide.
    pub fn shadow(&mut self, pose: Pose, reach: [f32; 4], distance: impl Fn(Point) -> f32, shift: Point, soft: f32, strength: f32) {
        let pose = Pose { center: pose.to_pixels(shift), ..pose };
        let reach = [reach[0] - soft, reach[1] - soft, reach[2] + soft, reach[3] + soft];
        self.cover(pose, reach, |point| Some(([0.0; 3], strength * (1.0 - step(-soft, soft, distance(point))))));
    }

    /// Mixes a colour into each pixel of a box.
    pub fn cover(&mut self, pose: Pose, [left, top, right, bottom]: [f32; 4], paint: impl Fn(Point) -> Option<(Color, f32)>) {
        let corners = [[left, top], [right, top], [left, bottom], [right, bottom]].map(|corner| pose.to_pixels(corner));
        let span = |axis: usize, side: u32| {
            let (low, high) =
                corners.iter().fold((f32::MAX, f32::MIN), |(low, high), corner| (low.min(corner[axis]), high.max(corner[axis])));
            ((low - 1.0).clamp(0.0, side as f32) as u32)..((high + 2.0).clamp(0.0, side as f32) as u32)
        };
        for y in span(1, self.height) {
            for x in span(0, self.width) {
                if let Some((color, alpha)) = paint(pose.to_part(x as f32 + 0.5, y as f32 + 0.5)) {
                    let pixel = &mut self.pixels[(y * self.width + x) as usize];
                    *pixel = mix(*pixel, color, alpha);
                }
            }
        }
    }
}

/// What a picture is drawn from: numbers fixed by the style, and numbers that vary from photograph to photograph.
pub struct Scene<'a> {
    pub canvas: Canvas,
    style: ChaCha8Rng,
    instance: &'a mut ChaCha8Rng,
    /// Direction that light comes from.
    pub light: Point,
}

impl<'a> Scene<'a> {
    pub fn new(style: u64, instance: &'a mut ChaCha8Rng, width: u32, height: u32) -> Self {
        let mut style = ChaCha8Rng::seed_from_u64(style);
        let (sine, cosine) = style.random_range(0.0..TAU).sin_cos();
        Self { canvas: Canvas::new(width, height), style, instance, light: [cosine, sine] }
    }

    /// A number of the style.
    pub fn fixed(&mut self, range: Range<f32>) -> f32 {
        self.style.random_range(range)
    }

    /// A whole number of the style.
    pub fn count(&mut self, range: Range<u32>) -> u32 {
        self.style.random_range(range)
    }

    /// A choice of the style.
    pub fn chance(&mut self, probability: f32) -> bool {
        self.style.random::<f32>() < probability
    }

    /// A number of the instance.
    pub fn vary(&mut self, range: Range<f32>) -> f32 {
        self.instance.random_range(range)
    }

    /// Seed of noise that is the same in every photograph of the style.
    pub fn pattern(&mut self) -> u32 {
        self.style.random()
    }

    /// Seed of noise that differs in each photograph.
    pub fn grain(&mut self) -> u32 {
        self.instance.random()
    }

    /// A colour of the style.
    pub fn color(&mut self, saturation: Range<f32>, brightness: Range<f32>) -> Color {
        let hue = self.fixed(0.0..1.0);
        hsv(hue, 0.75 * self.fixed(saturation), self.fixed(brightness))
    }

    /// A metal's grey of the style, with a slight cast.
    pub fn metal(&mut self, brightness: Range<f32>) -> Color {
        let (level, warmth) = (self.fixed(brightness), self.fixed(-0.03..0.05));
        if self.chance(0.2) { [level, level * 0.85, level * 0.55] } else { [level + warmth, level, level - warmth] }
    }

    /// Places a part of half extents `half` to fill most of the picture, its long side along the picture's, a little moved and turned; `free` parts
    /// may lie at any angle.
    pub fn place(&mut self, half: [f32; 2], free: bool) -> Pose {
        let (width, height) = (self.canvas.width as f32, self.canvas.height as f32);
        let tilt = if self.chance(0.3) { self.fixed(-0.4..0.4) } else { 0.0 };
        let upright = (height > width) != (half[1] > half[0]);
        let any = self.chance(0.5) && free;
        let loose = self.vary(0.0..TAU);
        let angle = if any { loose } else { tilt + self.vary(-0.05..0.05) + if upright { TAU / 4.0 } else { 0.0 } };
        let (sine, cosine) = (angle.sin().abs(), angle.cos().abs());
        // The camera does not move when a loose part turns.
        let (wide, high) = match (half[0] == half[1], any) {
            (true, _) => (half[0], half[1]),
            (false, true) => (half[0].hypot(half[1]), half[0].hypot(half[1])),
            (false, false) => (half[0] * cosine + half[1] * sine, half[0] * sine + half[1] * cosine),
        };
        let fill = self.fixed(0.78..0.97) * self.vary(0.98..1.02);
        let scale = fill * (width / wide).min(height / high) / 2.0;
        let center = [width * (0.5 + self.vary(-0.02..0.02)), height * (0.5 + self.vary(-0.02..0.02))];
        Pose { center, scale, turn: angle.sin_cos() }
    }

    /// Fills the picture with a table, tray or sheet to put a product on.
    pub fn backdrop(&mut self) {
        let (color, saturation) = (self.fixed(0.0..1.0), self.fixed(0.0..0.14));
        let level = if self.chance(0.5) { self.fixed(0.04..0.2) } else { self.fixed(0.45..0.9) };
        let base = hsv(color, saturation, level);
        let (texture, strength, size, seed) = (self.count(0..4), self.fixed(0.03..0.14), self.fixed(1.5..6.0), self.grain());
        let zoom = 256.0 / self.canvas.width.min(self.canvas.height) as f32;
        self.canvas.fill(|x, y| {
            let (x, y) = (x * zoom / size, y * zoom / size);
            let change = match texture {
                0 => 0.0,
                1 => noise::fractal(x, y, seed, 2),
                2 => noise::value(x * 2.0, y * 0.12, seed) - 0.5,
                _ => 0.5 * noise::fractal(x * 0.1, y * 0.1, seed, 2),
            };
            scaled(base, 1.0 + strength * 2.0 * change)
        });
    }
}

/// Height-and-light factor of a rounded edge: brighter where the border faces the light, for points up to `width` inside.
pub fn bevel(distance: impl Fn(Point) -> f32, point: Point, away: f32, width: f32, light: Point) -> f32 {
    if away < -width {
        return 1.0;
    }
    let small = 0.01;
    let slope = [distance([point[0] + small, point[1]]) - away, distance([point[0], point[1] + small]) - away];
    let facing = (slope[0] * light[0] + slope[1] * light[1]) / small;
    1.0 + 0.45 * facing * (1.0 + away / width).clamp(0.0, 1.0)
}

pub fn length([x, y]: Point) -> f32 {
    x.hypot(y)
}

pub fn circle(point: Point, center: Point, radius: f32) -> f32 {
    length([point[0] - center[0], point[1] - center[1]]) - radius
}

/// A box of half sides `half`, its corners rounded.
pub fn plate(point: Point, center: Point, half: Point, rounding: f32) -> f32 {
    let (x, y) = ((point[0] - center[0]).abs() - half[0] + rounding, (point[1] - center[1]).abs() - half[1] + rounding);
    x.max(0.0).hypot(y.max(0.0)) + x.max(y).min(0.0) - rounding
}

/// A line with round ends.
pub fn stroke(point: Point, from: Point, to: Point, half_width: f32) -> f32 {
    let (along, offset) = ([to[0] - from[0], to[1] - from[1]], [point[0] - from[0], point[1] - from[1]]);
    let share = ((offset[0] * along[0] + offset[1] * along[1]) / (along[0] * along[0] + along[1] * along[1]).max(1e-9)).clamp(0.0, 1.0);
    length([offset[0] - share * along[0], offset[1] - share * along[1]]) - half_width
}

/// A regular polygon about the origin, `radius` to its sides.
pub fn polygon(point: Point, sides: u32, radius: f32) -> f32 {
    let sector = TAU / sides as f32;
    let angle = point[1].atan2(point[0]);
    let folded = angle - (angle / sector).round() * sector;
    length(point) * folded.cos() - radius
}

/// 0 below `from`, 1 above `to`, smooth between.
pub fn step(from: f32, to: f32, value: f32) -> f32 {
    let at = ((value - from) / (to - from)).clamp(0.0, 1.0);
    at * at * (3.0 - 2.0 * at)
}

pub fn mix(from: Color, to: Color, share: f32) -> Color {
    [0, 1, 2].map(|channel| from[channel] + share * (to[channel] - from[channel]))
}

pub fn scaled(color: Color, factor: f32) -> Color {
    color.map(|value| value * factor)
}

pub fn hsv(hue: f32, saturation: f32, brightness: f32) -> Color {
    [0.0, 2.0 / 3.0, 1.0 / 3.0].map(|shift: f32| {
        let wave = (((hue + shift).fract() * 6.0 - 3.0).abs() - 1.0).clamp(0.0, 1.0);
        brightness * (1.0 - saturation + saturation * wave)
    })
}

/// Digits as a seven-segment print of height 2 `size` at `center`, which goes along the part's first axis.
pub fn print(canvas: &mut Canvas, pose: Pose, center: Point, size: f32, digits: &[u32], color: Color, alpha: f32) {
    const SEGMENTS: [u8; 10] = [0x3F, 0x06, 0x5B, 0x4F, 0x66, 0x6D, 0x7D, 0x07, 0x7F, 0x6F];
    let advance = size * 1.5;
    for (index, digit) in digits.iter().enumerate() {
        let x = center[0] + (index as f32 - (digits.len() - 1) as f32 / 2.0) * advance;
        let (left, right, top, middle, bottom) = (x - size * 0.45, x + size * 0.45, center[1] - size, center[1], center[1] + size);
        let lines = [
            ([left, top], [right, top]),
            ([right, top], [right, middle]),
            ([right, middle], [right, bottom]),
            ([left, bottom], [right, bottom]),
            ([left, middle], [left, bottom]),
            ([left, top], [left, middle]),
            ([left, middle], [right, middle]),
        ];
        for (segment, (from, to)) in lines.into_iter().enumerate() {
            if SEGMENTS[*digit as usize % 10] >> segment & 1 == 1 {
                let half = size * 0.17;
                let reach = [from[0].min(to[0]) - half, from[1].min(to[1]) - half, from[0].max(to[0]) + half, from[1].max(to[1]) + half];
                canvas
                    .cover(pose, reach, |point| Some((color, alpha * (0.5 - stroke(point, from, to, half) * pose.scale).clamp(0.0, 1.0))));
            }
        }
    }
}
