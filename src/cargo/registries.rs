//! Finds the directories of a `CARGO_HOME` that hold the crates of a source.
//!
//! Cargo names them `<host>-<hash>[-shallow]`, after the URL of the index that it really asks: that of the source, or
//! of its replacement in the configuration (`short_name` in cargo's `sources/registry/mod.rs`; The Cargo Book, "Source
//! Replacement"). The hash depends on the version of cargo. So a directory may belong to a source if the host is its
//! own or that of a replacement.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use toml::{Table, Value};

use super::config::Config;
use super::error::Result;
use super::home_paths::without_hash;
use super::lock_file::CRATES_IO;

/// The name of crates.io in a configuration.
const CRATES_IO_NAME: &str = "crates-io";

/// The hosts of crates.io, for both protocols.
const CRATES_IO_HOSTS: [&str; 2] = ["index.crates.io", "github.com"];

/// The registries that the configuration files of a job name. Leaves out those of a `--config` option, which only cargo
/// sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registries {
    /// The URLs of sources, by name.
    urls: BTreeMap<String, BTreeSet<String>>,
    /// The names of each source's replacements, by the name of the source.
    replaced: BTreeMap<String, BTreeSet<String>>,
    /// Whether a local registry is among the sources: the crate files of a local registry lie outside of the home.
    has_local: bool,
}

/// The registry directories that the crates of a source may lie in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Places {
    /// The directories named after one of these hosts.
    Of(BTreeSet<String>),
    /// Any: the configuration names a replacement without its place.
    Anywhere,
}

impl Registries {
    /// Reads the configuration files that apply in each of `dirs`, and in `home`.
    pub fn read<'d>(dirs: impl IntoIterator<Item = &'d Path>, home: &Path) -> Result<Self> {
        let mut registries = Self::default();
        for dir in dirs {
            Config::read(dir, Some(home))?.tables().for_each(|table| registries.add(table));
        }
        Ok(registries)
    }

    /// Adds the registries of one file. A stronger file may override it, which makes no difference: a source and its
    /// replacement have the same crates.
    fn add(&mut self, table: &Table) {
        for (name, registry) in tables(table, "registries") {
            let url = registry.get("index").and_then(Value::as_str);
            self.add_url(name, url);
        }
        for (name, source) in tables(table, "source") {
            let text = |key| source.get(key).and_then(Value::as_str);
            self.add_url(name, text("registry"));
            let other = text("replace-with").map(str::to_owned);
            self.replaced.entry(name.clone()).or_default().extend(other);
            if text("local-registry").is_some() {
                self.has_local = true;
                self.add_url(name, Some("file:///"));
            }
            if text("directory").is_some() {
                // Vendored sources lie outside of the home.
                self.urls.entry(name.clone()).or_default();
            }
        }
    }

    fn add_url(&mut self, name: &str, url: Option<&str>) {
        if let Some(url) = url {
            self.urls.entry(name.to_owned()).or_default().insert(plain(url).to_owned());
        }
    }

    /// Returns the places where the crates of a source may lie; `source` is written as in a lock file.
    pub fn places(&self, source: &str) -> Places {
        let is_crates_io = CRATES_IO.contains(&source);
        let own = CRATES_IO_HOSTS.into_iter().filter(|_| is_crates_io).map(str::to_owned);
        let mut hosts: BTreeSet<String> = own.chain([host(source)]).collect();
        let url = plain(source);
        let has_url = |urls: &BTreeSet<String>| urls.contains(url);
        let known = self.urls.iter().filter(|(_, urls)| has_url(urls)).map(|(name, _)| name);
        let mut names: BTreeSet<&str> = known.map(String::as_str).collect();
        if is_crates_io {
            names.insert(CRATES_IO_NAME);
        }
        let mut next: Vec<&str> = names.iter().copied().collect();
        while let Some(name) = next.pop() {
            for other in self.replaced.get(name).into_iter().flatten() {
                let Some(urls) = self.urls.get(other) else { return Places::Anywhere };
                hosts.extend(urls.iter().map(|url| host(url)));
                if names.insert(other) {
                    next.push(other);
                }
            }
        }
        Places::Of(hosts)
    }

    /// Tells whether the directory `name` may belong to a local registry, whose URL has no host.
    pub fn may_be_local(&self, name: &[u8]) -> bool {
        self.has_local && without_hash(name) == Some(b"")
    }
}

impl Places {
    /// Tells whether the registry directory `name` may be one of these.
    pub fn have(&self, name: &[u8]) -> bool {
        let Some(host) = without_hash(name) else { return false };
        match self {
            Self::Of(hosts) => hosts.iter().any(|it| it.as_bytes().eq_ignore_ascii_case(host)),
            Self::Anywhere => true,
        }
    }
}

fn tables<'t>(table: &'t Table, key: &str) -> impl Iterator<Item = (&'t String, &'t Table)> {
    let all = table.get(key).and_then(Value::as_table).into_iter().flatten();
    all.filter_map(|(name, value)| Some((name, value.as_table()?)))
}

