//! Texts with places to fill in: `<name>`, which means nothing to YAML, to GitHub or to Rust.

use std::fmt::Display;

use super::super::names::Label;
use super::super::repo::{Chain, Repo};

/// What stands at the places of a template.
pub(super) struct Values(Vec<(&'static str, String)>);

impl Values {
    /// Returns what is the same in all workflows of a chain.
    pub(super) fn of(chain: &Chain) -> Self {
        let workflows = chain.workflows();
        Self(vec![
            ("<workflows>", format!("{}/.github/workflows", workflows.repository())),
            ("<version>", workflows.version().to_owned()),
            ("<secret>", chain.dispatch().secret.to_string()),
            ("<read-secret>", read_secret(chain)),
        ])
    }

    /// Adds what a repo is built with.
    pub(super) fn with_build(self, chain: &Chain, repo: &Repo) -> Self {
        let features: Vec<_> = repo.features.iter().map(ToString::to_string).collect();
        let features = match features.join(",") {
            none if none.is_empty() => none,
            some => format!("      features: {some}\n"),
        };
        self.with("<full-name>", chain.full_name(&repo.repository))
            .with("<package>", repo.package.to_string())
            .with("<features>", features)
            .with("<timeout>", repo.timeout_minutes.to_string())
    }

    pub(super) fn with(mut self, place: &'static str, value: impl Into<String>) -> Self {
        self.0.push((place, value.into()));
        self
    }

    /// Returns `template` with its places filled in.
    pub(super) fn fill(&self, template: &str) -> String {
        // Values may have places of what was added after them. Words of a chain have none: no `<`.
        self.0.iter().fold(template.to_owned(), |text, (place, value)| text.replace(place, value))
    }
}

/// Returns what gives a job the token that reads private repos: not the one that may do more.
fn read_secret(chain: &Chain) -> String {
    let secret = chain.read_secret();
    let given = |secret| format!("    secrets:\n      token: ${{{{ secrets.{secret} }}}}\n");
    secret.map(given).unwrap_or_default()
}

/// Returns words as a list of YAML and JSON: `"a", "b"`.
pub(super) fn list<T: Display>(words: impl IntoIterator<Item = T>, separator: &str) -> String {
    // No word of a chain has a quote or a backslash in it.
    let words: Vec<_> = words.into_iter().map(|word| format!("\"{word}\"")).collect();
    words.join(separator)
}

/// Returns labels of runners as the input that has them: an array of JSON, quoted for YAML.
pub(super) fn runner(labels: &[Label]) -> String {
    format!("'[{}]'", list(labels, ","))
}
