//! Hosts and releases on which nothing can be installed, and the installer's messages about them.

use std::fs;

use super::runner::*;
use super::server::{Answer, Server};
use super::whole;
use crate::support::{Result, write};

#[test]
fn a_folder_that_refuses_is_named_with_the_reason_and_the_way_out() -> Result {
    let nobody = "set RUNNER_TOOL_CACHE in the runner's `.env` file to a folder of its own.";
    for kind in KINDS {
        let mut runner = Runner::new(kind)?;
        let server = Server::start([Answer::Body(vec![b'x'; 1 << 20])])?;
        runner.set("RUNNER_CACHE_DOWNLOAD_URL", server.url());
        let home = runner.path("tool cache/runner-cache").display().to_string();
        let tools = runner.path("tool cache").display().to_string();

        let said = runner.install_on("size=4M,noexec", ":")?;
        let expected = format!(
            "cannot run programs in `{home}`: `{tools}` is mounted with noexec.%0AMount it without \
             (`mount -o remount,exec {tools}`), or set RUNNER_TOOL_CACHE in the runner's `.env` \
             file to a folder on another disk."
        );
        assert_eq!(said.error()?, expected, "{kind:?}");
        assert_eq!(said.lines, LEFT, "{kind:?}");

        let said = runner.install_on("size=4M", "mount -o remount,ro .")?;
        let error = said.error()?;
        let folder =
            format!("cannot make the folder `{home}/1.2.3/x64`: Read-only file system.%0A");
        assert!(error.starts_with(&folder) && error.ends_with(nobody), "{kind:?}: {error}");
        assert_eq!(said.lines, ["left:."], "{kind:?}");

        assert_eq!(server.asked(), [""; 0], "{kind:?}");
        let said = runner.install_on("size=512k", ":")?;
        let expected = format!(
            "cannot write to `{home}`: No space left on device.%0AFree space on that filesystem, or \
             set RUNNER_TOOL_CACHE in the runner's `.env` file to a folder on another disk."
        );
        assert_eq!(said.error()?, expected, "{kind:?}");
        assert_eq!(said.lines[1..], LEFT, "{kind:?}");
        assert_eq!(server.asked().len(), 1, "{kind:?}");
    }
    Ok(())
}

/// The leftovers on a disk that refused: empty folders.
const LEFT: [&str; 4] =
    ["left:.", "left:./runner-cache", "left:./runner-cache/1.2.3", "left:./runner-cache/1.2.3/x64"];

#[test]
fn another_machine_is_refused_before_anything_is_done() -> Result {
    for kind in KINDS {
        for (kernel, machine) in [("Linux", "aarch64"), ("Linux", "i686"), ("Darwin", "x86_64")] {
            let server = Server::start([whole()])?;
            let mut runner = Runner::new(kind)?;
            let script = format!("[ \"$1\" = -s ] && echo {kernel} || echo {machine}");
            runner.fake("uname", &script)?;
            let said = runner.install_from(&server)?;
            let expected = format!(
                "runs on Linux X64 only, and this is {kernel} {machine}.%0ASend the job to another \
                 runner, as with `runs-on: [self-hosted, linux, x64]`, or give the step \
                 `if: runner.os == 'Linux' && runner.arch == 'X64'`."
            );
            assert_eq!(said.error()?, expected, "{kind:?}");
            assert_eq!((runner.tools()?, server.asked()), (Vec::new(), Vec::new()), "{kind:?}");
        }
    }
    Ok(())
}

#[test]
fn a_missing_tool_is_named_with_what_installs_it() -> Result {
    for kind in KINDS {
        let mut runner = Runner::new(kind)?;
        runner.set("RUNNER_CACHE_DOWNLOAD_URL", "https://mirror.invalid/1");
        let downloader = if matches!(kind, DashAndWget | Busybox) { "wget" } else { "curl" };
        runner.take(downloader)?;
        let expected = format!(
            "cannot download `https://mirror.invalid/1/{ASSET}`: there is neither curl nor \
             wget.%0AInstall one of them, as with `apt-get install curl ca-certificates`{}",
            runner.by_hand()
        );
        assert_eq!(runner.install()?.error()?, expected, "{kind:?}");
        runner.has_nothing(&format!("{kind:?}"))?;

        runner.take("sha256sum")?;
        let expected = "cannot check a SHA-256: there is none of sha256sum, shasum and \
            openssl.%0AInstall one of them, as with `apt-get install coreutils`.";
        assert_eq!(runner.install()?.error()?, expected, "{kind:?}");
    }
    Ok(())
}

#[test]
fn any_of_three_tools_computes_the_sum() -> Result {
    for kind in KINDS {
        for tool in ["shasum", "openssl"] {
            let server = Server::start([Answer::Body(b"x".into()), whole()])?;
            let mut runner = Runner::new(kind)?;
            runner.take("sha256sum")?;
            runner.give_from_host(tool)?;
            let said = runner.install_from(&server)?;
            assert!(said.error()?.contains(&sha256(b"x")), "{tool}, {kind:?}: {said:?}");
            runner.install()?.done(tool)?;
            runner.has_installed(tool)?;
        }
    }
    Ok(())
}

