//! A restore's forecast of the crates that cargo will build matches the crates that cargo then
//! builds exactly.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::workshop::Edit::{Remove, Write};
use crate::workshop::Side::{Kept, Wiped};
use crate::workshop::{Edit, Result, Workshop, manifest, nothing_is};

/// A workspace with two members, two siblings outside of it, one of which depends on the other, and
/// build scripts of each kind.
fn workshop() -> Result<Workshop> {
    let root =
        format!("{}\n[workspace]\nmembers = ['part']\n", manifest("app", &["part", "../mid"]));
    Workshop::new(&[
        ("app/Cargo.toml", &root),
        ("app/.gitignore", "/target\n"),
        ("app/src/main.rs", "mod more;\nfn main() { println!(\"{}{}\", part::SAY, mid::say()) }\n"),
        ("app/src/more.rs", ""),
        ("app/part/Cargo.toml", &manifest("part", &[])),
        (
            "app/part/build.rs",
            "fn main() {\n\
             println!(\"cargo::rerun-if-changed=watched\");\n\
             println!(\"cargo::rerun-if-env-changed=SHOP_SIGN\");\n}\n",
        ),
        ("app/part/watched/in/a.txt", ""),
        ("app/part/notes.txt", ""),
        ("app/part/src/lib.rs", "pub const SAY: &str = include_str!(\"../said.txt\");\n"),
        ("app/part/said.txt", "part"),
        ("mid/Cargo.toml", &manifest("mid", &["../low"])),
        ("mid/.gitignore", "/target\nCargo.lock\n"),
        ("mid/src/lib.rs", "pub fn say() -> &'static str { low::SAY }\n"),
        ("low/Cargo.toml", &manifest("low", &[])),
        ("low/.gitignore", "/target\nCargo.lock\n"),
        ("low/build.rs", "fn main() {}\n"),
        (
            "low/src/lib.rs",
            "pub const SAY: &str = match option_env!(\"LOW_SIGN\") { Some(s) => s, None => \"low\" };\n",
        ),
        ("low/notes.txt", ""),
    ])
}

