//! `--methods`: turns each entry of a list into one variant for each method.

use super::entry::ListEntry;
use super::sheets::sheet_of;
use crate::method::Method;

/// Returns one variant of the entry for each method, with the method in its id and its output; without methods, the entry itself. Several variants
/// share a contact sheet.
pub(super) fn variants(methods: &[Method], entry: ListEntry) -> Vec<ListEntry> {
    if methods.is_empty() {
        return vec![entry];
    }
    let out = entry.out.as_ref().unwrap_or(&entry.image);
    let sheet = (methods.len() > 1).then(|| sheet_of(out));
    let variant = |method: &Method| {
        let mut variant = entry.variant(method.name())?;
        variant.sheet.clone_from(&sheet);
        variant.choice.get_or_insert_default().method = Some(*method);
        Some(variant)
    };
    let variants: Option<Vec<ListEntry>> = methods.iter().map(variant).collect();
    variants.unwrap_or_else(|| vec![entry.clone()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_has_one_variant_for_each_method() {
        let entry = ListEntry::new("line 1".into(), 1, "in/cat.jpg".into());
        let variants = variants(Method::ALL, entry.clone());
        assert_eq!(variants.len(), Method::ALL.len());
        for (variant, method) in variants.into_iter().zip(Method::ALL) {
            let name = method.name();
            assert_eq!(variant.id, Some(format!("in/cat.{name}")));
            assert_eq!(variant.out, Some(format!("in/cat.{name}.png").into()));
            let choice = variant.choice.expect("a method");
            assert_eq!(choice.method, Some(*method));
            assert_eq!(variant.sheet, Some("in/cat.methods.png".into()));
        }
        let one = super::variants(&Method::ALL[..1], entry.clone());
        assert_eq!((one.len(), &one[0].sheet), (1, &None));
        assert_eq!(super::variants(&[], entry).len(), 1);
    }
}
