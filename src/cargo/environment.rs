//! Selects the variables of a job's environment that change the compilers' output.

use std::collections::BTreeMap;
use std::ffi::OsStr;

use crate::model::digest::Digest;
use crate::model::environment::Environment;

/// Returns the variables that change the compilers' output, with their values as text.
///
/// `extra` names more of them; a name that ends in `*` stands for all names that begin so. A digest replaces the value
/// of an extra variable that looks like a secret, because the result is stored and shown.
///
/// A missing variable can never make a stale artifact: cargo itself compares flags, compilers and the variables that
/// build scripts name. One variable too many is worse: it drifts from job to job, and the key with it.
pub fn code_generation(environment: &Environment, extra: &[String]) -> BTreeMap<String, String> {
    let set = environment.iter().filter(|(_, value)| !value.is_empty());
    let named = set.filter_map(|(name, value)| Some((name.to_str()?, value)));
    let wanted = named.filter_map(|(name, value)| {
        if changes_code(name) {
            return Some((name.to_owned(), text(value)));
        }
        let asked_for = extra.iter().any(|pattern| matches(pattern, name));
        asked_for.then(|| (name.to_owned(), harmless_text(name, value)))
    });
    wanted.collect()
}

/// Returns the names of the variables of [`code_generation`] that are set to the empty string.
///
/// We treat them as unset; some build scripts do not, and fail (librocksdb-sys on `CC=`).
pub fn set_to_nothing(environment: &Environment) -> impl Iterator<Item = &str> {
    let empty = environment.iter().filter(|(_, value)| value.is_empty());
    empty.filter_map(|(name, _)| name.to_str()).filter(|name| changes_code(name))
}

/// The units that cargo builds again when a variable that changes code changes, beyond the units whose own fingerprint
/// names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// All units: the variable changes the arguments of every call of rustc.
    Everything,
    /// The units of path packages.
    PathPackages,
    /// No unit: a build script that reads the variable prints so, and cargo then compares it.
    Nothing,
}

/// Returns the units that cargo builds again when `name` changes.
pub fn reach(name: &str) -> Reach {
    let for_all =
        ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "CARGO_BUILD_RUSTFLAGS"];
    let of_target = |suffix| name.starts_with("CARGO_TARGET_") && name.ends_with(suffix);
    let is_of_profile = name.starts_with("CARGO_PROFILE_");
    let is_incremental = ["CARGO_INCREMENTAL", "CARGO_BUILD_INCREMENTAL"].contains(&name)
        || is_of_profile && name.ends_with("_INCREMENTAL");
    // Cargo builds nothing else incrementally.
    if is_incremental {
        Reach::PathPackages
    } else if for_all.contains(&name)
        || is_of_profile
        || of_target("_RUSTFLAGS")
        || of_target("_LINKER")
    {
        Reach::Everything
    } else {
        Reach::Nothing
    }
}

/// Cargo's and rustc's own variables that decide which compiler runs and with which flags.
/// Not `CARGO_HOME`, `CARGO_TARGET_DIR` (paths), `CARGO_TERM_*`, `CARGO_NET_*`, `CARGO_HTTP_*`,
/// `RUST_BACKTRACE`, `RUST_LOG` (talk), `CARGO_REGISTRY_TOKEN`, `CARGO_REGISTRIES_*` (tokens).
const EXACT: [&str; 11] = [
    "RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "RUSTDOCFLAGS",
    "CARGO_ENCODED_RUSTDOCFLAGS",
    "CARGO_INCREMENTAL",
    "CARGO_TARGET_APPLIES_TO_HOST",
    "RUSTC",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_BOOTSTRAP",
    "RUSTDOC",
];

/// Families of which every member counts: any profile setting changes code, and so may any unstable feature
/// (`CARGO_UNSTABLE_BUILD_STD`).
const PREFIXES: [&str; 2] = ["CARGO_PROFILE_", "CARGO_UNSTABLE_"];

/// The `CARGO_BUILD_*` variables, cargo's `[build]` table, that leave the output as it is: they set directories, the
/// number of jobs and how warnings are shown.
const BUILD_EXCEPT: [&str; 5] = ["TARGET_DIR", "BUILD_DIR", "DEP_INFO_BASEDIR", "JOBS", "WARNINGS"];

