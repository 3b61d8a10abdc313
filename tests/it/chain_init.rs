//! `runner-cache chain init`, from the user's side.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::Result;

/// The checkouts of a chain of two repos, side by side.
struct Checkouts {
    dir: tempfile::TempDir,
}

const CHAIN: &str = "owner = \"o\"\n\n[repos.spec]\nkind = \"docs\"\n\n[repos.node]\nkind = \"binary\"\ndepends = [\"spec\"]\n";

impl Checkouts {
    fn new() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("runner-cache-it-").tempdir()?;
        for name in ["spec", "node"] {
            fs::create_dir(dir.path().join(name))?;
        }
        fs::write(dir.path().join("spec/chain.toml"), CHAIN)?;
        Ok(Self { dir })
    }

    fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    /// Runs the command in the repo that has the chain.
    fn init(&self, arguments: &[&str]) -> Result<(i32, String)> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runner-cache"));
        command.args(["chain", "init"]).args(arguments).current_dir(self.path("spec"));
        let Output { status, stderr, .. } = command.output()?;
        Ok((status.code().ok_or("killed")?, String::from_utf8(stderr)?))
    }
}

/// Replaces the first `from` in a file by `to`.
fn edit(file: &Path, from: &str, to: &str) -> Result {
    let text = fs::read_to_string(file)?;
    assert!(text.contains(from), "{text}");
    Ok(fs::write(file, text.replacen(from, to, 1))?)
}

#[test]
fn init_writes_what_is_missing_and_check_says_what_drifted() -> Result {
    let here = Checkouts::new()?;
    let words = |word: &str| {
        let files = ["spec/.github/workflows/chain.yml", "node/.github/workflows/chain.yml"];
        format!(
            "{word:<9} ../{}\n{word:<9} ../{}\n{word:<9} ../node/.github/chain.toml\n",
            files[0], files[1]
        )
    };
    assert_eq!(here.init(&["--check"])?, (1, words("missing")));
    assert_eq!(here.init(&[])?, (0, words("written")));
    assert_eq!(here.init(&[])?, (0, words("current")));
    assert_eq!(here.init(&["--check"])?, (0, words("current")));

    edit(&here.path("spec/chain.toml"), "binary", "image")?;
    let (status, said) = here.init(&["--check", "--only", "node"])?;
    assert_eq!(status, 1, "{said}");
    assert!(said.contains("outdated  ../node/.github/workflows/chain.yml\n"), "{said}");
    assert!(said.contains("\n+      image: node\n"), "{said}");
    assert!(!said.contains("spec/.github"), "{said}");
    Ok(())
}

#[test]
fn init_keeps_what_is_yours_and_reports_what_was_edited_elsewhere() -> Result {
    let here = Checkouts::new()?;
    here.init(&[])?;
    let workflow = here.path("node/.github/workflows/chain.yml");
    edit(&workflow, "# yours: ci\n", "# yours: ci\n      locked: true\n")?;
    edit(&here.path("spec/chain.toml"), "binary", "image")?;
    assert_eq!(here.init(&[])?.0, 0);
    let kept = fs::read_to_string(&workflow)?;
    assert!(kept.contains("# yours: ci\n      locked: true\n      # end of yours\n"), "{kept}");
    assert!(kept.contains("      image: node\n"), "{kept}");

    edit(&workflow, "contents: read", "contents: write")?;
    let edited = fs::read_to_string(&workflow)?;
    for arguments in [&["--check"][..], &[]] {
        let (status, said) = here.init(arguments)?;
        assert_eq!(status, 1, "{said}");
        let error = "error: it was edited outside of the marked places: `../node/.github/workflows/chain.yml`\n";
        assert!(said.contains(error), "{said}");
        assert!(said.contains("\n-      contents: write\n+      contents: read\n"), "{said}");
        assert_eq!(fs::read_to_string(&workflow)?, edited);
    }
    fs::remove_file(&workflow)?;
    assert_eq!(here.init(&[])?.0, 0);
    Ok(())
}

#[test]
fn init_says_which_checkout_is_missing_and_which_name_is_none() -> Result {
    let here = Checkouts::new()?;
    fs::remove_dir(here.path("node"))?;
    let (status, said) = here.init(&[])?;
    assert_eq!(status, 1, "{said}");
    assert!(said.starts_with("error: `../node` is not there\n  help: "), "{said}");
    assert_eq!(here.init(&["--only", "spec"])?.0, 0);
    let (status, said) = here.init(&["--only", "nobody"])?;
    assert_eq!((status, said.as_str()), (1, "error: `nobody` is no repository of this chain\n"));
    Ok(())
}
