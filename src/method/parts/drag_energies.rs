//! The energies that a drag lowers: features at targets should be those at handles, features of the content area should stay.

use super::feature_similarity::{ComparedMaps, FeatureMap, PixelPair};
use super::moved_squares::{MovedSquare, feature_grid};
use crate::error::{Error, Result};
use crate::failpoint;
use crate::geometry::{Frame, Grid, Size};
use crate::kernels::Backend;
use crate::mask::Mask;
use crate::nn::Tensor;
use crate::progress::Stage;
use crate::region::Region;

/// Weights of the energies' terms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::method) struct EnergyWeights {
    /// Of what should be alike at handles and targets.
    pub(in crate::method) edit: f64,
    /// Of what should stay in the content area.
    pub(in crate::method) content: f64,
    /// Of what should change at handles that content leaves.
    pub(in crate::method) vacated: f64,
}

/// The slope of the similarity in the denominator of an energy: w / (1 + 4 S).
const STEEPNESS: f64 = 4.0;

/// What the energies compare.
#[derive(Debug)]
pub(in crate::method) struct Energies {
    weights: EnergyWeights,
    grid: Grid,
    squares: Vec<MovedSquare>,
    /// Cells of the feature grid outside the editable area.
    content: Vec<usize>,
}

/// The energies of a latent, and their gradients.
#[derive(Debug)]
pub(in crate::method) struct EnergyLoss<B: Backend> {
    /// That of the points.
    pub(in crate::method) edit: f64,
    pub(in crate::method) to_edit: FeatureGradients<B>,
    /// That of the content area.
    pub(in crate::method) content: f64,
    /// `None` without a content area or weight.
    pub(in crate::method) to_content: Option<FeatureGradients<B>>,
}

/// The gradients of an energy with respect to features.
#[derive(Debug)]
pub(in crate::method) struct FeatureGradients<B: Backend> {
    /// For each compared decoder stage.
    pub(in crate::method) stages: Vec<Tensor<B>>,
    /// The size of the largest number.
    pub(in crate::method) magnitude: f32,
}

impl<B: Backend> Default for FeatureGradients<B> {
    fn default() -> Self {
        Self {
            stages: Vec::new(),
            magnitude: f32::MIN_POSITIVE,
        }
    }
}

impl<B: Backend> FeatureGradients<B> {
    /// Adds the gradient of the next stage, in the layout of its `map`.
    fn push(&mut self, map: &Tensor<B>, gradient: Vec<f32>) {
        let larger = |most: f32, number: &f32| most.max(number.abs());
        self.magnitude = gradient.iter().fold(self.magnitude, larger);
        self.stages
            .push(Tensor::from_host(map.backend(), map.shape(), gradient));
    }
}

/// Pairs of pixels on the maps of one decoder stage.
struct StagePairs {
    size: Size,
    grid: Size,
}

impl StagePairs {
    /// Returns the pixel that a cell of the feature grid has after nearest-neighbour resizing.
    fn pixel(&self, cell: usize) -> usize {
        let (row, column) = (cell / self.grid.width, cell % self.grid.width);
        let row = row * self.size.height / self.grid.height;
        row * self.size.width + column * self.size.width / self.grid.width
    }

    /// Returns pairs of cells (edited, original), with equal shares.
    fn of(&self, cells: impl ExactSizeIterator<Item = (usize, usize)>) -> Vec<PixelPair> {
        let share = 1.0 / cells.len() as f64;
        let pair = |(edited, original)| PixelPair {
            edited: self.pixel(edited),
            original: self.pixel(original),
            share,
        };
        cells.map(pair).collect()
    }

    /// Returns each pixel with itself, with its share of the cells.
    fn in_place(&self, cells: &[usize]) -> Vec<PixelPair> {
        let mut counts = vec![0_usize; self.size.area()];
        for cell in cells {
            counts[self.pixel(*cell)] += 1;
        }
        let used = counts.iter().enumerate().filter(|(_, count)| **count > 0);
        let pair = |(pixel, count): (usize, &usize)| PixelPair {
            edited: pixel,
            original: pixel,
            share: *count as f64 / cells.len() as f64,
        };
        used.map(pair).collect()
    }
}

impl Energies {
    /// Prepares the energies of regions' points. The content area is what lies outside `editable`; a cell is editable when its top left pixel is.
    pub(in crate::method) fn new(
        weights: EnergyWeights,
        regions: &[Region],
        editable: Option<&Mask>,
        frame: &Frame,
    ) -> Self {
        let grid = feature_grid(frame);
        let is_content =
            |cell: &usize| editable.is_some_and(|editable| !editable.at(grid.first_pixel(*cell)));
        Self {
            weights,
            squares: regions
                .iter()
                .map(|region| MovedSquare::new(region, &grid))
                .collect(),
            content: (0..grid.len()).filter(is_content).collect(),
            grid,
        }
    }