/// The suffixes of the `CARGO_TARGET_<triple>_*` variables that change code. `_RUNNER` only runs the program, and
/// `CARGO_TARGET_DIR` and `CARGO_TARGET_TMPDIR` are paths.
const TARGET_SUFFIXES: [&str; 3] = ["_RUSTFLAGS", "_RUSTDOCFLAGS", "_LINKER"];

/// The variables that the `cc` crate looks up, through which most build scripts call C compilers: plain, with
/// `_<triple>` after the name, and with `TARGET_` or `HOST_` before it.
const NATIVE: [&str; 10] = [
    "CC",
    "CXX",
    "AR",
    "RANLIB",
    "CFLAGS",
    "CXXFLAGS",
    "CPPFLAGS",
    "LDFLAGS",
    "ARFLAGS",
    "CXXSTDLIB",
];

fn changes_code(name: &str) -> bool {
    if EXACT.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
        return true;
    }
    if let Some(setting) = name.strip_prefix("CARGO_BUILD_") {
        return !BUILD_EXCEPT.contains(&setting);
    }
    if let Some(setting) = name.strip_prefix("CARGO_TARGET_") {
        return TARGET_SUFFIXES.iter().any(|suffix| setting.ends_with(suffix));
    }
    let plain = name.strip_prefix("TARGET_").or_else(|| name.strip_prefix("HOST_"));
    NATIVE.contains(&plain.unwrap_or(name))
        || NATIVE.iter().any(|tool| {
            let rest = name.strip_prefix(tool).and_then(|rest| rest.strip_prefix('_'));
            rest.is_some_and(is_triple)
        })
}

/// Tells a target triple, written with `-` or `_`, from the rest of another variable's name (`CC_ENABLE_DEBUG_OUTPUT`):
/// triples have no upper-case letters and at least one separator.
fn is_triple(text: &str) -> bool {
    let fits =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
    text.bytes().all(fits) && text.contains(['-', '_']) && text.starts_with(char::is_alphabetic)
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => pattern == name,
    }
}

/// Shows a value. Escapes a value that is not UTF-8, so that no two values look alike.
fn text(value: &OsStr) -> String {
    value
        .to_str()
        .map_or_else(|| value.as_encoded_bytes().escape_ascii().to_string(), str::to_owned)
}

