//! The picture module of the library: reading, working copies, compositing, and rejected files.

mod files;
mod working_copies;

use dragnext::geometry::Size;
use dragnext::picture::{self, Picture};
use png::{BitDepth, ColorType};

use crate::bench::Bench;
use crate::bench::pictures::noise;

pub(super) fn read(bench: &Bench, name: &str, bytes: &[u8]) -> Picture {
    let read = picture::read(&bench.write(name, bytes));
    read.expect("the picture is valid").picture
}

/// Returns the kind of the error from reading `bytes`.
pub(super) fn error_kind(bytes: &[u8]) -> &'static str {
    let bench = Bench::new();
    let error = picture::read(&bench.write("rejected", bytes));
    error.expect_err("the picture is rejected").kind().name()
}

pub(super) struct File {
    pub(super) size: (u32, u32),
    pub(super) color: ColorType,
    pub(super) depth: BitDepth,
    pub(super) icc: Option<&'static [u8]>,
    pub(super) exif: Option<Vec<u8>>,
}

impl File {
    pub(super) fn new(width: u32, height: u32, color: ColorType, depth: BitDepth) -> Self {
        Self {
            size: (width, height),
            color,
            depth,
            icc: None,
            exif: None,
        }
    }

    /// Returns pseudo-random samples.
    pub(super) fn data(&self) -> Vec<u8> {
        let depth = if self.depth == BitDepth::Sixteen {
            2
        } else {
            1
        };
        let length = self.size.0 as usize * self.size.1 as usize * self.color.samples() * depth;
        noise(length)
    }

    pub(super) fn encode(&self, data: &[u8]) -> Vec<u8> {
        let mut info = png::Info::with_size(self.size.0, self.size.1);
        (info.color_type, info.bit_depth) = (self.color, self.depth);
        info.icc_profile = self.icc.map(Into::into);
        info.exif_metadata = self.exif.clone().map(Into::into);
        let mut bytes = Vec::new();
        let mut writer = png::Encoder::with_info(&mut bytes, info)
            .expect("the header is valid")
            .write_header()
            .expect("writing to memory succeeds");
        writer
            .write_image_data(data)
            .expect("the data fits the header");
        writer.finish().expect("writing to memory succeeds");
        bytes
    }
}

pub(super) const KINDS: [(ColorType, BitDepth); 8] = [
    (ColorType::Grayscale, BitDepth::Eight),
    (ColorType::GrayscaleAlpha, BitDepth::Eight),
    (ColorType::Rgb, BitDepth::Eight),
    (ColorType::Rgba, BitDepth::Eight),
    (ColorType::Grayscale, BitDepth::Sixteen),
    (ColorType::GrayscaleAlpha, BitDepth::Sixteen),
    (ColorType::Rgb, BitDepth::Sixteen),
    (ColorType::Rgba, BitDepth::Sixteen),
];

pub(super) const fn size(width: usize, height: usize) -> Size {
    Size { width, height }
}

pub(super) fn decode(bytes: &[u8]) -> (png::Info<'static>, Vec<u8>) {
    let mut reader = png::Decoder::new(std::io::Cursor::new(bytes))
        .read_info()
        .expect("our own PNG");
    let mut data = vec![0; reader.output_buffer_size().expect("small")];
    reader.next_frame(&mut data).expect("our own PNG");
    (reader.info().clone(), data)
}
