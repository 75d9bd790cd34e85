//! How each case runs on a backend.

mod attention;
mod conv;
mod elementwise;
mod layers;
mod linear;
mod losses;
mod norm;
mod storage;

use super::Case;
use super::recorder::Recorder;
use crate::kernels::Backend;

/// Runs a case.
pub(super) fn run<B: Backend>(case: &Case, recorder: &mut Recorder<B>) {
    match case {
        Case::Storage { len } => storage::transfers(recorder, *len),
        Case::LossScale => storage::loss_scale(recorder),
        Case::Elementwise { len } => elementwise::of_values(recorder, *len),
        Case::Rows { rows, channels } => elementwise::of_rows(recorder, *rows, *channels),
        Case::Matmul { rows, inner, cols } => linear::matmul(recorder, [*rows, *inner, *cols]),
        Case::Linear {
            rows,
            inputs,
            outputs,
            compared,
        } => linear::linear(recorder, *rows, [*inputs, *outputs], *compared),
        Case::LayersOfOneShape {
            rows,
            inputs,
            outputs,
            compared,
        } => layers::of_one_shape(recorder, *rows, [*inputs, *outputs], *compared),
        Case::Conv { shape, compared } => conv::conv(recorder, shape, *compared),
        Case::GroupNorm { shape } => norm::group_norm(recorder, shape),
        Case::JoinedGroupNorm { shape, first } => {
            norm::joined_group_norm(recorder, shape, *first);
        }
        Case::LayerNorm { rows, channels } => norm::layer_norm(recorder, *rows, *channels),
        Case::Geglu { rows, channels } => elementwise::geglu(recorder, *rows, *channels),
        Case::Attention {
            shape,
            pictures,
            sources,
            compared,
        } => attention::attention(recorder, shape, *pictures, sources, *compared),
        Case::Upsample { channels, from, to } => {
            elementwise::upsample(recorder, *channels, *from, *to);
        }
        Case::Sampling {
            map,
            channels,
            points,
        } => losses::sampling(recorder, *map, *channels, *points),
        Case::WeightedL1 { pixels, channels } => losses::weighted_l1(recorder, *pixels, *channels),
        Case::SquaredError { pictures, values } => {
            losses::squared_error(recorder, *pictures, *values);
        }
        Case::Adam { len } => losses::adam(recorder, *len),
    }
}
