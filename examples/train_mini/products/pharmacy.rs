//! Bottles and medicines.

use std::f32::consts::TAU;

use super::super::draw::{Color, Point, Scene, bevel, circle, hsv, length, mix, noise, plate, print, scaled, step, stroke};

const FULL: [f32; 4] = [-1.2, -1.2, 1.2, 1.2];

/// A bottle's mouth from above: rings of glass, dark inside.
pub fn bottle(scene: &mut Scene<'_>) {
    scene.backdrop();
    let pose = scene.place([1.0, 1.0], false);
    let hue = [0.08, 0.3, 0.55, 0.07][scene.count(0..4) as usize];
    let glass = hsv(hue, scene.fixed(0.2..0.8), scene.fixed(0.25..0.6));
    let (light, pattern) = (scene.light, scene.pattern());
    let (mouth, lip, shoulder) = (scene.fixed(0.5..0.58), scene.fixed(0.64..0.72), scene.fixed(0.8..0.9));
    let (glint, width, depth) = (scene.vary(-0.15..0.15), scene.fixed(0.25..0.6), scene.fixed(0.02..0.12));
    let disc = |point: Point| circle(point, [0.0; 2], 1.0);
    scene.canvas.shadow(pose, FULL, disc, [-0.03 * light[0], -0.03 * light[1]], 0.15, 0.5);
    scene.canvas.shape(pose, FULL, disc, |point, _| {
        let radius = length(point);
        let angle = point[1].atan2(point[0]) - light[1].atan2(light[0]) + glint;
        let ring = |at: f32, thin: f32| (-((radius - at) / thin).powi(2)).exp();
        // Reflections of the lamp: arcs on both sides of each ring.
        let near = |center: f32| (-(((angle - center + TAU * 1.5).rem_euclid(TAU) - TAU / 2.0) / width).powi(2)).exp();
        let arcs = near(0.0) + 0.6 * near(TAU / 2.0) + 0.25 * near(TAU / 4.0);
        let glow = (ring(lip, 0.03) + 0.7 * ring(shoulder, 0.04) + 0.5 * ring(0.97, 0.02)) * (0.25 + 0.75 * arcs);
        let wall = scaled(glass, 0.45 + 0.55 * (radius * 11.0).sin().abs() + 0.1 * noise::value(radius * 50.0, 0.0, pattern));
        let inside = scaled(glass, depth + 0.5 * (ring(mouth, 0.05) + 0.5 * ring(mouth * 0.72, 0.03) * arcs));
        mix(mix(inside, wall, step(mouth - 0.01, mouth + 0.02, radius)), [0.97, 0.98, 0.95], glow.min(1.0) * 0.85)
    });
}

/// A two-coloured capsule with a print.
pub fn capsule(scene: &mut Scene<'_>) {
    scene.backdrop();
    let pose = scene.place([1.75, 0.65], true);
    let (first, second, ink) = (scene.color(0.3..0.9, 0.3..0.95), scene.color(0.0..0.5, 0.6..0.97), scene.color(0.0..0.4, 0.1..0.25));
    let (light, joint, grain) = (scene.light, scene.fixed(-0.25..0.3), scene.grain());
    let digits = [scene.count(1..10), scene.count(0..10), 0];
    let body = |point: Point| stroke(point, [-1.1, 0.0], [1.1, 0.0], 0.58);
    let reach = [-1.8, -0.7, 1.8, 0.7];
    scene.canvas.shadow(pose, reach, body, [-0.08 * light[0], -0.08 * light[1]], 0.2, 0.55);
    scene.canvas.shape(pose, reach, body, |point, away| {
        let across = point[1] / 0.58;
        let color = mix(first, second, step(joint - 0.008, joint + 0.008, point[0]));
        let seam = 1.0 - 0.35 * (-((point[0] - joint) * 40.0).powi(2)).exp();
        let round = 0.5 + 0.6 * (1.0 - (across - 0.35 * light[1]).powi(2)).max(0.0).sqrt();
        let edge = step(0.0, 0.25, -away) * 0.35 + 0.65;
        let speck = 1.0 + 0.04 * noise::fractal(point[0] * 14.0, point[1] * 14.0, grain, 2);
        let glint = 0.55 * (-((across - 0.42 * light[1].signum()) * 7.0).powi(2)).exp() * step(0.0, 0.3, -away);
        mix(scaled(color, round * edge * seam * speck), [1.0; 3], glint)
    });
    let side = if joint > 0.0 { -0.55 } else { 0.65 };
    print(&mut scene.canvas, pose, [side, 0.02], 0.2, &digits, ink, 0.85);
}

