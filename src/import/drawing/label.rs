//! Labels of shapes: a type, a name, or what a point is for.

use crate::region::RegionKind;

/// What a label says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Label {
    pub(super) kind: Option<RegionKind>,
    pub(super) role: Option<Role>,
    pub(super) name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Editable,
    Handle,
    Target,
    Center,
    Anchor,
}

impl Label {
    /// Reads a label; `given` is a type that stands beside it.
    pub(super) fn parse(text: &str, given: Option<&str>) -> Self {
        let mut label = Self::default();
        let mut words = Vec::new();
        let is_part = |c: char| c.is_alphanumeric() || "_-.".contains(c);
        let all = given.into_iter().chain(text.split(|c| !is_part(c)));
        for word in all.filter(|word| !word.is_empty()) {
            let lower = word.to_lowercase();
            let kind = RegionKind::ALL
                .into_iter()
                .find(|kind| kind.name() == lower && *kind != RegionKind::Point);
            let role = match &*lower {
                "editable" => Some(Role::Editable),
                "handle" => Some(Role::Handle),
                "target" => Some(Role::Target),
                "center" | "centre" => Some(Role::Center),
                "anchor" => Some(Role::Anchor),
                _ => None,
            };
            if kind.is_some() && label.kind.is_none() {
                label.kind = kind;
            } else if role.is_some() && label.role.is_none() {
                label.role = role;
            } else if kind.is_none() || kind != label.kind {
                words.push(word);
            }
        }
        label.name = words.join(" ");
        label
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_a_type_a_name_or_a_role() {
        for (text, kind, role, name) in [
            ("cat", None, None, "cat"),
            ("Rotation head", Some(RegionKind::Rotation), None, "head"),
            ("head (rotation)", Some(RegionKind::Rotation), None, "head"),
            (
                "translation:left ear",
                Some(RegionKind::Translation),
                None,
                "left ear",
            ),
            ("handle head", None, Some(Role::Handle), "head"),
            ("centre", None, Some(Role::Center), ""),
            ("editable", None, Some(Role::Editable), ""),
            ("", None, None, ""),
        ] {
            let expected = Label {
                kind,
                role,
                name: name.to_owned(),
            };
            assert_eq!(Label::parse(text, None), expected, "{text}");
        }
        assert_eq!(
            Label::parse("head", Some("scale")).kind,
            Some(RegionKind::Scale)
        );
    }
}
