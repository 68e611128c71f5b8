//! Protocols: which pixels are compared, what counts as anomalous there, and how numbers are averaged.
//!
//! Numbers move by points with these choices alone; so a table names its protocol.

use std::{borrow::Cow, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::Metric;
use crate::error::Error;

/// A way to compute an evaluation's numbers. Change a field (and the name) for a protocol of one's own.
///
/// ```
/// use anomalygpt::eval::{MapSize, Protocol};
///
/// let mut protocol: Protocol = "anomalib".parse()?;
/// protocol.size = MapSize::Square(224);
/// protocol.name = "anomalib at 224".into();
/// assert_ne!(protocol, Protocol::anomalib());
/// println!("{protocol:#}");
/// # Ok::<(), anomalygpt::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Protocol {
    /// The name in tables.
    pub name: Cow<'static, str>,
    /// Where the image score comes from.
    pub image_score: ImageScore,
    /// The size at which maps and masks are compared.
    pub size: MapSize,
    /// How a mask file becomes anomalous and normal pixels of that size.
    pub mask: MaskRule,
    /// How per-region overlap is integrated.
    pub pro: ProRule,
    /// How classes are averaged.
    pub averaging: Averaging,
    /// What the protocol reports, in order of columns.
    pub metrics: Vec<Metric>,
}

/// Where the image score comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageScore {
    /// The model's own.
    Model,
    /// The highest value of the map, at the protocol's size.
    MapMax,
}

/// The size at which maps and masks are compared; maps of other sizes are resized bilinearly, as [`AnomalyMap::resize`] does.
///
/// [`AnomalyMap::resize`]: crate::AnomalyMap::resize
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MapSize {
    /// So many pixels a side, whatever the image's shape.
    Square(u32),
    /// The mask's own size; where there is no mask, the map's own.
    Image,
}

/// How a mask file becomes anomalous and normal pixels.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MaskRule {
    /// Every level above 0 becomes the highest before the mask is resized.
    pub binarize_first: bool,
    /// How the mask is resized.
    pub resize: MaskResize,
    /// A pixel is anomalous where its level, in `[0, 1]`, is above this.
    pub above: f32,
}

/// How a mask is resized.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaskResize {
    /// The pixel at `floor(index * source side / side)`, as PyTorch's `interpolate(mode="nearest")`.
    Nearest,
    /// Pillow's bilinear filter, which averages where it shrinks.
    Bilinear,
}

/// How per-region overlap over false positive rate becomes one number.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProRule {
    /// Every score is a threshold; the area up to the rate `limit`, interpolated linearly there, divided by `limit`.
    Exact {
        /// Highest false positive rate, in `(0, 1]`.
        limit: f64,
    },
    /// Equally spaced thresholds from the lowest to the highest score of a class; a pixel is anomalous strictly above one. Only
    /// points with a rate strictly below `limit` count, and their rates are stretched to `[0, 1]`, without interpolation.
    Thresholds {
        /// Number of thresholds.
        steps: u32,
        /// False positive rate, in `(0, 1]`, that points stay below.
        limit: f64,
    },
}

/// How the numbers of classes become one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Averaging {
    /// Mean over classes, each class alike.
    Macro,
    /// Mean over classes of percentages that are first rounded to so many decimals.
    MacroRounded {
        /// Decimals of a percentage.
        decimals: u8,
    },
}

