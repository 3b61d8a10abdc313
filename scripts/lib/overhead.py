#!/usr/bin/env python3
"""Measures and prints the cost of the action's steps with nothing to move.

The job is minimal: a repo with one built crate, which is in the store and in place. Each step runs in three
ways, in turn, so that a busy phase of the machine slows all of them: the program alone, and as a runner starts
it, through each node. Standard library only.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

STEPS = ("main", "post")
FILES = ("GITHUB_OUTPUT", "GITHUB_STATE", "GITHUB_ENV", "GITHUB_STEP_SUMMARY")
MANIFEST = '[package]\nname = "app"\nversion = "0.1.0"\nedition = "2021"\n'


class Job:
    """A job of a runner that has built this commit before."""

    def __init__(self, action, work):
        self.action = action
        self.work = work
        self.workspace = work / "app" / "app"
        (self.workspace / "src").mkdir(parents=True)
        (self.workspace / "Cargo.toml").write_text(MANIFEST)
        (self.workspace / ".gitignore").write_text("/target/\n")
        (self.workspace / "src/main.rs").write_text("fn main() {}\n")
        (work / "temp").mkdir()
        (work / "cargo-home").mkdir()
        (work / "event.json").write_text('{"repository": {"default_branch": "main"}}')
        self.environment = os.environ | {
            "CARGO_HOME": str(work / "cargo-home"),
            "RUNNER_CACHE_ROOT": str(work / "store"),
            "RUNNER_TEMP": str(work / "temp"),
            "RUNNER_TOOL_CACHE": str(work / "tool"),
            "RUNNER_OS": "Linux",
            "RUNNER_ARCH": "X64",
            "GITHUB_ACTIONS": "true",
            "GITHUB_WORKSPACE": str(self.workspace),
            "GITHUB_REPOSITORY": "btcdecoded/app",
            "GITHUB_EVENT_NAME": "push",
            "GITHUB_EVENT_PATH": str(work / "event.json"),
            "GITHUB_REF": "refs/heads/main",
            "GITHUB_REF_NAME": "main",
            "GITHUB_REF_TYPE": "branch",
            "GITHUB_SHA": "0" * 40,
            "GITHUB_WORKFLOW": "bench",
            "GITHUB_JOB": "build",
            "GITHUB_RUN_ID": "1",
            "GITHUB_RUN_ATTEMPT": "1",
            "INPUT_JOB-STATUS": "success",
        }
        self.call("git", "init", "--quiet", "--initial-branch=main")
        self.call("cargo", "build", "--quiet", "--offline")

    def call(self, *command):
        subprocess.run(command, cwd=self.workspace, env=self.environment, check=True)

    def run(self, command):
        """Runs main and post; returns the seconds of each."""
        state = {}
        seconds = []
        for step in STEPS:
            files = {name: self.work / "temp" / f"{step}.{name}" for name in FILES}
            for file in files.values():
                file.write_text("")
            environment = self.environment | state | {name: str(file) for name, file in files.items()}
            started = time.monotonic()
            done = subprocess.run(
                command(step),
                cwd=self.workspace,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            seconds.append(time.monotonic() - started)
            if done.returncode != 0:
                sys.exit(f"{step} failed with {done.returncode}:\n{done.stdout}")
            state = {f"STATE_{name}": value for name, value in pairs(files["GITHUB_STATE"].read_text())}
        return seconds

    def expect_nothing_to_move(self):
        """Fails unless the last main found the target directory as the store has it."""
        outputs = dict(pairs((self.work / "temp" / "main.GITHUB_OUTPUT").read_text()))
        modes = {area["name"]: area["mode"] for area in json.loads(outputs["areas"])}
        if modes["target"] != "in-place":
            sys.exit(f"the target directory was restored by `{modes['target']}`, not in place")


def pairs(text):
    """Yields the pairs in the file of a file command: `NAME=VALUE`, or `NAME<<END`, lines, `END`."""
    lines = iter(text.splitlines())
    for line in lines:
        name, equals, value = line.partition("=")
        if "<<" in name or not equals:
            name, _, end = line.partition("<<")
            value = "\n".join(iter(lines.__next__, end))
        yield name, value


def ways(action, nodes):
    """Returns the ways to start a step, by name."""
    program = str(action / "dist/bin/runner-cache")
    found = {"program alone": lambda step: [program, "action", step]}
    for name, node in nodes:
        found[f"node {name}"] = lambda step, node=node: [node, str(action / f"dist/{step}.node")]
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--action", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="a directory that is ours")
    parser.add_argument("--runs", type=int, required=True)
    parser.add_argument("nodes", nargs="+", metavar="VERSION=PROGRAM")
    args = parser.parse_args()

    shutil.rmtree(args.work, ignore_errors=True)
    job = Job(args.action, args.work)
    commands = ways(args.action, [node.split("=", 1) for node in args.nodes])
    # The first run saves; the second warms up nodes and files.
    for command in commands.values():
        job.run(command)
    seconds = {name: [] for name in commands}
    for _ in range(args.runs):
        for name, command in commands.items():
            seconds[name].append(job.run(command))
            job.expect_nothing_to_move()

    print(f"{'nothing to move, median of ' + str(args.runs):<32}" + "".join(f"{step:>10}" for step in STEPS))
    for name, runs in seconds.items():
        medians = (statistics.median(run) * 1000 for run in zip(*runs, strict=True))
        print(f"{name:<32}" + "".join(f"{median:>7.0f} ms" for median in medians))


main()
