//! The workflow of one repo.

use std::collections::BTreeSet;

use super::super::repo::{Chain, Kind, Repo};
use super::template::{Values, list, runner};

/// The condition that the code is from another repository. That repository may be gone, or be the parent of
/// this fork.
const FORK: &str = "github.event.pull_request && github.event.pull_request.head.repo.full_name != github.repository";

/// The part of the result that says that a job did not run although the event asks for it: a job of the user's does not
/// run either if a job before it ran out of time.
const SKIPPED: &str = " (needs.ci.result == 'skipped' || needs.receive.outputs.build == 'true' && \
    contains(needs.*.result, 'skipped')) && 'skipped' ||";

/// The same of a repo that is not built.
const SKIPPED_DOCS: &str = " contains(needs.*.result, 'skipped') && 'skipped' ||";

/// Returns the workflow that handles every event of `repo`.
pub(super) fn workflow(chain: &Chain, repo: &Repo) -> String {
    let branches = list(&repo.branches, ", ");
    let labels = runner(&repo.runner);
    // Strings of an expression stand in single quotes, as in YAML.
    let fork_labels = runner(chain.fork_runner());
    let checks_runner = format!("${{{{ {FORK} && {fork_labels} || {labels} }}}}");
    let values = Values::of(chain)
        .with_build(chain, repo)
        .with("<branches>", branches)
        .with("<runner>", labels)
        .with("<checks-runner>", checks_runner)
        .with("<fork>", FORK)
        .with("<image>", image(repo));
    let (jobs, needs, skipped) = if repo.is_built() {
        let jobs = values.fill(include_str!("templates/repo_build.yml"));
        (jobs, "      - ci\n      - build\n", SKIPPED)
    } else {
        (String::new(), "", SKIPPED_DOCS)
    };
    values
        .with("<events>", events(chain, repo))
        .with("<jobs>", jobs)
        .with("<needs>", needs)
        .with("<skipped>", skipped)
        .fill(include_str!("templates/repo.yml"))
}

/// Returns the input that makes the build create an image; empty for other kinds.
pub(super) fn image(repo: &Repo) -> String {
    match repo.kind {
        Kind::Image => format!("      image: {}\n", repo.repository.as_str().to_ascii_lowercase()),
        Kind::Docs | Kind::Library | Kind::Binary => String::new(),
    }
}

/// Returns the trigger for events of the repo's dependencies; empty if an orchestrator gets them.
fn events(chain: &Chain, repo: &Repo) -> String {
    if chain.dispatch().orchestrator.is_some() {
        return String::new();
    }
    let types: BTreeSet<_> = repo.depends.iter().map(|name| chain.event_of(name)).collect();
    dispatched(&types)
}

/// Returns the trigger for events of these types; empty if there are none.
pub(super) fn dispatched(types: &BTreeSet<String>) -> String {
    if types.is_empty() {
        return String::new();
    }
    let types = list(types, ", ");
    include_str!("templates/repo_dispatch.yml").replace("<types>", &types)
}
