//! The `cache-mode` of the job, as a runner tells it to actions.
//!
//! GitHub sends its runner the mode of a job: the one that the workflow declares, or else the default of the event. The
//! runner passes it to actions unchanged (`NodeScriptActionHandler.cs` of actions/runner, since 2.336.0). Steps that
//! `run` a command do not get it. `docs/decisions/0030-cache-mode.md` has the consequences.

use super::shown::shown;
use crate::model::cache_mode::CacheMode;
use crate::model::environment::Environment;

/// The variable that carries the mode. An empty value counts as unset, as in GitHub's own clients.
pub const VARIABLE: &str = "ACTIONS_CACHE_MODE";

/// Returns the mode of the job. For a mode that this version does not know, returns [`CacheMode::None`] and a warning:
/// then nothing is restored or saved.
pub fn cache_mode(environment: &Environment) -> (CacheMode, Option<String>) {
    let Some(value) = environment.get(VARIABLE) else { return (CacheMode::default(), None) };
    let word = value.to_string_lossy();
    if let Some(mode) = CacheMode::parse(&word) {
        return (mode, None);
    }
    let word = shown(&word);
    let warning = format!(
        "`{VARIABLE}` is `{word}`, which this version does not know: nothing is restored, and nothing is saved"
    );
    (CacheMode::None, Some(warning))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    #[test]
    fn an_unknown_mode_is_the_strictest_and_is_said() {
        let mode = |value: &OsStr| {
            let (mode, warning) = cache_mode(&Environment::default().with(VARIABLE, value));
            (mode, warning.is_some())
        };
        for (value, want) in [
            ("", (CacheMode::Write, false)),
            ("read", (CacheMode::Read, false)),
            ("write-only", (CacheMode::WriteOnly, false)),
            ("append", (CacheMode::None, true)),
            ("READ", (CacheMode::None, true)),
        ] {
            assert_eq!(mode(OsStr::new(value)), want, "{value}");
        }
        assert_eq!(mode(OsStr::from_bytes(b"read\xff")), (CacheMode::None, true));
        assert_eq!(cache_mode(&Environment::default()), (CacheMode::Write, None));
        let (_, warning) = cache_mode(&Environment::default().with(VARIABLE, "a\n::error::b"));
        let want = "`ACTIONS_CACHE_MODE` is `a\\n::error::b`, which this version does not know: nothing is restored, and nothing is saved";
        assert_eq!(warning.as_deref(), Some(want));
    }
}
