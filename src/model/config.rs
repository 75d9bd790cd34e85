//! Configuration files of diffusers and transformers, read as sizes.
//!
//! A key with an unsupported value is an error that names the key. Keys that do not affect the computation are ignored, and absent keys
//! take the defaults of diffusers.

mod schedule;
mod unet;
mod vae;

pub use schedule::{Prediction, ScheduleConfig};
pub use unet::UNetConfig;
pub use vae::VaeConfig;

use serde_json::{Map, Value};

use super::source::Source;
use crate::error::{Error, ErrorKind, Result};

/// Which models load, for hints.
const FAMILY: &str = "use Stable Diffusion 1.5, 2.1 or a model fine-tuned from one of them";

/// An open configuration file.
#[derive(Debug)]
pub struct ConfigFile {
    location: String,
    /// What precedes the keys in messages.
    prefix: String,
    values: Map<String, Value>,
}

impl ConfigFile {
    /// Reads a file, which must be a JSON object.
    ///
    /// # Errors
    /// [`Error::Weights`] when the file is missing or is not a JSON object.
    pub fn read(source: &Source, name: &str) -> Result<Self> {
        let text = source.required_text(name)?;
        let values = serde_json::from_str(&text).map_err(|error| Error::Weights {
            path: source.location(name),
            kind: ErrorKind::WeightsDamaged,
            reason: format!("not a configuration: {error}"),
            hint: "download the model again".into(),
        })?;
        Ok(Self {
            location: source.location(name),
            prefix: String::new(),
            values,
        })
    }

    /// Returns the object that is the value of a key, as a file of its own; an empty one if the key is absent.
    ///
    /// # Errors
    /// [`Error::Weights`] when the value is no object.
    pub fn part(&self, key: &str) -> Result<Self> {
        let values = match self.get(key) {
            None => Map::new(),
            Some(Value::Object(values)) => values.clone(),
            Some(_) => return Err(self.unsupported(key, "an object")),
        };
        Ok(Self {
            location: self.location.clone(),
            prefix: format!("{}{key}.", self.prefix),
            values,
        })
    }

    /// Returns the value of a key. Null counts as absent.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key).filter(|value| !value.is_null())
    }

    /// Returns the error about an unsupported value.
    pub fn unsupported(&self, key: &str, supported: &str) -> Error {
        let value = self.values.get(key).unwrap_or(&Value::Null);
        Error::Weights {
            path: self.location.clone(),
            kind: ErrorKind::WeightsUnsupported,
            reason: format!(
                "`{}{key}` is {value}; this program supports {supported}",
                self.prefix
            ),
            hint: FAMILY.into(),
        }
    }

    /// Returns the error about a value that shows the model to be of another `kind`.
    pub(super) fn refused(&self, key: &str, kind: &str) -> Error {
        let value = self.values.get(key).unwrap_or(&Value::Null);
        Error::Weights {
            path: self.location.clone(),
            kind: ErrorKind::WeightsUnsupported,
            reason: format!("`{}{key}` is {value}: this is {kind}", self.prefix),
            hint: format!("{FAMILY}, whose network takes latents and a prompt only"),
        }
    }

    /// Checks keys of which only one value is supported. They may be absent.
    ///
    /// # Errors
    /// [`Error::Weights`] for the first key with another value.
    pub fn check_values(&self, allowed: &[(&str, Value)]) -> Result<()> {
        for (key, value) in allowed {
            let is_equal = |found: &Value| {
                found == value
                    || found
                        .as_f64()
                        .zip(value.as_f64())
                        .is_some_and(|(a, b)| a == b)
            };
            if self.get(key).is_some_and(|found| !is_equal(found)) {
                return Err(self.unsupported(key, &format!("only {value}")));
            }
        }
        Ok(())
    }

    /// Returns a size from 1 to `max`.
    ///
    /// # Errors
    /// [`Error::Weights`] for another value, or if the key is absent and there is no default.
    pub fn size(&self, key: &str, default: Option<usize>, max: usize) -> Result<usize> {
        match (self.get(key), default) {
            (None, Some(default)) => Ok(default),
            (value, _) => match value.and_then(Value::as_u64) {
                Some(size) if (1..=max as u64).contains(&size) => Ok(size as usize),
                _ => Err(self.unsupported(key, &format!("whole numbers from 1 to {max}"))),
            },
        }
    }

    /// Returns a number.
    ///
    /// # Errors
    /// [`Error::Weights`] for another value.
    pub fn number(&self, key: &str, default: f64) -> Result<f64> {
        self.get(key).map_or(Ok(default), |value| {
            value
                .as_f64()
                .ok_or_else(|| self.unsupported(key, "a number"))
        })
    }

    /// Returns a boolean.
    ///
    /// # Errors
    /// [`Error::Weights`] for another value.
    pub fn boolean(&self, key: &str, default: bool) -> Result<bool> {
        self.get(key).map_or(Ok(default), |value| {
            value
                .as_bool()
                .ok_or_else(|| self.unsupported(key, "true or false"))
        })
    }

    /// Returns a list of one to eight sizes.
    ///
    /// # Errors
    /// [`Error::Weights`] for another value.
    pub fn sizes(&self, key: &str, default: &[usize]) -> Result<Vec<usize>> {
        let Some(value) = self.get(key) else {
            return Ok(default.to_vec());
        };
        let list: Option<Vec<usize>> = value.as_array().and_then(|list| {
            list.iter()
                .map(|v| v.as_u64().map(|v| v as usize))
                .collect()
        });
        list.filter(|list| {
            !list.is_empty() && list.len() <= 8 && list.iter().all(|v| (1..=16384).contains(v))
        })
        .ok_or_else(|| self.unsupported(key, "a list of sizes"))
    }

    /// Returns a list of block types as indices into `kinds`.
    ///
    /// # Errors
    /// [`Error::Weights`] for a type that is not in `kinds`, or another number of blocks than `count`.
    pub fn blocks(
        &self,
        key: &str,
        default: &[&str],
        kinds: &[&str],
        count: usize,
    ) -> Result<Vec<usize>> {
        let names: Vec<&str> = match self.get(key) {
            None => default.to_vec(),
            Some(value) => value
                .as_array()
                .map(|list| list.iter().filter_map(Value::as_str).collect())
                .unwrap_or_default(),
        };
        let found: Option<Vec<usize>> = names
            .iter()
            .map(|name| kinds.iter().position(|kind| kind == name))
            .collect();
        found
            .filter(|found| found.len() == count)
            .ok_or_else(|| self.unsupported(key, &format!("{count} of {}", kinds.join(", "))))
    }

    /// Checks that `count`, the value of `key`, divides all `sizes`.
    ///
    /// # Errors
    /// [`Error::Weights`] if it does not.
    pub fn divides(&self, key: &str, count: usize, sizes: &[usize]) -> Result<()> {
        if sizes.iter().all(|size| size % count == 0) {
            return Ok(());
        }
        Err(self.unsupported(key, &format!("divisors of the channels {sizes:?}")))
    }
}
