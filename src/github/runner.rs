//! The facts that the runner tells a step about itself and about the run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::shown;
use crate::model::cargo_home::{HomeOwner, NAMELESS};
use crate::model::environment::Environment;
use crate::model::scope::Repository;

/// The facts of one step, from `GITHUB_*` and `RUNNER_*`.
///
/// If a runner that is compatible with GitHub's leaves a fact out, it is derived from the others. A
/// text is as the runner gave it: hostile, if it comes from an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runner {
    /// The directory of the job's checkouts.
    pub workspace: PathBuf,
    /// The directory with the workspaces of all jobs of this runner (`_work`), which outlives them;
    /// `None` if it is unknown.
    pub work_dir: Option<PathBuf>,
    /// The directory that is emptied before and after each job.
    pub temp_dir: PathBuf,
    /// The directory of tools, which is never emptied.
    pub tool_cache: Option<PathBuf>,
    /// The name of the runner.
    pub name: Option<String>,
    /// Whether the step should print more.
    pub is_debug: bool,
    /// Whether the job runs in a container, by the path of the workspace.
    pub is_container: bool,

    /// The repository that the workflow belongs to.
    pub repository: Option<Repository>,
    /// The address of that repository's server: `https://github.com`.
    pub server_url: String,
    /// The full ref that the run is about.
    pub git_ref: Option<String>,
    /// Whether that ref is protected.
    pub is_ref_protected: bool,
    /// The commit that the run is about.
    pub sha: Option<String>,
    /// The branch that a pull request goes into.
    pub base_ref: Option<String>,

    /// The event that started the run.
    pub event: String,
    /// The file that holds the event's payload.
    pub event_path: Option<PathBuf>,
    /// The user who started the run.
    pub actor: Option<String>,
    /// The name of the workflow.
    pub workflow: Option<String>,
    /// The id of the job.
    pub job: Option<String>,
    /// The number of the run.
    pub run_id: Option<u64>,
    /// The number of the attempt at the run, from 1.
    pub run_attempt: Option<u64>,
}

impl Runner {
    /// Reads the facts; `cwd` is the directory in which the step started, which runners make the
    /// workspace.
    pub fn of(environment: &Environment, cwd: &Path) -> Self {
        let dir = |name: &str| environment.get(name).map(|dir| cwd.join(dir));
        let text = |name: &str| environment.get(name)?.to_str().map(str::to_owned);
        let number = |name: &str| text(name)?.parse().ok();
        let workspace = dir("GITHUB_WORKSPACE").unwrap_or_else(|| cwd.to_owned());
        let tool_cache = ["RUNNER_TOOL_CACHE", "RUNNER_TOOLSDIRECTORY", "AGENT_TOOLSDIRECTORY"]
            .into_iter()
            .find_map(dir)
            .or_else(|| dir("HOME").map(|home| home.join(".cache/runner-cache/tool")));
        let temp_dir = ["RUNNER_TEMP", "TMPDIR"].into_iter().find_map(dir);
        Self {
            work_dir: work_dir(dir("RUNNER_WORKSPACE").as_deref(), &workspace),
            temp_dir: temp_dir.unwrap_or_else(|| PathBuf::from("/tmp")),
            tool_cache,
            name: text("RUNNER_NAME"),
            is_debug: text("RUNNER_DEBUG").is_some_and(|debug| debug == "1"),
            is_container: IN_CONTAINER.iter().any(|dir| workspace.starts_with(dir)),
            workspace,
            repository: text("GITHUB_REPOSITORY").and_then(|repository| repository.parse().ok()),
            server_url: text("GITHUB_SERVER_URL")
                .unwrap_or_else(|| "https://github.com".to_owned()),
            git_ref: text("GITHUB_REF"),
            is_ref_protected: text("GITHUB_REF_PROTECTED").is_some_and(|yes| yes == "true"),
            sha: text("GITHUB_SHA"),
            base_ref: text("GITHUB_BASE_REF"),
            event: text("GITHUB_EVENT_NAME").unwrap_or_default(),
            event_path: dir("GITHUB_EVENT_PATH"),
            actor: text("GITHUB_ACTOR"),
            workflow: text("GITHUB_WORKFLOW"),
            job: text("GITHUB_JOB"),
            run_id: number("GITHUB_RUN_ID"),
            run_attempt: number("GITHUB_RUN_ATTEMPT"),
        }
    }

    /// Returns the owner of this runner's private cargo home.
    pub fn home_owner(&self) -> HomeOwner {
        let name = self.name.clone().unwrap_or_else(|| NAMELESS.to_owned());
        HomeOwner { name, work_dir: self.work_dir.clone().unwrap_or_default() }
    }

