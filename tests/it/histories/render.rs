//! The files of a world: manifests, sources and the lock file, as a checkout brings them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::world::{Home, Kind, Package, Part, World};

/// The git dependency, with the revisions committed so far.
#[derive(Clone, Debug, Default)]
pub(super) struct GitDependency {
    pub(super) url: String,
    /// The hash of each of its revisions.
    pub(super) revisions: Vec<String>,
}

/// A file: its bytes, and whether it is executable.
pub(super) type File = (String, bool);

/// The placeholder for a checksum of a vendored package in `Cargo.lock`.
const CHECKSUM: &str = "00000000000000000000000000000000000000000000000000000000000000cc";

/// Returns the files of `world`, as `repo/path`.
pub(super) fn render(world: &World, git: &GitDependency) -> BTreeMap<String, File> {
    let mut files = BTreeMap::new();
    for package in &world.packages {
        let dir = package.dir();
        if let Some(script) = &package.script {
            for (name, value) in &script.inputs {
                let is_executable = name == "a" && package.is_executable;
                files.insert(format!("{dir}/in/{name}"), (value.clone(), is_executable));
            }
        }
        let mut put = |path: &str, text: String| {
            files.insert(format!("{dir}/{path}"), (text, false));
        };
        put("Cargo.toml", manifest(world, package, git));
        if let Some(script) = &package.script {
            put("build.rs", script.code());
        }
        if package.home == Home::Vendored {
            put(".cargo-checksum.json", format!("{{\"files\":{{}},\"package\":\"{CHECKSUM}\"}}"));
        }
        let texts = package.parts.iter().map(|part| (package.file_of(part), part.text()));
        let texts: Vec<_> = texts.collect();
        if package.home.is_beside() || package.home == Home::Submodule {
            put(".gitignore", "/target\nCargo.lock\ngenerated.rs\n".to_owned());
        }
        files.extend(texts.into_iter().map(|(path, text)| (path, (text, false))));
        let root = if package.home.is_program() { "src/main.rs" } else { "src/lib.rs" };
        let mut code = if package.home.is_macro() { macros(package) } else { code(world, package) };
        if world.is_broken(package) {
            code += "compile_error!(\"broken on purpose\");\n";
        }
        files.insert(format!("{dir}/{root}"), (code, package.is_executable));
    }
    let mut put = |path: &str, text: String| {
        files.insert(path.to_owned(), (text, false));
    };
    let ignored = if world.has_lock { "" } else { "Cargo.lock\n" };
    // Tracked files count, even if git ignores them: in `target/idl`, and in the odd submodules.
    put("app/.gitignore", format!("target\n/n*[13579]\ngenerated.rs\n{ignored}"));
    put(
        "app/.cargo/config.toml",
        "[source.crates-io]\nreplace-with = 'vendored'\n[source.vendored]\ndirectory = 'vendor'\n"
            .to_owned(),
    );
    put("app/vendor/README", "What stands for the registry.\n".to_owned());
    for (index, program) in world.packages.iter().enumerate() {
        if world.has_lock && program.home.is_program() {
            put(&format!("{}/Cargo.lock", program.dir()), lock(world, index, git));
        }
    }
    files
}

impl Package {
    /// Returns its directory, relative to the parent of all repos.
    fn dir(&self) -> String {
        match self.home {
            Home::Root => "app".to_owned(),
            Home::Member | Home::Macro | Home::Submodule | Home::Second => {
                format!("app/{}", self.name)
            }
            Home::Sibling | Home::MacroBeside => self.name.clone(),
            Home::Vendored => format!("app/vendor/{}", self.name),
        }
    }

    /// Returns the path of a part's file, relative to the parent of all repos.
    fn file_of(&self, part: &Part) -> String {
        if self.is_beyond(part) {
            format!("app/{}-of-{}.txt", part.file, self.name)
        } else {
            format!("{}/{}", self.dir(), part.path())
        }
    }
}

