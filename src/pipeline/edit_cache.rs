//! The cache as one edit sees it, and the keys of its entries: everything that decides the numbers, and nothing else.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::cache::{Cache, EntryInfo, EntryKind, EntryName};
use crate::diffusion::schedule::Grid;
use crate::digest::{self, sha256};
use crate::error::Result;
use crate::geometry::Size;
use crate::settings::{LoraSeed, LoraSettings};
use crate::warning::Warning;

/// A cache that edits share, with everything that decides numbers of any edit with one pipeline.
#[derive(Debug)]
pub(super) struct SharedCache {
    cache: Mutex<Cache>,
    provenance: Provenance,
}

/// Program, device and model that compute the entries.
#[derive(Debug, Clone, Serialize)]
struct Provenance {
    program: String,
    arithmetic: String,
    weights: String,
    configuration: String,
}

/// What the entries of one edit are computed from.
#[derive(Debug, Clone, Serialize)]
struct Subject {
    provenance: Provenance,
    picture: String,
    size: [usize; 2],
    tokens: Vec<u32>,
}

/// Key of a LoRA.
#[derive(Debug, Serialize)]
struct LoraKey<'a> {
    subject: &'a Subject,
    /// With the seed of the training in place of `auto`.
    settings: &'a LoraSettings,
}

/// Key of an inversion. Adapters enter by their numbers, wherever they come from.
#[derive(Debug, Serialize)]
struct InversionKey<'a> {
    subject: &'a Subject,
    /// Hash of the picture that is inverted, where it is not the subject's own.
    warped: Option<String>,
    adapters: &'a str,
    timesteps: &'a [i64],
    stride: i64,
}

impl SharedCache {
    /// Returns `None` where the program cannot read its own file, since another build may round differently.
    pub(super) fn new(
        cache: Cache,
        arithmetic: String,
        weights: String,
        configuration: String,
    ) -> Option<Self> {
        let provenance = Provenance {
            program: digest::program()?.to_owned(),
            arithmetic,
            weights,
            configuration,
        };
        Some(Self {
            cache: cache.into(),
            provenance,
        })
    }

