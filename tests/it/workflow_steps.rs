//! The scripts in our reusable workflows, run as a runner runs them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::support::{Result, isolated, write};

/// Returns the script of the step `id` in one of our workflows.
pub(crate) fn script_of(workflow: &str, id: &str) -> Result<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join(".github/workflows").join(workflow))?;
    let is_step = |step: &&str| step.contains(&format!("\n        id: {id}\n"));
    let step = text.split("\n      - ").find(is_step).ok_or("no such step")?;
    let (_, script) = step.split_once("\n        run: |\n").ok_or("it has no script")?;
    let lines = script.lines().take_while(|line| line.is_empty() || line.starts_with("          "));
    Ok(lines.map(|line| line.get(10..).unwrap_or_default().to_owned() + "\n").collect())
}

/// A package whose program has the path of its `OUT_DIR` in it, because it may panic in a file there.
struct Package {
    dir: tempfile::TempDir,
}

impl Package {
    fn new() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("runner-cache-it-").tempdir()?;
        let manifest = "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n";
        write(dir.path(), "repo/Cargo.toml", manifest)?;
        let main = "include!(concat!(env!(\"OUT_DIR\"), \"/list.rs\"));\n\
            fn main() { println!(\"{}\", nth(std::env::args().count())); }\n";
        write(dir.path(), "repo/src/main.rs", main)?;
        write(dir.path(), "repo/src/lib.rs", "pub fn one() -> u32 { 1 }\n")?;
        let build = "fn main() {\n    let dir = std::env::var(\"OUT_DIR\").unwrap();\n    \
            let list = \"fn nth(n: usize) -> usize { [1, 2, 3][n] }\";\n    \
            std::fs::write(dir + \"/list.rs\", list).unwrap();\n}\n";
        write(dir.path(), "repo/build.rs", build)?;
        Ok(Self { dir })
    }

    /// Runs the step that builds, twice. Returns its exit status and its output.
    fn build_twice(&self) -> Result<(Option<i32>, String)> {
        let (repo, temp) = (self.dir.path().join("repo"), self.dir.path().join("temp"));
        fs::create_dir_all(&temp)?;
        write(&temp, "step.sh", script_of("build-lib.yml", "build")?)?;
        let mut bash = isolated("bash", &repo, self.dir.path());
        bash.args(["--noprofile", "--norc", "-eo", "pipefail"]).arg(temp.join("step.sh"));
        for (name, value) in [
            ("PACKAGE", ""),
            ("FEATURES", ""),
            ("LOCKED", ""),
            ("OPTIMIZED", "yes"),
            ("BUILT", "release"),
            ("TWICE", "true"),
            ("CARGO_NET_OFFLINE", "true"),
        ] {
            bash.env(name, value);
        }
        bash.env("RUNNER_TEMP", &temp).env("ARTIFACTS", temp.join("artifacts"));
        let output = bash.output()?;
        let said = [output.stdout, output.stderr].concat();
        Ok((output.status.code(), String::from_utf8(said)?))
    }

    fn artifacts(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.dir.path().join("temp/artifacts"))? {
            names.push(entry?.file_name().into_string().map_err(|_| "an odd name")?);
        }
        names.sort();
        Ok(names)
    }
}

/// The second build was in another directory, whose name is in the program. With `build.target`, the programs were
/// looked for where they are without it.
#[test]
fn two_builds_of_the_same_sources_have_the_same_bytes_wherever_cargo_puts_them() -> Result {
    let host = format!("[build]\ntarget = \"{}-unknown-linux-gnu\"\n", std::env::consts::ARCH);
    for (why, config) in [
        ("the default", ""),
        ("a target", host.as_str()),
        ("another directory", "[build]\ntarget-dir = \"../elsewhere\"\n"),
    ] {
        let package = Package::new()?;
        write(package.dir.path(), "repo/.cargo/config.toml", config)?;
        // It is from another build, so it is no artifact.
        write(package.dir.path(), "repo/target/release/another", "x")?;
        let (status, said) = package.build_twice()?;
        assert_eq!(status, Some(0), "{why}: {said}");
        assert_eq!(package.artifacts()?, ["SHA256SUMS", "app", "libapp.rlib"], "{why}");
        let target = if why == "another directory" { "elsewhere" } else { "repo/target" };
        assert!(!package.dir.path().join(format!("{target}.first")).exists(), "{why}");
        assert!(package.dir.path().join(target).is_dir(), "{why}");
    }
    Ok(())
}

