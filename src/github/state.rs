//! What the main step hands on to the post step.
//!
//! One variable, `STATE_runner_cache`, holds all of it. A workflow can set such a variable itself,
//! and a post step whose main step handed on nothing sees it: so the state names the run it is of,
//! and is believed only there.

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

/// What the main step hands on to the post step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// How far the main step came.
    pub stage: Stage,
    /// The store, absolute.
    root: Option<RawPath>,
    /// The key of the repo.
    pub key: Option<Name>,
    /// The keys of its dependencies.
    pub dependency_keys: BTreeMap<Name, Name>,
    /// The commits at which dependencies were checked out.
    pub dependency_refs: BTreeMap<Name, CommitId>,
    /// What the main step was allowed. A version that does not know it takes a state with it for none, and saves
    /// nothing.
    #[serde(default, skip_serializing_if = "CacheMode::is_unlimited")]
    pub cache_mode: CacheMode,
}

/// How far the main step came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// It began; what it restored may be there in part.
    Started,
    /// All that was to be restored is in place.
    Restored,
}

/// Why there is no state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoState {
    /// The main step did not come so far.
    #[error("the main step handed on no state")]
    Missing,
    /// It is not what a main step of this version hands on.
    #[error("`STATE_{NAME}` was not written by the main step of this version")]
    Malformed,
    /// It is of another run, or of another attempt at this one.
    #[error("`STATE_{NAME}` was written by another run")]
    OtherRun,
}

/// The name of the state; runners put `STATE_` before it, and keep its case.
const NAME: &str = "runner_cache";

/// Raised when what follows it changes, so that no version reads what another wrote.
const VERSION: &str = "1";

/// A kernel passes on no variable of more than 128 KiB, and starts no program with one.
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

    /// Says where the store is.
    pub fn set_root(&mut self, root: &Path) {
        self.root = Some(RawPath::of(root.as_os_str().as_bytes()));
    }

    /// Hands this on; it replaces what this step handed on before.
    ///
    /// A state that is too large for a variable is handed on without its keys and commits, which
    /// the post step then computes again.
    pub fn save(&self, files: &Files, runner: &Runner) -> Result<(), files::Error> {
        let mut text = self.encode(runner);
        if text.len() > MAX_LEN {
            let Self { stage, cache_mode, .. } = *self;
            let small = Self { stage, cache_mode, root: self.root.clone(), ..Self::started() };
            text = small.encode(runner);
        }
        files.state(&[(NAME, &text)])
    }

    /// Returns what the main step handed on.
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

/// Returns `<run>.<attempt>`; runners that count no attempts are at their first.
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
    fn what_another_wrote_is_no_state() -> Result {
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
