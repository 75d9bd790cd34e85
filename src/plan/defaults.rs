//! A model's own defaults for settings, from its `dragnext.json`.

use super::Choice;
use crate::error::{Error, ErrorKind, Result};
use crate::method::{Method, groups};
use crate::model::Model;
use crate::settings::{Overrides, either};

/// Reads the defaults: one flat object of settings, and perhaps a `method`.
///
/// # Errors
/// [`Error::Weights`] for a key that is no setting, or a method that does not exist.
pub(super) fn read(model: &Model) -> Result<Choice> {
    let mut map = model.defaults().clone();
    let refuse = |reason: String| Error::Weights {
        path: model.defaults_location(),
        kind: ErrorKind::WeightsUnsupported,
        reason,
        hint: "this file holds the model's own defaults for settings of `dragnext edit`".into(),
    };
    let method = match map.remove("method") {
        None => None,
        Some(name) => {
            let names: Vec<&str> = Method::ALL.iter().map(|method| method.name()).collect();
            let found = name.as_str().and_then(|name| name.parse().ok());
            Some(found.ok_or_else(|| refuse(format!("`method` must be {}", either(&names))))?)
        }
    };
    let values = Overrides::from_map(&map, &groups())
        .map_err(|key| refuse(format!("`{key}` is no setting")))?;
    Ok(Choice { method, values })
}
