//! Boards, connectors, cables.

use std::f32::consts::TAU;

use super::super::draw::{Color, Point, Pose, Scene, bevel, circle, length, mix, noise, plate, print, scaled, step, stroke};

/// A box around a centre.
fn around(center: Point, half: Point) -> [f32; 4] {
    [center[0] - half[0], center[1] - half[1], center[0] + half[0], center[1] + half[1]]
}

/// A plain rounded block with lit edges and a shadow.
fn block(scene: &mut Scene<'_>, pose: Pose, center: Point, half: Point, color: Color, rounding: f32) {
    let (light, grain) = (scene.light, scene.grain());
    let body = move |point: Point| plate(point, center, half, rounding);
    scene.canvas.shadow(pose, around(center, half), body, [-0.02 * light[0], -0.02 * light[1]], 0.03, 0.55);
    scene.canvas.shape(pose, around(center, half), body, |point, away| {
        scaled(color, (1.0 + 0.05 * noise::fractal(point[0] * 40.0, point[1] * 40.0, grain, 2)) * bevel(body, point, away, 0.03, light))
    });
}

/// A circuit board: traces, pads, chips, small parts, prints.
pub fn board(scene: &mut Scene<'_>) {
    scene.backdrop();
    let half = [1.3, scene.fixed(0.85..1.15)];
    let pose = scene.place([half[0] + 0.05, half[1] + 0.05], false);
    let hue = [0.38, 0.38, 0.6, 0.0, 0.1][scene.count(0..5) as usize];
    let mask = super::super::draw::hsv(hue, scene.fixed(0.5..0.85), scene.fixed(0.2..0.45));
    let (grain, pattern) = (scene.grain(), scene.pattern());
    let body = move |point: Point| plate(point, [0.0; 2], half, 0.04);
    scene.canvas.shadow(pose, around([0.0; 2], half), body, [0.03, 0.03], 0.08, 0.5);
    let pitch = scene.fixed(11.0..18.0);
    scene.canvas.shape(pose, around([0.0; 2], half), body, |[x, y], _| {
        // Traces run along or across in patches of the board.
        let across = noise::value(x * 1.4, y * 1.4, pattern) > 0.5;
        let lane = if across { x * pitch } else { y * pitch };
        let along = if across { y } else { x };
        let used = noise::unit(lane.floor() as i32, (along * 1.1).floor() as i32, pattern ^ 5) > 0.45;
        let near = (lane.fract() + if lane < 0.0 { 1.0 } else { 0.0 } - 0.5).abs();
        let trace = if used { 1.0 - step(0.2, 0.28, near) } else { 0.0 };
        let weave = 1.0 + 0.03 * ((x * 120.0).sin() * (y * 120.0).sin()) + 0.04 * noise::fractal(x * 6.0, y * 6.0, grain, 2);
        scaled(mix(mask, scaled(mask, 1.55), trace * 0.8), weave)
    });
    let solder = scene.metal(0.65..0.85);
    for _ in 0..scene.count(2..5) {
        let size = [scene.fixed(0.14..0.34), scene.fixed(0.12..0.28)];
        let center = [scene.fixed(-0.8..0.8), scene.fixed(-0.6..0.6) * half[1]];
        chip(scene, pose, center, size, solder);
    }
    for _ in 0..scene.count(14..30) {
        let center = [scene.fixed(-1.2..1.2), scene.fixed(-0.9..0.9) * half[1]];
        small_part(scene, pose, center, solder);
    }
    for corner in [[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]] {
        let center = [corner[0] * (half[0] - 0.12), corner[1] * (half[1] - 0.12)];
        scene.canvas.shape(
            pose,
            around(center, [0.09; 2]),
            |point| circle(point, center, 0.085),
            |point, _| {
                if length([point[0] - center[0], point[1] - center[1]]) < 0.05 { [0.04; 3] } else { [0.8, 0.68, 0.35] }
            },
        );
    }
}

