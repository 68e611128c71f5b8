//! Drawn defects: cracks, scratches, spots, holes, stains, as a change of light over the image's own texture.

use std::f32::consts::{PI, TAU};

use image::{GrayImage, Luma, Rgb, RgbImage, imageops};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{
    Area, Canvas, Defect, Edit,
    outline::{Blob, smoothstep},
    visible::luminance,
};

/// How strongly each pixel of an area is hit, in `[0, 1]`.
struct Layer {
    area: Area,
    strength: Vec<f32>,
}

/// How a fully hit pixel changes.
#[derive(Clone, Copy)]
enum Light {
    /// Towards black by this share.
    Darker(f32),
    /// Towards white by this share.
    Brighter(f32),
    /// By this many levels of 255.
    Shifted(f32),
}

/// A line from one point to another, with its half width at either end.
struct Stroke {
    from: [f32; 2],
    to: [f32; 2],
    half_width: [f32; 2],
    strength: f32,
}

/// Draws a defect; nothing where its place is taken or lies outside.
pub(super) fn draw(rng: &mut ChaCha8Rng, canvas: &Canvas<'_>, defect: Defect) -> Option<Edit> {
    let (width, height) = canvas.image.dimensions();
    let side = width.min(height) as f32;
    let at = [rng.random_range(0.03..0.97) * width as f32, rng.random_range(0.03..0.97) * height as f32];
    match defect {
        Defect::Crack => {
            let strokes = crack(rng, at, side);
            line(rng, canvas, &strokes, false)
        }
        Defect::Scratch => {
            let strokes = scratch(rng, at, side);
            let bright = rng.random_bool(0.6);
            line(rng, canvas, &strokes, bright)
        }
        Defect::Hole => hole(rng, canvas, at, side),
        Defect::Stain => stain(rng, canvas, at, side),
        _ => spot(rng, canvas, at, side),
    }
}

/// A random walk that keeps its direction roughly, sometimes with a branch.
fn crack(rng: &mut ChaCha8Rng, start: [f32; 2], side: f32) -> Vec<Stroke> {
    let length = side * rng.random_range(0.1..0.45);
    let width = side / 256.0 * rng.random_range(0.5..1.3);
    let heading = rng.random_range(0.0..TAU);
    let mut strokes = walk(rng, start, heading, length, width);
    if rng.random_bool(0.4) {
        let fork = strokes[strokes.len() / 2].from;
        let turn = rng.random_range(0.4..1.0) * if rng.random() { 1.0 } else { -1.0 };
        let share = rng.random_range(0.2..0.5);
        strokes.extend(walk(rng, fork, heading + turn, length * share, width * 0.7));
    }
    strokes
}

fn walk(rng: &mut ChaCha8Rng, start: [f32; 2], heading: f32, length: f32, width: f32) -> Vec<Stroke> {
    let steps = (length / (3.0 * width.max(0.7))).ceil().max(4.0) as usize;
    let (mut from, mut drift) = (start, 0.0f32);
    let mut strokes = Vec::with_capacity(steps);
    for step in 0..steps {
        drift = drift * 0.9 + rng.random_range(-0.35..0.35);
        let (sine, cosine) = (heading + drift + rng.random_range(-0.5..0.5)).sin_cos();
        let stride = length / steps as f32;
        let to = [from[0] + stride * cosine, from[1] + stride * sine];
        // Widest in the middle, ends in a hair.
        let taper = |at: usize| width * (0.35 + 0.65 * (PI * at as f32 / steps as f32).sin());
        strokes.push(Stroke { from, to, half_width: [taper(step), taper(step + 1)], strength: rng.random_range(0.75..1.0) });
        from = to;
    }
    strokes
}

