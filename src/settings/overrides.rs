//! Setting values from one source, before they are resolved.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use super::{Description, Group};

/// Setting values by name, as in files. They come from flags, the environment, a drag file, a line of a manifest or a model's `dragnext.json`.
/// They serialise to a flat object.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Overrides {
    values: BTreeMap<&'static str, Value>,
}

impl Overrides {
    /// Reads an object whose keys are settings of `groups`. Bounds are checked later, where the values of all sources meet.
    ///
    /// # Errors
    /// The first key that is no setting of any group.
    pub fn from_map(map: &Map<String, Value>, groups: &[Group]) -> Result<Self, String> {
        let mut overrides = Self::default();
        for (key, value) in map {
            let Some(setting) = groups.iter().find_map(|group| group.find(key)) else {
                return Err(key.clone());
            };
            overrides.values.insert(setting.name, value.clone());
        }
        Ok(overrides)
    }

    /// Checks every value against the form that `groups` give its setting.
    ///
    /// # Errors
    /// [`crate::Error::Setting`] for the first one that is out of its bounds.
    pub fn check(&self, groups: &[Group]) -> crate::error::Result<()> {
        for (name, value) in &self.values {
            if let Some(setting) = groups.iter().find_map(|group| group.find(name)) {
                super::checked(setting, value)?;
            }
        }
        Ok(())
    }

    /// Returns the value of a setting.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    /// Sets the value of a setting.
    pub fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        self.values.insert(name, value.into());
    }

    /// Sets the value of a setting that has none.
    pub fn set_default(&mut self, name: &'static str, value: impl Into<Value>) {
        self.values.entry(name).or_insert_with(|| value.into());
    }

    /// Removes the value of a setting.
    pub fn remove(&mut self, name: &str) {
        self.values.remove(name);
    }

    /// Keeps the values whose names `keep` accepts.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.values.retain(|name, _| keep(name));
    }

    /// Merges two sets of values; where both have a setting, the value of `self` wins.
    #[must_use]
    pub fn over(&self, below: &Self) -> Self {
        let mut values = below.values.clone();
        values.extend(
            self.values
                .iter()
                .map(|(name, value)| (*name, value.clone())),
        );
        Self { values }
    }

    /// Returns the values as an object.
    pub fn to_map(&self) -> Map<String, Value> {
        let values = self.values.iter();
        values
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect()
    }

    /// Returns the names of all values.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.values.keys().copied()
    }

    /// Returns the values that belong to a group, in the order of the group.
    pub fn in_group<'a>(
        &'a self,
        group: &Group,
    ) -> impl Iterator<Item = (&'static Description, &'a Value)> {
        group
            .settings
            .iter()
            .filter_map(|setting| Some((setting, self.values.get(setting.name)?)))
    }
}

/// Converts an array of names and values, for callers that set only a few.
impl<V: Into<Value>, const N: usize> From<[(&'static str, V); N]> for Overrides {
    fn from(values: [(&'static str, V); N]) -> Self {
        Self {
            values: values
                .into_iter()
                .map(|(name, value)| (name, value.into()))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::settings::SHARED;

    #[test]
    fn the_first_source_wins() {
        let flags = Overrides::from([("seed", 1), ("steps", 20)]);
        let file = Overrides::from([("seed", 7), ("margin", 3)]);
        let both = flags.over(&file);
        assert_eq!(
            both,
            Overrides::from([("seed", 1), ("steps", 20), ("margin", 3)])
        );
    }

    #[test]
    fn unknown_keys_are_named() {
        let Value::Object(map) = json!({ "seed": 1, "sed": 2 }) else {
            panic!("an object was written")
        };
        assert_eq!(Overrides::from_map(&map, &SHARED), Err("sed".to_owned()));
    }
}
