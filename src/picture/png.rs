//! Encodes pictures as PNG files. The same picture and note give the same bytes.

use std::io::Cursor;

use super::{Channels, Picture, Samples};

/// Keyword of the text chunk that holds the note on how the picture was made.
pub const KEYWORD: &str = "dragnext";

impl Picture {
    /// Encodes the picture as a PNG file with `note` in a text chunk.
    ///
    /// # Errors
    /// Those of the encoder; a picture that was read can always be encoded.
    pub fn png(&self, note: Option<&str>) -> Result<Vec<u8>, png::EncodingError> {
        let mut info = png::Info::with_size(self.size.width as u32, self.size.height as u32);
        info.color_type = match self.channels {
            Channels::Grey => png::ColorType::Grayscale,
            Channels::GreyAlpha => png::ColorType::GrayscaleAlpha,
            Channels::Rgb => png::ColorType::Rgb,
            Channels::Rgba => png::ColorType::Rgba,
        };
        info.bit_depth = if self.is_sixteen_bit() {
            png::BitDepth::Sixteen
        } else {
            png::BitDepth::Eight
        };
        info.icc_profile = self.icc.as_deref().map(Into::into);
        info.utf8_text
            .extend(note.map(|note| png::text_metadata::ITXtChunk::new(KEYWORD, note)));

        let mut bytes = Vec::new();
        let mut writer = png::Encoder::with_info(&mut bytes, info)?.write_header()?;
        for (name, content) in self.carried.iter().chain(&self.metadata.chunks()) {
            writer.write_chunk(png::chunk::ChunkType(*name), content)?;
        }
        match &self.samples {
            Samples::Eight(samples) => writer.write_image_data(samples)?,
            Samples::Sixteen(samples) => {
                let big_endian: Vec<u8> = samples
                    .iter()
                    .flat_map(|sample| sample.to_be_bytes())
                    .collect();
                writer.write_image_data(&big_endian)?;
            }
        }
        writer.finish()?;
        Ok(bytes)
    }

    /// Decodes `bytes` and compares every sample with this picture.
    ///
    /// # Errors
    /// A description of the difference, or the error of the decoder.
    pub fn check_png(&self, bytes: &[u8]) -> Result<(), String> {
        let mut reader = png::Decoder::new(Cursor::new(bytes))
            .read_info()
            .map_err(|error| error.to_string())?;
        let mut decoded = vec![
            0;
            reader
                .output_buffer_size()
                .ok_or("the decoded picture is too large")?
        ];
        let frame = reader
            .next_frame(&mut decoded)
            .map_err(|error| error.to_string())?;
        if (frame.width as usize, frame.height as usize) != (self.size.width, self.size.height) {
            return Err(format!("decodes as {} x {}", frame.width, frame.height));
        }
        let is_equal = match &self.samples {
            Samples::Eight(samples) => decoded == *samples,
            Samples::Sixteen(samples) => {
                decoded.len() == samples.len() * 2
                    && decoded
                        .chunks_exact(2)
                        .zip(samples)
                        .all(|(pair, sample)| pair == sample.to_be_bytes())
            }
        };
        if is_equal {
            Ok(())
        } else {
            Err("decodes to other pixels".into())
        }
    }
}
