//! Reads a safetensors file tensor by tensor.
//!
//! The whole header is checked when the file is opened. Only the requested tensor is in memory. The file is not memory-mapped, so a file
//! that another process truncates cannot crash this one.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use rayon::prelude::*;
use safetensors::Dtype;
use safetensors::tensor::Metadata;
use sha2::{Digest, Sha256};

use super::source::{ReadSeek, not_the_file};
use crate::digest::hexadecimal;
use crate::error::{Error, ErrorKind, Result};
use crate::failpoint;
use crate::files::Stamp;
use crate::files::content::{Content, RECOGNISABLE};

/// Values of one parallel conversion.
const CHUNK: usize = 1 << 16;

/// Largest header of the format.
const MAX_HEADER: u64 = 100_000_000;

/// An open file whose header matches its length.
#[derive(Debug)]
pub struct SafetensorsFile {
    location: String,
    file: Box<dyn ReadSeek>,
    metadata: Metadata,
    start: u64,
    digest: Sha256,
    stamp: Option<Stamp>,
}

impl SafetensorsFile {
    /// Reads and checks the header. `location` names the file in messages.
    ///
    /// # Errors
    /// [`Error::Weights`] `weights.damaged` when the header is invalid or does not match the length of the file.
    pub fn open(location: String, mut file: Box<dyn ReadSeek>) -> Result<Self> {
        let stamp = file.stamp();
        let header = read_header(&mut file);
        failpoint::wait_for_stdin("header_read");
        match header {
            Ok((metadata, start, bytes)) => Ok(Self {
                location,
                file,
                metadata,
                start,
                digest: Sha256::new().chain_update(&bytes),
                stamp,
            }),
            Err(reason) => Err(match recognised(&mut file) {
                Some(found) => not_the_file(location, found),
                None => damaged(&location, reason),
            }),
        }
    }

    /// Returns the name of the file in messages.
    pub fn location(&self) -> &str {
        &self.location
    }

    /// Returns the names and shapes of all tensors.
    pub fn shapes(&self) -> BTreeMap<String, Vec<usize>> {
        self.metadata
            .tensors()
            .into_iter()
            .map(|(name, info)| (name, info.shape.clone()))
            .collect()
    }

