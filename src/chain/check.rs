//! Turns the text of `chain.toml` into a chain, or into a list of all its mistakes.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU16;
use std::str::FromStr;

use toml::Spanned;

use super::file::{DispatchTable, File, ReleasesTable, RepoTable, Text};
use super::findings::{Finder, Findings};
use super::graph;
use super::names::{GitRef, Label, ParseError, RepoName, Repository, quoted};
use super::repo::{Chain, Dispatch, Releases, Repo};

/// A mistake was found, so parsing has no result.
#[derive(Debug)]
struct Found;

type Result<T> = std::result::Result<T, Found>;

/// The longest event type that GitHub takes, in bytes.
const MAX_EVENT_LEN: usize = 100;

impl Chain {
    /// Parses a chain; findings name the file by `path`.
    pub fn parse(path: &str, text: &str) -> std::result::Result<Self, Findings> {
        let mut finder = Finder::new(text);
        match toml::from_str::<File>(text) {
            Ok(file) => match (Reader { finder: &mut finder }).chain(&file) {
                Ok(chain) if finder.is_empty() => Ok(chain),
                _ => Err(finder.into_findings(path)),
            },
            Err(error) => {
                finder.refuse(&error);
                Err(finder.into_findings(path))
            }
        }
    }
}

/// Parses the entries of the file, and records their mistakes.
///
/// A wrong entry has no result but does not end the parsing, so all mistakes are found in one go.
struct Reader<'a, 'text> {
    finder: &'a mut Finder<'text>,
}

impl Reader<'_, '_> {
    fn chain(&mut self, file: &File) -> Result<Chain> {
        let owner = self.word(&file.owner);
        let runner = match &file.runner {
            Some(labels) => self.list(labels),
            None => Ok(["self-hosted", "linux", "x64"].map(usual).into()),
        };
        let fork_runner = match &file.fork_runner {
            Some(labels) => self.list(labels),
            None => Ok(vec![usual("ubuntu-latest")]),
        };
        let branches = match &file.branches {
            Some(names) => self.list(names),
            None => Ok(vec![usual("main")]),
        };
        let workflows = self.option(file.workflows.as_ref());
        let read_secret = self.option(file.read_secret.as_ref());
        let dispatch = self.dispatch(&file.dispatch);
        let releases = self.releases(&file.releases, dispatch.as_ref().ok());

        let mut tables: Vec<_> = file.repos.iter().collect();
        tables.sort_by_key(|(name, _)| name.span().start);
        let repos: Vec<_> = tables
            .iter()
            .map(|(name, table)| {
                self.repo(name, table, runner.as_deref().ok(), branches.as_deref().ok())
            })
            .collect();
        if tables.is_empty() {
            self.finder.find(0..0, "there is no repo: each is a table `[repos.<name>]`");
        }
        self.find_twins(&tables);
        let order = self.order(&tables);
        // An orchestrator gets the events of all repos, also of one without neighbours.
        let has_orchestrator = file.dispatch.orchestrator.is_some();
        if self.finder.is_empty() && !has_orchestrator {
            self.find_strays(&tables);
        }
        if let Ok(dispatch) = &dispatch {
            self.find_long_events(&tables, dispatch, &file.dispatch);
        }

        let mut repos: Vec<_> = repos.into_iter().collect::<Result<_>>()?;
        let position: BTreeMap<_, _> =
            order.iter().enumerate().map(|(at, &node)| (node, at)).collect();
        let mut sorted: Vec<_> = repos.drain(..).enumerate().collect();
        sorted.sort_by_key(|(node, _)| position.get(node).copied());
        let repos = sorted.into_iter().map(|(_, repo)| repo).collect();
        Ok(Chain {
            owner: owner?,
            runner: runner?,
            fork_runner: fork_runner?,
            workflows: workflows?.unwrap_or_else(|| usual("btcdecoded/runner-cache@v1")),
            read_secret: read_secret?,
            dispatch: dispatch?,
            releases: releases?,
            repos,
        })
    }

