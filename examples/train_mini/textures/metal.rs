//! Metal surfaces.

use super::{
    super::draw::{Scene, hsv, mix, noise, plate, scaled, step},
    View,
};

/// Brushed sheet metal.
pub fn brushed(scene: &mut Scene<'_>) {
    let view = View::new(scene);
    let (base, grain, depth, length) = (scene.metal(0.4..0.75), scene.grain(), scene.fixed(0.12..0.32), scene.fixed(40.0..160.0));
    let band = scene.fixed(0.02..0.12);
    scene.canvas.fill(|x, y| {
        let (u, v) = view.at(x, y);
        let fine = noise::value(u / length, v * 0.9, grain) + 0.7 * noise::value(u / (length * 2.5), v * 0.35, grain ^ 1) - 0.85;
        let sheen = noise::value(u / 400.0, v / 60.0, grain ^ 2) - 0.5;
        scaled(base, 1.0 + depth * fine + band * 2.0 * sheen)
    });
}

/// A ground, cast or sintered plate: dark grey, low contrast, upright grain, cloudy light, faint smudges, sometimes its edges in view.
pub fn ground(scene: &mut Scene<'_>) {
    let view = View::new(scene);
    let (width, height) = (scene.canvas.width as f32, scene.canvas.height as f32);
    let short = width.min(height);
    let (level, grain, streak, cloud) = (scene.fixed(0.26..0.55), scene.grain(), scene.fixed(0.12..0.42), scene.fixed(0.2..0.65));
    let (along, speck, shine) = (scene.fixed(60.0..300.0), scene.fixed(0.03..0.1), scene.fixed(0.0..0.6));
    let edges = scene.chance(0.6);
    let edge: [f32; 4] =
        [0, 1, 2, 3].map(|_| if edges && scene.chance(0.7) { scene.fixed(0.0..0.06) + scene.vary(-0.012..0.012) } else { -1.0 });
    let (tilt, bow, lamp) = (scene.vary(-0.02..0.02), scene.vary(0.0..0.02), [scene.vary(0.1..0.9), scene.vary(0.1..0.9)]);
    let smudge = scene.vary(0.0..0.14);
    scene.canvas.fill(|x, y| {
        let (u, v) = view.at(x, y);
        let (s, t) = (x / width, y / height);
        let lines = noise::value(u * 0.8, v / along, grain) + 0.8 * noise::value(u * 0.22, v / (2.0 * along), grain ^ 1) - 0.9;
        // Bright hairs where the grinding went deep.
        let hair = step(0.8, 1.0, noise::value(u * 0.7, v / (0.6 * along), grain ^ 4)) * noise::value(u / 50.0, v / 70.0, grain ^ 5);
        let light = noise::fractal(s * 1.6, t * 1.6, grain ^ 2, 2);
        let spot = (-((s - lamp[0]).powi(2) + (t - lamp[1]).powi(2)) * 5.0).exp() - 0.4;
        let dirt = step(0.62, 0.78, noise::value(u / 28.0, v / 40.0, grain ^ 3)) * (noise::value(u / 4.0, v / 5.0, grain ^ 6) - 0.2);
        let dots = noise::value(u * 0.9, v * 0.9, grain ^ 7) - 0.5;
        let surface =
            level * (1.0 + streak * lines + shine * 0.6 * hair + cloud * light + 0.5 * cloud * spot - smudge * dirt + 2.0 * speck * dots);
        let skewed = [s + tilt * (t - 0.5), t + bow * (s - 0.5).powi(2) * 4.0];
        let inside = [skewed[0] - edge[0], skewed[1] - edge[1], 1.0 - skewed[0] - edge[2], 1.0 - skewed[1] - edge[3]];
        let ragged = 0.006 * noise::value(x * 24.0 / short, y * 24.0 / short, grain ^ 8);
        let rim = inside.iter().fold(1.0f32, |near, value| near.min(*value)) - ragged;
        let fade = 0.75 + 0.25 * step(0.0, 0.12, rim);
        [if edges { 0.03 + (surface * fade - 0.03) * step(-0.004, 0.012, rim) } else { surface }; 3]
    });
}

