//! The launchers in `dist/`, loaded by real nodes as a runner loads them.
//!
//! The system's shell, under the program's name, stands in for the program. Called as
//! `runner-cache action main`, a shell runs the script `action` of the working directory with the argument
//! `main`. So each test defines the program in a line or two, and sees the environment of a program
//! that was executed itself, without a `#!`.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::{Result, pinned_bin, succeed, write};

/// The variables with the nodes that runners bring along.
const NODES: [&str; 2] = ["RUNNER_CACHE_NODE_20", "RUNNER_CACHE_NODE_24"];

const REPO: &str = env!("CARGO_MANIFEST_DIR");

/// The path of the program below the tool cache's root.
const INSTALLED: &str = concat!("runner-cache/", env!("CARGO_PKG_VERSION"), "/x64/runner-cache");
const MARKER: &str = concat!("runner-cache/", env!("CARGO_PKG_VERSION"), "/x64.complete");

/// A runner's directories, with the action in them and no program yet.
struct Runner {
    _dir: TempDir,
    base: PathBuf,
}

impl Runner {
    fn new() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("runner-cache-it-").tempdir()?;
        let base = dir.path().canonicalize()?;
        let runner = Self { _dir: dir, base };
        for file in ["main.node", "post.node", "chain.node", "package.json"] {
            let bytes = fs::read(Path::new(REPO).join("dist").join(file))?;
            write(&runner.action(), format!("dist/{file}"), bytes)?;
        }
        runner.installer("echo '::error::installed by nobody'; exit 1")?;
        fs::create_dir(runner.path("work"))?;
        fs::create_dir(runner.path("home"))?;
        Ok(runner)
    }

    /// Creates a runner in which the program lies beside the launcher and runs `script`.
    fn with_program(script: &str) -> Result<Self> {
        let runner = Self::new()?;
        runner.program(&runner.action().join("dist/bin/runner-cache"))?;
        runner.script(script)?;
        Ok(runner)
    }

    fn path(&self, below: &str) -> PathBuf {
        self.base.join(below)
    }

    /// Returns the action's folder.
    fn action(&self) -> PathBuf {
        self.path("actions/owner/cache/v1")
    }

    /// Returns the launcher of the main step.
    fn launcher(&self) -> PathBuf {
        self.action().join("dist/main.node")
    }

    /// Puts the program at `path`.
    fn program(&self, path: &Path) -> Result {
        write(&self.base, path, fs::read("/bin/sh")?)?;
        Ok(fs::set_permissions(path, PermissionsExt::from_mode(0o755))?)
    }

    /// Makes the program run `script`.
    fn script(&self, script: &str) -> Result {
        write(&self.path("work"), "action", script)
    }

    /// Makes the installer run `script`.
    fn installer(&self, script: &str) -> Result {
        write(&self.action(), "dist/install.sh", script)
    }

    /// Returns `node` without our environment; a launcher is to be added.
    fn node(&self, node: &OsStr) -> Command {
        let mut command = Command::new(node);
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", self.path("home"))
            .env("RUNNER_TOOL_CACHE", self.path("tool"))
            .current_dir(self.path("work"))
            .stdin(Stdio::null());
        command
    }

    /// Returns the command by which the runner starts the step `stage`.
    fn step(&self, node: &OsStr, stage: &str) -> Command {
        let mut command = self.node(node);
        command.arg(self.action().join(format!("dist/{stage}.node")));
        command
    }
}

/// Returns every node, with the variable that names it.
fn nodes() -> Result<Vec<(&'static str, OsString)>> {
    let node = |name| match std::env::var_os(name) {
        Some(node) => Ok((name, node)),
        None => {
            Err(format!("{name} is not set: run scripts/check, or set it to a node's path").into())
        }
    };
    NODES.into_iter().map(node).collect()
}

