//! The scripts in our reusable workflows, run as a runner runs them.

use std::fs;
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
