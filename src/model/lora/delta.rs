//! What an adapter adds to a weight.
//!
//! | kind | difference | source |
//! |---|---|---|
//! | LoRA | B A | arXiv 2106.09685 |
//! | LoCon | B A, with A a convolution; with a core, its Tucker product with B and A | LyCORIS, arXiv 2309.14859 |
//! | LoHa | (W1a W1b) * (W2a W2b), element by element; with cores, two Tucker products | FedPara, arXiv 2108.06098 |
//! | LoKr | the Kronecker product of W1 and W2, each whole or a product | LyCORIS |
//!
//! All in f32, sums in the order of the rank, so that the result depends on neither device nor threads. The scale, alpha / rank, is the caller's.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::names::Part;

/// A tensor of an adapter.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Array {
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<f32>,
}

/// A matrix, row by row. Tensors with more axes are seen as (first, all others).
#[derive(Debug, Clone)]
struct Matrix {
    rows: usize,
    cols: usize,
    values: Vec<f32>,
}

/// The shape of a weight: (out, in, taps); a linear layer has one tap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Target {
    out: usize,
    inputs: usize,
    taps: usize,
}

/// The parts of the adapter of one module.
pub(super) type Parts = BTreeMap<Part, Array>;

impl Array {
    fn matrix(self) -> Matrix {
        let rows = self.shape.first().copied().unwrap_or(1);
        Matrix {
            rows,
            cols: self.values.len().checked_div(rows).unwrap_or(0),
            values: self.values,
        }
    }
}

impl Matrix {
    /// Returns the product with another matrix; `None` where the shapes do not fit or the product is not (rows, cols).
    fn product(&self, other: &Self, [rows, cols]: [usize; 2]) -> Option<Self> {
        if self.cols != other.rows || self.rows != rows || other.cols != cols {
            return None;
        }
        let mut values = vec![0.0; rows * cols];
        if !values.is_empty() && self.cols > 0 {
            values
                .par_chunks_mut(cols)
                .zip(self.values.par_chunks(self.cols))
                .for_each(|(sums, factors)| {
                    for (factor, row) in factors.iter().zip(other.values.chunks_exact(cols)) {
                        sums.iter_mut()
                            .zip(row)
                            .for_each(|(sum, value)| *sum += factor * value);
                    }
                });
        }
        Some(Self { rows, cols, values })
    }

    fn transposed(&self) -> Self {
        let column = |col: usize| self.values.iter().skip(col).step_by(self.cols.max(1));
        Self {
            rows: self.cols,
            cols: self.rows,
            values: (0..self.cols).flat_map(column).copied().collect(),
        }
    }
}

/// Returns the Tucker product of a core (i, j, taps) with `left` (out, i) and `right` (j, in): (out, in, taps).
fn tucker(core: &Array, left: &Matrix, right: &Matrix, target: Target) -> Option<Matrix> {
    let [i, j] = *core.shape.first_chunk()?;
    let Target { out, inputs, taps } = target;
    if core.values.len() != i * j * taps || right.rows != j || right.cols != inputs {
        return None;
    }
    // (j, in) to (in, j), times each slice (j, taps) of the core: (i, in, taps).
    let right = right.transposed();
    let slices = core.values.chunks_exact((j * taps).max(1)).map(|slice| {
        let slice = Matrix {
            rows: j,
            cols: taps,
            values: slice.to_vec(),
        };
        Some(right.product(&slice, [inputs, taps])?.values)
    });
    let values: Vec<f32> = slices.collect::<Option<Vec<_>>>()?.concat();
    let core = Matrix {
        rows: i,
        cols: inputs * taps,
        values,
    };
    left.product(&core, [out, inputs * taps])
}

