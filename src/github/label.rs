//! The kind of the job, which a restore prefers.

use serde_json::{Map, Value};

use super::inputs::Inputs;
use super::runner::Runner;
use super::shown::name;

/// The longest label in bytes. It is in every manifest that the job saves.
pub(super) const MAX_LEN: usize = 200;

/// Returns the input `job`, else the workflow, the id of the job and its matrix:
/// `CI/test (os=linux, toolchain=stable)`.
pub fn label(inputs: &Inputs, runner: &Runner) -> String {
    if let Some(job) = &inputs.job {
        return job.clone();
    }
    let part = |part: &Option<String>| part.clone().unwrap_or_else(|| "unknown".to_owned());
    let mut label = format!("{}/{}", part(&runner.workflow), part(&runner.job));
    if let Some(matrix) = inputs.matrix.as_deref().and_then(matrix) {
        label = format!("{label} ({matrix})");
    }
    name(&label, MAX_LEN)
}

/// Shows a matrix; `None` for an empty one, or for `null`, which runners pass if there is none.
fn matrix(json: &str) -> Option<String> {
    let Ok(matrix) = serde_json::from_str::<Option<Map<String, Value>>>(json) else {
        return Some(json.to_owned());
    };
    let matrix = matrix.filter(|matrix| !matrix.is_empty())?;
    let axes = matrix.iter().map(|(axis, value)| match value {
        Value::String(text) => format!("{axis}={text}"),
        other => format!("{axis}={other}"),
    });
    Some(axes.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::github::inputs::InputError;
    use crate::model::environment::Environment;

    fn labelled(variables: &[(&str, &str)]) -> Result<String, InputError> {
        let environment =
            variables.iter().fold(Environment::default(), |environment, (name, value)| {
                environment.with(name, *value)
            });
        let runner = Runner::of(&environment, Path::new("/w"));
        Ok(label(&Inputs::parse(&environment)?, &runner))
    }

    #[test]
    fn a_job_is_labelled_by_its_workflow_id_and_matrix_unless_it_is_named() -> Result<(), InputError>
    {
        let job = [("GITHUB_WORKFLOW", "CI"), ("GITHUB_JOB", "test")];
        let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(300));
        let cases = [
            ("no matrix", "", "CI/test"),
            ("null", "null", "CI/test"),
            ("empty", "{}", "CI/test"),
            (
                "sorted",
                r#"{"toolchain":"stable","os":"linux"}"#,
                "CI/test (os=linux, toolchain=stable)",
            ),
            ("nested", r#"{"a":{"b":[1,true]},"c":null}"#, r#"CI/test (a={"b":[1,true]}, c=null)"#),
            ("no JSON", "os: linux", "CI/test (os: linux)"),
            ("lines", r#"{"a":"b\nc"}"#, "CI/test (a=b_c)~7935a56065ed760a"),
        ];
        for (why, matrix, want) in cases {
            let variables = [job[0], job[1], ("INPUT_MATRIX", matrix)];
            assert_eq!(labelled(&variables)?, want, "{why}");
        }
        let cut = labelled(&[job[0], job[1], ("INPUT_MATRIX", &long)])?;
        assert!(cut.len() == MAX_LEN && cut.starts_with("CI/test (a=xxx"), "{cut}");
        assert_eq!(labelled(&[job[0], ("INPUT_JOB", "lint")])?, "lint");
        assert_eq!(labelled(&[])?, "unknown/unknown");
        Ok(())
    }
}
