//! Annotations as CSV (RFC 4180): one line for each region, with its shape and its attributes as JSON in a cell.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};

use super::{Regions, VERSION_3, ViaPicture, ViaRegion, ViaShape};
use crate::error::Result;
use crate::import::json::{self, damaged};

/// Reads the pictures of a file, each with its regions.
///
/// # Errors
/// [`crate::Error::Given`] `import.damaged`.
pub(super) fn pictures(bytes: &[u8], place: &Path) -> Result<BTreeMap<String, ViaPicture>> {
    let text = std::str::from_utf8(bytes).map_err(|error| damaged(place, error.to_string()))?;
    let text = text.trim_start_matches('\u{feff}');
    if text.starts_with('#') && text.contains("temporal_coordinates") {
        return Err(damaged(place, VERSION_3));
    }
    let mut lines = lines(text).ok_or_else(|| damaged(place, "a quoted cell does not end"))?;
    if lines.is_empty() {
        return Err(damaged(place, "is empty"));
    }
    let head = lines.remove(0);
    let column = |name: &str| {
        let mut names = head.iter().map(|name| name.trim().trim_start_matches('#'));
        names.position(|found| found == name)
    };
    let required = |name: &str| {
        column(name).ok_or_else(|| damaged(place, format!("the first line has no column `{name}`")))
    };
    let (name, shape) = (required("filename")?, required("region_shape_attributes")?);
    let (size, of_picture, of_region) = (
        column("file_size"),
        column("file_attributes"),
        column("region_attributes"),
    );
    let mut pictures: BTreeMap<String, ViaPicture> = BTreeMap::new();
    for (index, line) in lines.iter().enumerate() {
        let cell = |column: Option<usize>| {
            let cell = column.and_then(|column| line.get(column));
            cell.map_or("", |cell| cell.trim())
        };
        let at = |error: crate::Error| match error {
            crate::Error::Given {
                path,
                kind,
                reason,
                hint,
            } => crate::Error::Given {
                path,
                kind,
                reason: format!("entry {}: {reason}", index + 1),
                hint,
            },
            error => error,
        };
        let attributes = |column| -> Result<Map<String, Value>> {
            match cell(column) {
                "" => Ok(Map::new()),
                text => json::parse(text.as_bytes(), place).map_err(at),
            }
        };
        let filename = cell(Some(name)).to_owned();
        let key = format!("{filename}\n{}", cell(size));
        let file_attributes = attributes(of_picture)?;
        let picture = pictures.entry(key).or_insert_with(|| ViaPicture {
            filename,
            regions: Regions::default(),
            file_attributes,
        });
        // A picture without regions has one line with an empty shape.
        let text = cell(Some(shape));
        if text.is_empty() || text == "{}" {
            continue;
        }
        let shape_attributes: ViaShape = json::parse(text.as_bytes(), place).map_err(at)?;
        let region = ViaRegion {
            shape_attributes,
            region_attributes: attributes(of_region)?,
        };
        match &mut picture.regions {
            Regions::List(regions) => regions.push(region),
            Regions::Object(regions) => {
                regions.insert(index.to_string(), region);
            }
        }
    }
    Ok(pictures)
}

/// Returns the cells of every line that is not empty; `None` if a quoted cell does not end.
fn lines(text: &str) -> Option<Vec<Vec<String>>> {
    let (mut lines, mut line, mut cell) = (Vec::new(), Vec::new(), String::new());
    let mut characters = text.chars().peekable();
    let mut is_quoted = false;
    while let Some(character) = characters.next() {
        match character {
            '"' if is_quoted && characters.next_if_eq(&'"').is_some() => cell.push('"'),
            '"' if is_quoted || cell.is_empty() => is_quoted = !is_quoted,
            ',' if !is_quoted => line.push(std::mem::take(&mut cell)),
            '\r' if !is_quoted && characters.peek() == Some(&'\n') => {}
            '\n' if !is_quoted => {
                line.push(std::mem::take(&mut cell));
                lines.push(std::mem::take(&mut line));
            }
            character => cell.push(character),
        }
    }
    if is_quoted {
        return None;
    }
    line.push(cell);
    lines.push(line);
    lines.retain(|line| line.iter().any(|cell| !cell.is_empty()));
    Some(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_as_rfc_4180_says() {
        let text = "a,\"b,\"\"c\"\"\",d\r\n\r\n,\"x\ny\",\n";
        assert_eq!(
            lines(text),
            Some(vec![
                vec!["a".to_owned(), "b,\"c\"".to_owned(), "d".to_owned()],
                vec![String::new(), "x\ny".to_owned(), String::new()],
            ])
        );
        assert_eq!(lines("a,\"b"), None);
    }
}
