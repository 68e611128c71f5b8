//! What the prompt learner and the language model learn from: the maps that the trained decoder makes of drawn photographs, by the
//! very way that `inspect` takes.

use anomalygpt::{AnomalyGpt, AnomalyMap, Place, Region, decoder::Localization, regions};
use burn::tensor::{Device, Tensor, TensorData};
use half::f16;
use image::DynamicImage;
use indicatif::ProgressBar;
use rayon::prelude::*;

use crate::{
    bounds::{self, Bounds, Window},
    images::{self, Drawn},
    lines::Line,
    pool::{self, host},
    symmetry::Symmetry,
};

/// Marks generators that draw these images.
const PURPOSE: u64 = 4;
/// Images of a line that are compared with the same normal images.
const IMAGES_PER_BANK: usize = 16;
/// How far a map is shifted at the most for what was drawn, and nothing else, to be anomalous.
const SLIGHT: f32 = 1.0;
/// Most regions that a map is taken to show, the strongest.
const MOST_REGIONS: usize = 3;

/// One image, as the prompt learner sees it.
#[derive(Debug)]
pub struct Item {
    /// What it shows.
    pub object: &'static str,
    /// Where its anomalies are, none for a normal image.
    anomalies: Vec<Bounds>,
    /// Maps against text and against normal images, as the decoder gives them.
    maps: [Vec<f16>; 2],
    embedding: Vec<f32>,
}

/// Which map of which image is seen from which side.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// The image.
    pub index: usize,
    /// Whether it is compared with normal images.
    pub normals: bool,
    /// How the map is turned.
    pub symmetry: Symmetry,
    /// What part of it is then seen, across and down: few of those that are drawn are large, and those are hard to tell as one.
    pub zoom: [Zoom; 2],
    /// How far that is then moved across and down: where anomalies were drawn is too little to tell where the cells of places end.
    pub slide: [Slide; 2],
    /// What is added to the logits of its values; if it is much, all that the map shows is anomalous, and nothing else.
    pub shift: f32,
}

/// What part of an axis of a map is seen, none smaller than leaves all anomalies in it: its
/// [narrowness and share](Window::around).
#[derive(Clone, Copy, Debug)]
pub struct Zoom {
    /// How small it is, in `[0, 1]`.
    pub narrowness: f32,
    /// Which part of that size, in `[0, 1]`.
    pub share: f32,
}

/// How far a map is moved along an axis, no further than leaves all anomalies in it.
#[derive(Clone, Copy, Debug)]
pub enum Slide {
    /// This share of the way that there is.
    Share(f32),
    /// So far that the first anomaly's centroid lies there, in shares of the side.
    To(f32),
}

/// Images, and the side of their maps, which are square as the images are.
#[derive(Debug)]
pub struct Maps {
    /// All images.
    pub items: Vec<Item>,
    side: usize,
}

impl Maps {
    /// Draws `images` of each line, a normal and an anomalous one in turn, and localizes.
    pub fn fill(model: &AnomalyGpt, lines: &[Line], images: usize, seed: u64) -> anomalygpt::Result<Self> {
        let bar = ProgressBar::new((lines.len() * images) as u64);
        let fill = |(number, line): (usize, &Line)| {
            let mut rng = pool::rng(seed, PURPOSE, number as u64);
            let mut items = Vec::new();
            while items.len() < images {
                let normals: Vec<_> = images::draw_normals(line, &mut rng).into_iter().map(DynamicImage::ImageRgb8).collect();
                let with_normals = model.clone().with_normals(&normals)?;
                for index in 0..IMAGES_PER_BANK.min(images - items.len()) {
                    let drawn = images::draw(line, lines, index % 2 == 1, &images::any_defects(), &mut rng)?;
                    items.push(item(line.name(), drawn, [model, &with_normals])?);
                    bar.inc(1);
                }
            }
            Ok(items)
        };
        let items = lines.par_iter().enumerate().map(fill).collect::<anomalygpt::Result<Vec<_>>>()?;
        let items: Vec<Item> = items.into_iter().flatten().collect();
        bar.finish_and_clear();
        let side = items.first().map_or(0, |item| item.maps[0].len().isqrt());
        Ok(Self { items, side })
    }

    /// The map of a view, and the places of its anomalies.
    ///
    /// # Errors
    /// None for maps that [`fill`](Self::fill) made.
    pub fn seen(&self, view: &View) -> anomalygpt::Result<(Vec<f32>, Vec<Place>)> {
        let item = &self.items[view.index];
        let map: Vec<f32> = view.symmetry.moved(&item.maps[usize::from(view.normals)], 1).into_iter().map(f16::to_f32).collect();
        let anomalies: Vec<Bounds> = item.anomalies.iter().map(|&anomaly| view.symmetry.bounds(anomaly)).collect();
        let windows = [0, 1].map(|axis| Window::around(&anomalies, axis, view.zoom[axis].narrowness, view.zoom[axis].share));
        let anomalies: Vec<Bounds> = anomalies.into_iter().map(|anomaly| anomaly.zoomed(windows)).collect();
        let cells = self.offset(&anomalies, view.slide);
        let map = bounds::slid(&bounds::zoomed(&map, windows), cells);
        let map: Vec<f32> = map.into_iter().map(|value| shifted(value, view.shift)).collect();
        let offset = cells.map(|cells| cells as f32 / self.side as f32);
        let drawn: Vec<Bounds> = anomalies.into_iter().map(|anomaly| anomaly.slid(offset)).collect();
        let [shown, others] = self.visible(&map, &drawn)?;
        let mut places = match view.shift.abs() <= SLIGHT {
            true if shown.is_empty() => drawn.into_iter().map(Bounds::place).collect(),
            true => shown,
            false => [shown, others].concat(),
        };
        places.sort_unstable();
        Ok((map, places))
    }