/// Fails unless a step ended with `status` after printing `stdout`.
fn expect(output: &Output, status: i32, stdout: &str, why: &str) -> Result {
    let printed = String::from_utf8_lossy(&output.stdout);
    if output.status.code() == Some(status) && printed == stdout {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{why}: {}, stdout {printed:?}, stderr:\n{said}", output.status).into())
}

/// Starts a step, waits for its first line, and returns that too.
fn start(command: &mut Command) -> Result<(Child, BufReader<std::process::ChildStdout>, String)> {
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let mut stdout = BufReader::new(child.stdout.take().ok_or("stdout is piped")?);
    let mut line = String::new();
    stdout.read_line(&mut line)?;
    Ok((child, stdout, line.trim_end().to_owned()))
}

/// Sends `signal` to this process alone, as a runner does.
fn signal(child: &Child, signal: Signal) -> Result {
    let process = Pid::from_raw(i32::try_from(child.id())?).ok_or("a child has a number")?;
    Ok(kill_process(process, signal)?)
}

#[test]
fn streams_arguments_and_exit_status_are_the_programs() -> Result {
    let script =
        "read line; tr '\\0' '|' </proc/$$/cmdline; echo \" $line\"; echo said >&2; exit 7";
    let runner = Runner::with_program(script)?;
    for (name, node) in nodes()? {
        for stage in ["main", "post", "chain"] {
            let mut step = runner.step(&node, stage);
            step.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = step.spawn()?;
            child.stdin.take().ok_or("stdin is piped")?.write_all(b"input\n")?;
            let output = child.wait_with_output()?;
            let stdout = format!("runner-cache|action|{stage}| input\n");
            expect(&output, 7, &stdout, &format!("{name}, {stage}"))?;
            assert_eq!(String::from_utf8(output.stderr)?, "said\n", "{name}, {stage}");
        }
    }
    Ok(())
}

#[test]
fn nothing_that_node_does_to_signals_and_streams_reaches_the_program() -> Result {
    let script = "while read name value; do case $name in
            SigIgn: | SigBlk:) echo $((0x$value & 0x7fffffff)) ;; esac; done </proc/$$/status
        for file in 0 1 2; do while read name value; do case $name in
            flags:) echo $((value & 04000)) ;; esac; done </proc/$$/fdinfo/$file; done";
    // Leaves out real-time signals: glibc makes spawned processes ignore the two that it uses
    // itself.
    let runner = Runner::with_program(script)?;
    // It makes node's streams non-blocking, as anything does that prints before us.
    write(
        &runner.base,
        "loud.js",
        "process.stdout.write('loud\\n'); process.stderr.write('loud\\n')",
    )?;
    let loud = format!("--require={}", runner.path("loud.js").display());
    for (name, node) in nodes()? {
        let output = runner.step(&node, "main").env("NODE_OPTIONS", &loud).output()?;
        expect(&output, 0, "loud\n0\n0\n0\n0\n0\n", name)?;
    }
    Ok(())
}

#[test]
fn the_environment_is_whole_whatever_is_in_it() -> Result {
    let runner = Runner::with_program("cat /proc/$$/environ; exit")?;
    let (path, home, tool) =
        (OsString::from("/usr/bin:/bin"), runner.path("home"), runner.path("tool"));
    let mut variables = BTreeMap::from([
        ("PATH".into(), path),
        ("HOME".into(), home.into_os_string()),
        ("RUNNER_TOOL_CACHE".into(), tool.into_os_string()),
    ]);
    #[rustfmt::skip]
    let usual: [(&str, &[u8]); 9] = [
        ("INPUT_CACHE-ROOT",    b"/srv/cache"),
        ("INPUT_DEPENDENCIES",  b"a\nb=../b\r\n"),
        ("INPUT_EMPTY",         b""),
        ("STATE_key",           b"a=b=c"),
        ("GITHUB_WORKSPACE",    b"/w/a b/a b"),
        ("GITHUB_ACTION_PATH",  b"/the/composite"),
        ("ACTIONS_RUNTIME_URL", b"https://example.org/%20?a=b"),
        ("NODE_OPTIONS",        b"--max-old-space-size=64"),
        ("NOT.A-NAME",          b"\xff\xfe"),
    ];
    variables.extend(usual.map(|(name, value)| (name.into(), OsString::from_vec(value.to_vec()))));
    // One and a half MiB in all: more than the initial size of any buffer of ours.
    for number in 0..15 {
        variables.insert(format!("INPUT_LARGE-{number}").into(), "x".repeat(100 << 10).into());
    }
    let mut want: BTreeMap<OsString, OsString> = variables.clone();
    want.insert("RUNNER_CACHE_ACTION_DIR".into(), runner.action().into_os_string());
    // A value left over from another action is replaced.
    variables.insert("RUNNER_CACHE_ACTION_DIR".into(), "/another".into());
    for (name, node) in nodes()? {
        let output = runner.step(&node, "main").env_clear().envs(&variables).output()?;
        let entry = |entry: &[u8]| -> Result<(OsString, OsString)> {
            let equals = entry.iter().position(|byte| *byte == b'=').ok_or("an entry without =")?;
            let (name, value) = (&entry[..equals], &entry[equals + 1..]);
            Ok((OsStr::from_bytes(name).to_owned(), OsStr::from_bytes(value).to_owned()))
        };
        let entries = output.stdout.split(|byte| *byte == 0).filter(|entry| !entry.is_empty());
        let got = entries.map(entry).collect::<Result<Vec<_>>>()?;
        assert_eq!(got.len(), want.len(), "{name}: as many as there are, none twice");
        assert!(got.into_iter().collect::<BTreeMap<_, _>>() == want, "{name}");
    }
    Ok(())
}

