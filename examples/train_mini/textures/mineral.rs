//! Wood, stone, paper, rubber, plastic.

use super::{
    super::draw::{Color, Scene, hsv, mix, noise, scaled, step},
    View,
};

/// Planed wood: bent year rings, pores along the grain.
pub fn wood(scene: &mut Scene<'_>) {
    let view = View::new(scene);
    let base = hsv(scene.fixed(0.05..0.11), scene.fixed(0.35..0.65), scene.fixed(0.35..0.8));
    let (grain, pitch, contrast, bend) = (scene.grain(), scene.fixed(9.0..24.0), scene.fixed(0.15..0.4), scene.fixed(1.0..5.0));
    let dark = scaled(base, 0.62);
    scene.canvas.fill(|x, y| {
        let (u, v) = view.at(x, y);
        let across = v / pitch + bend * noise::value(u / 260.0, v / 70.0, grain) + 0.4 * noise::value(u / 60.0, v / 25.0, grain ^ 1);
        let ring = across.rem_euclid(1.0);
        let late = step(0.45, 0.95, ring) * (1.0 - step(0.95, 1.0, ring));
        let tone = noise::unit(across.floor() as i32, 0, grain ^ 2) - 0.5;
        let pores = step(0.72, 0.85, noise::value(u / 22.0, v * 0.8, grain ^ 3));
        let fibre = noise::value(u / 50.0, v * 0.6, grain ^ 4) - 0.5;
        scaled(mix(base, dark, contrast * 2.0 * late), 1.0 + 0.12 * tone + 0.14 * fibre - 0.25 * pores)
    });
}

/// Glazed or stone tile: veins and speckles.
pub fn tile(scene: &mut Scene<'_>) {
    let view = View::new(scene);
    let (base, speck, grain) = (scene.color(0.0..0.25, 0.4..0.95), scene.color(0.0..0.5, 0.1..0.6), scene.grain());
    let (size, veins, density) = (scene.fixed(6.0..16.0), scene.fixed(0.0..0.3), scene.count(2..6));
    scene.canvas.fill(|x, y| {
        let (u, v) = view.at(x, y);
        let cloud = noise::fractal(u / 45.0, v / 45.0, grain, 3);
        let vein = (-(noise::fractal(u / 70.0 + 0.4 * cloud, v / 70.0, grain ^ 1, 3) * 28.0).powi(2)).exp();
        let (near, _, name) = noise::cells(u / size, v / size, grain ^ 2);
        let spot = if name % density == 0 { 1.0 - step(0.2, 0.36, near + 0.1 * cloud) } else { 0.0 };
        mix(scaled(base, 1.0 + 0.12 * cloud - veins * 0.6 * vein), speck, 0.75 * spot)
    });
}

/// Cast concrete: clouds, sand, small pits.
pub fn concrete(scene: &mut Scene<'_>) {
    let view = View::new(scene);
    let (base, grain, sand, pits) = (scene.color(0.0..0.08, 0.4..0.75), scene.grain(), scene.fixed(0.06..0.16), scene.count(4..12));
    scene.canvas.fill(|x, y| {
        let (u, v) = view.at(x, y);
        let cloud = noise::fractal(u / 70.0, v / 70.0, grain, 3);
        let dust = noise::value(u * 0.8, v * 0.8, grain ^ 1) + noise::value(u * 0.35, v * 0.35, grain ^ 4) - 1.0;
        let (near, _, name) = noise::cells(u / 14.0, v / 14.0, grain ^ 2);
        let size = 0.06 + 0.1 * (name >> 24) as f32 / 255.0;
        let pit = if name % pits == 0 { 1.0 - step(size - 0.05, size + 0.05, near) } else { 0.0 };
        scaled(base, (1.0 + 0.14 * cloud + sand * dust) * (1.0 - 0.5 * pit))
    });
}

