//! The operation graph of a convolution: tensors in NHWC, sums in f32, and the terms that are added
//! before the result is rounded.

use cudarc::cudnn::sys::{
    cudnnBackendAttributeName_t as Attribute, cudnnBackendDescriptorType_t as DescriptorType,
    cudnnConvolutionMode_t, cudnnDataType_t, cudnnPointwiseMode_t,
};

use crate::kernels::cuda::driver::{Address, Convolution, ConvolutionData, Direction};

use super::super::super::call::CallFailure;
use super::super::support::{Padding, data_type};
use super::descriptor::Descriptor;
use super::target::Target;

/// Alignment of all addresses in bytes. The engines' loads are up to that wide.
pub(super) const ALIGNMENT: u64 = 16;

/// What a graph adds to the convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in super::super) enum Terms {
    None,
    Bias,
    /// The residual, then the bias: the order for which cuDNN has compiled engines. It compiles
    /// those of any other order at run time.
    ResidualAndBias,
}

impl Terms {
    /// Returns the terms of an operation that a graph can add.
    pub(in super::super) fn of(data: &ConvolutionData) -> Self {
        match (data.bias, data.residual) {
            (None, _) => Self::None,
            (Some(_), None) => Self::Bias,
            (Some(_), Some(_)) => Self::ResidualAndBias,
        }
    }

    /// Returns what a message about a graph with these terms adds.
    pub(in super::super) fn text(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Bias => " with bias",
            Self::ResidualAndBias => " with residual and bias",
        }
    }

    /// Returns whether these are all terms of an operation.
    pub(in super::super) fn cover(self, data: &ConvolutionData) -> bool {
        match self {
            Self::None => data.bias.is_none() && data.residual.is_none(),
            Self::Bias => data.residual.is_none(),
            Self::ResidualAndBias => true,
        }
    }
}

/// A tensor in memory, by which the library knows its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i64)]
enum TensorId {
    X = 1,
    Weight,
    Y,
    Bias,
    Residual,
    /// The convolution without terms, which is not in memory.
    Convolved,
    /// With the residual; not in memory either.
    WithResidual,
}

/// Returns the numbers of a graph's tensors and their addresses.
pub(super) fn operands(
    direction: Direction,
    terms: Terms,
    data: &ConvolutionData,
) -> Vec<(i64, Address)> {
    let (from, to) = match direction {
        Direction::Forward => (TensorId::X, TensorId::Y),
        Direction::Backward => (TensorId::Y, TensorId::X),
    };
    let bias = data.bias.filter(|_| terms != Terms::None);
    let residual = data.residual.filter(|_| terms == Terms::ResidualAndBias);
    let terms = [(TensorId::Bias, bias), (TensorId::Residual, residual)];
    [
        (from, data.from),
        (TensorId::Weight, data.weight),
        (to, data.to),
    ]
    .into_iter()
    .chain(terms.into_iter().filter_map(|(id, term)| Some((id, term?))))
    .map(|(id, address)| (id as i64, address))
    .collect()
}

/// A finalised operation graph with the descriptors that it consists of.
#[derive(Debug)]
pub(super) struct OperationGraph {
    pub(super) graph: Descriptor,
    #[expect(dead_code, reason = "they live as long as the graph")]
    parts: Vec<Descriptor>,
}

impl OperationGraph {
    /// Describes a convolution whose sizes fit 32 bits.
    pub(super) fn new(
        target: &Target,
        shape: &Convolution,
        padding: Padding,
        terms: Terms,
    ) -> Result<Self, CallFailure> {
        let in_memory = data_type(shape.format);
        let sizes = |[height, width, channels]: [usize; 3]| [shape.batch, height, width, channels];
        let [x_sizes, y_sizes] = [shape.input, shape.output].map(sizes);
        let (kernel, from, to) = (shape.kernel, shape.input[2], shape.output[2]);
        let x = tensor(TensorId::X, in_memory, x_sizes)?;
        let weight = tensor(TensorId::Weight, in_memory, [to, kernel, kernel, from])?;
        let y = tensor(TensorId::Y, in_memory, y_sizes)?;
        let geometry = geometry(shape, padding)?;
        let mut parts = Vec::new();
        let operations = match (shape.direction, terms) {
            (Direction::Backward, _) => vec![backward(&geometry, &y, &weight, &x)?],
            (Direction::Forward, Terms::None) => vec![forward(&geometry, &x, &weight, &y)?],
            (Direction::Forward, terms) => {
                let add = addition()?;
                let bias = tensor(TensorId::Bias, in_memory, [1, 1, 1, to])?;
                let convolved = virtual_tensor(TensorId::Convolved, y_sizes)?;
                let mut operations = vec![forward(&geometry, &x, &weight, &convolved)?];
                if terms == Terms::ResidualAndBias {
                    let residual = tensor(TensorId::Residual, in_memory, y_sizes)?;
                    let with_residual = virtual_tensor(TensorId::WithResidual, y_sizes)?;
                    operations.push(sum(&add, &convolved, &residual, &with_residual)?);
                    operations.push(sum(&add, &with_residual, &bias, &y)?);
                    parts.extend([residual, with_residual]);
                } else {
                    operations.push(sum(&add, &convolved, &bias, &y)?);
                }
                parts.extend([add, bias, convolved]);
                operations
            }
        };
        let references: Vec<&Descriptor> = operations.iter().collect();
        let graph = Descriptor::new(DescriptorType::CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR)?;
        let graph = target
            .of_graph(graph)?
            .with_descriptors(Attribute::CUDNN_ATTR_OPERATIONGRAPH_OPS, &references)?
            .finalised()?;
        parts.extend(operations);
        parts.extend([x, weight, y, geometry]);
        Ok(Self { graph, parts })
    }
}

