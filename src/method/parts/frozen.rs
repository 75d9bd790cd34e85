//! Latent cells outside the editable area: the loss term that holds them at the reference latent, and their reset to it.

use super::cells::around;
use crate::geometry::Frame;
use crate::kernels::{Backend, Sum};
use crate::mask::Mask;
use crate::nn::{Shape, Tensor};
use crate::region::Region;

/// 1 for every latent cell that must stay, 0 for the others: (1, h, w, 1).
#[derive(Debug, Clone)]
pub struct Frozen<B: Backend> {
    cells: Tensor<B>,
}

impl<B: Backend> Frozen<B> {
    /// Freezes the cells outside the editable area, a mask at working size. A cell is editable when its top left pixel is (nearest neighbour,
    /// as in the released code of DragNeXt).
    pub fn new(backend: &B, editable: &Mask, frame: &Frame) -> Self {
        let grid = frame.latent_grid();
        let cells = (0..grid.len())
            .map(|index| {
                if editable.at(grid.first_pixel(index)) {
                    0.0
                } else {
                    1.0
                }
            })
            .collect();
        Self::from_cells(backend, grid.rows, grid.columns, cells)
    }

    /// Freezes the cells further than `ring` cells from every region, before and after the drag, and those outside the editable area.
    pub fn around(
        backend: &B,
        regions: &[Region],
        ring: usize,
        editable: Option<&Mask>,
        frame: &Frame,
    ) -> Self {
        let grid = frame.latent_grid();
        let near = around(regions, ring, frame);
        let is_free = |cell: usize| {
            near.data[cell] && editable.is_none_or(|editable| editable.at(grid.first_pixel(cell)))
        };
        let cells = (0..grid.len()).map(|cell| if is_free(cell) { 0.0 } else { 1.0 });
        Self::from_cells(backend, grid.rows, grid.columns, cells.collect())
    }

    /// Freezes the cells with a 1, row by row.
    pub fn from_cells(backend: &B, rows: usize, columns: usize, cells: Vec<f32>) -> Self {
        Self {
            cells: Tensor::from_host(backend, Shape::new(1, rows, columns, 1), cells),
        }
    }

    /// Returns `z` in editable cells and `reference` in frozen ones.
    pub fn hold(&self, mut z: Tensor<B>, reference: &Tensor<B>) -> Tensor<B> {
        let backend = z.backend().clone();
        backend.select(self.cells.buffer(), reference.buffer(), z.buffer_mut());
        z
    }

    /// Returns the sum over frozen cells and channels of |x - reference|, and its gradient to x (R_M of DragNeXt, without its weight).
    pub fn difference(&self, x: &Tensor<B>, reference: &Tensor<B>) -> (Sum<B::Buffer>, Tensor<B>) {
        let mut sum = Sum::Known(0.0);
        let gradient = x.build(x.shape(), |gradient| {
            sum = x.backend().weighted_l1_sum(
                x.buffer(),
                reference.buffer(),
                self.cells.buffer(),
                gradient,
            );
        });
        (sum, gradient)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::cpu::Cpu;

    fn latent(value: f32) -> Tensor<Cpu> {
        Tensor::from_host(&Cpu, Shape::new(1, 2, 3, 4), vec![value; 24])
    }

    #[test]
    fn the_term_is_a_sum_over_frozen_cells() {
        let term = |cells: &[f32]| {
            let frozen = Frozen::from_cells(&Cpu, 2, 3, cells.to_vec());
            let (sum, _) = frozen.difference(&latent(1.5), &latent(1.0));
            Cpu.sum_value(&sum)
        };
        assert_eq!(term(&[0.0; 6]), 0.0, "everything is editable");
        let one = term(&[1.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(one, 2.0, "four channels, half a unit each");
        assert_eq!(term(&[1.0, 1.0, 0.0, 0.0, 0.0, 0.0]), 2.0 * one);
    }

    #[test]
    fn the_background_is_put_back_exactly() {
        let held = Frozen::from_cells(&Cpu, 2, 3, vec![1.0, 0.0, 0.0, 1.0, 0.0, 0.0])
            .hold(latent(2.0), &latent(1.0))
            .to_host();
        assert_eq!((held[0], held[4], held[12], held[20]), (1.0, 2.0, 1.0, 2.0));
    }
}