/// Returns the forecast reasons for building crates again, by name.
fn predicted(report: &Value) -> BTreeMap<String, (String, String)> {
    let rebuilds = report["rebuilds"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let of = |rebuild: &Value| {
        (text(&rebuild["crate"]), (text(&rebuild["reason"]), text(&rebuild["detail"])))
    };
    rebuilds.iter().map(of).collect()
}

/// Restores, builds, and compares the forecast with the build and with `want`, a line for each
/// crate: `crate reason detail`.
fn compare(why: &str, shop: &Workshop, want: &[&str]) -> Result<Vec<String>> {
    let said = predicted(&shop.restore()?);
    let compiled = shop.build(Wiped)?.compiled;
    let done: BTreeSet<_> =
        compiled.iter().map(|unit| unit.split('/').next().unwrap_or(unit).to_owned()).collect();
    let mut wrong = Vec::new();
    let names: BTreeSet<_> = said.keys().cloned().collect();
    if names != done {
        wrong.push(format!("{why}: said {said:?}, but cargo compiled {done:?}"));
    }
    let shop_dir = shop.path(Wiped, "");
    let shop_dir = shop_dir.parent().ok_or("no parent")?.to_string_lossy().into_owned();
    let lines = said.iter().map(|(name, (reason, detail))| {
        format!("{name} {reason} {detail}").replace(&shop_dir, "@")
    });
    let lines: Vec<_> = lines.collect();
    if lines != want {
        wrong.push(format!("{why}: said {lines:#?}"));
    }
    Ok(wrong)
}

/// Commits the edits, compares after a restore into a new checkout, and saves.
fn after(why: &str, shop: &Workshop, edits: &[Edit<'_>], want: &[&str]) -> Result<Vec<String>> {
    shop.edit(Kept, edits)?;
    shop.commit()?;
    shop.clone_anew()?;
    let wrong = compare(why, shop, want)?;
    shop.save()?;
    Ok(wrong)
}

#[test]
fn a_restore_names_the_crates_that_cargo_then_builds() -> Result {
    let shop = workshop()?;
    shop.clone_anew()?;
    shop.build(Wiped)?;
    shop.save()?;
    let low = Write("low/src/lib.rs", "pub const SAY: &str = \"deep\";\n");
    let mid_on_low = "mid dependency depends on low";
    let app_on_low = "app dependency depends on low";
    let app_on_part = "app dependency depends on part";
    #[rustfmt::skip]
    let steps: [(&str, &[Edit<'_>], &[&str]); 13] = [
        ("nothing", &[], &[]),
        ("a sibling of a sibling", &[low],
            &[app_on_low, "low changed-file `low/src/lib.rs` changed", mid_on_low]),
        ("a member", &[Write("app/src/more.rs", "// more\n")],
            &["app changed-file `src/more.rs` changed"]),
        ("an included text", &[Write("app/part/said.txt", "more")],
            &[app_on_part, "part changed-file `part/said.txt` changed"]),
        ("what nobody reads", &[Write("app/part/notes.txt", "more"), Write("mid/new.txt", "")], &[]),
        ("a new file deep in a directory that is watched", &[Write("app/part/watched/in/b.txt", "b")],
            &[app_on_part, "part changed-file `part/watched/in/b.txt` changed"]),
        ("a file less there", &[Remove("app/part/watched/in/a.txt")],
            &[app_on_part, "part changed-directory `part/watched/in` lists other names"]),
        ("a file of a package whose script names none", &[Write("low/notes.txt", "more")],
            &[app_on_low, "low changed-file `low/notes.txt` changed", mid_on_low]),
        ("a new one", &[Write("low/new.txt", "more")],
            &[app_on_low, "low changed-file `low/new.txt` changed", mid_on_low]),
        ("a module gone", &[Remove("app/src/more.rs"), Write("app/src/more/mod.rs", "")],
            &["app changed-file `src/more.rs` changed"]),
        ("two at once", &[Write("app/part/said.txt", "two"), Write("mid/src/lib.rs", "pub use low::SAY;\npub fn say() -> &'static str { SAY }\n")],
            &["app dependency depends on mid, part", "mid changed-file `mid/src/lib.rs` changed", "part changed-file `part/said.txt` changed"]),
        ("a manifest", &[Write("low/Cargo.toml", &manifest("low", &[]).replace("0.1.0", "0.2.0"))],
            &[app_on_low, "low changed-file `low/Cargo.toml` changed", mid_on_low]),
        ("nothing once more", &[], &[]),
    ];
    let mut wrong = Vec::new();
    for (why, edits, want) in steps {
        wrong.extend(after(why, &shop, edits, want).map_err(|error| format!("{why}: {error}"))?);
    }
    nothing_is(&wrong);
    Ok(())
}

#[test]
fn a_restore_names_the_variables_that_make_cargo_build() -> Result {
    let mut shop = workshop()?;
    shop.clone_anew()?;
    shop.build(Wiped)?;
    shop.save()?;
    let all_by = |name: &str| -> Vec<String> {
        let line = |of: &str| format!("{of} flags built with other flags, {name}");
        ["app", "low", "mid", "part"].map(line).into()
    };
    let strings =
        |lines: &[&str]| -> Vec<String> { lines.iter().map(ToString::to_string).collect() };
    let low = "low changed-variable LOW_SIGN has another value";
    let on_low = |of: &str| format!("{of} dependency depends on low");
    let part = "part changed-variable SHOP_SIGN has another value";
    let steps: [(&str, &str, Vec<String>); 6] = [
        ("SHOP_SIGN", "open", strings(&["app dependency depends on part", part])),
        ("SHOP_SIGN", "open", Vec::new()),
        ("LOW_SIGN", "deep", vec![on_low("app"), low.to_owned(), on_low("mid")]),
        ("UNREAD", "x", Vec::new()),
        ("RUSTFLAGS", "-Cdebuginfo=0 -Cdebug-assertions=no", all_by("RUSTFLAGS")),
        ("CARGO_INCREMENTAL", "1", all_by("CARGO_INCREMENTAL")),
    ];
    let mut wrong = Vec::new();
    for (name, value, want) in steps {
        shop.environment.retain(|(known, _)| *known != name);
        shop.environment.push((name, value.to_owned()));
        let want: Vec<_> = want.iter().map(String::as_str).collect();
        wrong.extend(after(name, &shop, &[], &want)?);
    }
    nothing_is(&wrong);
    Ok(())
}

#[test]
fn a_unit_that_nobody_uses_any_more_is_no_reason_to_expect_a_build() -> Result {
    let mut shop = workshop()?;
    shop.clone_anew()?;
    shop.build(Wiped)?;
    shop.environment.push(("RUSTFLAGS", "-Cdebug-assertions=no".to_owned()));
    shop.build(Wiped)?;
    shop.save()?;
    let low = |text: &str| format!("pub const SAY: &str = {text:?};\n");
    let mut wrong = Vec::new();
    for text in ["deep", "deeper"] {
        let want = [
            "app dependency depends on low",
            "low changed-file `low/src/lib.rs` changed",
            "mid dependency depends on low",
        ];
        wrong.extend(after(text, &shop, &[Write("low/src/lib.rs", &low(text))], &want)?);
        wrong.extend(after("nothing", &shop, &[], &[])?);
    }
    nothing_is(&wrong);
    Ok(())
}

#[test]
fn only_what_lies_outside_the_workspace_is_built_again_at_another_path() -> Result {
    let mut shop = workshop()?;
    shop.clone_anew()?;
    shop.build(Wiped)?;
    shop.save()?;
    shop.move_to("elsewhere");
    shop.clone_anew()?;
    let moved = |name: &str| {
        format!(
            "{name} moved is at `@/elsewhere/{name}`; it would be fresh at `@/wiped/{name}`, where it \
             was built"
        )
    };
    // The output of a member's build script may contain the path.
    let part = moved("part").replace("/part`", "/app/part`");
    let want = ["app dependency depends on low, mid, part", &moved("low"), &moved("mid"), &part];
    let wrong = compare("moved", &shop, &want)?;
    nothing_is(&wrong);
    Ok(())
}

#[test]
fn a_save_says_how_much_of_what_was_used_came_from_the_cache() -> Result {
    let shop = workshop()?;
    shop.clone_anew()?;
    shop.build(Wiped)?;
    let all = ["app", "low", "mid", "part"];
    let score = |used: u64, built: u64, crates: &[&str]| serde_json::json!({ "used": used, "fresh": used - built, "built": built, "built_crates": crates });
    assert_eq!(shop.save()?["reuse"], score(8, 8, &all), "nothing was restored");
    let steps: [(&str, &[Edit<'_>], Value); 3] = [
        ("nothing", &[], score(8, 0, &[])),
        ("a member", &[Write("app/src/more.rs", "// more\n")], score(8, 1, &["app"])),
        (
            "a script's input",
            &[Write("app/part/watched/b.txt", "b")],
            score(8, 3, &["app", "part"]),
        ),
    ];
    for (why, edits, want) in steps {
        shop.edit(Kept, edits)?;
        shop.commit()?;
        shop.clone_anew()?;
        shop.restore()?;
        shop.build(Wiped)?;
        assert_eq!(shop.save()?["reuse"], want, "{why}");
    }
    Ok(())
}

#[test]
fn a_build_that_broke_off_is_told_from_one_that_did_not() -> Result {
    let shop = workshop()?;
    shop.clone_anew()?;
    shop.build(Wiped)?;
    shop.save()?;
    shop.edit(
        Kept,
        &[
            Write("low/src/lib.rs", "pub const SAY: &str = \"deep\";\n"),
            Write("app/src/more.rs", "no code"),
        ],
    )?;
    shop.commit()?;
    shop.clone_anew()?;
    shop.restore()?;
    assert!(shop.build(Wiped).is_err());
    shop.save()?;
    shop.edit(Kept, &[Write("app/src/more.rs", "")])?;
    shop.commit()?;
    shop.clone_anew()?;
    let wrong = compare("mended", &shop, &["app changed-file `src/more.rs` changed"])?;
    nothing_is(&wrong);
    Ok(())
}

#[test]
fn documentation_and_tests_are_explained_too() -> Result {
    let mut wrong = Vec::new();
    let want = ["app dependency depends on part", "part changed-file `part/said.txt` changed"];
    let commands: [&[&str]; 4] = [
        &["test", "--no-run", "--workspace"],
        &["check", "--workspace", "--all-targets"],
        &["build", "--release"],
        &["doc", "--workspace"],
    ];
    for command in commands {
        let mut shop = workshop()?;
        shop.cargo = command.to_vec();
        shop.clone_anew()?;
        shop.build(Wiped)?;
        shop.save()?;
        let edit = [Write("app/part/said.txt", "more")];
        wrong.extend(after(&command.join(" "), &shop, &edit, &want)?);
    }
    nothing_is(&wrong);
    Ok(())
}
