//! Flags and environment variables of `--method` and of every setting, made from the tables of their groups.

use clap::builder::{PossibleValuesParser, TypedValueParser, ValueParser};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use serde_json::Value;

use crate::method::{Method, groups, methods_with};
use crate::plan::Choice;
use crate::settings::{Description, Form, Overrides, typed};

/// What the command line and the environment choose. With `SEVERAL`, `--method` takes a list.
#[derive(Debug, Clone, Default)]
pub(super) struct SettingFlags<const SEVERAL: bool = false> {
    /// Method and settings; no method when several are given.
    pub(super) choice: Choice,
    /// The methods, when several are given.
    pub(super) methods: Vec<Method>,
    /// Names of settings that come from the environment.
    pub(super) environment: Vec<&'static str>,
}

/// Returns every setting once, with the heading of the first group that has it.
fn settings() -> Vec<(&'static str, &'static Description)> {
    let mut all: Vec<(&'static str, &'static Description)> = Vec::new();
    for group in groups() {
        for setting in group.settings {
            if all.iter().all(|(_, known)| known.name != setting.name) {
                all.push((group.heading, setting));
            }
        }
    }
    all
}

fn flag(heading: &'static str, setting: &'static Description) -> Arg {
    Arg::new(setting.name)
        .long(setting.name.replace('_', "-"))
        .value_name("VALUE")
        .env(format!("DRAGNEXT_{}", setting.name.to_uppercase()))
        .hide_env(true)
        .hide_short_help(true)
        .allow_negative_numbers(true)
        .help_heading(heading)
        .value_parser(parser(setting.form))
        .help(setting.text().trim_end_matches('.').to_owned())
        .long_help(long_help(setting))
}

/// What `--help` says about a setting; clap itself lists words and switches.
fn long_help(setting: &Description) -> String {
    let bounds = match setting.form {
        Form::Switch | Form::Words(_) | Form::Whole(0, u64::MAX) => String::new(),
        form => format!("{}; ", form.bounds()),
    };
    let others: Vec<String> = methods_with(setting.name)
        .into_iter()
        .skip(1)
        .filter_map(|method| {
            let own = method.group().find(setting.name)?;
            Some(format!(
                ". Also a setting of {}, with the default {}",
                method.name(),
                typed(&own.default())
            ))
        })
        .collect();
    format!(
        "{} ({bounds}default {}; {}){}",
        setting.text(),
        typed(&setting.default()),
        setting.source,
        others.concat()
    )
}

/// Reads a value of this form. Bounds are checked later, where the values of all sources meet.
fn parser(form: Form) -> ValueParser {
    match form {
        Form::Switch => PossibleValuesParser::new(["true", "false"])
            .map(|word| Value::from(word == "true"))
            .into(),
        Form::Words(words) => PossibleValuesParser::new(words).map(Value::from).into(),
        form => ValueParser::new(move |text: &str| {
            form.parse(text).ok_or_else(|| match form {
                Form::Stages(_) => form.bounds(),
                form => format!("expected {}; it {}", form.expected(), form.bounds()),
            })
        }),
    }
}

/// Reads a method's name.
pub(super) fn method() -> impl TypedValueParser<Value = Method> {
    let names = Method::ALL.iter().map(|method| method.name());
    PossibleValuesParser::new(names).try_map(|name| name.parse().map_err(|()| UNKNOWN_METHOD))
}

/// Never seen, since clap checks names first.
const UNKNOWN_METHOD: &str = "no method has this name";

/// What `--help` says about a list of methods.
const SEVERAL_METHODS: &str = "Several, separated by commas, edit the picture once with each: the results and a contact sheet with their seconds go to a folder (-o), by default the picture's name with `.methods`. What they need alike is computed once. A setting applies to the methods that have it. A method that fails or does not fit is shown as such, and the exit status is then 1.";

impl<const SEVERAL: bool> Args for SettingFlags<SEVERAL> {
    fn augment_args(command: Command) -> Command {
        let default = Method::default().name();
        let method = Arg::new("method")
            .long("method")
            .value_name("METHOD")
            .env("DRAGNEXT_METHOD")
            .hide_env(true)
            .value_parser(method());
        let method = if SEVERAL {
            let about = format!(
                "Drag method, or several to compare [default: that of the drag file, else {default}]"
            );
            method
                .value_delimiter(',')
                .long_help(format!("{about}\n\n{SEVERAL_METHODS}"))
                .help(about)
        } else {
            method.help(format!(
                "Drag method [default: that of the drag file, else {default}]"
            ))
        };
        settings()
            .into_iter()
            .fold(command.arg(method), |command, (heading, setting)| {
                command.arg(flag(heading, setting))
            })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<const SEVERAL: bool> FromArgMatches for SettingFlags<SEVERAL> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let methods = matches.get_many::<Method>("method");
        let methods: Vec<Method> = methods.unwrap_or_default().copied().collect();
        let (method, methods) = match methods[..] {
            [method] => (Some(method), Vec::new()),
            _ => (None, methods),
        };
        let mut flags = Self {
            choice: Choice {
                method,
                values: Overrides::default(),
            },
            methods,
            environment: Vec::new(),
        };
        for (_, setting) in settings() {
            let Some(value) = matches.get_one::<Value>(setting.name) else {
                continue;
            };
            flags.choice.values.set(setting.name, value.clone());
            if matches.value_source(setting.name) == Some(ValueSource::EnvVariable) {
                flags.environment.push(setting.name);
            }
        }
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        settings: SettingFlags,
    }

    #[test]
    fn wrong_values_are_refused_with_what_is_expected() {
        for (flag, expected) in [
            (
                "--lr=fast",
                "expected a number; it must be above 0 and at most 100",
            ),
            (
                "--steps=1.5",
                "expected a whole number; it must be 1 to 1000",
            ),
            (
                "--seed=-1",
                "expected a whole number; it must be 0 to 18446744073709551615",
            ),
            (
                "--ramp=slow",
                "expected a whole number or `auto`; it must be auto or 0 to 1000",
            ),
            (
                "--taps=a",
                "must name decoder stages 1 to 4, each once, such as 3 or 2,3",
            ),
            (
                "--mode=fast",
                "[possible values: pbsi, literal, literal-strict]",
            ),
            ("--method=other", "[possible values: pbsi"),
        ] {
            let error = Line::try_parse_from(["dragnext", flag]).expect_err("the value is wrong");
            assert!(error.to_string().contains(expected), "{flag}: {error}");
        }
    }

    #[test]
    fn flags_are_read() {
        let line = [
            "dragnext",
            "--lr=1e-3",
            "--taps=2, 3",
            "--ramp=auto",
            "--hard-background=false",
            "--method=pbsi",
        ];
        let choice = Line::try_parse_from(line)
            .expect("the values are right")
            .settings
            .choice;
        let expected = Overrides::from([
            ("lr", json!(1e-3)),
            ("taps", json!([2, 3])),
            ("ramp", json!("auto")),
            ("hard_background", json!(false)),
        ]);
        assert_eq!(
            (choice.method, choice.values),
            (Some(Method::Pbsi), expected)
        );
    }
}
