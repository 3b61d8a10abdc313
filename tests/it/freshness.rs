//! Freshness, by comparison: after any change to the sources, a workspace that was wiped, cloned and restored builds
//! the same units as a workspace that was never wiped, and no fewer.
//!
//! If ours compiles more than cargo would have, the step says so ([`Ours::More`]); also if cargo itself would have been
//! stale ([`Ours::Despite`]).

use crate::workshop::Edit::{Backdate, Chmod, Git, Link, Remove, Rename, Swap, Touch, Write};
use crate::workshop::Ours::{Despite, Fewer, More, Same};
use crate::workshop::Side::{Kept, Wiped};
use crate::workshop::{Result, Step, Workshop, manifest, nothing_is};

/// A build script that writes the text of `in.txt` to the path `to`.
macro_rules! script {
    ($watches:literal, $to:literal) => {
        concat!(
            "fn main() {\n",
            $watches,
            "let text = std::fs::read_to_string(\"in.txt\").unwrap();\n",
            "let to = ",
            $to,
            ";\n",
            "if let Some(dir) = std::path::Path::new(&to).parent() {\n",
            "std::fs::create_dir_all(dir).unwrap();\n}\n",
            "std::fs::write(to, format!(\"pub const SAY: &str = {:?};\\n\", text.trim())).unwrap();\n",
            "}\n"
        )
    };
}

const WATCHES: &str = "println!(\"cargo::rerun-if-changed=in.txt\");";

const INTO_OUT_DIR: &str = script!(
    "println!(\"cargo::rerun-if-changed=in.txt\");\n",
    "std::env::var(\"OUT_DIR\").unwrap() + \"/out.rs\""
);

const INTO_SRC: &str =
    script!("println!(\"cargo::rerun-if-changed=in.txt\");\n", "\"src/generated.rs\".to_owned()");

const FROM_OUT_DIR: &str = "include!(concat!(env!(\"OUT_DIR\"), \"/out.rs\"));\n";

#[test]
fn an_edit_compiles_what_it_would_have_and_nothing_else() -> Result {
    let app = manifest("app", &["part", "mac", "../sib"]) + "[workspace]\nmembers = ['mac']\n";
    let mac = manifest("mac", &[]) + "[lib]\nproc-macro = true\n";
    let mut shop = Workshop::new(&[
        ("app/Cargo.toml", &app),
        ("app/.gitignore", "/target\n"),
        (
            "app/src/main.rs",
            "mod one;\nmod two;\nfn main() {\n\
             println!(\"sib={}\\npart={}\", sib::SAY, part::SAY);\n\
             println!(\"mac={}\", mac::word!());\n\
             println!(\"one={}\\ntwo={}\", one::SAY, two::SAY);\n\
             println!(\"text={}\", include_str!(\"../text.txt\").trim());\n\
             println!(\"bytes={}\", include_bytes!(\"../bytes.bin\").len());\n}\n",
        ),
        ("app/src/one.rs", "pub const SAY: &str = \"1\";\n"),
        ("app/src/two.rs", "pub const SAY: &str = \"2\";\n"),
        ("app/text.txt", "a\n"),
        ("app/bytes.bin", "1234"),
        ("app/part/Cargo.toml", &manifest("part", &["../../sib"])),
        ("app/part/src/lib.rs", "mod inner;\npub use inner::SAY;\n"),
        ("app/part/src/inner.rs", "pub const SAY: &str = \"p\";\n"),
        ("app/mac/Cargo.toml", &mac),
        (
            "app/mac/src/lib.rs",
            "use proc_macro::TokenStream;\n#[proc_macro]\n\
             pub fn word(_: TokenStream) -> TokenStream {\n\
             let word = include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/word.txt\"));\n\
             format!(\"{:?}\", word.trim()).parse().unwrap()\n}\n",
        ),
        ("app/mac/word.txt", "m\n"),
        // The same names as in the repo, with other contents.
        ("sib/Cargo.toml", &manifest("sib", &[])),
        ("sib/.gitignore", "/target\nCargo.lock\n"),
        ("sib/src/lib.rs", "pub const SAY: &str = include_str!(\"../text.txt\").trim_ascii();\n"),
        ("sib/text.txt", "s\n"),
    ])?;
    #[rustfmt::skip]
    let wrong = shop.walk(&[
        Step("cold", &[], "sib=s part=p mac=m one=1 two=2 text=a bytes=4", "sib part mac app", Same),
        Step("nothing", &[], "", "", Same),
        Step("the sibling", &[Write("sib/src/lib.rs", "pub const SAY: &str = \"S\";\n")],
            "sib=S", "sib part app", Same),
        Step("a member", &[Write("app/part/src/inner.rs", "pub const SAY: &str = \"P\";\n")],
            "part=P", "part app", Same),
        Step("the same size", &[Write("app/text.txt", "b\n")], "text=b", "app", Same),
        Step("back to what it was", &[Write("app/text.txt", "a\n")], "text=a", "app", Fewer("app")),
        Step("bytes", &[Write("app/bytes.bin", "12345")], "bytes=5", "app", Same),
        Step("what a macro reads", &[Write("app/mac/word.txt", "M\n")], "mac=M", "mac app", Same),
        Step("renamed", &[Rename("app/part/src/inner.rs", "app/part/src/core.rs"),
                          Write("app/part/src/lib.rs", "#[path = \"core.rs\"]\nmod inner;\npub use inner::SAY;\n")],
            "", "part app", Same),
        Step("deleted", &[Remove("app/part/src/core.rs"),
                          Write("app/part/src/lib.rs", "pub const SAY: &str = \"q\";\n")],
            "part=q", "part app", Same),
        Step("swapped", &[Swap("app/src/one.rs", "app/src/two.rs")], "one=2 two=1", "app", Same),
        // A checkout replaces a file whose mode changed, which gives it a new mtime.
        Step("only the mode", &[Chmod("app/src/one.rs", 0o755), Touch("app/src/one.rs")],
            "", "app", Same),
        Step("only touched", &[Touch("app/src/one.rs")], "", "app", Fewer("app")),
        Step("a file nobody reads", &[Write("app/src/three.rs", "")], "", "", Same),
        Step("a file becomes a directory", &[Remove("app/src/one.rs"),
                                             Write("app/src/one/mod.rs", "pub const SAY: &str = \"3\";\n")],
            "one=3", "app", Same),
    ])?;
    nothing_is(&wrong);
    Ok(())
}

