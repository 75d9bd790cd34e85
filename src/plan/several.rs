//! Several methods on one picture, each with the settings that it has.

use super::Choice;
use crate::drag_file::DragFile;
use crate::error::{Error, Result};
use crate::method::{Method, groups, methods_with};
use crate::settings::{either, typed};

/// Checks methods that are to be compared, and what is given for all of them: by the command line in `choice`, and in the drag file where
/// that names no method. Each method takes the settings that it has ([`super::Request::is_one_of_several`]).
///
/// # Errors
/// [`Error::Setting`] for no method, a method that is given twice, a setting that none of the methods uses, and a value out of its bounds.
pub fn check_methods(methods: &[Method], choice: &Choice, drag: Option<&DragFile>) -> Result<()> {
    let refused = |value: &str, reason: &str| Error::Setting {
        name: "method".into(),
        value: value.into(),
        reason: reason.into(),
    };
    if methods.is_empty() {
        return Err(refused("", "must be at least one method"));
    }
    for (index, method) in methods.iter().enumerate() {
        if methods[..index].contains(method) {
            return Err(refused(method.name(), "is given twice"));
        }
    }
    let of_file = drag.filter(|drag| drag.method.is_none());
    let given = of_file.map_or_else(
        || choice.values.clone(),
        |drag| choice.values.over(&drag.settings),
    );
    for name in given.names() {
        if methods.iter().any(|method| method.uses(name)) {
            continue;
        }
        let chosen: Vec<&str> = methods.iter().map(|method| method.name()).collect();
        let owners: Vec<&str> = methods_with(name)
            .iter()
            .map(|owner| owner.name())
            .collect();
        let reason = if owners.is_empty() {
            "has no effect with any of the methods".to_owned()
        } else {
            format!("is a setting of {}", either(&owners))
        };
        return Err(Error::Setting {
            name: name.replace('_', "-"),
            value: given.get(name).map(typed).unwrap_or_default(),
            reason: format!("{reason}, and the methods are `{}`", chosen.join("`, `")),
        });
    }
    given.check(&groups())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Overrides;

    #[test]
    fn methods_are_given_once_and_a_setting_belongs_to_one_of_them() {
        let nothing = Choice::default();
        for (methods, expected) in [
            (&[][..], "method: `` must be at least one method"),
            (
                &[Method::Pbsi, Method::Pbsi],
                "method: `pbsi` is given twice",
            ),
        ] {
            let error = check_methods(methods, &nothing, None).expect_err("it is no list");
            assert_eq!(error.to_string(), expected);
        }
        let given = Choice::of(Overrides::from([("iterations", 3), ("steps", 20)]));
        assert!(check_methods(&[Method::Pbsi], &given, None).is_ok());
        let wide = Choice::of(Overrides::from([("strength", 2)]));
        let error = check_methods(&[Method::Pbsi], &wide, None).expect_err("out of bounds");
        assert!(error.to_string().starts_with("strength: `2`"), "{error}");
        let others: Vec<Method> = Method::ALL
            .iter()
            .copied()
            .filter(|method| !method.uses("iterations"))
            .collect();
        let error = check_methods(&others, &given, None).expect_err("none has iterations");
        assert!(error.to_string().contains("is a setting of"), "{error}");
        let layer = Choice::of(Overrides::from([("start_layer", 3)]));
        let both = [Method::RegionDrag, Method::FastDrag];
        let error = check_methods(&both, &layer, None).expect_err("neither uses it");
        let expected = "start-layer: `3` has no effect with any of the methods, and the methods are `region-drag`, `fast-drag`";
        assert_eq!(error.to_string(), expected);
        assert!(check_methods(&[Method::RegionDrag, Method::Pbsi], &layer, None).is_ok());
    }
}
