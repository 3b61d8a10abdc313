//! Whether a job's environment switches incremental compilation off.

use std::ffi::OsStr;

use crate::model::environment::Environment;

/// Returns the variable, as `NAME=VALUE`, by which the environment switches off the incremental compilation of the dev
/// and test profiles.
///
/// Setup actions do so by habit. Files of the repo or of the user are not asked: who writes it there means it.
///
/// Cargo looks at `CARGO_INCREMENTAL` first, and takes every value but `1` for off, also the empty one
/// (`cargo::core::profiles`). Then come `build.incremental` and the profile, which have to be `true` or `false`.
pub fn switched_off(environment: &Environment) -> Option<String> {
    let value = |name| environment.iter().find(|(set, _)| *set == OsStr::new(name));
    let shown = |name, value: &OsStr| format!("{name}={}", value.display());
    if let Some((_, value)) = value("CARGO_INCREMENTAL") {
        return (value != "1").then(|| shown("CARGO_INCREMENTAL", value));
    }
    ["CARGO_BUILD_INCREMENTAL", "CARGO_PROFILE_DEV_INCREMENTAL"]
        .into_iter()
        .find_map(|name| value(name).map(|(_, value)| (name, value)))
        .and_then(|(name, value)| (value == "false").then(|| shown(name, value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_off_where_cargo_1_95_compiles_without_it() {
        #[rustfmt::skip]
        let cases = [
            ("unset",              "",                                                                None),
            ("another variable",   "RUSTFLAGS=0",                                                     None),
            ("on",                 "CARGO_INCREMENTAL=1",                                             None),
            ("off",                "CARGO_INCREMENTAL=0",                                             Some(0)),
            ("empty",              "CARGO_INCREMENTAL=",                                              Some(0)),
            ("not 1",              "CARGO_INCREMENTAL=true",                                          Some(0)),
            ("on before all",      "CARGO_INCREMENTAL=1 CARGO_BUILD_INCREMENTAL=false",               None),
            ("off before all",     "CARGO_PROFILE_DEV_INCREMENTAL=true CARGO_INCREMENTAL=0",          Some(1)),
            ("off in [build]",     "CARGO_BUILD_INCREMENTAL=false",                                   Some(0)),
            ("[build] before dev", "CARGO_BUILD_INCREMENTAL=true CARGO_PROFILE_DEV_INCREMENTAL=false", None),
            ("off in dev",         "CARGO_PROFILE_DEV_INCREMENTAL=false",                             Some(0)),
            ("on in dev",          "CARGO_PROFILE_DEV_INCREMENTAL=true",                              None),
        ];
        for (why, variables, at) in cases {
            let set: Vec<_> = variables.split_whitespace().collect();
            let pairs = set.iter().filter_map(|pair| pair.split_once('='));
            let environment = pairs.map(|(name, value)| (name.into(), value.into())).collect();
            let want = at.map(|at: usize| set[at]);
            assert_eq!(switched_off(&environment).as_deref(), want, "{why}");
        }
    }
}
