//! The state that the main step passes to the post step.
//!
//! One variable, `STATE_runner_cache`, holds all of it. A workflow can set such a variable itself, and a post step sees
//! that one if its main step passed on none. So the state names its run, and counts only in that run.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::files::{self, Files};
use super::runner::Runner;
use crate::model::cache_mode::CacheMode;
use crate::model::digest::Digest;
use crate::model::environment::Environment;
use crate::model::git_ref::CommitId;
use crate::model::names::Name;
use crate::model::raw_path::RawPath;

/// The state that the main step passes to the post step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// How far the main step got.
    pub stage: Stage,
    /// The store, absolute.
    root: Option<RawPath>,
    /// The key of the repo.
    pub key: Option<Name>,
    /// The keys of its dependencies.
    pub dependency_keys: BTreeMap<Name, Name>,
    /// The commits at which dependencies were checked out.
    pub dependency_refs: BTreeMap<Name, CommitId>,
    /// The cache mode of the main step. A version that does not know this field refuses a state with it, and saves
    /// nothing.
    #[serde(default, skip_serializing_if = "CacheMode::is_unlimited")]
    pub cache_mode: CacheMode,
}

/// How far the main step got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// It began; a part of the restored files may be in place.
    Started,
    /// All restored files are in place.
    Restored,
}

/// Why there is no state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoState {
    /// The main step did not get so far.
    #[error("the main step handed on no state")]
    Missing,
    /// A main step of this version would not write it.
    #[error("`STATE_{NAME}` was not written by the main step of this version")]
    Malformed,
    /// It belongs to another run, or to another attempt at this one.
    #[error("`STATE_{NAME}` was written by another run")]
    OtherRun,
}

/// The name of the state; runners put `STATE_` before it, and keep its case.
const NAME: &str = "runner_cache";

/// The version of the format after it, so that no version reads what another wrote.
const VERSION: &str = "1";

/// The maximum length, in bytes. A kernel starts no program with a variable of more than 128 KiB.
const MAX_LEN: usize = 100 << 10;

impl State {
    /// Returns the state in which a main step begins.
    pub fn started() -> Self {
        Self {
            stage: Stage::Started,
            root: None,
            key: None,
            dependency_keys: BTreeMap::new(),
            dependency_refs: BTreeMap::new(),
            cache_mode: CacheMode::default(),
        }
    }

    /// Returns the store.
    pub fn root(&self) -> Option<&Path> {
        self.root.as_ref().map(|root| Path::new(OsStr::from_bytes(root.as_bytes())))
    }

    /// Sets the path of the store.
    pub fn set_root(&mut self, root: &Path) {
        self.root = Some(RawPath::of(root.as_os_str().as_bytes()));
    }

    /// Passes this state on; it replaces the state that this step passed on before.
    ///
    /// A state that is too large for a variable is passed on without its keys and commits; the post step then computes
    /// them again.
    pub fn save(&self, files: &Files, runner: &Runner) -> Result<(), files::Error> {
        let mut text = self.encode(runner);
        if text.len() > MAX_LEN {
            let Self { stage, cache_mode, .. } = *self;
            let small = Self { stage, cache_mode, root: self.root.clone(), ..Self::started() };
            text = small.encode(runner);
        }
        files.state(&[(NAME, &text)])
    }

    /// Returns the state that the main step passed on.
    pub fn parse(environment: &Environment, runner: &Runner) -> Result<Self, NoState> {
        let text = environment.get(&format!("STATE_{NAME}")).ok_or(NoState::Missing)?;
        let text = text.to_str().filter(|text| text.len() <= MAX_LEN);
        let parts: Vec<_> = text.ok_or(NoState::Malformed)?.splitn(4, ' ').collect();
        let [VERSION, digest, run, json] = parts[..] else { return Err(NoState::Malformed) };
        if digest != digest_of(run, json) {
            return Err(NoState::Malformed);
        }
        if run != run_of(runner) {
            return Err(NoState::OtherRun);
        }
        let state: Self = serde_json::from_str(json).map_err(|_| NoState::Malformed)?;
        let is_whole = state.root().is_none_or(Path::is_absolute);
        is_whole.then_some(state).ok_or(NoState::Malformed)
    }

    /// Returns `<version> <digest> <run> <JSON>`.
    fn encode(&self, runner: &Runner) -> String {
        let json = serde_json::to_string(self).expect("names, hashes and paths are JSON");
        let run = run_of(runner);
        format!("{VERSION} {} {run} {json}", digest_of(&run, &json))
    }
}

