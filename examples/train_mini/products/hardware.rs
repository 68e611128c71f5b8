//! Turned and pressed metal parts.

use std::f32::consts::TAU;

use super::super::draw::{Color, Point, Pose, Scene, bevel, circle, hsv, length, mix, noise, plate, polygon, scaled, step};

const FULL: [f32; 4] = [-1.2, -1.2, 1.2, 1.2];

/// Light on a turned face: two opposite bright sectors and concentric marks.
fn turned(base: Color, point: Point, light: Point, pattern: u32, grain: u32, roughness: f32) -> Color {
    let radius = length(point).max(1e-3);
    let facing = (point[0] * light[0] + point[1] * light[1]) / radius;
    let rings = noise::value(radius * 60.0, 0.0, pattern) - 0.5;
    let wear = noise::fractal(point[0] * 9.0, point[1] * 9.0, grain, 3);
    scaled(base, 0.85 + 0.3 * facing.powi(2) + 0.14 * rings + roughness * wear)
}

/// Light on a flat face: fine grain along one direction.
fn flat(base: Color, point: Point, grain: u32, roughness: f32) -> Color {
    let streaks = noise::value(point[0] * 4.0, point[1] * 70.0, grain) - 0.5;
    scaled(base, 1.0 + 0.1 * streaks + roughness * noise::fractal(point[0] * 12.0, point[1] * 12.0, grain ^ 7, 2))
}

/// A hex nut from above.
pub fn nut(scene: &mut Scene<'_>) {
    scene.backdrop();
    let pose = scene.place([1.1, 1.1], true);
    let (base, hole, chamfer, light) = (scene.metal(0.45..0.75), scene.fixed(0.42..0.6), scene.fixed(0.86..0.98), scene.light);
    let (sides, flange) = (if scene.chance(0.8) { 6 } else { 4 }, scene.chance(0.3));
    let (pattern, grain, roughness, threads) = (scene.pattern(), scene.grain(), scene.fixed(0.03..0.1), scene.fixed(60.0..110.0));
    let body = move |point: Point| polygon(point, sides, 0.92).max(circle(point, [0.0; 2], 1.03));
    let outline = move |point: Point| if flange { circle(point, [0.0; 2], 1.08) } else { body(point) };
    scene.canvas.shadow(pose, FULL, outline, [-0.05 * light[0], -0.05 * light[1]], 0.12, 0.6);
    if flange {
        scene.canvas.shape(pose, FULL, outline, |point, away| {
            scaled(flat(base, point, grain, roughness), 0.85 * bevel(outline, point, away, 0.06, light))
        });
    }
    scene.canvas.shape(pose, FULL, body, |point, away| {
        // The chamfer's cone shows between the corners and the round face.
        let cone = 1.0 - 0.25 * step(chamfer - 0.02, chamfer + 0.02, length(point));
        scaled(turned(base, point, light, pattern, grain, roughness), cone * bevel(body, point, away, 0.08, light))
    });
    bore(scene, pose, base, hole, threads, light);
}

/// A threaded hole, its far wall lit.
fn bore(scene: &mut Scene<'_>, pose: Pose, base: Color, radius: f32, threads: f32, light: Point) {
    let rim = move |point: Point| circle(point, [0.0; 2], radius + 0.06);
    scene.canvas.shape(pose, FULL, rim, |point, _| {
        let facing = (point[0] * light[0] + point[1] * light[1]) / length(point).max(1e-3);
        scaled(base, 0.75 - 0.45 * facing)
    });
    scene.canvas.shape(
        pose,
        FULL,
        move |point| circle(point, [0.0; 2], radius),
        |point, away| {
            let depth = -away / radius;
            let facing = (point[0] * light[0] + point[1] * light[1]) / length(point).max(1e-3);
            let wall = (0.5 - 0.5 * facing) * (0.6 + 0.4 * (away * threads).sin());
            scaled(base, 0.06 + (0.5 * wall + 0.12) * (1.0 - step(0.05, 0.32, depth)))
        },
    );
}

