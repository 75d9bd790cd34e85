//! `dragnext methods`.

use dragnext::method::Method;
use serde_json::Value;

use crate::bench::Bench;

const GUIDE: &str = include_str!("../../assets/guide.md");

#[test]
fn every_method_is_listed_with_what_it_needs_and_costs() {
    let record = Bench::new().dragnext(["methods", "--json"]).record();
    let methods = record["methods"].as_array().unwrap();
    let names: Vec<&str> = methods
        .iter()
        .map(|method| method["name"].as_str().unwrap())
        .collect();
    let expected: Vec<&str> = Method::ALL.iter().map(|method| method.name()).collect();
    assert_eq!(names, expected);
    for method in methods {
        for key in ["description", "paper", "good_at"] {
            let text = method[key].as_str().unwrap_or_default();
            assert!(!text.is_empty(), "{key} in {method}");
        }
        let needs = method["needs"].as_array().unwrap();
        assert!(needs.iter().all(Value::is_string) && !needs.is_empty());
        assert!(method["passes"]["all"].as_u64() > Some(0), "{method}");
        assert!(method["lora_steps"].is_u64() && method.get("figures").is_some());
    }
    let defaults = methods.iter().filter(|method| method["is_default"] == true);
    assert_eq!(defaults.count(), 1);
}

#[test]
fn the_table_fits_eighty_columns() {
    let ended = Bench::new().dragnext(["methods"]).any_stdout().run();
    assert!(ended.stdout.starts_with("method "), "{ended}");
    for line in ended.stdout.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    for method in Method::ALL {
        let start = format!("\n{} ", method.name());
        assert!(ended.stdout.contains(&start), "{ended}");
    }
}

#[test]
fn the_guide_has_a_row_for_every_method() {
    for method in Method::ALL {
        let row = format!("\n| `{}` | {} |", method.name(), method.profile().paper);
        assert!(GUIDE.contains(&row), "{row:?} is not in the guide");
    }
}
