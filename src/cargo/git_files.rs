//! Git's own files that tell where a checkout is: its HEAD, branches and tags. Build scripts watch them.
//!
//! Git's answers can change while a file stays the same, and a file can be written while the answers stay the same:
//! HEAD names a branch, and another file names the commit of that branch. So the digest of each file covers all that
//! git would answer: the branch, the commit, the tags, and the end of a shallow history.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::sources::{below, names_digest};
use crate::fs::beneath::open_regular;
use crate::fs::stat::{Kind, Stat};
use crate::model::digest::{Digest, Hasher};
use crate::model::rel_path::RelPath;
use crate::model::timestamp::Timestamp;

/// The maximum of branches and tags to look at. A repository with more looks new in each job.
const MAX_REFS: usize = 5000;

/// The maximum of bytes to read from one file; the digest leaves out the rest.
const MAX_BYTES: u64 = 256 << 20;

/// A file or directory of git.
#[derive(Clone, Debug)]
pub struct GitFile {
    /// Its path below the root.
    pub path: RelPath,
    /// Its metadata.
    pub stat: Stat,
    /// The digest of its bytes or names, and of git's answers.
    pub digest: Digest,
    /// The newest mtime among the files that the digest covers.
    pub newest: Timestamp,
}

/// Returns git's own files below `root`, with those of submodules. Leaves out a file that cannot be read, and a whole
/// repository of an unknown form: it looks new.
pub fn git_files(root: &Path) -> Vec<GitFile> {
    let of_dir = |dir: PathBuf| Repository::read(&dir).map(|it| it.files(root)).unwrap_or_default();
    git_dirs(root).into_iter().flat_map(of_dir).collect()
}

/// Returns the git directories below `root`: its own, then those of its submodules.
pub(super) fn git_dirs(root: &Path) -> Vec<PathBuf> {
    let mut git_dirs = Vec::new();
    let mut dirs = vec![root.join(".git")];
    while let Some(dir) = dirs.pop() {
        // Times are set through no symlink, so a linked directory does not count.
        if !Stat::of(&dir).is_ok_and(|stat| stat.kind == Kind::Dir) {
            continue;
        }
        if dir.join("HEAD").is_file() {
            dirs.push(dir.join("modules"));
            git_dirs.push(dir);
        } else {
            dirs.extend(children(&dir).unwrap_or_default());
        }
    }
    git_dirs
}

/// Git's answers for one git directory.
struct Repository<'a> {
    dir: &'a Path,
    /// The digest of the answers.
    state: Digest,
    /// The newest mtime of the files that the answers come from.
    newest: Timestamp,
    /// The directories and files of branches and tags.
    refs: Vec<(PathBuf, Stat)>,
}

impl<'a> Repository<'a> {
    fn read(dir: &'a Path) -> Option<Self> {
        // Reftables and linked work trees keep branches elsewhere.
        if dir.join("reftable").exists() || dir.join("commondir").exists() {
            return None;
        }
        let mut refs = Vec::new();
        for name in ["refs/heads", "refs/tags"] {
            walk(&dir.join(name), &mut refs)?;
        }
        let mut said_at = Vec::new();
        let mut read = |path: &Path| {
            said_at.push(Stat::of(path).ok()?.mtime);
            read_regular(path)
        };
        let head = read(&dir.join("HEAD"))?;
        let packed = read(&dir.join("packed-refs")).unwrap_or_default();
        let commit = match head.strip_prefix(b"ref: ") {
            Some(name) => {
                let name = RelPath::parse(name.trim_ascii()).ok()?;
                let commit = read(&dir.join(name.as_path()));
                commit.or_else(|| packed_commit(&packed, name.as_bytes()))
            }
            None => None,
        };
        if commit.as_ref().is_some_and(|commit| commit.starts_with(b"ref:")) {
            return None;
        }
        let mut tags = BTreeSet::new();
        for (path, stat) in &refs {
            let name = path.strip_prefix(dir).ok()?.as_os_str().as_bytes();
            if stat.kind == Kind::File && name.starts_with(b"refs/tags/") {
                tags.insert([&read(path)?, name].concat());
            }
        }
        let is_tag = |line: &&[u8]| line.windows(11).any(|name| name == b" refs/tags/");
        tags.extend(packed.split(|byte| *byte == b'\n').filter(is_tag).map(<[u8]>::to_vec));
        let mut hasher = Hasher::default();
        for field in
            [head, commit.unwrap_or_default(), read(&dir.join("shallow")).unwrap_or_default()]
        {
            hasher.field(&field);
        }
        for tag in tags {
            hasher.field(&tag);
        }
        let newest = said_at.into_iter().max().unwrap_or_default();
        Some(Self { dir, state: hasher.finish(), newest, refs })
    }

