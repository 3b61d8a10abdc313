//! Cargo's git checkouts and repositories: checks that a checkout is its revision, and that a repository is whole.
//!
//! The check trusts nothing in a checkout, neither its index nor its objects. The lock file names the commit by its
//! SHA-1, the commit its tree, the tree its files. Cargo adds a `.cargo-ok`, also to submodules.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::git_config;
use super::git_objects::{Hashing, ObjectId, Objects};
use crate::fs::beneath::open_regular;
use crate::fs::regular;
use crate::fs::stat::{Kind, Stat};
use crate::model::environment::Environment;
use crate::model::rel_path::RelPath;
use crate::model::source::is_executable;

/// The entries found below a directory, by their paths relative to it.
pub type Files = BTreeMap<RelPath, Stat>;

/// The result of checking a checkout or repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Looked {
    /// It is as it should be.
    Right,
    /// It is as it should be, and holds further files that git ignores; the first of them, as a clause. A build script
    /// may have written them, and cargo does not run it again while it is fresh.
    RightAndMore(String),
    /// It differs; the difference, as a clause.
    Wrong(String),
    /// The revision is no full SHA-1, or there is no git to run.
    Unknown,
}

/// The maximum depth of submodules inside submodules.
const MAX_DEPTH: u32 = 8;

/// Tells whether the checkout `dir`, which holds `found`, is the revision `rev` and nothing else. Git is found in the
/// PATH of `environment`.
pub fn look_at_checkout(
    dir: &Path,
    found: &Files,
    rev: &[u8],
    environment: &Environment,
) -> io::Result<Looked> {
    let Some(commit) = ObjectId::parse(rev) else { return Ok(Looked::Unknown) };
    let mut looking = Looking { dir, found, environment, expected: HashSet::new() };
    match looking.look(None, commit, 0) {
        Ok(()) => Ok(looking.more()),
        Err(Trouble::Wrong(why)) => Ok(Looked::Wrong(why)),
        Err(Trouble::NoGit) => Ok(Looked::Unknown),
        Err(Trouble::Io(error)) => Err(error),
    }
}

enum Trouble {
    Wrong(String),
    NoGit,
    Io(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn wrong<T>(why: impl Into<String>) -> Result<T, Trouble> {
    Err(Trouble::Wrong(why.into()))
}

struct Looking<'a> {
    dir: &'a Path,
    found: &'a Files,
    environment: &'a Environment,
    /// The paths of the revision, and those that belong to git or cargo.
    expected: HashSet<RelPath>,
}

impl Looking<'_> {
    /// Compares the repository at `at`, or at the top if `None`, with `commit`.
    fn look(&mut self, at: Option<&RelPath>, commit: ObjectId, depth: u32) -> Result<(), Trouble> {
        if depth > MAX_DEPTH {
            return wrong("its submodules are nested too deeply");
        }
        let git_dir = join(at, b".git")?;
        self.check_git_dir(&git_dir, commit)?;
        let full = self.dir.join(git_dir.as_path());
        let mut objects = Objects::open(&full, self.environment)?.ok_or(Trouble::NoGit)?;
        let Some(text) = objects.read("commit", commit)? else {
            return wrong(format!("git cannot read its commit {commit}"));
        };
        let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let Some(tree) = line.strip_prefix(b"tree ").and_then(ObjectId::parse) else {
            return wrong("its commit has no tree");
        };
        self.expected.extend([git_dir, join(at, b".cargo-ok")?]);
        let mut submodules = Vec::new();
        let mut dirs = vec![(at.cloned(), tree)];
        while let Some((dir, tree)) = dirs.pop() {
            let Some(entries) = objects.read("tree", tree)? else {
                return wrong(format!("git cannot read its tree {tree}"));
            };
            let mut rest = &entries[..];
            while !rest.is_empty() {
                let Some((TreeEntry { mode, name, id }, after)) = next_entry(rest) else {
                    return wrong(format!("its tree {tree} is malformed"));
                };
                rest = after;
                let path = join(dir.as_ref(), name)?;
                match mode {
                    b"40000" => dirs.push((Some(path.clone()), id)),
                    b"160000" => submodules.push((path.clone(), id)),
                    mode => self.check_file(&path, mode, id)?,
                }
                self.expected.insert(path);
            }
        }
        for (path, commit) in submodules {
            let has_any = self.found.keys().any(|found| *found != path && found.is_within(&path));
            let is_dir = self.found.get(&path).is_none_or(|stat| stat.kind == Kind::Dir);
            if has_any {
                self.look(Some(&path), commit, depth + 1)?;
            } else if !is_dir || !self.is_left_empty(at, &path) {
                return wrong(format!("`{path}` differs from its revision"));
            }
        }
        Ok(())
    }