#[test]
fn the_program_is_found_however_node_is_called() -> Result {
    /// Prepares the runner and the call; returns the last argument of the call.
    type Call = fn(&Runner, &mut Command) -> Result<PathBuf>;
    #[rustfmt::skip]
    let cases: [(&str, Call); 12] = [
        ("plainly",                |runner, _| Ok(runner.launcher())),
        ("by a relative path",     |_, _| Ok("../actions/owner/cache/v1/dist/main.node".into())),
        ("with a space",           |runner, _| {
            fs::rename(runner.path("actions"), runner.path("the actions"))?;
            symlink(runner.path("the actions"), runner.path("actions"))?;
            Ok(runner.path("the actions/owner/cache/v1/dist/main.node"))
        }),
        ("by a linked folder",     |runner, _| {
            symlink(runner.action(), runner.path("linked"))?;
            Ok(runner.path("linked/dist/main.node"))
        }),
        ("by a linked file",       |runner, _| {
            symlink(runner.launcher(), runner.path("linked.node"))?;
            Ok(runner.path("linked.node"))
        }),
        ("without maglev",         |runner, node| {
            node.arg("--no-maglev");
            Ok(runner.launcher())
        }),
        ("with arguments",         |runner, node| {
            node.arg(runner.launcher());
            Ok("other.node".into())
        }),
        ("with a smaller heap",    |runner, node| {
            node.env("NODE_OPTIONS", "--max-old-space-size=64");
            Ok(runner.launcher())
        }),
        ("with its own title",     |runner, node| {
            node.env("NODE_OPTIONS", "--title=another");
            Ok(runner.launcher())
        }),
        ("below an ES module",     |runner, _| {
            write(&runner.action(), "package.json", "{\"type\":\"module\"}")?;
            Ok(runner.launcher())
        }),
        ("below a broken package", |runner, _| {
            write(&runner.action(), "package.json", "{\"type\":")?;
            Ok(runner.launcher())
        }),
        ("from a read-only file",  |runner, _| {
            fs::set_permissions(runner.launcher(), PermissionsExt::from_mode(0o444))?;
            Ok(runner.launcher())
        }),
    ];
    for (name, node) in nodes()? {
        for (why, call) in cases {
            let runner = Runner::with_program("echo $1 $RUNNER_CACHE_ACTION_DIR; exit 5")?;
            let mut command = runner.node(&node);
            let last = call(&runner, &mut command)?;
            let action = runner.action().canonicalize()?;
            let stdout = format!("main {}\n", action.display());
            expect(&command.arg(last).output()?, 5, &stdout, &format!("{name}, called {why}"))?;
        }
    }
    Ok(())
}

#[test]
fn a_signal_to_the_step_is_one_to_the_program() -> Result {
    let runner = Runner::with_program("echo $$; exec sleep 60")?;
    for (name, node) in nodes()? {
        for sent in [Signal::INT, Signal::TERM] {
            let (mut child, _stdout, printed) = start(&mut runner.step(&node, "main"))?;
            assert_eq!(printed, child.id().to_string(), "{name}: one process from start to end");
            signal(&child, sent)?;
            assert_eq!(child.wait()?.signal(), Some(sent.as_raw()), "{name}");
        }
    }
    Ok(())
}