#[test]
fn build_scripts_run_again_when_they_would_have() -> Result {
    let app = manifest("app", &["bfile", "bdir", "bnone", "benv"]) + "[workspace]\n";
    let list = "fn list(dir: &std::path::Path, all: &mut Vec<String>) {\n\
        for entry in std::fs::read_dir(dir).unwrap() {\n\
        let path = entry.unwrap().path();\n\
        if path.is_dir() { list(&path, all); continue; }\n\
        let text = std::fs::read_to_string(&path).unwrap();\n\
        all.push(format!(\"{}:{}\", path.display(), text.trim()));\n}\n}\n\
        fn main() {\n\
        println!(\"cargo::rerun-if-changed=d\");\n\
        let mut all = Vec::new();\n\
        list(std::path::Path::new(\"d\"), &mut all);\n\
        all.sort();\n\
        let out = std::env::var(\"OUT_DIR\").unwrap() + \"/out.rs\";\n\
        std::fs::write(out, format!(\"pub const SAY: &str = {:?};\", all.join(\",\"))).unwrap();\n}\n";
    let variable = "fn main() {\n\
        println!(\"cargo::rerun-if-env-changed=SHOP\");\n\
        let value = std::env::var(\"SHOP\").unwrap_or_default();\n\
        let out = std::env::var(\"OUT_DIR\").unwrap() + \"/out.rs\";\n\
        std::fs::write(out, format!(\"pub const SAY: &str = {value:?};\")).unwrap();\n}\n";
    let unwatched = INTO_OUT_DIR.replace(WATCHES, "");
    let mut shop = Workshop::new(&[
        ("app/Cargo.toml", &app),
        ("app/.gitignore", "/target\n"),
        (
            "app/src/main.rs",
            "fn main() {\nprintln!(\"file={}\\ndir={}\", bfile::SAY, bdir::SAY);\n\
             println!(\"none={}\\nenv={}\", bnone::SAY, benv::SAY);\n}\n",
        ),
        ("app/bfile/Cargo.toml", &manifest("bfile", &[])),
        ("app/bfile/build.rs", INTO_OUT_DIR),
        ("app/bfile/in.txt", "f"),
        ("app/bfile/src/lib.rs", FROM_OUT_DIR),
        ("app/bdir/Cargo.toml", &manifest("bdir", &[])),
        ("app/bdir/build.rs", list),
        ("app/bdir/d/a", "1"),
        ("app/bdir/d/s/b", "2"),
        ("app/bdir/d/s/c", "3"),
        ("app/bdir/src/lib.rs", FROM_OUT_DIR),
        ("app/bnone/Cargo.toml", &manifest("bnone", &[])),
        ("app/bnone/build.rs", &unwatched),
        ("app/bnone/in.txt", "n"),
        ("app/bnone/src/lib.rs", FROM_OUT_DIR),
        ("app/benv/Cargo.toml", &manifest("benv", &[])),
        ("app/benv/build.rs", variable),
        ("app/benv/src/lib.rs", FROM_OUT_DIR),
    ])?;
    shop.edit(Kept, &[Link("app/bdir/d/l", "a")])?;
    let all = "bfile bfile/build bfile/run bdir bdir/build bdir/run bnone bnone/build bnone/run \
               benv benv/build benv/run app";
    let dir = "bdir/run bdir app";
    let none = "bnone/run bnone app";
    #[rustfmt::skip]
    let mut wrong = shop.walk(&[
        Step("cold", &[], "file=f dir=d/a:1,d/l:1,d/s/b:2,d/s/c:3 none=n env=", all, Same),
        Step("nothing", &[], "", "", Same),
        Step("a watched file", &[Write("app/bfile/in.txt", "F")], "file=F", "bfile/run bfile app", Same),
        Step("a file beside it", &[Write("app/bfile/new.txt", "")], "", "", Same),
        Step("the script", &[Write("app/bfile/build.rs", &format!("{INTO_OUT_DIR}// new\n"))],
            "", "bfile/build bfile/run bfile app", Same),
        Step("added", &[Write("app/bdir/d/s/e", "4")],
            "dir=d/a:1,d/l:1,d/s/b:2,d/s/c:3,d/s/e:4", dir, Same),
        Step("deleted", &[Remove("app/bdir/d/s/c")], "dir=d/a:1,d/l:1,d/s/b:2,d/s/e:4", dir, Same),
        Step("edited", &[Write("app/bdir/d/s/b", "5")], "dir=d/a:1,d/l:1,d/s/b:5,d/s/e:4", dir, Same),
        Step("renamed", &[Rename("app/bdir/d/s/e", "app/bdir/d/s/f")],
            "dir=d/a:1,d/l:1,d/s/b:5,d/s/f:4", dir, Same),
        Step("a directory deeper", &[Write("app/bdir/d/s/t/g", "6")],
            "dir=d/a:1,d/l:1,d/s/b:5,d/s/f:4,d/s/t/g:6", dir, Same),
        // A generation from before the detour is more useful than that of the last job.
        Step("and gone", &[Remove("app/bdir/d/s/t")], "dir=d/a:1,d/l:1,d/s/b:5,d/s/f:4", dir, Fewer(dir)),
        Step("a link there", &[Link("app/bdir/d/l", "s/b")],
            "dir=d/a:1,d/l:5,d/s/b:5,d/s/f:4", dir, More(all)),
        Step("nothing watched, edited", &[Write("app/bnone/in.txt", "N")], "none=N", none, Same),
        Step("nothing watched, added", &[Write("app/bnone/z.txt", "")], "", none, Same),
        Step("nothing watched, newest deleted", &[Remove("app/bnone/z.txt")], "", none, Fewer(none)),
        Step("nothing of all that", &[], "", "", Same),
    ])?;
    shop.environment.push(("SHOP", "open".to_owned()));
    #[rustfmt::skip]
    wrong.extend(shop.walk(&[
        Step("a variable", &[], "env=open", "benv/run benv app", Same),
        Step("the same variable", &[], "", "", Same),
    ])?);
    nothing_is(&wrong);
    Ok(())
}