    /// Returns the `__metadata__` of the header.
    pub fn metadata(&self) -> BTreeMap<String, String> {
        self.metadata
            .metadata()
            .iter()
            .flatten()
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    /// Reads a tensor and converts it to f32.
    ///
    /// # Errors
    /// [`Error::Weights`] when there is no such tensor, its type is not F32, F16 or BF16, or the file cannot be read.
    pub fn read(&mut self, name: &str) -> Result<Vec<f32>> {
        let info = self
            .metadata
            .info(name)
            .ok_or_else(|| damaged(&self.location, format!("tensor `{name}` is missing")))?;
        let (from, to) = info.data_offsets;
        let dtype = info.dtype;
        let mut bytes = vec![0; to - from];
        let read = self
            .file
            .seek(SeekFrom::Start(self.start + from as u64))
            .and_then(|_| self.file.read_exact(&mut bytes));
        read.map_err(|error| damaged(&self.location, format!("tensor `{name}`: {error}")))?;
        let Some(widen) = widening(dtype) else {
            return Err(Error::Weights {
                path: self.location.clone(),
                kind: ErrorKind::WeightsMismatch,
                reason: format!("tensor `{name}` is {dtype:?}; supported are F32, F16 and BF16"),
                hint: "convert the file to one of these types".into(),
            });
        };
        let mut values = vec![0.0; bytes.len() / (dtype.bitsize() / 8)];
        let hash = || {
            self.digest.update(name.as_bytes());
            self.digest.update(&bytes);
        };
        rayon::join(hash, || {
            let narrow = CHUNK * dtype.bitsize() / 8;
            values
                .par_chunks_mut(CHUNK)
                .zip(bytes.par_chunks(narrow))
                .for_each(|(values, bytes)| widen(bytes, values));
        });
        Ok(values)
    }

    /// Checks that the file was not modified since it was opened. Replacing it by another file does no harm, because this one stays open.
    ///
    /// # Errors
    /// [`Error::Weights`] `weights.damaged` when it was modified.
    pub fn check_unchanged(&self) -> Result<()> {
        if self.file.stamp() == self.stamp {
            Ok(())
        } else {
            Err(damaged(
                &self.location,
                "the file was modified while it was read".into(),
            ))
        }
    }

    /// Returns the SHA-256, in hexadecimal, of the header and of all tensors read so far, in reading order.
    pub fn digest(&self) -> String {
        hexadecimal(&self.digest.clone().finalize())
    }
}

/// Converts little-endian bytes to f32.
type Widen = fn(&[u8], &mut [f32]);

/// Returns the conversion from a type to f32; `None` if it is not supported.
fn widening(dtype: Dtype) -> Option<Widen> {
    match dtype {
        Dtype::F32 => Some(|bytes, values| {
            bytes
                .chunks_exact(4)
                .zip(values)
                .for_each(|(b, value)| *value = f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        }),
        Dtype::F16 => Some(|bytes, values| {
            let mut narrow = [f16::ZERO; 256];
            for (bytes, values) in bytes.chunks(512).zip(values.chunks_mut(256)) {
                bytes
                    .chunks_exact(2)
                    .zip(&mut narrow)
                    .for_each(|(b, half)| *half = f16::from_le_bytes([b[0], b[1]]));
                narrow[..values.len()].convert_to_f32_slice(values);
            }
        }),
        Dtype::BF16 => Some(|bytes, values| {
            bytes
                .chunks_exact(2)
                .zip(values)
                .for_each(|(b, value)| *value = bf16::from_le_bytes([b[0], b[1]]).to_f32());
        }),
        _ => None,
    }
}

fn damaged(location: &str, reason: String) -> Error {
    Error::Weights {
        path: location.into(),
        kind: ErrorKind::WeightsDamaged,
        reason,
        hint: "the file is incomplete or damaged; download it again".into(),
    }
}

/// Returns what a file without a valid header is, if it is one of a few things that are often given.
fn recognised(file: &mut Box<dyn ReadSeek>) -> Option<Content> {
    let mut start = Vec::new();
    file.seek(SeekFrom::Start(0)).ok()?;
    file.take(RECOGNISABLE as u64)
        .read_to_end(&mut start)
        .ok()?;
    Content::of(&start)
}

fn read_header(
    file: &mut Box<dyn ReadSeek>,
) -> std::result::Result<(Metadata, u64, Vec<u8>), String> {
    let length = file
        .seek(SeekFrom::End(0))
        .map_err(|error| error.to_string())?;
    file.seek(SeekFrom::Start(0))
        .map_err(|error| error.to_string())?;
    let mut prefix = [0; 8];
    file.read_exact(&mut prefix)
        .map_err(|_| format!("{length} bytes are too few for a safetensors file"))?;
    let header = u64::from_le_bytes(prefix);
    if header > MAX_HEADER {
        return Err(format!(
            "it is not a safetensors file: its first bytes would be a header of {header} bytes"
        ));
    }
    if header + 8 > length {
        return Err(format!(
            "its header has {header} bytes, the file has {length}"
        ));
    }
    let mut bytes = vec![0; header as usize];
    file.read_exact(&mut bytes)
        .map_err(|error| error.to_string())?;
    let metadata: Metadata = serde_json::from_slice(&bytes)
        .map_err(|error| format!("its header is invalid: {error}"))?;
    let expected = 8 + header + metadata.data_len() as u64;
    if expected != length {
        return Err(format!(
            "its header describes {expected} bytes, the file has {length}"
        ));
    }
    Ok((metadata, 8 + header, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_16_bit_value_is_converted_exactly() {
        // All values, and a part of a chunk.
        let all: Vec<u16> = (0..=u16::MAX).chain(0..257).collect();
        let bytes: Vec<u8> = all.iter().flat_map(|bits| bits.to_le_bytes()).collect();
        for (dtype, expected) in [
            (
                Dtype::F16,
                (|bits| f16::from_bits(bits).to_f32()) as fn(u16) -> f32,
            ),
            (Dtype::BF16, |bits| bf16::from_bits(bits).to_f32()),
        ] {
            let mut values = vec![0.0; all.len()];
            widening(dtype).expect("a supported type")(&bytes, &mut values);
            for (bits, value) in all.iter().zip(values) {
                let expected = expected(*bits);
                assert!(
                    value == expected || (value.is_nan() && expected.is_nan()),
                    "{dtype:?} {bits:#06x}: {value}, not {expected}"
                );
            }
        }
    }
}