/// Returns the difference of a weight of this shape, (out, in) or (out, in, k, k), row by row, without its scale.
///
/// # Errors
/// Why the parts do not give one.
pub(super) fn of_weight(mut parts: Parts, shape: &[usize]) -> Result<Vec<f32>, String> {
    let target = Target {
        out: shape.first().copied().unwrap_or(1),
        inputs: shape.get(1).copied().unwrap_or(1),
        taps: shape.iter().skip(2).product(),
    };
    let shapes: Vec<String> = parts
        .iter()
        .filter(|(part, _)| **part != Part::Alpha)
        .map(|(_, array)| format!("{:?}", array.shape))
        .collect();
    let given = parts.remove(&Part::Weight);
    let found = match given {
        Some(array) => {
            (array.values.len() == shape.iter().product::<usize>()).then_some(array.values)
        }
        None => product(&mut parts, target).map(|matrix| matrix.values),
    };
    found.ok_or_else(|| {
        format!(
            "its tensors {} do not give a weight of {shape:?}",
            shapes.join(", ")
        )
    })
}

/// Returns the rank by which alpha is divided; `None` for an adapter without one.
pub(super) fn rank_of(shapes: impl Fn(Part) -> Option<Vec<usize>>) -> Option<usize> {
    let first = |part| shapes(part)?.first().copied();
    first(Part::Down)
        .or_else(|| first(Part::HadaW1b))
        .or_else(|| first(Part::KronW1b))
        .or_else(|| first(Part::KronW2b))
}

/// Returns the inputs of the layer that an adapter with parts of these shapes belongs to; `None` where the shapes do not tell.
pub(super) fn inputs_of(shapes: impl Fn(Part) -> Option<Vec<usize>>) -> Option<usize> {
    let second = |part| shapes(part)?.get(1).copied();
    let either = |whole, factor| second(whole).or_else(|| second(factor));
    second(Part::Down)
        .or_else(|| second(Part::HadaW1b))
        .or_else(|| second(Part::Weight))
        .or_else(|| {
            let left = either(Part::KronW1, Part::KronW1b)?;
            left.checked_mul(either(Part::KronW2, Part::KronW2b)?)
        })
}

fn product(parts: &mut Parts, target: Target) -> Option<Matrix> {
    let Target { out, inputs, taps } = target;
    let mut take = |part| parts.remove(&part).map(Array::matrix);
    let whole = [out, inputs * taps];
    if let Some(down) = take(Part::Down) {
        let up = take(Part::Up)?;
        return match parts.remove(&Part::Mid) {
            None => up.product(&down, whole),
            Some(core) => tucker(&core, &up, &down, target),
        };
    }
    if let Some(w1a) = take(Part::HadaW1a) {
        let [w1b, w2a, w2b] = [Part::HadaW1b, Part::HadaW2a, Part::HadaW2b].map(&mut take);
        let (w1b, w2a, w2b) = (w1b?, w2a?, w2b?);
        let cores = [Part::HadaT1, Part::HadaT2].map(|part| parts.remove(&part));
        let (mut left, right) = match cores {
            [None, None] => (w1a.product(&w1b, whole)?, w2a.product(&w2b, whole)?),
            [Some(t1), Some(t2)] => (
                tucker(&t1, &w1a.transposed(), &w1b, target)?,
                tucker(&t2, &w2a.transposed(), &w2b, target)?,
            ),
            _ => return None,
        };
        left.values
            .iter_mut()
            .zip(right.values)
            .for_each(|(value, other)| *value *= other);
        return Some(left);
    }
    let w1 = if let Some(w1) = take(Part::KronW1) {
        w1
    } else {
        let (a, b) = (take(Part::KronW1a)?, take(Part::KronW1b)?);
        let shape = [a.rows, b.cols];
        (a.rows <= out && b.cols <= inputs).then_some(())?;
        a.product(&b, shape)?
    };
    (w1.rows > 0 && w1.cols > 0 && out.is_multiple_of(w1.rows) && inputs.is_multiple_of(w1.cols))
        .then_some(())?;
    let inner = Target {
        out: out / w1.rows,
        inputs: inputs / w1.cols,
        taps,
    };
    let shape = [inner.out, inner.inputs * taps];
    let w2 = if let Some(w2) = take(Part::KronW2) {
        ([w2.rows, w2.cols] == shape).then_some(w2)?
    } else {
        let (a, b) = (take(Part::KronW2a)?, take(Part::KronW2b)?);
        match parts.remove(&Part::KronT2) {
            None => a.product(&b, shape)?,
            Some(core) => tucker(&core, &a.transposed(), &b, inner)?,
        }
    };
    Some(kronecker(&w1, &w2, target, inner))
}

