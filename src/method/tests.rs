//! Tests of the table of methods and of their settings.

use super::*;

#[test]
fn methods_are_found_by_name() {
    for method in Method::ALL {
        assert_eq!(method.name().parse(), Ok(*method));
    }
    assert_eq!("PBSI".parse::<Method>(), Err(()));
}

#[test]
fn every_method_is_described() {
    for method in Method::ALL {
        let (name, profile) = (method.name(), method.profile());
        assert!(method.about().contains(profile.paper), "paper of {name}");
        assert!(profile.good_at.ends_with('.'), "{name}");
        for Score { gain, hit } in [profile.figures.plain, profile.figures.hard] {
            assert!(gain <= 1.0 && (0.0..=1.0).contains(&hit), "{name}");
        }
    }
}

#[test]
fn no_method_renames_a_shared_setting() {
    for method in Method::ALL {
        for setting in method.group().settings {
            assert!(
                SHARED
                    .iter()
                    .all(|group| group.find(setting.name).is_none()),
                "{} of {}",
                setting.name,
                method.name()
            );
        }
    }
}

/// Own settings that nothing uses would have no reason to exist; and a method does not have defaults of what it does not use.
#[test]
fn unused_settings_are_shared_and_have_a_reason() {
    for method in Method::ALL {
        let defaults = method.shared_defaults(&Overrides::default());
        for (name, reason) in method.unused() {
            let is_shared = SHARED.iter().any(|group| group.find(name).is_some());
            assert!(
                is_shared && !reason.is_empty(),
                "{name} of {}",
                method.name()
            );
            assert!(defaults.get(name).is_none(), "{name} of {}", method.name());
            assert!(!method.uses(name));
        }
    }
    assert!(Method::Pbsi.uses("trajectory") && !Method::RegionDrag.uses("trajectory"));
    assert!(!Method::RegionDrag.uses("iterations") && Method::FastDrag.uses("trajectory"));
}

#[test]
fn every_default_fits_its_form() {
    for setting in groups().iter().flat_map(|group| group.settings) {
        let default = setting.default();
        assert_eq!(setting.form.read(&default), Ok(default), "{}", setting.name);
    }
}

#[test]
fn settings_of_one_name_have_one_form() {
    for group in groups() {
        for setting in group.settings {
            let others = groups()
                .into_iter()
                .filter_map(|other| other.find(setting.name));
            for other in others {
                assert_eq!(other.form, setting.form, "{}", setting.name);
            }
        }
    }
}