    /// Returns the energies of a latent with features `edited`, beside those of the original at the same timestep: (1, height, width, channels)
    /// for each decoder stage. `step` is the number of the step for error messages.
    ///
    /// # Errors
    /// [`Error::NotFinite`].
    pub(in crate::method) fn evaluate<B: Backend>(
        &self,
        edited: &[Tensor<B>],
        original: &[FeatureMap],
        step: usize,
    ) -> Result<EnergyLoss<B>> {
        let has_content = !self.content.is_empty() && self.weights.content > 0.0;
        let mut loss = EnergyLoss {
            edit: 0.0,
            to_edit: FeatureGradients::default(),
            content: 0.0,
            to_content: has_content.then(FeatureGradients::default),
        };
        let stages = edited.len() as f64;
        for (map, original) in edited.iter().zip(original) {
            let own = on_host(map);
            let maps = ComparedMaps {
                edited: &own,
                original,
            };
            let pairs = StagePairs {
                size: Size::new(map.shape().width, map.shape().height),
                grid: self.grid.size(),
            };
            let mut gradient = vec![0.0; map.shape().len()];
            for square in &self.squares {
                let share = 1.0 / (stages * self.squares.len() as f64);
                loss.edit += self.add_point(square, &pairs, &maps, share, &mut gradient);
            }
            loss.to_edit.push(map, gradient);
            if let Some(gradients) = &mut loss.to_content {
                let mut gradient = vec![0.0; map.shape().len()];
                let area = pairs.in_place(&self.content);
                let weight = self.weights.content / stages;
                loss.content += add_alike(&area, weight, &maps, &mut gradient);
                gradients.push(map, gradient);
            }
        }
        if (loss.edit + loss.content).is_finite() && !failpoint::is_hit("nan_in_loss") {
            return Ok(loss);
        }
        Err(Error::NotFinite {
            stage: Stage::Drag.name(),
            step,
            what: "the energy",
        })
    }

    /// Returns `share` of one point's energy, and adds its gradient.
    fn add_point(
        &self,
        square: &MovedSquare,
        pairs: &StagePairs,
        maps: &ComparedMaps,
        share: f64,
        gradient: &mut [f32],
    ) -> f64 {
        let moved = pairs.of(square.target.into_iter().zip(square.handle));
        let mut energy = add_alike(&moved, share * self.weights.edit, maps, gradient);
        let vacated = square.vacated();
        if !vacated.is_empty() {
            let vacated = pairs.of(vacated.into_iter().map(|cell| (cell, cell)));
            let weight = share * self.weights.vacated;
            energy += weight * maps.similarity(&vacated);
            maps.add_gradient(&vacated, weight, gradient);
        }
        energy
    }
}

/// Returns weight / (1 + 4 S) for the similarity S of pairs, and adds its gradient.
fn add_alike(pairs: &[PixelPair], weight: f64, maps: &ComparedMaps, gradient: &mut [f32]) -> f64 {
    let below = 1.0 + STEEPNESS * maps.similarity(pairs);
    maps.add_gradient(pairs, -STEEPNESS * weight / (below * below), gradient);
    weight / below
}

/// Copies the features of one latent (1, height, width, channels) to the host.
pub(in crate::method) fn on_host<B: Backend>(map: &Tensor<B>) -> FeatureMap {
    FeatureMap::new(map.to_host(), map.shape().channels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_is_resized_to_the_nearest_pixel() {
        let pairs = StagePairs {
            size: Size::new(3, 2),
            grid: Size::new(12, 8),
        };
        let pixels: Vec<usize> = (0..12).map(|column| pairs.pixel(12 * 4 + column)).collect();
        assert_eq!(pixels, [3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5]);
        let odd = StagePairs {
            size: Size::new(3, 3),
            grid: Size::new(10, 10),
        };
        let pixels: Vec<usize> = (0..10).map(|column| odd.pixel(column)).collect();
        assert_eq!(pixels, [0, 0, 0, 0, 1, 1, 1, 2, 2, 2]);
    }

    #[test]
    fn pixels_count_as_often_as_cells_show_them() {
        let pairs = StagePairs {
            size: Size::new(2, 1),
            grid: Size::new(4, 2),
        };
        let area = pairs.in_place(&[0, 1, 4, 6]);
        let shares: Vec<(usize, f64)> = area
            .iter()
            .map(|pair| (pair.original, pair.share))
            .collect();
        assert_eq!(shares, [(0, 0.75), (1, 0.25)]);
    }
}
