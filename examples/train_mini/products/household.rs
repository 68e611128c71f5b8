//! Buttons, zippers, labels, brushes, biscuits.

use std::f32::consts::TAU;

use super::super::draw::{Point, Scene, bevel, circle, length, mix, noise, plate, print, scaled, step};

fn around(center: Point, half: Point) -> [f32; 4] {
    [center[0] - half[0], center[1] - half[1], center[0] + half[0], center[1] + half[1]]
}

/// A sewing button.
pub fn button(scene: &mut Scene<'_>) {
    scene.backdrop();
    let pose = scene.place([1.0, 1.0], true);
    let (base, light, holes) = (scene.color(0.0..0.8, 0.2..0.95), scene.light, if scene.chance(0.7) { 4 } else { 2 });
    let (rim, pearl, grain, spread) = (scene.fixed(0.68..0.85), scene.fixed(0.0..0.2), scene.grain(), scene.fixed(0.2..0.28));
    let disc = |point: Point| circle(point, [0.0; 2], 1.0);
    let reach = around([0.0; 2], [1.05; 2]);
    scene.canvas.shadow(pose, reach, disc, [-0.06 * light[0], -0.06 * light[1]], 0.12, 0.6);
    scene.canvas.shape(pose, reach, disc, |point, away| {
        let radius = length(point);
        let facing = (point[0] * light[0] + point[1] * light[1]) / radius.max(1e-3);
        let groove = 1.0 - 0.3 * facing * ((-((radius - rim) * 22.0).powi(2)).exp() - (-((radius - rim + 0.12) * 22.0).powi(2)).exp());
        let swirl = 1.0 + pearl * noise::fractal(point[0] * 3.0, point[1] * 5.0, grain, 3);
        let glint = 0.35 * (-(circle(point, [0.45 * light[0], 0.45 * light[1]], 0.0) * 4.0).powi(2)).exp();
        mix(scaled(base, groove * swirl * bevel(disc, point, away, 0.12, light)), [1.0; 3], glint)
    });
    for hole in 0..holes {
        let (sine, cosine) = ((hole as f32 + 0.5) / holes as f32 * TAU).sin_cos();
        let center = [spread * 1.3 * cosine, spread * 1.3 * sine];
        let pit = move |point: Point| circle(point, center, 0.11);
        scene.canvas.shape(
            pose,
            around(center, [0.15; 2]),
            |point| circle(point, center, 0.135),
            |point, away| scaled(base, 0.8 * (2.0 - bevel(pit, point, away, 0.1, light))),
        );
        scene.canvas.shape(pose, around(center, [0.12; 2]), pit, |_, away| scaled(base, 0.12 - 0.4 * away.max(-0.1)));
    }
}

/// A closed zipper between its tapes.
pub fn zipper(scene: &mut Scene<'_>) {
    scene.backdrop();
    let (width, height) = (scene.canvas.width as f32, scene.canvas.height as f32);
    let long = (width.max(height) / width.min(height)).max(1.0) * 1.3;
    let mut pose = scene.place([1.2, 1.0], false);
    pose.scale = width.min(height) * 0.46;
    let (tape, tooth, light) = (scene.color(0.0..0.8, 0.08..0.6), scene.metal(0.55..0.8), scene.light);
    let (pitch, size, grain) = (scene.fixed(0.11..0.17), scene.fixed(0.2..0.28), scene.grain());
    let slide = scene.vary(0.0..pitch);
    let weave = scene.fixed(38.0..60.0);
    let body = move |point: Point| plate(point, [0.0; 2], [long, 0.85], 0.0);
    scene.canvas.shadow(pose, around([0.0; 2], [long, 0.9]), body, [0.0, 0.04], 0.1, 0.4);
    scene.canvas.shape(pose, around([0.0; 2], [long, 0.85]), body, |[x, y], _| {
        let twill = 0.18 * ((x + y.abs() * 0.6) * weave).sin() * (y * weave).sin();
        let stitches = if (y.abs() - 0.52).abs() < 0.025 && ((x + slide) * 7.0).rem_euclid(1.0) < 0.65 { 0.5 } else { 0.0 };
        let fold = 0.15 * (-((y.abs() - size) * 14.0).powi(2)).exp();
        scaled(tape, 1.0 + twill + stitches - fold + 0.1 * noise::fractal(x * 5.0, y * 5.0, grain, 2))
    });
    let count = (2.0 * long / pitch) as i32;
    for index in 0..count {
        let x = -long + (index as f32 + 0.5) * pitch + slide;
        let side = if index % 2 == 0 { 1.0 } else { -1.0 };
        let center = [x, side * size * 0.35];
        let half = [pitch * 0.42, size * 0.62];
        let tooth_shape = move |point: Point| plate(point, center, half, 0.035);
        scene.canvas.shadow(pose, around(center, half), tooth_shape, [0.015, 0.02], 0.03, 0.5);
        scene.canvas.shape(pose, around(center, half), tooth_shape, |point, away| {
            scaled(
                tooth,
                (0.9 + 0.06 * noise::fractal(point[0] * 30.0, point[1] * 30.0, grain, 2)) * bevel(tooth_shape, point, away, 0.045, light),
            )
        });
    }
}