    /// Tells whether cargo leaves the submodule at `path` out of the checkout `at`: its `.gitmodules` has
    /// `update = none`.
    fn is_left_empty(&self, at: Option<&RelPath>, path: &RelPath) -> bool {
        let Ok(file) = join(at, b".gitmodules") else { return false };
        let Ok(text) = regular::read(&self.dir.join(file.as_path())) else { return false };
        let text = String::from_utf8_lossy(&text);
        let below = at.map_or(0, |at| at.as_bytes().len() + 1);
        let name = String::from_utf8_lossy(&path.as_bytes()[below..]);
        let sections = format!("\n{text}").replace('\r', "");
        sections.split("\n[").any(|section| {
            let says = |key: &str, value: &str| {
                section.lines().filter_map(|line| line.split_once('=')).any(|(it, said)| {
                    it.trim().eq_ignore_ascii_case(key) && said.trim().trim_matches('"') == value
                })
            };
            says("path", &name) && says("update", "none")
        })
    }

    /// Fails for a repository that names programs, or that is at another commit.
    fn check_git_dir(&self, git_dir: &RelPath, commit: ObjectId) -> Result<(), Trouble> {
        let full = self.dir.join(git_dir.as_path());
        if let Some(why) = flaw_of_git_dir(&full, self.found.keys(), Some(git_dir))? {
            return wrong(why);
        }
        match head(&full) {
            Some(head) if head == commit => Ok(()),
            Some(head) => wrong(format!("it is at {head} and not at {commit}")),
            None => wrong("its HEAD cannot be read"),
        }
    }

    fn check_file(&self, path: &RelPath, mode: &[u8], id: ObjectId) -> Result<(), Trouble> {
        let Some(stat) = self.found.get(path) else {
            return wrong(format!("`{path}` of its revision is missing"));
        };
        let full = self.dir.join(path.as_path());
        let is_same = match (mode, stat.kind) {
            (b"120000", Kind::Symlink) => {
                let target = std::fs::read_link(&full)?;
                let target = target.as_os_str().as_bytes();
                let mut hashing = Hashing::of("blob", target.len() as u64);
                hashing.update(target);
                hashing.finish() == id
            }
            (b"100644" | b"100664" | b"100755", Kind::File) => {
                is_executable(stat.mode) == (mode == b"100755")
                    && stat.mode & 0o7000 == 0
                    && has_blob(&full, stat, id)?
            }
            _ => false,
        };
        if is_same { Ok(()) } else { wrong(format!("`{path}` differs from its revision")) }
    }

    /// Looks for paths that the revision does not have; those that git does not ignore come first.
    fn more(&self) -> Looked {
        let git_dirs: Vec<_> =
            self.expected.iter().filter(|path| path.file_name() == b".git").collect();
        let is_gits = |path: &RelPath| git_dirs.iter().any(|git_dir| path.is_within(git_dir));
        let more = self.found.iter().filter(|(path, stat)| {
            let is_expected = match stat.kind {
                Kind::Dir => self.expected.contains(*path),
                _ => self.expected.contains(*path) && path.file_name() != b".git",
            };
            !is_expected && !is_gits(path)
        });
        let said = |path: &RelPath| format!("`{path}` is not in its revision");
        let mut ignored = None;
        let mut rules = Ignores { dir: self.dir, expected: &self.expected, read: BTreeMap::new() };
        for (path, stat) in more {
            if !rules.ignores(path, stat.kind == Kind::Dir) {
                return Looked::Wrong(said(path));
            }
            ignored.get_or_insert_with(|| said(path));
        }
        ignored.map_or(Looked::Right, Looked::RightAndMore)
    }
}

/// The `.gitignore` files of a revision.
struct Ignores<'a> {
    dir: &'a Path,
    expected: &'a HashSet<RelPath>,
    /// The rules of each directory's file, by directory; the key of the top is `None`.
    read: BTreeMap<Option<RelPath>, Gitignore>,
}

impl Ignores<'_> {
    fn ignores(&mut self, path: &RelPath, is_dir: bool) -> bool {
        let mut above = path.parent();
        loop {
            let full = self.dir.join(path.as_path());
            let rules = self.rules_in(above.as_ref());
            match rules.matched_path_or_any_parents(&full, is_dir) {
                Match::Ignore(_) => return true,
                Match::Whitelist(_) => return false,
                Match::None => {}
            }
            let Some(dir) = above else { return false };
            above = dir.parent();
        }
    }

    fn rules_in(&mut self, dir: Option<&RelPath>) -> &Gitignore {
        let (top, expected) = (self.dir, self.expected);
        self.read.entry(dir.cloned()).or_insert_with(|| {
            let full = dir.map_or_else(|| top.to_owned(), |dir| top.join(dir.as_path()));
            let mut rules = GitignoreBuilder::new(&full);
            let file = join(dir, b".gitignore").ok().filter(|file| expected.contains(file));
            if let Some(file) = file {
                // An invalid rule ignores nothing.
                drop(rules.add(top.join(file.as_path())));
            }
            rules.build().unwrap_or_else(|_| Gitignore::empty())
        })
    }
}

