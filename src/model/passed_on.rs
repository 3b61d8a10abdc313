//! The variables of a job that are passed on to the programs we start.
//!
//! A configuration may choose the program: a toolchain file names a directory of programs, cargo's
//! configuration a compiler, git's configuration filters. A job's environment holds secrets: the
//! inputs of the step, the tokens of the runner, anything that a workflow exports. So a variable is
//! passed on only if it is listed here: variables that these programs need to be found, to start,
//! to find their configuration and to reach a server, and all by which cargo and rustup decide what
//! to run and where to build.

use std::ffi::OsStr;

use super::environment::Environment;

/// The variables that every program gets.
const COMMON: [&str; 28] = [
    // To be found, to start, and to produce text.
    "PATH",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "HOME",
    "USER",
    "LOGNAME",
    "TMPDIR",
    "TMP",
    "TEMP",
    "TZ",
    "LANG",
    "LANGUAGE",
    // To reach a server: curl(1), OpenSSL, Kerberos.
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NIX_SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "OPENSSL_CONF",
    "KRB5CCNAME",
    "KRB5_CONFIG",
    // Cargo and others ask fewer questions in CI.
    "CI",
];

/// The prefixes of variables that every program gets.
const COMMON_FAMILIES: [&str; 2] = ["LC_", "XDG_"];

/// Further variables that git gets: the paths of the user's configuration, and how to reach
/// servers. Other variables that begin with `GIT_` name another repository, run programs, or write
/// the traffic to a file.
const GIT: [&str; 4] =
    ["GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_EXEC_PATH"];

const GIT_FAMILIES: [&str; 2] = ["GIT_SSL_", "GIT_PROXY_SSL_"];

/// Further variables that cargo, rustc, C compilers and linkers get: where they look for their
/// parts.
const TOOLCHAIN: [&str; 7] = [
    "COMPILER_PATH",
    "GCC_EXEC_PREFIX",
    "LIBRARY_PATH",
    "CPATH",
    "CCACHE_PATH",
    "CCACHE_DIR",
    "CCACHE_CONFIGPATH",
];

/// The prefixes of variables that may decide which cargo or rustc runs, or where it builds:
/// `CARGO_*` is the whole of cargo's configuration, `RUST*` is rustc's and rustup's, and the others
/// choose a toolchain without rustup.
const TOOLCHAIN_FAMILIES: [&str; 5] = ["CARGO", "RUST", "NIX_", "MISE_", "ASDF_"];

/// The words in the names of secret variables with these prefixes: `CARGO_REGISTRY_TOKEN`,
/// `CARGO_REGISTRIES_<name>_SECRET_KEY`.
const SECRET: [&str; 5] = ["TOKEN", "SECRET", "PASSW", "CREDENTIAL", "KEY"];

/// The configuration of nix as text, which may hold tokens.
const NEVER: &str = "NIX_CONFIG";

/// Returns the environment for git.
///
/// Of the settings in `GIT_CONFIG_KEY_<n>`, only `safe.directory` is passed on, as jobs in
/// containers set it: directories whose owner git does not check. Other settings may be headers
/// with tokens.
pub fn to_git(environment: &Environment) -> Environment {
    let text = |name: String| environment.get(&name)?.to_str();
    let count = text("GIT_CONFIG_COUNT".to_owned()).and_then(|count| count.parse::<usize>().ok());
    let safe = (0..count.unwrap_or(0).min(MOST_SETTINGS)).filter_map(|n| {
        let key = text(format!("GIT_CONFIG_KEY_{n}"))?;
        let is_safe = key.eq_ignore_ascii_case(SAFE);
        is_safe.then(|| text(format!("GIT_CONFIG_VALUE_{n}")))?
    });
    let safe: Vec<_> = safe.collect();
    let mut passed_on = passed_on(environment, &GIT, &GIT_FAMILIES);
    for (n, dir) in safe.iter().enumerate() {
        passed_on = passed_on
            .with(&format!("GIT_CONFIG_KEY_{n}"), SAFE)
            .with(&format!("GIT_CONFIG_VALUE_{n}"), *dir)
            .with("GIT_CONFIG_COUNT", (n + 1).to_string());
    }
    passed_on
}