#[test]
fn a_program_that_cannot_run_here_is_not_installed() -> Result {
    let cases = [
        // The kernel's error for a program whose loader is missing, such as one for glibc in
        // Alpine.
        ("another loader", "#!/nowhere/ld.so\n", "status 127): "),
        (
            "an old glibc",
            "#!/bin/sh\necho 'GLIBC_2.17 not found' >&2\nexit 1\n",
            "status 1): GLIBC_2.17 not",
        ),
        (
            "another program",
            "#!/bin/sh\necho 'runner-cache 1.2.2'\n",
            "status 0): runner-cache 1.2.2%0A",
        ),
    ];
    for kind in KINDS {
        for (why, program, part) in cases {
            let why = format!("{why}, {kind:?}");
            let server = Server::start([Answer::Body(program.into())])?;
            let mut runner = Runner::new(kind)?;
            runner.release(program)?;
            let said = runner.install_from(&server)?;
            let begin = format!("the program does not run here ({part}");
            let end = format!(
                "%0AIt needs glibc 2.17 or newer, and Alpine has another C library: `apk add \
                 gcompat` in its image may be enough. Otherwise use an image with glibc, such as \
                 Debian's, or put your own build at `{}/bin/runner-cache`.",
                runner.path("an action/dist").display()
            );
            let error = said.error()?;
            assert!(error.starts_with(&begin) && error.ends_with(&end), "{why}: {error}");
            runner.has_nothing(&why)?;
        }
    }
    Ok(())
}

#[test]
fn sums_that_name_no_release_install_nothing() -> Result {
    let sum = sha256(PROGRAM.as_bytes());
    let cases = [
        ("none", String::new()),
        ("no name", format!("{sum}\n")),
        ("a short sum", format!("{}  {ASSET}\n", &sum[1..])),
        ("another file", format!("{sum}  install.sh\n")),
        ("a path", format!("{sum}  runner-cache-../../1-x86_64-linux\n")),
        ("no version", format!("{sum}  runner-cache--x86_64-linux\n")),
    ];
    for kind in KINDS {
        for (why, sums) in &cases {
            let server = Server::start([whole()])?;
            let mut runner = Runner::new(kind)?;
            let dist = runner.path("an action/dist");
            write(&dist, "SHA256SUMS", sums)?;
            let said = runner.install_from(&server)?;
            let dist = dist.display();
            let expected = format!(
                "`{dist}/SHA256SUMS` names no program: this commit of the action is no release.%0A\
                 Use a release, as in `uses: btcdecoded/runner-cache@v1`, or put your own build at \
                 `{dist}/bin/runner-cache`."
            );
            assert_eq!(said.error()?, expected, "{why}, {kind:?}");
            assert_eq!((runner.tools()?, server.asked()), (Vec::new(), Vec::new()), "{why}");
        }
    }
    Ok(())
}

#[test]
fn where_to_download_from_and_to_is_checked() -> Result {
    for kind in KINDS {
        let mut runner = Runner::new(kind)?;
        runner.set("RUNNER_CACHE_DOWNLOAD_URL", "--output=/etc/passwd");
        let expected = format!(
            "cannot download from `--output=/etc/passwd/{ASSET}`: it is not an address.%0A\
             RUNNER_CACHE_DOWNLOAD_URL has to begin with `https://` or `http://`."
        );
        assert_eq!(runner.install()?.error()?, expected, "{kind:?}");
        runner.set("RUNNER_TOOL_CACHE", "relative");
        let expected = format!(
            "knows no folder to install to: RUNNER_TOOL_CACHE is `relative` and HOME is `{}`.%0ASet \
             RUNNER_TOOL_CACHE to an absolute path in the runner's `.env` file.",
            runner.path("home").display()
        );
        assert_eq!(runner.install()?.error()?, expected, "{kind:?}");
    }
    Ok(())
}

#[test]
fn without_a_tool_cache_the_program_is_installed_below_home() -> Result {
    for kind in KINDS {
        let server = Server::start([whole()])?;
        let mut runner = Runner::new(kind)?;
        runner.set("RUNNER_TOOL_CACHE", "");
        runner.install_from(&server)?.done("install")?;
        let program = format!("home/.cache/runner-cache/tool/{}", INSTALLED[4]);
        assert_eq!(fs::read_to_string(runner.path(&program))?, PROGRAM, "{kind:?}");
    }
    Ok(())
}

#[test]
fn a_password_in_an_address_is_never_shown() -> Result {
    for kind in KINDS {
        for answer in [Answer::Status(404), Answer::Status(500), Answer::Body(b"x".into()), whole()]
        {
            let server = Server::start([answer])?;
            let mut runner = Runner::new(kind)?;
            let url = server.url().replace("://", "://someone:sesame@");
            runner.set("RUNNER_CACHE_DOWNLOAD_URL", url);
            let said = format!("{:?}", runner.install()?);
            assert!(!said.contains("sesame") && said.contains("://***@127.0.0.1"), "{said}");
        }
    }
    Ok(())
}

#[test]
fn the_text_of_a_tool_cannot_end_the_error_or_begin_another() -> Result {
    let mut runner = Runner::new(DashAndCurl)?;
    runner.set("RUNNER_CACHE_DOWNLOAD_URL", "https://mirror.invalid/1");
    runner.fake("curl", "printf '100%% wrong\\r::warning::no\\n' >&2; exit 7")?;
    let said = runner.install()?;
    assert!(said.error()?.contains(": 100%25 wrong%0D::warning::no.%0ASee"), "{said:?}");
    Ok(())
}
