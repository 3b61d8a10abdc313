"""A host for `scripts/soak-faults`: a repo, a cargo home, a store, and the conditions that must hold after a fault."""

import contextlib
import gzip
import hashlib
import io
import json
import os
import random
import shutil
import signal
import stat
import subprocess
import tarfile
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path

ROOMY = ("--disk-threshold", "100%", "--low-water", "100%", "--min-free", "0")
INDEX = "index.crates.io-1949cf8c6b5b557f"
CRATES = ("one-1.0.0", "two-1.2.3")
# The kinds of findings, one column each.
FAULTS = ("damage", "wrong bytes", "hangs", "unexplained")
# A second for each year since 1970: old, and the same each time.
LONG_AGO = 1_000_000_000


class Fault(Exception):
    """A violated condition: its column and a description."""

    def __init__(self, column, what):
        super().__init__(what)
        self.column = column


@dataclass
class Done:
    """How a run of the program ended."""

    status: int
    out: str
    err: str

    @property
    def killed(self):
        return self.status == -signal.SIGKILL

    @property
    def report(self):
        return json.loads(self.out) if self.out.strip() else {}

    def modes(self):
        return {area["name"]: area["mode"] for area in self.report.get("areas", [])}


def tree_of(label):
    """Returns the contents, by path, of the target called `label`. Targets share some of them."""
    chance = random.Random(label)
    files = {f"debug/deps/{number}": f"{label}, file {number}".encode() for number in range(12)}
    files |= {f"debug/deps/same-{number}": chance_bytes(number, 3000) for number in range(4)}
    files["debug/deps/large"] = chance.randbytes(200_000)
    files["debug/label"] = label.encode()
    return files


def chance_bytes(seed, count):
    return random.Random(seed).randbytes(count)


def write_tree(target, label):
    """Turns `target` into the tree called `label`, the same to the nanosecond each time."""
    if target.exists():
        shutil.rmtree(target)
    for path, content in tree_of(label).items():
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        (target / path).write_bytes(content)
    (target / "debug/deps/3").chmod(0o755)
    os.link(target / "debug/deps/3", target / "debug/app")
    (target / "debug/link").symlink_to("deps/3")
    (target / "debug/empty").mkdir()
    seconds = LONG_AGO + int.from_bytes(label.encode()[-3:], "big")
    for path in sorted(target.rglob("*"), reverse=True):
        os.utime(path, ns=(seconds * 10**9, seconds * 10**9 + 7), follow_symlinks=False)


def listing(root):
    """Returns a line for each path below `root`; `None` if `root` does not exist."""
    if not root.is_dir():
        return None
    lines, groups = [], {}
    for path in sorted(root.rglob("*")):
        facts, name = path.lstat(), str(path.relative_to(root))
        what = f"{stat.filemode(facts.st_mode)} {facts.st_mtime_ns}"
        if stat.S_ISLNK(facts.st_mode):
            what += f" -> {os.readlink(path)}"
        elif stat.S_ISREG(facts.st_mode):
            first = groups.setdefault(facts.st_ino, name)
            what += f" {hashlib.sha256(path.read_bytes()).hexdigest()} {first}"
        lines.append(f"{name} {what}")
    return lines


def contents(root):
    """Returns the bytes below `root` by path, whatever their times."""
    return {
        str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file() and not path.is_symlink()
    }