#[test]
fn two_builds_that_differ_are_an_error_and_the_first_stays() -> Result {
    let package = Package::new()?;
    let build = "fn main() {\n    let dir = std::env::var(\"OUT_DIR\").unwrap();\n    \
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();\n    \
        let list = format!(\"fn nth(n: usize) -> u128 {{ n as u128 + {} }}\", now.as_nanos());\n    \
        std::fs::write(dir + \"/list.rs\", list).unwrap();\n}\n";
    write(package.dir.path(), "repo/build.rs", build)?;
    let (status, said) = package.build_twice()?;
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("app: FAILED"), "{said}");
    let kept = fs::read(package.dir.path().join("repo/target/release/app"))?;
    assert!(kept == fs::read(package.dir.path().join("temp/artifacts/app"))?);
    Ok(())
}

/// GitHub's own program, as far as the release workflow uses it: releases and tags are files.
const GH: &str = r#"#!/bin/bash
set -eu
case "$*" in
  "api --paginate repos/o/r/releases --jq .[] | select(.tag_name == "*) if [ -e "releases/$TAG" ]; then cat "releases/$TAG/draft"; fi ;;
  "api --paginate repos/o/r/releases --jq .[] | select(.draft | not) | .tag_name")
    for dir in releases/*/; do [ "$(cat "$dir/draft")" = true ] || basename "$dir"; done ;;
  "release download $TAG --pattern SHA256SUMS --output -") cat "releases/$TAG/SHA256SUMS" ;;
  "release delete $TAG --yes") rm -r "releases/$TAG" ;;
  "release create $TAG --draft "*)
    mkdir "releases/$TAG" && echo true >"releases/$TAG/draft" && cp release-assets/* "releases/$TAG" ;;
  "release edit $TAG --draft=false --latest="*)
    echo false >"releases/$TAG/draft" && echo "${5##*=}" >"releases/$TAG/latest" ;;
  "api repos/o/r/commits/"*" --jq .sha") tag=${2##*/} && echo "commit of $tag" ;;
  "api repos/o/r/git/ref/tags/"*" --silent") [ -e "tags/${2##*/}" ] ;;
  "api --method PATCH repos/o/r/git/refs/tags/"*)
    # Another run publishes a newer version, and moves the tag, just before this one does.
    if [ -e meanwhile ]; then mkdir "releases/$(cat meanwhile)" && echo false >"releases/$(cat meanwhile)/draft" && rm meanwhile; fi
    [ "$7 $8" = "-F force=true" ] && echo "${6#sha=}" >"tags/${4##*/}" ;;
  "api --method POST repos/o/r/git/refs -f ref=refs/tags/"*) echo "${8#sha=}" >"tags/${6##*/}" ;;
  *) echo "gh: unknown: $*" >&2; exit 9 ;;
esac
"#;

/// A repository whose releases are files.
struct Releases {
    dir: tempfile::TempDir,
}

