//! The place of the store if none is given, and whether the store lasts there.

use std::path::{Path, PathBuf};

use super::{Error, Result};
use crate::fs::space::{filesystem_of, is_on_root_mount};
use crate::model::environment::Environment;

/// The chosen place of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootChoice {
    /// The root of the store, absolute if the chosen path is. It need not exist.
    pub root: PathBuf,
    /// The preferred root, if it was not chosen because it is not mounted into the container.
    pub not_mounted: Option<PathBuf>,
    /// Whether the next job finds the store there.
    pub lasts: bool,
}

/// The name of the store in the tool cache, where each tool has a directory of its own.
const IN_TOOL_CACHE: &str = "runner-cache-store";

/// Returns `chosen`, else `$RUNNER_CACHE_ROOT`, else `/tmp/runner-cache` unless `/tmp` is in
/// memory, else `~/.cache/runner-cache`. Fails if `HOME` is needed and not set.
pub fn on_host(chosen: Option<&Path>, environment: &Environment) -> Result<PathBuf> {
    let given = chosen.or_else(|| environment.get("RUNNER_CACHE_ROOT").map(Path::new));
    if let Some(root) = given {
        return Ok(root.to_owned());
    }
    let tmp = Path::new("/tmp");
    if tmp.is_dir() && !filesystem_of(tmp)?.is_memory {
        return Ok(tmp.join("runner-cache"));
    }
    let home = environment.get("HOME").ok_or(Error::NoPlace)?;
    Ok(Path::new(home).join(".cache/runner-cache"))
}

/// Returns the first directory that the next container job finds again: it is mounted into the
/// container, and not in memory. Tries `chosen`, or without it `$RUNNER_CACHE_ROOT`; then
/// `/tmp/runner-cache`; then a directory in `tool_cache`. If none of them lasts, returns the first.
pub fn in_container(
    chosen: Option<&Path>,
    environment: &Environment,
    tool_cache: Option<&Path>,
) -> Result<RootChoice> {
    let asked_for = chosen.or_else(|| environment.get("RUNNER_CACHE_ROOT").map(Path::new));
    let tool_cache = tool_cache.map(|dir| dir.join(IN_TOOL_CACHE));
    let roots = asked_for.map(Path::to_owned).into_iter();
    let roots = roots.chain([PathBuf::from("/tmp/runner-cache")]).chain(tool_cache);
    let mut candidates = Vec::new();
    for root in roots {
        let lasts = !is_on_root_mount(&root)? && !filesystem_of(&root)?.is_memory;
        candidates.push((root, lasts));
    }
    Ok(first_that_lasts(&candidates, asked_for.is_some()))
}

/// Returns the first of `candidates` that lasts, else the first. `is_asked_for` tells whether the
/// user named the first.
fn first_that_lasts(candidates: &[(PathBuf, bool)], is_asked_for: bool) -> RootChoice {
    let lasting = candidates.iter().position(|(_, lasts)| *lasts);
    let (root, lasts) = candidates[lasting.unwrap_or(0)].clone();
    // A default that is not mounted is no loss if another place lasts.
    let is_missed = !lasts || (is_asked_for && lasting != Some(0));
    let not_mounted = is_missed.then(|| candidates[0].0.clone());
    RootChoice { root, not_mounted, lasts }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_job_keeps_its_store_where_it_finds_it_again() {
        /// The claim; the candidates, with `+` if they last; whether the user named the first; and
        /// the wanted root, `not_mounted` and `lasts`.
        type Case<'a> = (&'a str, &'a [&'a str], bool, (&'a str, Option<&'a str>, bool));
        #[rustfmt::skip]
        let cases: [Case<'_>; 6] = [
            ("named and mounted",      &["/srv+", "/tmp", "/__t+"], true,  ("/srv", None, true)),
            ("named and not mounted",  &["/srv", "/tmp", "/__t+"],  true,  ("/__t", Some("/srv"), true)),
            ("the default is mounted", &["/tmp+", "/__t+"],         false, ("/tmp", None, true)),
            ("the tool cache is",      &["/tmp", "/__t+"],          false, ("/__t", None, true)),
            ("nothing is",             &["/tmp", "/__t"],           false, ("/tmp", Some("/tmp"), false)),
            ("named, nothing is",      &["/srv", "/tmp"],           true,  ("/srv", Some("/srv"), false)),
        ];
        for (why, candidates, is_asked_for, (root, not_mounted, lasts)) in cases {
            let candidate =
                |text: &&str| (PathBuf::from(text.trim_end_matches('+')), text.ends_with('+'));
            let candidates: Vec<_> = candidates.iter().map(candidate).collect();
            let not_mounted = not_mounted.map(PathBuf::from);
            let want = RootChoice { root: root.into(), not_mounted, lasts };
            assert_eq!(first_that_lasts(&candidates, is_asked_for), want, "{why}");
        }
    }

    #[test]
    fn paths_that_are_not_mounted_into_a_container_are_found_out() -> Result<()> {
        let tool_cache = Path::new("/proc/self");
        let choose = |root: &str| {
            in_container(Some(Path::new(root)), &Environment::default(), Some(tool_cache))
        };
        let in_tool_cache = PathBuf::from("/proc/self/runner-cache-store");
        assert_eq!(choose("/nothing/here")?.not_mounted, Some(PathBuf::from("/nothing/here")));
        assert_eq!(choose("/dev/shm/in-memory")?.root, in_tool_cache);
        assert_eq!(
            choose("/proc/self/fd")?,
            RootChoice { root: "/proc/self/fd".into(), not_mounted: None, lasts: true }
        );
        Ok(())
    }
}