/// Git rewrites a file when its exec bit changes, and a build script may read the bit. The contents of the files stay
/// the same throughout.
#[test]
fn another_exec_bit_is_another_content() -> Result {
    let app = manifest("app", &["file", "dir", "none", "../sib"]) + "[workspace]\n";
    let script = |watches: &str, reads: &str| {
        format!(
            "fn main() {{\n{watches}\n\
             let mode = std::fs::metadata(\"{reads}\").unwrap().permissions();\n\
             let mode = std::os::unix::fs::PermissionsExt::mode(&mode) & 0o100 != 0;\n\
             let out = std::env::var(\"OUT_DIR\").unwrap() + \"/out.rs\";\n\
             std::fs::write(out, format!(\"pub const SAY: bool = {{mode}};\")).unwrap();\n}}\n"
        )
    };
    let of_file = script("println!(\"cargo::rerun-if-changed=in.sh\");", "in.sh");
    let of_dir = script("println!(\"cargo::rerun-if-changed=d\");", "d/deep/in.sh");
    let of_link = script("println!(\"cargo::rerun-if-changed=d\");", "d/link");
    let of_none = script("", "in.sh");
    let mut shop = Workshop::new(&[
        ("app/Cargo.toml", &app),
        ("app/.gitignore", "/target\n"),
        (
            "app/src/main.rs",
            "fn main() {\nprintln!(\"file={}\\ndir={}\", file::SAY, dir::SAY);\n\
             println!(\"none={}\\nsib={}\", none::SAY, sib::SAY);\n}\n",
        ),
        ("app/file/Cargo.toml", &manifest("file", &[])),
        ("app/file/build.rs", &of_file),
        ("app/file/in.sh", ""),
        ("app/file/src/lib.rs", FROM_OUT_DIR),
        ("app/dir/Cargo.toml", &manifest("dir", &[])),
        ("app/dir/build.rs", &of_dir),
        ("app/dir/d/deep/in.sh", ""),
        ("app/dir/src/lib.rs", FROM_OUT_DIR),
        ("app/none/Cargo.toml", &manifest("none", &[])),
        ("app/none/build.rs", &of_none),
        ("app/none/in.sh", ""),
        ("app/none/src/lib.rs", FROM_OUT_DIR),
        ("sib/Cargo.toml", &manifest("sib", &[])),
        ("sib/.gitignore", "/target\nCargo.lock\n"),
        ("sib/build.rs", &of_link),
        ("sib/in.sh", ""),
        ("sib/src/lib.rs", FROM_OUT_DIR),
    ])?;
    shop.edit(Kept, &[Write("sib/d/a", ""), Link("sib/d/link", "../in.sh")])?;
    let all = "file file/build file/run dir dir/build dir/run none none/build none/run \
               sib sib/build sib/run app";
    let flip = |path, mode| [Chmod(path, mode), Touch(path)];
    #[rustfmt::skip]
    let wrong = shop.walk(&[
        Step("cold", &[], "file=false dir=false none=false sib=false", all, Same),
        Step("a watched file", &flip("app/file/in.sh", 0o755), "file=true", "file/run file app", Same),
        Step("nothing", &[], "", "", Same),
        Step("in a watched directory", &flip("app/dir/d/deep/in.sh", 0o755),
            "dir=true", "dir/run dir app", Same),
        Step("nothing watched", &flip("app/none/in.sh", 0o755), "none=true", "none/run none app", Same),
        Step("behind a watched link", &flip("sib/in.sh", 0o755), "sib=true", "sib/run sib app", Same),
        Step("no longer executable", &flip("app/file/in.sh", 0o644), "file=false", "file/run file app", Same),
        Step("nor in a directory", &flip("app/dir/d/deep/in.sh", 0o644),
            "dir=false", "dir/run dir app", Same),
        // Git knows no other bit, so a checkout rewrites nothing.
        Step("what git does not know", &[Chmod("app/file/in.sh", 0o600)], "", "", Same),
    ])?;
    nothing_is(&wrong);
    Ok(())
}

/// A repo whose build script writes its input into a file beside it, which the patterns `ignored` ignore.
fn generating<'a>(ignored: &'a str, app: &'a str, script: &'a str) -> [(&'a str, &'a str); 5] {
    [
        ("app/Cargo.toml", app),
        ("app/.gitignore", ignored),
        ("app/build.rs", script),
        ("app/in.txt", "g"),
        (
            "app/src/main.rs",
            "mod generated;\nfn main() {\nprintln!(\"g={}\", generated::SAY);\n}\n",
        ),
    ]
}

const ALL_GENERATING: &str = "app/build app/run app";

