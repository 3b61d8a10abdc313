//! Shows a chain to people and programs.

use std::fmt::Write as _;

use serde::Serialize;

use super::names::{Cron, EventTemplate, FilePath, GitRef, Label, RepoName, Repository};
use super::repo::{Chain, Kind, Repo};

/// The format in which a chain is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One line for each repo.
    Text,
    /// A Mermaid flow chart.
    Mermaid,
    /// A JSON object.
    Json,
}

/// Returns the whole chain as text in that format.
pub fn show(chain: &Chain, format: Format) -> String {
    match format {
        Format::Text => text(chain),
        Format::Mermaid => mermaid(chain),
        Format::Json => json(chain),
    }
}

fn text(chain: &Chain) -> String {
    let repos = chain.repos();
    let width = |of: fn(&Repo) -> &str| repos.iter().map(|repo| of(repo).len()).max().unwrap_or(0);
    let names = width(|repo| repo.name.as_str());
    let kinds = width(|repo| repo.kind.as_str());
    let mut text = String::new();
    for repo in repos {
        let (name, kind) = (repo.name.as_str(), repo.kind.as_str());
        let needs: Vec<_> = repo.depends.iter().map(RepoName::as_str).collect();
        let needs = match needs.as_slice() {
            [] => String::new(),
            needs => format!("  needs {}", needs.join(", ")),
        };
        let line = format!("{name:names$}  {kind:kinds$}{needs}");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn mermaid(chain: &Chain) -> String {
    let mut text = "flowchart LR\n".to_owned();
    // `end` and others are keywords of Mermaid, so nodes have numbers.
    let number =
        |name: &RepoName| chain.repos().iter().position(|repo| repo.name == *name).unwrap_or(0);
    for (at, repo) in chain.repos().iter().enumerate() {
        let (open, close) = match repo.kind {
            Kind::Docs => ("([", "])"),
            Kind::Library => ("[", "]"),
            Kind::Binary => ("[[", "]]"),
            Kind::Image => ("[(", ")]"),
        };
        line(&mut text, &format!("  r{at}{open}\"{}\"{close}", repo.name));
    }
    for (at, repo) in chain.repos().iter().enumerate() {
        for needed in &repo.depends {
            line(&mut text, &format!("  r{} --> r{at}", number(needed)));
        }
    }
    text
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("a string takes any text");
}

#[derive(Serialize)]
struct Shown<'a> {
    owner: &'a str,
    event: &'a EventTemplate,
    orchestrator: Option<&'a Repository>,
    releases: ShownReleases<'a>,
    depth: usize,
    repos: Vec<ShownRepo<'a>>,
}

#[derive(Serialize)]
struct ShownReleases<'a> {
    repository: Option<&'a Repository>,
    versions: Option<&'a FilePath>,
    nightly: &'a Cron,
}

#[derive(Serialize)]
struct ShownRepo<'a> {
    name: &'a RepoName,
    repository: String,
    kind: Kind,
    depends: &'a [RepoName],
    runner: &'a [Label],
    branches: &'a [GitRef],
}

fn json(chain: &Chain) -> String {
    let (dispatch, releases) = (chain.dispatch(), chain.releases());
    let shown = Shown {
        owner: chain.owner(),
        event: &dispatch.event,
        orchestrator: dispatch.orchestrator.as_ref(),
        releases: ShownReleases {
            repository: releases.repository.as_ref(),
            versions: releases.versions.as_ref(),
            nightly: &releases.nightly,
        },
        depth: chain.depth(),
        repos: chain
            .repos()
            .iter()
            .map(|repo| ShownRepo {
                name: &repo.name,
                repository: chain.full_name(&repo.repository),
                kind: repo.kind,
                depends: &repo.depends,
                runner: &repo.runner,
                branches: &repo.branches,
            })
            .collect(),
    };
    let mut json = serde_json::to_string_pretty(&shown).expect("words and numbers are plain JSON");
    json.push('\n');
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAIN: &str = "owner = 'o'\n\
        [repos.node]\nkind = 'binary'\ndepends = ['lib']\n\
        [repos.lib]\nkind = 'library'\nrepository = 'o-lib'\ndepends = ['spec']\n\
        [repos.spec]\nkind = 'docs'\n";

    #[test]
    fn a_chain_is_shown_in_its_order() -> Result<(), crate::chain::Findings> {
        let chain = Chain::parse("chain.toml", CHAIN)?;
        let text = "spec  docs\nlib   library  needs spec\nnode  binary   needs lib\n";
        assert_eq!(show(&chain, Format::Text), text);
        let mermaid = "flowchart LR\n  r0([\"spec\"])\n  r1[\"lib\"]\n  r2[[\"node\"]]\n  r0 --> r1\n  r1 --> r2\n";
        assert_eq!(show(&chain, Format::Mermaid), mermaid);
        Ok(())
    }

    #[test]
    fn a_chain_is_one_object_for_programs() -> Result<(), Box<dyn std::error::Error>> {
        let chain = Chain::parse("chain.toml", CHAIN)?;
        let json: serde_json::Value = serde_json::from_str(&show(&chain, Format::Json))?;
        assert_eq!(json["depth"], 2);
        assert_eq!(json["orchestrator"], serde_json::Value::Null);
        let releases =
            serde_json::json!({"repository": null, "versions": null, "nightly": "0 2 * * *"});
        assert_eq!(json["releases"], releases);
        assert_eq!(json["repos"][1]["repository"], "o/o-lib");
        assert_eq!(json["repos"][2]["depends"], serde_json::json!(["lib"]));
        Ok(())
    }
}
