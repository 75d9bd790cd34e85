//! `--seeds`: turns each entry of a list into one variant for each seed.

use std::str::FromStr;

use super::entry::ListEntry;

/// A longer list is taken for a typing error.
const MAX_SEEDS: usize = 1000;

/// Distinct seeds in the given order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seeds(Vec<u64>);

impl FromStr for Seeds {
    type Err = &'static str;

    /// Parses numbers and inclusive ranges: `1,2,5-8`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected at most 1000 different seeds, such as 1,2,5-8";
        let mut seeds: Vec<u64> = Vec::new();
        for part in text.split(',') {
            let (first, last) = part
                .trim()
                .split_once('-')
                .unwrap_or((part.trim(), part.trim()));
            let (Ok(first), Ok(last)) = (first.parse::<u64>(), last.parse::<u64>()) else {
                return Err(EXPECTED);
            };
            if first > last
                || last - first >= MAX_SEEDS as u64
                || seeds.iter().any(|seed| (first..=last).contains(seed))
            {
                return Err(EXPECTED);
            }
            seeds.extend(first..=last);
        }
        if seeds.len() > MAX_SEEDS {
            Err(EXPECTED)
        } else {
            Ok(Self(seeds))
        }
    }
}

impl Seeds {
    /// Returns one variant of the entry for each seed, with the seed in its id and its output; without seeds, the entry itself.
    ///
    /// All variants use the LoRA seed of the first, so that one LoRA is trained for all of them.
    pub(super) fn variants(&self, entry: ListEntry) -> Vec<ListEntry> {
        let Some(first) = self.0.first().copied() else {
            return vec![entry];
        };
        let variant = |seed: &u64| {
            let mut variant = entry.variant(&format!("seed-{seed}"))?;
            let values = &mut variant.choice.get_or_insert_default().values;
            values.set("seed", *seed);
            values.set_default("lora_seed", first);
            Some(variant)
        };
        let variants: Option<Vec<ListEntry>> = self.0.iter().map(variant).collect();
        variants.unwrap_or_else(|| vec![entry.clone()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_parsed_as_numbers_and_ranges() {
        assert_eq!("3".parse(), Ok(Seeds(vec![3])));
        assert_eq!("9, 1-3,7".parse(), Ok(Seeds(vec![9, 1, 2, 3, 7])));
        for wrong in [
            "",
            "a",
            "1,",
            "3-1",
            "1,1",
            "1-3,2",
            "-1",
            "1.5",
            "0-1000",
            "1-700,1001-1700",
            "1-2-3",
        ] {
            assert!(wrong.parse::<Seeds>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_entry_has_one_variant_for_each_seed() {
        let entry = ListEntry {
            id: None,
            ..ListEntry::new("line 1".into(), 1, "in/cat.jpg".into())
        };
        let seeds: Seeds = "5,6".parse().expect("two seeds");
        let variants: Vec<_> = seeds
            .variants(entry.clone())
            .into_iter()
            .map(|entry| {
                let values = entry.choice.expect("seeds").values;
                (
                    entry.id.expect("an id"),
                    entry.out.expect("an output"),
                    values.get("seed").cloned(),
                    values.get("lora_seed").cloned(),
                )
            })
            .collect();
        let expected = |seed: u64| {
            (
                format!("in/cat.seed-{seed}"),
                format!("in/cat.seed-{seed}.png").into(),
                Some(seed.into()),
                Some(5.into()),
            )
        };
        assert_eq!(variants, [expected(5), expected(6)]);
        let named = ListEntry {
            id: Some("a".into()),
            out: Some("b.png".into()),
            ..entry
        };
        let last = seeds.variants(named).pop().expect("the last");
        assert_eq!(
            (last.id.as_deref(), last.out),
            (Some("a.seed-6"), Some("b.seed-6.png".into()))
        );
    }
}
