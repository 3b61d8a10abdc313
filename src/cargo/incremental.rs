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
        const ALL: &str = "CARGO_INCREMENTAL";
        const BUILD: &str = "CARGO_BUILD_INCREMENTAL";
        const DEV: &str = "CARGO_PROFILE_DEV_INCREMENTAL";
        #[rustfmt::skip]
        let cases: [(&str, &[(&str, &str)], Option<&str>); 12] = [
            ("unset",                 &[],                               None),
            ("another variable",      &[("RUSTFLAGS", "0")],             None),
            ("on",                    &[(ALL, "1")],                     None),
            ("off",                   &[(ALL, "0")],                     Some("CARGO_INCREMENTAL=0")),
            ("empty",                 &[(ALL, "")],                      Some("CARGO_INCREMENTAL=")),
            ("not 1",                 &[(ALL, "true")],                  Some("CARGO_INCREMENTAL=true")),
            ("on before all",         &[(ALL, "1"), (BUILD, "false")],   None),
            ("off before all",        &[(ALL, "0"), (DEV, "true")],      Some("CARGO_INCREMENTAL=0")),
            ("off in [build]",        &[(BUILD, "false")],               Some("CARGO_BUILD_INCREMENTAL=false")),
            ("[build] before dev",    &[(BUILD, "true"), (DEV, "false")], None),
            ("off in dev",            &[(DEV, "false")],                 Some("CARGO_PROFILE_DEV_INCREMENTAL=false")),
            ("on in dev",             &[(DEV, "true")],                  None),
        ];
        for (why, variables, want) in cases {
            let environment =
                variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
            assert_eq!(switched_off(&environment).as_deref(), want, "{why}");
        }
    }
}
