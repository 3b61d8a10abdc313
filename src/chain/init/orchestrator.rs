//! The workflows that build the whole chain: one or two jobs for each repo, which wait for those of
//! its dependencies.

use std::collections::BTreeSet;

use super::super::names::{Repository, Secret};
use super::super::repo::{Chain, Repo};
use super::repo::{dispatched, image};
use super::template::{Values, runner};

/// Returns the workflow, for `repository`, that builds the repos affected by a change.
pub(super) fn workflow(chain: &Chain, repository: &Repository) -> String {
    let is_told = chain.dispatch().orchestrator.as_ref() == Some(repository);
    let senders = chain.repos().iter().filter(|_| is_told);
    let types: BTreeSet<_> = senders.map(|repo| chain.event_of(&repo.name)).collect();
    let built = chain.repos().iter().filter(|repo| repo.is_built());
    let jobs: String = built.map(|repo| jobs_of(chain, repo)).collect();
    let versions = chain.releases().versions.as_ref();
    let (release, versions) = versions.map_or_else(Default::default, |versions| {
        let chosen = format!("${{{{ inputs.release && '{versions}' || '' }}}}");
        (include_str!("templates/orchestrator_release.yml"), format!("      versions: {chosen}\n"))
    });
    let declared = secrets(chain).map(|secret| {
        format!("      {secret}:\n        description: Reads the repos.\n        required: false\n")
    });
    values(chain)
        .with("<events>", dispatched(&types))
        .with("<declared>", declared.collect::<String>())
        .with("<release>", release)
        .with("<versions>", versions)
        .with("<jobs>", jobs)
        .with("<report>", if is_told { report(chain) } else { String::new() })
        .fill(include_str!("templates/orchestrator.yml"))
}

/// Returns the last job, which writes the results of all others to the commit that was pushed.
fn report(chain: &Chain) -> String {
    let mut needs = vec!["plan".to_owned()];
    let mut results = String::new();
    for repo in chain.repos() {
        for Job { id, .. } in jobs(repo) {
            let line = format!("        {}=${{{{ needs.{id}.result }}}}\n", repo.name);
            results.push_str(&line);
            needs.push(id);
        }
    }
    values(chain)
        .with("<needs>", needs.join(", "))
        .with("<results>", results)
        .fill(include_str!("templates/orchestrator_report.yml"))
}

/// Returns the workflow that builds the whole chain at night.
pub(super) fn nightly(chain: &Chain) -> String {
    let passed =
        secrets(chain).map(|secret| format!("      {secret}: ${{{{ secrets.{secret} }}}}\n"));
    values(chain)
        .with("<passed>", passed.collect::<String>())
        .with("<nightly>", chain.releases().nightly.as_str())
        .fill(include_str!("templates/nightly.yml"))
}

/// Returns the secrets that the orchestrator's jobs use.
fn secrets(chain: &Chain) -> impl Iterator<Item = &Secret> {
    let read = chain.read_secret().filter(|read| **read != chain.dispatch().secret);
    [&chain.dispatch().secret].into_iter().chain(read)
}

fn values(chain: &Chain) -> Values {
    Values::of(chain).with("<runner>", runner(chain.runner()))
}

/// Returns the jobs of one repo. Each waits for the one before it and for the jobs of all direct
/// and indirect dependencies, so that a failure far above counts, too.
fn jobs_of(chain: &Chain, repo: &Repo) -> String {
    let dependencies = chain.dependencies(&repo.name);
    let mut needs = vec!["plan".to_owned()];
    needs.extend(dependencies.iter().flat_map(|it| jobs(it)).map(|job| job.id));
    let mut text = String::new();
    for Job { id, workflow, inputs } in jobs(repo) {
        text += &Values::of(chain)
            .with_build(chain, repo)
            .with("<job>", id.as_str())
            .with("<name>", repo.name.as_str())
            .with("<needs>", needs.join(", "))
            .with("<workflow>", workflow)
            .with("<dependencies>", with_dependencies(chain, &dependencies))
            .with("<inputs>", inputs)
            .with("<runner>", runner(&repo.runner))
            .fill(include_str!("templates/orchestrator_job.yml"));
        needs.push(id);
    }
    text
}

/// A job that calls one of our workflows.
struct Job {
    id: String,
    workflow: &'static str,
    /// Inputs that only this workflow has.
    inputs: String,
}

fn jobs(repo: &Repo) -> impl Iterator<Item = Job> {
    const ARTIFACTS: &str = "      artifacts: ${{ needs.plan.outputs.artifacts == 'true' }}\n";
    let job =
        |verb, workflow, inputs| Job { id: format!("{verb}-{}", repo.name), workflow, inputs };
    let verify = repo.verify.then(|| job("verify", "verify", String::new()));
    let build = Some(job("build", "build-lib", image(repo) + ARTIFACTS));
    verify.into_iter().chain(build).filter(|_| repo.is_built())
}

/// Returns the input by which a job checks out the repo's dependencies beside it.
fn with_dependencies(chain: &Chain, dependencies: &[&Repo]) -> String {
    let built = dependencies.iter().filter(|repo| repo.is_built());
    let lines = built.map(|repo| {
        let (name, full_name) = (&repo.name, chain.full_name(&repo.repository));
        format!("        {full_name}@${{{{ fromJSON(needs.plan.outputs.commits)['{name}'] }}}}\n")
    });
    let lines: String = lines.collect();
    if lines.is_empty() { lines } else { format!("      dependencies: |\n{lines}") }
}
