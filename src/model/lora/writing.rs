//! Writes the LoRA that was trained on a picture.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::model::unet::AdapterPlace;

/// Returns the bytes of a safetensors file with the adapters at `places`, in the names that diffusers reads since 0.22
/// (`unet.M.lora.down.weight`), and with `metadata` in its header. There is no alpha, so the scale is 1, because diffusers rejects
/// names without `lora`. The same arguments give the same bytes.
///
/// # Panics
/// When `parameters` does not have the length of all `places`.
pub fn write(
    places: &[AdapterPlace],
    parameters: &[f32],
    metadata: &BTreeMap<String, String>,
) -> Vec<u8> {
    assert_eq!(
        parameters.len(),
        places.iter().map(AdapterPlace::len).sum::<usize>(),
        "the parameters of all adapters"
    );
    let mut header = Map::new();
    let rank = places.first().map_or(0, |place| place.adapter.rank);
    let own = [("format", "pt".to_owned()), ("rank", rank.to_string())]
        .map(|(key, value)| (key.to_owned(), value));
    let metadata: BTreeMap<String, String> = metadata.clone().into_iter().chain(own).collect();
    header.insert("__metadata__".into(), json!(metadata));
    let mut end = 0;
    let mut describe = |name: String, shape: [usize; 2]| {
        let start = end;
        end += 4 * shape[0] * shape[1];
        header.insert(
            name,
            json!({ "dtype": "F32", "shape": shape, "data_offsets": [start, end] }),
        );
    };
    for place in places {
        describe(
            format!("unet.{}.lora.down.weight", place.name),
            [place.adapter.rank, place.inputs],
        );
        describe(
            format!("unet.{}.lora.up.weight", place.name),
            [place.outputs, place.adapter.rank],
        );
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.append(&mut header);
    bytes.extend(parameters.iter().flat_map(|value| value.to_le_bytes()));
    bytes
}
