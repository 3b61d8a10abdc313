#!/usr/bin/env python3
"""Turns the published versions of crates into commits of a repository, one per commit, oldest to newest.

Cargo downloads the versions from its configured registry. Standard library only.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

# The files that publishing adds.
ADDED = (".cargo-ok", ".cargo_vcs_info.json", "Cargo.toml.orig", "Cargo.lock")
DEPENDENCY = re.compile(r"^\[(?:.*\.)?(?:dev-|build-)?dependencies\.(?:\"?)([^\"\].]+)\"?\]$")


class Failure(Exception):
    """A command failed."""


def call(*command, cwd, environment=None):
    """Runs a command that must succeed."""
    done = subprocess.run(
        command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Failure(f"`{' '.join(map(str, command))}` failed: {done.stderr.strip()}")


def registry_path(home, kind, pattern):
    """Returns the single path in cargo's home that matches."""
    found = sorted((home / "registry" / kind).glob(pattern))
    if len(found) != 1:
        raise Failure(f"cargo's home has {len(found)} of `registry/{kind}/{pattern}`")
    return found[0]


def published(crate, home, scratch):
    """Returns the versions of a crate, without prereleases and yanked ones, with their times of publication."""
    call("cargo", "info", crate, cwd=scratch)
    # The crate's file in cargo's index cache: one JSON object for each version, between NUL bytes.
    file = registry_path(home, "index", f"*/.cache/**/{crate}")
    records = [json.loads(it) for it in file.read_bytes().split(b"\0") if it.startswith(b"{")]
    found = []
    for record in records:
        version = record["vers"].partition("+")[0]
        if "-" not in version and not record["yanked"]:
            numbers = tuple(map(int, version.split(".")))
            found.append((record.get("pubtime") or "", numbers, crate, record["vers"]))
    return sorted(found, key=lambda it: (it[0], it[1]))


def source_of(crate, version, home, scratch):
    """Downloads and unpacks a version with cargo; returns its path."""
    call("cargo", "info", f"{crate}@{version}", cwd=scratch)
    return registry_path(home, "src", f"*/{crate}-{version}")


def blocks(manifest):
    """Yields the tables of a manifest as cargo writes it, each with its heading: a heading is a line of its own."""
    block = []
    for line in manifest.splitlines():
        if line.startswith("[") and block:
            yield block
            block = []
        block.append(line)
    yield block


def edited(manifest, version, members):
    """Returns the manifest of a member: with this version, if given, and with paths to the other members."""
    lines = []
    for block in blocks(manifest):
        if block[0] == "[package]" and version:
            block = [f'version = "{version}"' if line.startswith("version = ") else line for line in block]
        if alias := DEPENDENCY.match(block[0]):
            renamed = [line.split('"')[1] for line in block if line.startswith("package = ")]
            name = (renamed or [alias[1]])[0]
            if name in members:
                block = [f'path = "../{name}"' if line.startswith("version = ") else line for line in block]
        lines += block
    return "\n".join(lines) + "\n"


def lay(source, place, version, members):
    """Replaces a package of the repository by a published one."""
    lock = place / "Cargo.lock"
    kept = lock.read_bytes() if lock.exists() else None
    for path in [it for it in place.iterdir() if it.name != ".git"] if place.exists() else []:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copytree(source, place, dirs_exist_ok=True)
    shipped = lock.read_bytes() if lock.exists() else None
    for name in ADDED:
        (place / name).unlink(missing_ok=True)
    # One lock file is carried through the history, as in a repo. It starts from the one that the authors
    # published as working.
    if not members and (content := kept or shipped):
        lock.write_bytes(content)
    manifest = place / "Cargo.toml"
    manifest.write_text(edited(manifest.read_text(), version, members))
    with (place / ".gitignore").open("a") as file:
        file.write("\n/target/\n")


def commit(root, message, time):
    """Commits all files, including those that a crate publishes although it ignores them."""
    dates = os.environ | {"GIT_AUTHOR_DATE": time, "GIT_COMMITTER_DATE": time}
    who = ["-c", "user.name=replay", "-c", "user.email=replay@example.invalid"]
    call("git", "add", "--all", "--force", cwd=root)
    call("git", *who, "commit", "--quiet", "--allow-empty", f"--message={message}", cwd=root, environment=dates)


def lay_all(args):
    """Makes the repository."""
    home, root = args.cargo_home, args.repository
    scratch = root.parent / f"{root.name}.versions"
    scratch.mkdir(parents=True)
    root.mkdir()
    call("git", "init", "--quiet", "--initial-branch=main", root, cwd=scratch)
    history = sorted(it for crate in args.crate for it in published(crate, home, scratch))
    # The first commit has all crates: members of a workspace need each other.
    newest = {}
    begin = max(0, len(history) - args.count)
    missing = set(args.crate) - {crate for _, _, crate, _ in history[: begin + 1]}
    while missing and begin < len(history) - 1:
        begin += 1
        missing.discard(history[begin][2])
    for _, _, crate, version in history[: begin + 1]:
        newest[crate] = version
    fixed = {} if args.bump else dict(newest)
    members = set(args.crate) if args.workspace else set()
    todo = [(newest[crate], crate) for crate in newest]
    if members:
        names = ", ".join(f'"{it}"' for it in sorted(members))
        (root / "Cargo.toml").write_text(f'[workspace]\nresolver = "2"\nmembers = [{names}]\n')
        (root / ".gitignore").write_text("/target/\n")
    steps = [todo] + [[(version, crate)] for _, _, crate, version in history[begin + 1 :]]
    times = [it[0] for it in history[begin:]]
    for step, time in zip(steps, times, strict=True):
        names = " and ".join(f"{crate} {version}" for version, crate in step)
        for version, crate in step:
            place = root / crate if members else root
            lay(source_of(crate, version, home, scratch), place, fixed.get(crate), members)
        try:
            call("cargo", "fetch", f"--target={args.host}", cwd=root)
        except Failure as error:
            print(f"passed over: {names}: {str(error).splitlines()[-1]}", file=sys.stderr)
            continue
        commit(root, names, time or "2026-01-01T00:00:00Z")
        print(f"laid {names}", file=sys.stderr)
    shutil.rmtree(scratch)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--crate", action="append", required=True)
    parser.add_argument("--count", type=int, required=True, help="how many commits, the newest")
    parser.add_argument("--workspace", action="store_true", help="the crates are members of one workspace")
    parser.add_argument("--bump", action="store_true", help="each version has its number, and not all that of the first")
    parser.add_argument("--host", required=True)
    parser.add_argument("--cargo-home", type=Path, required=True)
    parser.add_argument("--repository", type=Path, required=True, help="where it is made")
    try:
        lay_all(parser.parse_args())
    except Failure as error:
        print(f"replay: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
