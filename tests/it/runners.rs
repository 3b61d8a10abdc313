//! Runners of one host have work directories of their own. Cargo knows a file outside of a unit's package by its
//! absolute path: in a workspace at another path, that is a file of another runner's checkout.

use crate::workshop::Edit::Write;
use crate::workshop::Side::{Kept, Wiped};
use crate::workshop::{Edit, Result, Workshop, manifest, nothing_is};

/// Members that read files beside them: by a macro, by a build script that names an absolute path, and by one that
/// names a path relative to the package; and a member that does not.
fn workshop() -> Result<Workshop> {
    let members = ["reads", "watches", "peeks", "plain"];
    let root = manifest("app", &members) + "[workspace]\n";
    let script = |path: &str| {
        format!(
            "fn main() {{\nlet path = {path};\nprintln!(\"cargo::rerun-if-changed={{path}}\");\n\
             let text = std::fs::read_to_string(path).unwrap();\n\
             let out = std::env::var(\"OUT_DIR\").unwrap() + \"/out.rs\";\n\
             std::fs::write(out, format!(\"pub const SAY: &str = {{:?}};\", text.trim())).unwrap();\n}}\n"
        )
    };
    let real = "std::path::Path::new(&std::env::var(\"CARGO_MANIFEST_DIR\").unwrap())\
        .parent().unwrap().join(\"shared/watched\").display().to_string()";
    let included = "include!(concat!(env!(\"OUT_DIR\"), \"/out.rs\"));\n";
    let prints = members.map(|name| format!("println!(\"{name}={{}}\", {name}::SAY);\n")).concat();
    Workshop::new(&[
        ("app/Cargo.toml", &root),
        ("app/.gitignore", "/target\n"),
        ("app/src/main.rs", &format!("fn main() {{\n{prints}}}\n")),
        ("app/shared/read", "1"),
        ("app/shared/watched", "1"),
        ("app/shared/peeked", "1"),
        ("app/reads/Cargo.toml", &manifest("reads", &[])),
        ("app/reads/src/lib.rs", "pub const SAY: &str = include_str!(\"../../shared/read\");\n"),
        ("app/watches/Cargo.toml", &manifest("watches", &[])),
        ("app/watches/build.rs", &script(real)),
        ("app/watches/src/lib.rs", included),
        ("app/peeks/Cargo.toml", &manifest("peeks", &[])),
        ("app/peeks/build.rs", &script("\"../shared/peeked\"")),
        ("app/peeks/src/lib.rs", included),
        ("app/plain/Cargo.toml", &manifest("plain", &[])),
        ("app/plain/src/lib.rs", "pub const SAY: &str = \"1\";\n"),
    ])
}

const SHARED: [&str; 3] = ["app/shared/read", "app/shared/watched", "app/shared/peeked"];

/// Cargo does not compare the paths that it hands out: tests would read the fixtures of another runner.
#[test]
fn a_path_that_was_compiled_in_is_the_one_of_this_runner() -> Result {
    let root = manifest("app", &["member"]) + "[workspace]\n";
    let mut shop = Workshop::new(&[
        ("app/Cargo.toml", &root),
        ("app/.gitignore", "/target\n"),
        (
            "app/src/main.rs",
            "fn main() { println!(\"app={}\\nmember={}\\nscript={}\", env!(\"CARGO_MANIFEST_DIR\"), member::SAY, member::SCRIPT); }\n",
        ),
        ("app/member/Cargo.toml", &manifest("member", &[])),
        (
            "app/member/build.rs",
            "fn main() {\nprintln!(\"cargo::rerun-if-changed=build.rs\");\nprintln!(\"cargo::rustc-env=HERE={}\", std::env::var(\"CARGO_MANIFEST_DIR\").unwrap());\n}\n",
        ),
        (
            "app/member/src/lib.rs",
            "pub const SAY: &str = env!(\"CARGO_MANIFEST_DIR\");\npub const SCRIPT: &str = env!(\"HERE\");\n",
        ),
    ])?;
    for (runner, options) in [
        ("runner-1", vec![]),
        ("runner-2", vec![]),
        ("runner-3", vec!["--hot-trees", "2"]),
        // A hot tree from another path is as wrong as packs from there.
        ("runner-4", vec!["--hot-trees", "2"]),
    ] {
        shop.options = options;
        shop.move_to(runner);
        shop.clone_anew()?;
        shop.restore()?;
        let built = shop.build(Wiped)?;
        let here = |below: &str| shop.path(Wiped, below).display().to_string();
        assert_eq!(built.prints["app"], here("app"));
        assert_eq!(built.prints["member"], here("app/member"));
        assert_eq!(built.prints["script"], here("app/member"));
        shop.save()?;
    }
    Ok(())
}

#[test]
fn the_checkout_of_another_runner_hides_no_change() -> Result {
    let mut shop = workshop()?;
    shop.move_to("runner-1");
    shop.clone_anew()?;
    shop.build(Wiped)?;
    shop.cargo = vec!["build", "--release"];
    shop.build(Wiped)?;
    shop.save()?;
    // A job that uses some of the units: the store keeps the others.
    shop.cargo = vec!["build"];
    shop.clone_anew()?;
    shop.restore()?;
    assert_eq!(shop.build(Wiped)?.compiled, [].into(), "at the same path");
    shop.save()?;

    let mut wrong = Vec::new();
    let all_change: Vec<_> = SHARED.iter().map(|path| Write(path, "2")).collect();
    let steps: [(&str, &[Edit<'_>], &str); 2] =
        [("nothing", &[], "1"), ("all that is read", &all_change, "2")];
    for (number, (why, edits, want)) in steps.into_iter().enumerate() {
        shop.edit(Kept, edits)?;
        shop.commit()?;
        for cargo in [vec!["build"], vec!["build", "--release"]] {
            shop.move_to(&format!("runner-{}{}", number + 2, cargo.len()));
            shop.cargo = cargo;
            shop.clone_anew()?;
            shop.restore()?;
            let built = shop.build(Wiped)?;
            let why = format!("{why}, {}", shop.cargo.join(" "));
            for name in ["reads", "watches", "peeks"] {
                let said = &built.prints[name];
                if said != want {
                    wrong.push(format!("{why}: {name} is stale, it says {said}"));
                }
            }
            if built.compiled.contains("plain") {
                wrong.push(format!("{why}: plain was built again"));
            }
        }
    }
    nothing_is(&wrong);
    Ok(())
}
