//! A restored workspace is fresh to a real cargo, in any layout and with any build command.

use crate::workshop::Edit::{Git, Link, Rename, Write};
use crate::workshop::Ours::Same;
use crate::workshop::Side::{Kept, Wiped};
use crate::workshop::{Result, Step, Workshop, manifest, nothing_is};

/// A build script that writes the text of `in.txt` into a file beside it.
const SCRIPT: &str = "fn main() {\n\
    println!(\"cargo::rerun-if-changed=in.txt\");\n\
    let text = std::fs::read_to_string(\"in.txt\").unwrap();\n\
    let code = format!(\"pub const SAY: &str = {:?};\\n\", text.trim());\n\
    std::fs::create_dir_all(\"made\").unwrap();\n\
    std::fs::write(\"made/more.rs\", code).unwrap();\n}\n";

const MAIN: &str = "#[path = \"../made/more.rs\"]\nmod more;\nfn main() {\n\
    println!(\"made={}\\nsib={}\", more::SAY, sib::SAY);\n\
    println!(\"text={}\", include_str!(\"../text.txt\").trim());\n}\n";

const ALL: &str = "sib app/build app/run app";

/// A repo that writes code into an ignored directory, and its sibling.
fn shop(below: &str, ignored: &str) -> Result<Workshop> {
    shop_in(tempfile::tempdir()?, below, ignored)
}

fn shop_in(dir: tempfile::TempDir, below: &str, ignored: &str) -> Result<Workshop> {
    let at = |path: &str| format!("{below}/{path}");
    let up = if below.contains('/') { "../../sib" } else { "../sib" };
    Workshop::in_dir(
        dir,
        below,
        &[
            (&at("Cargo.toml"), &manifest("app", &[up])),
            ("app/.gitignore", ignored),
            (&at("build.rs"), SCRIPT),
            (&at("in.txt"), "m"),
            (&at("text.txt"), "t"),
            (&at("src/main.rs"), MAIN),
            ("sib/Cargo.toml", &manifest("sib", &[])),
            ("sib/.gitignore", "/target\nCargo.lock\n"),
            (
                "sib/src/lib.rs",
                "pub const SAY: &str = include_str!(\"../text.txt\").trim_ascii();\n",
            ),
            ("sib/text.txt", "s"),
        ],
    )
}

/// Builds, saves, wipes and restores. Then edits a text that the program includes, and at last the
/// input of its build script, with a restore after each edit.
fn story(why: &str, shop: &mut Workshop) -> Result<Vec<String>> {
    let text = format!("{}/text.txt", shop.works_in);
    let input = format!("{}/in.txt", shop.works_in);
    let named = |what: &str| format!("{why}: {what}");
    #[rustfmt::skip]
    let wrong = shop.walk(&[
        Step(&named("cold"), &[], "made=m sib=s text=t", ALL, Same),
        Step(&named("nothing"), &[], "", "", Same),
        Step(&named("a text"), &[Write(&text, "u")], "text=u", "app", Same),
        Step(&named("an input"), &[Write(&input, "n")], "made=n", "app/run app", Same),
    ]);
    wrong.or_else(|error| Ok(vec![format!("{why}: {error}")]))
}

const IGNORED: &str = "/target\nmade/\n";

#[test]
fn a_workspace_is_fresh_wherever_cargo_builds() -> Result {
    let mut wrong = Vec::new();
    let variables = [
        ("a target elsewhere", "CARGO_TARGET_DIR", "@/built"),
        ("a target in the repo", "CARGO_TARGET_DIR", "@/app/built/here"),
        ("a build directory apart", "CARGO_BUILD_BUILD_DIR", "@/half-built"),
    ];
    for (why, name, value) in variables {
        let mut shop = shop("app", "/target\nmade/\nbuilt/\n")?;
        shop.environment.push((name, value.to_owned()));
        wrong.extend(story(why, &mut shop)?);
    }
    nothing_is(&wrong);
    Ok(())
}

