//! `chain.toml` as written, with the place of every text that may be wrong.

use std::collections::BTreeMap;
use std::num::NonZeroU16;

use serde::Deserialize;
use toml::Spanned;

use super::repo::Kind;

/// A text and its place in the file.
pub(super) type Text = Spanned<String>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct File {
    pub(super) owner: Text,
    pub(super) runner: Option<Spanned<Vec<Text>>>,
    pub(super) fork_runner: Option<Spanned<Vec<Text>>>,
    pub(super) branches: Option<Spanned<Vec<Text>>>,
    pub(super) workflows: Option<Text>,
    pub(super) read_secret: Option<Text>,
    #[serde(default)]
    pub(super) dispatch: DispatchTable,
    #[serde(default)]
    pub(super) releases: ReleasesTable,
    #[serde(default)]
    pub(super) repos: BTreeMap<Text, RepoTable>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct DispatchTable {
    pub(super) event: Option<Text>,
    pub(super) orchestrator: Option<Text>,
    pub(super) secret: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct ReleasesTable {
    pub(super) repository: Option<Text>,
    pub(super) versions: Option<Text>,
    pub(super) nightly: Option<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RepoTable {
    pub(super) repository: Option<Text>,
    pub(super) kind: Kind,
    #[serde(default)]
    pub(super) depends: Vec<Text>,
    pub(super) runner: Option<Spanned<Vec<Text>>>,
    pub(super) branches: Option<Spanned<Vec<Text>>>,
    pub(super) package: Option<Text>,
    #[serde(default)]
    pub(super) features: Vec<Text>,
    pub(super) timeout_minutes: Option<NonZeroU16>,
    #[serde(default)]
    pub(super) verify: bool,
}
