//! Seeded noise over the plane.

/// A well-mixed number for a lattice point.
pub fn hash(x: i32, y: i32, seed: u32) -> u32 {
    let mut mixed = (x as u32).wrapping_mul(0x9E37_79B1) ^ (y as u32).wrapping_mul(0x85EB_CA77) ^ seed.wrapping_mul(0xC2B2_AE3D);
    mixed = (mixed ^ (mixed >> 15)).wrapping_mul(0x2C1B_3C6D);
    mixed = (mixed ^ (mixed >> 12)).wrapping_mul(0x297A_2D39);
    mixed ^ (mixed >> 15)
}

/// A number in `[0, 1)` for a lattice point.
pub fn unit(x: i32, y: i32, seed: u32) -> f32 {
    (hash(x, y, seed) >> 8) as f32 / (1u32 << 24) as f32
}

/// Value noise in `[0, 1)` with features one unit wide.
pub fn value(x: f32, y: f32, seed: u32) -> f32 {
    let (left, top) = (x.floor(), y.floor());
    let smooth = |t: f32| t * t * (3.0 - 2.0 * t);
    let (u, v) = (smooth(x - left), smooth(y - top));
    let (left, top) = (left as i32, top as i32);
    let row = |y: i32| {
        let start = unit(left, y, seed);
        start + u * (unit(left + 1, y, seed) - start)
    };
    let upper = row(top);
    upper + v * (row(top + 1) - upper)
}

/// Sum of octaves of [`value`], about 0, within `[-1, 1]`.
pub fn fractal(x: f32, y: f32, seed: u32, octaves: u32) -> f32 {
    let (mut sum, mut weight, mut total, mut scale) = (0.0, 1.0, 0.0, 1.0);
    for octave in 0..octaves {
        sum += weight * (value(x * scale, y * scale, seed.wrapping_add(octave * 7919)) * 2.0 - 1.0);
        total += weight;
        weight *= 0.5;
        scale *= 2.03;
    }
    sum / total
}

/// Distances to the nearest and second nearest of scattered points, one a unit square, and a number that names the nearest.
pub fn cells(x: f32, y: f32, seed: u32) -> (f32, f32, u32) {
    let (column, row) = (x.floor() as i32, y.floor() as i32);
    let (mut first, mut second, mut name) = (9.0f32, 9.0f32, 0);
    for v in row - 1..=row + 1 {
        for u in column - 1..=column + 1 {
            let mixed = hash(u, v, seed);
            let (dx, dy) = (u as f32 + (mixed & 0xFFFF) as f32 / 65536.0 - x, v as f32 + (mixed >> 16) as f32 / 65536.0 - y);
            let square = dx * dx + dy * dy;
            if square < first {
                (second, first, name) = (first, square, mixed);
            } else if square < second {
                second = square;
            }
        }
    }
    (first.sqrt(), second.sqrt(), name)
}