    /// Returns the files of the repository that builds watch. The index is not among them: git needs its mtime to tell
    /// which files were edited.
    fn files(&self, root: &Path) -> Vec<GitFile> {
        let named = ["HEAD", "packed-refs", "logs/HEAD"].map(|name| self.dir.join(name));
        let named = named.into_iter().filter_map(|path| {
            let stat = Stat::of(&path).ok().filter(|stat| stat.kind == Kind::File)?;
            Some((path, stat, self.state))
        });
        let refs = self.refs.iter().filter_map(|(path, stat)| {
            let mut hasher = Hasher::default();
            if stat.kind == Kind::Dir {
                hasher.field(names_digest(path, &[]).ok()?.to_string().as_bytes());
            } else {
                hasher.field(&read_regular(path)?);
            }
            hasher.field(self.state.to_string().as_bytes());
            Some((path.clone(), *stat, hasher.finish()))
        });
        let file = |(path, stat, digest): (PathBuf, Stat, Digest)| {
            let newest = self.newest.max(stat.mtime);
            Some(GitFile { path: below(root, &path).ok()??, stat, digest, newest })
        };
        named.chain(refs).filter_map(file).collect()
    }
}

fn read_regular(path: &Path) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    open_regular(path).ok()?.take(MAX_BYTES).read_to_end(&mut text).ok()?;
    Some(text)
}

/// Returns the commit of a branch in `packed-refs`.
fn packed_commit(packed: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let lines = packed.split(|byte| *byte == b'\n');
    let mut commits = lines.filter_map(|line| {
        let rest = line.strip_suffix(name)?.strip_suffix(b" ")?;
        Some([rest, b"\n"].concat())
    });
    commits.next()
}

/// Adds a directory and its contents; `None` if there are more than [`MAX_REFS`].
fn walk(dir: &Path, found: &mut Vec<(PathBuf, Stat)>) -> Option<()> {
    let mut dirs = vec![dir.to_owned()];
    while let Some(path) = dirs.pop() {
        let Ok(stat) = Stat::of(&path) else { continue };
        match stat.kind {
            Kind::Dir => dirs.extend(children(&path)?),
            Kind::File => {}
            Kind::Symlink | Kind::Special => continue,
        }
        found.push((path, stat));
        if found.len() > MAX_REFS {
            return None;
        }
    }
    Some(())
}

