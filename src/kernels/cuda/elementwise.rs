//! Elementwise, row-wise and pixel-wise operations.

use super::driver::{Format, KernelArgument};
use super::memory::Buffer;
use crate::kernels::Sum;

/// Returns a sum that is 0 if every value is finite, else 1.
pub(super) fn non_finite(x: &Buffer) -> Sum<Buffer> {
    let gpu = x.gpu();
    let bits = Buffer::zeros(gpu, size_of::<f64>() / size_of::<f32>());
    let upper_half = KernelArgument::Pointer(bits.address_of(1));
    gpu.launch_elementwise(
        &format!("find_non_finite_{}", x.format().name()),
        x.len(),
        &[x.into(), x.len().into(), upper_half],
    );
    Sum::OnDevice { bits, factor: 1.0 }
}

/// y = a * y + b * x.
pub(super) fn combine(a: f32, y: &mut Buffer, b: f32, x: &Buffer) {
    let (gpu, len, name) = (x.gpu(), y.len(), y.format().name());
    assert_eq!(len, x.len(), "x and y have the same length");
    let converted = (x.format() != y.format()).then(|| x.converted(y.format(), 1.0));
    gpu.launch_elementwise(
        &format!("combine_{name}"),
        len,
        &[
            a.into(),
            y.into(),
            b.into(),
            converted.as_ref().unwrap_or(x).into(),
            len.into(),
        ],
    );
}

/// y = factors[first] * y + factors[first + 1] * x.
pub(super) fn combine_by(factors: &Buffer, first: usize, y: &mut Buffer, x: &Buffer) {
    let len = y.len();
    assert_eq!(len, x.len(), "x and y have the same length");
    assert!(first + 1 < factors.len(), "there are two factors");
    let formats = [factors, y, x].map(Buffer::format);
    assert_eq!(formats, [Format::F32; 3], "latents are f32");
    let factors = KernelArgument::Pointer(factors.address_of(first));
    let arguments = [factors, y.into(), x.into(), len.into()];
    x.gpu().launch_elementwise("combine_by", len, &arguments);
}

/// y (picture) = sum of x over its pictures.
pub(super) fn sum_pictures(x: &Buffer, y: &mut Buffer) {
    let (len, pictures) = (y.len(), x.len() / y.len());
    x.gpu().launch_elementwise(
        &format!("sum_pictures_{}", x.format().name()),
        len,
        &[x.into(), y.into(), len.into(), pictures.into()],
    );
}

/// y = x where the cell's mask is above 0.5.
pub(super) fn select(mask: &Buffer, x: &Buffer, y: &mut Buffer) {
    let (len, channels) = (y.len(), y.len() / mask.len());
    assert_eq!(x.format(), y.format(), "x and y have the same format");
    let arguments = [
        mask.as_format(Format::F32).into(),
        x.into(),
        y.into(),
        channels.into(),
        len.into(),
    ];
    x.gpu()
        .launch_elementwise(&format!("select_{}", x.format().name()), len, &arguments);
}

/// y = x * sigmoid(x).
pub(super) fn silu(x: &Buffer, y: &mut Buffer) {
    let len = y.len();
    x.gpu().launch_elementwise(
        &format!("silu_{}", x.format().name()),
        len,
        &[x.into(), y.into(), len.into()],
    );
}

/// Computes dx of [`silu`].
pub(super) fn silu_backward(x: &Buffer, dy: &Buffer, dx: &mut Buffer) {
    let len = dx.len();
    x.gpu().launch_elementwise(
        &format!("silu_backward_{}", x.format().name()),
        len,
        &[x.into(), dy.into(), dx.into(), len.into()],
    );
}

/// y (rows, h * gelu(gate)) from x (rows, h and gate).
pub(super) fn geglu(channels: usize, x: &Buffer, y: &mut Buffer) {
    let (len, rows) = (y.len(), y.len() / channels);
    x.gpu().launch_elementwise(
        &format!("geglu_{}", x.format().name()),
        len,
        &[x.into(), y.into(), channels.into(), rows.into()],
    );
}

/// Computes dx of [`geglu`].
pub(super) fn geglu_backward(channels: usize, x: &Buffer, dy: &Buffer, dx: &mut Buffer) {
    let (len, rows) = (dy.len(), dy.len() / channels);
    let arguments = [x.into(), dy.into(), dx.into(), channels.into(), rows.into()];
    x.gpu().launch_elementwise(
        &format!("geglu_backward_{}", x.format().name()),
        len,
        &arguments,
    );
}

/// Nearest-neighbour resize of pictures with `channels` channels from (height, width) `from` to
/// `to`.
pub(super) fn upsample(
    channels: usize,
    from: [usize; 2],
    to: [usize; 2],
    x: &Buffer,
    y: &mut Buffer,
) {
    let len = y.len();
    let [from_height, from_width, to_height, to_width] =
        [from[0], from[1], to[0], to[1]].map(Into::into);
    let arguments = [
        x.into(),
        y.into(),
        channels.into(),
        from_height,
        from_width,
        to_height,
        to_width,
        len.into(),
    ];
    x.gpu()
        .launch_elementwise(&format!("upsample_{}", x.format().name()), len, &arguments);
}

/// Computes dx of [`upsample`].
pub(super) fn upsample_backward(
    channels: usize,
    from: [usize; 2],
    to: [usize; 2],
    dy: &Buffer,
    dx: &mut Buffer,
) {
    let len = dx.len();
    let [from_height, from_width, to_height, to_width] =
        [from[0], from[1], to[0], to[1]].map(Into::into);
    let arguments = [
        dy.into(),
        dx.into(),
        channels.into(),
        from_height,
        from_width,
        to_height,
        to_width,
        len.into(),
    ];
    dy.gpu().launch_elementwise(
        &format!("upsample_backward_{}", dy.format().name()),
        len,
        &arguments,
    );
}

/// For every row, y[to..to + count] = x[from..from + count].
pub(super) fn copy_columns(
    count: usize,
    x: &Buffer,
    [x_channels, from]: [usize; 2],
    y: &mut Buffer,
    [y_channels, to]: [usize; 2],
) {
    let (gpu, format) = (x.gpu(), x.format());
    let rows = (x.len() / x_channels).min(y.len() / y_channels);
    assert_eq!(format, y.format(), "x and y have the same format");
    if rows == 1 {
        return gpu.copy(x.address_of(from), y.address_of(to), count * format.bytes());
    }
    let arguments = [
        x.into(),
        x_channels.into(),
        from.into(),
        y.into(),
        y_channels.into(),
        to.into(),
        count.into(),
        rows.into(),
    ];
    gpu.launch_elementwise(
        &format!("copy_columns_{}", format.name()),
        rows * count,
        &arguments,
    );
}
