//! Which latent cells take what, and which are left.

use super::NoiseScale;
use crate::geometry::Frame;
use crate::kernels::{Backend, BilinearPoint};
use crate::method::parts::{cell_at, is_new};
use crate::nn::{Shape, Tensor};
use crate::region::Region;

/// What a drag does to the cells of the latent, row by row.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct MovedCells {
    /// For each cell, the cell that its content came from; `None` where no region arrives.
    pub(super) sources: Vec<Option<usize>>,
    /// For each cell, the share of fresh noise that it gets; 0 where no region was.
    pub(super) noise: Vec<f64>,
}

impl MovedCells {
    /// Returns the cells of all regions.
    ///
    /// A cell whose centre a moved region covers takes the cell in which the exact source point of its centre lies. Where regions
    /// overlap, the last one counts. The cells that are left are those whose centre a region covered, and all sources; where regions
    /// overlap, the larger share counts.
    pub(super) fn new(regions: &[Region], frame: &Frame, noise_scale: NoiseScale) -> Self {
        let grid = frame.latent_grid();
        let mut moved = Self {
            sources: vec![None; grid.len()],
            noise: vec![0.0; grid.len()],
        };
        for region in regions {
            let share = noise_scale.of(region.kind);
            let mut leave = |cell: usize| moved.noise[cell] = moved.noise[cell].max(share);
            for cell in region.covered_cells(1.0, &grid) {
                let source = cell_at(&grid, region.source_of(1.0, grid.centre(cell)));
                moved.sources[cell] = Some(source);
                leave(source);
            }
            region
                .covered_cells(0.0, &grid)
                .into_iter()
                .for_each(&mut leave);
        }
        moved
    }

    /// Returns the cells of a picture in which the regions have been moved already: each cell at a target is its own source, and the cells that
    /// are left are those whose content is `new`.
    pub(super) fn in_place(
        regions: &[Region],
        frame: &Frame,
        noise_scale: NoiseScale,
        new: &[f32],
    ) -> Self {
        let grid = frame.latent_grid();
        let share = |new: &f32| {
            if is_new(*new) {
                noise_scale.of_new_cells()
            } else {
                0.0
            }
        };
        let mut moved = Self {
            sources: vec![None; grid.len()],
            noise: new.iter().map(share).collect(),
        };
        for cell in regions
            .iter()
            .flat_map(|region| region.covered_cells(1.0, &grid))
        {
            moved.sources[cell] = (!is_new(new[cell])).then_some(cell);
        }
        moved
    }

    /// Returns `z` (1, height, width, 4) with its cells mixed with fresh noise, in equal variance: sqrt(1 - s^2) z + s `fresh` for a share s.
    pub(super) fn with_noise<B: Backend>(&self, z: &Tensor<B>, fresh: &[f32]) -> Tensor<B> {
        let (mut values, channels) = (z.to_host(), z.shape().channels);
        for (cell, share) in self.noise.iter().enumerate().filter(|(_, s)| **s > 0.0) {
            let kept = (1.0 - share * share).max(0.0).sqrt() as f32;
            for at in cell * channels..(cell + 1) * channels {
                values[at] = values[at] * kept + fresh[at] * *share as f32;
            }
        }
        Tensor::from_host(z.backend(), z.shape(), values)
    }
}

/// Copies cells of the original's latent into the edited one, level by level.
#[derive(Debug)]
pub(super) struct CellCopy<B: Backend> {
    /// For each cell, the cell of the original's latent that it takes.
    points: B::Points,
    /// 1 for cells that take one (1, height, width, 1).
    taken: Tensor<B>,
}

impl<B: Backend> CellCopy<B> {
    /// Prepares the copy into the targets, and of every cell for which `is_frozen` into itself.
    pub(super) fn new(
        backend: &B,
        frame: &Frame,
        moved: &MovedCells,
        is_frozen: impl Fn(usize) -> bool,
    ) -> Self {
        let grid = frame.latent_grid();
        let sources: Vec<Option<usize>> = moved
            .sources
            .iter()
            .enumerate()
            .map(|(cell, source)| if is_frozen(cell) { Some(cell) } else { *source })
            .collect();
        let points = sources
            .iter()
            .enumerate()
            .map(|(cell, source)| BilinearPoint {
                pixels: [source.unwrap_or(cell) as u32; 4],
                weights: [1.0, 0.0, 0.0, 0.0],
            });
        let taken = sources
            .iter()
            .map(|source| f32::from(u8::from(source.is_some())));
        let shape = Shape::new(1, grid.rows, grid.columns, 1);
        Self {
            points: backend.points(points.collect()),
            taken: Tensor::from_host(backend, shape, taken.collect()),
        }
    }

    /// Returns `z` with the cells of `original` where it takes them.
    pub(super) fn apply(&self, mut z: Tensor<B>, original: &Tensor<B>) -> Tensor<B> {
        let backend = z.backend().clone();
        let copied = backend.sample(z.shape().channels, original.buffer(), &self.points);
        backend.select(self.taken.buffer(), &copied, z.buffer_mut());
        z
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Point, PointPair, Size};
    use crate::kernels::cpu::Cpu;
    use crate::mask::Mask;
    use crate::region::{Motion, RegionKind};

    /// A frame of 8 x 6 latent cells.
    fn frame() -> Frame {
        Frame::new(Size::new(64, 48), 48)
    }

    /// Cell (row, column) in a list.
    fn at(row: usize, column: usize) -> usize {
        8 * row + column
    }

