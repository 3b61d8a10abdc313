"""Records what one build by cargo did, unit by unit, from cargo's own messages, and what each unit produced.

`scripts/lib/replay.py` compares two of them. Cargo's messages name every unit of a build and its files, and whether
it was fresh; `-v` says which build scripts ran, and why a package is dirty. Standard library only.
"""

import hashlib
import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import NamedTuple

DIRTY = re.compile(r"^ +Dirty (\S+) v\S+(?: \(.*?\))?: (.*)$")
# Matches both of cargo's layouts: `build/NAME-HASH/build-script-build`,
# `build/NAME/HASH/out/build_script_build`.
RAN = re.compile(r"^ +Running `.*?/build/([^/]+?)(?:-[0-9a-f]{16}|/[0-9a-f]{16}/out)/build[-_]script[-_][^/]*`$")
ERROR = re.compile(r"^error(?:\[\w+\])?: .*$", re.MULTILINE)
TIMES = re.compile(r" \([0-9.]+s, .*\)$")


class Unit(NamedTuple):
    """A unit, identified by facts that are the same in each build of one commit at one path."""

    package: str
    name: str
    kind: str
    details: tuple

    def __str__(self):
        return f"{package_name(self.package)} ({self.kind})"

    def is_of_path(self):
        return self.package.startswith("path+")

    def role(self):
        """Returns its name in builds of other commits."""
        return package_name(self.package), self.name, self.kind


def package_name(package):
    """Returns the name in a package id: `path+file:///x/name#1.0.0` or `registry+…#name@1.0.0`."""
    place, _, version = package.rpartition("#")
    return version.split("@")[0] if "@" in version else place.split("?")[0].rsplit("/", 1)[-1]


class Build:
    """The effects of the commands of one job."""

    def __init__(self):
        self.succeeded = True
        self.error = ""
        self.units = {}
        self.compiled = set()
        self.reasons = {}

    def packages(self):
        """Returns the names of the packages with units that were compiled or run."""
        return {package_name(unit.package) for unit in self.compiled}

    def why(self, unit):
        return self.reasons.get(package_name(unit.package), "no reason given: it was not there")

    def read(self, out, errors):
        """Reads the messages of one command."""
        ran = set()
        for line in errors.splitlines():
            if dirty := DIRTY.match(line):
                self.reasons.setdefault(dirty[1], TIMES.sub("", dirty[2]))
            if script := RAN.match(line):
                ran.add(script[1])
        for line in out.splitlines():
            if not line.startswith('{"reason":'):
                continue
            message = json.loads(line)
            if message["reason"] == "compiler-artifact":
                unit = artifact(message)
                self.units[unit] = message["filenames"]
                if not message["fresh"]:
                    self.compiled.add(unit)
            elif message["reason"] == "build-script-executed":
                unit, said = script_run(message)
                self.units[unit] = said
                if package_name(unit.package) in ran:
                    self.compiled.add(unit)

    def digests(self, wanted):
        """Returns a digest of the output of each unit of `wanted`."""
        return {unit: digest(unit, self.units[unit]) for unit in wanted if unit in self.units}


def artifact(message):
    """Returns the unit of cargo's message on a compiled unit."""
    target, profile = message["target"], message["profile"]
    kind = "+".join(target["kind"]) + (" test" if profile["test"] else "")
    if target["name"].replace("-", "_") != package_name(message["package_id"]).replace("-", "_"):
        kind += f" {target['name']}"
    details = (profile["opt_level"], profile["debuginfo"], *message["features"], *message["filenames"])
    return Unit(message["package_id"], target["name"], kind, tuple(map(str, details)))


def script_run(message):
    """Returns the unit of cargo's message on a run of a build script, and the run's output."""
    unit = Unit(message["package_id"], "run", "build script run", (message["out_dir"],))
    said = {name: message[name] for name in ("linked_libs", "linked_paths", "cfgs", "env")}
    return unit, [message["out_dir"], json.dumps(said)]


def digest(unit, made):
    """Returns a digest of a unit's output: its files, or the directory and messages of its build script."""
    found = hashlib.sha256()
    if unit.name == "run":
        out_dir, said = made
        found.update(said.encode())
        paths = sorted(Path(out_dir).rglob("*"))
    else:
        paths = [Path(it) for it in made]
    for path in paths:
        found.update(f"\0{path}\0".encode())
        if path.is_file():
            found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()


def with_messages(command):
    """Returns the words of a cargo command with the flags for our messages: `cargo [+TOOLCHAIN] VERB …`."""
    words = shlex.split(command)
    verb = 2 if len(words) > 1 and words[1].startswith("+") else 1
    if len(words) <= verb or Path(words[0]).name != "cargo" or words[verb].startswith("-"):
        raise ValueError(f"`{command}` is not `cargo VERB …`")
    return [*words[: verb + 1], "-v", "--message-format=json", *words[verb + 1 :]]


def build(commands, directory, log):
    """Runs the commands of one job until one fails; returns what they did."""
    done = Build()
    for command in commands:
        run = subprocess.run(
            with_messages(command),
            cwd=directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        log(f"$ {command}", run.stderr)
        done.read(run.stdout, run.stderr)
        if run.returncode:
            errors = compiler_errors(run.stdout) or ERROR.findall(run.stderr) or run.stderr.splitlines()[-1:]
            done.succeeded = False
            why = errors[0][:160] if errors else f"exit status {run.returncode}"
            done.error = f"`{command}`: {why}"
            break
    return done


def compiler_errors(out):
    """Returns the errors of the compiler, which cargo passes on as messages."""
    messages = (json.loads(line) for line in out.splitlines() if line.startswith('{"reason":"compiler-message"'))
    return [f"error: {it['message']['message']}" for it in messages if it["message"]["level"] == "error"]
