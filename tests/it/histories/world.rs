//! The content of a commit: packages whose every file has a value that the program prints.

use std::collections::{BTreeMap, BTreeSet};

use super::story::{Build, Goal};

/// The checkouts at one commit.
#[derive(Clone, Debug)]
pub(super) struct World {
    /// The first is the program; a package uses only later ones.
    pub(super) packages: Vec<Package>,
    /// The revision of the git dependency that the program uses.
    pub(super) revision: Option<usize>,
    /// Whether the lock file is committed; otherwise git ignores it.
    pub(super) has_lock: bool,
    /// `profile.dev.opt-level`.
    pub(super) opt_level: usize,
    /// A package that does not compile.
    pub(super) broken: Option<usize>,
    /// The number of earlier commits: the message of the commit.
    pub(super) number: usize,
}

/// A package.
#[derive(Clone, Debug)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) home: Home,
    pub(super) parts: Vec<Part>,
    pub(super) script: Option<Script>,
    /// Indices of packages.
    pub(super) uses: Vec<usize>,
    /// The last component of its version.
    pub(super) patch: usize,
    /// The text of a comment in its crate root: no output shows a change of it.
    pub(super) comment: String,
    /// Whether its crate root is executable, and the input `a` of its build script.
    pub(super) is_executable: bool,
}

/// Where a package lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Home {
    /// The root of the repo: the program.
    Root,
    /// In the workspace.
    Member,
    /// A repo of its own beside the workspace.
    Sibling,
    /// In a directory that stands for the registry.
    Vendored,
    /// A procedural macro in the workspace.
    Macro,
    /// A procedural macro beside the workspace.
    MacroBeside,
    /// In a submodule of the repo, in the workspace.
    Submodule,
    /// A program in a workspace of its own in the repo, which has a target of its own.
    Second,
}

impl Home {
    pub(super) fn is_macro(self) -> bool {
        matches!(self, Self::Macro | Self::MacroBeside)
    }

    pub(super) fn is_program(self) -> bool {
        matches!(self, Self::Root | Self::Second)
    }

    /// Tells whether it lies in a repo of its own beside the workspace.
    pub(super) fn is_beside(self) -> bool {
        matches!(self, Self::Sibling | Self::MacroBeside)
    }
}

/// A file that is compiled in.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// Its name in the program's output.
    pub(super) name: String,
    pub(super) kind: Kind,
    /// The name of the file, without its extension.
    pub(super) file: String,
    pub(super) value: String,
}

/// How a file is compiled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `mod`
    Source,
    /// `include_str!`
    Text,
    /// `include_bytes!`
    Bytes,
    /// A procedural macro of another package reads it.
    Asked,
    /// `include_str!` of a file that git tracks in the target directory.
    Tracked,
}

impl Part {
    /// Returns the path of the file below its package.
    pub(super) fn path(&self) -> String {
        let file = &self.file;
        match self.kind {
            Kind::Source => format!("src/{file}.rs"),
            Kind::Text => format!("{file}.txt"),
            Kind::Bytes => format!("{file}.bin"),
            Kind::Asked => format!("{file}.asked"),
            Kind::Tracked => format!("target/idl/{file}.txt"),
        }
    }
}

impl Package {
    /// Tells whether the file of a part lies in the repo but outside its package: cargo knows it by its absolute path.
    pub(super) fn is_beyond(&self, part: &Part) -> bool {
        let is_member = matches!(self.home, Home::Member | Home::Macro);
        is_member && part.kind == Kind::Text && part.name.ends_with(['0', '2', '4', '6', '8'])
    }
}

/// A build script: its input becomes the value of its package's `script`.
#[derive(Clone, Debug)]
pub(super) struct Script {
    pub(super) rule: Rule,
    pub(super) into: Into,
    /// The files of `in/`; `a` is always there.
    pub(super) inputs: BTreeMap<String, String>,
    pub(super) comment: String,
}

/// The condition under which cargo runs a build script again, and the script's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// It names no file, so any file of the package counts. It reads `in/a`, and whether that is executable, as the
    /// next two do.
    Silent,
    /// `rerun-if-changed=in/a`
    File,
    /// `rerun-if-changed=in`: it reads all of its files, and their names.
    Dir,
    /// `rerun-if-env-changed=SHOP`
    Variable,
    /// `rerun-if-changed=.git/HEAD`: it reads the message of the commit.
    Head,
}

