//! The private home of a runner. It has cargo caches of its own, and takes everything else from the
//! usual home.
//!
//! Cargo's package lock is a file in its home. So runners with separate homes never wait for each
//! other, and never see the crates that another runner extracts. The price: if a target was built
//! with a home at another path, cargo compiles every registry crate again.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::Result;
use super::error::chain;
use super::report::SetAside;
use super::warning::Warning;
use crate::cargo::dirs::cargo_home;
use crate::cargo::home::STAGED_PREFIX;
use crate::cargo::home_config::{HomeConfig, home_config};
use crate::fs::At;
use crate::fs::regular::read_to_string;
use crate::fs::remove::remove_file;
use crate::model::cargo_home::HomeOwner;
use crate::model::environment::Environment;
use crate::model::leftovers::{Leftovers, foreign};
use crate::model::raw_path::RawPath;
use crate::model::scope::Scope;
use crate::model::timestamp::Timestamp;
use crate::store::{PrivateHome, Store};

/// A private home, ready for cargo.
#[derive(Debug)]
pub struct Opened {
    /// The home, which is not removed while this value lives.
    pub home: PrivateHome,
    /// The previous home, if it was set aside.
    pub set_aside: Option<SetAside>,
    /// Warnings for people.
    pub warnings: Vec<Warning>,
}

impl Opened {
    /// Returns the path of the home, as reports show it.
    pub fn raw_path(&self) -> RawPath {
        RawPath::of(self.home.path().as_os_str().as_bytes())
    }

    /// Returns the environment with this home as `CARGO_HOME`.
    pub fn applied_to(&self, environment: &Environment) -> Environment {
        environment.clone().with("CARGO_HOME", self.home.path())
    }
}

/// Opens the private home of `owner`; creates it if it does not exist.
///
/// The private home has symlinks to everything in the usual home except cargo's caches: installed
/// programs and their list, credentials, the configuration. A configuration with relative paths is
/// copied with absolute paths and without secrets. So no secret is copied, and `cargo install` and
/// `cargo login` write where they would write without us.
///
/// If a job that this one may not read used the home before, the home is set aside first, unless
/// leftovers are kept.
pub fn open(
    store: &Store,
    owner: &HomeOwner,
    user: &User<'_>,
    environment: &Environment,
    now: Timestamp,
) -> Result<Opened> {
    let repo = user.repo;
    let (mut set_aside, mut warnings) = (None, Vec::new());
    let scope = user.scope_in(store, owner, &mut set_aside, &mut warnings);
    let home = store.open_home(owner, scope, now)?;
    if let Some(usual) = usual_home(store, home.path(), environment, repo)? {
        furnish(store, &home, &usual, repo, &mut warnings)?;
    }
    Ok(Opened { home, set_aside, warnings })
}

/// The job that uses a private home.
#[derive(Clone, Copy, Debug)]
pub struct User<'a> {
    /// The checkout that it builds.
    pub repo: &'a Path,
    /// The scopes that it may read, its own first.
    pub readable: &'a [Scope],
    /// How to treat a private home that was left by a job that this one may not read.
    pub leftovers: Leftovers,
}

impl User<'_> {
    /// Sets the home of `owner` aside if a job that may not be read used it and leftovers are not
    /// kept. Returns the scope to record for the home; if such a home stays, that is still the
    /// scope of its job.
    fn scope_in(
        &self,
        store: &Store,
        owner: &HomeOwner,
        set_aside: &mut Option<SetAside>,
        warnings: &mut Vec<Warning>,
    ) -> Option<Scope> {
        let path = store.home_path(owner);
        let before = store.home_scope(&path);
        let why = foreign(before.as_ref(), self.readable);
        let Some(why) = why.filter(|_| path.symlink_metadata().is_ok()) else {
            return self.readable.first().cloned();
        };
        if self.leftovers == Leftovers::Keep {
            return before;
        }
        let refused = match store.set_home_aside(owner) {
            Ok(true) => {
                let path = RawPath::of(path.as_os_str().as_bytes());
                *set_aside = Some(SetAside { path, why: why.to_string() });
                return self.readable.first().cloned();
            }
            Ok(false) => "another process uses it".to_owned(),
            Err(error) => chain(&error),
        };
        let (whose, cause) = (why, refused);
        warnings.push(Warning::NotSetAside { dir: path, whose, cause, is_replaceable: false });
        before
    }
}