impl Part {
    fn text(&self) -> String {
        match self.kind {
            Kind::Source => format!("pub const SAY: &str = \"{}\";\n", self.value),
            Kind::Text | Kind::Bytes | Kind::Asked | Kind::Tracked => self.value.clone(),
        }
    }

    /// Returns the expression for its value, in the code of a package.
    fn expression(&self, package: &Package) -> String {
        let path = self.path();
        match self.kind {
            Kind::Text if package.is_beyond(self) => {
                format!("include_str!(\"../../{}-of-{}.txt\")", self.file, package.name)
            }
            Kind::Source => format!("{}::SAY", self.name),
            Kind::Text | Kind::Tracked => format!("include_str!(\"../{path}\")"),
            Kind::Bytes => {
                format!("core::str::from_utf8(include_bytes!(\"../{path}\")).unwrap_or(\"?\")")
            }
            Kind::Asked => format!("mac::asked!(\"{path}\")"),
        }
    }
}

/// Returns the crate root of a library or the program.
fn code(world: &World, package: &Package) -> String {
    let mut modules = format!("// {}\n", package.comment);
    let mut calls = String::new();
    let mut call = |what: &str, value: &str| {
        writeln!(calls, "to(\"{what}\", {value});").expect("a String takes all");
    };
    let name = &package.name;
    for part in &package.parts {
        call(&format!("{name}.{}", part.name), &part.expression(package));
        if part.kind == Kind::Source {
            writeln!(modules, "#[path = \"{}.rs\"]\nmod {};", part.file, part.name)
                .expect("a String takes all");
        }
    }
    if let Some(script) = &package.script {
        modules += script.module();
        call(&format!("{name}.script"), "generated::SAY");
    }
    call(&format!("{name}.extra"), "if cfg!(feature = \"extra\") { \"on\" } else { \"off\" }");
    call(&format!("{name}.version"), "env!(\"CARGO_PKG_VERSION\")");
    call(&format!("{name}.shop"), "option_env!(\"SHOP\").unwrap_or(\"none\")");
    let mut tails = Vec::new();
    for used in package.uses.iter().map(|index| &world.packages[*index]) {
        if used.home.is_macro() {
            let script = used.script.iter().map(|_| "script");
            for value in used.parts.iter().map(|part| part.name.as_str()).chain(script) {
                call(&format!("mac.{value}"), &format!("mac::{value}!()"));
            }
        } else {
            tails.push(format!("{}::say(to);\n", used.name));
        }
    }
    let is_program = package.home.is_program();
    if package.home == Home::Root {
        call("app.profile", "if cfg!(debug_assertions) { \"debug\" } else { \"release\" }");
        tails.extend(world.revision.map(|_| "gitdep::say(to);\n".to_owned()));
    }
    let say = if is_program { "fn say" } else { "pub fn say" };
    let attribute = if is_program { "" } else { "#![no_std]\n" };
    let main = if is_program {
        "fn main() {\nsay(&mut |name, value| println!(\"{name}={value}\"));\n}\n"
    } else {
        ""
    };
    let tails = tails.concat();
    format!(
        "{attribute}{modules}{say}(to: &mut dyn FnMut(&str, &str)) {{\n{calls}{tails}}}\n{main}"
    )
}

/// Returns the crate root of a package of procedural macros: a macro for each of its values, and
/// one that reads a file of its caller.
fn macros(package: &Package) -> String {
    let mut code = format!("// {}\nuse proc_macro::TokenStream;\n", package.comment);
    let mut add = |name: &str, value: &str| {
        write!(
            code,
            "#[proc_macro]\npub fn {name}(_: TokenStream) -> TokenStream {{\n\
             format!(\"{{:?}}\", {value}).parse().unwrap()\n}}\n"
        )
        .expect("a String takes all");
    };
    for part in &package.parts {
        add(&part.name, &part.expression(package));
    }
    if let Some(script) = &package.script {
        add("script", "generated::SAY");
        code += script.module();
    }
    // Cargo knows of the file only because the code also includes it.
    code + "#[proc_macro]\npub fn asked(file: TokenStream) -> TokenStream {\n\
        let file = file.to_string();\n\
        let dir = std::env::var(\"CARGO_MANIFEST_DIR\").unwrap();\n\
        let path = format!(\"{dir}/{}\", file.trim_matches('\"'));\n\
        let text = std::fs::read_to_string(&path).unwrap();\n\
        format!(\"{{ const _: &[u8] = include_bytes!({path:?}); {text:?} }}\").parse().unwrap()\n}\n"
}