fn digest_of(run: &str, json: &str) -> String {
    Digest::of(format!("{run} {json}").as_bytes()).to_string()
}

/// Returns `<run>.<attempt>`; a runner that counts no attempts is at its first.
fn run_of(runner: &Runner) -> String {
    format!("{}.{}", runner.run_id.unwrap_or(0), runner.run_attempt.unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

    fn runner(run: &str, attempt: &str) -> Runner {
        let environment =
            Environment::default().with("GITHUB_RUN_ID", run).with("GITHUB_RUN_ATTEMPT", attempt);
        Runner::of(&environment, Path::new("/w"))
    }

    fn environment(state: &str) -> Environment {
        Environment::default().with("STATE_runner_cache", state)
    }

    fn restored(dependencies: usize) -> Result<State> {
        let mut state = State { stage: Stage::Restored, ..State::started() };
        state.set_root(Path::new("/srv/ä cache"));
        state.key = Some("abc-def".parse()?);
        state.cache_mode = CacheMode::WriteOnly;
        for number in 0..dependencies {
            let name: Name = format!("dependency-{number}").parse()?;
            state.dependency_keys.insert(name.clone(), "x".repeat(200).parse()?);
            state.dependency_refs.insert(name, "0".repeat(40).parse()?);
        }
        Ok(state)
    }

    #[test]
    fn the_post_step_finds_what_the_main_step_handed_on_last() -> Result {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("state");
        let files = Files::of(&Environment::default().with("GITHUB_STATE", &path));
        let runner = runner("42", "2");
        State::started().save(&files, &runner)?;
        restored(2)?.save(&files, &runner)?;
        let text = fs::read_to_string(&path)?;
        let lines: Vec<_> = text.lines().collect();
        let [first, started, _, _, last, _] = lines[..] else { return Err(text.into()) };
        assert!(first.starts_with("runner_cache<<"), "{first}");
        assert_eq!(State::parse(&environment(started), &runner), Ok(State::started()));
        assert_eq!(State::parse(&environment(last), &runner), Ok(restored(2)?));
        assert_eq!(restored(0)?.root(), Some(Path::new("/srv/ä cache")));
        Ok(())
    }

    #[test]
    fn a_state_that_is_too_large_keeps_what_cannot_be_found_again() -> Result {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("state");
        let files = Files::of(&Environment::default().with("GITHUB_STATE", &path));
        let runner = runner("42", "1");
        restored(1000)?.save(&files, &runner)?;
        let text = fs::read_to_string(&path)?;
        let state = State::parse(&environment(text.lines().nth(1).unwrap_or_default()), &runner)?;
        assert_eq!(state, State { key: None, ..restored(0)? });
        Ok(())
    }

    #[test]
    fn a_state_that_another_run_wrote_is_no_state() -> Result {
        let runner = runner("42", "1");
        let good = restored(1)?.encode(&runner);
        let forged = |json: &str| format!("1 {} 42.1 {json}", digest_of("42.1", json));
        let relative = {
            let mut state = State::started();
            state.set_root(Path::new("srv/cache"));
            state.encode(&runner)
        };
        let cases = [
            ("nothing", String::new(), NoState::Missing),
            ("a word", "true".to_owned(), NoState::Malformed),
            ("cut", good[..good.len() - 1].to_owned(), NoState::Malformed),
            ("changed", good.replace("abc", "xyz"), NoState::Malformed),
            ("another version", good.replacen('1', "2", 1), NoState::Malformed),
            ("another run", restored(1)?.encode(&self::runner("43", "1")), NoState::OtherRun),
            ("another attempt", restored(1)?.encode(&self::runner("42", "2")), NoState::OtherRun),
            ("no state", forged("{}"), NoState::Malformed),
            (
                "more than a state",
                forged(&good[good.find('{').unwrap_or(0)..].replacen('{', r#"{"x":1,"#, 1)),
                NoState::Malformed,
            ),
            ("a relative root", relative, NoState::Malformed),
            ("large", forged(&" ".repeat(MAX_LEN)), NoState::Malformed),
        ];
        assert!(State::parse(&environment(&good), &runner).is_ok());
        for (why, text, want) in cases {
            assert_eq!(State::parse(&environment(&text), &runner), Err(want), "{why}");
        }
        Ok(())
    }
}
