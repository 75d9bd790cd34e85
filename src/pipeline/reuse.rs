//! What an edit takes from the cache and leaves in it, and the keys: all that decides the numbers, and nothing else.

use std::fs::File;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::cache::{Cache, EntryInfo, EntryKind, EntryName};
use crate::diffusion::schedule::Grid;
use crate::digest::{sha256, sha256_of};
use crate::geometry::Size;
use crate::settings::Settings;
use crate::warning::Warning;

/// A cache, and what decides numbers of any edit with one editor.
#[derive(Debug)]
pub(super) struct Kept {
    cache: Mutex<Cache>,
    maker: Maker,
}

/// With what numbers are made.
#[derive(Debug, Clone, Serialize)]
struct Maker {
    program: String,
    arithmetic: String,
    weights: String,
    configuration: String,
}

/// What the entries of one edit are made from.
#[derive(Debug, Serialize)]
pub(super) struct Subject {
    maker: Maker,
    picture: String,
    size: [usize; 2],
    tokens: Vec<u32>,
}

/// What decides a LoRA.
#[derive(Debug, Serialize)]
struct Training<'a> {
    subject: &'a Subject,
    steps: usize,
    rank: usize,
    lr: f64,
    batch: usize,
    seed: u64,
}

/// What decides an inverted latent. The LoRA is known by its numbers, wherever they come from.
#[derive(Debug, Serialize)]
struct Walk<'a> {
    subject: &'a Subject,
    adapters: &'a str,
    timesteps: &'a [i64],
    stride: i64,
}

impl Kept {
    /// `None` where the program cannot be told from others.
    pub(super) fn new(
        cache: Cache,
        arithmetic: String,
        weights: String,
        configuration: String,
    ) -> Option<Self> {
        Some(Self {
            cache: cache.into(),
            maker: Maker {
                program: program()?,
                arithmetic,
                weights,
                configuration,
            },
        })
    }

    pub(super) fn cache(&mut self) -> &mut Cache {
        self.cache.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    /// What an edit of this working picture (padded height, padded width, 3) with this prompt is made from.
    pub(super) fn subject(&self, picture: &[f32], size: Size, tokens: &[u32]) -> Subject {
        let bytes: Vec<u8> = picture
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect();
        Subject {
            maker: self.maker.clone(),
            picture: sha256(&bytes),
            size: [size.width, size.height],
            tokens: tokens.to_vec(),
        }
    }
}

/// The cache as one edit sees it.
#[derive(Debug)]
pub(super) struct Reuse<'a> {
    cache: &'a Mutex<Cache>,
    subject: Subject,
}

/// Names of the latents of an inversion.
const CLEAN: &str = "clean";
const INVERTED: &str = "inverted";
/// The name of a LoRA's parameters.
const PARAMETERS: &str = "parameters";