#[test]
fn a_workspace_is_fresh_whatever_git_knows_of_it() -> Result {
    let mut wrong = Vec::new();

    let mut lockless = shop("app", "/target\nmade/\nCargo.lock\n")?;
    wrong.extend(story("an ignored lock file", &mut lockless)?);

    let mut gitless = shop("app", IGNORED)?;
    gitless.with_git = false;
    wrong.extend(story("no git", &mut gitless)?);

    let mut below = shop("app/deep", "target/\nmade/\n")?;
    wrong.extend(story("below the root of git, ignored there", &mut below)?);

    let mut tracked = shop("app", "/target\nmade/\n*.txt\n")?;
    tracked.git(Kept, "app", &["add", "-f", "in.txt", "text.txt"])?;
    wrong.extend(story("tracked though ignored", &mut tracked)?);

    let mut deep = shop("app", "/target\n")?;
    deep.edit(Kept, &[Write("app/made/.gitignore", "*\n!.gitignore\n")])?;
    wrong.extend(story("ignored by the directory itself", &mut deep)?);

    let mut nested = shop("app", IGNORED)?;
    nested.add_repo("text", &[("t.txt", "t")])?;
    nested.dependencies.retain(|name| name != "text");
    let text = nested.path(Kept, "text");
    let text = text.to_str().ok_or("not UTF-8")?;
    nested.edit(
        Kept,
        &[
            Git("app", &["submodule", "-q", "add", text, "sub"]),
            Write("app/src/main.rs", &MAIN.replace("../text.txt", "../sub/t.txt")),
        ],
    )?;
    wrong.extend(nested.walk(&[
        Step("a submodule: cold", &[], "made=m sib=s text=t", ALL, Same),
        Step("a submodule: nothing", &[], "", "", Same),
        Step(
            "a submodule: edited",
            &[
                Write("text/t.txt", "u"),
                Git("text", &["commit", "-q", "-a", "-m", "new"]),
                Git("app/sub", &["pull", "-q"]),
            ],
            "text=u",
            "app",
            Same,
        ),
    ])?);
    nothing_is(&wrong);
    Ok(())
}

#[test]
fn a_workspace_is_fresh_whatever_its_paths_are() -> Result {
    let mut wrong = Vec::new();
    let odd = tempfile::Builder::new().prefix("sp ace é# ").tempdir()?;
    let mut odd = shop_in(odd, "app", IGNORED)?;
    odd.edit(
        Kept,
        &[
            Rename("app/text.txt", "app/a té xt.txt"),
            Write("app/src/main.rs", &MAIN.replace("../text.txt", "../a té xt.txt")),
        ],
    )?;
    wrong.extend(odd.walk(&[
        Step("odd names: cold", &[], "made=m sib=s text=t", ALL, Same),
        Step("odd names: nothing", &[], "", "", Same),
        Step("odd names: edited", &[Write("app/a té xt.txt", "u")], "text=u", "app", Same),
    ])?);

    // The sibling, with code that its script writes, lies elsewhere, and `../sib` is a symlink.
    let mut linked = shop("app", IGNORED)?;
    linked.edit(
        Kept,
        &[
            Write("sib/.gitignore", "/target\nCargo.lock\n/made/\n"),
            Write("sib/build.rs", SCRIPT),
            Write("sib/in.txt", "s"),
            Write("sib/src/lib.rs", "include!(\"../made/more.rs\");\n"),
        ],
    )?;
    linked.commit()?;
    let all = "sib/build sib/run sib app/build app/run app";
    let mut is_first = true;
    for (why, prints, compiles) in
        [("a link to the sibling", "made=m sib=s text=t", all), ("it comes back", "", "")]
    {
        linked.clone_anew()?;
        linked.edit(Wiped, &[Rename("sib", "elsewhere"), Link("sib", "elsewhere")])?;
        if !is_first {
            linked.restore()?;
        }
        is_first = false;
        wrong.extend(linked.judge(&Step(why, &[], prints, compiles, Same))?);
        linked.save()?;
    }
    nothing_is(&wrong);
    Ok(())
}