/// One to three nearly straight, nearly parallel lines that fade at their ends.
fn scratch(rng: &mut ChaCha8Rng, start: [f32; 2], side: f32) -> Vec<Stroke> {
    let heading = rng.random_range(0.0..TAU);
    let bend = rng.random_range(-0.6..0.6);
    let mut strokes = Vec::new();
    let lines = if rng.random_bool(0.7) { 1 } else { rng.random_range(2..=3) };
    for _ in 0..lines {
        let length = side * rng.random_range(0.12..0.5);
        let half_width = side / 256.0 * rng.random_range(0.35..1.0);
        let spread = if lines == 1 { 0.0 } else { side * 0.03 };
        let mut from = [start[0] + rng.random_range(-1.0..=1.0) * spread, start[1] + rng.random_range(-1.0..=1.0) * spread];
        let slant = rng.random_range(-0.08..0.08);
        let steps = 24;
        for step in 0..steps {
            let share = step as f32 / steps as f32;
            let (sine, cosine) = (heading + slant + bend * share).sin_cos();
            let to = [from[0] + length / steps as f32 * cosine, from[1] + length / steps as f32 * sine];
            let strength = smoothstep(0.0, 0.15, share + 0.03) * smoothstep(0.0, 0.25, 1.0 - share) * rng.random_range(0.7..1.0);
            strokes.push(Stroke { from, to, half_width: [half_width; 2], strength });
            from = to;
        }
    }
    strokes
}

/// Renders strokes, clipped to the image.
fn line(rng: &mut ChaCha8Rng, canvas: &Canvas<'_>, strokes: &[Stroke], bright: bool) -> Option<Edit> {
    let ends = || strokes.iter().flat_map(|stroke| [stroke.from, stroke.to]);
    let margin = strokes.iter().map(|stroke| stroke.half_width[0]).fold(0.0, f32::max) + 2.0;
    let bound = |axis: usize| {
        ends().fold((f32::MAX, f32::MIN), |(low, high), point| (low.min(point[axis] - margin), high.max(point[axis] + margin)))
    };
    let area = clip(canvas, bound(0), bound(1))?;
    let mut layer = Layer { area, strength: vec![0.0; (area.width * area.height) as usize] };
    for stroke in strokes {
        layer.add(stroke);
    }
    let (mean, deviation) = surroundings(canvas.image, area);
    let light = contrast(rng, mean, deviation, bright, 40.0..110.0);
    Some(apply(canvas.image, &layer, light, [1.0; 3]))
}

impl Layer {
    /// Adds an antialiased stroke.
    fn add(&mut self, stroke: &Stroke) {
        let Area { x, y, width, height } = self.area;
        let margin = stroke.half_width[0].max(stroke.half_width[1]) + 1.5;
        let span = |axis: usize, start: u32, length: u32| {
            let (low, high) = (stroke.from[axis].min(stroke.to[axis]) - margin, stroke.from[axis].max(stroke.to[axis]) + margin);
            (low as i64 - i64::from(start)).clamp(0, length.into()) as u32
                ..(high.ceil() as i64 - i64::from(start)).clamp(0, length.into()) as u32
        };
        let along = [stroke.to[0] - stroke.from[0], stroke.to[1] - stroke.from[1]];
        let square = (along[0] * along[0] + along[1] * along[1]).max(1e-6);
        for row in span(1, y, height) {
            for column in span(0, x, width) {
                let offset = [(x + column) as f32 + 0.5 - stroke.from[0], (y + row) as f32 + 0.5 - stroke.from[1]];
                let share = ((offset[0] * along[0] + offset[1] * along[1]) / square).clamp(0.0, 1.0);
                let distance = (offset[0] - share * along[0]).hypot(offset[1] - share * along[1]);
                let half_width = stroke.half_width[0] + share * (stroke.half_width[1] - stroke.half_width[0]);
                let cell = &mut self.strength[(row * width + column) as usize];
                // A line thinner than a pixel covers a part of it.
                *cell = cell.max((half_width + 0.5 - distance).clamp(0.0, (2.0 * half_width).min(1.0)) * stroke.strength);
            }
        }
    }
}

