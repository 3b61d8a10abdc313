//! Printed lines and a runner's files: no foreign text becomes a command, another output or another table cell.

use std::fs;

use runner_cache::github::commands::{
    Level, LogLine, annotation, end_group, group, no_annotation, plain,
};
use runner_cache::github::files::Files;
use runner_cache::github::shown::shown;
use runner_cache::github::summary::{Markdown, Side, Table};
use runner_cache::model::environment::Environment;

use super::world::World;

/// Prints `bytes` as text, and writes the values in it, separated by NUL, as outputs.
pub fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for line in lines(&plain(&text)) {
        assert!(!is_command(line), "{line:?} of {text:?}");
    }
    let commands = [
        annotation(Level::Error, &text),
        annotation(Level::Warning, &text),
        group(&text),
        end_group(),
    ];
    for command in commands.iter().map(LogLine::as_str) {
        assert_eq!(lines(command).count(), 1, "{command:?}");
    }
    let line = no_annotation(Level::Notice, &text);
    assert!(lines(line.as_str()).all(|line| !is_command(line)), "{line:?} of {text:?}");
    assert!(shown(&text).chars().all(|symbol| !symbol.is_control()), "{text:?}");
    table(&text);
    let values: Vec<_> = text.split('\0').collect();
    World::with(|world| outputs(world, &values));
}

/// Splits a text into lines; a runner also ends a line at a carriage return.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split(['\n', '\r'])
}

/// Tells whether a line is a command, as `ActionCommand.cs` finds one.
fn is_command(line: &str) -> bool {
    line.trim().starts_with("::") || line.contains("##[")
}

/// Checks that a table row stays one row, whatever its cells hold.
fn table(text: &str) {
    let mut table = Table::new(&[("a", Side::Left), ("b", Side::Right)]);
    table.row([Markdown::text(text), Markdown::code(text)]);
    let table = table.to_string();
    assert_eq!(table.trim().lines().count(), 3, "{table}");
}

fn outputs(world: &World, values: &[&str]) {
    let path = world.beside("outputs");
    world.write(&path, b"");
    let files = Files::of(&Environment::default().with("GITHUB_OUTPUT", &path));
    let names: Vec<_> = (0..values.len()).map(|number| format!("name-{number}")).collect();
    let pairs: Vec<_> = names.iter().map(String::as_str).zip(values.iter().copied()).collect();
    files.output(&pairs).expect("the names are fine, and there is room");
    // A value that is not a valid name is refused and adds nothing.
    for value in values.iter().filter(|value| !is_name(value)) {
        assert!(files.output(&[(value, "")]).is_err(), "{value:?}");
    }
    let text = fs::read_to_string(&path).expect("it is text");
    let want: Vec<_> =
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    assert_eq!(read(&text), want);
    world.remove(&path);
}

fn is_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && text.bytes().all(fits)
}

/// Reads names and values as `FileCommandManager.cs` does on Linux.
fn read(text: &str) -> Vec<(String, String)> {
    let mut lines = text.split('\n');
    let mut pairs = Vec::new();
    while let Some(line) = lines.next() {
        if line.is_empty() {
            continue;
        }
        let (name, delimiter) = match (line.find('='), line.find("<<")) {
            (Some(equals), at) if at.is_none_or(|at| equals < at) => {
                pairs.push((line[..equals].to_owned(), line[equals + 1..].to_owned()));
                continue;
            }
            (_, Some(at)) => (&line[..at], &line[at + 2..]),
            (_, None) => panic!("a runner refuses {line:?}"),
        };
        let value: Vec<_> = lines.by_ref().take_while(|line| *line != delimiter).collect();
        pairs.push((name.to_owned(), value.join("\n")));
    }
    pairs
}
