//! One cache entry: a safetensors file that is named by its key and holds the hash of its values.

use std::collections::{BTreeMap, HashMap};

use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::digest::{hexadecimal, sha256};

const EXTENSION: &str = ".safetensors";
/// Hexadecimal digits of a key.
const KEY_DIGITS: usize = 64;

/// What an entry holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryKind {
    /// The parameters of a LoRA.
    Lora,
    /// A picture's latent and its inversion.
    Inversion,
}

impl EntryKind {
    /// Returns the name that files and listings use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lora => "lora",
            Self::Inversion => "inversion",
        }
    }
}

/// Identifies an entry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryName {
    /// What it holds.
    pub kind: EntryKind,
    /// SHA-256 of everything that decides its values.
    pub key: String,
}

impl EntryName {
    /// Returns the name of the entry whose values `inputs` decide.
    ///
    /// # Panics
    /// When `inputs` cannot be written as JSON. Text and numbers always can.
    pub fn of(kind: EntryKind, inputs: &impl Serialize) -> Self {
        Self {
            kind,
            key: sha256(&serde_json::to_vec(inputs).expect("inputs are text and numbers")),
        }
    }

    /// Returns the name of its file.
    pub fn file(&self) -> String {
        format!("{}-{}{EXTENSION}", self.kind.name(), self.key)
    }

    /// Parses the name of a file; `None` if the file is not an entry.
    pub fn parse(file: &str) -> Option<Self> {
        let (kind, key) = file.strip_suffix(EXTENSION)?.split_once('-')?;
        let kind = [EntryKind::Lora, EntryKind::Inversion]
            .into_iter()
            .find(|known| known.name() == kind)?;
        let is_key = key.len() == KEY_DIGITS
            && key
                .bytes()
                .all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        is_key.then(|| Self {
            kind,
            key: key.to_owned(),
        })
    }
}

/// Metadata of an entry, for listings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EntryInfo {
    /// SHA-256 of the working picture.
    pub picture: String,
    /// Width and height of the working picture.
    pub size: [usize; 2],
    /// When it was written, in seconds since 1970.
    pub made: u64,
}

impl EntryInfo {
    /// Reads the metadata in the header of an entry; absent values are left empty.
    pub(super) fn read(header: &BTreeMap<String, String>) -> Self {
        let text = |name: &str| header.get(name).cloned().unwrap_or_default();
        let size = text("size");
        let (width, height) = size.split_once('x').unwrap_or_default();
        let number = |text: &str| text.parse().unwrap_or_default();
        Self {
            picture: text("picture"),
            size: [number(width), number(height)],
            made: text("made").parse().unwrap_or_default(),
        }
    }
}

/// A tensor's name and values.
pub(super) type NamedValues<'a> = (&'static str, &'a [f32]);

/// A tensor's name and the number of its values.
pub(super) type NamedLength = (&'static str, usize);

/// Writes an entry as the bytes of a safetensors file.
///
/// # Errors
/// The reason, if safetensors rejects the tensors.
pub(super) fn encode(
    name: &EntryName,
    info: &EntryInfo,
    tensors: &[NamedValues],
) -> Result<Vec<u8>, String> {
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, values)| {
            values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect()
        })
        .collect();
    let named = || {
        tensors
            .iter()
            .map(|(tensor, _)| *tensor)
            .zip(bytes.iter().map(Vec::as_slice))
    };
    let [width, height] = info.size;
    let header: HashMap<String, String> = [
        ("kind", name.kind.name().to_owned()),
        ("key", name.key.clone()),
        ("sha256", digest(name, named())),
        ("picture", info.picture.clone()),
        ("size", format!("{width}x{height}")),
        ("made", info.made.to_string()),
    ]
    .map(|(key, text)| (key.to_owned(), text))
    .into();
    let views: Result<Vec<_>, _> = named()
        .map(|(tensor, bytes)| {
            Ok((
                tensor,
                TensorView::new(Dtype::F32, vec![bytes.len() / 4], bytes)?,
            ))
        })
        .collect();
    let file = views.and_then(|views| serialize(views, Some(header)));
    file.map_err(|error: safetensors::SafeTensorError| error.to_string())
}