#[test]
fn the_program_is_the_one_beside_the_launcher_else_the_installed_one() -> Result {
    let (beside, tool) = ("actions/owner/cache/v1/dist/bin/runner-cache", "tool");
    let home = "home/.cache/runner-cache/tool";
    #[rustfmt::skip]
    let cases: [(&str, Option<&str>, &[String], &str); 4] = [
        ("both",              Some("tool"), &[beside.into(), in_cache(tool, INSTALLED), in_cache(tool, MARKER)], beside),
        ("installed",         Some("tool"), &[in_cache(tool, INSTALLED), in_cache(tool, MARKER)], &in_cache(tool, INSTALLED)),
        ("no tool cache",     None,         &[in_cache(home, INSTALLED), in_cache(home, MARKER)], &in_cache(home, INSTALLED)),
        ("empty tool cache",  Some(""),     &[in_cache(home, INSTALLED), in_cache(home, MARKER)], &in_cache(home, INSTALLED)),
    ];
    for (why, tool_cache, files, want) in cases {
        let runner = Runner::new()?;
        runner.script("readlink /proc/$$/exe")?;
        for file in files {
            runner.program(&runner.path(file))?;
        }
        for (name, node) in nodes()? {
            let mut step = runner.step(&node, "post");
            match tool_cache {
                Some("") => step.env("RUNNER_TOOL_CACHE", ""),
                Some(below) => step.env("RUNNER_TOOL_CACHE", runner.path(below)),
                None => step.env_remove("RUNNER_TOOL_CACHE"),
            };
            let stdout = format!("{}\n", runner.path(want).display());
            expect(&step.output()?, 0, &stdout, &format!("{name}, {why}"))?;
        }
    }
    Ok(())
}

fn in_cache(root: &str, below: &str) -> String {
    format!("{root}/{below}")
}

#[test]
fn a_program_that_is_not_there_whole_is_installed_first() -> Result {
    let install = format!(
        "echo installing in $RUNNER_CACHE_ACTION_DIR
        program=$RUNNER_TOOL_CACHE/{INSTALLED}
        rm -f \"$program\" && cp /bin/sh \"$program\" && : >\"$RUNNER_TOOL_CACHE/{MARKER}\""
    );
    for (name, node) in nodes()? {
        let runner = Runner::new()?;
        runner.script("echo running $1")?;
        runner.installer(&install)?;
        // A program without its marker may be incomplete.
        write(&runner.base, format!("tool/{INSTALLED}"), "half")?;
        let installing = format!("installing in {}\n", runner.action().display());
        let stdout = format!("{installing}running main\n");
        expect(&runner.step(&node, "main").output()?, 0, &stdout, name)?;
        expect(&runner.step(&node, "main").output()?, 0, "running main\n", "the next time")?;
    }
    Ok(())
}

#[test]
fn without_a_program_main_fails_with_one_error() -> Result {
    #[rustfmt::skip]
    let cases = [
        ("it says why",    Some("echo '::error::no network'; exit 1"), "::error::no network"),
        ("it says nothing", Some("exit 3"),        "::error title=runner-cache::the installer `ACTION/dist/install.sh` \
             ended with exit status 3 and left no program; what it printed is above"),
        ("it is killed",   Some("kill -9 $$"),     "::error title=runner-cache::the installer `ACTION/dist/install.sh` \
             ended with signal 9 and left no program; what it printed is above"),
        ("it is mistaken", Some("echo done"),      "done\n::error title=runner-cache::the installer `ACTION/dist/install.sh` \
             ended with exit status 0 and left no program; what it printed is above"),
        ("it is not there", None,                  "::error title=runner-cache::the installer `ACTION/dist/install.sh` \
             ended with exit status 2 and left no program; what it printed is above"),
    ];
    let (_, node) = nodes()?.remove(1);
    for (why, installer, want) in cases {
        let runner = Runner::new()?;
        match installer {
            Some(script) => runner.installer(script)?,
            None => fs::remove_file(runner.action().join("dist/install.sh"))?,
        }
        let stdout = want.replace("ACTION", &runner.action().display().to_string()) + "\n";
        expect(&runner.step(&node, "main").output()?, 1, &stdout, why)?;
    }
    Ok(())
}

#[test]
fn a_release_that_cannot_be_downloaded_fails_only_a_step_with_more_to_do_than_the_cache() -> Result
{
    let runner = Runner::new()?;
    runner.installer("echo \"asked $*\"; exit 75")?;
    let error = format!(
        "asked \n::error title=runner-cache::the installer `{}/dist/install.sh` ended with exit \
         status 75 and left no program; what it printed is above\n",
        runner.action().display()
    );
    for (name, node) in nodes()? {
        for (stage, variable, value, status) in [
            ("main", "INPUT_MODE", "restore", 0),
            ("main", "INPUT_MODE", "key", 1),
            ("main", "INPUT_DEPENDENCIES", "o/a@main", 1),
            ("chain", "INPUT_COMMAND", "check", 1),
        ] {
            let output = runner.step(&node, stage).env(variable, value).output()?;
            let stdout = if status == 0 { "asked optional\n" } else { &error };
            expect(&output, status, stdout, &format!("{name}: {stage} with {value}"))?;
        }
    }
    Ok(())
}

