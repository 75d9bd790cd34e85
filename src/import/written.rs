//! The files of one sample: its drag file as text, and its masks as PNG files.

use std::io;

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

use super::sample::Sample;
use crate::drag_file::{Drag, DragRegion, Editable};
use crate::error::{Error, Result};
use crate::geometry::PointPair;
use crate::mask::Mask;
use crate::method::Method;

/// A drag file with its comments.
#[derive(Serialize)]
struct WrittenDrag<'a> {
    comment: Vec<&'a str>,
    version: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'static str>,
    prompt: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    edit_prompt: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    editable: Option<&'a Editable>,
    regions: Vec<WrittenRegion<'a>>,
    /// Handle and target of points that a metric compares.
    #[serde(rename = "x-points", skip_serializing_if = "Vec::is_empty")]
    points: Vec<[[f64; 2]; 2]>,
}

#[derive(Serialize)]
struct WrittenRegion<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    comment: Vec<&'a str>,
    #[serde(flatten)]
    drag: &'a Drag,
}

/// Returns the text of the sample's drag file; `source` is a sentence on where it comes from.
pub(super) fn drag_file(sample: &Sample, source: &str) -> Result<String> {
    let about = |region: Option<&str>| -> Vec<&str> {
        let choices = sample.choices.iter();
        choices
            .filter(|choice| choice.region.as_deref() == region)
            .map(|choice| &*choice.message)
            .collect()
    };
    let written = WrittenDrag {
        comment: std::iter::once(source).chain(about(None)).collect(),
        version: 1,
        method: sample.method.map(Method::name),
        prompt: &sample.prompt,
        edit_prompt: sample.edit_prompt.as_deref(),
        editable: Some(&sample.editable).filter(|editable| **editable != Editable::Swept),
        regions: sample
            .regions
            .iter()
            .map(|DragRegion { id, drag }| WrittenRegion {
                id,
                comment: about(Some(id)),
                drag,
            })
            .collect(),
        points: sample
            .points
            .iter()
            .map(|PointPair { handle, target }| [(*handle).into(), (*target).into()])
            .collect(),
    };
    let mut text = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut text, Layout::default());
    written
        .serialize(&mut serializer)
        .map_err(|error| Error::Bug(error.to_string()))?;
    text.push(b'\n');
    String::from_utf8(text).map_err(|error| Error::Bug(error.to_string()))
}

/// Encodes a mask as a PNG of one bit per pixel, white inside.
pub(super) fn mask_png(mask: &Mask) -> std::result::Result<Vec<u8>, png::EncodingError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, mask.width as u32, mask.height as u32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    let packed: Vec<u8> = mask
        .data
        .chunks(mask.width)
        .flat_map(|row| row.chunks(8))
        .map(|pixels| {
            let bits = pixels.iter().enumerate();
            bits.fold(0, |byte, (index, inside)| {
                byte | u8::from(*inside) << (7 - index)
            })
        })
        .collect();
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&packed)?;
    writer.finish()?;
    Ok(bytes)
}

/// The layout of JSON that people edit: two levels of keys and entries on lines of their own, what is deeper on one line.
#[derive(Default)]
struct Layout {
    depth: usize,
    has_value: bool,
}

/// Levels of brackets whose content stands on lines of its own: the file, its lists, and a region.
const LEVELS: usize = 3;

impl Layout {
    fn open(&mut self, writer: &mut (impl io::Write + ?Sized), bracket: u8) -> io::Result<()> {
        self.depth += 1;
        self.has_value = false;
        writer.write_all(&[bracket])
    }

    fn close(&mut self, writer: &mut (impl io::Write + ?Sized), bracket: u8) -> io::Result<()> {
        self.depth -= 1;
        if self.has_value && self.depth < LEVELS {
            self.line(writer)?;
        }
        self.has_value = true;
        writer.write_all(&[bracket])
    }

    fn next(&mut self, writer: &mut (impl io::Write + ?Sized), is_first: bool) -> io::Result<()> {
        if !is_first {
            writer.write_all(b",")?;
        }
        if self.depth <= LEVELS {
            self.line(writer)
        } else if is_first {
            Ok(())
        } else {
            writer.write_all(b" ")
        }
    }

    fn line(&self, writer: &mut (impl io::Write + ?Sized)) -> io::Result<()> {
        writer.write_all(b"\n")?;
        (0..self.depth).try_for_each(|_| writer.write_all(b"  "))
    }
}

impl Formatter for Layout {
    fn begin_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.open(writer, b'[')
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.close(writer, b']')
    }

    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.next(writer, first)
    }

    fn end_array_value<W: ?Sized + io::Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.has_value = true;
        Ok(())
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.open(writer, b'{')
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.close(writer, b'}')
    }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.next(writer, first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }

    fn end_object_value<W: ?Sized + io::Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.has_value = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drag_file::DragFile;
    use crate::geometry::{Point, Size};
    use crate::import::sample::{Area, PictureSource};
    use crate::warning::WarningKind;

    #[test]
    fn a_drag_file_keeps_regions_and_comments() {
        let mut sample = Sample::new(PictureSource::File("a.png".into()), Size::new(9, 5));
        sample.prompt = "a \"cat\"\n".into();
        let mut mask = Mask::filled(Size::new(9, 5), false);
        mask.data[13] = true;
        let shape = sample.shape(Area::Mask(mask), "cat");
        let points = PointPair {
            handle: Point::new(4.5, 1.5),
            target: Point::new(7.5, 2.0),
        };
        let drag = Drag::Translation {
            shape,
            points,
            angle: None,
        };
        let id = sample.add("cat", drag.clone());
        assert_eq!(sample.add("cat", Drag::Point { points }), "cat-2");
        sample.choose(WarningKind::ImportType, Some(&id), "chosen");
        let text = drag_file(&sample, "from a test").expect("a text");
        let read = DragFile::parse(text.as_bytes()).unwrap_or_else(|faults| panic!("{faults:?}"));
        assert_eq!((&read.prompt, read.regions.len()), (&sample.prompt, 2));
        assert_eq!(read.regions[0].drag, drag);
        assert!(text.contains("\"handle\": [4.5, 1.5]"), "{text}");
        assert!(text.contains("\"comment\": [\"chosen\"]"), "{text}");
    }

    #[test]
    fn a_mask_keeps_every_pixel() {
        let folder = tempfile::tempdir().expect("a folder");
        for width in [1, 7, 8, 9, 64] {
            let size = Size::new(width, 3);
            let mask = Mask {
                width,
                height: 3,
                data: (0..size.area()).map(|index| index % 3 == 0).collect(),
            };
            let path = folder.path().join("mask.png");
            std::fs::write(&path, mask_png(&mask).expect("a PNG")).expect("a file");
            assert_eq!(Mask::read(&path, size).expect("a mask"), mask);
        }
    }
}