impl Releases {
    fn new() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("runner-cache-it-").tempdir()?;
        write(dir.path(), "bin/gh", GH)?;
        fs::set_permissions(dir.path().join("bin/gh"), fs::Permissions::from_mode(0o755))?;
        for name in ["releases", "tags", "release-assets"] {
            fs::create_dir(dir.path().join(name))?;
        }
        write(dir.path(), "release-assets/SHA256SUMS", "a sum\n")?;
        Ok(Self { dir })
    }

    /// Runs the two steps that publish the release of a tag. Returns the exit status of the last.
    fn release(&self, tag: &str) -> Result<(Option<i32>, String)> {
        let mut last = (None, String::new());
        for id in ["publish", "move"] {
            let script = self.dir.path().join(id);
            fs::write(&script, script_of("release.yml", id)?)?;
            let mut bash = isolated("bash", self.dir.path(), self.dir.path());
            let path = format!("{}:/usr/bin:/bin", self.dir.path().join("bin").display());
            bash.args(["--noprofile", "--norc", "-eo", "pipefail"]).arg(&script);
            bash.env("PATH", path).env("GH_REPO", "o/r").env("TAG", tag).env("COMMIT", "c");
            let output = bash.output()?;
            let said = [output.stdout, output.stderr].concat();
            last = (output.status.code(), String::from_utf8(said)?);
            if last.0 != Some(0) {
                break;
            }
        }
        Ok(last)
    }

    fn read(&self, below: &str) -> Result<String> {
        Ok(fs::read_to_string(self.dir.path().join(below))?.trim_end().to_owned())
    }
}

/// A run that was repeated after it had published failed: the release was there.
#[test]
fn a_release_is_published_once_and_a_repeated_run_is_a_success() -> Result {
    let here = Releases::new()?;
    write(here.dir.path(), "releases/v1.0.0/draft", "true\n")?;
    for turn in ["a draft is left", "it is published", "once more"] {
        let (status, said) = here.release("v1.0.0")?;
        assert_eq!(status, Some(0), "{turn}: {said}");
        assert_eq!(here.read("releases/v1.0.0/draft")?, "false", "{turn}");
        assert_eq!(here.read("tags/v1")?, "commit of v1.0.0", "{turn}");
    }
    write(here.dir.path(), "release-assets/SHA256SUMS", "another sum\n")?;
    let (status, said) = here.release("v1.0.0")?;
    assert_eq!(status, Some(1), "{said}");
    assert_eq!(here.read("releases/v1.0.0/SHA256SUMS")?, "a sum");
    Ok(())
}

#[test]
fn a_fix_of_an_older_version_moves_nobody_back() -> Result {
    let here = Releases::new()?;
    #[rustfmt::skip]
    let tags = [
        ("v1.9.0",  "true",  "v1", "v1.9.0"),
        ("v1.10.0", "true",  "v1", "v1.10.0"),
        ("v1.9.1",  "false", "v1", "v1.10.0"),
        ("v2.0.0",  "true",  "v2", "v2.0.0"),
        ("v1.10.1", "false", "v1", "v1.10.1"),
    ];
    for (tag, latest, major, newest) in tags {
        let (status, said) = here.release(tag)?;
        assert_eq!(status, Some(0), "{tag}: {said}");
        assert_eq!(here.read(&format!("releases/{tag}/latest"))?, latest, "{tag}");
        assert_eq!(here.read(&format!("tags/{major}"))?, format!("commit of {newest}"), "{tag}");
    }
    Ok(())
}

/// GitHub cancels a run that waits if a third one of its group comes, so each tag has a group. Then two runs may move
/// the tag of the major version at the same time.
#[test]
fn of_three_tags_in_a_row_none_is_lost_and_the_newest_has_the_tag_of_the_major_version() -> Result {
    let workflow = Path::new(env!("CARGO_MANIFEST_DIR")).join(".github/workflows/release.yml");
    let text = fs::read_to_string(workflow)?;
    assert!(text.contains("\n  group: release-${{ github.ref_name }}\n"), "{text}");

    let here = Releases::new()?;
    here.release("v1.0.0")?;
    write(here.dir.path(), "meanwhile", "v1.0.2\n")?;
    let (status, said) = here.release("v1.0.1")?;
    assert_eq!(status, Some(0), "{said}");
    assert_eq!(here.read("tags/v1")?, "commit of v1.0.2");
    Ok(())
}
