//! Asking the programs of a toolchain.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Output;

use super::error::{Error, Result, on_one_line};
use crate::fs::At;
use crate::fs::child::Program;
use crate::model::environment::Environment;

/// Runs `program` in `dir`, which exists; `None` when the program does not.
///
/// A name without `/` is looked up in the PATH of `environment`, of which the program sees no secret.
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

/// Returns the error that says how `program` failed.
pub(super) fn failure(program: &OsStr, args: &[&str], dir: &Path, output: &Output) -> Error {
    let mut shown = program.to_string_lossy().into_owned();
    for arg in args {
        shown.push(' ');
        shown.push_str(arg);
    }
    let stderr = on_one_line(&String::from_utf8_lossy(&output.stderr));
    Error::Program { program: shown, dir: dir.to_owned(), status: output.status, stderr }
}
