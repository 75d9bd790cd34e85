//! The cases: which operations are called, at which sizes.

use crate::kernels::{AttentionShape, ConvShape, GroupShape};

/// Operations that are compared together at one shape.
///
/// Where a case has `compared`, that many rows (of a convolution: lines of the first picture) of the results are compared; the reference computes
/// no more. Otherwise all are.
#[derive(Debug, Clone, PartialEq)]
pub enum Case {
    /// Transfers, conversions, copies and the test for finite values, of a buffer with this length.
    Storage {
        /// Values of the buffer.
        len: usize,
    },
    /// The loss scale: its value, its halving and its reset.
    LossScale,
    /// SiLU, sums of two buffers, and sums over pictures.
    Elementwise {
        /// Values of the buffers.
        len: usize,
    },
    /// Selection of rows and copies of columns.
    Rows {
        /// Rows.
        rows: usize,
        /// Values of a row.
        channels: usize,
    },
    /// Matrix products c = a b in the forms that LoRA uses.
    Matmul {
        /// Rows of c.
        rows: usize,
        /// Columns of a.
        inner: usize,
        /// Columns of c.
        cols: usize,
    },
    /// A linear layer: forward, backward, and with a LoRA merged.
    Linear {
        /// Rows of the input.
        rows: usize,
        /// Channels of the input.
        inputs: usize,
        /// Channels of the output.
        outputs: usize,
        /// Rows that are compared.
        compared: Option<usize>,
    },
    /// Linear layers of one shape with the same input, such as the projections of a self-attention: forward, backward, with a LoRA merged into each,
    /// and the products of their LoRA's gradients. A device may compute them in one call.
    LayersOfOneShape {
        /// Rows of the input.
        rows: usize,
        /// Channels of the input.
        inputs: usize,
        /// Channels of each output.
        outputs: usize,
        /// Rows that are compared.
        compared: Option<usize>,
    },
    /// A convolution, forward with all terms and without any, and backward.
    Conv {
        /// Its shape.
        shape: ConvShape,
        /// Lines of the output that are compared; for a 3 x 3 convolution with padding 1, stride 1 and one picture.
        compared: Option<usize>,
    },
    /// A group normalisation with and without SiLU, forward and backward.
    GroupNorm {
        /// Its shape.
        shape: GroupShape,
    },
    /// A group normalisation with SiLU of two maps side by side, and the gradients of both.
    JoinedGroupNorm {
        /// The shape of both maps together.
        shape: GroupShape,
        /// Channels of the first map.
        first: usize,
    },
    /// A layer normalisation, forward and backward.
    LayerNorm {
        /// Rows.
        rows: usize,
        /// Channels.
        channels: usize,
    },
    /// GEGLU, forward and backward.
    Geglu {
        /// Rows.
        rows: usize,
        /// Channels of the result.
        channels: usize,
    },
    /// An attention, forward, and backward where the pictures read their own keys or one picture's; of a self-attention also with the gradients side
    /// by side.
    Attention {
        /// Its shape.
        shape: AttentionShape,
        /// Pictures that have keys and values.
        pictures: usize,
        /// The picture whose keys each picture of the batch reads.
        sources: Vec<usize>,
        /// Queries that are compared; for one picture.
        compared: Option<usize>,
    },
    /// Nearest-neighbour resizing, forward and backward.
    Upsample {
        /// Channels.
        channels: usize,
        /// Height and width of the input.
        from: [usize; 2],
        /// Height and width of the output.
        to: [usize; 2],
    },
    /// Bilinear samples of a map, their adjoint, and their L1 loss.
    Sampling {
        /// Height and width of the map.
        map: [usize; 2],
        /// Channels.
        channels: usize,
        /// Points.
        points: usize,
    },
    /// The weighted L1 loss of a latent.
    WeightedL1 {
        /// Pixels.
        pixels: usize,
        /// Channels.
        channels: usize,
    },
    /// The weighted squared error of a noise prediction.
    SquaredError {
        /// Pictures.
        pictures: usize,
        /// Values of a picture.
        values: usize,
    },
    /// A step of Adam.
    Adam {
        /// Parameters.
        len: usize,
    },
}