/// Chips of stone in cement.
pub fn terrazzo(scene: &mut Scene<'_>) {
    let view = View::new(scene);
    let (cement, grain, size) = (scene.color(0.0..0.15, 0.55..0.9), scene.grain(), scene.fixed(10.0..22.0));
    let stones: [Color; 4] = [0, 1, 2, 3].map(|_| scene.color(0.0..0.5, 0.15..0.9));
    scene.canvas.fill(|x, y| {
        let (u, v) = view.at(x, y);
        let (near, next, name) = noise::cells(u / size, v / size, grain);
        let part = (name >> 8 & 255) as f32 / 255.0;
        let chip = step(0.1 + 0.3 * part, 0.16 + 0.3 * part, next - near);
        let stone = scaled(stones[(name & 3) as usize], 0.85 + 0.3 * (name >> 16 & 255) as f32 / 255.0);
        scaled(mix(cement, stone, chip), 1.0 + 0.1 * noise::fractal(u / 5.0, v / 5.0, grain ^ 1, 2))
    });
}

/// Paper or cardboard: fibres, sometimes flutes.
pub fn paper(scene: &mut Scene<'_>) {
    let view = View::new(scene);
    let kraft = scene.chance(0.5);
    let base = if kraft { hsv(0.09, 0.42, scene.fixed(0.5..0.75)) } else { hsv(0.12, scene.fixed(0.0..0.1), scene.fixed(0.75..0.95)) };
    let (grain, strength, flute) =
        (scene.grain(), scene.fixed(0.04..0.12), if kraft && scene.chance(0.6) { scene.fixed(0.03..0.08) } else { 0.0 });
    let pitch = scene.fixed(14.0..30.0);
    scene.canvas.fill(|x, y| {
        let (u, v) = view.at(x, y);
        let fibres = noise::value(u * 0.12 + 0.3 * v, v * 0.7, grain) + noise::value(u * 0.6, v * 0.15 - 0.2 * u, grain ^ 1) - 1.0;
        let cloud = noise::fractal(u / 24.0, v / 24.0, grain ^ 2, 2);
        let fleck = if kraft { step(0.86, 0.93, noise::value(u * 0.35, v * 0.6, grain ^ 3)) } else { 0.0 };
        let wave = flute * (u / pitch * std::f32::consts::TAU).sin();
        scaled(base, 1.0 + strength * (fibres + cloud) - 0.2 * fleck + wave)
    });
}

/// Moulded rubber: studs, ribs or a plain matt skin.
pub fn rubber(scene: &mut Scene<'_>) {
    let view = View::new(scene);
    let base = if scene.chance(0.7) { hsv(0.6, 0.05, scene.fixed(0.12..0.3)) } else { scene.color(0.3..0.8, 0.3..0.7) };
    let (grain, pitch, form, light) = (scene.grain(), scene.fixed(14.0..30.0), scene.count(0..3), scene.light);
    scene.canvas.fill(|x, y| {
        let (u, v) = view.at(x, y);
        let matt = noise::value(u * 0.7, v * 0.7, grain) - 0.5 + 0.5 * noise::fractal(u / 30.0, v / 30.0, grain ^ 1, 2);
        let (p, q) = (u.rem_euclid(pitch) - pitch / 2.0, v.rem_euclid(pitch) - pitch / 2.0);
        let relief = match form {
            0 => {
                let radius = p.hypot(q);
                let edge = (-((radius - pitch * 0.3) / 2.0).powi(2)).exp();
                0.8 * edge * (p * light[0] + q * light[1]) / radius.max(0.5)
            }
            1 => 0.45 * (u / pitch * std::f32::consts::TAU).sin() * light[0].signum(),
            _ => 0.0,
        };
        scaled(base, 1.0 + 0.35 * matt + relief)
    });
}

/// Painted or moulded plastic with orange peel.
pub fn plastic(scene: &mut Scene<'_>) {
    let view = View::new(scene);
    let (base, grain, size, depth, light) =
        (scene.color(0.0..0.9, 0.2..0.95), scene.grain(), scene.fixed(3.0..9.0), scene.fixed(0.15..0.5), scene.light);
    scene.canvas.fill(|x, y| {
        let (u, v) = view.at(x, y);
        let height =
            |u: f32, v: f32| noise::value(u / size, v / size, grain) + 0.5 * noise::value(u / (0.5 * size), v / (0.5 * size), grain ^ 1);
        let slope = height(u + light[0], v + light[1]) - height(u, v);
        scaled(base, 1.0 + depth * slope + 0.06 * noise::fractal(u / 120.0, v / 120.0, grain ^ 2, 2))
    });
}