#[test]
fn files_that_a_build_script_writes_beside_itself_come_back() -> Result {
    let app = manifest("app", &[]);
    let made = INTO_SRC.replace("src/generated.rs", "made/deep/more.rs");
    let include = "#[path = \"../made/deep/more.rs\"]\nmod generated;\n\
        fn main() {\nprintln!(\"g={}\", generated::SAY);\n}\n";
    let mut wrong = Vec::new();
    for (why, ignored, script, main) in [
        ("an ignored file", "/target\ngenerated.rs\nCargo.lock\n", INTO_SRC, None),
        ("a file not ignored", "/target\nCargo.lock\n", INTO_SRC, None),
        ("an ignored directory", "/target\n/made/\nCargo.lock\n", &made, Some(include)),
    ] {
        let mut shop = Workshop::new(&generating(ignored, &app, script))?;
        if let Some(main) = main {
            shop.edit(Kept, &[Write("app/src/main.rs", main)])?;
        }
        shop.commit()?;
        shop.clone_anew()?;
        #[rustfmt::skip]
        let steps = [
            Step("nothing", &[], "", "", Same),
            Step("its input", &[Write("app/in.txt", "G")], "g=G", "app/run app", Same),
            Step("its input again", &[Write("app/in.txt", "h")], "g=h", "app/run app", Same),
        ];
        wrong.extend(shop.judge(&Step(why, &[], "g=g", ALL_GENERATING, Same))?);
        shop.save()?;
        // The file must not be committed, even if git does not ignore it.
        for Step(what, edits, prints, compiles, ours) in steps {
            shop.edit(Kept, edits)?;
            shop.git(Kept, "app", &["commit", "-q", "-a", "--allow-empty", "-m", "a step"])?;
            shop.clone_anew()?;
            shop.restore()?;
            let why = format!("{why}, {what}");
            wrong.extend(shop.judge(&Step(&why, &[], prints, compiles, ours))?);
            shop.save()?;
        }
    }
    nothing_is(&wrong);
    Ok(())
}

#[test]
fn an_ignored_file_that_a_unit_reads_comes_back() -> Result {
    let mut shop = Workshop::new(&[
        ("app/Cargo.toml", &manifest("app", &[])),
        ("app/.gitignore", "/target\nlocal.txt\n"),
        (
            "app/src/main.rs",
            "fn main() {\nprintln!(\"local={}\", include_str!(\"../local.txt\").trim());\n}\n",
        ),
    ])?;
    shop.clone_anew()?;
    for side in [Kept, Wiped] {
        shop.edit(side, &[Write("app/local.txt", "1")])?;
    }
    let mut wrong = shop.judge(&Step("cold", &[], "local=1", "app", Same))?;
    shop.save()?;
    shop.clone_anew()?;
    shop.restore()?;
    wrong.extend(shop.judge(&Step("wiped", &[], "", "", Same))?);
    shop.clone_anew()?;
    for side in [Kept, Wiped] {
        shop.edit(side, &[Write("app/local.txt", "2"), Backdate("app/local.txt")])?;
    }
    shop.edit(Kept, &[Touch("app/local.txt")])?;
    shop.restore()?;
    wrong.extend(shop.judge(&Step("another by now", &[], "local=2", "app", Same))?);
    nothing_is(&wrong);
    Ok(())
}

/// Cargo records the end of a symlink, not the symlink: it notices neither another target nor a file in its place.
#[test]
fn sources_behind_a_symlink_are_never_stale() -> Result {
    let read = |name: &str| {
        format!("println!(\"{name}={{}}\", include_str!(\"../links/{name}\").trim());\n")
    };
    let main: String = ["file", "link", "chain", "dir/x", "out"].map(read).concat();
    let mut shop = Workshop::new(&[
        ("app/Cargo.toml", &manifest("app", &[])),
        ("app/.gitignore", "/target\n"),
        ("app/src/main.rs", &format!("fn main() {{\n{main}}}\n")),
        ("app/links/file", "0"),
        ("app/v1/x", "1"),
        ("app/v2/x", "2"),
        ("sib/w1", "3"),
        ("sib/w2", "4"),
        ("sib/Cargo.toml", &manifest("sib", &[])),
        ("sib/src/lib.rs", ""),
    ])?;
    shop.edit(
        Kept,
        &[
            Link("app/links/link", "../v1/x"),
            Link("app/links/chain", "link"),
            Link("app/links/dir", "../v1"),
            Link("app/links/out", "../../sib/w1"),
        ],
    )?;
    #[rustfmt::skip]
    let wrong = shop.walk(&[
        Step("cold", &[], "file=0 link=1 chain=1 dir/x=1 out=3", "app", Same),
        Step("nothing", &[], "", "", Same),
        Step("what it leads to", &[Write("app/v1/x", "5")], "link=5 chain=5 dir/x=5", "app", Same),
        Step("a link to another old file", &[Link("app/links/link", "../v2/x")],
            "link=2 chain=2", "", Despite("app")),
        Step("a link to another old directory", &[Link("app/links/dir", "../v2")],
            "dir/x=2", "", Despite("app")),
        Step("a file becomes a link to an old one", &[Link("app/links/file", "../v1/x")],
            "file=5", "", Despite("app")),
        Step("a link into the other repo", &[Link("app/links/out", "../../sib/w2")],
            "out=4", "", Despite("app")),
        Step("a link becomes a file", &[Remove("app/links/link"), Write("app/links/link", "6")],
            "link=6 chain=6", "", Despite("app")),
    ])?;
    nothing_is(&wrong);
    Ok(())
}

const SAYS: &str = "mod one;\nfn main() {\nprintln!(\"one={}\\nsib={}\", one::SAY, sib::SAY);\n}\n";

/// A repo with a sibling; each prints the text it was compiled from.
fn pair(app: &str) -> Result<Workshop> {
    Workshop::new(&[
        ("app/Cargo.toml", app),
        ("app/.gitignore", "/target\n"),
        ("app/src/main.rs", SAYS),
        ("app/src/one.rs", "pub const SAY: &str = \"1\";\n"),
        ("sib/Cargo.toml", &manifest("sib", &[])),
        ("sib/.gitignore", "/target\nCargo.lock\n"),
        ("sib/src/lib.rs", "pub const SAY: &str = \"s\";\n"),
    ])
}

const ONE: &str = "app/src/one.rs";
const SIB: &str = "sib/src/lib.rs";

#[test]
fn an_edit_after_the_build_stays_to_be_built_after_a_save() -> Result {
    let mut shop = pair(&manifest("app", &["../sib"]))?;
    shop.clone_anew()?;
    let mut wrong = shop.judge(&Step("cold", &[], "one=1 sib=s", "sib app", Same))?;
    for side in [Kept, Wiped] {
        shop.edit(side, &[Write(ONE, "pub const SAY: &str = \"2\";\n")])?;
    }
    shop.save()?;
    shop.commit()?;
    shop.clone_anew()?;
    shop.restore()?;
    wrong.extend(shop.judge(&Step("edited before the save", &[], "one=2", "app", Same))?);
    nothing_is(&wrong);
    Ok(())
}