#[test]
fn a_toolchain_file_that_leads_to_the_same_compiler_costs_nothing() -> Result {
    let mut shop = shop("app", IGNORED)?;
    let mut wrong = Vec::new();
    let files = [
        ("a file", "[toolchain]\nchannel = 'stable'\n"),
        ("a comment", "[toolchain]\nchannel = 'stable' # as everywhere\n"),
        ("a component", "[toolchain]\nchannel = 'stable'\ncomponents = ['clippy']\n"),
        ("another spelling", "[toolchain]\nchannel = 'stable-x86_64-unknown-linux-gnu'\n"),
    ];
    wrong.extend(shop.open("no file", "made=m sib=s text=t", ALL)?);
    for (why, text) in files {
        shop.edit(Kept, &[Write("app/rust-toolchain.toml", text)])?;
        shop.commit()?;
        shop.clone_anew()?;
        assert_eq!(shop.restore()?["hit"], "exact", "{why}");
        wrong.extend(shop.judge(&Step(why, &[], "", "", Same))?);
        shop.save()?;
    }
    nothing_is(&wrong);
    Ok(())
}

#[test]
fn a_workspace_is_fresh_to_every_command_of_cargo() -> Result {
    let mut wrong = Vec::new();
    let commands: [(&str, &[&str], &str, &str); 4] = [
        ("release", &["build", "--release"], ALL, "app"),
        ("check", &["check"], ALL, "app"),
        ("test", &["test", "--no-run"], "sib app/build app/run app/test", "app/test"),
        ("clippy", &["clippy"], ALL, "app"),
    ];
    for (why, command, all, dependents) in commands {
        let mut shop = shop("app", IGNORED)?;
        shop.cargo = command.to_vec();
        let named = |what: &str| format!("{why}: {what}");
        let steps = [
            Step(&named("cold"), &[], "made=m sib=s text=t", all, Same),
            Step(&named("nothing"), &[], "", "", Same),
            Step(&named("edited"), &[Write("app/text.txt", "u")], "text=u", dependents, Same),
        ];
        wrong.extend(shop.walk(&steps).map_err(|error| format!("{why}: {error}"))?);
    }
    nothing_is(&wrong);
    Ok(())
}

#[test]
fn profiles_in_one_target_come_back_together() -> Result {
    let mut shop = shop("app", IGNORED)?;
    let into_out_dir = "std::env::var(\"OUT_DIR\").unwrap() + \"/more.rs\"";
    let from_out_dir = "mod more { include!(concat!(env!(\"OUT_DIR\"), \"/more.rs\")); }";
    shop.edit(
        Kept,
        &[
            Write("app/build.rs", &SCRIPT.replace("\"made/more.rs\"", into_out_dir)),
            Write(
                "app/src/main.rs",
                &MAIN.replace("#[path = \"../made/more.rs\"]\nmod more;", from_out_dir),
            ),
        ],
    )?;
    let mut wrong = Vec::new();
    for (why, text, prints, compiles) in [
        ("cold", "t", "made=m sib=s text=t", ALL),
        ("wiped", "t", "", ""),
        ("edited", "u", "text=u", "app"),
    ] {
        if why != "wiped" {
            shop.edit(Kept, &[Write("app/text.txt", text)])?;
        }
        shop.commit()?;
        shop.clone_anew()?;
        shop.restore()?;
        for profile in [&["build"][..], &["build", "--release"]] {
            shop.cargo = profile.to_vec();
            wrong.extend(shop.judge(&Step(why, &[], prints, compiles, Same))?);
        }
        shop.save()?;
    }
    nothing_is(&wrong);
    Ok(())
}