/// A printed label with a bar code.
pub fn label(scene: &mut Scene<'_>) {
    scene.backdrop();
    let half = [1.2, scene.fixed(0.7..0.95)];
    let pose = scene.place(half, false);
    let (paper, ink, accent) = (scene.color(0.0..0.12, 0.85..0.98), scene.color(0.0..0.6, 0.05..0.25), scene.color(0.4..0.9, 0.4..0.9));
    let (grain, pattern, banner) = (scene.grain(), scene.pattern(), scene.fixed(0.15..0.4));
    let body = move |point: Point| plate(point, [0.0; 2], half, 0.06);
    scene.canvas.shadow(pose, around([0.0; 2], half), body, [0.015, 0.02], 0.05, 0.5);
    scene.canvas.shape(pose, around([0.0; 2], half), body, |[x, y], _| {
        let fibre = 1.0 + 0.035 * noise::fractal(x * 25.0, y * 25.0, grain, 2);
        let color = if y < -half[1] + banner { accent } else { paper };
        scaled(color, fibre)
    });
    let (left, top, bottom) = (-half[0] + 0.12, half[1] * 0.25, half[1] - 0.14);
    scene.canvas.cover(pose, [left, top, left + 1.3, bottom], |[x, y]| {
        let bar = ((x - left) * 46.0) as i32;
        let inked = x > left && x < left + 1.3 && y > top && y < bottom && noise::unit(bar / 2 + bar % 2 * 64, bar / 3, pattern) > 0.5;
        inked.then_some((ink, 0.95))
    });
    // Lines of small print: words of uneven length.
    for line in 0..4 {
        let y = -half[1] + banner + 0.12 + line as f32 * 0.11;
        scene.canvas.cover(pose, [left, y - 0.03, half[0] - 0.1, y + 0.03], |[x, v]| {
            let letter = ((x - left) * 26.0) as i32;
            let word = noise::unit(letter / 5, line, pattern ^ 9) > 0.2 && letter % 5 != 4 && x < half[0] - 0.15 - 0.2 * (line % 3) as f32;
            let stroke = noise::value(x * 90.0, v * 60.0 + line as f32 * 17.0, pattern) > 0.42;
            (word && stroke && (v - y).abs() < 0.03 && x > left).then_some((ink, 0.8))
        });
    }
    let digits = [scene.count(0..10), scene.count(0..10), scene.count(0..10)];
    print(&mut scene.canvas, pose, [half[0] - 0.42, half[1] * 0.6], 0.13, &digits, ink, 0.95);
    print(&mut scene.canvas, pose, [-half[0] * 0.5, -half[1] + banner / 2.0], banner * 0.27, &digits, paper, 0.95);
}