/// A build script may have changed a tracked file, and must then run again: nobody else would write the file into the
/// next checkout. Without build scripts only the file itself is in doubt.
#[test]
fn an_edit_that_no_build_script_can_have_made_is_the_only_thing_built_again() -> Result {
    let root = manifest("app", &["part"]) + "[workspace]\nmembers = ['part']\n";
    for (why, script, compiles) in [
        ("no build script", "", "app"),
        ("a build script", "fn main() {}\n", "app part part/build part/run"),
    ] {
        let shop = Workshop::new(&[
            ("app/Cargo.toml", &root),
            ("app/.gitignore", "/target\n"),
            (
                "app/src/main.rs",
                "mod one;\nfn main() {\nprintln!(\"one={}\\npart={}\", one::SAY, part::SAY);\n}\n",
            ),
            (ONE, "pub const SAY: &str = \"1\";\n"),
            ("app/part/Cargo.toml", &manifest("part", &[])),
            ("app/part/src/lib.rs", "pub const SAY: &str = \"p\";\n"),
        ])?;
        if !script.is_empty() {
            shop.edit(Kept, &[Write("app/part/build.rs", script)])?;
            shop.commit()?;
        }
        shop.clone_anew()?;
        // A step that sets a version with `sed -i` does so before the build or after it.
        for (when, text) in [("before", "2"), ("after", "3")] {
            if when == "after" {
                shop.build(Wiped)?;
            }
            shop.edit(Wiped, &[Write(ONE, &format!("pub const SAY: &str = \"{text}\";\n"))])?;
            if when == "before" {
                shop.build(Wiped)?;
            }
            shop.save()?;
            shop.clone_anew()?;
            shop.restore()?;
            let built = shop.build(Wiped)?;
            assert_eq!(built.prints["one"], "1", "{why}, edited {when} the build");
            let compiled: Vec<_> = built.compiled.into_iter().collect();
            assert_eq!(compiled.join(" "), compiles, "{why}, edited {when} the build");
        }
    }
    Ok(())
}

#[test]
fn an_old_mtime_hides_no_change() -> Result {
    let mut shop = pair(&manifest("app", &["../sib"]))?;
    let mut wrong = shop.open("cold", "one=1 sib=s", "sib app")?;
    shop.edit(Kept, &[Write(ONE, "pub const SAY: &str = \"2\";\n")])?;
    shop.commit()?;
    shop.clone_anew()?;
    shop.edit(Wiped, &[Backdate(ONE), Backdate("app/src/main.rs"), Backdate(SIB)])?;
    shop.restore()?;
    wrong.extend(shop.judge(&Step("edited", &[], "one=2", "app", Same))?);
    nothing_is(&wrong);
    Ok(())
}

#[test]
fn branches_that_take_turns_are_built_each_from_its_own_sources() -> Result {
    let mut shop = pair(&manifest("app", &["../sib"]))?;
    #[rustfmt::skip]
    let wrong = shop.walk(&[
        Step("cold", &[], "one=1 sib=s", "sib app", Same),
        Step("to a new branch", &[Git("app", &["checkout", "-q", "-b", "dev"]),
                                  Write(ONE, "pub const SAY: &str = \"2\";\n")], "one=2", "app", Same),
        Step("back", &[Git("app", &["checkout", "-q", "main"])], "one=1", "app", Fewer("app")),
        Step("forth", &[Git("app", &["checkout", "-q", "dev"])], "one=2", "app", Fewer("app")),
        Step("the sibling's branch", &[Git("sib", &["checkout", "-q", "-b", "dev"]),
                                       Write(SIB, "pub const SAY: &str = \"t\";\n")],
            "sib=t", "sib app", Same),
        Step("both back", &[Git("app", &["checkout", "-q", "main"]),
                            Git("sib", &["checkout", "-q", "main"])], "one=1 sib=s", "sib app", Fewer("sib app")),
    ])?;
    nothing_is(&wrong);
    Ok(())
}

/// Units built after a restore from a host with a wrong clock may stay dirty until the right clock has caught up. So
/// only the first build is judged, and cargo need not compile less.
#[test]
fn a_wrong_clock_hides_no_change() -> Result {
    let mut wrong = Vec::new();
    for (why, secs) in [("an hour ahead", 3600), ("an hour behind", -3600)] {
        let mut shop = pair(&manifest("app", &["../sib"]))?;
        shop.clone_anew()?;
        wrong.extend(shop.judge(&Step(why, &[], "one=1 sib=s", "sib app", Same))?);
        shop.shift_mtimes(secs)?;
        shop.save()?;
        shop.clone_anew()?;
        shop.restore()?;
        let step = format!("{why}, nothing");
        wrong.extend(shop.judge(&Step(&step, &[], "", "", Same))?);
        shop.edit(Kept, &[Write(ONE, "pub const SAY: &str = \"2\";\n")])?;
        shop.commit()?;
        shop.clone_anew()?;
        shop.restore()?;
        let (want, got) = (shop.build(Kept)?, shop.build(Wiped)?);
        if got != want {
            wrong.push(format!("{why}, edited: {got:?} instead of {want:?}"));
        }
    }
    nothing_is(&wrong);
    Ok(())
}

