"""One self-hosted runner: its home, its store, its CARGO_HOME, and the repo that its jobs check out."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from origin import HERE, git
from runner import Started

ACTION = "btcdecoded/runner-cache@v1"
REPO = "btcdecoded/app"
# What another repo than the action's has, and what once broke actions written for node: node asks the
# nearest package.json above a file what kind of file that is.
PACKAGE = '{"type": "module"}\n'


@dataclass(frozen=True)
class Tools:
    """What the runs are made with."""

    act: Path
    action: Path
    program: Path
    nodes: dict[str, Path]
    toolchain: str
    rustup_home: Path


class Host:
    """A runner that no job has run on.

    Both the workspace and the action are below its `place`. Its blank is what a script of `shell: bash` does not
    survive in act.
    """

    def __init__(self, directory, tools, origin, place="the runner"):
        self.tools = tools
        self.origin = origin
        self.dir = directory
        self.repo = directory / "repo"
        self.store = directory / "store"
        self.cargo_home = directory / "cargo-home"
        self.node = tools.nodes["24"]
        self.runs = []
        self.name = REPO
        # What act is told besides, and where programs are that come before the machine's.
        self.arguments = []
        self.programs = []
        self.place = directory / place
        self.place.mkdir(parents=True)
        (directory / "home").mkdir()
        self.lose_cargo_home()
        self.comes_with("push", ref="refs/heads/main")

    def comes_with(self, event, **payload):
        """Says of which event the next runs come."""
        self.event = event
        payload["repository"] = {"full_name": self.name, "default_branch": "main"}
        self.payload = self.dir / "event.json"
        self.payload.write_text(json.dumps(payload))

    def use(self, name):
        """Makes one of our repos the one that jobs check out, with the workflows that run in it."""
        shutil.rmtree(self.repo, ignore_errors=True)
        shutil.copytree(HERE / "repos" / name, self.repo)
        shutil.copytree(HERE / "workflows", self.repo / ".github/workflows")
        (self.repo / "package.json").write_text(PACKAGE)
        git(self.repo, "init", "--quiet", "--initial-branch=main")
        git(self.repo, "remote", "add", "origin", f"https://github.com/{REPO}")
        if not (self.repo / "Cargo.lock").exists():
            self.cargo("generate-lockfile")
            self.lose_cargo_home()
        self.commit({})

    def commit(self, files):
        """Writes files and commits all that has changed. No text means no file."""
        for path, text in files.items():
            if text is None:
                (self.repo / path).unlink()
            else:
                (self.repo / path).write_text(text)
        git(self.repo, "add", "--all")
        git(self.repo, "commit", "--quiet", "--allow-empty", "--message=a step")

    def own_action(self):
        """Puts the action into the repo itself; workflows then say `uses: ./`."""
        shutil.copytree(self.tools.action, self.repo, dirs_exist_ok=True)
        for workflow in (self.repo / ".github/workflows").iterdir():
            workflow.write_text(workflow.read_text().replace(f"uses: {ACTION}", "uses: ./"))
        self.commit({})

    def lose_cargo_home(self):
        """Makes CARGO_HOME what it is on a new runner: one that knows which registry to use."""
        shutil.rmtree(self.cargo_home, ignore_errors=True)
        self.cargo_home.mkdir()
        (self.cargo_home / "config.toml").write_text(
            '[source.crates-io]\nreplace-with = "origin"\n\n'
            f'[source.origin]\nregistry = "sparse+{self.origin.url}/index/"\n'
        )

    def environment(self):
        """All that a run sees of the machine: nothing of the user's but programs."""
        return {
            "PATH": ":".join(map(str, [self.node.parent, *self.programs, os.environ["PATH"]])),
            "HOME": str(self.dir / "home"),
            "LANG": "C.UTF-8",
            "RUSTUP_HOME": str(self.tools.rustup_home),
            "RUSTUP_TOOLCHAIN": self.tools.toolchain,
            "CARGO_HOME": str(self.cargo_home),
            "CARGO_TERM_COLOR": "never",
            "CARGO_TERM_PROGRESS_WHEN": "never",
            "RUNNER_CACHE_ROOT": str(self.store),
            "GIT_CONFIG_NOSYSTEM": "1",
        }

    def start(self, workflow, **variables):
        """Starts a run of a workflow; `variables` are what its steps see besides."""
        command = [
            str(self.tools.act),
            self.event,
            "--json",
            f"--directory={self.repo}",
            f"--workflows=.github/workflows/{workflow}.yml",
            f"--eventpath={self.payload}",
            f"--action-cache-path={self.place}",
            f"--local-repository={ACTION}={self.tools.action}",
            "--platform=self-hosted=-self-hosted",
            "--concurrent-jobs=3",
            "--no-cache-server",
            f"--env=GITHUB_SERVER_URL={self.origin.url}",
            *(f"--env={name}={value}" for name, value in variables.items()),
            *self.arguments,
        ]
        started = Started(command, self.environment(), self.dir / f"run-{len(self.runs)}.log")
        self.runs.append(started)
        return started

    def run(self, workflow, **variables):
        """Runs a workflow to its end."""
        return self.start(workflow, **variables).finish()

    def end_runs(self):
        """Ends what a test that failed left running."""
        for started in self.runs:
            started.end()

    def cargo(self, *arguments):
        subprocess.run(["cargo", "--quiet", *arguments], cwd=self.repo, env=self.environment(), check=True)

    def runner_cache(self, *arguments):
        """Runs the program, as a person on the host does; returns its exit status and what it says."""
        command = [self.tools.program, *arguments, "--root", self.store, "--json"]
        environment = self.environment()
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    def generations(self):
        """Returns the generations that each lane has in the store: area and number."""
        _, said = self.runner_cache("list")
        lanes = {}
        for row in json.loads(said)["generations"]:
            lane = row["scope"].removeprefix(f"{REPO}@")
            lanes.setdefault(lane, []).append(f"{row['area']} {row['number']}")
        return lanes
