//! Reads one safetensors file tensor by tensor: the header is checked as a whole, and no more than one tensor is in
//! memory beside what was asked for. Nothing is mapped, so a file that changes underneath cannot end the process.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use rayon::prelude::*;
use safetensors::Dtype;
use safetensors::tensor::Metadata;
use sha2::{Digest, Sha256};

use super::source::ReadSeek;
use crate::digest::hexadecimal;
use crate::error::{Error, ErrorKind, Result};
use crate::failpoint;
use crate::files::Stamp;

/// Numbers that are widened together.
const CHUNK: usize = 1 << 16;

/// The largest header that the format allows.
const MAX_HEADER: u64 = 100_000_000;

/// An open file whose header is known to be consistent with its length.
#[derive(Debug)]
pub struct SafetensorsFile {
    place: String,
    file: Box<dyn ReadSeek>,
    metadata: Metadata,
    start: u64,
    digest: Sha256,
    stamp: Option<Stamp>,
}

impl SafetensorsFile {
    /// Reads and checks the header. `place` names the file in messages.
    ///
    /// # Errors
    /// [`Error::Weights`] `weights.damaged` when the header and the file do not fit together.
    pub fn open(place: String, mut file: Box<dyn ReadSeek>) -> Result<Self> {
        let stamp = file.stamp();
        let header = read_header(&mut file);
        failpoint::wait_for_stdin("header_read");
        match header {
            Ok((metadata, start, bytes)) => Ok(Self {
                place,
                file,
                metadata,
                start,
                digest: Sha256::new().chain_update(&bytes),
                stamp,
            }),
            Err(reason) => Err(damaged(&place, reason)),
        }
    }

    /// How messages name the file.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Names and shapes, sorted by name.
    pub fn shapes(&self) -> BTreeMap<String, Vec<usize>> {
        self.metadata
            .tensors()
            .into_iter()
            .map(|(name, info)| (name, info.shape.clone()))
            .collect()
    }

    /// The free text fields of the header.
    pub fn notes(&self) -> BTreeMap<String, String> {
        self.metadata
            .metadata()
            .iter()
            .flatten()
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    /// The numbers of a tensor as f32.
    ///
    /// # Errors
    /// [`Error::Weights`] when there is no such tensor, its type is no float, or the file cannot be read.
    pub fn read(&mut self, name: &str) -> Result<Vec<f32>> {
        let info = self
            .metadata
            .info(name)
            .ok_or_else(|| damaged(&self.place, format!("tensor `{name}` is missing")))?;
        let (from, to) = info.data_offsets;
        let dtype = info.dtype;
        let mut bytes = vec![0; to - from];
        let read = self
            .file
            .seek(SeekFrom::Start(self.start + from as u64))
            .and_then(|_| self.file.read_exact(&mut bytes));
        read.map_err(|error| damaged(&self.place, format!("tensor `{name}`: {error}")))?;
        let Some(widen) = widening(dtype) else {
            return Err(Error::Weights {
                path: self.place.clone(),
                kind: ErrorKind::WeightsMismatch,
                reason: format!("tensor `{name}` holds {dtype:?}; F32, F16 and BF16 are read"),
                hint: "convert the file to one of these types".into(),
            });
        };
        let mut numbers = vec![0.0; bytes.len() / (dtype.bitsize() / 8)];
        let hash = || {
            self.digest.update(name.as_bytes());
            self.digest.update(&bytes);
        };
        rayon::join(hash, || {
            let narrow = CHUNK * dtype.bitsize() / 8;
            numbers
                .par_chunks_mut(CHUNK)
                .zip(bytes.par_chunks(narrow))
                .for_each(|(numbers, bytes)| widen(bytes, numbers));
        });
        Ok(numbers)
    }

    /// Was the file left alone since it was opened? A file that is replaced by another is no matter, because the old one stays open.
    ///
    /// # Errors
    /// [`Error::Weights`] `weights.damaged` when it was written to.
    pub fn check_unchanged(&self) -> Result<()> {
        if self.file.stamp() == self.stamp {
            Ok(())
        } else {
            Err(damaged(
                &self.place,
                "the file was changed while it was read".into(),
            ))
        }
    }

    /// SHA-256, in hexadecimal, of the header and of what was read so far, in reading order.
    pub fn digest(&self) -> String {
        hexadecimal(&self.digest.clone().finalize())
    }
}

/// Turns the bytes of numbers into numbers.
type Widen = fn(&[u8], &mut [f32]);

/// How numbers of a type become f32.
fn widening(dtype: Dtype) -> Option<Widen> {
    match dtype {
        Dtype::F32 => Some(|bytes, numbers| {
            bytes
                .chunks_exact(4)
                .zip(numbers)
                .for_each(|(b, number)| *number = f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        }),
        Dtype::F16 => Some(|bytes, numbers| {
            let mut narrow = [f16::ZERO; 256];
            for (bytes, numbers) in bytes.chunks(512).zip(numbers.chunks_mut(256)) {
                bytes
                    .chunks_exact(2)
                    .zip(&mut narrow)
                    .for_each(|(b, half)| *half = f16::from_le_bytes([b[0], b[1]]));
                narrow[..numbers.len()].convert_to_f32_slice(numbers);
            }
        }),
        Dtype::BF16 => Some(|bytes, numbers| {
            bytes
                .chunks_exact(2)
                .zip(numbers)
                .for_each(|(b, number)| *number = bf16::from_le_bytes([b[0], b[1]]).to_f32());
        }),
        _ => None,
    }
}

fn damaged(place: &str, reason: String) -> Error {
    Error::Weights {
        path: place.into(),
        kind: ErrorKind::WeightsDamaged,
        reason,
        hint: "the file is incomplete or damaged: get it again and check its size".into(),
    }
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
            "its header claims {header} bytes; at most {MAX_HEADER} are allowed"
        ));
    }
    if header + 8 > length {
        return Err(format!(
            "its header claims {header} bytes, the file has {length}"
        ));
    }
    let mut bytes = vec![0; header as usize];
    file.read_exact(&mut bytes)
        .map_err(|error| error.to_string())?;
    let metadata: Metadata =
        serde_json::from_slice(&bytes).map_err(|error| format!("its header is broken: {error}"))?;
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
    fn every_half_becomes_the_same_number() {
        // All of them, and a part of a chunk.
        let all: Vec<u16> = (0..=u16::MAX).chain(0..257).collect();
        let bytes: Vec<u8> = all.iter().flat_map(|bits| bits.to_le_bytes()).collect();
        for (dtype, expected) in [
            (
                Dtype::F16,
                (|bits| f16::from_bits(bits).to_f32()) as fn(u16) -> f32,
            ),
            (Dtype::BF16, |bits| bf16::from_bits(bits).to_f32()),
        ] {
            let mut numbers = vec![0.0; all.len()];
            widening(dtype).expect("it is read")(&bytes, &mut numbers);
            for (bits, number) in all.iter().zip(numbers) {
                let expected = expected(*bits);
                assert!(
                    number == expected || (number.is_nan() && expected.is_nan()),
                    "{dtype:?} {bits:#06x}: {number}, not {expected}"
                );
            }
        }
    }
}