    pub(super) fn cache(&mut self) -> &mut Cache {
        self.cache.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The cache for one edit; without a cache, every look-up misses and nothing is kept.
#[derive(Debug, Clone)]
pub(super) struct EditCache<'a> {
    entry: Option<(&'a Mutex<Cache>, Subject)>,
}

impl<'a> EditCache<'a> {
    /// The cache for an edit of this working picture (padded height, padded width, 3) with this prompt.
    pub(super) fn new(
        shared: Option<&'a SharedCache>,
        picture: &[f32],
        size: Size,
        tokens: &[u32],
    ) -> Self {
        let entry = shared.map(|shared| {
            let subject = Subject {
                provenance: shared.provenance.clone(),
                picture: hash_of(picture),
                size: [size.width, size.height],
                tokens: tokens.to_vec(),
            };
            (&shared.cache, subject)
        });
        Self { entry }
    }

    /// Returns the key of a LoRA trained with these settings from this seed.
    pub(super) fn lora(&self, settings: &LoraSettings, seed: u64) -> Option<EntryName> {
        let (_, subject) = self.entry.as_ref()?;
        let settings = &LoraSettings {
            seed: LoraSeed::Of(seed),
            ..settings.clone()
        };
        let key = LoraKey { subject, settings };
        Some(EntryName::of(EntryKind::Lora, &key))
    }

    /// Returns the key of an inversion along this grid with adapters of this hash in the weights: of the picture, or of `warped` in its
    /// place.
    pub(super) fn inversion(
        &self,
        adapters: &str,
        grid: &Grid,
        warped: Option<&[f32]>,
    ) -> Option<EntryName> {
        let (_, subject) = self.entry.as_ref()?;
        let key = InversionKey {
            subject,
            warped: warped.map(hash_of),
            adapters,
            timesteps: &grid.timesteps,
            stride: grid.stride,
        };
        Some(EntryName::of(EntryKind::Inversion, &key))
    }

    /// Returns the tensors of an entry, each with its name and length, and whether they come from the cache. Those that are not there are
    /// computed and kept; without a key they are only computed.
    ///
    /// # Errors
    /// Those of `compute`.
    pub(super) fn get_or_compute<const N: usize>(
        &self,
        key: Option<EntryName>,
        tensors: [(&'static str, usize); N],
        compute: impl FnOnce() -> Result<[Vec<f32>; N]>,
    ) -> Result<([Vec<f32>; N], bool)> {
        let (Some((cache, subject)), Some(key)) = (&self.entry, key) else {
            return Ok((compute()?, false));
        };
        let found = lock(cache).get(&key, &tensors);
        if let Some(Ok(numbers)) = found.map(<[Vec<f32>; N]>::try_from) {
            return Ok((numbers, true));
        }
        let numbers = compute()?;
        let about = EntryInfo {
            picture: subject.picture.clone(),
            size: subject.size,
            made: 0,
        };
        let named: Vec<(&'static str, &[f32])> = tensors
            .iter()
            .zip(&numbers)
            .map(|((name, _), numbers)| (*name, numbers.as_slice()))
            .collect();
        lock(cache).put(&key, &about, &named);
        Ok((numbers, false))
    }

    pub(super) fn take_warnings(&self) -> Vec<Warning> {
        let warnings = self
            .entry
            .as_ref()
            .map(|(cache, _)| lock(cache).take_warnings());
        warnings.unwrap_or_default()
    }
}

/// Returns the SHA-256 of a picture's numbers.
fn hash_of(picture: &[f32]) -> String {
    let bytes: Vec<u8> = picture
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect();
    sha256(&bytes)
}

fn lock(cache: &Mutex<Cache>) -> MutexGuard<'_, Cache> {
    cache.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the SHA-256 of a LoRA's rank and numbers.
pub(super) fn adapters_hash(rank: usize, parameters: &[f32]) -> String {
    let mut bytes = (rank as u64).to_le_bytes().to_vec();
    bytes.extend(parameters.iter().flat_map(|number| number.to_le_bytes()));
    sha256(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::CacheLocation;

    const PICTURE: [f32; 192] = [0.0; 192];

    fn shared(folder: &std::path::Path) -> SharedCache {
        let cache = Cache::new(CacheLocation {
            folder: folder.into(),
            limit: 1 << 20,
        });
        SharedCache::new(cache, "cpu".into(), "w".into(), "c".into())
            .expect("this program can be read")
    }

    fn grid(timesteps: &[i64], stride: i64) -> Grid {
        Grid {
            timesteps: timesteps.to_vec(),
            stride,
        }
    }

    fn keys(
        shared: &SharedCache,
        picture: &[f32],
        tokens: &[u32],
        settings: &LoraSettings,
        seed: u64,
    ) -> [EntryName; 2] {
        let cache = EditCache::new(Some(shared), picture, Size::new(8, 8), tokens);
        let lora = cache.lora(settings, seed).expect("there is a cache");
        let inversion = cache.inversion("a", &grid(&[21, 1], 20), None);
        [lora, inversion.expect("there is a cache")]
    }

    /// Every change that decides numbers gives a key of its own.
    #[test]
    fn keys_follow_everything_that_decides_the_numbers() {
        let folder = tempfile::tempdir().expect("room for a folder");
        let (tokens, usual) = ([1, 2], LoraSettings::default());
        let first = shared(folder.path());
        let [lora, inversion] = keys(&first, &PICTURE, &tokens, &usual, 0);
        assert_eq!(
            keys(&first, &PICTURE, &tokens, &usual, 0),
            [lora.clone(), inversion.clone()]
        );
        let other_picture = [[1.0].as_slice(), &PICTURE[1..]].concat();
        let mut loras = vec![
            lora,
            keys(&first, &other_picture, &tokens, &usual, 0)[0].clone(),
            keys(&first, &PICTURE, &[1, 3], &usual, 0)[0].clone(),
            keys(&first, &PICTURE, &tokens, &usual, 1)[0].clone(),
        ];
        let changes: [fn(&mut LoraSettings); 4] = [
            |s| s.steps += 1,
            |s| s.rank += 1,
            |s| s.lr *= 2.0,
            |s| s.batch += 1,
        ];
        for change in changes {
            let mut settings = usual.clone();
            change(&mut settings);
            loras.push(keys(&first, &PICTURE, &tokens, &settings, 0)[0].clone());
        }
        let changes: [fn(&mut Provenance); 4] = [
            |p| p.arithmetic.push('x'),
            |p| p.weights.push('x'),
            |p| p.configuration.push('x'),
            |p| p.program.push('x'),
        ];
        let mut inversions = vec![inversion];
        for change in changes {
            let mut shared = shared(folder.path());
            change(&mut shared.provenance);
            let [lora, inversion] = keys(&shared, &PICTURE, &tokens, &usual, 0);
            loras.push(lora);
            inversions.push(inversion);
        }
        let cache = EditCache::new(Some(&first), &PICTURE, Size::new(8, 8), &tokens);
        let others = [
            cache.inversion("", &grid(&[21, 1], 20), None),
            cache.inversion("b", &grid(&[21, 1], 20), None),
            cache.inversion("a", &grid(&[41, 21, 1], 20), None),
            cache.inversion("a", &grid(&[21, 1], 10), None),
            cache.inversion("a", &grid(&[21, 1], 20), Some(&PICTURE)),
            cache.inversion("a", &grid(&[21, 1], 20), Some(&other_picture)),
        ];
        inversions.extend(others.into_iter().flatten());
        assert_eq!((loras.len(), inversions.len()), (12, 11));
        for names in [loras, inversions] {
            for (index, name) in names.iter().enumerate() {
                assert!(
                    !names[..index].contains(name),
                    "key {index} equals an earlier one"
                );
            }
        }
    }

    #[test]
    fn auto_and_the_seed_that_it_means_share_a_lora() {
        let folder = tempfile::tempdir().expect("room for a folder");
        let shared = shared(folder.path());
        let given = LoraSettings {
            seed: LoraSeed::Of(7),
            ..LoraSettings::default()
        };
        let key = |settings| keys(&shared, &PICTURE, &[1], settings, 7);
        assert_eq!(key(&given), key(&LoraSettings::default()));
    }

    #[test]
    fn entries_are_computed_once() {
        let folder = tempfile::tempdir().expect("room for a folder");
        let shared = shared(folder.path());
        let get = |shared: Option<&SharedCache>, number: f32| {
            let cache = EditCache::new(shared, &PICTURE, Size::new(8, 8), &[1]);
            let key = cache.lora(&LoraSettings::default(), 0);
            cache
                .get_or_compute(key, [("parameters", 2)], || Ok([vec![number; 2]]))
                .expect("computing does not fail")
        };
        assert_eq!(get(Some(&shared), 1.0), ([vec![1.0; 2]], false));
        assert_eq!(get(Some(&shared), 2.0), ([vec![1.0; 2]], true));
        assert_eq!(get(None, 3.0), ([vec![3.0; 2]], false));
    }

    #[test]
    fn adapters_are_hashed_by_rank_and_numbers() {
        let hashes = [
            adapters_hash(1, &[1.0, 2.0]),
            adapters_hash(2, &[1.0, 2.0]),
            adapters_hash(1, &[2.0, 1.0]),
            adapters_hash(1, &[]),
        ];
        for (index, hash) in hashes.iter().enumerate() {
            assert!(!hashes[..index].contains(hash));
        }
    }
}