impl Protocol {
    /// The names that [`str::parse`] takes.
    pub const NAMES: [&'static str; 4] = ["anomalygpt-orig", "anomalib", "mvtec-official", "vand-200"];

    /// As the authors of AnomalyGPT computed their tables: maps of 224x224, the highest value as the image's score, masks resized
    /// bilinearly and above 0.1, mean over classes of percentages with two decimals. They report no AP, F1 or PRO.
    ///
    /// Give it the decoder's own map ([`Detection::raw`](crate::Detection)). Source: their `test_mvtec.py`.
    pub fn anomalygpt_orig() -> Self {
        Self {
            name: "anomalygpt-orig".into(),
            image_score: ImageScore::MapMax,
            size: MapSize::Square(224),
            mask: MaskRule { binarize_first: false, resize: MaskResize::Bilinear, above: 0.1 },
            pro: ProRule::Exact { limit: 0.3 },
            averaging: Averaging::MacroRounded { decimals: 2 },
            metrics: vec![Metric::ImageAuroc, Metric::PixelAuroc, Metric::Accuracy, Metric::GoodRejected, Metric::BadPassed],
        }
    }

    /// As anomalib 2 does: maps and masks at the model's input size, here 256x256, masks above 0 and resized to the nearest pixel,
    /// exact AUPRO.
    ///
    /// Its AUPR is a trapezoid; AP here is scikit-learn's sum of steps. Where it gives 0 for AUPRO without a region, this is undefined.
    pub fn anomalib() -> Self {
        Self {
            name: "anomalib".into(),
            image_score: ImageScore::Model,
            size: MapSize::Square(256),
            mask: MaskRule { binarize_first: true, resize: MaskResize::Nearest, above: 0.0 },
            pro: ProRule::Exact { limit: 0.3 },
            averaging: Averaging::Macro,
            metrics: Metric::ALL.to_vec(),
        }
    }

    /// As MVTec's evaluation code does: at the image's own size, masks above 0, exact AUPRO up to a false positive rate of 0.3.
    pub fn mvtec_official() -> Self {
        Self { name: "mvtec-official".into(), size: MapSize::Image, ..Self::anomalib() }
    }

    /// As APRIL-GAN (the VAND challenge of 2023), AnomalyCLIP and AdaCLIP do: at 518x518, masks resized bilinearly and above 0.5, per-region
    /// overlap at 200 thresholds.
    pub fn vand_200() -> Self {
        Self {
            name: "vand-200".into(),
            size: MapSize::Square(518),
            mask: MaskRule { binarize_first: true, resize: MaskResize::Bilinear, above: 0.5 },
            pro: ProRule::Thresholds { steps: 200, limit: 0.3 },
            ..Self::anomalib()
        }
    }

    /// All that the name stands for, in a line.
    pub fn description(&self) -> String {
        let Self { image_score, size, mask, pro, averaging, metrics, .. } = self;
        let overlap = if metrics.contains(&Metric::PixelAupro) { format!("; AUPRO {pro}") } else { String::new() };
        format!("maps and masks {size}, {mask}; image score {image_score}{overlap}; {averaging}")
    }

    /// All four.
    pub fn all() -> [Self; 4] {
        [Self::anomalygpt_orig(), Self::anomalib(), Self::mvtec_official(), Self::vand_200()]
    }
}

impl FromStr for Protocol {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::all().into_iter().find(|protocol| protocol.name == name).ok_or_else(|| Error::InvalidConfig {
            what: "protocol",
            reason: format!("{name:?} is none of {}", Self::NAMES.join(", ")).into(),
        })
    }
}

/// The name; with `{:#}`, all that it stands for.
impl fmt::Display for Protocol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !formatter.alternate() {
            return formatter.pad(&self.name);
        }
        write!(formatter, "{}: {}", self.name, self.description())
    }
}

impl fmt::Display for ImageScore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Model => "of the model",
            Self::MapMax => "is the map's maximum",
        })
    }
}

impl fmt::Display for MapSize {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Square(side) => write!(formatter, "at {side}x{side}"),
            Self::Image => formatter.write_str("at the image's size"),
        }
    }
}

impl fmt::Display for MaskRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let resize = match self.resize {
            MaskResize::Nearest => "nearest",
            MaskResize::Bilinear => "bilinear",
        };
        let first = if self.binarize_first { "masks binary, then " } else { "masks " };
        write!(formatter, "{first}resized ({resize}), anomalous above {}", self.above)
    }
}

impl fmt::Display for ProRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact { limit } => write!(formatter, "exact up to a false positive rate of {limit}"),
            Self::Thresholds { steps, limit } => {
                write!(formatter, "at {steps} thresholds, false positive rates below {limit}, stretched, no interpolation")
            }
        }
    }
}

impl fmt::Display for Averaging {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Macro => formatter.write_str("mean over classes"),
            Self::MacroRounded { decimals } => write!(formatter, "mean over classes of percentages with {decimals} decimals"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_give_protocols_and_back() {
        for name in Protocol::NAMES {
            let protocol: Protocol = name.parse().unwrap();
            assert_eq!(protocol.to_string(), name);
            assert!(format!("{protocol:#}").starts_with(name));
            let json = serde_json::to_string(&protocol).unwrap();
            assert_eq!(serde_json::from_str::<Protocol>(&json).unwrap(), protocol);
        }
        let error = "mvtec".parse::<Protocol>().unwrap_err();
        assert!(error.to_string().contains("\"mvtec\" is none of anomalygpt-orig, anomalib"), "{error}");
    }

    #[test]
    fn a_protocol_says_what_it_does() {
        let orig = format!("{:#}", Protocol::anomalygpt_orig());
        assert!(
            orig.contains("at 224x224")
                && orig.contains("(bilinear), anomalous above 0.1")
                && orig.contains("2 decimals")
                && !orig.contains("AUPRO"),
            "{orig}"
        );
    }
}