#[test]
fn an_uncleaned_workspace_is_as_good_as_a_new_one() -> Result {
    let mut shop = pair(&manifest("app", &["../sib"]))?;
    let mut wrong = shop.open("cold", "one=1 sib=s", "sib app")?;
    let pull = |shop: &Workshop| -> Result {
        shop.commit()?;
        shop.git(Wiped, "app", &["checkout", "-q", "--", "."])?;
        shop.git(Wiped, "app", &["clean", "-q", "-f"])?;
        shop.git(Wiped, "app", &["pull", "-q", "--ff-only"]).map(drop)
    };
    shop.edit(Kept, &[Write(ONE, "pub const SAY: &str = \"2\";\n")])?;
    pull(&shop)?;
    shop.restore()?;
    wrong.extend(shop.judge(&Step("pulled", &[], "one=2", "app", Same))?);
    // Not saved: the restore brings back the build of the first commit.
    shop.edit(Kept, &[Write(ONE, "pub const SAY: &str = \"1\";\n")])?;
    pull(&shop)?;
    shop.restore()?;
    wrong.extend(shop.judge(&Step("pulled back", &[], "one=1", "app", Fewer("app")))?);
    shop.edit(Kept, &[Write(ONE, "pub const SAY: &str = \"3\";\n")])?;
    pull(&shop)?;
    wrong.extend(shop.judge(&Step("not restored", &[], "one=3", "app", Same))?);
    // The tree in the workspace is newer than any that a restore would bring.
    shop.restore()?;
    wrong.extend(shop.judge(&Step("ahead of the store", &[], "", "", Same))?);
    nothing_is(&wrong);
    Ok(())
}

/// The build script that is fresh in the restored tree wrote another file than the one in the checkout. Cargo would not
/// run it again.
#[test]
fn files_that_a_newer_build_left_beside_the_sources_are_not_compiled_in() -> Result {
    let app = manifest("app", &[]);
    let mut shop =
        Workshop::new(&generating("/target\ngenerated.rs\nCargo.lock\n", &app, INTO_SRC))?;
    let mut wrong = shop.open("cold", "g=g", ALL_GENERATING)?;
    for text in ["h", "g"] {
        shop.edit(Kept, &[Write("app/in.txt", text)])?;
        shop.commit()?;
        shop.git(Wiped, "app", &["pull", "-q", "--ff-only"])?;
        if text == "h" {
            // Not saved.
            wrong.extend(shop.judge(&Step("newer", &[], "g=h", "app/run app", Same))?);
        }
    }
    shop.restore()?;
    shop.build(Kept)?;
    let got = shop.build(Wiped)?.prints["g"].clone();
    if got != "g" {
        wrong.push(format!("older: printed {got}"));
    }
    nothing_is(&wrong);
    Ok(())
}

/// Two runners of one host, each with a workspace that it does not clean: a restore puts the other runner's later build
/// over older sources.
#[test]
fn a_restore_killed_anywhere_leaves_nothing_stale() -> Result {
    // Without a sibling, which cargo would build again in another place.
    let mut shop = Workshop::new(&[
        ("app/Cargo.toml", &manifest("app", &[])),
        ("app/.gitignore", "/target\n"),
        ("app/src/main.rs", "mod one;\nfn main() {\nprintln!(\"one={}\", one::SAY);\n}\n"),
        (ONE, "pub const SAY: &str = \"1\";\n"),
    ])?;
    shop.clone_anew()?;
    let mut wrong = shop.judge(&Step("cold", &[], "one=1", "app", Same))?;
    shop.move_to("other");
    shop.edit(Kept, &[Write(ONE, "pub const SAY: &str = \"2\";\n")])?;
    shop.commit()?;
    shop.clone_anew()?;
    assert_eq!(shop.build(Wiped)?.prints["one"], "2");
    shop.save()?;
    shop.move_to("wiped");
    for point in
        ["restore: leased", "restore: staged", "restore: placed", "restore: sources", "nowhere"]
    {
        shop.copy_wiped("again")?;
        shop.move_to("again");
        let mut restore = shop.runner_cache_command("restore");
        let status = restore.env("RUNNER_CACHE_CRASH_AT", point).output()?.status;
        assert_eq!(status.success(), point == "nowhere", "{point}");
        let got = shop.build(Wiped)?.prints["one"].clone();
        if got != "1" {
            wrong.push(format!("killed at `{point}`: printed {got}"));
        }
        shop.move_to("wiped");
    }
    nothing_is(&wrong);
    Ok(())
}

#[test]
fn a_moved_workspace_is_fresh_but_for_build_scripts_and_what_lies_outside() -> Result {
    let app = manifest("app", &["part"]);
    let mut shop = Workshop::new(&[
        ("app/Cargo.toml", &app),
        ("app/.gitignore", "/target\n"),
        ("app/src/main.rs", "fn main() {\nprintln!(\"part={}\", part::SAY);\n}\n"),
        ("app/part/Cargo.toml", &manifest("part", &[])),
        ("app/part/src/lib.rs", "pub const SAY: &str = \"p\";\n"),
    ])?;
    let mut wrong = shop.open("cold, no script", "part=p", "part app")?;
    shop.move_to("moved");
    shop.clone_anew()?;
    shop.restore()?;
    wrong.extend(shop.judge(&Step("no script", &[], "", "", Same))?);

    let mut shop = Workshop::new(&[
        ("app/Cargo.toml", &app),
        ("app/.gitignore", "/target\n"),
        ("app/src/main.rs", "fn main() {\nprintln!(\"part={}\", part::SAY);\n}\n"),
        ("app/part/Cargo.toml", &manifest("part", &[])),
        ("app/part/build.rs", INTO_OUT_DIR),
        ("app/part/in.txt", "p"),
        ("app/part/src/lib.rs", FROM_OUT_DIR),
    ])?;
    wrong.extend(shop.open("cold", "part=p", "part part/build part/run app")?);
    shop.move_to("moved");
    shop.clone_anew()?;
    shop.restore()?;
    // A build script knows its path, and may have written it down.
    wrong.extend(shop.judge(&Step("a script", &[], "", "", More("part part/run app")))?);
    shop.edit(Kept, &[Write("app/part/in.txt", "q")])?;
    shop.commit()?;
    shop.clone_anew()?;
    shop.restore()?;
    wrong.extend(shop.judge(&Step(
        "a script, edited",
        &[],
        "part=q",
        "part/run part app",
        Same,
    ))?);

    let mut shop = pair(&manifest("app", &["../sib"]))?;
    wrong.extend(shop.open("with a sibling", "one=1 sib=s", "sib app")?);
    shop.move_to("moved");
    shop.edit(Kept, &[Write(SIB, "pub const SAY: &str = \"t\";\n")])?;
    shop.commit()?;
    shop.clone_anew()?;
    shop.restore()?;
    wrong.extend(shop.judge(&Step("with a sibling, edited", &[], "sib=t", "sib app", Same))?);
    shop.save()?;
    shop.move_to("moved-again");
    shop.clone_anew()?;
    shop.restore()?;
    // Cargo hashes the sibling's path.
    wrong.extend(shop.judge(&Step("with a sibling", &[], "", "", More("sib app")))?);
    nothing_is(&wrong);
    Ok(())
}