    /// Returns the origin of a generation that this job saves, for people.
    pub fn provenance(&self) -> BTreeMap<String, String> {
        let shown = |text: &Option<String>| text.as_deref().map(shown::shown);
        let number = |number: Option<u64>| number.map(|number| number.to_string());
        let facts = [
            (
                "repository",
                self.repository.as_ref().map(|repository| repository.as_str().to_owned()),
            ),
            ("ref", shown(&self.git_ref)),
            ("sha", shown(&self.sha)),
            ("event", Some(shown::shown(&self.event)).filter(|event| !event.is_empty())),
            ("workflow", shown(&self.workflow)),
            ("job", shown(&self.job)),
            ("run", number(self.run_id)),
            ("attempt", number(self.run_attempt)),
            ("actor", shown(&self.actor)),
            ("runner", shown(&self.name)),
        ];
        facts.into_iter().filter_map(|(name, fact)| Some((name.to_owned(), fact?))).collect()
    }
}

/// Where GitHub's runner, and those compatible with it, mount the workspace in a container.
const IN_CONTAINER: [&str; 2] = ["/__w", "/github/workspace"];

/// Returns the directory that outlives the job: `_work` for `_work/<repo>/<repo>`, or the parent of
/// the directory that act and Forgejo's runner make for each job. Never the root of the filesystem,
/// which holds the workspace of some containers.
fn work_dir(runner_workspace: Option<&Path>, workspace: &Path) -> Option<PathBuf> {
    let job_dir = runner_workspace.or_else(|| workspace.parent())?;
    job_dir.parent().filter(|dir| dir.parent().is_some()).map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runner(variables: &[(&str, &str)]) -> Runner {
        let environment =
            variables.iter().fold(Environment::default(), |environment, (name, value)| {
                environment.with(name, *value)
            });
        Runner::of(&environment, Path::new("/cwd/x"))
    }

    #[test]
    fn places_are_where_the_runner_says_or_where_they_follow_from_the_rest() {
        /// Why, the variables, and the workspace, work dir, temp dir, tool cache and container.
        type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], [&'a str; 4], bool);
        #[rustfmt::skip]
        let cases: [Case<'_>; 6] = [
            ("GitHub", &[("GITHUB_WORKSPACE", "/r/_work/a/a"), ("RUNNER_WORKSPACE", "/r/_work/a"), ("RUNNER_TEMP", "/r/_work/_temp"),
                         ("RUNNER_TOOL_CACHE", "/r/_work/_tool"), ("HOME", "/h")],
             ["/r/_work/a/a", "/r/_work", "/r/_work/_temp", "/r/_work/_tool"], false),
            ("in a container", &[("GITHUB_WORKSPACE", "/__w/a/a"), ("RUNNER_WORKSPACE", "/__w/a"), ("RUNNER_TEMP", "/__w/_temp"),
                                 ("RUNNER_TOOL_CACHE", "/__t")],
             ["/__w/a/a", "/__w", "/__w/_temp", "/__t"], true),
            ("act", &[("GITHUB_WORKSPACE", "/h/.cache/act/1f/hostexecutor"), ("RUNNER_TEMP", "/h/.cache/act/1f/tmp"), ("HOME", "/h")],
             ["/h/.cache/act/1f/hostexecutor", "/h/.cache/act", "/h/.cache/act/1f/tmp", "/h/.cache/runner-cache/tool"], false),
            ("Docker", &[("GITHUB_WORKSPACE", "/github/workspace"), ("TMPDIR", "/t")],
             ["/github/workspace", "-", "/t", "-"], true),
            ("a name that only begins so", &[("GITHUB_WORKSPACE", "/__work/a/a")],
             ["/__work/a/a", "/__work", "/tmp", "-"], false),
            ("nothing", &[], ["/cwd/x", "-", "/tmp", "-"], false),
        ];
        for (why, variables, want, is_container) in cases {
            let runner = runner(variables);
            let places =
                [Some(runner.workspace), runner.work_dir, Some(runner.temp_dir), runner.tool_cache];
            let places = places.map(|place| place.unwrap_or_else(|| PathBuf::from("-")));
            assert_eq!(places, want.map(PathBuf::from), "{why}");
            assert_eq!(runner.is_container, is_container, "{why}");
        }
    }

    #[test]
    fn a_malformed_variable_counts_as_missing() {
        let cases = [
            ("GITHUB_REPOSITORY", "a/b/c"),
            ("GITHUB_RUN_ID", "-1"),
            ("GITHUB_RUN_ATTEMPT", "first"),
            ("GITHUB_REF_PROTECTED", "True"),
            ("RUNNER_DEBUG", "true"),
        ];
        for (name, value) in cases {
            assert_eq!(runner(&[(name, value)]), runner(&[]), "{name}");
        }
    }

    #[test]
    fn provenance_says_what_is_known_fit_to_be_shown() {
        let variables = [
            ("GITHUB_REPOSITORY", "a/b"),
            ("GITHUB_REF", "refs/heads/\u{1b}[1m"),
            ("GITHUB_EVENT_NAME", "push"),
            ("GITHUB_RUN_ID", "42"),
        ];
        let want = [
            ("event", "push"),
            ("ref", "refs/heads/\\u{1b}[1m"),
            ("repository", "a/b"),
            ("run", "42"),
        ];
        let want = want.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(runner(&variables).provenance(), BTreeMap::from(want));
    }
}
