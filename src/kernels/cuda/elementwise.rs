//! Elementwise, row-wise and pixel-wise operations.

use super::driver::Format;
use super::memory::{Allocation, Buffer};

/// Returns whether every value is finite.
pub(super) fn all_finite(x: &Buffer) -> bool {
    let gpu = x.gpu();
    let found = Allocation::from_host(gpu, &0u32.to_le_bytes());
    gpu.launch_elementwise(
        &format!("find_non_finite_{}", x.format().name()),
        x.len(),
        &[x.into(), x.len().into(), (&found).into()],
    );
    let mut flag = [0; 4];
    found.read(&mut flag);
    u32::from_le_bytes(flag) == 0
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