fn join(dir: Option<&RelPath>, name: &[u8]) -> Result<RelPath, Trouble> {
    let path = match dir {
        Some(dir) => dir.join(name),
        None => RelPath::parse(name),
    };
    path.or_else(|error| wrong(error.to_string()))
}

/// One entry of a git tree object.
struct TreeEntry<'a> {
    mode: &'a [u8],
    name: &'a [u8],
    id: ObjectId,
}

/// Returns the first entry of a tree object, and the bytes after it.
fn next_entry(bytes: &[u8]) -> Option<(TreeEntry<'_>, &[u8])> {
    let space = bytes.iter().position(|byte| *byte == b' ')?;
    let (mode, rest) = (&bytes[..space], &bytes[space + 1..]);
    let end = rest.iter().position(|byte| *byte == 0)?;
    let (name, rest) = (&rest[..end], &rest[end + 1..]);
    let (id, rest) = rest.split_at_checked(20)?;
    Some((TreeEntry { mode, name, id: ObjectId::of_bytes(id)? }, rest))
}

/// Tells whether a file is the blob `id`, either as it is or before git turned its line ends into CRLF for an
/// attribute.
fn has_blob(path: &Path, stat: &Stat, id: ObjectId) -> io::Result<bool> {
    const MAX_TEXT_BYTES: u64 = 16 << 20;
    let mut file = open_regular(path)?;
    if Stat::from(&file.metadata()?).inode != stat.inode {
        return Ok(false);
    }
    let mut hashing = Hashing::of("blob", stat.size);
    let mut text = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let len = file.read(&mut buffer)?;
        if len == 0 {
            break;
        }
        hashing.update(&buffer[..len]);
        if stat.size <= MAX_TEXT_BYTES {
            text.extend_from_slice(&buffer[..len]);
        }
    }
    if hashing.finish() == id {
        return Ok(true);
    }
    let mut unix = Vec::with_capacity(text.len());
    for (at, byte) in text.iter().enumerate() {
        if *byte != b'\r' || text.get(at + 1) != Some(&b'\n') {
            unix.push(*byte);
        }
    }
    let mut hashing = Hashing::of("blob", unix.len() as u64);
    hashing.update(&unix);
    Ok(unix.len() < text.len() && hashing.finish() == id)
}

/// Describes the first part of a git directory that cargo would not write, if any. `found` are the entries of a
/// directory in which this git directory belongs to the repository at `at`.
pub(super) fn flaw_of_git_dir<'a>(
    git_dir: &Path,
    found: impl Iterator<Item = &'a RelPath>,
    at: Option<&RelPath>,
) -> io::Result<Option<String>> {
    let hooks = join(at, b"hooks").ok();
    let is_hook = |path: &RelPath| {
        hooks.as_ref().is_some_and(|hooks| path != hooks && path.is_within(hooks))
            && !path.as_bytes().ends_with(b".sample")
    };
    for path in found {
        if is_hook(path) {
            return Ok(Some(format!("`{path}` is a program that git would run")));
        }
    }
    match read_small(&git_dir.join("config")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Ok(Some("it has no configuration".to_owned()))
        }
        text => Ok(git_config::flaw(&String::from_utf8_lossy(&text?))),
    }
}

/// Returns the commit that the HEAD of a checkout names, in hex.
pub fn commit_of(checkout: &Path) -> Option<String> {
    head(&checkout.join(".git")).map(|commit| commit.to_string())
}

/// Returns the commit that the HEAD of a repository names.
fn head(git_dir: &Path) -> Option<ObjectId> {
    let head = read_small(&git_dir.join("HEAD")).ok()?;
    let Some(name) = head.strip_prefix(b"ref: ") else { return ObjectId::parse(head.trim_ascii()) };
    let name = RelPath::parse(name.trim_ascii()).ok()?;
    if let Ok(commit) = read_small(&git_dir.join(name.as_path())) {
        return ObjectId::parse(commit.trim_ascii());
    }
    let packed = read_small(&git_dir.join("packed-refs")).ok()?;
    let mut lines = packed.split(|byte| *byte == b'\n');
    let commit = lines.find_map(|line| line.strip_suffix(name.as_bytes())?.strip_suffix(b" "));
    ObjectId::parse(commit?)
}

pub(super) fn read_small(path: &Path) -> io::Result<Vec<u8>> {
    const MAX_BYTES: u64 = 16 << 20;
    let mut bytes = Vec::new();
    open_regular(path)?.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}