    fn dispatch(&mut self, table: &DispatchTable) -> Result<Dispatch> {
        let orchestrator = self.option(table.orchestrator.as_ref());
        let default = if table.orchestrator.is_some() { "build_{repo}" } else { "build-chain" };
        let event = self.option(table.event.as_ref());
        let secret = self.option(table.secret.as_ref());
        Ok(Dispatch {
            event: event?.unwrap_or_else(|| usual(default)),
            orchestrator: orchestrator?,
            secret: secret?.unwrap_or_else(|| usual("CHAIN_TOKEN")),
        })
    }

    fn releases(&mut self, table: &ReleasesTable, dispatch: Option<&Dispatch>) -> Result<Releases> {
        let repository: Result<Option<Repository>> = self.option(table.repository.as_ref());
        let versions = self.option(table.versions.as_ref());
        let nightly = self.option(table.nightly.as_ref());
        let orchestrator = dispatch.and_then(|dispatch| dispatch.orchestrator.clone());
        Ok(Releases {
            repository: repository?.or(orchestrator),
            versions: versions?,
            nightly: nightly?.unwrap_or_else(|| usual("0 2 * * *")),
        })
    }

    fn repo(
        &mut self,
        name: &Text,
        table: &RepoTable,
        runner: Option<&[Label]>,
        branches: Option<&[GitRef]>,
    ) -> Result<Repo> {
        let RepoTable { kind, timeout_minutes, verify, .. } = *table;
        let parsed_name = self.word(name);
        let repository = match &table.repository {
            Some(repository) => self.word(repository),
            None => name.get_ref().parse().map_err(|_| Found),
        };
        let package = match &table.package {
            Some(package) => self.word(package),
            None => match &repository {
                Ok(repository) => Repository::as_str(repository).parse().map_err(|_| Found),
                Err(Found) => Err(Found),
            },
        };
        let features = table.features.iter().map(|feature| self.word(feature)).collect::<Vec<_>>();
        let runner = match &table.runner {
            Some(labels) => self.list(labels),
            None => runner.map(<[_]>::to_vec).ok_or(Found),
        };
        let branches = match &table.branches {
            Some(names) => self.list(names),
            None => branches.map(<[_]>::to_vec).ok_or(Found),
        };
        // `order` finds an invalid name when it looks the name up.
        let depends: Vec<RepoName> =
            table.depends.iter().filter_map(|name| name.get_ref().parse().ok()).collect();
        Ok(Repo {
            name: parsed_name?,
            repository: repository?,
            kind,
            depends,
            runner: runner?,
            branches: branches?,
            package: package?,
            features: features.into_iter().collect::<Result<_>>()?,
            verify,
            timeout_minutes: timeout_minutes.unwrap_or(NonZeroU16::new(60).expect("not 0")),
        })
    }

    /// Finds two names for the same repository.
    fn find_twins(&mut self, tables: &[(&Text, &RepoTable)]) {
        let mut seen = BTreeMap::new();
        for (name, table) in tables {
            let repository = table.repository.as_ref().unwrap_or(name);
            let other = seen.insert(repository.get_ref().to_ascii_lowercase(), name.get_ref());
            if let Some(other) = other {
                let message =
                    format!("`{other}` is the repository `{}` already", repository.get_ref());
                self.finder.find(repository.span(), message);
            }
        }
    }

