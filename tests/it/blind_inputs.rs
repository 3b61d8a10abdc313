//! Inputs that cargo cannot see: a restore reports them, and has them built again on request.

use serde_json::json;

use crate::workshop::Edit::Write;
use crate::workshop::Side::{Kept, Wiped};
use crate::workshop::{Result, Workshop, manifest};

/// A program with a macro that lists a directory of the package, as macros for embedding migrations do, and a library
/// whose inputs cargo sees.
fn workshop() -> Result<Workshop> {
    let lists = "use proc_macro::TokenStream;\n#[proc_macro]\npub fn names(_: TokenStream) -> TokenStream {\n\
        let dir = std::env::var(\"CARGO_MANIFEST_DIR\").unwrap() + \"/migrations\";\n\
        let count = std::fs::read_dir(dir).unwrap().count();\n\
        format!(\"{count}\").parse().unwrap()\n}\n";
    Workshop::new(&[
        ("app/Cargo.toml", &(manifest("app", &["embed", "seen"]) + "[workspace]\n")),
        ("app/.gitignore", "/target\n"),
        (
            "app/src/main.rs",
            "fn main() {\nprintln!(\"count={}\", embed::names!() + seen::NONE);\n}\n",
        ),
        ("app/migrations/1.sql", ""),
        ("app/embed/Cargo.toml", &(manifest("embed", &[]) + "[lib]\nproc-macro = true\n")),
        ("app/embed/src/lib.rs", lists),
        ("app/seen/Cargo.toml", &manifest("seen", &[])),
        ("app/seen/src/lib.rs", "pub const NONE: u32 = 0;\n"),
    ])
}

#[test]
fn a_file_that_nothing_reads_is_named_where_its_package_stays_fresh() -> Result {
    let mut shop = workshop()?;
    let mut job = |edits: &[_], compiled: &str| -> Result<_> {
        shop.edit(Kept, edits)?;
        shop.commit()?;
        shop.clone_anew()?;
        let restored = shop.restore()?;
        let built = shop.build(Wiped)?;
        assert_eq!(built.compiled.into_iter().collect::<Vec<_>>().join(" "), compiled);
        shop.cargo = vec!["build"];
        shop.save()?;
        Ok(restored["blind-inputs"].clone())
    };
    assert_eq!(job(&[], "app embed seen")?, json!(null));
    assert_eq!(job(&[Write("app/migrations/2.sql", "")], "")?, json!(["migrations/2.sql"]));
    assert_eq!(
        job(&[Write("app/seen/tests/t.rs", ""), Write("app/README.md", "")], "")?,
        json!(null)
    );
    let edits = [
        Write("app/migrations/3.sql", ""),
        Write("app/src/main.rs", "fn main() {\nprintln!(\"count={}\", embed::names!());\n}\n"),
    ];
    assert_eq!(job(&edits, "app")?, json!(null), "its package is built again");
    Ok(())
}

#[test]
fn always_build_packages_and_their_dependents_are_built_in_every_job() -> Result {
    #[rustfmt::skip]
    let cases = [
        ("",          "",               "1"),
        ("app",       "app",            "2"),
        ("seen",      "app seen",       "2"),
        ("workspace", "app embed seen", "2"),
        ("none",      "",               "1"),
    ];
    for hot in ["0", "2"] {
        for (named, want, count) in cases {
            let shop = workshop()?;
            shop.clone_anew()?;
            shop.build(Wiped)?;
            let saved = shop.runner_cache_command("save").args(["--hot-trees", hot]).output()?;
            assert!(saved.status.success());
            shop.edit(Kept, &[Write("app/migrations/2.sql", "")])?;
            shop.commit()?;
            shop.clone_anew()?;
            let mut restore = shop.runner_cache_command("restore");
            if !named.is_empty() {
                restore.args(["--always-build", named]);
            }
            let restored: serde_json::Value = serde_json::from_slice(&restore.output()?.stdout)?;
            let built = shop.build(Wiped)?;
            assert_eq!(built.prints["count"], count, "{named}");
            assert_eq!(built.compiled.into_iter().collect::<Vec<_>>().join(" "), want, "{named}");
            let foretold = restored["rebuilds"].as_array().cloned().unwrap_or_default();
            let mut foretold: Vec<_> =
                foretold.iter().filter_map(|it| it["crate"].as_str()).collect();
            foretold.sort_unstable();
            assert_eq!(foretold.join(" "), want, "{restored}");
        }
    }
    Ok(())
}
