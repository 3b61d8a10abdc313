//! The code of build scripts.

use std::fmt::Write as _;

use super::world::{Into, Rule, Script};

const LISTS_INPUTS: &str = "fn list(dir: &str, all: &mut String) {
    let mut paths: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        let name = path.to_str().unwrap();
        if path.is_dir() { list(name, all); continue; }
        *all += &format!(\"{name}:{};\", std::fs::read_to_string(&path).unwrap());
    }
}
";

const READS_MODE: &str = "let mode = std::fs::metadata(\"in/a\").unwrap().permissions();
if std::os::unix::fs::PermissionsExt::mode(&mode) & 0o100 != 0 { value += \"+x\"; }
";

const ASKS_GIT: &str = "fn git(args: &[&str]) -> String {
    let said = std::process::Command::new(\"git\").args(args).output().unwrap();
    assert!(said.status.success(), \"{said:?}\");
    String::from_utf8(said.stdout).unwrap().trim().to_owned()
}
";

impl Script {
    /// Returns its code.
    pub(super) fn code(&self) -> String {
        let (watches, reads) = match self.rule {
            Rule::Head => (
                "",
                "{ let said = git(&[\"log\", \"-1\", \"--format=%s\"]); \
                println!(\"cargo::rerun-if-changed={}\", git(&[\"rev-parse\", \"--git-path\", \"HEAD\"])); said }",
            ),
            Rule::Silent => ("", "std::fs::read_to_string(\"in/a\").unwrap()"),
            Rule::File => ("rerun-if-changed=in/a", "std::fs::read_to_string(\"in/a\").unwrap()"),
            Rule::Dir => (
                "rerun-if-changed=in",
                "{ let mut all = String::new(); list(\"in\", &mut all); all }",
            ),
            Rule::Variable => (
                "rerun-if-env-changed=SHOP",
                "std::env::var(\"SHOP\").unwrap_or_else(|_| \"none\".to_owned())",
            ),
        };
        let mut code = format!("// {}\n", self.comment);
        match self.rule {
            Rule::Dir => code += LISTS_INPUTS,
            Rule::Head => code += ASKS_GIT,
            _ => {}
        }
        code += "fn main() {\n";
        if !watches.is_empty() {
            writeln!(code, "println!(\"cargo::{watches}\");").expect("a String takes all");
        }
        let to = match self.into {
            Into::OutDir => "std::env::var(\"OUT_DIR\").unwrap() + \"/generated.rs\"",
            Into::Source | Into::IfMissing => "\"src/generated.rs\".to_owned()",
        };
        writeln!(code, "#[allow(unused_mut)]\nlet mut value = {reads};")
            .expect("a String takes all");
        if self.rule.reads_mode() {
            code += READS_MODE;
        }
        let when = match self.into {
            Into::IfMissing => "!std::path::Path::new(&to).exists()",
            Into::OutDir | Into::Source => {
                "std::fs::read_to_string(&to).ok().as_ref() != Some(&code)"
            }
        };
        write!(
            code,
            "let code = format!(\"pub const SAY: &str = {{:?}};\", value);\n\
             let to = {to};\n\
             if {when} {{\n\
             std::fs::write(to, code).unwrap();\n}}\n}}\n"
        )
        .expect("a String takes all");
        code
    }

    /// Returns the declaration of the module that it writes.
    pub(super) fn module(&self) -> &'static str {
        match self.into {
            Into::OutDir => {
                "mod generated { include!(concat!(env!(\"OUT_DIR\"), \"/generated.rs\")); }\n"
            }
            Into::Source | Into::IfMissing => "mod generated;\n",
        }
    }
}