fn chip(scene: &mut Scene<'_>, pose: Pose, center: Point, half: Point, solder: Color) {
    let pins = (half[0] / 0.035) as i32;
    for pin in 0..pins {
        let x = center[0] + ((pin as f32 + 0.5) / pins as f32 - 0.5) * 1.85 * half[0];
        for side in [-1.0, 1.0] {
            let place = [x, center[1] + side * (half[1] + 0.025)];
            let size = [0.013, 0.04];
            scene.canvas.shape(
                pose,
                around(place, size),
                |point| plate(point, place, size, 0.005),
                |point, _| scaled(solder, 0.8 + 5.0 * (point[1] - place[1]) * side),
            );
        }
    }
    let dark = scene.fixed(0.07..0.14);
    block(scene, pose, center, half, [dark; 3], 0.015);
    let digits = [scene.count(1..10), scene.count(0..10), scene.count(0..10), scene.count(0..10)];
    print(&mut scene.canvas, pose, center, 0.035, &digits, [0.7; 3], 0.7);
    let mark = [center[0] - half[0] * 0.8, center[1] - half[1] * 0.7];
    scene.canvas.shape(pose, around(mark, [0.02; 2]), |point| circle(point, mark, 0.015), |_, _| [0.35; 3]);
}

fn small_part(scene: &mut Scene<'_>, pose: Pose, center: Point, solder: Color) {
    let upright = scene.chance(0.5);
    let body = if scene.chance(0.5) { [0.09; 3] } else { [0.62, 0.5, 0.36] };
    let turn = |along: f32, across: f32| if upright { [across, along] } else { [along, across] };
    block(scene, pose, center, turn(0.06, 0.032), solder, 0.008);
    block(scene, pose, center, turn(0.034, 0.033), body, 0.004);
}

/// A pin header in its housing.
pub fn connector(scene: &mut Scene<'_>) {
    scene.backdrop();
    let (pins, rows) = (scene.count(4..10), scene.count(1..3));
    let half = [pins as f32 * 0.2 + 0.15, rows as f32 * 0.2 + 0.2];
    let pose = scene.place(half, false);
    let housing = if scene.chance(0.5) { [0.09; 3] } else { scene.color(0.0..0.7, 0.4..0.95) };
    block(scene, pose, [0.0; 2], half, housing, 0.06);
    let (light, gold) = (scene.light, if scene.chance(0.6) { [0.85, 0.68, 0.3] } else { [0.75, 0.75, 0.78] });
    let inner = [half[0] - 0.09, half[1] - 0.09];
    let cavity = move |point: Point| plate(point, [0.0; 2], inner, 0.03);
    scene
        .canvas
        .shape(pose, around([0.0; 2], inner), cavity, |point, away| scaled(housing, 0.5 * (2.0 - bevel(cavity, point, away, 0.08, light))));
    for pin in 0..pins * rows {
        let jitter = [scene.vary(-0.006..0.006), scene.vary(-0.006..0.006)];
        let center =
            [(pin % pins) as f32 * 0.4 - half[0] + 0.35 + jitter[0], (pin / pins) as f32 * 0.4 - (rows as f32 - 1.0) * 0.2 + jitter[1]];
        let tip = move |point: Point| plate(point, center, [0.075; 2], 0.015);
        scene.canvas.shadow(pose, around(center, [0.1; 2]), tip, [-0.04 * light[0], -0.04 * light[1]], 0.04, 0.6);
        scene.canvas.shape(pose, around(center, [0.08; 2]), tip, |point, away| scaled(gold, bevel(tip, point, away, 0.045, light)));
    }
    let latch = [0.0, -half[1] + 0.03];
    block(scene, pose, latch, [half[0] * 0.3, 0.04], scaled(housing, 1.2), 0.01);
}

