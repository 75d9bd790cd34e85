//! One entry: a safetensors file that is named by its key and holds the hash of its numbers.

use std::collections::{BTreeMap, HashMap};

use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::digest::{hexadecimal, sha256};

const EXTENSION: &str = ".safetensors";
/// Digits of a key.
const KEY: usize = 64;

/// What an entry holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The parameters of a LoRA.
    Lora,
    /// A picture's latent, and what its inversion came to.
    Inversion,
}

impl Kind {
    /// Its name in files and lists.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lora => "lora",
            Self::Inversion => "inversion",
        }
    }
}

/// What an entry is called.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// What it holds.
    pub kind: Kind,
    /// SHA-256 of all that decides its numbers.
    pub key: String,
}

impl Name {
    /// The name of what these facts decide.
    ///
    /// # Panics
    /// When they cannot be written as JSON, which holds for no text and no number.
    pub fn of(kind: Kind, facts: &impl Serialize) -> Self {
        Self {
            kind,
            key: sha256(&serde_json::to_vec(facts).expect("facts are text and numbers")),
        }
    }

    /// The name of its file.
    pub fn file(&self) -> String {
        format!("{}-{}{EXTENSION}", self.kind.name(), self.key)
    }

    /// The entry that a file of this name is; `None` for anybody else's files.
    pub fn parse(file: &str) -> Option<Self> {
        let (kind, key) = file.strip_suffix(EXTENSION)?.split_once('-')?;
        let kind = [Kind::Lora, Kind::Inversion]
            .into_iter()
            .find(|known| known.name() == kind)?;
        let is_key = key.len() == KEY
            && key
                .bytes()
                .all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        is_key.then(|| Self {
            kind,
            key: key.to_owned(),
        })
    }
}

/// What a list tells of an entry beside its name and its size.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// SHA-256 of the working picture.
    pub picture: String,
    /// Width and height of the working picture.
    pub size: [usize; 2],
    /// When it was made: seconds since 1970.
    pub made: u64,
}

impl About {
    /// What the notes of an entry say; what they do not is left empty.
    pub(super) fn read(notes: &BTreeMap<String, String>) -> Self {
        let note = |name: &str| notes.get(name).cloned().unwrap_or_default();
        let size = note("size");
        let (width, height) = size.split_once('x').unwrap_or_default();
        let number = |text: &str| text.parse().unwrap_or_default();
        Self {
            picture: note("picture"),
            size: [number(width), number(height)],
            made: note("made").parse().unwrap_or_default(),
        }
    }
}

/// Numbers with their name.
pub(super) type Numbers<'a> = (&'static str, &'a [f32]);

/// The bytes of an entry.
///
/// # Errors
/// Why they are no safetensors file.
pub(super) fn encode(name: &Name, about: &About, tensors: &[Numbers]) -> Result<Vec<u8>, String> {
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, numbers)| {
            numbers
                .iter()
                .flat_map(|number| number.to_le_bytes())
                .collect()
        })
        .collect();
    let named = || {
        tensors
            .iter()
            .map(|(tensor, _)| *tensor)
            .zip(bytes.iter().map(Vec::as_slice))
    };
    let [width, height] = about.size;
    let notes: HashMap<String, String> = [
        ("kind", name.kind.name().to_owned()),
        ("key", name.key.clone()),
        ("sha256", digest(name, named())),
        ("picture", about.picture.clone()),
        ("size", format!("{width}x{height}")),
        ("made", about.made.to_string()),
    ]
    .map(|(note, text)| (note.to_owned(), text))
    .into();
    let views: Result<Vec<_>, _> = named()
        .map(|(tensor, bytes)| {
            Ok((
                tensor,
                TensorView::new(Dtype::F32, vec![bytes.len() / 4], bytes)?,
            ))
        })
        .collect();
    let all = views.and_then(|views| serialize(views, Some(notes)));
    all.map_err(|error: safetensors::SafeTensorError| error.to_string())
}

/// The numbers of an entry: of each name as many as are asked for.
///
/// # Errors
/// Why these bytes are not what was kept under this name.
pub(super) fn decode(
    name: &Name,
    bytes: &[u8],
    wanted: &[(&'static str, usize)],
) -> Result<Vec<Vec<f32>>, String> {
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| error.to_string())?;
    let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
    let mut found = Vec::new();
    for (tensor, len) in wanted {
        let view = file.tensor(tensor).map_err(|error| error.to_string())?;
        if view.dtype() != Dtype::F32 || view.data().len() != 4 * len {
            return Err(format!("`{tensor}` does not hold {len} numbers"));
        }
        found.push((*tensor, view.data()));
    }
    let expected = metadata
        .metadata()
        .as_ref()
        .and_then(|notes| notes.get("sha256"));
    if file.len() != wanted.len() || expected != Some(&digest(name, found.iter().copied())) {
        return Err("its content does not have the hash that was written with it".into());
    }
    let numbers = |bytes: &[u8]| {
        bytes
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect()
    };
    Ok(found.into_iter().map(|(_, bytes)| numbers(bytes)).collect())
}

/// SHA-256 over the name and the numbers: an entry under another's name is as good as damaged.
fn digest<'a>(name: &Name, tensors: impl Iterator<Item = (&'static str, &'a [u8])>) -> String {
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

    fn name(facts: &str) -> Name {
        Name::of(Kind::Inversion, &facts)
    }

    fn encoded() -> Vec<u8> {
        let about = About {
            picture: "ab".into(),
            size: [24, 16],
            made: 9,
        };
        encode(
            &name("a"),
            &about,
            &[
                ("clean", &[1.0, -0.0, f32::MIN_POSITIVE]),
                ("inverted", &[2.5]),
            ],
        )
        .expect("two lists of numbers")
    }

    const WANTED: [(&str, usize); 2] = [("clean", 3), ("inverted", 1)];

    #[test]
    fn what_is_kept_comes_back_bit_for_bit() {
        let numbers = decode(&name("a"), &encoded(), &WANTED).expect("nothing happened to it");
        let bits: Vec<u32> = numbers
            .concat()
            .iter()
            .map(|number| number.to_bits())
            .collect();
        assert_eq!(bits, [1.0, -0.0, f32::MIN_POSITIVE, 2.5].map(f32::to_bits));
    }

    /// Notes alone, which decide no number, may change unseen.
    #[test]
    fn no_byte_of_the_numbers_can_change_unseen() {
        let bytes = encoded();
        let numbers = bytes.len() - 16;
        for at in numbers..bytes.len() {
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
    fn an_entry_answers_to_its_own_name_and_shape_alone() {
        assert!(
            decode(&name("b"), &encoded(), &WANTED).is_err(),
            "another key"
        );
        assert!(
            decode(
                &Name {
                    kind: Kind::Lora,
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
    fn names_of_files_are_those_of_entries_and_of_nothing_else() {
        let name = name("a");
        assert_eq!(Name::parse(&name.file()), Some(name.clone()));
        for other in [
            name.key.clone(),
            format!("{}-{}", name.kind.name(), name.key),
            name.file().to_uppercase(),
            "lora-.safetensors".into(),
        ] {
            assert_eq!(Name::parse(&other), None, "{other}");
        }
        assert_eq!(
            Name::parse(&format!("other-{}.safetensors", name.key)),
            None
        );
    }
}
