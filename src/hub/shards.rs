//! Weights in several files, shards, with an index that names them, as diffusers and transformers write large models.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

/// Most shards of a component.
const MAX_SHARDS: usize = 256;

/// What the name of an index has in place of the weights' ending, in full precision.
const INDEX: &str = ".safetensors.index.json";
/// As [`INDEX`], in half precision.
const INDEX_F16: &str = ".safetensors.index.fp16.json";

/// Returns the name of the index of the shards that take the place of a file: `model.safetensors.index.json`, and `model.safetensors.index.fp16.json` for
/// a variant.
pub(crate) fn index_of(weights: &str) -> String {
    match weights.strip_suffix(".fp16.safetensors") {
        Some(stem) => format!("{stem}{INDEX_F16}"),
        None => format!("{weights}.index.json"),
    }
}

/// Returns whether a file is an index of shards.
pub(crate) fn is_index(name: &str) -> bool {
    name.ends_with(INDEX) || name.ends_with(INDEX_F16)
}

/// Returns the paths of the shards that an index names, given its own path and its text.
///
/// # Errors
/// Why the text is no index, or names what cannot be a shard.
pub(crate) fn shards_of(index: &str, text: &str) -> std::result::Result<BTreeSet<String>, String> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let Index { weight_map } =
        serde_json::from_str(text).map_err(|error| format!("not an index of shards: {error}"))?;
    let names: BTreeSet<&String> = weight_map.values().collect();
    if names.is_empty() || names.len() > MAX_SHARDS {
        return Err(format!("names {} shards", names.len()));
    }
    let folder = index.rsplit_once('/').map_or("", |(folder, _)| folder);
    let path = |name: &String| {
        let is_plain = name.ends_with(".safetensors") && !name.contains(['/', '\\']);
        if !is_plain {
            return Err(format!("`{}` is no name of a shard", name.escape_debug()));
        }
        Ok(if folder.is_empty() {
            name.clone()
        } else {
            format!("{folder}/{name}")
        })
    };
    names.into_iter().map(path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_stand_beside_their_index() {
        assert_eq!(
            index_of("unet/a.safetensors"),
            "unet/a.safetensors.index.json"
        );
        assert_eq!(
            index_of("unet/a.fp16.safetensors"),
            "unet/a.safetensors.index.fp16.json"
        );
        assert!(is_index(&index_of("a.safetensors")) && is_index(&index_of("a.fp16.safetensors")));
        let text = r#"{"metadata": {}, "weight_map": {"x": "a-2.safetensors", "y": "a-1.safetensors", "z": "a-2.safetensors"}}"#;
        let found = |index| shards_of(index, text).expect("an index");
        assert_eq!(
            Vec::from_iter(found("unet/a.safetensors.index.json")),
            ["unet/a-1.safetensors", "unet/a-2.safetensors"]
        );
        assert_eq!(
            Vec::from_iter(found("a.safetensors.index.json")),
            ["a-1.safetensors", "a-2.safetensors"]
        );
    }

    #[test]
    fn other_names_are_refused() {
        for text in [
            "[]",
            r#"{"weight_map": {}}"#,
            r#"{"weight_map": {"a": "../secret.safetensors"}}"#,
            r#"{"weight_map": {"a": "a\\b.safetensors"}}"#,
            r#"{"weight_map": {"a": "a.bin"}}"#,
        ] {
            shards_of("unet/a.safetensors.index.json", text).expect_err(text);
        }
        let map: BTreeMap<usize, String> = (0..300)
            .map(|index| (index, format!("{index}.safetensors")))
            .collect();
        let many = serde_json::json!({ "weight_map": map }).to_string();
        shards_of("a.safetensors.index.json", &many).expect_err("too many");
    }
}
