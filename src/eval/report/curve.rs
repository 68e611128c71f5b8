//! Curves as SVG.

use std::collections::BTreeSet;

use super::{MethodResults, RunResults};
use super::{html::escape, table};
use crate::eval::{ClassResults, Metric, Protocol};

const WIDTH: f64 = 300.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 38.0;
const TOP: f64 = 10.0;
const SIDE_X: f64 = WIDTH - LEFT - 10.0;
const SIDE_Y: f64 = HEIGHT - TOP - 36.0;
/// Curves of several classes are averaged at so many false positive rates.
const GRID: usize = 200;
/// Colours that the page's style has.
const COLORS: usize = 8;
/// Per-region overlap is drawn up to the rate that it is integrated to.
const PRO_LIMIT: f64 = 0.3;

type Points = Vec<[f64; 2]>;

/// By number of normal images: image ROC, pixel ROC and PRO of the first round of each method, classes averaged; nothing where no curve
/// is defined. A method has one colour everywhere.
pub(super) fn figures(results: &RunResults, protocol: &Protocol) -> String {
    let rows = table::rows(results, protocol);
    let mut names: Vec<&str> = Vec::new();
    for row in &rows {
        if !names.contains(&row.method.method.as_str()) {
            names.push(&row.method.method);
        }
    }
    let shots: BTreeSet<u32> = rows.iter().map(|row| row.method.shots).collect();
    let group = |&shots: &u32| {
        let lines = rows.iter().filter(|row| row.method.shots == shots).map(|row| {
            let color = names.iter().position(|name| *name == row.method.method).unwrap_or_default();
            (style(color), row.method)
        });
        panels(&lines.collect::<Vec<_>>(), protocol, shots)
    };
    shots.iter().map(group).collect()
}

/// The panels of some methods with their styles, and what the styles mean.
fn panels(lines: &[(String, &MethodResults)], protocol: &Protocol, shots: u32) -> String {
    let overlap = protocol.metrics.contains(&Metric::PixelAupro);
    let panels = [
        figure(lines, protocol, ("ROC of images", "true positive rate"), 1.0, |class| &class.curves.image_roc),
        figure(lines, protocol, ("ROC of pixels", "true positive rate"), 1.0, |class| &class.curves.pixel_roc),
        figure(lines, protocol, ("Per-region overlap", "mean overlap"), PRO_LIMIT, |class| &class.curves.pro),
    ];
    let panels = panels[..if overlap { 3 } else { 2 }].concat();
    if panels.is_empty() {
        return panels;
    }
    let entry = |(style, method): &(String, &MethodResults)| {
        format!("<li><svg class=\"key\" viewBox=\"0 0 24 6\"><path class=\"{style}\" d=\"M0 3H24\"/></svg>{}</li>", escape(&method.method))
    };
    let legend: String = lines.iter().map(entry).collect();
    let images = if shots == 1 { "image" } else { "images" };
    format!("<h3 class=\"shots\">{shots} normal {images}</h3><div class=\"curves\">{panels}</div><ul class=\"legend\">{legend}</ul>")
}

fn figure(
    lines: &[(String, &MethodResults)],
    protocol: &Protocol,
    (title, vertical): (&str, &str),
    limit: f64,
    curve: impl Fn(&ClassResults) -> &Points,
) -> String {
    // The first method is drawn last, on top of those that share its curve.
    let lines = lines.iter().rev().filter_map(|(style, method)| {
        let points = averaged(method, protocol, &curve)?;
        let name = escape(&table::title(method));
        Some(format!("<path class=\"{style}\" d=\"{}\"><title>{name}</title></path>", path(&points, limit)))
    });
    let lines: String = lines.collect();
    if lines.is_empty() {
        return lines;
    }
    let (bottom, right) = (TOP + SIDE_Y, LEFT + SIDE_X);
    let ticks: String = (0..=4).map(|tick| ticks(f64::from(tick) / 4.0, limit)).collect();
    format!(
        "<figure><figcaption>{title}</figcaption><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">{ticks}\
         <path class=\"frame\" d=\"M{LEFT} {TOP}V{bottom}H{right}\"/>{lines}\
         <text class=\"axis\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">false positive rate</text>\
         <text class=\"axis\" transform=\"translate(9 {}) rotate(-90)\" text-anchor=\"middle\">{vertical}</text></svg></figure>",
        LEFT + SIDE_X / 2.0,
        HEIGHT - 4.0,
        TOP + SIDE_Y / 2.0
    )
}

