//! Runs programs of a toolchain to ask them something.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Output;

use super::error::{Error, Result, on_one_line};
use crate::fs::At;
use crate::fs::child::Program;
use crate::model::environment::Environment;

/// Runs `program` in `dir`, which must exist; `None` if the program does not exist.
///
/// A name without `/` is looked up in the PATH of `environment`. The program gets the environment without its secrets.
pub(super) fn run(
    program: &OsStr,
    args: &[&str],
    dir: &Path,
    environment: &Environment,
) -> Result<Option<Output>> {
    let output = Program::of_toolchain(program, environment).args(args).current_dir(dir).output();
    match output {
        Ok(output) => Ok(Some(output)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Ok(Err(error).at("run", Path::new(program))?),
    }
}

/// Returns the error for a `program` that ran and failed.
pub(super) fn failure(program: &OsStr, args: &[&str], dir: &Path, output: &Output) -> Error {
    let mut shown = program.to_string_lossy().into_owned();
    for arg in args {
        shown.push(' ');
        shown.push_str(arg);
    }
    let stderr = on_one_line(&String::from_utf8_lossy(&output.stderr));
    Error::Program { program: shown, dir: dir.to_owned(), status: output.status, stderr }
}