/// Returns a URL without the parts that make no difference to cargo.
fn plain(url: &str) -> &str {
    url.strip_prefix("registry+").unwrap_or(url).trim_end_matches('/')
}

/// Returns the host in a URL; the empty string if it has none.
fn host(url: &str) -> String {
    let (_, rest) = url.split_once("://").unwrap_or_default();
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    let without_port = host.rsplit_once(':').filter(|(_, port)| is_port(port));
    without_port.map_or(host, |(host, _)| host).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "
        [registries.corp]
        index = 'sparse+https://my.corp/index/'
        [source.vendored]
        directory = 'vendor'
        [source.corp-mirror]
        registry = 'https://user@Mirror.corp:8443/git/index'
        [source.here]
        local-registry = 'crates'
        [source.a]
        registry = 'https://a.example/index'
        replace-with = 'b'
        [source.b]
        registry = 'sparse+https://b.example/index'
        replace-with = 'a'
        ";

    const ALL: [&str; 9] = [
        "index.crates.io-1",
        "github.com-1",
        "github.com-1-shallow",
        "mirror.corp-1",
        "my.corp-1",
        "-1",
        "a.example-1",
        "b.example-1",
        "p.example-1",
    ];

    #[test]
    fn a_directory_belongs_to_a_source_by_the_host_of_its_index_or_of_what_replaces_that()
    -> std::result::Result<(), Box<dyn std::error::Error>> {
        const GIT: &str = "registry+https://github.com/rust-lang/crates.io-index";
        const SPARSE: &str = "sparse+https://index.crates.io/";
        const OURS: [&str; 3] = ["index.crates.io-1", "github.com-1", "github.com-1-shallow"];
        #[rustfmt::skip]
        let cases: [(&str, &str, &str, &[&str]); 14] = [
            //why                 configuration                                   source                                  directories
            ("crates.io",         "",                                             GIT,                                    &OURS),
            ("the same, sparse",  "",                                             SPARSE,                                 &OURS),
            ("another registry",  "",                                             "sparse+https://my.corp/index/",        &["my.corp-1"]),
            ("with a port",       "",                                             "registry+https://me@my.corp:80/index", &["my.corp-1"]),
            ("in a file",         "",                                             "registry+file:///srv/index",           &["-1"]),
            ("a mirror",          "[source.crates-io]\nreplace-with = 'corp-mirror'",  GIT,    &["index.crates.io-1", "github.com-1", "github.com-1-shallow", "mirror.corp-1"]),
            ("a registry",        "[source.crates-io]\nreplace-with = 'corp'",    SPARSE,                                 &["index.crates.io-1", "github.com-1", "github.com-1-shallow", "my.corp-1"]),
            ("vendored",          "[source.crates-io]\nreplace-with = 'vendored'", GIT,                                   &OURS),
            ("local",             "[source.crates-io]\nreplace-with = 'here'",    GIT,                                    &["index.crates.io-1", "github.com-1", "github.com-1-shallow", "-1"]),
            ("replaced by URL",   "",                                             "registry+https://a.example/index/",    &["a.example-1", "b.example-1"]),
            ("one of a circle",   "",                                             "sparse+https://b.example/index/",      &["a.example-1", "b.example-1"]),
            ("not replaced",      "[source.other]\nregistry = 'https://o.example'\nreplace-with = 'corp'", "registry+https://p.example", &["p.example-1"]),
            ("replaced elsewhere", "[source.crates-io]\nreplace-with = 'unknown'", GIT,                                   &["index.crates.io-1", "github.com-1", "github.com-1-shallow", "mirror.corp-1", "my.corp-1", "-1", "a.example-1", "b.example-1", "p.example-1"]),
            ("no URL",            "",                                             "registry+corp",                        &["-1"]),
        ];
        for (why, config, source, want) in cases {
            let mut registries = Registries::default();
            registries.add(&CONFIG.parse()?);
            registries.add(&config.parse()?);
            let places = registries.places(source);
            let is_one =
                |name: &&str| places.have(name.replace("-1", "-1949cf8c6b5b557f").as_bytes());
            let found: Vec<_> = ALL.into_iter().filter(is_one).collect();
            assert_eq!(found, want, "{why}");
            assert!(!places.have(b"my.corp") && !places.have(b"index.crates.io-1949"), "{why}");
        }
        Ok(())
    }

    #[test]
    fn only_a_directory_without_a_host_is_of_a_local_registry()
    -> std::result::Result<(), Box<dyn std::error::Error>> {
        let mut registries = Registries::default();
        assert!(!registries.may_be_local(b"-1949cf8c6b5b557f"));
        registries.add(&CONFIG.parse()?);
        assert!(registries.may_be_local(b"-1949cf8c6b5b557f"));
        assert!(!registries.may_be_local(b"index.crates.io-1949cf8c6b5b557f"));
        assert!(!registries.may_be_local(b"-1949"));
        Ok(())
    }
}
