//! The repos that a change makes the chain rebuild.

use std::collections::{BTreeMap, BTreeSet};

use super::names::RepoName;
use super::repo::{Chain, Repo};

/// The affected set of a change, in levels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Affected {
    /// The repos to build, in levels: a repo needs only repos of earlier levels and unchanged
    /// repos. No level is empty.
    pub levels: Vec<Vec<RepoName>>,
}

impl Affected {
    /// Returns the repos to build, each after all that it needs.
    pub fn builds(&self) -> impl Iterator<Item = &RepoName> {
        self.levels.iter().flatten()
    }

    /// Tells whether `name` is built.
    pub fn contains(&self, name: &RepoName) -> bool {
        self.builds().any(|built| built == name)
    }

    /// Returns the level at `number`, which counts from 1; an empty slice if there are fewer
    /// levels.
    pub fn level(&self, number: usize) -> &[RepoName] {
        number.checked_sub(1).and_then(|at| self.levels.get(at)).map_or(&[], Vec::as_slice)
    }
}

impl Chain {
    /// Returns `changed` and all their direct and indirect dependents, in the order of the chain.
    pub fn reached(&self, changed: &BTreeSet<RepoName>) -> Vec<&Repo> {
        let mut found: BTreeSet<_> = changed.iter().collect();
        let mut reached = Vec::new();
        for repo in &self.repos {
            if found.contains(&repo.name) || repo.depends.iter().any(|name| found.contains(name)) {
                found.insert(&repo.name);
                reached.push(repo);
            }
        }
        reached
    }

    /// Returns the repos to build because of a change in `changed`: these repos and all their
    /// dependents, without docs.
    pub fn affected(&self, changed: &BTreeSet<RepoName>) -> Affected {
        let mut level_of = BTreeMap::new();
        let mut levels: Vec<Vec<RepoName>> = Vec::new();
        for repo in self.reached(changed) {
            let below = repo.depends.iter().filter_map(|name| level_of.get(name));
            let level = below.max().copied().unwrap_or(0) + usize::from(repo.is_built());
            level_of.insert(&repo.name, level);
            if repo.is_built() {
                levels.resize(levels.len().max(level), Vec::new());
                levels[level - 1].push(repo.name.clone());
            }
        }
        Affected { levels }
    }

    /// Returns the repos that can still be built when `failed` could not be: all but these and
    /// their dependents. Levels keep their numbers, so some may be empty.
    pub fn unblocked(&self, affected: &Affected, failed: &BTreeSet<RepoName>) -> Affected {
        let blocked = self.reached(failed);
        let is_blocked = |name: &RepoName| blocked.iter().any(|repo| repo.name == *name);
        let left = |level: &Vec<RepoName>| {
            level.iter().filter(|name| !is_blocked(name)).cloned().collect()
        };
        Affected { levels: affected.levels.iter().map(left).collect() }
    }

    /// Returns the number of levels of a build of all repos.
    pub fn depth(&self) -> usize {
        let all = self.repos.iter().map(|repo| repo.name.clone()).collect();
        self.affected(&all).levels.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

    /// The chain of the documents' orchestrator, preceded by its specification.
    fn chain() -> Result<Chain> {
        let text = "owner = 'o'\n\
            [repos.spec]\nkind = 'docs'\n\
            [repos.consensus]\nkind = 'library'\ndepends = ['spec']\n\
            [repos.protocol]\nkind = 'library'\ndepends = ['consensus']\n\
            [repos.node]\nkind = 'binary'\ndepends = ['protocol', 'consensus']\n\
            [repos.sdk]\nkind = 'library'\ndepends = ['protocol']\n\
            [repos.governance-app]\nkind = 'image'\ndepends = ['sdk']\n";
        Ok(Chain::parse("chain.toml", text)?)
    }

    fn set(names: &str) -> Result<BTreeSet<RepoName>> {
        Ok(names.split_whitespace().map(str::parse).collect::<std::result::Result<_, _>>()?)
    }

    fn levels(affected: &Affected) -> Vec<String> {
        let line = |level: &Vec<RepoName>| {
            level.iter().map(RepoName::as_str).collect::<Vec<_>>().join(" ")
        };
        affected.levels.iter().map(line).collect()
    }

    #[test]
    fn a_change_rebuilds_itself_and_all_that_depends_on_it_in_levels() -> Result {
        type Case<'a> = (&'a str, &'a [&'a str]);
        #[rustfmt::skip]
        let cases: [Case<'_>; 7] = [
            ("consensus",      &["consensus", "protocol", "node sdk", "governance-app"]),
            ("spec",           &["consensus", "protocol", "node sdk", "governance-app"]),
            ("protocol",       &["protocol", "node sdk", "governance-app"]),
            ("node",           &["node"]),
            ("governance-app", &["governance-app"]),
            ("node sdk",       &["node sdk", "governance-app"]),
            ("",               &[]),
        ];
        let chain = chain()?;
        for (changed, want) in cases {
            assert_eq!(levels(&chain.affected(&set(changed)?)), want, "{changed}");
        }
        assert_eq!(chain.depth(), 4);
        Ok(())
    }

    #[test]
    fn a_failed_repo_blocks_its_dependents_and_no_others() -> Result {
        let chain = chain()?;
        let all = chain.affected(&set("consensus")?);
        let cases: [(&str, &[&str]); 4] = [
            ("sdk", &["consensus", "protocol", "node", ""]),
            ("node", &["consensus", "protocol", "sdk", "governance-app"]),
            ("consensus", &["", "", "", ""]),
            ("", &["consensus", "protocol", "node sdk", "governance-app"]),
        ];
        for (failed, want) in cases {
            assert_eq!(levels(&chain.unblocked(&all, &set(failed)?)), want, "{failed}");
        }
        Ok(())
    }

    #[test]
    fn all_dependencies_of_a_repo_are_listed_in_build_order() -> Result {
        let chain = chain()?;
        let names = |name: &str| -> Result<Vec<String>> {
            Ok(chain
                .dependencies(&name.parse()?)
                .iter()
                .map(|repo| repo.name.to_string())
                .collect())
        };
        assert_eq!(names("node")?, ["spec", "consensus", "protocol"]);
        assert!(names("spec")?.is_empty());
        Ok(())
    }
}
