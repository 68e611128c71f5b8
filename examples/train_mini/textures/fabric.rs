//! Cloth, carpet, leather, felt.

use super::{
    super::draw::{Scene, mix, noise, scaled, step},
    View,
};

/// Plain or twill weave of threads in two colours.
pub fn cloth(scene: &mut Scene<'_>) {
    let view = View::new(scene);
    let (warp, grain, pitch, twill) = (scene.color(0.0..0.7, 0.25..0.85), scene.grain(), scene.fixed(5.0..10.0), scene.count(1..4));
    let weft = if scene.chance(0.6) { scaled(warp, scene.fixed(0.75..1.2)) } else { scene.color(0.0..0.7, 0.25..0.85) };
    let stripes = if scene.chance(0.3) { scene.count(4..12) as i32 } else { 0 };
    let accent = scene.color(0.3..0.9, 0.2..0.9);
    scene.canvas.fill(|x, y| {
        let (u, v) = view.at(x, y);
        let (u, v) = (u + 1.5 * noise::value(u / 40.0, v / 40.0, grain ^ 3), v + 1.5 * noise::value(u / 40.0, v / 40.0, grain ^ 4));
        let (column, row) = ((u / pitch).floor() as i32, (v / pitch).floor() as i32);
        let (p, q) = (u.rem_euclid(pitch) / pitch - 0.5, v.rem_euclid(pitch) / pitch - 0.5);
        let period = twill as i32 + 1;
        let over = if twill == 1 { (column + row).rem_euclid(2) == 0 } else { (column + row).rem_euclid(period) < period / 2 };
        let (across, along, thread) = if over { (p, q, warp) } else { (q, p, weft) };
        let thread = if stripes > 0 && over && column.rem_euclid(stripes) == 0 { accent } else { thread };
        let round = (1.0 - 3.2 * across * across) * (1.0 - 1.2 * along * along);
        let fibre = noise::value(if over { u * 1.3 } else { u * 0.3 }, if over { v * 0.3 } else { v * 1.3 }, grain) - 0.5;
        scaled(thread, 0.45 + 0.6 * round.max(0.0) + 0.22 * fibre)
    });
}

/// Loops or tufts of wool.
pub fn carpet(scene: &mut Scene<'_>) {
    let view = View::new(scene);
    let (base, other, grain) = (scene.color(0.05..0.6, 0.2..0.7), scene.color(0.0..0.5, 0.3..0.8), scene.grain());
    let (size, mottle, rows) = (scene.fixed(4.0..8.0), scene.fixed(0.0..0.6), scene.chance(0.4));
    scene.canvas.fill(|x, y| {
        let (u, v) = view.at(x, y);
        let (near, tone) = if rows {
            let row = (v / size).floor();
            let (p, q) = ((u / size + 0.5 * row).rem_euclid(1.0) - 0.5, (v / size).rem_euclid(1.0) - 0.5);
            (p.hypot(q), noise::unit((u / size + 0.5 * row).floor() as i32, row as i32, grain))
        } else {
            let (near, _, name) = noise::cells(u / size, v / size, grain);
            (near, (name & 255) as f32 / 255.0)
        };
        let yarn = noise::value(u * 0.9, v * 0.9, grain ^ 5) - 0.5;
        let color = mix(base, other, if tone > 0.7 { mottle } else { 0.0 });
        scaled(color, 1.1 - 0.75 * near + 0.45 * yarn + 0.2 * (tone - 0.5))
    });
}

/// Grained leather: irregular cells with dark furrows.
pub fn leather(scene: &mut Scene<'_>) {
    let view = View::new(scene);
    let hue = scene.fixed(0.0..0.12);
    let base = super::super::draw::hsv(hue, scene.fixed(0.2..0.75), scene.fixed(0.15..0.65));
    let (grain, size, depth, light) = (scene.grain(), scene.fixed(5.0..12.0), scene.fixed(0.2..0.5), scene.light);
    scene.canvas.fill(|x, y| {
        let (u, v) = view.at(x, y);
        let bend = 3.0 * noise::fractal(u / 18.0, v / 18.0, grain ^ 1, 2);
        let (near, next, name) = noise::cells((u + bend) / size, (v - bend) / size, grain);
        let furrow = 1.0 - step(0.0, 0.35, next - near);
        let dome = 1.0 - near * near * 0.5;
        let tone = 0.12 * ((name & 255) as f32 / 255.0 - 0.5);
        let (du, dv) =
            (noise::value(u / 3.0 + 0.3 * light[0], v / 3.0 + 0.3 * light[1], grain ^ 2), noise::value(u / 3.0, v / 3.0, grain ^ 2));
        scaled(
            base,
            (0.55 + 0.5 * dome + tone + 0.5 * (du - dv)) * (1.0 - depth * furrow) + 0.06 * noise::fractal(u / 60.0, v / 60.0, grain ^ 3, 2),
        )
    });
}

/// Matted fibres.
pub fn felt(scene: &mut Scene<'_>) {
    let view = View::new(scene);
    let (base, grain, strength) = (scene.color(0.0..0.9, 0.2..0.8), scene.grain(), scene.fixed(0.15..0.4));
    scene.canvas.fill(|x, y| {
        let (u, v) = view.at(x, y);
        let bend = 9.0 * noise::value(u / 25.0, v / 25.0, grain ^ 9);
        let first = noise::value((u + v + bend) * 0.6, (u - v) * 0.09, grain) - 0.5;
        let second = noise::value((u - v + bend) * 0.5, (u + v) * 0.08, grain ^ 1) - 0.5;
        let third = noise::value(u * 0.08, v * 0.6 + bend * 0.3, grain ^ 2) - 0.5;
        scaled(base, 1.0 + strength * (first + second + third) + 0.1 * noise::fractal(u / 40.0, v / 40.0, grain ^ 3, 2))
    });
}
