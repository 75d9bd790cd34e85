//! The files of one kind of model, as a value that the hub plans with.
//!
//! The hub knows no model: a [`ModelFiles`] value tells it which files to fetch, which may be absent, and which are the same
//! weights in several precisions. The values are defined beside the models (`model::layout`). Files that a value does not list
//! (pickles, examples, other formats of the same weights) are never fetched.

use super::id::HubId;
use super::shards::index_of;

/// Which files one kind of model consists of, and where they come from by default.
#[derive(Debug, Clone, Copy)]
pub struct ModelFiles {
    /// The repository, as `owner/name`, that is used when none is named.
    pub repository: &'static str,
    /// The commit of `repository` that is used when no revision is named, so that updates never pass silently.
    pub commit: &'static str,
    /// What a suitable repository is: a sentence for hints.
    pub suitable: &'static str,
    /// What precedes a repository's name in the command that fetches it, for hints.
    pub fetch: &'static str,
    /// What to do without the hub: a sentence for hints.
    pub without_hub: &'static str,
    /// The files in fetching order. Small files come first, so that a repository without a valid configuration is rejected
    /// before its weights are fetched.
    pub files: &'static [ModelFile],
}

/// One file of a model, or several that can replace each other. Paths are relative to the repository's root.
#[derive(Debug, Clone, Copy)]
pub enum ModelFile {
    /// The model cannot be loaded without it.
    Required(&'static str),
    /// Fetched and read if the repository has it.
    Optional(&'static str),
    /// The same weights in several precisions, of which one file is required, or its shards with their index: highest precision first. Loading takes
    /// the first that is present; fetching takes the last, which is the smallest download. Rounding the weights to half precision
    /// changes a picture less than another seed does.
    Weights(&'static [&'static str]),
    /// Files that other files can replace: every file of one group is required. Fetching and loading take the first complete group.
    Groups(&'static [&'static [&'static str]]),
}

impl ModelFile {
    fn paths(&self) -> Vec<&'static str> {
        match self {
            Self::Required(path) | Self::Optional(path) => vec![path],
            Self::Weights(paths) => paths.to_vec(),
            Self::Groups(groups) => groups.concat(),
        }
    }

    /// Returns the indexes of the shards that can take the place of the weights.
    fn indexes(&self) -> Vec<String> {
        match self {
            Self::Weights(paths) => paths.iter().map(|path| index_of(path)).collect(),
            Self::Required(_) | Self::Optional(_) | Self::Groups(_) => Vec::new(),
        }
    }

    /// Returns what to fetch of it, given which files there are. The index of shards stands for the shards that it names.
    fn chosen(&self, has: impl Fn(&str) -> bool) -> Vec<String> {
        let whole = self.whole(&has);
        if whole.is_empty() {
            return self
                .indexes()
                .into_iter()
                .rfind(|index| has(index))
                .into_iter()
                .collect();
        }
        whole.into_iter().map(str::to_owned).collect()
    }

    /// Returns what to fetch of it, without shards.
    fn whole(&self, has: impl Fn(&str) -> bool) -> Vec<&'static str> {
        match self {
            Self::Groups(groups) => {
                let complete = groups
                    .iter()
                    .find(|group| group.iter().all(|path| has(path)));
                complete.map(|group| group.to_vec()).unwrap_or_default()
            }
            _ => self
                .paths()
                .into_iter()
                .rfind(|path| has(path))
                .into_iter()
                .collect(),
        }
    }
}

impl ModelFiles {
    /// Returns the default repository at its pinned commit.
    pub fn default_id(&self) -> HubId {
        HubId::pinned(self.repository, self.commit)
    }

    /// Parses `owner/name` or `owner/name@revision`. The default repository without a revision means the pinned commit.
    /// Returns `None` for text that cannot name a repository, such as a path.
    pub fn id(&self, text: &str) -> Option<HubId> {
        if text == self.repository {
            Some(self.default_id())
        } else {
            HubId::parse(text)
        }
    }

    /// Returns every file that a model of this kind may have.
    pub fn all(&self) -> impl Iterator<Item = &'static str> {
        self.files.iter().flat_map(ModelFile::paths)
    }

    /// Returns the indexes of shards that a model of this kind may have in place of weights in one file.
    pub fn indexes(&self) -> impl Iterator<Item = String> {
        self.files.iter().flat_map(ModelFile::indexes)
    }

    /// Returns the required files that are absent; `has` tells whether a file is present. Weights in several precisions are
    /// named by the first. An index counts as the weights; whether its shards are present is up to the caller.
    pub fn missing(&self, has: impl Fn(&str) -> bool) -> Vec<String> {
        let is_missing = |file: &&ModelFile| match file {
            ModelFile::Required(path) => !has(path),
            ModelFile::Optional(_) => false,
            ModelFile::Weights(paths) => {
                !paths.iter().any(|path| has(path) || has(&index_of(path)))
            }
            ModelFile::Groups(groups) => !groups
                .iter()
                .any(|group| group.iter().all(|path| has(path))),
        };
        let missing = self.files.iter().filter(is_missing);
        missing
            .flat_map(|file| match file {
                // The first group is the one to name, of which a part may be there.
                ModelFile::Groups([first, ..]) => {
                    first.iter().copied().filter(|path| !has(path)).collect()
                }
                file => file.paths().into_iter().take(1).collect::<Vec<_>>(),
            })
            .map(str::to_owned)
            .collect()
    }

