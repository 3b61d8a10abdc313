//! Templates with places to fill in: `<name>`, which means nothing to YAML, to GitHub or to Rust.

use std::fmt::Display;

use super::super::names::Label;
use super::super::repo::{Chain, Repo};

/// The values for the places of a template.
pub(super) struct Values(Vec<(&'static str, String)>);

impl Values {
    /// Returns the values that all workflows of a chain share.
    pub(super) fn of(chain: &Chain) -> Self {
        let workflows = chain.workflows();
        Self(vec![
            ("<workflows>", format!("{}/.github/workflows", workflows.repository())),
            ("<version>", workflows.version().to_owned()),
            ("<secret>", chain.dispatch().secret.to_string()),
            ("<read-secret>", read_secret(chain)),
        ])
    }

    /// Adds the values of a repo's build.
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
        // A value may contain places that later values fill in. Words of a chain contain no `<`.
        self.0.iter().fold(template.to_owned(), |text, (place, value)| text.replace(place, value))
    }
}

/// Returns the lines that give a job the token for reading private repos, not the one with more
/// rights.
fn read_secret(chain: &Chain) -> String {
    let secret = chain.read_secret();
    let given = |secret| format!("    secrets:\n      token: ${{{{ secrets.{secret} }}}}\n");
    secret.map(given).unwrap_or_default()
}

/// Returns words as items of a list in YAML and JSON: `"a", "b"`.
pub(super) fn list<T: Display>(words: impl IntoIterator<Item = T>, separator: &str) -> String {
    // No word of a chain has a quote or a backslash in it.
    let words: Vec<_> = words.into_iter().map(|word| format!("\"{word}\"")).collect();
    words.join(separator)
}

/// Returns labels of runners in the form of the input: a JSON array, quoted for YAML.
pub(super) fn runner(labels: &[Label]) -> String {
    format!("'[{}]'", list(labels, ","))
}