/// Both axes' lines and numbers at a share of their length.
fn ticks(share: f64, limit: f64) -> String {
    let (x, y) = (LEFT + share * SIDE_X, TOP + (1.0 - share) * SIDE_Y);
    let (bottom, right) = (TOP + SIDE_Y, LEFT + SIDE_X);
    format!(
        "<path class=\"grid\" d=\"M{x:.1} {TOP}V{bottom}M{LEFT} {y:.1}H{right}\"/>\
         <text class=\"tick\" x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>\
         <text class=\"tick\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{share}</text>",
        bottom + 13.0,
        (share * limit * 1000.0).round() / 1000.0,
        LEFT - 5.0,
        y + 3.5
    )
}

/// Colour and, from the second time around, dashes.
fn style(index: usize) -> String {
    format!("line c{}{}", index % COLORS, if index / COLORS % 2 == 1 { " dashed" } else { "" })
}

/// The mean over classes of the first round's curves; the curve itself where there is one class.
fn averaged(method: &MethodResults, protocol: &Protocol, curve: impl Fn(&ClassResults) -> &Points) -> Option<Points> {
    let results = method.protocol(&protocol.name).next()?;
    let curves: Vec<&Points> = results.classes.iter().map(curve).filter(|points| !points.is_empty()).collect();
    match curves[..] {
        [] => None,
        [only] => Some(only.clone()),
        _ => {
            let mean = |rate: f64| curves.iter().map(|points| value_at(points, rate)).sum::<f64>() / curves.len() as f64;
            let rates = (0..=GRID).map(|index| index as f64 / GRID as f64);
            // The grid is not fine enough where curves rise most.
            let fine = (0..GRID / 4).map(|index| index as f64 / (GRID * 10) as f64);
            let mut rates: Vec<f64> = rates.chain(fine).collect();
            rates.sort_by(f64::total_cmp);
            Some(rates.into_iter().map(|rate| [rate, mean(rate)]).collect())
        }
    }
}

/// A curve's value at a rate, linear between points; of a vertical step the upper end.
fn value_at(points: &[[f64; 2]], rate: f64) -> f64 {
    let next = points.partition_point(|[at, _]| *at <= rate);
    match (next.checked_sub(1).and_then(|before| points.get(before)), points.get(next)) {
        (Some([from, low]), Some([to, high])) => low + (high - low) * (rate - from) / (to - from),
        (Some([_, value]), None) | (None, Some([_, value])) => *value,
        (None, None) => 0.0,
    }
}

/// The points' path up to a rate, cut there.
fn path(points: &[[f64; 2]], limit: f64) -> String {
    let inside = points.iter().copied().take_while(|[rate, _]| *rate <= limit);
    let cut = [limit, value_at(points, limit)];
    let step = |(index, [rate, value]): (usize, [f64; 2])| {
        let command = if index == 0 { 'M' } else { 'L' };
        format!("{command}{:.1} {:.1}", LEFT + rate / limit * SIDE_X, TOP + (1.0 - value) * SIDE_Y)
    };
    inside.chain([cut]).enumerate().map(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_are_read_between_points_and_cut() {
        let points = [[0.0, 0.0], [0.0, 0.5], [0.5, 1.0], [1.0, 1.0]];
        assert_eq!([0.0, 0.25, 0.5, 2.0].map(|rate| value_at(&points, rate)), [0.5, 0.75, 1.0, 1.0]);
        assert_eq!(value_at(&[], 0.5), 0.0);
        let bottom = TOP + SIDE_Y;
        let (half, quarter) = (TOP + SIDE_Y / 2.0, TOP + SIDE_Y / 4.0);
        assert_eq!(path(&points, 0.25), format!("M{LEFT:.1} {bottom:.1}L{LEFT:.1} {half:.1}L{:.1} {quarter:.1}", LEFT + SIDE_X));
    }
}