    /// A region of these rows and columns of latent cells.
    fn region(
        kind: RegionKind,
        rows: std::ops::Range<usize>,
        columns: std::ops::Range<usize>,
        motion: Motion,
    ) -> Region {
        let inside = |point: Point| {
            rows.contains(&(point.y as usize / 8)) && columns.contains(&(point.x as usize / 8))
        };
        let mask = Mask::from_fn(frame().padded, inside);
        let handle = Point::new(8.0, 8.0);
        let points = PointPair {
            handle,
            target: handle,
        };
        Region::new("r".into(), kind, mask, motion, points, &frame())
    }

    #[test]
    fn a_shift_by_whole_cells_takes_the_cell_beside() {
        let shift = Motion::Shift { dx: 24.0, dy: 8.0 };
        let region = region(RegionKind::Translation, 1..3, 1..3, shift);
        let moved = MovedCells::new(&[region], &frame(), NoiseScale::Share(0.5));
        for cell in 0..48 {
            let (row, column) = (cell / 8, cell % 8);
            let arrives = (2..4).contains(&row) && (4..6).contains(&column);
            assert_eq!(moved.sources[cell], arrives.then(|| cell - 11));
            let leaves = (1..3).contains(&row) && (1..3).contains(&column);
            assert_eq!(moved.noise[cell], if leaves { 0.5 } else { 0.0 });
        }
    }

    /// A quarter turn to the left about the corner of four cells takes each cell to the next.
    #[test]
    fn cells_of_a_turned_region_turn_with_it() {
        let turn = Motion::Turn {
            center: Point::new(24.0, 24.0),
            angle: std::f64::consts::FRAC_PI_2,
        };
        let region = region(RegionKind::Rotation, 2..4, 2..4, turn);
        let moved = MovedCells::new(&[region], &frame(), NoiseScale::Auto);
        let sources = [(2, 2), (2, 3), (3, 2), (3, 3)].map(|(r, c)| moved.sources[at(r, c)]);
        let expected = [(2, 3), (3, 3), (2, 2), (3, 2)].map(|(r, c)| Some(at(r, c)));
        assert_eq!(sources, expected);
    }

    #[test]
    fn the_last_region_and_the_larger_share_count() {
        let shift = |dx| Motion::Shift { dx, dy: 0.0 };
        let regions = [
            region(RegionKind::Translation, 1..2, 1..3, shift(24.0)),
            region(RegionKind::Deformation, 1..2, 2..4, shift(16.0)),
        ];
        let moved = MovedCells::new(&regions, &frame(), NoiseScale::Auto);
        assert_eq!(moved.sources[at(1, 4)], Some(at(1, 2)));
        assert_eq!(moved.sources[at(1, 5)], Some(at(1, 3)));
        let (left, both, part) = (at(1, 1), at(1, 2), at(1, 3));
        assert_eq!(moved.noise[left], moved.noise[both]);
        assert!(moved.noise[part] < moved.noise[both]);
    }

    #[test]
    fn in_a_picture_with_moved_regions_only_new_cells_get_noise() {
        let shift = Motion::Shift { dx: 16.0, dy: 0.0 };
        let region = region(RegionKind::Deformation, 1..2, 1..3, shift);
        let mut new = vec![0.0; 48];
        new[at(1, 1)] = 1.0;
        new[at(5, 5)] = 0.01;
        let moved = MovedCells::in_place(&[region], &frame(), NoiseScale::Share(0.5), &new);
        for cell in 0..48 {
            let is_target = [at(1, 3), at(1, 4)].contains(&cell);
            assert_eq!(moved.sources[cell], is_target.then_some(cell));
            assert_eq!(moved.noise[cell], if cell == at(1, 1) { 0.5 } else { 0.0 });
        }
    }

    #[test]
    fn fresh_noise_keeps_the_variance_and_spares_other_cells() {
        let moved = MovedCells {
            sources: vec![None; 2],
            noise: vec![0.6, 0.0],
        };
        let z = Tensor::from_host(&Cpu, Shape::new(1, 1, 2, 4), vec![1.0; 8]);
        let mixed = moved.with_noise(&z, &[1.0; 8]).to_host();
        assert!(mixed[..4].iter().all(|value| (value - 1.4).abs() < 1e-6));
        assert_eq!(mixed[4..], [1.0; 4]);
        let all = MovedCells {
            noise: vec![1.0; 2],
            ..moved
        };
        assert_eq!(all.with_noise(&z, &[7.0; 8]).to_host(), [7.0; 8]);
    }

    #[test]
    fn frozen_cells_are_the_originals_even_where_a_region_arrives() {
        let shift = Motion::Shift { dx: 8.0, dy: 0.0 };
        let region = region(RegionKind::Translation, 0..1, 0..2, shift);
        let moved = MovedCells::new(&[region], &frame(), NoiseScale::Auto);
        let copy = CellCopy::new(&Cpu, &frame(), &moved, |cell| cell == 2);
        let numbers: Vec<f32> = (0..48).map(|cell| cell as f32).collect();
        let original = Tensor::from_host(&Cpu, Shape::new(1, 6, 8, 1), numbers);
        let z = Tensor::from_host(&Cpu, Shape::new(1, 6, 8, 1), vec![-1.0; 48]);
        let copied = copy.apply(z, &original).to_host();
        assert_eq!(copied[..4], [-1.0, 0.0, 2.0, -1.0]);
        assert!(copied[4..].iter().all(|value| *value == -1.0));
    }
}
