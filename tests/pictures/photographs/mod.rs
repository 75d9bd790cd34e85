//! Edits of pictures in every format, orientation, sample type and with every kind of metadata. Outside the edit the samples are kept;
//! files that cannot be edited are rejected with a reason.

mod formats;
mod kept;
mod metadata;
mod orientation;
mod samples;

use png::{BitDepth, ColorType};

use crate::bench::Ended;
use crate::bench::pictures::png::Png;
use crate::bench::pictures::{jpeg, smooth, webp};
use crate::bench::tiny::editable;

pub(super) const WIDTH: usize = 96;
pub(super) const HEIGHT: usize = 80;

pub(super) fn rgb() -> Vec<u8> {
    smooth(WIDTH, HEIGHT, 3)
}

pub(super) fn rgb_png() -> Png {
    Png::encode(WIDTH, HEIGHT, ColorType::Rgb, BitDepth::Eight, &rgb())
}

/// The same picture in each format, lossless where the format permits it.
pub(super) fn formats() -> [(&'static str, Vec<u8>); 6] {
    [
        ("PNG", rgb_png().bytes()),
        ("baseline JPEG", jpeg::RESTARTS.to_vec()),
        ("progressive JPEG", jpeg::PROGRESSIVE.to_vec()),
        ("lossless WebP", webp::encode(WIDTH, HEIGHT, &rgb())),
        ("lossy WebP", webp::LOSSY.to_vec()),
        ("lossy WebP with alpha", webp::LOSSY_ALPHA.to_vec()),
    ]
}

pub(super) fn assert_rejected(run: &Ended, kind: &str, what: &str) {
    assert_eq!(
        (run.status, run.kind()),
        (Some(2), kind),
        "{what}: {}",
        run.stderr
    );
    assert!(!run.stderr.contains("panicked"), "{what}: {}", run.stderr);
}

/// Asserts that pixels, with their alpha, change only inside the editable area. A pixel has `size` bytes.
pub(super) fn assert_only_inside_changed(
    before: &[u8],
    after: &[u8],
    (width, height): (usize, usize),
    size: usize,
) {
    assert_eq!(before.len(), after.len());
    let [left, top, right, bottom] = editable(width, height);
    let mut changed = 0;
    for (index, (before, after)) in before
        .chunks_exact(size)
        .zip(after.chunks_exact(size))
        .enumerate()
    {
        let (x, y) = (index % width, index / width);
        if !((left..right).contains(&x) && (top..bottom).contains(&y)) {
            assert_eq!(before, after, "pixel ({x}, {y}) of {width} x {height}");
        }
        changed += usize::from(before != after);
    }
    assert!(changed > 500, "{changed} pixels changed inside");
}
