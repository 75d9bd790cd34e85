//! The name of a repository on the hub, `owner/name`, with a revision.

use std::fmt;

/// The branch that is used when no revision is named.
const DEFAULT_BRANCH: &str = "main";

/// Longest owner or name that the hub accepts.
const LONGEST_NAME: usize = 96;

/// A repository of the hub at one revision.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HubId {
    repository: String,
    revision: String,
}

impl HubId {
    /// Parses `owner/name` or `owner/name@revision`; `None` for text that cannot name a repository, such as a path.
    pub fn parse(text: &str) -> Option<Self> {
        let (repository, revision) = match text.split_once('@') {
            Some((repository, revision)) => (repository, Some(revision)),
            None => (text, None),
        };
        let (owner, name) = repository.split_once('/')?;
        if !is_name(owner) || !is_name(name) || !revision.is_none_or(is_revision) {
            return None;
        }
        let revision = revision.unwrap_or(DEFAULT_BRANCH);
        let revision = if is_commit(revision) {
            revision.to_ascii_lowercase()
        } else {
            revision.to_owned()
        };
        Some(Self {
            repository: repository.to_owned(),
            revision,
        })
    }

    /// Returns a repository at a commit, both of which are known to be valid.
    pub(super) fn pinned(repository: &'static str, commit: &'static str) -> Self {
        Self {
            repository: repository.to_owned(),
            revision: commit.to_owned(),
        }
    }

    /// Returns `owner/name`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Returns the revision: a commit, a branch or a tag.
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// Returns the revision if it is a commit, which never changes.
    pub fn commit(&self) -> Option<&str> {
        is_commit(&self.revision).then_some(self.revision.as_str())
    }
}

impl fmt::Display for HubId {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}@{}", self.repository, self.revision)
    }
}

/// Returns whether `text` is a complete commit of 40 hexadecimal digits.
pub(crate) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_name(text: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let edge = |byte: Option<&u8>| byte.is_some_and(|byte| !b"-.".contains(byte));
    let bytes = text.as_bytes();
    let spelled = bytes.iter().copied().all(inside) && edge(bytes.first()) && edge(bytes.last());
    // Two dashes separate owner and name in the folders of the cache.
    spelled && bytes.len() <= LONGEST_NAME && !text.contains("--") && !text.contains("..")
}

/// A revision becomes a path in the cache and part of an address, so only harmless characters are accepted.
fn is_revision(text: &str) -> bool {
    let part = |part: &str| {
        let harmless = part
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte));
        !part.is_empty() && harmless && !part.starts_with('.') && !part.ends_with('.')
    };
    text.len() <= 200 && text.split('/').all(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_revisions_parse() {
        let read = |text: &str| HubId::parse(text).map(|id| id.to_string());
        assert_eq!(read("a/b").as_deref(), Some("a/b@main"));
        assert_eq!(read("a/b@refs/pr/1").as_deref(), Some("a/b@refs/pr/1"));
        let upper = HubId::parse(&format!("a/b@{}", "AB".repeat(20))).expect("a commit");
        assert_eq!(upper.commit(), Some("ab".repeat(20).as_str()));
        assert_eq!(HubId::parse("a/b@v1.0").expect("a tag").commit(), None);
    }

    #[test]
    fn paths_and_hostile_names_do_not_parse() {
        let none = [
            "", "demo", "/a/b", "./a", "../b", "a/", "a/b/c", "a/..", "a b/c", "a--b/c", "-a/b",
            "a/b.", "a/b@", "a/b@../x", "a/b@x//y",
        ];
        for text in none {
            assert_eq!(HubId::parse(text), None, "{text}");
        }
        assert_eq!(HubId::parse(&format!("a/{}", "b".repeat(97))), None);
    }
}