#[test]
fn the_nearest_tree_is_as_sound_as_the_exact_one() -> Result {
    let mut shop = pair(&manifest("app", &["../sib"]))?;
    let mut wrong = shop.open("cold", "one=1 sib=s", "sib app")?;
    shop.add_repo(
        "low",
        &[
            ("Cargo.toml", &manifest("low", &[])),
            (".gitignore", "/target\nCargo.lock\n"),
            ("src/lib.rs", "pub const SAY: &str = \"l\";\n"),
        ],
    )?;
    #[rustfmt::skip]
    wrong.extend(shop.walk(&[
        Step("a dependency more", &[Write("sib/Cargo.toml", &manifest("sib", &["../low"])),
                                    Write(SIB, "pub use low::SAY;\n")],
            "sib=l", "low sib app", Same),
        Step("nothing", &[], "", "", Same),
        Step("a dependency less", &[Write("sib/Cargo.toml", &manifest("sib", &[])),
                                    Write(SIB, "pub const SAY: &str = \"t\";\n")],
            "sib=t", "sib app", Same),
    ])?);
    nothing_is(&wrong);
    Ok(())
}

/// A host whose clock is ahead saved a tree, in a job that did not know of the sibling. The sibling's files are
/// unknown, so they must look new, even in an old clone by the right clock.
#[test]
fn a_dependency_that_no_save_recorded_is_never_stale() -> Result {
    let mut shop = pair(&manifest("app", &["../sib"]))?;
    let dependencies = std::mem::take(&mut shop.dependencies);
    shop.clone_anew()?;
    let mut wrong = shop.judge(&Step("cold", &[], "one=1 sib=s", "sib app", Same))?;
    shop.shift_mtimes(3600)?;
    shop.save()?;
    shop.dependencies = dependencies;
    shop.edit(Kept, &[Write(SIB, "pub const SAY: &str = \"t\";\n")])?;
    shop.commit()?;
    shop.clone_anew()?;
    shop.restore()?;
    let (want, got) = (shop.build(Kept)?, shop.build(Wiped)?);
    if got != want {
        wrong.push(format!("{got:?} instead of {want:?}"));
    }
    nothing_is(&wrong);
    Ok(())
}

/// The dependency's own target and the repo's target come from saves of different commits.
#[test]
fn two_areas_that_saw_different_sources_are_both_sound() -> Result {
    let mut shop = pair(&manifest("app", &["../sib"]))?;
    let build = |shop: &mut Workshop, side| -> Result<(Vec<String>, Vec<String>)> {
        let mut compiled = Vec::new();
        for dir in ["app", "sib"] {
            dir.clone_into(&mut shop.works_in);
            compiled.push(shop.build(side)?.compiled.into_iter().collect());
        }
        "app".clone_into(&mut shop.works_in);
        let [app, sib] = compiled.try_into().map_err(|_| "two builds")?;
        Ok((app, sib))
    };
    let names = |app: &[&str], sib: &[&str]| {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        (owned(app), owned(sib))
    };
    shop.clone_anew()?;
    for side in [Kept, Wiped] {
        assert_eq!(build(&mut shop, side)?, names(&["app", "sib"], &["sib"]));
    }
    shop.save()?;
    shop.clone_anew()?;
    shop.restore()?;
    assert_eq!(build(&mut shop, Wiped)?, names(&[], &[]), "both come back");

    shop.edit(Kept, &[Write(SIB, "pub const SAY: &str = \"t\";\n")])?;
    shop.commit()?;
    shop.clone_anew()?;
    shop.restore()?;
    assert_eq!(shop.build(Wiped)?.compiled.len(), 2, "app and sib, in the repo's target");
    shop.options = vec!["--areas", "target"];
    shop.save()?;
    shop.options.clear();
    shop.clone_anew()?;
    shop.restore()?;
    // The sibling's target was built from the first commit. A file has only one mtime, so the repo's target builds
    // again units that it could have kept.
    assert_eq!(build(&mut shop, Wiped)?, names(&["app", "sib"], &["sib"]));
    assert_eq!(build(&mut shop, Wiped)?, names(&[], &[]));
    assert_eq!(shop.build(Wiped)?.prints["sib"], "t");
    Ok(())
}

/// In a clean build the script would rewrite the file. Cargo finds the script fresh, so it must not compile the
/// checkout's version instead.
#[test]
fn a_tracked_file_that_a_build_script_rewrites_is_not_taken_from_the_checkout() -> Result {
    let app = manifest("app", &[]);
    let mut shop = Workshop::new(&generating("/target\n", &app, INTO_SRC))?;
    shop.edit(Kept, &[Write("app/src/generated.rs", "pub const SAY: &str = \"old\";\n")])?;
    shop.commit()?;
    let mut wrong = shop.open("cold", "g=g", ALL_GENERATING)?;
    shop.clone_anew()?;
    shop.restore()?;
    let got = shop.build(Wiped)?.prints["g"].clone();
    if got != "g" {
        wrong.push(format!("restored: printed {got}"));
    }
    nothing_is(&wrong);
    Ok(())
}