impl Case {
    /// Returns the name of the operation; backward passes and variants have longer ones.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Storage { .. } => "storage",
            Self::LossScale => "loss scale",
            Self::Elementwise { .. } => "elementwise",
            Self::Rows { .. } => "rows",
            Self::Matmul { .. } => "matrix product",
            Self::Linear { .. } => "linear",
            Self::LayersOfOneShape { .. } => "layers of one shape",
            Self::Conv { .. } => "convolution",
            Self::GroupNorm { .. } => "group norm",
            Self::JoinedGroupNorm { .. } => "joined group norm",
            Self::LayerNorm { .. } => "layer norm",
            Self::Geglu { .. } => "GEGLU",
            Self::Attention { .. } => "attention",
            Self::Upsample { .. } => "upsample",
            Self::Sampling { .. } => "sampling",
            Self::WeightedL1 { .. } => "weighted L1",
            Self::SquaredError { .. } => "squared error",
            Self::Adam { .. } => "Adam",
        }
    }

    /// Returns the sizes for people.
    pub fn shape(&self) -> String {
        match self {
            Self::LossScale => String::new(),
            Self::Storage { len } | Self::Elementwise { len } => format!("{len} values"),
            Self::Adam { len } => format!("{len} parameters"),
            Self::Rows { rows, channels }
            | Self::LayerNorm { rows, channels }
            | Self::Geglu { rows, channels } => format!("{rows} rows of {channels}"),
            Self::Matmul { rows, inner, cols } => format!("{rows} x {inner} by {inner} x {cols}"),
            Self::Linear {
                rows,
                inputs,
                outputs,
                ..
            }
            | Self::LayersOfOneShape {
                rows,
                inputs,
                outputs,
                ..
            } => format!("{rows} rows, {inputs} to {outputs} channels"),
            Self::Conv { shape, .. } => {
                let ConvShape {
                    batch,
                    input: [height, width, from],
                    output,
                    kernel,
                    stride,
                    pad,
                } = shape;
                let to = output[2];
                let [batch, stride] = [(*batch, "batch"), (*stride, "stride")].map(|(n, name)| {
                    if n == 1 {
                        String::new()
                    } else {
                        format!(", {name} {n}")
                    }
                });
                let pad = if 2 * pad + 1 == *kernel {
                    String::new()
                } else {
                    format!(
                        ", padding {pad} at the left and {} at the right",
                        kernel / 2
                    )
                };
                format!(
                    "{kernel}x{kernel}, {from}x{height}x{width} to {to} channels{stride}{pad}{batch}"
                )
            }
            Self::GroupNorm { shape } => of_groups(shape, &shape.channels.to_string()),
            Self::JoinedGroupNorm { shape, first } => {
                of_groups(shape, &format!("{first} + {}", shape.channels - first))
            }
            Self::Attention { shape, .. } => format!(
                "batch {}, {} heads of {}, {} queries, {} keys",
                shape.batch, shape.heads, shape.head_size, shape.queries, shape.keys
            ),
            Self::Upsample { channels, from, to } => format!(
                "{channels} channels, {}x{} to {}x{}",
                from[0], from[1], to[0], to[1]
            ),
            Self::Sampling {
                map,
                channels,
                points,
            } => format!(
                "{points} points of a map of {channels}x{}x{}",
                map[0], map[1]
            ),
            Self::WeightedL1 { pixels, channels } => format!("{pixels} pixels of {channels}"),
            Self::SquaredError { pictures, values } => {
                format!("{pictures} pictures of {values} values")
            }
        }
    }
}

/// Returns the sizes of a group normalisation.
fn of_groups(shape: &GroupShape, channels: &str) -> String {
    format!(
        "{} x {} pixels of {channels} channels in {} groups",
        shape.batch, shape.pixels, shape.groups
    )
}
