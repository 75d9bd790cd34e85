//! Makes an XMP packet fit the upright picture. It is text, of which only single values are replaced.

use std::ops::Range;

use roxmltree::{Document, Node};

use crate::geometry::Size;

const TIFF: &str = "http://ns.adobe.com/tiff/1.0/";
const EXIF: &str = "http://ns.adobe.com/exif/1.0/";
const BASIC: &str = "http://ns.adobe.com/xap/1.0/";
const NOTE: &str = "http://ns.adobe.com/xmp/note/";

/// Returns the packet for the upright picture of this size, without thumbnails and without the reference to an extended packet; `None` when it
/// is not UTF-8 or not XML. Its orientation is changed only where that of the EXIF data was applied to the pixels.
pub(super) fn upright(packet: Vec<u8>, size: Size, is_turned: bool) -> Option<String> {
    let packet = String::from_utf8(packet).ok()?;
    let mut text = packet.trim_end_matches('\0').to_owned();
    let start = text.find('<')?;
    let document = Document::parse(&text[start..]).ok()?;
    let mut changes: Vec<(Range<usize>, String)> = Vec::new();
    for node in document.descendants().filter(Node::is_element) {
        for attribute in node.attributes() {
            let namespace = attribute.namespace().unwrap_or_default();
            if (namespace, attribute.name()) == (NOTE, "HasExtendedXMP") {
                changes.push((attribute.range(), String::new()));
            } else if let Some(value) = replacement(namespace, attribute.name(), size, is_turned) {
                changes.push((attribute.range_value(), value));
            }
        }
        let name = node.tag_name();
        let namespace = name.namespace().unwrap_or_default();
        if matches!(
            (namespace, name.name()),
            (BASIC, "Thumbnails") | (NOTE, "HasExtendedXMP")
        ) {
            changes.push((node.range(), String::new()));
        } else if let (Some(value), Some(child)) = (
            replacement(namespace, name.name(), size, is_turned),
            node.first_child().filter(Node::is_text),
        ) {
            changes.push((child.range(), value));
        }
    }
    // From the end, so that ranges stay right; what lies inside a removed element begins after it, and is removed with it.
    changes.sort_by_key(|(range, _)| range.start);
    let mut end = 0;
    changes.retain(|(range, _)| {
        let is_outside = range.start >= end;
        end = end.max(range.end);
        is_outside
    });
    for (range, value) in changes.iter().rev() {
        text.replace_range(start + range.start..start + range.end, value);
    }
    Some(text)
}

fn replacement(namespace: &str, name: &str, size: Size, is_turned: bool) -> Option<String> {
    match (namespace, name) {
        (TIFF, "Orientation") if is_turned => Some("1".into()),
        (TIFF, "ImageWidth") | (EXIF, "PixelXDimension") => Some(size.width.to_string()),
        (TIFF, "ImageLength") | (EXIF, "PixelYDimension") => Some(size.height.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: &str = r#"<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:t="http://ns.adobe.com/tiff/1.0/" xmlns:exif="http://ns.adobe.com/exif/1.0/"
 xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmpNote="http://ns.adobe.com/xmp/note/"
 t:Orientation="6" exif:PixelXDimension="30" xmpNote:HasExtendedXMP="00FF">
<t:ImageLength>40</t:ImageLength><dc:title>café &amp; more</dc:title>
<xmp:Thumbnails><rdf:Alt><rdf:li t:Orientation="6">secret</rdf:li></rdf:Alt></xmp:Thumbnails>
</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>"#;

    #[test]
    fn single_values_are_replaced_and_the_rest_stays() {
        let size = Size::new(40, 30);
        let expected = PACKET
            .replace("t:Orientation=\"6\" exif", "t:Orientation=\"1\" exif")
            .replace("\"30\" xmpNote:HasExtendedXMP=\"00FF\"", "\"40\" ")
            .replace(">40<", ">30<")
            .replace(
                "<xmp:Thumbnails><rdf:Alt><rdf:li t:Orientation=\"6\">secret</rdf:li></rdf:Alt></xmp:Thumbnails>",
                "",
            );
        assert_eq!(
            upright(PACKET.into(), size, true).as_deref(),
            Some(&*expected)
        );
        let kept = upright(PACKET.into(), size, false).expect("it is XML");
        assert!(kept.contains("t:Orientation=\"6\""));
        assert_eq!(upright(kept.clone().into(), size, false), Some(kept));
    }

    #[test]
    fn what_is_not_xml_is_left_out() {
        let size = Size::new(40, 30);
        for packet in [&b"\xFE\xFF\0<\0x"[..], b"", b"no markup", b"<a><b></a>"] {
            assert_eq!(upright(packet.to_vec(), size, true), None);
        }
        let bomb = b"<!DOCTYPE a [<!ENTITY b \"bb\">]><a>&b;</a>";
        assert_eq!(upright(bomb.to_vec(), size, true), None);
    }
}
