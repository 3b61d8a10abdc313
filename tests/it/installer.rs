//! The installer, run as the launcher runs it: with the shells and downloaders of real hosts.

mod refusals;
mod runner;
mod server;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use self::runner::*;
use self::server::{Answer, Server};
use crate::support::{Result, mtime, set_mtime};

/// The end of an error for which network, proxy or server are to blame.
const UNREACHED: &str = "%0ASee whether this runner reaches that host, and whether http_proxy, \
    https_proxy and no_proxy are right in its `.env` file. Set RUNNER_CACHE_DOWNLOAD_URL to a copy \
    that it reaches";

fn whole() -> Answer {
    Answer::Body(PROGRAM.into())
}

#[test]
fn the_program_is_downloaded_once_and_marked_as_runners_do() -> Result {
    for kind in KINDS {
        let server = Server::start([whole()])?;
        let mut runner = Runner::new(kind)?;
        let said = runner.install_from(&server)?.done("first")?;
        runner.has_installed(&format!("{kind:?}"))?;
        let path = runner.program().display().to_string();
        let downloading = format!("runner-cache: downloading {}/{ASSET}", server.url());
        assert_eq!(said.lines, [downloading, format!("runner-cache: installed {path}")]);

        let again = runner.install()?.done("again")?;
        assert_eq!(again.lines, [""; 0], "{kind:?}");
        assert_eq!(server.asked(), [format!("GET /{ASSET}")], "{kind:?}");
    }
    Ok(())
}

#[test]
fn the_release_is_that_of_the_action_s_own_repository_and_gets_no_token() -> Result {
    for kind in KINDS {
        let server = Server::start([whole()])?;
        let mut runner = Runner::new(kind)?;
        runner.set("GITHUB_SERVER_URL", server.url());
        runner.set("GITHUB_ACTION_REPOSITORY", "someone/a-fork");
        for token in ["INPUT_TOKEN", "GITHUB_TOKEN", "ACTIONS_RUNTIME_TOKEN"] {
            runner.set(token, "sesame");
        }
        runner.install()?.done("install")?;
        let path = format!("GET /someone/a-fork/releases/download/v1.2.3/{ASSET}");
        assert_eq!(server.asked(), [path], "{kind:?}");
        let head = server.requests().concat().to_lowercase();
        assert!(!head.contains("sesame") && !head.contains("authorization"), "{kind:?}: {head}");
    }
    Ok(())
}

#[test]
fn a_proxy_is_asked_when_the_runner_names_one() -> Result {
    for kind in KINDS {
        let proxy = Server::start([whole()])?;
        let mut runner = Runner::new(kind)?;
        runner.set("http_proxy", proxy.url());
        runner.set("RUNNER_CACHE_DOWNLOAD_URL", "http://release.invalid/1");
        runner.install()?.done("install")?;
        assert_eq!(proxy.asked(), [format!("GET http://release.invalid/1/{ASSET}")], "{kind:?}");
        runner.has_installed(&format!("{kind:?}"))?;
    }
    Ok(())
}

#[test]
fn a_program_put_there_by_hand_needs_no_network() -> Result {
    for kind in KINDS {
        let mut runner = Runner::new(kind)?;
        runner.place(PROGRAM)?;
        fs::set_permissions(runner.program(), PermissionsExt::from_mode(0o644))?;
        let server = Server::start([whole()])?;
        runner.install_from(&server)?.done("the released program")?;
        runner.has_installed("the released program")?;

        // With the marker the host decides which program that is.
        fs::write(runner.program(), "their own build")?;
        runner.install_from(&server)?.done("a program of theirs")?;
        assert_eq!(fs::read_to_string(runner.program())?, "their own build");
        assert_eq!(server.asked(), [""; 0], "{kind:?}");
    }
    Ok(())
}

#[test]
fn a_file_that_is_not_the_released_program_is_replaced_unless_it_is_marked() -> Result {
    for kind in KINDS {
        let mut runner = Runner::new(kind)?;
        let server = Server::start([whole()])?;
        runner.place(&PROGRAM[..9])?;
        runner.install_from(&server)?.done("half a program")?;
        runner.has_installed("half a program")?;

        fs::remove_file(runner.program())?;
        runner.install_from(&server)?.done("a marker alone")?;
        runner.has_installed("a marker alone")?;
        assert_eq!(server.asked().len(), 2, "{kind:?}");
    }
    Ok(())
}