/// Reads the tensors `wanted` of an entry, in that order. The entry must hold exactly these.
///
/// # Errors
/// The reason, if these bytes are not what was written under this name.
pub(super) fn decode(
    name: &EntryName,
    bytes: &[u8],
    wanted: &[NamedLength],
) -> Result<Vec<Vec<f32>>, String> {
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| error.to_string())?;
    let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
    let mut found = Vec::new();
    for (tensor, len) in wanted {
        let view = file.tensor(tensor).map_err(|error| error.to_string())?;
        if view.dtype() != Dtype::F32 || view.data().len() != 4 * len {
            return Err(format!("`{tensor}` does not hold {len} values"));
        }
        found.push((*tensor, view.data()));
    }
    let expected = metadata
        .metadata()
        .as_ref()
        .and_then(|header| header.get("sha256"));
    if file.len() != wanted.len() || expected != Some(&digest(name, found.iter().copied())) {
        return Err("its content does not match the hash in its header".into());
    }
    let values = |bytes: &[u8]| {
        bytes
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect()
    };
    Ok(found.into_iter().map(|(_, bytes)| values(bytes)).collect())
}

/// Returns the SHA-256 of the name and the values. The name is included so that a renamed entry counts as damaged.
fn digest<'a>(name: &EntryName, tensors: impl Iterator<Item = (&'static str, &'a [u8])>) -> String {
    let mut hash = Sha256::new().chain_update(name.file());
    for (tensor, bytes) in tensors {
        hash.update(format!("\n{tensor} {}\n", bytes.len()));
        hash.update(bytes);
    }
    hexadecimal(&hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(inputs: &str) -> EntryName {
        EntryName::of(EntryKind::Inversion, &inputs)
    }

    fn encoded() -> Vec<u8> {
        let info = EntryInfo {
            picture: "ab".into(),
            size: [24, 16],
            made: 9,
        };
        encode(
            &name("a"),
            &info,
            &[
                ("clean", &[1.0, -0.0, f32::MIN_POSITIVE]),
                ("inverted", &[2.5]),
            ],
        )
        .expect("two tensors")
    }

    const WANTED: [NamedLength; 2] = [("clean", 3), ("inverted", 1)];

    #[test]
    fn values_are_read_bit_for_bit() {
        let values = decode(&name("a"), &encoded(), &WANTED).expect("intact");
        let bits: Vec<u32> = values
            .concat()
            .iter()
            .map(|value| value.to_bits())
            .collect();
        assert_eq!(bits, [1.0, -0.0, f32::MIN_POSITIVE, 2.5].map(f32::to_bits));
    }

    /// The metadata for listings is not hashed.
    #[test]
    fn every_changed_value_and_every_truncation_is_detected() {
        let bytes = encoded();
        let values = bytes.len() - 16;
        for at in values..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(decode(&name("a"), &damaged, &WANTED).is_err(), "byte {at}");
        }
        for length in 0..bytes.len() {
            assert!(
                decode(&name("a"), &bytes[..length], &WANTED).is_err(),
                "{length} bytes"
            );
        }
        assert!(
            decode(&name("a"), &[bytes.as_slice(), &[0]].concat(), &WANTED).is_err(),
            "one byte more"
        );
    }

    #[test]
    fn an_entry_is_read_only_under_its_own_name_and_with_its_own_tensors() {
        assert!(
            decode(&name("b"), &encoded(), &WANTED).is_err(),
            "another key"
        );
        assert!(
            decode(
                &EntryName {
                    kind: EntryKind::Lora,
                    ..name("a")
                },
                &encoded(),
                &WANTED
            )
            .is_err(),
            "another kind"
        );
        assert!(
            decode(&name("a"), &encoded(), &[("clean", 2), ("inverted", 2)]).is_err(),
            "other lengths"
        );
        assert!(
            decode(&name("a"), &encoded(), &WANTED[..1]).is_err(),
            "fewer tensors"
        );
        assert!(
            decode(&name("a"), &encoded(), &[("other", 3), ("inverted", 1)]).is_err(),
            "another tensor"
        );
    }

    #[test]
    fn only_file_names_of_entries_parse() {
        let name = name("a");
        assert_eq!(EntryName::parse(&name.file()), Some(name.clone()));
        for other in [
            name.key.clone(),
            format!("{}-{}", name.kind.name(), name.key),
            name.file().to_uppercase(),
            "lora-.safetensors".into(),
        ] {
            assert_eq!(EntryName::parse(&other), None, "{other}");
        }
        assert_eq!(
            EntryName::parse(&format!("other-{}.safetensors", name.key)),
            None
        );
    }
}