/// A three-legged transistor lying on a perforated board.
pub fn transistor(scene: &mut Scene<'_>) {
    let (ground, dots, zoom) =
        (scene.color(0.1..0.5, 0.3..0.6), scene.fixed(16.0..26.0), 256.0 / scene.canvas.width.min(scene.canvas.height) as f32);
    let (shift, grain) = ([scene.vary(0.0..dots), scene.vary(0.0..dots)], scene.grain());
    scene.canvas.fill(|x, y| {
        let (u, v) = ((x * zoom + shift[0]).rem_euclid(dots) - dots / 2.0, (y * zoom + shift[1]).rem_euclid(dots) - dots / 2.0);
        let radius = u.hypot(v);
        let board = scaled(ground, 1.0 + 0.1 * noise::fractal(x * zoom * 0.2, y * zoom * 0.2, grain, 2));
        mix(mix([0.05; 3], [0.72, 0.56, 0.3], step(2.6, 3.4, radius)), board, step(5.2, 6.2, radius))
    });
    let pose = scene.place([0.8, 1.25], false);
    let metal = scene.metal(0.65..0.85);
    let spread = scene.fixed(0.3..0.45);
    for leg in [-1.0, 0.0, 1.0] {
        let (from, to) = ([leg * 0.25, -0.05], [leg * spread + scene.vary(-0.015..0.015), 1.15]);
        let wire = move |point: Point| stroke(point, from, [to[0], 0.35], 0.05).min(stroke(point, [to[0], 0.35], to, 0.05));
        let reach = [-0.6, -0.1, 0.6, 1.25];
        scene.canvas.shadow(pose, reach, wire, [0.05, 0.05], 0.05, 0.5);
        scene.canvas.shape(pose, reach, wire, |_, away| scaled(metal, 0.65 + 8.0 * -away));
    }
    let tab = scene.chance(0.5);
    if tab {
        block(scene, pose, [0.0, -0.85], [0.55, 0.35], metal, 0.05);
        scene.canvas.shape(pose, around([0.0, -0.92], [0.2; 2]), |point| circle(point, [0.0, -0.92], 0.15), |_, _| [0.08; 3]);
    }
    block(scene, pose, [0.0, -0.25], [0.58, 0.42], [0.1; 3], 0.06);
    let digits = [scene.count(1..10), scene.count(0..10), scene.count(0..10)];
    print(&mut scene.canvas, pose, [0.0, -0.25], 0.13, &digits, [0.65; 3], 0.75);
}

/// Cross-section of a cable: insulated conductors in a sheath.
pub fn cable(scene: &mut Scene<'_>) {
    scene.backdrop();
    let pose = scene.place([1.0, 1.0], false);
    let (sheath, light, grain) = (scene.color(0.0..0.5, 0.15..0.8), scene.light, scene.grain());
    let disc = |point: Point| circle(point, [0.0; 2], 1.0);
    let reach = around([0.0; 2], [1.05; 2]);
    scene.canvas.shadow(pose, reach, disc, [-0.04 * light[0], -0.04 * light[1]], 0.1, 0.5);
    scene.canvas.shape(pose, reach, disc, |point, away| {
        let rubber = 1.0 + 0.1 * noise::fractal(point[0] * 16.0, point[1] * 16.0, grain, 3);
        scaled(sheath, rubber * bevel(disc, point, away, 0.08, light) * (0.55 + 0.45 * step(0.78, 0.86, length(point))))
    });
    let cores = scene.count(2..5);
    let colors: Vec<Color> = (0..cores).map(|_| scene.color(0.4..0.9, 0.3..0.85)).collect();
    let (size, turn) = (if cores == 4 { 0.31 } else { 0.36 }, scene.vary(-0.1..0.1));
    let copper = scene.metal(0.6..0.8);
    for (index, color) in colors.into_iter().enumerate() {
        let (sine, cosine) = (turn + index as f32 / cores as f32 * TAU).sin_cos();
        let center = [0.44 * cosine, 0.44 * sine];
        let core = move |point: Point| circle(point, center, size);
        scene.canvas.shape(pose, around(center, [size; 2]), core, |point, away| scaled(color, bevel(core, point, away, 0.06, light)));
        scene.canvas.shape(
            pose,
            around(center, [size; 2]),
            |point| circle(point, center, size * 0.66),
            |point, away| {
                // Strands of copper.
                let (near, next, name) = noise::cells(point[0] * 15.0, point[1] * 15.0, grain ^ index as u32);
                let strand = (0.55 + 0.5 * (name & 255) as f32 / 255.0) * step(0.0, 0.25, next - near);
                scaled([copper[0], copper[1] * 0.72, copper[2] * 0.5], strand * (0.6 + 0.4 * step(0.0, 0.05, -away)))
            },
        );
    }
}