/// Returns the Kronecker product of (a, b) and (c, d, taps): (a c, b d, taps).
fn kronecker(w1: &Matrix, w2: &Matrix, target: Target, inner: Target) -> Matrix {
    let cols = target.inputs * target.taps;
    let step = inner.inputs * inner.taps;
    let mut values = vec![0.0; target.out * cols];
    if step > 0 {
        values
            .par_chunks_mut(cols)
            .enumerate()
            .for_each(|(row, values)| {
                let factors = &w1.values[row / inner.out * w1.cols..][..w1.cols];
                let right = &w2.values[row % inner.out * step..][..step];
                for (factor, values) in factors.iter().zip(values.chunks_exact_mut(step)) {
                    values
                        .iter_mut()
                        .zip(right)
                        .for_each(|(value, other)| *value = factor * other);
                }
            });
    }
    Matrix {
        rows: target.out,
        cols,
        values,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(shape: &[usize]) -> Array {
        let count = shape.iter().product::<usize>();
        Array {
            shape: shape.to_vec(),
            values: (0..count).map(|index| index as f32 + 1.0).collect(),
        }
    }

    fn delta(parts: &[(Part, &[usize])], shape: &[usize]) -> Result<Vec<f32>, String> {
        let parts = parts.iter().map(|(part, shape)| (*part, array(shape)));
        of_weight(parts.collect(), shape)
    }

    #[test]
    fn small_products_by_hand() {
        let low = delta(&[(Part::Down, &[1, 2]), (Part::Up, &[2, 1])], &[2, 2]);
        assert_eq!(low, Ok(vec![1.0, 2.0, 2.0, 4.0]));
        // A core of one number, 1.
        let mid = [
            (Part::Down, &[1, 2, 1, 1][..]),
            (Part::Mid, &[1, 1, 1, 1]),
            (Part::Up, &[2, 1, 1, 1]),
        ];
        assert_eq!(delta(&mid, &[2, 2, 1, 1]), low);
        let hada = [
            (Part::HadaW1a, &[2, 1][..]),
            (Part::HadaW1b, &[1, 2]),
            (Part::HadaW2a, &[2, 1]),
            (Part::HadaW2b, &[1, 2]),
        ];
        assert_eq!(delta(&hada, &[2, 2]), Ok(vec![1.0, 4.0, 4.0, 16.0]));
        let kron = delta(&[(Part::KronW1, &[1, 2]), (Part::KronW2, &[2, 1])], &[2, 2]);
        assert_eq!(kron, Ok(vec![1.0, 2.0, 2.0, 4.0]));
        assert_eq!(
            delta(&[(Part::Weight, &[2, 2])], &[2, 2]),
            Ok(vec![1.0, 2.0, 3.0, 4.0])
        );
    }

    /// Shapes that do not fit are told before anything of the size of their product is made.
    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        let many = 1 << 20;
        let cases: [&[(Part, &[usize])]; 10] = [
            &[(Part::Down, &[1, many]), (Part::Up, &[many, 1])],
            &[(Part::Down, &[2, 2]), (Part::Up, &[2, 3])],
            &[(Part::Down, &[0, 2]), (Part::Up, &[2, 1])],
            &[
                (Part::Down, &[1, 2]),
                (Part::Mid, &[1]),
                (Part::Up, &[2, 1]),
            ],
            &[
                (Part::Down, &[1, 2]),
                (Part::Mid, &[3, 3, 3, 3]),
                (Part::Up, &[2, 1]),
            ],
            &[
                (Part::KronW1a, &[many, 1]),
                (Part::KronW1b, &[1, many]),
                (Part::KronW2, &[1, 1]),
            ],
            &[(Part::KronW1, &[3, 3]), (Part::KronW2, &[1, 1])],
            &[(Part::KronW1, &[0, 0]), (Part::KronW2, &[1, 1])],
            &[(Part::Weight, &[2, 3])],
            &[(Part::HadaW1a, &[2, 1])],
        ];
        for parts in cases {
            let error = delta(parts, &[2, 2]).expect_err("no such weight");
            assert!(error.ends_with("do not give a weight of [2, 2]"), "{error}");
        }
    }
}