    /// Returns whether `path` holds weights that are also present in another precision.
    pub fn has_alternative(&self, path: &str, has: impl Fn(&str) -> bool) -> bool {
        self.files.iter().any(|file| {
            let paths = file.paths();
            match file {
                ModelFile::Groups(groups) => {
                    groups
                        .iter()
                        .any(|group| !group.contains(&path) && group.iter().all(|other| has(other)))
                        && paths.contains(&path)
                }
                _ => {
                    paths.contains(&path) && paths.iter().any(|other| *other != path && has(other))
                }
            }
        })
    }

    /// Returns what to fetch from a repository with these files, in fetching order.
    ///
    /// # Errors
    /// The required files that the repository lacks.
    pub fn choose(&self, repository: &[String]) -> Result<Vec<String>, Vec<String>> {
        let has = |path: &str| repository.iter().any(|file| file == path);
        let missing = self.missing(has);
        if !missing.is_empty() {
            return Err(missing);
        }
        Ok(self
            .files
            .iter()
            .flat_map(|file| file.chosen(has))
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A made-up layout unlike that of any image model: weights at the root, one of them in three precisions.
    const TWO_TOWERS: ModelFiles = ModelFiles {
        repository: "someone/towers",
        commit: "0123456789abcdef0123456789abcdef01234567",
        suitable: "two towers",
        fetch: "dragnext fetch",
        without_hub: "do without",
        files: &[
            ModelFile::Optional("notes.json"),
            ModelFile::Required("config.json"),
            ModelFile::Weights(&["text.safetensors"]),
            ModelFile::Weights(&["vision.f32", "vision.f16", "vision.f8"]),
        ],
    };

    fn choose(repository: &[&str]) -> Result<Vec<String>, Vec<String>> {
        let repository: Vec<String> = repository.iter().map(|path| (*path).to_owned()).collect();
        TWO_TOWERS.choose(&repository)
    }

    #[test]
    fn the_smallest_weights_are_fetched_after_the_small_files() {
        let repository = [
            "vision.bin",
            "vision.f32",
            "vision.f16",
            "text.safetensors",
            "config.json",
            "notes.json",
        ];
        let expected = [
            "notes.json",
            "config.json",
            "text.safetensors",
            "vision.f16",
        ];
        assert_eq!(choose(&repository).expect("complete"), expected);
        assert_eq!(
            choose(&["vision.f32", "text.safetensors", "config.json"]).expect("complete"),
            ["config.json", "text.safetensors", "vision.f32"]
        );
    }

    #[test]
    fn missing_weights_are_named_by_their_highest_precision() {
        let missing = choose(&["vision.bin", "notes.json", "config.json"]);
        assert_eq!(
            missing.expect_err("no weights"),
            ["text.safetensors", "vision.f32"]
        );
        assert_eq!(
            TWO_TOWERS.missing(|path| path == "vision.f8"),
            ["config.json", "text.safetensors"]
        );
    }

    #[test]
    fn shards_take_the_place_of_weights_in_one_file() {
        let sharded = [
            "config.json",
            "text.safetensors.index.json",
            "text-1.safetensors",
            "vision.f16",
        ];
        let expected = ["config.json", "text.safetensors.index.json", "vision.f16"];
        assert_eq!(choose(&sharded).expect("complete"), expected);
        let both = [&sharded[..], &["text.safetensors"]].concat();
        let expected = ["config.json", "text.safetensors", "vision.f16"];
        assert_eq!(choose(&both).expect("complete"), expected);
    }

    #[test]
    fn only_weights_have_alternatives() {
        let has = |path: &str| path == "vision.f16" || path == "config.json";
        for (path, expected) in [
            ("vision.f32", true),
            ("vision.f8", true),
            ("vision.f16", false),
            ("config.json", false),
            ("unlisted", false),
        ] {
            assert_eq!(TWO_TOWERS.has_alternative(path, has), expected, "{path}");
        }
    }

    #[test]
    fn the_default_repository_is_pinned() {
        let id = |text: &str| TWO_TOWERS.id(text).map(|id| id.to_string());
        let pinned = format!("{}@{}", TWO_TOWERS.repository, TWO_TOWERS.commit);
        assert_eq!(id("someone/towers"), Some(pinned));
        assert_eq!(
            id("someone/towers@main").as_deref(),
            Some("someone/towers@main")
        );
        assert_eq!(id("a/b").as_deref(), Some("a/b@main"));
        assert_eq!(id("./towers"), None);
    }
}