fn children(dir: &Path) -> Option<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).ok()?;
    Some(entries.filter_map(|entry| Some(entry.ok()?.path())).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::testing::{git, write};
    use super::*;

    type TestResult<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

    fn digests(root: &Path) -> BTreeMap<String, Digest> {
        git_files(root).into_iter().map(|file| (file.path.to_string(), file.digest)).collect()
    }

    fn repository() -> TestResult<tempfile::TempDir> {
        let dir = tempfile::tempdir()?;
        git(dir.path(), &["init", "-q", "-b", "main"])?;
        git(dir.path(), &["commit", "-q", "--allow-empty", "-m", "one"])?;
        Ok(dir)
    }

    #[test]
    fn a_file_of_git_counts_by_the_answers_that_git_gives() -> TestResult {
        type Change = fn(&Path) -> std::io::Result<()>;
        const ALL: &str =
            ".git/HEAD .git/logs/HEAD .git/refs/heads .git/refs/heads/main .git/refs/tags";
        #[rustfmt::skip]
        let cases: [(&str, Change, &str); 10] = [
            ("nothing",             |_| Ok(()),                                                           ""),
            ("a file is written",   |dir| git(dir, &["update-ref", "refs/heads/main", "HEAD"]),           ""),
            ("what no build shows", |dir| git(dir, &["update-ref", "refs/remotes/origin/x", "HEAD"]),     ""),
            ("another branch",      |dir| git(dir, &["branch", "other"]),                                 ".git/refs/heads"),
            ("another commit",      |dir| git(dir, &["commit", "-q", "--allow-empty", "-m", "two"]),      ALL),
            ("no branch",           |dir| git(dir, &["checkout", "-q", "--detach"]),                      ALL),
            ("a tag",               |dir| git(dir, &["tag", "v1"]),                                       ALL),
            ("a shallow history",   |dir| std::fs::write(dir.join(".git/shallow"), "x"),                  ALL),
            ("packed branches",     |dir| git(dir, &["pack-refs", "--all"]),                              ".git/refs/heads"),
            ("a form not known",    |dir| std::fs::create_dir(dir.join(".git/reftable")),                 ALL),
        ];
        for (why, change, want) in cases {
            let dir = repository()?;
            let before = digests(dir.path());
            change(dir.path())?;
            let after = digests(dir.path());
            // Skip files that are gone.
            let is_there = |path: &&String| {
                dir.path().join(path).exists() && before.get(*path) != after.get(*path)
            };
            let changed: Vec<_> = before.keys().filter(is_there).map(String::as_str).collect();
            assert_eq!(changed.join(" "), want, "{why}");
        }
        Ok(())
    }

    #[test]
    fn the_commit_is_found_where_branches_are_packed() -> TestResult {
        let dir = repository()?;
        git(dir.path(), &["pack-refs", "--all"])?;
        let before = digests(dir.path());
        assert!(before.contains_key(".git/packed-refs"), "{before:?}");
        let packed = dir.path().join(".git/packed-refs");
        let text = std::fs::read_to_string(&packed)?;
        std::fs::write(&packed, text.replace(char::is_numeric, "0"))?;
        let after = digests(dir.path());
        for path in [".git/HEAD", ".git/packed-refs"] {
            assert_ne!(before[path], after[path], "{path}");
        }
        Ok(())
    }

    #[test]
    fn submodules_have_files_of_their_own() -> TestResult {
        let (dir, sub) = (repository()?, repository()?);
        let from = sub.path().to_str().ok_or("not UTF-8")?;
        let add = ["-c", "protocol.file.allow=always", "submodule", "add", "-q", from, "deep/sub"];
        git(dir.path(), &add)?;
        let before = digests(dir.path());
        let head = ".git/modules/deep/sub/HEAD";
        git(&dir.path().join("deep/sub"), &["commit", "-q", "--allow-empty", "-m", "two"])?;
        let after = digests(dir.path());
        assert!(before.contains_key(head) && before[head] != after[head], "{before:?}");
        assert_eq!(before[".git/HEAD"], after[".git/HEAD"]);
        Ok(())
    }

    #[test]
    fn a_strange_git_directory_is_left_out() -> TestResult {
        let dir = tempfile::tempdir()?;
        assert_eq!(digests(dir.path()).len(), 0, "no git");
        write(dir.path(), &[(".git", "gitdir: /elsewhere\n")])?;
        assert_eq!(digests(dir.path()).len(), 0, "a worktree");
        let dir = tempfile::tempdir()?;
        write(dir.path(), &[(".git/HEAD", "ref: ../../secret\n"), ("secret", "s\n")])?;
        assert_eq!(digests(dir.path()).len(), 0, "a branch outside");
        write(
            dir.path(),
            &[(".git/HEAD", "ref: refs/heads/a\n"), (".git/refs/heads/a", "ref: b\n")],
        )?;
        assert_eq!(digests(dir.path()).len(), 0, "a branch that names another");
        let real = repository()?;
        let linked = tempfile::tempdir()?;
        std::os::unix::fs::symlink(real.path().join(".git"), linked.path().join(".git"))?;
        assert_eq!(digests(linked.path()).len(), 0, "a link");
        Ok(())
    }
}