    /// Places of the anomalies that were `drawn` and show in a map, and of regions where none was drawn.
    ///
    /// An anomaly of one region lies where that does, as this is what can be learned of a map; one in parts, or in a region with another,
    /// where it was drawn.
    fn visible(&self, map: &[f32], drawn: &[Bounds]) -> anomalygpt::Result<[Vec<Place>; 2]> {
        let side = self.side as u32;
        let mut strongest = regions(&AnomalyMap::new(side, side, map.to_vec())?, 0.5);
        strongest.truncate(MOST_REGIONS);
        let drawn_in = |region: &Region| drawn.iter().filter(|anomaly| anomaly.meets(region.bbox, side)).count();
        let shown = |anomaly: &Bounds| {
            let parts: Vec<&Region> = strongest.iter().filter(|region| anomaly.meets(region.bbox, side)).collect();
            match parts[..] {
                [] => None,
                [part] if drawn_in(part) == 1 => Some(part.place),
                _ => Some(anomaly.place()),
            }
        };
        let others = strongest.iter().filter(|region| drawn_in(region) == 0).map(|region| region.place);
        Ok([drawn.iter().filter_map(shown).collect(), others.collect()])
    }

    /// Cells that a map is moved by, across and down.
    fn offset(&self, anomalies: &[Bounds], slide: [Slide; 2]) -> [isize; 2] {
        [0, 1].map(|axis| {
            let [least, most] = bounds::room(anomalies, axis);
            let offset = match slide[axis] {
                Slide::Share(share) => least + (most - least) * share,
                Slide::To(place) => (place - anomalies.first().map_or(place, |anomaly| anomaly.center[axis])).max(least).min(most),
            };
            (offset * self.side as f32) as isize
        })
    }

    /// Maps as one tensor, `[maps, 1, height, width]`.
    pub fn tensor(&self, maps: Vec<f32>, device: &Device) -> Tensor<4> {
        let count = maps.len() / (self.side * self.side).max(1);
        Tensor::from_data(TensorData::new(maps, [count, 1, self.side, self.side]), device)
    }

    /// Embeddings of the images, `[views, width]`.
    pub fn embeddings(&self, views: &[View], device: &Device) -> Tensor<2> {
        let values: Vec<f32> = views.iter().flat_map(|view| self.items[view.index].embedding.iter().copied()).collect();
        let width = values.len() / views.len().max(1);
        Tensor::from_data(TensorData::new(values, [views.len(), width]), device)
    }
}

/// A value in `[0, 1]` with `shift` added to its logit.
fn shifted(value: f32, shift: f32) -> f32 {
    let value = value.clamp(1e-4, 1.0 - 1e-4);
    1.0 / (1.0 + (-(value / (1.0 - value)).ln() - shift).exp())
}

fn item(object: &'static str, drawn: Drawn, models: [&AnomalyGpt; 2]) -> anomalygpt::Result<Item> {
    let image = DynamicImage::ImageRgb8(drawn.image);
    let [against_text, against_normals] = models;
    let seen = against_text.see(&image)?;
    let maps = [kept(&against_text.localize(&seen, Some(object))?)?, kept(&against_normals.localize(&seen, Some(object))?)?];
    Ok(Item { object, anomalies: drawn.anomalies, maps, embedding: host(seen.features.embedding)? })
}

/// What the prompt learner is shown.
fn kept(localization: &Localization) -> anomalygpt::Result<Vec<f16>> {
    Ok(host(localization.bordered()?)?.into_iter().map(f16::from_f32).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_centroid_comes_to_lie_where_it_is_wanted_unless_that_leads_out_of_the_image() {
        let maps = Maps { items: Vec::new(), side: 100 };
        let drawn = [Bounds::of([20, 50, 10, 40], [24.0, 70.0], 100)];
        assert_eq!(maps.offset(&drawn, [Slide::To(0.665), Slide::Share(1.0)]), [42, 10]);
        assert_eq!(maps.offset(&drawn, [Slide::To(0.015), Slide::To(0.945)]), [-20, 10]);
        assert_eq!(maps.offset(&[], [Slide::To(0.3), Slide::Share(0.5)]), [0, 0]);
    }

    #[test]
    fn an_anomaly_in_parts_is_told_once_and_one_that_does_not_show_is_not_told() {
        let maps = Maps { items: Vec::new(), side: 9 };
        let mut map = vec![0.1; 81];
        // Two parts of what lies across the middle of the bottom row, and something at the top left that was not drawn.
        [75, 78, 0].into_iter().for_each(|cell| map[cell] = 0.9);
        let drawn = [Bounds::of([3, 8, 4, 1], [5.0, 8.5], 9), Bounds::of([6, 0, 3, 3], [7.5, 1.5], 9)];
        assert_eq!(maps.visible(&map, &drawn).unwrap(), [[Place::Bottom], [Place::TopLeft]]);
        assert_eq!(maps.visible(&[0.1; 81], &drawn).unwrap(), [[], []]);
    }

    #[test]
    fn an_anomaly_is_told_where_it_shows_unless_another_shows_with_it() {
        let maps = Maps { items: Vec::new(), side: 9 };
        let mut map = vec![0.1; 81];
        [2, 3, 4].into_iter().for_each(|cell| map[cell] = 0.9);
        let left = Bounds::of([0, 0, 4, 2], [2.0, 1.0], 9);
        assert_eq!(maps.visible(&map, &[left]).unwrap(), [vec![Place::Top], vec![]]);
        let right = Bounds::of([4, 0, 5, 1], [6.5, 0.5], 9);
        assert_eq!(maps.visible(&map, &[left, right]).unwrap(), [vec![Place::TopLeft, Place::TopRight], vec![]]);
    }
}