#[test]
fn a_download_with_another_sum_is_refused_with_both_sums() -> Result {
    for kind in KINDS {
        let server = Server::start([Answer::Body(b"something else".into())])?;
        let mut runner = Runner::new(kind)?;
        let said = runner.install_from(&server)?;
        let (got, want) = (sha256(b"something else"), sha256(PROGRAM.as_bytes()));
        let expected = format!(
            "`{}/{ASSET}` is not what was released: its SHA-256 is {got} (of 14 bytes), and this \
             version of the action wants {want}.%0ASomebody changed the release, or a proxy on the \
             way changed it. Nothing was installed. Compare with the release's own SHA256SUMS \
             before you use this version.",
            server.url()
        );
        assert_eq!(said.error()?, expected, "{kind:?}");
        runner.has_nothing(&format!("{kind:?}"))?;
        assert_eq!(server.asked().len(), 1, "{kind:?}");
    }
    Ok(())
}

#[test]
fn a_release_that_is_not_there_is_said_at_once() -> Result {
    for (kind, status) in KINDS.into_iter().zip([404, 404, 404, 403]) {
        let server = Server::start([Answer::Status(status)])?;
        let mut runner = Runner::new(kind)?;
        let said = runner.install_from(&server)?;
        let expected = format!(
            "cannot download `{}/{ASSET}`: HTTP {status}.%0AVersion 1.2.3 has no such release \
             there, or it is private (no token is sent). Set RUNNER_CACHE_DOWNLOAD_URL to the \
             folder of a copy{}",
            server.url(),
            runner.by_hand()
        );
        assert_eq!(said.error()?, expected, "{kind:?}");
        runner.has_nothing(&format!("{kind:?}"))?;
        assert_eq!((server.asked().len(), &*runner.slept()), (1, ""), "{kind:?}");
    }
    Ok(())
}

/// A downloader of two servers: that of the action, which gives `answer`, and github.com, which has upstream's release.
/// It notes the addresses in the file `asked`.
fn fake_downloader(runner: &Runner, kind: Kind, answer: &str, upstream: &str) -> Result {
    let tool = if matches!(kind, DashAndWget | Busybox) { "wget" } else { "curl" };
    let script = format!(
        "[ \"$1\" != --version ] || exit 0\nfor url in \"$@\"; do\n  case $last in --output | -O) to=$url ;; esac\n  \
         last=$url\ndone\necho \"$url\" >>\"${{0%/*}}/asked\"\ncase $url in\n  \
         https://github.com/btcdecoded/*) {upstream} ;;\n  *) {answer} ;;\nesac"
    );
    runner.fake(tool, &format!("last=\n{script}"))
}