#[test]
fn a_script_that_watches_what_no_checkout_brings_runs_again() -> Result {
    let app = manifest("app", &[]);
    let mut wrong = Vec::new();
    for (why, watched, ignored) in [
        ("a directory with an ignored file", "d", "/target\ntmp\n"),
        ("an ignored directory", "made", "/target\n/made/\n"),
    ] {
        let script = INTO_OUT_DIR.replace("=in.txt", &format!("={watched}"));
        let mut shop = Workshop::new(&[
            ("app/Cargo.toml", &app),
            ("app/.gitignore", ignored),
            ("app/build.rs", &script),
            ("app/in.txt", "i"),
            ("app/d/a", ""),
            (
                "app/src/main.rs",
                "mod out { include!(concat!(env!(\"OUT_DIR\"), \"/out.rs\")); }\n\
                fn main() {\nprintln!(\"g={}\", out::SAY);\n}\n",
            ),
        ])?;
        shop.clone_anew()?;
        for side in [Kept, Wiped] {
            shop.edit(side, &[Write("app/d/tmp", ""), Write("app/made/x", "")])?;
        }
        wrong.extend(shop.judge(&Step(why, &[], "g=i", ALL_GENERATING, Same))?);
        shop.save()?;
        shop.clone_anew()?;
        shop.edit(Wiped, &[Write("app/made/x", "")])?;
        shop.restore()?;
        wrong.extend(shop.judge(&Step(why, &[], "", "", More("app/run app")))?);
    }
    nothing_is(&wrong);
    Ok(())
}

/// Git's files here are older than the restored tree, which was built in another commit.
#[test]
fn a_script_that_watches_a_commit_sees_that_the_tree_is_of_another() -> Result {
    let script = "fn main() {\nprintln!(\"cargo::rerun-if-changed=.git/HEAD\");\n\
        println!(\"cargo::rerun-if-changed=.git/refs/heads/main\");\n\
        let main = std::fs::read_to_string(\".git/refs/heads/main\").unwrap();\n\
        println!(\"cargo::rustc-env=COMMIT={}\", main.trim());\n}\n";
    let shop = Workshop::new(&[
        ("app/Cargo.toml", &manifest("app", &[])),
        ("app/.gitignore", "/target\n"),
        ("app/build.rs", script),
        ("app/src/main.rs", "fn main() {\nprintln!(\"commit={}\", env!(\"COMMIT\"));\n}\n"),
    ])?;
    shop.clone_anew()?;
    let old = shop.git(Wiped, "app", &["rev-parse", "HEAD"])?;
    shop.copy_wiped("uncleaned")?;
    shop.edit(Kept, &[Write("app/new", "")])?;
    shop.commit()?;
    shop.clone_anew()?;
    shop.build(Wiped)?;
    shop.save()?;
    std::fs::remove_dir_all(shop.path(Wiped, ""))?;
    std::fs::rename(shop.path(Kept, "../uncleaned"), shop.path(Kept, "../wiped"))?;
    shop.restore()?;
    assert_eq!(shop.build(Wiped)?.prints["commit"], old.trim());
    Ok(())
}

/// A build script that watches a branch makes cargo name git's own files as sources.
#[test]
fn a_restore_leaves_git_alone() -> Result {
    let app = manifest("app", &[]);
    let watches = "println!(\"cargo::rerun-if-changed=.git/HEAD\");\n\
        println!(\"cargo::rerun-if-changed=.git/refs/heads/main\");";
    let script = INTO_OUT_DIR.replace(WATCHES, watches);
    let mut shop = Workshop::new(&[
        ("app/Cargo.toml", &app),
        ("app/.gitignore", "/target\n"),
        ("app/build.rs", &script),
        ("app/in.txt", "i"),
        ("app/src/main.rs", "fn main() {}\n"),
    ])?;
    shop.open("cold", "", ALL_GENERATING)?;
    shop.clone_anew()?;
    // A checkout of a pull request has no branch at all.
    shop.git(Wiped, "app", &["checkout", "-q", "--detach"])?;
    shop.git(Wiped, "app", &["branch", "-q", "-D", "main"])?;
    let head = std::fs::read(shop.path(Wiped, "app/.git/HEAD"))?;
    shop.restore()?;
    assert_eq!(shop.git(Wiped, "app", &["for-each-ref", "refs/heads"])?, "");
    assert_eq!(std::fs::read(shop.path(Wiped, "app/.git/HEAD"))?, head);
    Ok(())
}

/// A failed job ran a build script, and compiled nothing of the file that it wrote into `src/`. So no dep-info named
/// the file, and the next job found the script fresh and the file missing.
#[test]
fn files_of_a_script_are_kept_although_the_job_failed_before_they_were_compiled() -> Result {
    let app = manifest("app", &["../dep"]);
    let mut shop = Workshop::new(&[
        ("app/Cargo.toml", &app),
        ("app/.gitignore", "/target\n/src/generated.rs\n"),
        ("app/build.rs", INTO_SRC),
        ("app/in.txt", "said\n"),
        (
            "app/src/main.rs",
            "mod generated;\nfn main() { dep::call();\nprintln!(\"say={}\", generated::SAY); }\n",
        ),
        ("dep/Cargo.toml", &manifest("dep", &[])),
        ("dep/src/lib.rs", "compile_error!(\"not yet\");\n"),
    ])?;
    shop.commit()?;
    shop.clone_anew()?;
    shop.cargo = vec!["build", "--keep-going"];
    assert!(shop.build(Wiped).is_err());
    assert!(shop.path(Wiped, "app/src/generated.rs").exists(), "the script has run");
    shop.save()?;

    shop.cargo = vec!["build"];
    shop.edit(Kept, &[Write("dep/src/lib.rs", "pub fn call() {}\n")])?;
    shop.commit()?;
    for round in ["the next job", "the one after"] {
        shop.clone_anew()?;
        shop.restore()?;
        let built = shop.build(Wiped).map_err(|error| format!("{round}: {error}"))?;
        assert_eq!(built.prints["say"], "said", "{round}");
        shop.save()?;
    }
    Ok(())
}
