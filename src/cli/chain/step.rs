//! The step of the chain's action: a command of `runner-cache chain`, whose options are inputs.

use std::ffi::OsString;

use clap::Parser as _;

use super::hint;
use crate::action::{Log, advised};
use crate::cli::Cli;
use crate::front::Status;
use crate::github::inputs::input;
use crate::job::error::chain;
use crate::model::environment::Environment;

/// What the input `command` may be.
const COMMANDS: [&str; 7] =
    ["check", "show", "affected", "receive", "dispatch", "resolve", "nightly"];

/// The inputs that are options with a value.
const OPTIONS: [&str; 11] = [
    "file", "format", "changed", "failed", "result", "results", "versions", "commits", "publish",
    "target", "patience",
];

/// The inputs that are lists of words.
const LISTS: [&str; 3] = ["changed", "failed", "results"];

/// Runs the step.
pub(in crate::cli) fn run(environment: &Environment) -> Status {
    let mut log = Log::new();
    let status = match arguments(environment).and_then(parse) {
        Ok(cli) => cli.command.run().unwrap_or_else(|error| {
            log.error(&advised(chain(&error), hint(&error)));
            Status::Failed
        }),
        Err(message) => {
            log.error(&message);
            Status::Failed
        }
    };
    log.finish();
    status
}

fn parse(arguments: Vec<OsString>) -> Result<Cli, String> {
    Cli::try_parse_from(arguments).map_err(|error| {
        let text = error.to_string();
        let first = text.lines().next().unwrap_or_default();
        first.trim_start_matches("error: ").to_owned()
    })
}

/// Returns the command line that the inputs stand for.
///
/// A value stands behind its option's `=`, so that it is nothing but a value, whatever it is.
fn arguments(environment: &Environment) -> Result<Vec<OsString>, String> {
    let command = input(environment, "command").unwrap_or("check");
    if !COMMANDS.contains(&command) {
        let known = COMMANDS.join("`, `");
        return Err(format!("input `command`: not one of `{known}`"));
    }
    let mut arguments: Vec<OsString> = ["runner-cache", "chain", command].map(Into::into).into();
    for name in OPTIONS {
        let Some(value) = input(environment, name) else { continue };
        let value = if LISTS.contains(&name) {
            value.split_whitespace().collect::<Vec<_>>().join(",")
        } else {
            value.to_owned()
        };
        arguments.push(format!("--{name}={value}").into());
    }
    match input(environment, "dry-run") {
        None | Some("false") => {}
        Some("true") => arguments.push("--dry-run".into()),
        Some(_) => return Err("input `dry-run`: neither `true` nor `false`".to_owned()),
    }
    Ok(arguments)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn given(inputs: &[(&str, &str)]) -> Result<Vec<String>, String> {
        let environment = inputs.iter().map(|(name, value)| {
            (format!("INPUT_{}", name.to_ascii_uppercase()).into(), OsString::from(value))
        });
        let arguments = arguments(&environment.collect())?;
        Ok(arguments.iter().skip(2).map(|it| it.to_string_lossy().into_owned()).collect())
    }

    #[test]
    fn inputs_are_the_options_of_a_command_and_nothing_else() {
        type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], Result<&'a [&'a str], &'a str>);
        #[rustfmt::skip]
        let cases: [Case<'_>; 7] = [
            ("none",          &[],                                                   Ok(&["check"])),
            ("a list",        &[("command", "affected"), ("changed", "a b\n c")],    Ok(&["affected", "--changed=a,b,c"])),
            ("no option",     &[("command", "dispatch"), ("result", "--dry-run")],   Ok(&["dispatch", "--result=--dry-run"])),
            ("empty",         &[("command", "dispatch"), ("result", "")],            Ok(&["dispatch"])),
            ("dry",           &[("command", "receive"), ("dry-run", "true")],        Ok(&["receive", "--dry-run"])),
            ("not so dry",    &[("command", "receive"), ("dry-run", "maybe")],       Err("input `dry-run`: neither `true` nor `false`")),
            ("not a command", &[("command", "init")],                                Err(
                "input `command`: not one of `check`, `show`, `affected`, `receive`, `dispatch`, `resolve`, `nightly`")),
        ];
        for (why, inputs, want) in cases {
            let want = want.map(|words| words.iter().map(ToString::to_string).collect());
            assert_eq!(given(inputs), want.map_err(str::to_owned), "{why}");
        }
    }

    #[test]
    fn the_action_declares_what_the_step_reads() {
        let action = include_str!("../../../chain/action.yml");
        let inputs = action.lines().filter_map(|line| line.strip_prefix("  ")?.strip_suffix(':'));
        let declared: BTreeSet<_> = inputs.filter(|name| !name.starts_with(' ')).collect();
        let others = ["command", "token", "dry-run"];
        assert_eq!(declared, OPTIONS.into_iter().chain(others).collect());
    }

    #[test]
    fn an_option_that_a_command_does_not_have_is_refused() {
        let arguments = ["runner-cache", "chain", "check", "--result=success"];
        let refused = parse(arguments.map(Into::into).into()).map(drop);
        assert_eq!(refused, Err("unexpected argument '--result' found".to_owned()));
    }
}