#[test]
fn without_a_program_post_warns_and_installs_nothing() -> Result {
    let runner = Runner::new()?;
    runner.installer("echo installing")?;
    for (name, node) in nodes()? {
        let stdout = "::warning title=runner-cache::nothing is saved: the main step did not \
                      install the program, or it was removed\n";
        expect(&runner.step(&node, "post").output()?, 0, stdout, name)?;
    }
    Ok(())
}

#[test]
fn a_program_that_cannot_run_is_an_error_and_of_post_a_warning() -> Result {
    // A program whose loader is missing, such as one for glibc in an Alpine container.
    let mut lost = fs::read("/bin/sh")?;
    let loader = b"/lib64/ld-linux-x86-64.so.2";
    let at = lost.windows(loader.len()).position(|bytes| bytes == loader).ok_or("no loader")?;
    lost[at + 1] = b'X';
    #[rustfmt::skip]
    let cases: [(&str, &[u8], u32, &str); 3] = [
        ("no loader",      &lost,    0o755, "no such file or directory (os error 2); it needs a system with glibc, \
             which an Alpine container is not"),
        ("not executable", &lost,    0o644, "permission denied (os error 13); is its folder mounted `noexec`? \
             Set RUNNER_TOOL_CACHE to one that is not"),
        ("cut off",        b"\x7fELF", 0o755, "exec format error (os error 8); it is for Linux on x86-64. \
             If this is that, remove the file and run the job again"),
    ];
    let (_, node) = nodes()?.remove(0);
    for (why, bytes, mode, reason) in cases {
        let runner = Runner::new()?;
        let program = runner.action().join("dist/bin/runner-cache");
        write(&runner.base, &program, bytes)?;
        fs::set_permissions(&program, PermissionsExt::from_mode(mode))?;
        for (stage, command, status) in
            [("main", "error", 1), ("post", "warning", 0), ("chain", "error", 1)]
        {
            let shown = program.display();
            let stdout =
                format!("::{command} title=runner-cache::cannot start `{shown}`: {reason}\n");
            expect(&runner.step(&node, stage).output()?, status, &stdout, why)?;
        }
    }
    Ok(())
}

#[test]
fn a_cancelled_installer_cleans_up_before_the_step_ends() -> Result {
    let runner = Runner::new()?;
    runner.installer(
        "trap 'echo cleaned; exit 130' INT TERM
        echo ready; for turn in $(seq 3000); do sleep 0.01; done",
    )?;
    for (name, node) in nodes()? {
        for sent in [Signal::INT, Signal::TERM] {
            let (mut child, mut stdout, _) = start(&mut runner.step(&node, "main"))?;
            signal(&child, sent)?;
            let status = child.wait()?.code();
            let mut rest = String::new();
            stdout.read_to_string(&mut rest)?;
            assert_eq!((status, rest.as_str()), (Some(128 + sent.as_raw()), "cleaned\n"), "{name}");
        }
    }
    Ok(())
}

#[test]
fn an_installer_ends_when_the_step_is_killed() -> Result {
    let runner = Runner::new()?;
    runner.installer(
        "trap 'echo cleaned; exit' TERM
        echo ready; for turn in $(seq 3000); do sleep 0.01; done",
    )?;
    for (name, node) in nodes()? {
        let (mut child, mut stdout, _) = start(&mut runner.step(&node, "main"))?;
        signal(&child, Signal::KILL)?;
        assert_eq!(child.wait()?.signal(), Some(Signal::KILL.as_raw()), "{name}");
        let mut rest = String::new();
        stdout.read_to_string(&mut rest)?;
        assert_eq!(rest, "cleaned\n", "{name}");
    }
    Ok(())
}

#[test]
fn musl_runs_it_without_telling_it_arguments_or_environment() -> Result {
    let runner = Runner::with_program("cat /proc/$$/environ; exit")?;
    // Like a node of Alpine: `dlopen`. A constructor gets no argument there.
    let source = "#include <dlfcn.h>\n#include <stdio.h>\n\
        int main(int argc, char **argv) {\n\
            void *file = dlopen(argv[argc - 1], RTLD_LAZY);\n\
            puts(file ? \"came back\" : dlerror());\n\
            return 99;\n\
        }\n";
    write(&runner.base, "host.c", source)?;
    let host = runner.path("host");
    let mut compiler = Command::new("musl-gcc");
    compiler.arg("-o").arg(&host).arg(runner.path("host.c"));
    succeed(&mut compiler).map_err(|error| format!("{error}; apt-get install musl-tools"))?;
    let mut step = runner.step(host.as_os_str(), "main");
    let output = step.env_clear().env("INPUT_CACHE-ROOT", "/srv").output()?;
    let action = runner.action();
    let want = format!("INPUT_CACHE-ROOT=/srv\0RUNNER_CACHE_ACTION_DIR={}\0", action.display());
    expect(&output, 0, &want, "musl")
}