/// A fork of the action has no releases, and a server of GitHub Enterprise has none of an action from github.com: both
/// got HTTP 404 and a failed step.
#[test]
fn upstream_s_release_is_next_when_the_action_s_repository_has_none() -> Result {
    let upstream =
        format!("https://github.com/btcdecoded/runner-cache/releases/download/v1.2.3/{ASSET}");
    let give = format!("printf '%s' '{}' >\"$to\"", PROGRAM.replace('\'', "'\\''"));
    let missing = "echo 'curl: (22) The requested URL returned error: 404' >&2; exit 22";
    let busy = "echo 'curl: (7) Failed to connect' >&2; exit 7";
    // As a server that wants a login.
    let page = "printf '<html>Sign in</html>' >\"$to\"";
    for kind in KINDS {
        for (server, repository, answer, asked) in [
            ("https://github.com", "someone/a-fork", missing, 1),
            ("https://ghe.example", "btcdecoded/runner-cache", missing, 1),
            ("https://ghe.example", "btcdecoded/runner-cache", busy, 3),
            ("https://ghe.example", "btcdecoded/runner-cache", page, 1),
        ] {
            let mut runner = Runner::new(kind)?;
            runner.set("GITHUB_SERVER_URL", server);
            runner.set("GITHUB_ACTION_REPOSITORY", repository);
            fake_downloader(&runner, kind, answer, &give)?;
            runner.install()?.done(server)?;
            runner.has_installed(server)?;
            let first = format!("{server}/{repository}/releases/download/v1.2.3/{ASSET}\n");
            let want = format!("{}{upstream}\n", first.repeat(asked));
            assert_eq!(fs::read_to_string(runner.path("bin/asked"))?, want, "{kind:?}");
        }

        // A fork that has programs of its own, and is out of reach.
        let mut runner = Runner::new(kind)?;
        runner.set("GITHUB_ACTION_REPOSITORY", "someone/a-fork");
        fake_downloader(&runner, kind, busy, page)?;
        let said = runner.install()?;
        let error = said.error()?;
        assert!(error.starts_with(&format!("`{upstream}` has the SHA-256 ")), "{kind:?}: {error}");
        assert!(
            error.contains("; before, `https://github.com/someone/a-fork/"),
            "{kind:?}: {error}"
        );
        runner.has_nothing(&format!("{kind:?}"))?;

        let mut runner = Runner::new(kind)?;
        runner.set("GITHUB_ACTION_REPOSITORY", "someone/a-fork");
        fake_downloader(&runner, kind, missing, missing)?;
        let said = runner.install()?;
        let begin = format!(
            "cannot download `{upstream}`: HTTP 404; before, \
             `https://github.com/someone/a-fork/releases/download/v1.2.3/{ASSET}`: HTTP 404.%0A"
        );
        let error = said.error()?;
        assert!(error.starts_with(&begin), "{kind:?}: {error}");
        runner.has_nothing(&format!("{kind:?}"))?;
    }
    Ok(())
}

#[test]
fn a_job_that_can_do_without_the_program_gets_a_warning_and_a_miss() -> Result {
    for kind in KINDS {
        let server = Server::start([Answer::Status(404)])?;
        let mut runner = Runner::new(kind)?;
        runner.set("RUNNER_CACHE_DOWNLOAD_URL", server.url());
        runner.set("GITHUB_OUTPUT", runner.path("output").display().to_string());
        let [shell, script] = runner.installer();
        let output = runner.command(shell).arg(script).arg("optional").output()?;
        assert_eq!(output.status.code(), Some(75), "{kind:?}");
        let said = String::from_utf8(output.stdout)?;
        let warning = format!(
            "\n::warning title=runner-cache::nothing is restored or saved: cannot download `{}/{ASSET}`: HTTP 404.%0A",
            server.url()
        );
        assert!(said.contains(&warning), "{kind:?}: {said}");
        assert_eq!(fs::read_to_string(runner.path("output"))?, "cache-hit=false\n");

        // Only a release that cannot be downloaded is a warning.
        let server = Server::start([Answer::Body(b"something else".into())])?;
        runner.set("RUNNER_CACHE_DOWNLOAD_URL", server.url());
        let [shell, script] = runner.installer();
        let output = runner.command(shell).arg(script).arg("optional").output()?;
        assert_eq!(output.status.code(), Some(1), "{kind:?}");
    }
    Ok(())
}

#[test]
fn a_passing_fault_is_tried_three_times_with_growing_pauses() -> Result {
    let cases = [
        ("the server fails", Answer::Status(500)),
        ("the server is busy", Answer::Status(429)),
        ("the connection breaks", Answer::Half(PROGRAM.into())),
        ("nothing comes", Answer::Body(Vec::new())),
    ];
    for kind in KINDS {
        for (why, answer) in &cases {
            let why = format!("{why}, {kind:?}");
            let server = Server::start([answer.clone(), answer.clone(), whole()])?;
            let mut runner = Runner::new(kind)?;
            runner.install_from(&server)?.done(&why)?;
            runner.has_installed(&why)?;
            assert_eq!((server.asked().len(), &*runner.slept()), (3, "2\n8\n"), "{why}");

            let server = Server::start([answer.clone()])?;
            let mut runner = Runner::new(kind)?;
            let said = runner.install_from(&server)?;
            let begin = format!("cannot download `{}/{ASSET}`, tried 3 times: ", server.url());
            let end = format!("{UNREACHED}{}", runner.by_hand());
            let error = said.error()?;
            assert!(error.starts_with(&begin) && error.ends_with(&end), "{why}: {error}");
            runner.has_nothing(&why)?;
            assert_eq!((server.asked().len(), &*runner.slept()), (3, "2\n8\n"), "{why}");
        }
    }
    Ok(())
}

