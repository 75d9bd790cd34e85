//! Bounds on an XML file before it is parsed: the parser recurses into elements, and compares each attribute of an element with all others.

/// Deepest nesting of elements; CVAT's files have six levels.
const MAX_DEPTH: usize = 64;
/// Most attributes of an element; CVAT's have about a dozen.
const MAX_ATTRIBUTES: usize = 256;

/// Checks the nesting of elements and the number of their attributes, in one pass.
///
/// Markup is told from text by its brackets only: comments and quotes count as elements at worst, and equals signs in a text as attributes.
pub(super) fn check(text: &str) -> Result<(), String> {
    let mut depth = 0_usize;
    // A `<` begins markup wherever it stands; within a value it has to be written as `&lt;`.
    for part in text.split('<').skip(1) {
        match part.as_bytes().first() {
            Some(b'/') => depth = depth.saturating_sub(1),
            Some(b'!' | b'?') => {}
            _ => {
                let is_closed = part.find('>').is_some_and(|end| {
                    part[..end].ends_with('/') && !part[end + 1..].contains('>')
                });
                depth += usize::from(!is_closed);
            }
        }
        if depth > MAX_DEPTH {
            return Err(format!("more than {MAX_DEPTH} elements are open"));
        }
        let mut signs = part.bytes().filter(|byte| *byte == b'=');
        if signs.nth(MAX_ATTRIBUTES).is_some() {
            return Err(format!(
                "an element has more than {MAX_ATTRIBUTES} attributes"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesting_and_attributes_are_bounded() {
        assert_eq!(check("<?xml version='1.0'?><a><b c='1'/>x</a>"), Ok(()));
        assert_eq!(check(&"<a b='1'/>".repeat(100_000)), Ok(()));
        for text in [
            "<a>".repeat(65),
            "<a b='/>'>".repeat(65),
            "<a ".repeat(200_000) + "/>",
        ] {
            assert!(check(&text).is_err_and(|reason| reason.contains("64 elements")));
        }
        let attributes: String = " a='>'".repeat(300_000);
        let text = format!("<annotations><box{attributes}/></annotations>");
        assert!(check(&text).is_err_and(|reason| reason.contains("256 attributes")));
    }
}
