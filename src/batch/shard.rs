//! `--shard I/N`: the part of a list that one of N runs edits. Item k belongs to shard k mod N.

use std::fmt;
use std::str::FromStr;

/// One of `count` parts of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shard {
    index: usize,
    count: usize,
}

impl Shard {
    /// Returns whether item `k`, from 0, belongs to this shard.
    pub(crate) fn has(self, k: usize) -> bool {
        k % self.count == self.index
    }

    /// Returns the name of the shard's record file, without extension.
    pub(crate) fn file_name(self) -> String {
        format!("{}-of-{}", self.index, self.count)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let (index, count) = text.split_once('/')?;
            Some(Self {
                index: index.parse().ok()?,
                count: count.parse().ok()?,
            })
        };
        match read() {
            Some(shard) if shard.index < shard.count => Ok(shard),
            Some(Self { count: 0, .. }) | None => {
                Err("expected I/N, such as 0/8 for the first of eight shards".into())
            }
            Some(Self { count, .. }) => Err(format!(
                "shards count from 0, so the last of {count} is {}/{count}",
                count - 1
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_in_exactly_one_shard() {
        let shards: Vec<Shard> = (0..5).map(|index| Shard { index, count: 5 }).collect();
        for k in 0..23 {
            assert_eq!(
                shards.iter().filter(|shard| shard.has(k)).count(),
                1,
                "item {k}"
            );
        }
        assert!(shards[2].has(7) && !shards[3].has(7));
    }

    #[test]
    fn an_invalid_shard_is_rejected_with_an_example() {
        assert_eq!(
            "2/8".parse::<Shard>().map(Shard::file_name),
            Ok("2-of-8".into())
        );
        for text in ["", "2", "0/0", "a/b", "-1/2", "1/2/3"] {
            assert!(
                text.parse::<Shard>()
                    .is_err_and(|reason| reason.contains("expected I/N")),
                "{text}"
            );
        }
        assert_eq!(
            "8/8".parse::<Shard>(),
            Err("shards count from 0, so the last of 8 is 7/8".into())
        );
    }
}