/// A flat ring, sometimes with a split or teeth.
pub fn washer(scene: &mut Scene<'_>) {
    scene.backdrop();
    let pose = scene.place([1.0, 1.0], true);
    let (base, hole, light) = (scene.metal(0.4..0.8), scene.fixed(0.4..0.62), scene.light);
    let (teeth, split) = (if scene.chance(0.35) { scene.count(8..16) as f32 } else { 0.0 }, scene.chance(0.25));
    let (pattern, grain, roughness) = (scene.pattern(), scene.grain(), scene.fixed(0.03..0.12));
    let ring = move |point: Point| {
        let notch = if teeth > 0.0 { 0.06 * step(-0.3, 0.3, (point[1].atan2(point[0]) * teeth).sin()) } else { 0.0 };
        let disc = circle(point, [0.0; 2], 1.0 - notch).max(hole - length(point));
        if split { disc.max(0.05 - plate(point, [0.75, 0.0], [0.5, 0.0], 0.0)) } else { disc }
    };
    scene.canvas.shadow(pose, FULL, ring, [-0.03 * light[0], -0.03 * light[1]], 0.09, 0.6);
    scene.canvas.shape(pose, FULL, ring, |point, away| {
        scaled(turned(base, point, light, pattern, grain, roughness), bevel(ring, point, away, 0.05, light))
    });
}

/// A screw from the side.
pub fn screw(scene: &mut Scene<'_>) {
    scene.backdrop();
    let pose = scene.place([1.9, 0.5], true);
    let (base, light, pitch) = (scene.metal(0.4..0.75), scene.light, scene.fixed(34.0..58.0));
    let (shank, tip, neck) = (scene.fixed(0.14..0.24), scene.fixed(0.25..0.6), scene.fixed(-1.35..-0.5));
    let (head, grain, slant) = (scene.fixed(0.36..0.46), scene.grain(), scene.fixed(0.1..0.3));
    let countersunk = scene.chance(0.5);
    let body = move |point: Point| {
        let [x, y] = point;
        let half = if x < -1.45 {
            if countersunk { head - (x + 1.8) * (head - shank) / 0.35 } else { head }
        } else {
            shank * (1.0 - step(1.8 - tip, 1.82, x).powf(1.3))
        };
        let thread = if x > neck && x < 1.75 { 0.032 * ((x + slant * y * y.signum()) * pitch).sin() } else { 0.0 };
        (y.abs() - half - thread).max((x.abs() - 1.82).max(0.0) * 2.0).max(x.abs() - 1.82) * 0.8
    };
    let reach = [-1.95, -0.55, 1.95, 0.55];
    scene.canvas.shadow(pose, reach, body, [-0.03, 0.08], 0.12, 0.55);
    scene.canvas.shape(pose, reach, body, |point, away| {
        let [x, y] = point;
        let across = y / if x < -1.45 { head } else { shank };
        let round = 0.35 + 0.75 * (1.0 - (across - 0.3 * light[1]).powi(2)).max(0.0);
        let glint = 0.5 * (-((across + 0.35) * 6.0).powi(2)).exp();
        let thread = if x > neck { 0.72 + 0.4 * ((x + slant * y) * pitch).sin() } else { 1.0 };
        let wear = 1.0 + 0.1 * noise::fractal(x * 9.0, y * 9.0, grain, 3);
        scaled(base, (round + glint) * thread * wear * if away > -0.015 { 0.7 } else { 1.0 })
    });
    let slot = hsv(0.0, 0.0, 0.12);
    scene.canvas.shape(pose, reach, |point| plate(point, [-1.8, 0.0], [0.09, 0.05], 0.01), |_, _| slot);
}

