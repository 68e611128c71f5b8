//! Photographs and masks from disk, one by one or ahead on threads.

use std::{
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        mpsc::{Receiver, sync_channel},
    },
    thread::{self, JoinHandle},
};

use image::{DynamicImage, GrayImage, Luma};

use super::{Label, MaskValues, Sample};
use crate::{
    error::{Error, Result},
    preprocess::{Orientation, ReadOptions, read_image_with},
};

/// How much the aspect ratios of a photograph and its mask may differ, as a share.
const ASPECT_TOLERANCE: f64 = 0.02;

/// A photograph and where it is anomalous.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Photograph {
    /// The photograph, as it is stored.
    pub image: DynamicImage,
    /// 0 where it is normal, up to 255 where it is anomalous, of the photograph's size; all 0 for a normal one, `None` where
    /// nobody drew a mask.
    pub mask: Option<GrayImage>,
    /// Whether a mask had another size than the photograph, and was brought to it.
    pub mask_resized: bool,
}

impl Sample {
    /// Decodes the photograph and its masks.
    ///
    /// # Errors
    /// As [`read_image`](crate::preprocess::read_image); [`Error::Dataset`] for a mask of another aspect ratio.
    pub fn read(&self) -> Result<Photograph> {
        let options = ReadOptions { orientation: Orientation::Ignore, ..ReadOptions::default() };
        let image = read_image_with(&self.image, options)?;
        let (width, height) = (image.width(), image.height());
        let mut joined = (self.label == Label::Normal).then(|| GrayImage::new(width, height));
        let mut mask_resized = false;
        for path in &self.masks {
            let mask = levels(&read_image_with(path, options)?, self.mask_values);
            let size = mask.dimensions();
            let mask = fitted(mask, width, height).ok_or_else(|| {
                let reason = format!("it is {}x{} pixels and its image {width}x{height}, of another aspect ratio", size.0, size.1);
                Error::dataset(path, reason)
            })?;
            mask_resized |= size != (width, height);
            joined = Some(match joined {
                None => mask,
                Some(mut all) => {
                    all.iter_mut().zip(mask.as_raw()).for_each(|(level, other)| *level = (*level).max(*other));
                    all
                }
            });
        }
        Ok(Photograph { image, mask: joined, mask_resized })
    }
}

fn levels(mask: &DynamicImage, values: MaskValues) -> GrayImage {
    match values {
        MaskValues::Grey => mask.to_luma8(),
        MaskValues::Ids => {
            let deep = mask.to_luma16();
            GrayImage::from_fn(deep.width(), deep.height(), |x, y| Luma([if deep.get_pixel(x, y)[0] > 0 { u8::MAX } else { 0 }]))
        }
    }
}

/// The mask at a photograph's size by its nearest pixels, `None` where the aspect ratios differ.
fn fitted(mask: GrayImage, width: u32, height: u32) -> Option<GrayImage> {
    let (across, down) = mask.dimensions();
    if (across, down) == (width, height) {
        return Some(mask);
    }
    let stretch = f64::from(across) * f64::from(height) / (f64::from(down) * f64::from(width));
    let nearest = |at: u32, from: u32, to: u32| (((f64::from(at) + 0.5) * f64::from(from) / f64::from(to)) as u32).min(from - 1);
    ((stretch - 1.0).abs() <= ASPECT_TOLERANCE)
        .then(|| GrayImage::from_fn(width, height, |x, y| *mask.get_pixel(nearest(x, across, width), nearest(y, down, height))))
}

type Read = (Sample, Result<Photograph>);

/// Decodes samples on threads, in their order; each thread holds at most `ahead` photographs that nobody took yet, and one more.
#[derive(Debug)]
pub struct Loader {
    receivers: Vec<Receiver<Read>>,
    threads: Vec<JoinHandle<()>>,
    samples: Arc<[Sample]>,
    next: usize,
}

impl Loader {
    /// Starts to decode.
    pub fn new(samples: Vec<Sample>, threads: NonZeroUsize, ahead: usize) -> Self {
        let samples: Arc<[Sample]> = samples.into();
        let count = threads.get().min(samples.len());
        let start = |first: usize| {
            let (sender, receiver) = sync_channel(ahead);
            let samples = samples.clone();
            let thread = thread::spawn(move || {
                for sample in samples.iter().skip(first).step_by(count) {
                    // Nobody listens any more.
                    if sender.send((sample.clone(), read(sample))).is_err() {
                        return;
                    }
                }
            });
            (receiver, thread)
        };
        let (receivers, threads) = (0..count).map(start).unzip();
        Self { receivers, threads, samples, next: 0 }
    }
}

/// A decoder that panics costs its image only.
fn read(sample: &Sample) -> Result<Photograph> {
    catch_unwind(AssertUnwindSafe(|| sample.read())).unwrap_or_else(|_| Err(Error::component("the image decoder", "it panicked")))
}

impl Iterator for Loader {
    type Item = Read;

    fn next(&mut self) -> Option<Read> {
        let sample = self.samples.get(self.next)?;
        let receiver = self.receivers.get(self.next % self.receivers.len())?;
        self.next += 1;
        Some(receiver.recv().unwrap_or_else(|error| (sample.clone(), Err(Error::component("the image loader", error)))))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.samples.len() - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Loader {}

impl Drop for Loader {
    fn drop(&mut self) {
        self.receivers.clear();
        for thread in self.threads.drain(..) {
            // It can't have panicked; and if it has, there is nothing left to save.
            let _ = thread.join();
        }
    }
}