/// A soft-bordered blob.
fn spot(rng: &mut ChaCha8Rng, canvas: &Canvas<'_>, at: [f32; 2], side: f32) -> Option<Edit> {
    let radius = side * rng.random_range(0.016..0.06);
    let axes = [radius, radius * rng.random_range(0.55..1.0)];
    let blob = Blob::new(rng, axes.map(|axis| axis.max(1.8)), 0.16);
    let softness = rng.random_range(0.15..0.6);
    let layer = blob_layer(canvas, &blob, at, |distance| 1.0 - smoothstep(1.0 - softness, 1.0 + softness, distance))?;
    let (mean, deviation) = surroundings(canvas.image, layer.area);
    let bright = rng.random_bool(0.35);
    let light = contrast(rng, mean, deviation, bright, 35.0..110.0);
    let tint = tint(rng, canvas, 0.2);
    Some(apply(canvas.image, &layer, light, tint))
}

/// A pit: dark, sharp, with light on the far edge.
fn hole(rng: &mut ChaCha8Rng, canvas: &Canvas<'_>, at: [f32; 2], side: f32) -> Option<Edit> {
    let radius = side * rng.random_range(0.014..0.045);
    let axes = [radius, radius * rng.random_range(0.6..1.0)];
    let blob = Blob::new(rng, axes.map(|axis| axis.max(1.8)), 0.12);
    let border = 0.8 / radius.max(1.8);
    let dark = blob_layer(canvas, &blob, at, |distance| {
        (1.0 - smoothstep(1.0 - border, 1.0 + border, distance)) * (0.75 + 0.25 * (1.0 - distance).max(0.0))
    })?;
    let mut edit = apply(canvas.image, &dark, Light::Darker(rng.random_range(0.65..0.92)), [1.0; 3]);
    let (sine, cosine) = rng.random_range(0.0..TAU).sin_cos();
    let glow = rng.random_range(20.0..80.0);
    let Area { x, y, .. } = dark.area;
    for (u, v, pixel) in edit.pixels.enumerate_pixels_mut() {
        let offset = [(x + u) as f32 + 0.5 - at[0], (y + v) as f32 + 0.5 - at[1]];
        let facing = (offset[0] * cosine + offset[1] * sine) / offset[0].hypot(offset[1]).max(0.5);
        let rim = (1.0 - (blob.distance(offset[0], offset[1]) - 1.0).abs() / (1.5 * border)).max(0.0) * facing.max(0.0);
        *pixel = Rgb(pixel.0.map(|value| (f32::from(value) + glow * rim).min(255.0) as u8));
        if rim * glow > 10.0 {
            edit.footprint.put_pixel(u, v, Luma([255]));
        }
    }
    Some(edit)
}

/// A wide and smooth blob, or a band with a sharper border.
fn stain(rng: &mut ChaCha8Rng, canvas: &Canvas<'_>, at: [f32; 2], side: f32) -> Option<Edit> {
    let band = rng.random_bool(0.3);
    let radius = side * rng.random_range(0.05..0.18);
    let axes = if band { [radius * 1.4, radius * rng.random_range(0.2..0.45)] } else { [radius, radius * rng.random_range(0.5..1.0)] };
    let blob = Blob::new(rng, axes, if band { 0.06 } else { 0.2 });
    let softness = if band { 0.12 } else { rng.random_range(0.2..0.5) };
    let layer = blob_layer(canvas, &blob, at, |distance| 1.0 - smoothstep(1.0 - softness, 1.0 + softness, distance))?;
    let (_, deviation) = surroundings(canvas.image, layer.area);
    let shift = rng.random_range(13.0..32.0) + 0.5 * deviation;
    let sign = if rng.random_bool(0.55) { -1.0 } else { 1.0 };
    let tint = tint(rng, canvas, 0.3);
    Some(apply(canvas.image, &layer, Light::Shifted(sign * shift), tint))
}