#[test]
fn a_host_that_nobody_reaches_is_said_with_its_reason() -> Result {
    for kind in KINDS {
        // Nobody listens on this port: only root may, and its service is obsolete.
        let url = "http://127.0.0.1:1";
        let mut runner = Runner::new(kind)?;
        runner.set("RUNNER_CACHE_DOWNLOAD_URL", url);
        let said = runner.install()?;
        let reason = match kind {
            DashAndCurl | BusyboxAndCurl => "curl: (7) Failed to connect to 127.0.0.1",
            DashAndWget => "failed: Connection refused.",
            Busybox => "wget: can't connect to remote host (127.0.0.1): Connection refused",
        };
        let error = said.error()?;
        assert!(error.contains(&format!("`{url}/{ASSET}`, tried 3 times: ")), "{error}");
        assert!(error.contains(reason), "{kind:?}: {error}");
        runner.has_nothing(&format!("{kind:?}"))?;
    }
    Ok(())
}

#[test]
fn eight_at_once_all_succeed_and_leave_one_program() -> Result {
    for kind in KINDS {
        // The server answers after all have asked, so all eight download.
        let answer = Answer::Together(Arc::new(Barrier::new(8)), PROGRAM.into());
        let server = Server::start([answer])?;
        let mut runner = Runner::new(kind)?;
        runner.set("RUNNER_CACHE_DOWNLOAD_URL", server.url());
        let mut children = Vec::new();
        for _ in 0..8 {
            children.push(runner.start()?);
        }
        for child in children {
            Said::of(child.wait_with_output()?)?.done("one of eight")?;
        }
        runner.has_installed(&format!("{kind:?}"))?;
        assert_eq!(server.asked().len(), 8, "{kind:?}");
    }
    Ok(())
}

#[test]
fn a_signal_in_the_middle_ends_it_at_once_and_leaves_nothing() -> Result {
    for kind in KINDS {
        for (signal, status) in [(Signal::TERM, 143), (Signal::INT, 130), (Signal::HUP, 129)] {
            let why = format!("{status}, {kind:?}");
            let server = Server::start([Answer::Stall(PROGRAM.into()), whole()])?;
            let mut runner = Runner::new(kind)?;
            runner.set("RUNNER_CACHE_DOWNLOAD_URL", server.url());
            let child = runner.start()?;
            server.wait_for_stall()?;
            // Only the shell gets the signal, as from the launcher.
            let since = Instant::now();
            kill_process(Pid::from_child(&child), signal)?;
            let said = Said::of(child.wait_with_output()?)?;
            // A downloader alone would give up after 30 s.
            assert!(since.elapsed() < Duration::from_secs(15), "{why}");
            assert_eq!((said.status, said.errors), (Some(status), Vec::new()), "{why}");
            runner.has_nothing(&why)?;
            runner.install()?.done(&why)?;
            runner.has_installed(&why)?;
        }
    }
    Ok(())
}

#[test]
fn remains_of_a_killed_installer_are_no_program_and_are_swept_a_day_later() -> Result {
    for kind in KINDS {
        let server = Server::start([Answer::Stall(PROGRAM.into()), whole()])?;
        let mut runner = Runner::new(kind)?;
        runner.set("RUNNER_CACHE_DOWNLOAD_URL", server.url());
        let mut child = runner.start()?;
        server.wait_for_stall()?;
        child.kill()?;
        child.wait()?;
        let is_staging = |path: &String| path.starts_with("runner-cache/.staging-");
        let left = runner.tools()?.into_iter().find(is_staging).ok_or("nothing was left")?;

        // It may belong to a download in progress.
        runner.install()?.done("a moment later")?;
        assert!(runner.tools()?.contains(&left), "{kind:?}");
        fs::remove_file(runner.marker())?;
        fs::remove_file(runner.program())?;
        let left = runner.path("tool cache").join(left);
        let (now, _) = mtime(&left)?;
        set_mtime(&left, now - 2 * 24 * 60 * 60, 0)?;
        runner.install()?.done("two days later")?;
        runner.has_installed(&format!("{kind:?}"))?;
    }
    Ok(())
}