/// A knurled grip: a lattice of pyramids.
pub fn knurled(scene: &mut Scene<'_>) {
    let view = View::new(scene);
    let (base, grain, pitch, light) = (scene.metal(0.4..0.7), scene.grain(), scene.fixed(12.0..24.0), scene.light);
    let squash = scene.fixed(0.5..1.0);
    scene.canvas.fill(|x, y| {
        let (u, v) = view.at(x, y);
        let (a, b) = ((u + v * squash) / pitch, (u - v * squash) / pitch);
        let (p, q) = (a.rem_euclid(1.0) - 0.5, b.rem_euclid(1.0) - 0.5);
        // Each pyramid has four faces, lit by their direction.
        let face = if p.abs() > q.abs() { [p.signum(), p.signum()] } else { [q.signum(), -q.signum()] };
        let lit = 0.3 * (face[0] * light[0] + face[1] * light[1]);
        let groove = step(0.42, 0.5, p.abs().max(q.abs()));
        let flat = 1.0 - step(0.08, 0.14, p.abs().max(q.abs()));
        let wear = 0.12 * noise::fractal(u / 6.0, v / 6.0, grain, 3);
        scaled(base, (0.85 + lit + 0.25 * flat + wear) * (1.0 - 0.55 * groove))
    });
}

/// Sheet metal with rows of round or square holes.
pub fn perforated(scene: &mut Scene<'_>) {
    let view = View::new(scene);
    let (base, grain, pitch, light) = (scene.metal(0.45..0.8), scene.grain(), scene.fixed(18.0..36.0), scene.light);
    let (radius, square, staggered) = (pitch * scene.fixed(0.24..0.36), scene.chance(0.25), scene.chance(0.6));
    let behind = scene.fixed(0.02..0.15);
    scene.canvas.fill(|x, y| {
        let (u, v) = view.at(x, y);
        let row = (v / pitch).floor();
        let offset = if staggered && row.rem_euclid(2.0) >= 1.0 { pitch / 2.0 } else { 0.0 };
        let (p, q) = ((u + offset).rem_euclid(pitch) - pitch / 2.0, v.rem_euclid(pitch) - pitch / 2.0);
        let away = if square { plate([p, q], [0.0; 2], [radius * 0.9; 2], radius * 0.15) } else { p.hypot(q) - radius };
        let facing = (p * light[0] + q * light[1]) / p.hypot(q).max(0.5);
        let sheet = scaled(base, 1.0 + 0.14 * (noise::value(u / 60.0, v, grain) - 0.5) - 0.35 * facing * (-(away / 1.6).powi(2)).exp());
        let wall = if away > -2.2 { 0.25 - 0.25 * facing } else { 0.0 };
        mix(scaled(base, behind + wall), sheet, step(-0.8, 0.8, away))
    });
}

/// A woven or welded wire grid.
pub fn mesh(scene: &mut Scene<'_>) {
    let view = View::new(scene);
    let (base, grain, pitch, woven) = (scene.metal(0.35..0.75), scene.grain(), scene.fixed(20.0..40.0), scene.chance(0.6));
    let (thick, ground) = (pitch * scene.fixed(0.09..0.17), hsv(0.1, 0.05, if scene.chance(0.5) { 0.08 } else { 0.75 }));
    let diamond = scene.chance(0.4);
    scene.canvas.fill(|x, y| {
        let (u, v) = view.at(x, y);
        let (u, v) = if diamond { (u + v, u - v) } else { (u, v) };
        let (p, q) = (u.rem_euclid(pitch) - pitch / 2.0, v.rem_euclid(pitch) - pitch / 2.0);
        let over = ((u / pitch).floor() + (v / pitch).floor()).rem_euclid(2.0) < 1.0;
        let wire = |away: f32, along: f32, lifted: f32| {
            let round = (1.0 - (away / thick).powi(2)).max(0.0).sqrt();
            let bend = if woven { 0.8 + 0.25 * lifted * (along / pitch * std::f32::consts::TAU).cos() } else { 1.0 };
            (1.0 - step(thick - 0.6, thick + 0.6, away.abs()), (0.3 + 0.75 * round) * bend)
        };
        let lifted = if over { 1.0 } else { -1.0 };
        let (first, second) = (wire(p, q, lifted), wire(q, p, -lifted));
        let (below, above) = if over || !woven { (second, first) } else { (first, second) };
        let rough = 1.0 + 0.15 * noise::fractal(u / 5.0, v / 5.0, grain, 2);
        let back = scaled(ground, 1.0 + 0.1 * noise::fractal(u / 30.0, v / 30.0, grain ^ 2, 2));
        mix(mix(back, scaled(base, below.1 * rough), below.0), scaled(base, above.1 * rough), above.0)
    });
}