/// Strength over a blob's surroundings, from the distance to its middle.
fn blob_layer(canvas: &Canvas<'_>, blob: &Blob, at: [f32; 2], profile: impl Fn(f32) -> f32) -> Option<Layer> {
    let reach = blob.reach() * 1.5 + 1.0;
    let area = clip(canvas, (at[0] - reach, at[0] + reach), (at[1] - reach, at[1] + reach))?;
    let value = |index: u32| {
        let (x, y) = (area.x + index % area.width, area.y + index / area.width);
        profile(blob.distance(x as f32 + 0.5 - at[0], y as f32 + 0.5 - at[1]))
    };
    Some(Layer { area, strength: (0..area.width * area.height).map(value).collect() })
}

/// The part of a box inside the image, where it is free.
fn clip(canvas: &Canvas<'_>, across: (f32, f32), down: (f32, f32)) -> Option<Area> {
    let limit = |(low, high): (f32, f32), side: u32| (low.floor().max(0.0) as u32, (high.ceil().max(0.0) as u32).min(side));
    let ((left, right), (top, bottom)) = (limit(across, canvas.image.width()), limit(down, canvas.image.height()));
    let area = Area { x: left, y: top, width: right.checked_sub(left)?, height: bottom.checked_sub(top)? };
    (area.width > 2 && area.height > 2 && canvas.is_free(area)).then_some(area)
}

/// Mean and deviation of the luminance in an area.
fn surroundings(image: &RgbImage, area: Area) -> (f32, f32) {
    let view = imageops::crop_imm(image, area.x, area.y, area.width, area.height).to_image();
    let count = (area.width * area.height) as f32;
    let mean = view.pixels().map(|pixel| luminance(pixel.0)).sum::<f32>() / count;
    let variance = view.pixels().map(|pixel| (luminance(pixel.0) - mean).powi(2)).sum::<f32>() / count;
    (mean, variance.sqrt())
}

/// Light that differs from the surroundings by some levels, and more on a strong texture.
fn contrast(rng: &mut ChaCha8Rng, mean: f32, deviation: f32, bright: bool, levels: std::ops::Range<f32>) -> Light {
    let wanted = rng.random_range(levels) + deviation;
    if bright && mean < 205.0 {
        Light::Brighter((wanted / (255.0 - mean)).min(0.9))
    } else {
        Light::Darker((wanted / mean.max(1.0)).min(0.9))
    }
}

/// Factors of the three channels about 1; no colour comes into the image of a grey camera.
fn tint(rng: &mut ChaCha8Rng, canvas: &Canvas<'_>, amount: f32) -> [f32; 3] {
    let cast = rng.random_range(-amount..amount) * if canvas.is_grey() { 0.0 } else { 1.0 };
    [1.0 + cast, 1.0, 1.0 - cast]
}

fn apply(image: &RgbImage, layer: &Layer, light: Light, tint: [f32; 3]) -> Edit {
    let Area { x, y, width, height } = layer.area;
    let strength = |u: u32, v: u32| layer.strength[(v * width + u) as usize];
    let pixels = RgbImage::from_fn(width, height, |u, v| {
        let strength = strength(u, v);
        let mut channels = image.get_pixel(x + u, y + v).0;
        for (value, tint) in channels.iter_mut().zip(tint) {
            let old = f32::from(*value);
            let new = match light {
                Light::Darker(share) => old * (1.0 - (share * tint).min(1.0) * strength),
                Light::Brighter(share) => old + (255.0 - old) * (share * tint).min(1.0) * strength,
                Light::Shifted(levels) => old + levels * tint * strength,
            };
            *value = new.round().clamp(0.0, 255.0) as u8;
        }
        Rgb(channels)
    });
    let footprint = GrayImage::from_fn(width, height, |u, v| Luma([if strength(u, v) > 0.15 { 255 } else { 0 }]));
    Edit { area: layer.area, pixels, footprint }
}