fn harmless_text(name: &str, value: &OsStr) -> String {
    const SECRET: [&str; 4] = ["TOKEN", "SECRET", "PASSWORD", "CREDENTIAL"];
    if SECRET.iter().any(|word| name.to_ascii_uppercase().contains(word)) {
        format!("sha256:{}", Digest::of(value.as_encoded_bytes()))
    } else {
        text(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        variables.iter().map(|(name, value)| (name.into(), value.into())).collect()
    }

    #[test]
    fn only_variables_that_change_code_are_in_the_key() {
        #[rustfmt::skip]
        let cases = [
            //why                       name                                            in the key
            ("flags",                   "RUSTFLAGS",                                     true),
            ("encoded flags",           "CARGO_ENCODED_RUSTFLAGS",                       true),
            ("doc flags",               "RUSTDOCFLAGS",                                  true),
            ("incremental",             "CARGO_INCREMENTAL",                             true),
            ("a profile",               "CARGO_PROFILE_RELEASE_LTO",                     true),
            ("a profile's package",     "CARGO_PROFILE_DEV_BUILD_OVERRIDE_OPT_LEVEL",    true),
            ("target",                  "CARGO_BUILD_TARGET",                            true),
            ("flags of [build]",        "CARGO_BUILD_RUSTFLAGS",                         true),
            ("wrapper of [build]",      "CARGO_BUILD_RUSTC_WRAPPER",                     true),
            ("linker of a target",      "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER",  true),
            ("flags of a target",       "CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS",          true),
            ("unstable feature",        "CARGO_UNSTABLE_BUILD_STD",                      true),
            ("compiler",                "RUSTC",                                         true),
            ("wrapper",                 "RUSTC_WRAPPER",                                 true),
            ("workspace wrapper",       "RUSTC_WORKSPACE_WRAPPER",                       true),
            ("bootstrap",               "RUSTC_BOOTSTRAP",                               true),
            ("C",                       "CC",                                            true),
            ("C flags",                 "CFLAGS",                                        true),
            ("C++ flags",               "CXXFLAGS",                                      true),
            ("C of the target",         "TARGET_CC",                                     true),
            ("C flags of the host",     "HOST_CFLAGS",                                   true),
            ("C of a triple",           "CC_x86_64-unknown-linux-gnu",                   true),
            ("C of a triple, shell",    "CXX_x86_64_unknown_linux_gnu",                  true),
            ("target dir",              "CARGO_TARGET_DIR",                              false),
            ("target tmpdir of a test", "CARGO_TARGET_TMPDIR",                           false),
            ("target dir of [build]",   "CARGO_BUILD_TARGET_DIR",                        false),
            ("build dir",               "CARGO_BUILD_BUILD_DIR",                         false),
            ("basedir",                 "CARGO_BUILD_DEP_INFO_BASEDIR",                  false),
            ("jobs",                    "CARGO_BUILD_JOBS",                              false),
            ("runner of a target",      "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER",  false),
            ("home",                    "CARGO_HOME",                                    false),
            ("colour",                  "CARGO_TERM_COLOR",                              false),
            ("backtrace",               "RUST_BACKTRACE",                                false),
            ("log",                     "RUST_LOG",                                      false),
            ("retries",                 "CARGO_NET_RETRY",                               false),
            ("token",                   "CARGO_REGISTRY_TOKEN",                          false),
            ("token of a registry",     "CARGO_REGISTRIES_MINE_TOKEN",                   false),
            ("manifest dir",            "CARGO_MANIFEST_DIR",                            false),
            ("cc's own talk",           "CC_ENABLE_DEBUG_OUTPUT",                        false),
            ("C of an old name",        "CC_old",                                        false),
            ("path",                    "PATH",                                          false),
            ("prefix alone",            "CARGO_BUILD",                                   false),
        ];
        for (why, name, want) in cases {
            let found = code_generation(&environment(&[(name, "x")]), &[]);
            assert_eq!(found.contains_key(name), want, "{why}: {name}");
        }
    }

    #[test]
    fn a_variable_reaches_the_units_whose_calls_of_rustc_it_changes() {
        use Reach::{Everything, Nothing, PathPackages};
        let cases = [
            ("RUSTFLAGS", Everything),
            ("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS", Everything),
            ("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER", Everything),
            ("CARGO_PROFILE_DEV_OPT_LEVEL", Everything),
            ("CARGO_INCREMENTAL", PathPackages),
            ("CARGO_PROFILE_DEV_INCREMENTAL", PathPackages),
            ("RUSTDOCFLAGS", Nothing),
            ("CFLAGS", Nothing),
            ("BLVM_SIGN", Nothing),
        ];
        for (name, want) in cases {
            assert_eq!(reach(name), want, "{name}");
        }
    }

    #[test]
    fn an_empty_variable_is_as_good_as_unset_but_reported() {
        let environment = environment(&[("CC", ""), ("RUSTFLAGS", "-Cdebuginfo=1"), ("TERM", "")]);
        let want = BTreeMap::from([("RUSTFLAGS".to_owned(), "-Cdebuginfo=1".to_owned())]);
        assert_eq!(code_generation(&environment, &["CC".to_owned()]), want);
        assert_eq!(set_to_nothing(&environment).collect::<Vec<_>>(), ["CC"]);
    }

    #[test]
    fn the_user_adds_variables_by_name_or_prefix_and_secrets_stay_secret() {
        let environment =
            environment(&[("BLVM_A", "1"), ("BLVM_B", "2"), ("BLV", "3"), ("NPM_TOKEN", "abc")]);
        let extra = ["BLVM_*".to_owned(), "NPM_TOKEN".to_owned(), "UNSET".to_owned()];
        let digest = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let want = [("BLVM_A", "1"), ("BLVM_B", "2"), ("NPM_TOKEN", digest)];
        let want = want.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(code_generation(&environment, &extra), BTreeMap::from(want));
    }
}