/// Returns the usual home, which this one stands in for. Returns `None` if there is none, or if an
/// earlier step has linked to it and exported this one. The private home of another runner is never
/// the usual one.
fn usual_home(
    store: &Store,
    home: &Path,
    environment: &Environment,
    repo: &Path,
) -> Result<Option<PathBuf>> {
    let found = cargo_home(environment, None, repo).ok();
    let is_done = found.as_deref() == Some(home) && !links_in(home)?.is_empty();
    if found.as_deref().is_some_and(|found| store.is_home(found)) {
        let otherwise = cargo_home(&environment.clone().without("CARGO_HOME"), None, repo).ok();
        return Ok(otherwise.filter(|_| !is_done));
    }
    Ok(found)
}

/// Links everything in `usual` into `home`, and removes links to anything that `usual` no longer
/// has. Writes the configuration if a link does not do.
fn furnish(
    store: &Store,
    home: &PrivateHome,
    usual: &Path,
    repo: &Path,
    warnings: &mut Vec<Warning>,
) -> Result<()> {
    let mut links = links_to(usual)?;
    let path = home.path();
    let config = path.join(CONFIG);
    let text = match home_config(usual, repo)? {
        HomeConfig::Nothing => None,
        HomeConfig::Itself(source) => {
            links.insert(CONFIG.into(), source);
            None
        }
        HomeConfig::Text { source, text, left_out } => {
            for secret in left_out {
                warnings.push(Warning::SecretNotCopied {
                    key: secret.to_owned(),
                    config: source.clone(),
                });
            }
            // Escape the path, so that no line break in it ends the comment.
            Some(format!(
                "{WRITTEN} from {}, with absolute paths.\n{text}",
                source.display().to_string().escape_debug()
            ))
        }
    };
    for (name, target) in links_in(path)? {
        if links.get(&name) != Some(&target) {
            remove_file(&path.join(name))?;
        }
    }
    let is_ours = read_to_string(&config).is_ok_and(|text| text.starts_with(WRITTEN));
    match text {
        Some(text) if is_ours || !config.exists() => {
            store.write_in_home(home, CONFIG, &text)?;
        }
        None if is_ours && !config.is_symlink() => remove_file(&config)?,
        _ => {}
    }
    for (name, target) in links {
        let link = path.join(name);
        match symlink(&target, &link) {
            // If cargo made a directory here before the usual home had one, it stays.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            linked => linked.at("create symlink", &link)?,
        }
    }
    Ok(())
}

/// The name of the configuration file in cargo's home.
const CONFIG: &str = "config.toml";

/// The first words of a configuration that this program wrote.
const WRITTEN: &str = "# Written by runner-cache";

/// Returns the targets of the links to create, by name: everything in `usual` except cargo's caches
/// and configuration.
///
/// Credentials are linked even if there are none yet, so that a login stores them in the usual
/// home. If `bin` is linked, so is the list of installed programs, even if there is none yet.
fn links_to(usual: &Path) -> Result<BTreeMap<OsString, PathBuf>> {
    let mut names: Vec<OsString> = Vec::new();
    let entries = match fs::read_dir(usual) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        entries => entries.at("read directory", usual)?,
    };
    for entry in entries {
        names.push(entry.at("read directory", usual)?.file_name());
    }
    names.push("credentials.toml".into());
    if names.iter().any(|name| name == "bin") {
        names.extend([".crates.toml", ".crates2.json"].map(OsString::from));
    }
    let is_config = |name: &OsString| name == "config" || name == CONFIG;
    names.retain(|name| !is_private(name) && !is_config(name));
    let usual = std::path::absolute(usual).at("find the current directory", usual)?;
    Ok(names.into_iter().map(|name| (name.clone(), usual.join(name))).collect())
}

/// Tells whether each home has its own entry of this name: cargo's package lock guards it, or this
/// program stages there.
fn is_private(name: &OsStr) -> bool {
    let begins_with = |prefix: &str| name.as_bytes().starts_with(prefix.as_bytes());
    name == "registry"
        || name == "git"
        || [".package-cache", ".global-cache", STAGED_PREFIX].into_iter().any(begins_with)
}

/// Returns the symlinks in `home`, which this program created, and their targets.
fn links_in(home: &Path) -> Result<BTreeMap<OsString, PathBuf>> {
    let mut links = BTreeMap::new();
    for entry in fs::read_dir(home).at("read directory", home)? {
        let entry = entry.at("read directory", home)?;
        if let Ok(target) = fs::read_link(entry.path()) {
            links.insert(entry.file_name(), target);
        }
    }
    Ok(links)
}