/// The setting for directories of other owners in which git works all the same.
const SAFE: &str = "safe.directory";

/// More settings than any job has.
const MOST_SETTINGS: usize = 1000;

/// Returns the environment for cargo, rustc, C compilers and linkers.
pub fn to_toolchain(environment: &Environment) -> Environment {
    passed_on(environment, &TOOLCHAIN, &TOOLCHAIN_FAMILIES)
}

fn passed_on(environment: &Environment, exact: &[&str], families: &[&str]) -> Environment {
    let is_passed_on = |name: &OsStr| {
        let Some(name) = name.to_str() else { return false };
        let is_listed = || COMMON.contains(&name) || exact.contains(&name);
        let begins = |families: &[&str]| families.iter().any(|family| name.starts_with(family));
        let is_secret = || {
            let name = name.to_ascii_uppercase();
            name == NEVER || SECRET.iter().any(|word| name.contains(word))
        };
        is_listed() || (begins(&COMMON_FAMILIES) || begins(families)) && !is_secret()
    };
    let kept = environment.iter().filter(|(name, _)| is_passed_on(name));
    kept.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_sees_what_it_needs_and_no_secret() {
        #[rustfmt::skip]
        let cases = [
            //why                       name                                              git    toolchain
            ("to be found",             "PATH",                                           true,  true),
            ("libraries",               "LD_LIBRARY_PATH",                                true,  true),
            ("configuration",           "HOME",                                           true,  true),
            ("configuration elsewhere", "XDG_CONFIG_HOME",                                true,  true),
            ("temporary files",         "TMPDIR",                                         true,  true),
            ("language",                "LC_ALL",                                         true,  true),
            ("proxy",                   "https_proxy",                                    true,  true),
            ("proxy, loud",             "HTTPS_PROXY",                                    true,  true),
            ("certificates",            "SSL_CERT_FILE",                                  true,  true),
            ("git's configuration",     "GIT_CONFIG_GLOBAL",                              true,  false),
            ("git's certificates",      "GIT_SSL_CAINFO",                                 true,  false),
            ("git's programs",          "GIT_EXEC_PATH",                                  true,  false),
            ("another repository",      "GIT_DIR",                                        false, false),
            ("settings for git",        "GIT_CONFIG_COUNT",                               false, false),
            ("settings for git, old",   "GIT_CONFIG_PARAMETERS",                          false, false),
            ("git's log",               "GIT_TRACE_CURL",                                 false, false),
            ("a program for passwords", "GIT_ASKPASS",                                    false, false),
            ("ssh's",                   "SSH_ASKPASS",                                    false, false),
            ("cargo's home",            "CARGO_HOME",                                     false, true),
            ("target",                  "CARGO_TARGET_DIR",                               false, true),
            ("target of [build]",       "CARGO_BUILD_TARGET_DIR",                         false, true),
            ("build directory",         "CARGO_BUILD_BUILD_DIR",                          false, true),
            ("triple",                  "CARGO_BUILD_TARGET",                             false, true),
            ("profile",                 "CARGO_PROFILE_DEV_DEBUG",                        false, true),
            ("incremental",             "CARGO_INCREMENTAL",                              false, true),
            ("linker",                  "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER",   false, true),
            ("cargo's proxy",           "CARGO_HTTP_PROXY",                               false, true),
            ("cargo's network",         "CARGO_NET_OFFLINE",                              false, true),
            ("a registry",              "CARGO_REGISTRIES_MINE_INDEX",                    false, true),
            ("unstable features",       "CARGO_UNSTABLE_BUILD_DIR",                       false, true),
            ("flags",                   "RUSTFLAGS",                                      false, true),
            ("compiler",                "RUSTC",                                          false, true),
            ("wrapper",                 "RUSTC_WORKSPACE_WRAPPER",                        false, true),
            ("bootstrap",               "RUSTC_BOOTSTRAP",                                false, true),
            ("target files",            "RUST_TARGET_PATH",                               false, true),
            ("toolchains",              "RUSTUP_HOME",                                    false, true),
            ("toolchain",               "RUSTUP_TOOLCHAIN",                               false, true),
            ("toolchain's server",      "RUSTUP_DIST_SERVER",                             false, true),
            ("toolchain of nix",        "NIX_CC",                                         false, true),
            ("toolchain of mise",       "MISE_DATA_DIR",                                  false, true),
            ("the C compiler's parts",  "COMPILER_PATH",                                  false, true),
            ("registry's token",        "CARGO_REGISTRY_TOKEN",                           false, false),
            ("another's token",         "CARGO_REGISTRIES_MINE_TOKEN",                    false, false),
            ("another's key",           "CARGO_REGISTRIES_MINE_SECRET_KEY",               false, false),
            ("registry's program",      "CARGO_REGISTRY_CREDENTIAL_PROVIDER",             false, false),
            ("mise's token",            "MISE_GITHUB_TOKEN",                              false, false),
            ("nix's tokens",            "NIX_CONFIG",                                     false, false),
            ("an input",                "INPUT_TOKEN",                                    false, false),
            ("the state of the step",   "STATE_runner_cache",                             false, false),
            ("the runner's token",      "ACTIONS_RUNTIME_TOKEN",                          false, false),
            ("an identity",             "ACTIONS_ID_TOKEN_REQUEST_URL",                   false, false),
            ("the job's token",         "GITHUB_TOKEN",                                   false, false),
            ("a file of the step",      "GITHUB_ENV",                                     false, false),
            ("a cloud's key",           "AWS_SECRET_ACCESS_KEY",                          false, false),
            ("a secret of a workflow",  "DEPLOY_KEY",                                     false, false),
            ("anything",                "ANYTHING",                                       false, false),
            ("ours",                    "RUNNER_CACHE_ROOT",                              false, false),
        ];
        for (why, name, git, toolchain) in cases {
            let environment = Environment::default().with(name, "x");
            let has = |environment: Environment| environment.get(name).is_some();
            let seen = (has(to_git(&environment)), has(to_toolchain(&environment)));
            assert_eq!(seen, (git, toolchain), "{why}: {name}");
        }
    }

    #[test]
    fn of_settings_for_git_only_safe_directories_are_passed_on() {
        let pairs = [
            ("GIT_CONFIG_COUNT", "3"),
            ("GIT_CONFIG_KEY_0", "http.https://github.com/.extraheader"),
            ("GIT_CONFIG_VALUE_0", "AUTHORIZATION: basic c2VjcmV0"),
            ("GIT_CONFIG_KEY_1", "safe.Directory"),
            ("GIT_CONFIG_VALUE_1", "/__w/a/a"),
            ("GIT_CONFIG_KEY_2", "core.fsmonitor"),
            ("GIT_CONFIG_VALUE_2", "/bin/evil"),
        ];
        let environment = pairs.map(|(name, value)| (name.into(), value.into()));
        let want = Environment::default()
            .with("GIT_CONFIG_COUNT", "1")
            .with("GIT_CONFIG_KEY_0", "safe.directory")
            .with("GIT_CONFIG_VALUE_0", "/__w/a/a");
        assert_eq!(to_git(&environment.into_iter().collect()), want);
    }

    #[test]
    fn an_empty_variable_is_passed_on_as_it_is() {
        let environment = Environment::default().with("CARGO_TARGET_DIR", "");
        assert_eq!(to_toolchain(&environment), environment);
    }
}
