//! How deep pixels lie in a mask.

use super::Mask;

/// For each pixel of a mask, the approximate distance in pixels to the nearest pixel outside ([`Mask::depth`]).
#[derive(Debug, Clone, PartialEq)]
pub struct Depth(pub Vec<f32>);

impl Depth {
    /// Returns the largest finite depth; 0 when no pixel is inside, or all are.
    pub fn largest(&self) -> f32 {
        let finite = self.0.iter().copied().filter(|depth| depth.is_finite());
        finite.fold(0.0, f32::max)
    }
}

impl Mask {
    /// Returns the approximate distance in pixels of every pixel inside to the nearest pixel outside; 0 for pixels outside, infinity
    /// when all are inside. The picture's border does not count as outside. Straight and diagonal steps count 1 and sqrt(2), a
    /// chamfer distance in two passes.
    pub fn depth(&self) -> Depth {
        let (width, height) = (self.width as isize, self.height as isize);
        let mut depth: Vec<f32> = self
            .data
            .iter()
            .map(|inside| if *inside { f32::INFINITY } else { 0.0 })
            .collect();
        let diagonal = std::f32::consts::SQRT_2;
        let before = [
            (-1, 0, 1.0),
            (-1, -1, diagonal),
            (0, -1, 1.0),
            (1, -1, diagonal),
        ];
        let mut relax = |index: isize, sign: isize| {
            if depth[index as usize] == 0.0 {
                return;
            }
            let (column, row) = (index % width, index / width);
            for (dx, dy, step) in before {
                let (column, row) = (column + sign * dx, row + sign * dy);
                if (0..width).contains(&column) && (0..height).contains(&row) {
                    let through = depth[(row * width + column) as usize] + step;
                    let here = &mut depth[index as usize];
                    *here = here.min(through);
                }
            }
        };
        (0..width * height).for_each(|index| relax(index, 1));
        (0..width * height).rev().for_each(|index| relax(index, -1));
        Depth(depth)
    }
}