/// A toothbrush's head: tufts in rows.
pub fn toothbrush(scene: &mut Scene<'_>) {
    scene.backdrop();
    let (columns, rows) = (scene.count(7..11), scene.count(3..5));
    let half = [columns as f32 * 0.2 + 0.12, rows as f32 * 0.2 + 0.12];
    let pose = scene.place([half[0] * 1.12, half[1]], false);
    let (handle, light) = (scene.color(0.2..0.9, 0.5..0.95), scene.light);
    let colors = [scene.color(0.0..0.2, 0.8..0.97), scene.color(0.3..0.9, 0.5..0.95)];
    let body = move |point: Point| {
        plate(point, [0.0; 2], half, half[1] * 0.9).min(plate(point, [half[0] + 3.0, 0.0], [3.2, half[1] * 0.35], 0.05))
    };
    let reach = [-half[0], -half[1], half[0] + 6.0, half[1]];
    scene.canvas.shadow(pose, reach, body, [-0.06 * light[0], -0.06 * light[1]], 0.12, 0.5);
    scene.canvas.shape(pose, reach, body, |point, away| scaled(handle, 0.85 * bevel(body, point, away, 0.12, light)));
    let (grain, banded) = (scene.grain(), scene.count(0..3));
    for tuft in 0..columns * rows {
        let (column, row) = (tuft % columns, tuft / columns);
        let lean = [scene.vary(-0.02..0.02), scene.vary(-0.02..0.02)];
        let center = [column as f32 * 0.4 - half[0] + 0.32 + lean[0], row as f32 * 0.4 - half[1] + 0.32 + lean[1]];
        let corner = (column == 0 || column + 1 == columns) && (row == 0 || row + 1 == rows);
        if corner && rows > 3 {
            continue;
        }
        let color = colors[match banded {
            0 => 0,
            1 => (column / 2 % 2) as usize,
            _ => usize::from(row == 0 || row + 1 == rows),
        }];
        let bunch = move |point: Point| circle(point, center, 0.19);
        scene.canvas.shadow(pose, around(center, [0.2; 2]), bunch, [-0.04 * light[0], -0.04 * light[1]], 0.06, 0.6);
        scene.canvas.shape(
            pose,
            around(center, [0.2; 2]),
            |point| bunch(point) + 0.03 * noise::value(point[0] * 28.0, point[1] * 28.0, grain),
            |point, away| {
                let bristle = noise::value(point[0] * 44.0, point[1] * 44.0, grain ^ tuft);
                scaled(color, (0.5 + 0.6 * bristle) * (0.6 + 0.4 * step(0.0, 0.12, -away)))
            },
        );
    }
}

/// A baked biscuit with holes or chips.
pub fn biscuit(scene: &mut Scene<'_>) {
    scene.backdrop();
    let pose = scene.place([1.0, 1.0], true);
    let (brown, light, grain) =
        (super::super::draw::hsv(scene.fixed(0.06..0.11), scene.fixed(0.45..0.65), scene.fixed(0.6..0.85)), scene.light, scene.grain());
    let (chips, scallops, round) = (scene.chance(0.5), scene.count(0..24) as f32, scene.chance(0.7));
    let body = move |point: Point| {
        let wave = 0.025 * (point[1].atan2(point[0]) * scallops).cos();
        let rough = 0.02 * noise::fractal(point[0] * 5.0, point[1] * 5.0, grain, 2);
        (if round { circle(point, [0.0; 2], 0.95) } else { plate(point, [0.0; 2], [0.92, 0.8], 0.12) }) + wave + rough
    };
    let reach = around([0.0; 2], [1.05; 2]);
    scene.canvas.shadow(pose, reach, body, [-0.06 * light[0], -0.06 * light[1]], 0.12, 0.55);
    scene.canvas.shape(pose, reach, body, |point, away| {
        let crumb = noise::fractal(point[0] * 13.0, point[1] * 13.0, grain, 4);
        let toasted = 1.0 - 0.35 * (1.0 - step(0.0, 0.3, -away));
        let mut color = scaled(brown, (1.0 + 0.22 * crumb) * toasted * bevel(body, point, away, 0.12, light));
        if chips {
            let (near, _, name) = noise::cells(point[0] * 3.2, point[1] * 3.2, grain ^ 11);
            let chip = if name % 5 < 3 { 1.0 - step(0.2, 0.3, near + 0.08 * crumb) } else { 0.0 };
            color = mix(color, [0.16, 0.09, 0.06], chip * step(0.05, 0.12, -away));
        }
        color
    });
    if !chips {
        for index in 0..9 {
            let center = [(index % 3) as f32 * 0.42 - 0.42, (index / 3) as f32 * 0.42 - 0.42];
            let pit = move |point: Point| circle(point, center, 0.045);
            scene.canvas.shape(pose, around(center, [0.06; 2]), pit, |_, away| scaled(brown, 0.35 - 3.0 * away.max(-0.03)));
        }
    }
}