impl Rule {
    /// Tells whether the script reads whether `in/a` is executable.
    pub(super) fn reads_mode(self) -> bool {
        !matches!(self, Self::Variable | Self::Head)
    }
}

/// The place that a build script writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Into {
    /// `OUT_DIR`
    OutDir,
    /// `src/generated.rs`, which git ignores, if the file is missing or has another content.
    Source,
    /// The same file, but only if it is missing. A workspace that is not cleaned has it from another commit.
    IfMissing,
}

impl Into {
    /// Tells whether the script writes a file among the sources.
    pub(super) fn is_source(self) -> bool {
        matches!(self, Self::Source | Self::IfMissing)
    }
}

impl Script {
    /// Returns its input.
    fn value(&self, shop: &str, is_executable: bool, number: usize) -> String {
        let mut value = match self.rule {
            Rule::Head => return number.to_string(),
            Rule::Silent | Rule::File => self.inputs["a"].clone(),
            Rule::Variable => return shop.to_owned(),
            Rule::Dir => {
                let all = self.inputs.iter().map(|(name, value)| format!("in/{name}:{value};"));
                all.collect()
            }
        };
        value += if is_executable { "+x" } else { "" };
        value
    }
}

impl World {
    /// Returns the lines that the program prints; a stale file changes them.
    pub(super) fn prints(&self, build: &Build) -> BTreeSet<String> {
        let shop = build.shop.clone().unwrap_or_else(|| "none".to_owned());
        let mut lines = BTreeSet::new();
        let profile = if build.goal == Goal::Release { "release" } else { "debug" };
        lines.insert(format!("app.profile={profile}"));
        if let Some(revision) = self.revision {
            lines.insert(format!("gitdep.revision=r{revision}"));
        }
        for package in &self.packages {
            let mut print = |what: &str, value: &str| {
                lines.insert(format!("{}.{what}={value}", package.name));
            };
            for part in &package.parts {
                print(&part.name, &part.value);
            }
            if let Some(script) = &package.script {
                print("script", &script.value(&shop, package.is_executable, self.number));
            }
            if !package.home.is_macro() {
                print("extra", if build.is_extra { "on" } else { "off" });
                print("version", &format!("0.1.{}", package.patch));
                print("shop", &shop);
            }
        }
        lines
    }

    /// Tells whether there is a build script.
    pub(super) fn has_scripts(&self) -> bool {
        self.packages.iter().any(|package| package.script.is_some())
    }

    /// Tells whether a build script writes beside the sources.
    pub(super) fn generates_sources(&self) -> bool {
        let mut scripts = self.packages.iter().filter_map(|package| package.script.as_ref());
        scripts.any(|script| script.into.is_source())
    }

    /// Returns the packages whose build script writes only a missing file.
    pub(super) fn if_missing(&self) -> impl Iterator<Item = &Package> {
        let is_one = |script: &Script| script.into == Into::IfMissing;
        self.packages.iter().filter(move |package| package.script.as_ref().is_some_and(is_one))
    }

    /// Tells whether `package` does not compile.
    pub(super) fn is_broken(&self, package: &Package) -> bool {
        self.broken.is_some_and(|broken| self.packages[broken].name == package.name)
    }

    /// Returns the package that is a procedural macro.
    pub(super) fn macro_index(&self) -> Option<usize> {
        self.packages.iter().position(|package| package.home.is_macro())
    }

    /// Returns the names of the repos: the first is built, the others are its dependencies.
    pub(super) fn repos(&self) -> Vec<String> {
        let beside = self.packages.iter().filter(|package| package.home.is_beside());
        let beside = beside.map(|package| package.name.clone());
        std::iter::once("app".to_owned()).chain(beside).collect()
    }

    /// Returns the names of the submodules of the repo.
    pub(super) fn submodules(&self) -> Vec<String> {
        let inside = self.packages.iter().filter(|package| package.home == Home::Submodule);
        inside.map(|package| package.name.clone()).collect()
    }

    /// Returns a package and all packages that it uses.
    pub(super) fn with_used(&self, index: usize) -> BTreeSet<usize> {
        let mut found = BTreeSet::from([index]);
        let mut next = vec![index];
        while let Some(index) = next.pop() {
            next.extend(self.packages[index].uses.iter().filter(|used| found.insert(**used)));
        }
        found
    }
}