/// A round or oblong tablet with speckles, a score or a print.
pub fn pill(scene: &mut Scene<'_>) {
    scene.backdrop();
    let oblong = scene.chance(0.4);
    let half = if oblong { [1.35, 0.75] } else { [1.0, 1.0] };
    let pose = scene.place(half, true);
    let (base, spot, light) = (scene.color(0.0..0.25, 0.75..0.97), scene.color(0.4..0.8, 0.4..0.8), scene.light);
    let (spotted, scored, printed) = (scene.chance(0.5), scene.chance(0.5), scene.chance(0.5));
    let (grain, digits) = (scene.grain(), [scene.count(1..10), scene.count(0..10)]);
    let body = move |point: Point| plate(point, [0.0; 2], half, half[1]);
    let reach = [-half[0], -half[1], half[0], half[1]];
    scene.canvas.shadow(pose, reach, body, [-0.07 * light[0], -0.07 * light[1]], 0.15, 0.55);
    scene.canvas.shape(pose, reach, body, |point, away| {
        let powder = 1.0 + 0.07 * noise::fractal(point[0] * 22.0, point[1] * 22.0, grain, 3);
        let mut color = scaled(base, powder * bevel(body, point, away, 0.3, light));
        if spotted {
            let (near, _, name) = noise::cells(point[0] * 6.5, point[1] * 6.5, grain ^ 3);
            let size = 0.1 + 0.22 * (name & 255) as f32 / 255.0;
            color = mix(color, spot, if name % 3 == 0 { 0.8 * (1.0 - step(size - 0.07, size + 0.07, near)) } else { 0.0 });
        }
        let groove =
            if scored && !printed { (-(point[0] * 28.0).powi(2)).exp() - 0.7 * (-((point[0] - 0.05) * 28.0).powi(2)).exp() } else { 0.0 };
        scaled(color, 1.0 - 0.4 * groove)
    });
    if printed {
        // An embossed print: a dark edge and a bright one beside it.
        print(&mut scene.canvas, pose, [0.02 * light[0], 0.02 * light[1]], 0.3, &digits, [1.0; 3], 0.45);
        print(&mut scene.canvas, pose, [0.0; 2], 0.3, &digits, scaled(base, 0.62), 0.75);
    }
}

/// Tablets behind foil, in rows.
pub fn blister(scene: &mut Scene<'_>) {
    scene.backdrop();
    let (columns, rows) = (scene.count(3..6), scene.count(2..4));
    let half = [columns as f32 * 0.5, rows as f32 * 0.5];
    let pose = scene.place([half[0] + 0.1, half[1] + 0.1], false);
    let (foil, tablet, light): (Color, _, _) = (scene.metal(0.6..0.82), scene.color(0.0..0.7, 0.6..0.97), scene.light);
    let (grain, oblong) = (scene.grain(), scene.fixed(0.75..1.0));
    let sheet = move |point: Point| plate(point, [0.0; 2], [half[0] + 0.05, half[1] + 0.05], 0.12);
    let reach = [-half[0] - 0.1, -half[1] - 0.1, half[0] + 0.1, half[1] + 0.1];
    scene.canvas.shadow(pose, reach, sheet, [-0.04 * light[0], -0.04 * light[1]], 0.1, 0.5);
    scene.canvas.shape(pose, reach, sheet, |point, away| {
        let wave = ((point[0] * 46.0).sin() * (point[1] * 46.0).sin()) * 0.06;
        let crease = 0.12 * noise::fractal(point[0] * 2.2, point[1] * 2.2, grain, 3);
        scaled(foil, (1.0 + wave + crease) * bevel(sheet, point, away, 0.03, light))
    });
    for cell in 0..columns * rows {
        let center = [(cell % columns) as f32 + 0.5 - half[0], (cell / columns) as f32 + 0.5 - half[1]];
        let lying = [center[0] + scene.vary(-0.025..0.025), center[1] + scene.vary(-0.025..0.025)];
        let around = [center[0] - 0.45, center[1] - 0.45, center[0] + 0.45, center[1] + 0.45];
        let dome = move |point: Point| circle([point[0], center[1] + (point[1] - center[1]) / oblong], center, 0.42);
        scene.canvas.shape(pose, around, dome, |point, away| scaled(foil, 0.8 * bevel(dome, point, away, 0.1, light)));
        let disc = move |point: Point| circle([point[0], lying[1] + (point[1] - lying[1]) / oblong], lying, 0.31);
        scene.canvas.shadow(pose, around, disc, [-0.03 * light[0], -0.03 * light[1]], 0.06, 0.5);
        scene.canvas.shape(pose, around, disc, |point, away| {
            scaled(
                tablet,
                (1.0 + 0.06 * noise::fractal(point[0] * 20.0, point[1] * 20.0, grain, 2)) * bevel(disc, point, away, 0.12, light),
            )
        });
        // The plastic dome's highlight.
        let shine = [center[0] + 0.2 * light[0], center[1] + 0.2 * light[1]];
        scene.canvas.cover(pose, around, |point| Some(([1.0; 3], 0.5 * (-(circle(point, shine, 0.0) * 11.0).powi(2)).exp())));
    }
}