    /// Returns the tables in an order in which each comes after its dependencies.
    fn order(&mut self, tables: &[(&Text, &RepoTable)]) -> Vec<usize> {
        let names: Vec<_> = tables.iter().map(|(name, _)| name.get_ref().as_str()).collect();
        let mut needs = Vec::new();
        for (_, table) in tables {
            let mut needed = Vec::new();
            for name in &table.depends {
                match names.iter().position(|known| *known == name.get_ref()) {
                    Some(at) if needed.contains(&at) => {
                        self.finder
                            .find(name.span(), format!("`{}` is named twice", name.get_ref()));
                    }
                    Some(at) => needed.push(at),
                    None => {
                        self.finder.find(name.span(), unknown(name.get_ref(), &names));
                    }
                }
            }
            needs.push(needed);
        }
        let sorted = graph::sort(&needs);
        for cycle in sorted.cycles {
            let next = cycle[1 % cycle.len()];
            let mut entries = tables[cycle[0]].1.depends.iter();
            let entry = entries.find(|entry| entry.get_ref() == names[next]);
            let path: Vec<_> = cycle.iter().chain(&cycle[..1]).map(|at| names[*at]).collect();
            let message = format!("this is a cycle: {}", path.join(" needs "));
            self.finder.find(entry.map_or(0..0, Spanned::span), message);
        }
        sorted.order
    }

    /// Finds repos without any dependency or dependent.
    fn find_strays(&mut self, tables: &[(&Text, &RepoTable)]) {
        let needed: BTreeSet<_> =
            tables.iter().flat_map(|(_, table)| &table.depends).map(Spanned::get_ref).collect();
        for (name, table) in tables {
            if tables.len() > 1 && table.depends.is_empty() && !needed.contains(name.get_ref()) {
                let name_text = name.get_ref();
                let message =
                    format!("`{name_text}` is unreachable: it needs no repo, and none needs it");
                self.finder.find(name.span(), message);
            }
        }
    }

    /// Finds an event template whose events have a type too long for GitHub.
    fn find_long_events(
        &mut self,
        tables: &[(&Text, &RepoTable)],
        dispatch: &Dispatch,
        table: &DispatchTable,
    ) {
        let longest = tables.iter().map(|(name, _)| name.get_ref().len()).max().unwrap_or(0);
        let event = dispatch.event.as_str().replacen("{repo}", &"x".repeat(longest), 1);
        if event.len() > MAX_EVENT_LEN
            && let Some(text) = &table.event
        {
            let len = event.len();
            let message = format!(
                "with the longest name of a repo it has {len} bytes; GitHub takes {MAX_EVENT_LEN}"
            );
            self.finder.find(text.span(), message);
        }
    }

    /// Parses a word.
    fn word<T: FromStr<Err = ParseError>>(&mut self, text: &Text) -> Result<T> {
        text.get_ref().parse().map_err(|error| {
            self.finder.find(text.span(), error);
            Found
        })
    }

    /// Parses an optional word.
    fn option<T: FromStr<Err = ParseError>>(&mut self, text: Option<&Text>) -> Result<Option<T>> {
        text.map(|text| self.word(text)).transpose()
    }

    /// Parses a list of at least one word.
    fn list<T: FromStr<Err = ParseError>>(&mut self, texts: &Spanned<Vec<Text>>) -> Result<Vec<T>> {
        if texts.get_ref().is_empty() {
            self.finder.find(texts.span(), "at least one is needed");
        }
        let words: Vec<_> = texts.get_ref().iter().map(|text| self.word(text)).collect();
        words.into_iter().collect()
    }
}

/// Returns a default value.
fn usual<T: FromStr<Err = ParseError>>(text: &str) -> T {
    text.parse().expect("what is usual is fit")
}

/// Returns the message that there is no such repo, with the most similar name.
fn unknown(name: &str, names: &[&str]) -> String {
    const SIMILAR: f64 = 0.85;
    let likeness = |known: &&&str| strsim::jaro_winkler(name, known);
    let nearest = names.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    let hint = nearest.filter(|nearest| likeness(nearest) > SIMILAR);
    let hint = hint.map(|nearest| format!("; `{nearest}` is")).unwrap_or_default();
    format!("{} is no repo of this chain{hint}", quoted(name))
}

#[cfg(test)]
mod tests;