def crate_of(name):
    """Returns a crate of a registry: the archive, and the files that it unpacks to."""
    files = {"Cargo.toml": f'[package]\nname = "{name[:3]}"\n'.encode(), "src/lib.rs": chance_bytes(name, 20_000).hex().encode()}
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for path, content in files.items():
            entry = tarfile.TarInfo(f"{name}/{path}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return gzip.compress(tar.getvalue(), mtime=0), files


@dataclass
class Host:
    """A repo with its cargo home and store, below `base`, and the program under test."""

    base: Path
    program: str
    timeout: float = 60
    saved: set = field(default_factory=set)
    # Trees whose save left out a file.
    lacking: set = field(default_factory=set)

    def __post_init__(self):
        self.repo, self.store, self.home = self.base / "repo", self.base / "store", self.base / "cargo-home"
        self.target, self.outside = self.repo / "target", self.base / "outside"

    def make(self):
        """Creates everything but the store."""
        rustc = self.base / "bin/rustc"
        rustc.parent.mkdir(parents=True)
        rustc.write_text("#!/bin/sh\necho 'rustc 1.0.0'\n")
        rustc.chmod(0o755)
        (self.base / "home").mkdir()
        self.lay_repo()
        self.lay_home()
        for name in ("target/debug/app", ".runner-cache-precious", "file"):
            (self.outside / name).parent.mkdir(parents=True, exist_ok=True)
            (self.outside / name).write_text(f"somebody's {name}")
        (self.repo / "link").symlink_to(self.outside)
        return self

    def lay_repo(self):
        lock = 'version = 4\n\n[[package]]\nname = "app"\nversion = "0.1.0"\n'
        for crate in CRATES:
            name, version = crate.rsplit("-", 1)
            checksum = hashlib.sha256(crate_of(crate)[0]).hexdigest()
            source = "registry+https://github.com/rust-lang/crates.io-index"
            lock += f'\n[[package]]\nname = "{name}"\nversion = "{version}"\nsource = "{source}"\nchecksum = "{checksum}"\n'
        files = {
            "Cargo.toml": '[package]\nname = "app"\nversion = "0.1.0"\nedition = "2024"\n',
            "Cargo.lock": lock,
            "src/lib.rs": "pub fn answer() -> u32 {\n    42\n}\n",
            ".gitignore": "/target\n",
        }
        for path, text in files.items():
            (self.repo / path).parent.mkdir(parents=True, exist_ok=True)
            (self.repo / path).write_text(text)
        for command in (["init", "--quiet", "--initial-branch=main"], ["add", "."]):
            subprocess.run(["git", *command], cwd=self.repo, env=self.environment(), check=True)

    def lay_home(self):
        registry = self.home / "registry"
        for crate in CRATES:
            archive, files = crate_of(crate)
            sources = registry / "src" / INDEX / crate
            for path, content in {**files, ".cargo-ok": b'{"v":1}'}.items():
                (sources / path).parent.mkdir(parents=True, exist_ok=True)
                (sources / path).write_bytes(content)
            for path, content in {f"cache/{INDEX}/{crate}.crate": archive, f"index/{INDEX}/config.json": b"{}"}.items():
                (registry / path).parent.mkdir(parents=True, exist_ok=True)
                (registry / path).write_bytes(content)

    def environment(self):
        path = f"{self.base}/bin:/usr/bin:/bin"
        return {"PATH": path, "HOME": f"{self.base}/home", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}

    def command(self, verb, *options, target=None):
        command = [self.program, verb, "--root", str(self.store)]
        if verb in ("save", "restore"):
            command += ["--repo", str(self.repo), "--cargo-home", str(self.home)]
            command += ["--target-dir", str(target)] if target else []
        return [*command, "--json", *options, *(ROOMY if verb == "gc" else ())]

    def run(self, verb, *options, under=(), target=None, kill_after=None):
        """Runs a command to its end, or kills it after a while. If it runs `under` a tracer, the caller, who injected
        the fault, judges its end."""
        command = [*under, *self.command(verb, *options, target=target)]
        process = subprocess.Popen(
            command, env=self.environment(), cwd=self.base, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, errors="replace", start_new_session=True,
        )
        try:
            out, err = process.communicate(timeout=kill_after or self.timeout)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            if kill_after is None:
                raise Fault("hangs", f"{verb} did not end in {self.timeout:.0f} s: {last_line(err)}") from None
        done = Done(process.returncode, out, err)
        if not under:
            self.judge_end(verb, done)
        return done

    def judge_end(self, verb, done):
        """Raises a fault if the command panicked, or ended by a signal that nobody sent."""
        if "panicked" in done.err:
            raise Fault("unexplained", f"{verb} panicked: {done.err.strip()}")
        if done.status < 0 and not done.killed:
            raise Fault("unexplained", f"{verb} was ended by signal {-done.status}: {last_line(done.err)}")

    def done(self, verb, *options, target=None):
        """Runs a command that must succeed."""
        done = self.run(verb, *options, target=target)
        if done.status != 0:
            raise Fault("damage", f"{verb} fails afterwards ({done.status}): {done.err.strip() or done.out.strip()}")
        return done

    def verify(self):
        """Checks that the store is whole; on a disk too full to check, the program must say so."""
        done = self.run("verify")
        if done.status != 0 and not (done.status == 1 and "No space left" in done.err):
            raise Fault("damage", f"verify ended with {done.status}: {done.err.strip() or done.out.strip()}")

    def save_tree(self, label):
        write_tree(self.target, label)
        self.done("save")
        self.saved.add(label)

    def clear(self):
        """Removes the files that a fresh checkout and a fresh home lack."""
        for path in (self.target, self.home / "registry"):
            if path.exists():
                shutil.rmtree(path)

    # Judging

    def judge_target(self, labels, allowed_absent=True, target=None, staged_there=False):
        """Checks that the target is a whole tree of one of `labels`, or absent; returns which. With `staged_there` it may
        hold staging directories, of processes that were killed."""
        target = target or self.target
        found = listing(target)
        if found and staged_there:
            found = [line for line in found if not line.startswith(".runner-cache-")]
        if found is None:
            if allowed_absent:
                return None
            raise Fault("damage", "what was saved is not restored")
        name = target / "debug/label"
        own = name.read_text(errors="replace") if name.is_file() else ""
        for label in [own] * (own in labels) + sorted(self.lacking & set(labels)):
            whole = expected(label)
            if found == whole or label in self.lacking and is_part(found, whole):
                return label
        differing = sorted(set(found) ^ set(expected(own) if own in labels else ()))
        raise Fault("wrong bytes", f"the target is `{own}` but for {differing[:4]}, of {sorted(labels)[:4]}")

    def judge_home(self):
        """Checks that each crate that cargo takes for whole is whole."""
        registry = self.home / "registry"
        for crate in CRATES:
            archive, files = crate_of(crate)
            path, sources = registry / "cache" / INDEX / f"{crate}.crate", registry / "src" / INDEX / crate
            if path.exists() and path.read_bytes() != archive:
                raise Fault("wrong bytes", f"{crate}.crate has other bytes")
            if (sources / ".cargo-ok").exists() and (sources / ".cargo-ok").read_bytes() == b'{"v":1}':
                found = contents(sources)
                found.pop(".cargo-ok")
                if found != files:
                    raise Fault("wrong bytes", f"the sources of {crate} say that they are whole, and are not")

    def judge_outside(self, before):
        if (listing(self.outside), contents_of_checkout(self.repo)) != before:
            raise Fault("damage", "something outside of the store, the target and cargo's home changed")

    def outside_now(self):
        return listing(self.outside), contents_of_checkout(self.repo)

    def judge_leftovers(self):
        left = [path for path in self.base.rglob(".runner-cache-*") if path.parent != self.outside]
        for name in ("staging", "trash", "leases"):
            left += [path for path in (self.store / name).iterdir() if path.suffix != ".over"]
        if left:
            raise Fault("damage", f"left behind: {[str(path.relative_to(self.base)) for path in left[:4]]}")

    def recover(self, must_have=(), first=True):
        """Checks what must work after every fault: the store is whole, saved trees can be restored, and the next save
        works. The restored tree is one of `must_have`, if there are any; else a miss is allowed, too."""
        if first:
            self.done("verify")
        self.clear()
        self.done("restore")
        label = self.judge_target(self.saved, allowed_absent=not must_have)
        if must_have and label not in must_have:
            raise Fault("damage", f"`{label}` is restored and not one of {sorted(must_have)}")
        self.judge_home()
        self.save_tree("after the fault")
        self.clear()
        self.done("restore")
        self.judge_target({"after the fault"}, allowed_absent=False)
        self.judge_home()
        self.age_staging()
        self.done("gc")
        self.judge_leftovers()
        self.done("verify")

    def age_staging(self):
        """Ages files that were staged for a moment without a lease: gc removes only old ones (FORMAT.md)."""
        for path in (self.store / "staging").glob(".tmp*"):
            os.utime(path, (LONG_AGO, LONG_AGO))


def contents_of_checkout(repo):
    """Returns the sources; files staged beside them are checked at the end."""
    return {path: content for path, content in contents(repo).items() if not path.startswith(("target/", ".git/", ".runner-cache-"))}


def is_part(found, whole):
    """Tells whether a tree is part of another; a hard link may have lost its other name."""
    return {line.rsplit(" ", 1)[0] for line in found} <= {line.rsplit(" ", 1)[0] for line in whole}


_EXPECTED, _LOCK = {}, threading.Lock()


def expected(label):
    """Returns the listing of the tree called `label`. It is made once, away from disks that are too small."""
    with _LOCK:
        if label not in _EXPECTED:
            with tempfile.TemporaryDirectory() as scratch:
                write_tree(Path(scratch) / "tree", label)
                _EXPECTED[label] = listing(Path(scratch) / "tree")
        return _EXPECTED[label]


def last_line(text):
    return (text.strip().splitlines() or ["it said nothing"])[-1]