impl<'a> Reuse<'a> {
    pub(super) fn new(kept: &'a Kept, subject: Subject) -> Self {
        Self {
            cache: &kept.cache,
            subject,
        }
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The name of a LoRA that is trained with these settings from this seed.
    pub(super) fn lora(&self, settings: &Settings, seed: u64) -> EntryName {
        let (steps, rank, lr, batch) = (
            settings.lora_steps,
            settings.lora_rank,
            settings.lora_lr,
            settings.lora_batch,
        );
        EntryName::of(
            EntryKind::Lora,
            &Training {
                subject: &self.subject,
                steps,
                rank,
                lr,
                batch,
                seed,
            },
        )
    }

    /// `len` parameters of all adapters.
    pub(super) fn parameters(&self, name: &EntryName, len: usize) -> Option<Vec<f32>> {
        self.cache().get(name, &[(PARAMETERS, len)])?.pop()
    }

    pub(super) fn keep_parameters(&self, name: &EntryName, parameters: &[f32]) {
        self.cache()
            .put(name, &self.about(), &[(PARAMETERS, parameters)]);
    }

    /// The picture's own latent and the inverted one, of `len` numbers each, with adapters of this hash in the weights.
    pub(super) fn latents(&self, adapters: &str, grid: &Grid, len: usize) -> Option<[Vec<f32>; 2]> {
        self.cache()
            .get(
                &self.inversion(adapters, grid),
                &[(CLEAN, len), (INVERTED, len)],
            )?
            .try_into()
            .ok()
    }

    pub(super) fn keep_latents(&self, adapters: &str, grid: &Grid, [clean, inverted]: [&[f32]; 2]) {
        self.cache().put(
            &self.inversion(adapters, grid),
            &self.about(),
            &[(CLEAN, clean), (INVERTED, inverted)],
        );
    }

    /// The name of the inversion along this grid.
    fn inversion(&self, adapters: &str, grid: &Grid) -> EntryName {
        EntryName::of(
            EntryKind::Inversion,
            &Walk {
                subject: &self.subject,
                adapters,
                timesteps: &grid.timesteps,
                stride: grid.stride,
            },
        )
    }

    pub(super) fn take_warnings(&self) -> Vec<Warning> {
        self.cache().take_warnings()
    }

    fn about(&self) -> EntryInfo {
        EntryInfo {
            picture: self.subject.picture.clone(),
            size: self.subject.size,
            made: 0,
        }
    }
}

/// SHA-256 of a LoRA's rank and numbers.
pub(super) fn adapters_hash(rank: usize, parameters: &[f32]) -> String {
    let mut bytes = (rank as u64).to_le_bytes().to_vec();
    bytes.extend(parameters.iter().flat_map(|number| number.to_le_bytes()));
    sha256(&bytes)
}

/// SHA-256 of the program that runs. A version would not do: what is built from other sources may round in another way.
fn program() -> Option<String> {
    // On Linux this is what runs, even when its file was replaced since.
    let file = File::open("/proc/self/exe")
        .or_else(|_| File::open(std::env::current_exe()?))
        .ok();
    sha256_of(&mut file?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::CacheLocation;

    fn kept(folder: &std::path::Path) -> Kept {
        let cache = Cache::new(CacheLocation {
            folder: folder.into(),
            limit: 1 << 20,
        });
        Kept::new(cache, "cpu".into(), "w".into(), "c".into()).expect("this program can be read")
    }

    fn names(
        kept: &mut Kept,
        picture: &[f32],
        tokens: &[u32],
        settings: &Settings,
        seed: u64,
    ) -> [EntryName; 2] {
        let subject = kept.subject(picture, Size::new(8, 8), tokens);
        let grid = Grid {
            timesteps: vec![21, 1],
            stride: 20,
        };
        let reuse = Reuse::new(kept, subject);
        [reuse.lora(settings, seed), reuse.inversion("a", &grid)]
    }

    /// Every change that decides numbers gives another key, and no two of them the same one.
    #[test]
    fn keys_follow_what_decides_the_numbers() {
        let folder = tempfile::tempdir().expect("room for a folder");
        let (picture, tokens, usual) = ([0.0; 192], [1, 2], Settings::default());
        let mut first = kept(folder.path());
        let [lora, inversion] = names(&mut first, &picture, &tokens, &usual, 0);
        assert_eq!(
            names(&mut first, &picture, &tokens, &usual, 0),
            [lora.clone(), inversion.clone()]
        );
        let other_picture = [[1.0].as_slice(), &picture[1..]].concat();
        let mut loras = vec![
            lora,
            names(&mut first, &other_picture, &tokens, &usual, 0)[0].clone(),
            names(&mut first, &picture, &[1, 3], &usual, 0)[0].clone(),
            names(&mut first, &picture, &tokens, &usual, 1)[0].clone(),
        ];
        let changes: [fn(&mut Settings); 4] = [
            |s| s.lora_steps += 1,
            |s| s.lora_rank += 1,
            |s| s.lora_lr *= 2.0,
            |s| s.lora_batch += 1,
        ];
        for change in changes {
            let mut settings = usual.clone();
            change(&mut settings);
            loras.push(names(&mut first, &picture, &tokens, &settings, 0)[0].clone());
        }
        let changes: [fn(&mut Maker); 4] = [
            |m| m.arithmetic.push('x'),
            |m| m.weights.push('x'),
            |m| m.configuration.push('x'),
            |m| m.program.push('x'),
        ];
        let mut inversions = vec![inversion];
        for change in changes {
            let mut kept = kept(folder.path());
            change(&mut kept.maker);
            let [lora, inversion] = names(&mut kept, &picture, &tokens, &usual, 0);
            loras.push(lora);
            inversions.push(inversion);
        }
        let subject = first.subject(&picture, Size::new(8, 8), &tokens);
        let reuse = Reuse::new(&first, subject);
        let grid = |timesteps: &[i64], stride| Grid {
            timesteps: timesteps.to_vec(),
            stride,
        };
        inversions.extend([
            reuse.inversion("", &grid(&[21, 1], 20)),
            reuse.inversion("b", &grid(&[21, 1], 20)),
            reuse.inversion("a", &grid(&[41, 21, 1], 20)),
            reuse.inversion("a", &grid(&[21, 1], 10)),
        ]);
        for names in [loras, inversions] {
            for (index, name) in names.iter().enumerate() {
                assert!(
                    !names[..index].contains(name),
                    "number {index} is one of those before it"
                );
            }
        }
    }

    #[test]
    fn what_moves_and_how_has_nothing_to_do_with_it() {
        let folder = tempfile::tempdir().expect("room for a folder");
        let mut kept = kept(folder.path());
        let usual = Settings::default();
        let other = Settings {
            lr: 0.5,
            iterations: 3,
            feather: 9,
            ..usual.clone()
        };
        let picture = [0.5; 192];
        assert_eq!(
            names(&mut kept, &picture, &[1], &usual, 0),
            names(&mut kept, &picture, &[1], &other, 0)
        );
    }

    #[test]
    fn adapters_are_known_by_rank_and_numbers() {
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