fn manifest(world: &World, package: &Package, git: &GitDependency) -> String {
    let mut text = format!(
        "[package]\nname = '{}'\nversion = '0.1.{}'\nedition = '2024'\n",
        package.name, package.patch
    );
    let used: Vec<_> = package.uses.iter().map(|index| &world.packages[*index]).collect();
    if package.home.is_macro() {
        text += "[lib]\nproc-macro = true\n";
    } else {
        let extras = used.iter().filter(|used| !used.home.is_macro());
        let extras: Vec<_> = extras.map(|used| format!("'{}/extra'", used.name)).collect();
        write!(text, "[features]\nextra = [{}]\n", extras.join(", ")).expect("a String takes all");
    }
    text += "[dependencies]\n";
    // The path from a package to the parent of all repos.
    let up = "../".repeat(package.dir().split('/').count());
    for used in used {
        let source = match used.home {
            Home::Vendored => "version = '0.1'".to_owned(),
            _ => format!("path = '{up}{}'", used.dir()),
        };
        writeln!(text, "{} = {{ {source} }}", used.name).expect("a String takes all");
    }
    if package.home == Home::Root {
        if let Some(revision) = world.revision {
            let (url, revision) = (&git.url, &git.revisions[revision]);
            writeln!(text, "gitdep = {{ git = '{url}', rev = '{revision}' }}")
                .expect("a String takes all");
        }
        let members = world.packages.iter().filter(|package| package.dir().starts_with("app/"));
        let members =
            members.filter(|package| !matches!(package.home, Home::Vendored | Home::Second));
        let members: Vec<_> = members.map(|package| format!("'{}'", package.name)).collect();
        write!(
            text,
            "[workspace]\nmembers = [{}]\nexclude = ['vendor', 'fz']\n[profile.dev]\nopt-level = {}\n",
            members.join(", "),
            world.opt_level
        )
        .expect("a String takes all");
    }
    if package.home == Home::Second {
        text += "[workspace]\n";
    }
    text
}

/// Returns the lock file that cargo would write for the program `index`.
fn lock(world: &World, index: usize, git: &GitDependency) -> String {
    let mut entries = BTreeMap::new();
    for package in world.with_used(index).into_iter().map(|index| &world.packages[index]) {
        let mut used: Vec<_> =
            package.uses.iter().map(|index| world.packages[*index].name.as_str()).collect();
        if package.home == Home::Root && world.revision.is_some() {
            used.push("gitdep");
        }
        used.sort_unstable();
        let mut entry = format!("version = \"0.1.{}\"\n", package.patch);
        if package.home == Home::Vendored {
            write!(
                entry,
                "source = \"registry+https://github.com/rust-lang/crates.io-index\"\n\
                 checksum = \"{CHECKSUM}\"\n"
            )
            .expect("a String takes all");
        }
        if !used.is_empty() {
            let used = used.join("\",\n \"");
            write!(entry, "dependencies = [\n \"{used}\",\n]\n").expect("a String takes all");
        }
        entries.insert(package.name.as_str(), entry);
    }
    if let Some(revision) = world.revision.filter(|_| entries.contains_key("app")) {
        let (url, revision) = (&git.url, &git.revisions[revision]);
        let entry =
            format!("version = \"0.1.0\"\nsource = \"git+{url}?rev={revision}#{revision}\"\n");
        entries.insert("gitdep", entry);
    }
    let mut text = "# This file is automatically @generated by Cargo.\n\
        # It is not intended for manual editing.\nversion = 4\n"
        .to_owned();
    for (name, entry) in entries {
        write!(text, "\n[[package]]\nname = \"{name}\"\n{entry}").expect("a String takes all");
    }
    text
}