/// Describes a tensor in memory, of sizes in the order of memory: picture, row, column, channel.
fn tensor(
    id: TensorId,
    data: cudnnDataType_t,
    sizes: [usize; 4],
) -> Result<Descriptor, CallFailure> {
    described(id, data, sizes)?.finalised()
}

/// Describes an intermediate result in f32.
fn virtual_tensor(id: TensorId, sizes: [usize; 4]) -> Result<Descriptor, CallFailure> {
    described(id, cudnnDataType_t::CUDNN_DATA_FLOAT, sizes)?
        .with(Attribute::CUDNN_ATTR_TENSOR_IS_VIRTUAL, &[true])?
        .finalised()
}

fn described(
    id: TensorId,
    data: cudnnDataType_t,
    sizes: [usize; 4],
) -> Result<Descriptor, CallFailure> {
    let [n, h, w, c] = sizes.map(|size| size as i64);
    Descriptor::new(DescriptorType::CUDNN_BACKEND_TENSOR_DESCRIPTOR)?
        .with(Attribute::CUDNN_ATTR_TENSOR_UNIQUE_ID, &[id as i64])?
        .with(Attribute::CUDNN_ATTR_TENSOR_DATA_TYPE, &[data])?
        .with(
            Attribute::CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT,
            &[ALIGNMENT as i64],
        )?
        // The library's order is NCHW, and strides say how it lies in memory.
        .with(Attribute::CUDNN_ATTR_TENSOR_DIMENSIONS, &[n, c, h, w])?
        .with(
            Attribute::CUDNN_ATTR_TENSOR_STRIDES,
            &[h * w * c, 1, w * c, c],
        )
}

/// Describes padding and stride.
fn geometry(shape: &Convolution, padding: Padding) -> Result<Descriptor, CallFailure> {
    let stride = shape.stride as i64;
    // Neural networks call cross-correlation a convolution.
    let mode = cudnnConvolutionMode_t::CUDNN_CROSS_CORRELATION;
    Descriptor::new(DescriptorType::CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR)?
        .with(
            Attribute::CUDNN_ATTR_CONVOLUTION_COMP_TYPE,
            &[cudnnDataType_t::CUDNN_DATA_FLOAT],
        )?
        .with(Attribute::CUDNN_ATTR_CONVOLUTION_CONV_MODE, &[mode])?
        .with(Attribute::CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, &[2_i64])?
        .with(Attribute::CUDNN_ATTR_CONVOLUTION_DILATIONS, &[1_i64, 1])?
        .with(
            Attribute::CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES,
            &[stride, stride],
        )?
        .with(
            Attribute::CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS,
            &padding.before.map(|pad| pad as i64),
        )?
        .with(
            Attribute::CUDNN_ATTR_CONVOLUTION_POST_PADDINGS,
            &padding.after.map(|pad| pad as i64),
        )?
        .finalised()
}

/// y = convolution of x.
fn forward(
    geometry: &Descriptor,
    x: &Descriptor,
    weight: &Descriptor,
    y: &Descriptor,
) -> Result<Descriptor, CallFailure> {
    Descriptor::new(DescriptorType::CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR)?
        .with_descriptors(
            Attribute::CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
            &[geometry],
        )?
        .with_descriptors(Attribute::CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, &[x])?
        .with_descriptors(
            Attribute::CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
            &[weight],
        )?
        .with_descriptors(Attribute::CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, &[y])?
        .with(
            Attribute::CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
            &[1.0_f32],
        )?
        .with(
            Attribute::CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA,
            &[0.0_f32],
        )?
        .finalised()
}

/// dx from dy.
fn backward(
    geometry: &Descriptor,
    dy: &Descriptor,
    weight: &Descriptor,
    dx: &Descriptor,
) -> Result<Descriptor, CallFailure> {
    Descriptor::new(DescriptorType::CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR)?
        .with_descriptors(
            Attribute::CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
            &[geometry],
        )?
        .with_descriptors(
            Attribute::CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
            &[dy],
        )?
        .with_descriptors(
            Attribute::CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
            &[weight],
        )?
        .with_descriptors(
            Attribute::CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
            &[dx],
        )?
        .with(
            Attribute::CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
            &[1.0_f32],
        )?
        .with(
            Attribute::CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA,
            &[0.0_f32],
        )?
        .finalised()
}

/// Describes an addition in f32.
fn addition() -> Result<Descriptor, CallFailure> {
    Descriptor::new(DescriptorType::CUDNN_BACKEND_POINTWISE_DESCRIPTOR)?
        .with(
            Attribute::CUDNN_ATTR_POINTWISE_MODE,
            &[cudnnPointwiseMode_t::CUDNN_POINTWISE_ADD],
        )?
        .with(
            Attribute::CUDNN_ATTR_POINTWISE_MATH_PREC,
            &[cudnnDataType_t::CUDNN_DATA_FLOAT],
        )?
        .finalised()
}

/// to = value + term, where sizes of 1 of the term are repeated.
fn sum(
    add: &Descriptor,
    value: &Descriptor,
    term: &Descriptor,
    to: &Descriptor,
) -> Result<Descriptor, CallFailure> {
    Descriptor::new(DescriptorType::CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR)?
        .with_descriptors(
            Attribute::CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR,
            &[add],
        )?
        .with_descriptors(Attribute::CUDNN_ATTR_OPERATION_POINTWISE_XDESC, &[value])?
        .with_descriptors(Attribute::CUDNN_ATTR_OPERATION_POINTWISE_BDESC, &[term])?
        .with_descriptors(Attribute::CUDNN_ATTR_OPERATION_POINTWISE_YDESC, &[to])?
        .finalised()
}