/// A toothed wheel with holes and a hub.
pub fn gear(scene: &mut Scene<'_>) {
    scene.backdrop();
    let pose = scene.place([1.05, 1.05], true);
    let plastic = scene.chance(0.35);
    let base = if plastic { scene.color(0.1..0.6, 0.4..0.9) } else { scene.metal(0.4..0.72) };
    let (teeth, depth, holes) = (scene.count(12..30) as f32, scene.fixed(0.1..0.18), scene.count(0..7));
    let (hub, bore, light) = (scene.fixed(0.3..0.42), scene.fixed(0.12..0.22), scene.light);
    let (pattern, grain, roughness) = (scene.pattern(), scene.grain(), scene.fixed(0.02..0.08));
    let body = move |point: Point| {
        let wave = (point[1].atan2(point[0]) * teeth).sin();
        (length(point) - 1.0 + depth * (0.5 - 0.5 * (wave * 2.2).clamp(-1.0, 1.0))) * 0.7
    };
    scene.canvas.shadow(pose, FULL, body, [-0.05 * light[0], -0.05 * light[1]], 0.1, 0.6);
    scene.canvas.shape(pose, FULL, body, |point, away| {
        let radius = length(point);
        let groove = 1.0 - 0.22 * step(hub, hub + 0.03, radius) * (1.0 - step(0.7, 0.73, radius));
        scaled(turned(base, point, light, pattern, grain, roughness), groove * bevel(body, point, away, 0.05, light))
    });
    for hole in 0..holes {
        let (sine, cosine) = (hole as f32 / holes as f32 * TAU).sin_cos();
        let center = [0.56 * cosine, 0.56 * sine];
        pit(scene, pose, center, 0.1, light);
    }
    pit(scene, pose, [0.0; 2], bore, light);
}

/// A dark hole with a lit far edge.
fn pit(scene: &mut Scene<'_>, pose: Pose, center: Point, radius: f32, light: Point) {
    let reach = [center[0] - radius, center[1] - radius, center[0] + radius, center[1] + radius];
    scene.canvas.shape(
        pose,
        reach,
        |point| circle(point, center, radius),
        |point, away| {
            let facing = ((point[0] - center[0]) * light[0] + (point[1] - center[1]) * light[1]) / radius;
            let edge = 1.0 - step(0.0, 0.3 * radius, -away);
            let level = 0.05 + 0.4 * edge * (0.5 - 0.5 * facing);
            [level; 3]
        },
    );
}

/// A ball bearing from above.
pub fn bearing(scene: &mut Scene<'_>) {
    scene.backdrop();
    let pose = scene.place([1.0, 1.0], true);
    let (base, light, sealed) = (scene.metal(0.5..0.78), scene.light, scene.chance(0.35));
    let (bore, inner, outer) = (scene.fixed(0.28..0.38), scene.fixed(0.48..0.54), scene.fixed(0.74..0.8));
    let (balls, pattern, grain) = (scene.count(8..13), scene.pattern(), scene.grain());
    let seal = scene.color(0.0..0.7, 0.08..0.35);
    let spin = scene.vary(0.0..TAU);
    let disc = |point: Point| circle(point, [0.0; 2], 1.0);
    scene.canvas.shadow(pose, FULL, disc, [-0.04 * light[0], -0.04 * light[1]], 0.1, 0.6);
    scene.canvas.shape(pose, FULL, disc, |point, _| {
        let radius = length(point);
        let metal = turned(base, point, light, pattern, grain, 0.03);
        let groove = step(inner, inner + 0.015, radius) * (1.0 - step(outer - 0.015, outer, radius));
        let edges = [1.0, outer, inner, bore].iter().map(|edge| (-((radius - edge) * 45.0).powi(2)).exp()).sum::<f32>();
        mix(scaled(metal, 1.0 - 0.45 * edges), if sealed { seal } else { [0.07; 3] }, groove)
    });
    if !sealed {
        let middle = (inner + outer) / 2.0;
        let size = (outer - inner) * 0.46;
        for ball in 0..balls {
            let (sine, cosine) = (spin + ball as f32 / balls as f32 * TAU).sin_cos();
            let center = [middle * cosine, middle * sine];
            let reach = [center[0] - size, center[1] - size, center[0] + size, center[1] + size];
            scene.canvas.shape(
                pose,
                reach,
                |point| circle(point, center, size),
                |point, _| {
                    let (u, v) = ((point[0] - center[0]) / size - 0.35 * light[0], (point[1] - center[1]) / size - 0.35 * light[1]);
                    let near = u * u + v * v;
                    scaled(base, 0.35 + 0.7 * (1.0 - near).max(0.0) + 0.7 * (-near * 14.0).exp())
                },
            );
        }
    }
    pit(scene, pose, [0.0; 2], bore, light);
}