#[test]
fn a_launcher_is_small_and_needs_no_library() -> Result {
    for file in ["main.node", "post.node", "chain.node"] {
        let path = Path::new(REPO).join("dist").join(file);
        assert!(fs::metadata(&path)?.len() < 16 << 10, "{file} is larger than 16 KiB");
        let output =
            Command::new("readelf").args(["-W", "-d", "--dyn-syms"]).arg(&path).output()?;
        let text = String::from_utf8(output.stdout)?;
        assert!(text.contains("(INIT_ARRAY)"), "{file} has no constructor:\n{text}");
        assert!(!text.contains("(NEEDED)"), "{file} needs a library:\n{text}");
        // The one entry is the null symbol that every table begins with.
        assert!(text.contains("contains 1 entry"), "{file} names symbols:\n{text}");
    }
    Ok(())
}

/// `scripts/release` builds with --locked, and no step of a release wrote the new version to the lock file.
#[test]
fn the_steps_of_a_release_leave_no_outdated_lock_file() -> Result {
    let dir = tempfile::tempdir()?;
    let checkout = dir.path();
    let mut copy = Command::new("cp");
    copy.arg("-R").args(["shim", "scripts", "src", "tests", "Cargo.toml", "Cargo.lock"]);
    copy.arg("rust-toolchain.toml").arg(checkout);
    succeed(copy.current_dir(REPO))?;
    let manifest = fs::read_to_string(checkout.join("Cargo.toml"))?;
    let version = format!("\nversion = \"{}\"\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(manifest.matches(&version).count(), 1, "{manifest}");
    let bumped = manifest.replace(&version, "\nversion = \"99.0.0\"\n");
    write(checkout, "Cargo.toml", bumped)?;

    let locked = ["fetch", "--locked", "--offline", "--target", "x86_64-unknown-linux-gnu"];
    let cargo = pinned_bin().join("cargo");
    let fetch = || Command::new(&cargo).args(locked).current_dir(checkout).output();
    assert!(!fetch()?.status.success());
    succeed(Command::new(checkout.join("scripts/dist")).current_dir(checkout))?;
    let said = fetch()?;
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let lock = fs::read_to_string(checkout.join("Cargo.lock"))?;
    let was = fs::read_to_string(Path::new(REPO).join("Cargo.lock"))?;
    assert_eq!(lock, was.replace(&version, "\nversion = \"99.0.0\"\n"));
    Ok(())
}

#[test]
fn the_launchers_are_the_same_bytes_wherever_they_are_built() -> Result {
    let dir = tempfile::tempdir()?;
    let checkout = dir.path().join("another checkout");
    fs::create_dir(&checkout)?;
    let mut copy = Command::new("cp");
    copy.arg("-R").args(["shim", "scripts", "Cargo.toml", "rust-toolchain.toml"]).arg(&checkout);
    succeed(copy.current_dir(REPO))?;
    // Settings that a machine may have for its own builds.
    let flags = "-C opt-level=0 -C target-cpu=native";
    write(dir.path(), ".cargo/config.toml", format!("[build]\nrustflags = \"{flags}\"\n"))?;
    let mut dist = Command::new(checkout.join("scripts/dist"));
    dist.env("RUSTFLAGS", flags).env("CARGO_ENCODED_RUSTFLAGS", "-g").env("RUSTC_WRAPPER", "false");
    dist.env("CARGO_PKG_VERSION", "9.9.9")
        .env("LD_LIBRARY_PATH", dir.path())
        .env("TZ", "Asia/Tokyo");
    succeed(dist.current_dir(dir.path()))?;
    for file in ["main.node", "post.node", "chain.node", "package.json"] {
        let built = fs::read(checkout.join("dist").join(file))?;
        let committed = fs::read(Path::new(REPO).join("dist").join(file))?;
        assert!(built == committed, "dist/{file} differs; run scripts/dist");
    }
    Ok(())
}
